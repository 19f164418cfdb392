"""`enroll-many`: submitting the people of an agency's list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import enrolment_session_of, settings_of
from scanner.cli.enrolment import confirmed, print_consent_text
from scanner.cli.options import FacePackOption, JsonFlag, OperatorOption
from scanner.cli.output import print_json, print_line, print_table, visible
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from face_index.registration.manifest import Entry, RowResult


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("enroll-many", rich_help_panel=panel)(enroll_many)


def enroll_many(
    context: typer.Context,
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV or JSON Lines; columns are in docs/face_index.md.", exists=True),
    ],
    report: Annotated[
        Path | None,
        typer.Option(
            help="Where results are written, one line a person. Default: beside the list."
        ),
    ] = None,
    discard_photos: Annotated[
        bool, typer.Option("--discard-photos", help="Keep only templates.")
    ] = False,
    submitted_by: OperatorOption = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Everyone in the list has agreed to the consent text; do not ask."
        ),
    ] = False,
    face_pack: FacePackOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Submit the people of a list; a stopped run can be repeated."""
    from face_index.registration.manifest import read_manifest, register_all

    settings = settings_of(context, face_pack=face_pack, operator=submitted_by or None)
    target = report or manifest.with_name(manifest.name + ".report.jsonl")
    results: list[RowResult] = []
    with enrolment_session_of(settings) as session:
        clock, today = session.clock, session.clock().date()
        entries = read_manifest(manifest, settings.operator, today, keep_photos=not discard_photos)
        _agree_for_all(entries, agreed=yes)
        with progress_bar("enrolling") as observer:
            for result in register_all(session.vault, session.registrar, entries, target, clock):
                results.append(result)
                observer.step(len(results), len(entries), result.name)
    refused = _print_results(results, target, as_json=as_json)
    if refused:
        raise typer.Exit(1)


def _agree_for_all(entries: list[Entry], *, agreed: bool) -> None:
    """Ask once for everyone without a signed document; raises ConsentMissing."""
    from face_index.errors import ConsentMissing

    undocumented = sum(entry.request.consent.document_sha256 is None for entry in entries)
    if agreed or not undocumented:
        return
    print_consent_text()
    if not confirmed(
        f"{undocumented} of {len(entries)} people have no consent_document. "
        "Have they all agreed to the consent text?"
    ):
        raise ConsentMissing("without consent nobody is registered")


def _print_results(results: list[RowResult], target: Path, *, as_json: bool) -> bool:
    """Print what became of a list, and return whether anybody was refused."""
    counts = Counter(result.status for result in results)
    refused = [result for result in results if result.status == "refused"]
    if as_json:
        print_json(
            {
                "counts": dict(counts),
                "report": str(target),
                "refused": [[result.line, result.name, result.reason] for result in refused],
                "chosen_faces": {result.name: result.faces for result in results if result.faces},
            }
        )
        return bool(refused)
    if refused:
        print_table(
            ["line", "name", "why"],
            [[str(result.line), result.name, result.reason or ""] for result in refused],
        )
    for result in results:
        for photo, chosen in result.faces.items():
            print_line(f"  {visible(result.name)}, {visible(photo)}: {chosen}")
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    typer.echo(f"{len(results)} people: {summary}. Every photo's reason is in {target}.")
    return bool(refused)
