"""`demo`: the whole mission on the miniature world, and one page that says what came of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from scanner.cli.context import Flags, JsonFlag, counted, print_json, progress_bar, visible

if TYPE_CHECKING:
    from rich.table import Table

    from scanner.miniature.story_record import Story
    from scanner.settings import Settings

_COLOURS = {"match": "bold red", "possible": "yellow"}


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Afterwards leave the pages running with what the demo found."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the pages.", min=1, max=65535)] = 8420,
    as_json: JsonFlag = False,
) -> None:
    """Tell the whole mission on the miniature world: sweep, sample, match, capture, review, seal, notify, erase."""
    from scanner.miniature.demo import demo_settings
    from scanner.miniature.story import tell

    flags: Flags = context.obj
    settings = flags.settings()
    if flags.given.get("home") is None:
        settings = settings.model_copy(update={"home": settings.home / "demo"})
    settings = demo_settings(settings)
    with progress_bar("demo") as observer:
        story, told_before = tell(settings, observer)
    if as_json:
        from dataclasses import asdict

        # `results` is what `scan --json` calls them; `rows` is what this command called them first.
        print_json({"results": story.rows, "scan": story.scan_id, **asdict(story)})
    else:
        _print_page(story)
        again = _called() + (
            f" --home {settings.home}" if flags.given.get("home") is not None else ""
        )
        typer.echo(
            f"Everything written lies in {settings.home / 'story'}. See it in a browser: {again} demo --serve"
        )
        if told_before:
            typer.echo("Told as it was when it was told first; this home may have changed since.")
    if serve:
        _serve(settings, port)


def _called() -> str:
    """How to call this program from where the user is."""
    if shutil.which("portrait-scanner"):
        return "portrait-scanner"
    program, here = Path(sys.argv[0]), Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _serve(settings: Settings, port: int) -> NoReturn:
    """Pages with the demo's home, and a link that opens an account which may see everything in it."""
    import os

    from scanner.web.auth.access import Role
    from scanner.web.context import AppContext

    url = f"http://127.0.0.1:{port}"
    app_context = AppContext(settings)
    secret = app_context.accounts.invite(
        "demo@example.org", [Role.LEGAL, Role.OPERATOR, Role.ADMIN], settings.operator
    )
    app_context.close()
    typer.echo(f"\nOpen an account for the pages with this link: {url}/invitation/{secret}")
    sys.stdout.flush()
    # A process of its own: the models that the demo loaded are not needed for pages.
    command = [
        sys.executable,
        "-m",
        "scanner.cli.app",
        "--home",
        str(settings.home),
        "serve",
        "--port",
        str(port),
    ]
    os.execve(command[0], command, {**os.environ, "PORTRAIT_SCANNER_WEB__URL": url})  # noqa: S606  ourselves, and no shell


def _print_page(story: Story) -> None:
    """One page: what was swept, whom it shows, what was left alone, and what became of one case and one person."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)

    def say(text: str, style: str = "") -> None:
        console.print(visible(text), style=style)

    def head(text: str) -> None:
        console.print()
        say(text, "bold")

    threshold = next((row["threshold"] for row in story.findings), 0.0)
    head(
        f"Swept: {counted(len({row['file'] for row in story.rows}), 'file')} of two hubs and a folder; threshold {threshold:.2f}"
    )
    console.print(_found(story))
    for one in story.reuploads:
        say(
            f"Re-uploaded: {one['file']} on {one['hub']} holds the weights of “{one['title']}” on {one['first']['hub']}, under another name and hash."
        )
    alone = (
        row["file"].removesuffix(".safetensors") for row in story.rows if row["outcome"] == "clear"
    )
    say(f"Left alone, strangers, styles and objects: {', '.join(alone)}.", "green")
    for row in story.rows:
        if row["outcome"] in ("failed", "inconclusive"):
            say(f"Not scanned: {row['file']}: {row['reason']}", "dim")
    if nothing := sorted(set(story.registered) - {row["person"] for row in story.findings}):
        say(f"Registered, and found in no file: {', '.join(nothing)}.", "green")
    head("Captured in a browser")
    impostors = [one for one in story.judged if one["outcome"] == "match"]
    for one in impostors:
        say(
            f"Impostor account: {one['name']}, {one['images']} different pictures of {_person_of(story, one)}, case {one['cases'][0]}",
            "bold red",
        )
    say(
        f"Left alone: {counted(len(story.judged) - len(impostors), 'account')}. For sale: {counted(story.offers, 'offer')} of likeness models, now listings."
    )
    folder, items, sound = story.bundle
    head(f"One case to its end: {story.case_id}, {story.case_file}")
    forms = "HTML; PDF/A not in every language, see below" if story.degraded else "HTML and PDF/A"
    say(f"Confirmed by a named reviewer; report in Chinese and English, {forms}.")
    say(f"Evidence sealed: {Path(folder).name}; verified: {sound} of {items} items are sound.")
    say(f"Reproduced: {story.reproduced[1]} of {story.reproduced[0]} samples made again agree.")
    say(
        f"Notices drafted, nothing sent: {', '.join(Path(one).stem for one in story.notices if not one.endswith('.docx'))}."
    )
    gone = story.withdrawn
    head(f"Withdrawn and erased: {gone.name}")
    say(
        f"{counted(gone.photos, 'photo')} and {counted(gone.templates, 'template')}; signed receipt, checked: {Path(gone.receipt).name}."
    )
    if gone.traces_before is not None and gone.traces_after is not None:
        say(
            f"Their sealed bytes were in {counted(gone.traces_before, 'file')} of this home, and are in {gone.traces_after} now."
        )
    if story.degraded:
        head("Not on this machine")
    for sentence in story.degraded:
        say(sentence, "yellow")
    console.print()


_KINDS = {
    "lora": "LoRA", "locon": "LoRA", "loha": "LyCORIS (LoHa)", "dora": "DoRA", "textual-inversion": "textual inversion",
    "checkpoint": "full checkpoint",
}  # fmt: skip


def _found(story: Story) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold underline")
    for title in ("person", "file", "kind", "hub", "verdict"):
        table.add_column(title, no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    for row in sorted(story.findings, key=lambda row: (row["person"], row["hub"])):
        told = (
            row["person"],
            visible(row["file"]).removesuffix(".safetensors"),
            _KINDS.get(row["kind"], row["kind"]),
            row["hub"],
            row["outcome"],
        )
        table.add_row(*told, f"{row['score']:.2f}", style=_COLOURS[row["outcome"]])
    return table


def _person_of(story: Story, judged: dict[str, Any]) -> str:
    return story.names.get(judged["identities"][0], "somebody registered")
