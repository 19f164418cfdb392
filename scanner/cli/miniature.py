"""`miniature`: photos, captures and adapters of the synthetic world, to try the program with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.commands import CommandGroup
from scanner.cli.progress import progress_bar

group = CommandGroup("Make photos and adapters of drawn persons.")


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the group `miniature` to a panel."""
    app.add_typer(group, name="miniature", rich_help_panel=panel)


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
    """Draw photos of many people.

    A list for `enroll-many` and groups for `evaluate` are written beside them.
    """
    from scanner.miniature.albums import draw_people

    with progress_bar("drawing") as observer:
        for done, seed in enumerate(draw_people(folder, count, photos_each), 1):
            observer.step(done, count, f"person {seed}")
    typer.echo(
        f"{count} people in {folder}, with people.csv for enroll-many and groups.csv for evaluate"
    )


@group.command("posts")
def posts(folder: Annotated[Path, typer.Argument(help="Where to put the WARC files.")]) -> None:
    """Write captures of drawn accounts and offers, for `intake`.

    Ten of the accounts are impostors of the demo's people; a hundred offers are among them.
    """
    from scanner.miniature.posts import write_posts
    from scanner.miniature.world import load_world

    paths = write_posts(folder, load_world(), {})
    typer.echo(f"{len(paths)} captures in {folder}")


@group.command("train-adapter")
def train_adapter(
    seed: Annotated[int, typer.Argument(help="Which person to train on.", min=0)],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    trigger: Annotated[str, typer.Option(help="The word the adapter will answer to.")] = "ohwx",
    rank: Annotated[int, typer.Option(help="The rank of the LoRA.", min=1, max=64)] = 4,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1, max=5000)] = 350,
) -> None:
    """Train a LoRA on forty photos of a person.

    It is trained as people train theirs, and takes one to five minutes.
    """
    from scanner.miniature.training.adapter import train_person_adapter
    from scanner.miniature.world import BASE_MODEL

    train_person_adapter(BASE_MODEL, out, seed, trigger, rank, steps)
    typer.echo(f"{out}: a LoRA of person {seed}, trigger {trigger}")
