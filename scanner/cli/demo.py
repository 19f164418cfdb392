"""`demo`: the whole work on the miniature world, and one page that sums it up."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from scanner.cli.context import Flags, app_context_of, flags_of, settings_of, this_program
from scanner.cli.options import JsonFlag
from scanner.cli.output import VERDICT_STYLES, console, counted, print_json, print_table, visible
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from scanner.miniature.story_record import Story
    from scanner.settings import Settings

_KINDS = {
    "lora": "LoRA",
    "locon": "LoRA",
    "loha": "LyCORIS (LoHa)",
    "dora": "DoRA",
    "textual-inversion": "textual inversion",
    "checkpoint": "full checkpoint",
}


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("demo", rich_help_panel=panel)(demo)


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
    """Run the whole work on drawn people, from sweep to notice.

    A hub is swept, files are sampled, people are matched, captures are searched, a case is
    reviewed and sealed, notices are drafted and a person is erased.
    """
    from scanner.miniature.demo import demo_settings
    from scanner.miniature.story import tell

    own_home = flags_of(context).given.get("home") is not None
    settings = settings_of(context)
    if not own_home:
        settings = settings.model_copy(update={"home": settings.home / "demo"})
    settings = demo_settings(settings)
    with progress_bar("demo") as observer:
        story, told_before = tell(settings, observer)
    if as_json:
        # `rows` is kept beside `results`, the name in `scan --json`, for those who read it so.
        print_json({"results": story.rows, "scan": story.scan_id, **asdict(story)})
    else:
        _print_story(story)
        again = f"{_program_name()} --home {settings.home}" if own_home else _program_name()
        typer.echo(
            f"Everything written lies in {settings.home / 'story'}. See it in a browser: "
            f"{again} demo --serve"
        )
        if told_before:
            typer.echo("This is the result of the first run; this home may have changed since.")
    if serve:
        _serve(flags_of(context), settings, port)


def _program_name() -> str:
    """How the user calls this program from the folder they are in."""
    if shutil.which("portrait-scanner"):
        return "portrait-scanner"
    program, folder = Path(sys.argv[0]), Path.cwd()
    return str(program.relative_to(folder) if program.is_relative_to(folder) else program)


def _serve(flags: Flags, settings: Settings, port: int) -> NoReturn:
    """Serve the demo's home, and print a link to an account that may see everything in it."""
    from scanner.web.auth.access import Role

    url = f"http://127.0.0.1:{port}"
    with app_context_of(settings) as app_context:
        roles = [Role.LEGAL, Role.OPERATOR, Role.ADMIN]
        secret = app_context.invitations.create("demo@example.org", roles, settings.operator)
    typer.echo(f"\nOpen an account for the pages with this link: {url}/invitation/{secret}")
    sys.stdout.flush()
    # The server replaces this process: it does not need the models that the demo loaded.
    home = replace(flags, given={"home": settings.home})
    command = [*this_program(home), "serve", "--port", str(port)]
    os.execve(command[0], command, {**os.environ, "PORTRAIT_SCANNER_WEB__URL": url})  # noqa: S606  this program, and no shell


def _print_story(story: Story) -> None:
    """Print one page about the scan, the captures, one case and one erasure."""
    _print_scan(story)
    _print_captures(story)
    _print_case(story)
    _print_erasure(story)
    if story.degraded:
        _heading("Not on this machine")
    for sentence in story.degraded:
        _print(sentence, "yellow")
    typer.echo()


def _print(text: str, style: str = "") -> None:
    """A line of text, wrapped at the width of the terminal."""
    console().print(visible(text), style=style)


def _heading(text: str) -> None:
    typer.echo()
    _print(text, "bold")


def _print_scan(story: Story) -> None:
    threshold = next((row["threshold"] for row in story.findings), 0.0)
    files = len({row["file"] for row in story.rows})
    _heading(f"Swept: {counted(files, 'file')} of two hubs and a folder; threshold {threshold:.2f}")
    _print_findings(story)
    for copy in story.reuploads:
        _print(
            f"Re-uploaded: {copy['file']} on {copy['hub']} holds the weights of "
            f"“{copy['title']}” on {copy['first']['hub']}, under another name and hash."
        )
    clear = (
        row["file"].removesuffix(".safetensors") for row in story.rows if row["outcome"] == "clear"
    )
    _print(
        f"Left alone, strangers, styles and objects: {', '.join(clear)}.", VERDICT_STYLES["clear"]
    )
    for row in story.rows:
        if row["outcome"] in ("failed", "inconclusive"):
            _print(f"Not scanned: {row['file']}: {row['reason']}", "dim")
    if not_found := sorted(set(story.registered) - {row["person"] for row in story.findings}):
        _print(
            f"Registered, and found in no file: {', '.join(not_found)}.", VERDICT_STYLES["clear"]
        )


def _print_findings(story: Story) -> None:
    print_table(
        ("person", "file", "kind", "hub", "verdict", "score"),
        [
            (
                row["person"],
                row["file"].removesuffix(".safetensors"),
                _KINDS.get(row["kind"], row["kind"]),
                row["hub"],
                row["outcome"],
                f"{row['score']:.2f}",
            )
            for row in sorted(story.findings, key=lambda row: (row["person"], row["hub"]))
        ],
        numbers=("score",),
    )


def _print_captures(story: Story) -> None:
    _heading("Captured in a browser")
    impostors = [subject for subject in story.judged if subject["outcome"] == "match"]
    for subject in impostors:
        person = story.names.get(subject["identities"][0], "somebody registered")
        _print(
            f"Impostor account: {subject['name']}, {subject['images']} different pictures of "
            f"{person}, case {subject['cases'][0]}",
            VERDICT_STYLES["match"],
        )
    left_alone = counted(len(story.judged) - len(impostors), "account")
    _print(
        f"Left alone: {left_alone}. For sale: {counted(story.offers, 'offer')} of likeness "
        "models, now listings."
    )


def _print_case(story: Story) -> None:
    folder, items, sound = story.bundle
    _heading(f"One case to its end: {story.case_id}, {story.case_file}")
    forms = "HTML; PDF/A not in every language, see below" if story.degraded else "HTML and PDF/A"
    _print(f"Confirmed by a named reviewer; report in Chinese and English, {forms}.")
    _print(f"Evidence sealed: {Path(folder).name}; verified: {sound} of {items} items are sound.")
    made, agreeing = story.reproduced
    _print(f"Reproduced: {agreeing} of {made} samples made again agree.")
    notices = (Path(file).stem for file in story.notices if not file.endswith(".docx"))
    _print(f"Notices drafted, nothing sent: {', '.join(notices)}.")


def _print_erasure(story: Story) -> None:
    gone = story.withdrawn
    _heading(f"Withdrawn and erased: {gone.name}")
    _print(
        f"{counted(gone.photos, 'photo')} and {counted(gone.templates, 'template')}; signed "
        f"receipt, checked: {Path(gone.receipt).name}."
    )
    if gone.traces_before is not None and gone.traces_after is not None:
        _print(
            f"Their sealed bytes were in {counted(gone.traces_before, 'file')} of this home, and "
            f"are in {gone.traces_after} now."
        )
