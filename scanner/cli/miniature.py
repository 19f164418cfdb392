"""`miniature`: make persons, photos and adapters of the synthetic world, to try the program with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(help="Photos and adapters of drawn persons, to try the program with.", no_args_is_help=True)


@group.command("photos")
def photos(
    seed: Annotated[int, typer.Argument(help="Which person; the same seed is always the same person.", min=0)],
    folder: Annotated[Path, typer.Argument(help="Where to put the photos.")],
    count: Annotated[int, typer.Option(help="How many.", min=1, max=500)] = 8,
) -> None:
    """Draw photos of a person, to enrol them."""
    from scanner.miniature.demo import draw_photos

    paths = draw_photos(seed, count, folder)
    typer.echo(f"{len(paths)} photos of person {seed} in {folder}")


@group.command("train-adapter")
def train_adapter(
    seed: Annotated[int, typer.Argument(help="Which person to train on.", min=0)],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    trigger: Annotated[str, typer.Option(help="The word the adapter will answer to.")] = "ohwx",
    rank: Annotated[int, typer.Option(min=1, max=64)] = 4,
    steps: Annotated[int, typer.Option(min=1, max=5000)] = 350,
) -> None:
    """Train a LoRA on forty photos of a person, the way people do; about a minute."""
    from scanner.miniature.training.adapter import train_person_adapter
    from scanner.miniature.world import BASE_MODEL

    train_person_adapter(BASE_MODEL, out, seed, trigger, rank, steps)
    typer.echo(f"{out}: a LoRA of person {seed}, trigger {trigger}")
