"""`intake`: pages and pictures that people captured, as evidence, and whom they show."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.context import (
    FacePackOption,
    Flags,
    JsonFlag,
    UseOption,
    counted,
    print_json,
    print_table,
    progress_bar,
    visible,
)

if TYPE_CHECKING:
    from scanner.captures.filing import JudgedSubject
    from scanner.captures.intake import TakenIn

log = logging.getLogger(__name__)

_MOST_ROWS = 60


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("intake")(intake)


def intake(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="WARC, WACZ, HAR, MHTML, SingleFile or saved HTML, PDF, pictures, CSV of screenshots; folders of them.",
            metavar="FILES...",
            exists=True,
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(help="Who captured them (取证人). Default: the configured operator."),
    ] = None,
    made_with: Annotated[
        str | None, typer.Option(help="With what, such as a browser and its version.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(help="The account that all of them are of, for files that do not say."),
    ] = None,
    platform: Annotated[str | None, typer.Option(help="The site of that account.")] = None,
    search: Annotated[
        bool, typer.Option("--search/--no-search", help="Search the faces in them afterwards.")
    ] = True,
    face_pack: FacePackOption = None,
    use: UseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take captures in: seal the originals, read pages and images, tell whom they show. Run again to go on after a stop."""  # fmt: skip
    if (account is None) != (platform is None):
        raise typer.BadParameter(
            "an account needs its site, and the other way round", param_hint="--account, --platform"
        )
    from crawlers.captures.reading import ENDINGS, captures_in, left_out_of, what_it_is
    from scanner.captures.intake import Intake

    flags: Flags = context.obj
    settings = flags.settings(face_pack=face_pack, use=use)
    taking = Intake(settings)
    paths = captures_in(files)
    if not paths:
        raise typer.BadParameter(
            f"there is no file of a kind that is read; kinds: {', '.join(sorted(ENDINGS))}",
            param_hint="FILES...",
        )
    skipped = left_out_of(files)
    if skipped:
        typer.secho(f"left out, {len(skipped)} of kinds that are not read:", err=True, fg="yellow")
    for path in skipped[:_MOST_ROWS]:
        typer.secho(visible(f"  {path.name}: {what_it_is(path)}"), err=True, fg="yellow")
    if len(skipped) > _MOST_ROWS:
        typer.secho(f"  and {len(skipped) - _MOST_ROWS} more", err=True, fg="yellow")
    taken: list[TakenIn] = []
    left_out: list[str] = []
    try:
        with progress_bar("taking in") as observer:
            for number, path in enumerate(paths):
                observer.step(number, len(paths), path.name)
                try:
                    taken.append(
                        taking.take_one(
                            path,
                            by or settings.operator,
                            made_with,
                            (platform, account) if platform and account else None,
                        )
                    )
                except (
                    Exception
                ) as error:  # whatever is wrong with one file, the others are taken in
                    left_out.append(f"{path.name}: {_logged(error, path)}")
            observer.step(len(paths), len(paths), "taken in")
    finally:
        taking.close()
    for told in left_out:
        typer.secho(visible(f"not taken in: {told}"), err=True, fg="red")
    sealed = [one for one in taken if not one.new]
    if sealed and (by or made_with):
        typer.secho(
            f"{len(sealed)} were sealed before, by {visible(sealed[0].capture.taken_in_by)}; --by and --made-with change nothing in a seal.",
            err=True,
            fg="yellow",
        )
    judged = judge_all(flags, face_pack, use) if search else []
    unread = [one for one in taken if one.capture.problem]
    if as_json:
        print_json(
            {
                "captures": [_capture_document(one) for one in taken],
                "judged": [judged_document(one) for one, _ in judged],
            }
        )
    else:
        _print_taken(taken, judged)
    raise typer.Exit(3 if left_out or (unread and len(unread) == len(taken)) else 0)


def _logged(error: Exception, path: Path) -> str:
    """An error's sentence; one that nobody expects is logged with its traceback as well."""
    from scanner.errors import is_expected, sentence_of

    if not is_expected(error) and not isinstance(error, OSError):
        log.error("%s", path.name, exc_info=error)
    return sentence_of(error)


def say(text: str, fg: str | None = None) -> None:
    """A line on the terminal; pages, files and sites wrote parts of it."""
    typer.secho(visible(text), fg=fg)


def judge_all(
    flags: Flags, face_pack: str | None, use: str | None
) -> list[tuple[JudgedSubject, list[str]]]:
    """Everything captured as it was judged, with the names of those who were found."""
    from crawlers.captures.capture_store import Captures
    from scanner.captures.filing import judge_captures
    from scanner.scanning.session import ScanSession

    scan_session = ScanSession(flags.settings(face_pack=face_pack, use=use))
    captures = Captures(scan_session.crawl, scan_session.settings.captures_path)
    judged: list[tuple[JudgedSubject, list[str]]] = []
    try:
        with progress_bar("searching faces") as observer:
            for one in judge_captures(scan_session, captures):
                judged.append(
                    (
                        one,
                        [
                            scan_session.vault.people.find(identity).name
                            for identity in one.identities
                        ],
                    )
                )
                observer.step(len(judged), None, one.name)
    finally:
        scan_session.close()
    return judged


def _print_taken(taken: list[TakenIn], judged: list[tuple[JudgedSubject, list[str]]]) -> None:
    new = [one for one in taken if one.new]
    say(
        f"{counted(len(new), 'capture')} taken in and sealed, {len(taken) - len(new)} known already; {counted(sum(one.capture.pages for one in new), 'page')}."
    )
    for one in taken:
        if not one.new and one.file != one.capture.name:
            say(f"{one.file}: the same bytes as {one.capture.name}, known already")
        if one.capture.problem:
            say(f"kept but not read: {one.capture.name}: {one.capture.problem}", fg="yellow")
        for note in one.capture.notes if one.new else ():
            say(f"{one.capture.name}: {note}", fg="yellow")
        for listing in one.listings:
            say(
                f"offer for sale, now a listing: {listing.title} · {listing.hub} {listing.listing_id} · {listing.creator or ''} · {listing.url}"
            )
    print_judged(judged)


def print_judged(judged: list[tuple[JudgedSubject, list[str]]]) -> None:
    if not judged:
        return
    new = [pair for pair in judged if not pair[0].known]
    rows = sorted(new, key=lambda pair: (not pair[0].cases, pair[0].outcome, pair[0].name))
    if rows:
        print_table(
            ("outcome", "account or capture", "images", "faces", "person", "case", "why"),
            [
                (
                    one.outcome,
                    one.name,
                    str(one.images),
                    str(one.faces),
                    ", ".join(names),
                    " ".join(case[:12] for case in one.cases)
                    or ("authorised" if one.authorised else ""),
                    one.reason,
                )
                for one, names in rows[:_MOST_ROWS]
            ],
        )
    if len(rows) > _MOST_ROWS:
        say(f"and {len(rows) - _MOST_ROWS} more; `captures judge --json` has them all.")
    say(
        f"{counted(len(new), 'account or capture' if len(new) == 1 else 'accounts and capture')} judged now: {_counted(new)}."
        if new
        else "Nothing new to judge."
    )
    if len(judged) > len(new):
        known = [pair for pair in judged if pair[0].known]
        say(
            f"{len(known)} {'was' if len(known) == 1 else 'were'} judged before and did not change: {_counted(known)}. `captures judge --json` has them all."
        )


def _counted(judged: list[tuple[JudgedSubject, list[str]]]) -> str:
    counts = Counter(one.outcome for one, _ in judged)
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def _capture_document(one: TakenIn) -> dict[str, Any]:
    return {
        **row_document(one.capture), "file": one.file, "new": one.new,
        "listings": [{"hub": listing.hub, "listing_id": listing.listing_id, "title": listing.title} for listing in one.listings],
    }  # fmt: skip


def row_document(row: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row)


def judged_document(one: JudgedSubject) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)
