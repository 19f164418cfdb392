"""`miniature`: make persons, photos and adapters of the synthetic world, to try the program with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.context import command_group

group = command_group("Photos and adapters of drawn persons, to try the program with.")


@group.command("photos")
def photos(
    seed: Annotated[
        int, typer.Argument(help="Which person; the same seed is always the same person.", min=0)
    ],
    folder: Annotated[Path, typer.Argument(help="Where to put the photos.")],
    count: Annotated[int, typer.Option(help="How many.", min=1, max=500)] = 8,
) -> None:
    """Draw photos of a person, to enrol them."""
    from scanner.miniature.albums import draw_photos

    paths = draw_photos(seed, count, folder)
    typer.echo(f"{len(paths)} photos of person {seed} in {folder}")


@group.command("people")
def people(
    folder: Annotated[
        Path, typer.Argument(help="Where to put one folder of photos for each person.")
    ],
    count: Annotated[int, typer.Option(help="How many people.", min=1, max=5_000)] = 100,
    photos_each: Annotated[
        int, typer.Option("--photos", help="Photos of each.", min=1, max=500)
    ] = 6,
) -> None:
    """Draw many people with a list for `enroll-many`, and groups for `evaluate`."""
    from scanner.cli.context import progress_bar
    from scanner.miniature.albums import draw_people

    with progress_bar("drawing") as observer:
        for done, seed in enumerate(draw_people(folder, count, photos_each), 1):
            observer.step(done, count, f"person {seed}")
    typer.echo(
        f"{count} people in {folder}, with people.csv for enroll-many and groups.csv for evaluate"
    )


@group.command("posts")
def posts(folder: Annotated[Path, typer.Argument(help="Where to put the WARC files.")]) -> None:
    """Write captures of drawn accounts, ten of them impostors of the demo's people, and of a hundred offers, for `intake`."""
    from scanner.miniature.posts import write_posts
    from scanner.miniature.world import load_world

    paths = write_posts(folder, load_world(), {})
    typer.echo(f"{len(paths)} captures in {folder}")


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
