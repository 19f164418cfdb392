"""`intake`, `previews`: captures and pictures of crawled listings, kept as evidence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scanner.cli.capture_verdicts import MOST_ROWS, judge_all, print_verdicts
from scanner.cli.context import CrawlSession, crawl_session_of, intake_of, settings_of
from scanner.cli.options import FacePackOption, JsonFlag, SearchOption
from scanner.cli.output import counted, print_error, print_json, print_line, print_warning
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from crawlers.listing import Listing
    from scanner.captures.intake import TakenIn
    from scanner.captures.previews import PreviewsTaken
    from scanner.settings import Settings

log = logging.getLogger(__name__)

FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="WARC, WACZ, HAR, MHTML, SingleFile or saved HTML, PDF, pictures, CSV of "
        "screenshots; folders of them.",
        metavar="FILES...",
        exists=True,
    ),
]


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module to a panel."""
    app.command("intake", rich_help_panel=panel)(intake)
    app.command("previews", rich_help_panel=panel)(previews)


@dataclass
class IntakeResult:
    """What became of the files of an intake; `failures` are sentences, one for each file."""

    taken: list[TakenIn] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def ended_well(self) -> bool:
        """Whether every file was taken in, and at least one could be read."""
        unread = sum(bool(result.capture.problem) for result in self.taken)
        return not self.failures and (not unread or unread < len(self.taken))


def intake(
    context: typer.Context,
    files: FilesArgument,
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
    search: SearchOption = True,
    face_pack: FacePackOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Seal captures as evidence and search the faces in them.

    Pages and images are read, too. An intake that was stopped goes on when the same command is
    run again.
    """
    if (account is None) != (platform is None):
        raise typer.BadParameter(
            "an account needs its site, and the other way round", param_hint="--account, --platform"
        )
    settings = settings_of(context, face_pack=face_pack)
    paths = _paths_in(files)
    owner = (platform, account) if platform and account else None
    result = _take_in(settings, paths, by or settings.operator, made_with, owner)
    for sentence in result.failures:
        print_error(f"not taken in: {sentence}")
    if by or made_with:
        _warn_of_earlier_seals(result.taken)
    verdicts = judge_all(settings) if search else []
    if as_json:
        print_json(
            {
                "captures": [_document(taken) for taken in result.taken],
                "judged": [verdict.to_json() for verdict in verdicts],
            }
        )
    else:
        _print_taken(result.taken)
        print_verdicts(verdicts)
    raise typer.Exit(0 if result.ended_well else 3)


def _paths_in(files: list[Path]) -> list[Path]:
    """The captures among files and folders; the others are listed on standard error."""
    from crawlers.captures.reading import ENDINGS, captures_in, left_out_of, what_it_is

    paths = captures_in(files)
    if not paths:
        raise typer.BadParameter(
            f"there is no file of a kind that is read; kinds: {', '.join(sorted(ENDINGS))}",
            param_hint="FILES...",
        )
    skipped = left_out_of(files)
    if skipped:
        print_warning(f"left out, {len(skipped)} of kinds that are not read:")
    for path in skipped[:MOST_ROWS]:
        print_warning(f"  {path.name}: {what_it_is(path)}")
    if len(skipped) > MOST_ROWS:
        print_warning(f"  and {len(skipped) - MOST_ROWS} more")
    return paths


def _take_in(
    settings: Settings,
    paths: list[Path],
    by: str,
    made_with: str | None,
    account: tuple[str, str] | None,
) -> IntakeResult:
    """Take files in with a progress bar; a file that fails does not stop the others."""
    result = IntakeResult()
    with intake_of(settings) as captures, progress_bar("taking in") as observer:
        for number, path in enumerate(paths):
            observer.step(number, len(paths), path.name)
            try:
                result.taken.append(captures.take_one(path, by, made_with, account))
            except Exception as error:  # whatever is wrong with one file, the others are taken in
                result.failures.append(f"{path.name}: {_logged(error, path)}")
        observer.step(len(paths), len(paths), "taken in")
    return result


def _logged(error: Exception, path: Path) -> str:
    """The sentence of an error; an unexpected one is also logged with its traceback."""
    from scanner.errors import is_expected, sentence_of

    if not is_expected(error) and not isinstance(error, OSError):
        log.error("%s", path.name, exc_info=error)
    return sentence_of(error)


def _warn_of_earlier_seals(taken: list[TakenIn]) -> None:
    sealed = [result for result in taken if not result.new]
    if sealed:
        print_warning(
            f"{len(sealed)} were sealed before, by {sealed[0].capture.taken_in_by}; "
            "--by and --made-with change nothing in a seal."
        )


def _document(taken: TakenIn) -> dict[str, Any]:
    listings = [
        {"hub": listing.hub, "listing_id": listing.listing_id, "title": listing.title}
        for listing in taken.listings
    ]
    return {**asdict(taken.capture), "file": taken.file, "new": taken.new, "listings": listings}


def _print_taken(taken: list[TakenIn]) -> None:
    new = [result for result in taken if result.new]
    pages = sum(result.capture.pages for result in new)
    print_line(
        f"{counted(len(new), 'capture')} taken in and sealed, {len(taken) - len(new)} known "
        f"already; {counted(pages, 'page')}."
    )
    for result in taken:
        capture = result.capture
        if not result.new and result.file != capture.name:
            print_line(f"{result.file}: the same bytes as {capture.name}, known already")
        if capture.problem:
            print_line(f"kept but not read: {capture.name}: {capture.problem}", color="yellow")
        for note in capture.notes if result.new else ():
            print_line(f"{capture.name}: {note}", color="yellow")
        for listing in result.listings:
            print_line(
                f"offer for sale, now a listing: {listing.title} · {listing.hub} "
                f"{listing.listing_id} · {listing.creator or ''} · {listing.url}"
            )


def previews(
    context: typer.Context,
    hubs: Annotated[
        list[str],
        typer.Argument(help="Hubs that were crawled, as `crawl` names them.", metavar="HUB..."),
    ],
    limit: Annotated[
        int | None, typer.Option(help="At most so many listings; run again to go on.", min=1)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also listings whose previews were taken in before.")
    ] = False,
    search: SearchOption = True,
    face_pack: FacePackOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in and search the pictures that crawled listings show.

    They are fetched politely, sealed like any capture, and searched before any GPU work.
    """
    from crawlers.sweeps.partitions import unfinished_places

    settings = settings_of(context, face_pack=face_pack)
    with crawl_session_of(settings, hubs) as crawl:
        unfinished = [place for hub in hubs for place in unfinished_places(crawl.store, hub)]
        results = _take_previews(crawl, hubs, limit, again=again)
    verdicts = judge_all(settings) if search else []
    for place in unfinished:
        print_warning(
            f"{place} was not crawled to its end: listings may be missing here; "
            "`crawl` goes on there"
        )
    refused = [result for result in results if result.problem]
    if as_json:
        print_json(
            {
                "listings": [_preview_document(result) for result in results],
                "judged": [verdict.to_json() for verdict in verdicts],
                "unfinished": unfinished,
            }
        )
    else:
        missing = sum(result.missing for result in results)
        print_line(
            f"{len(results) - len(refused)} listings' previews taken in and sealed; "
            f"{missing} pictures could not be downloaded."
        )
        for result in refused:
            print_line(f"not taken in: {result.listing.title}: {result.problem}", color="yellow")
        print_verdicts(verdicts)
    raise typer.Exit(3 if refused and len(refused) == len(results) else 0)


def _take_previews(
    crawl: CrawlSession, hubs: list[str], limit: int | None, *, again: bool
) -> list[PreviewsTaken]:
    """Take previews in with a progress bar."""
    from scanner.captures.previews import take_previews

    results: list[PreviewsTaken] = []
    with intake_of(crawl.settings) as captures, progress_bar("fetching previews") as observer:
        work = take_previews(captures, crawl.transport, _listings(crawl, hubs), again=again)
        for result in islice(work, limit):
            results.append(result)
            observer.step(len(results), None, result.listing.title)
    return results


def _listings(crawl: CrawlSession, hubs: list[str]) -> Iterator[Listing]:
    for hub in hubs:
        yield from list(crawl.store.latest(crawl.hubs.open(hub).name))


def _preview_document(result: PreviewsTaken) -> dict[str, Any]:
    return {
        "hub": result.listing.hub,
        "listing_id": result.listing.listing_id,
        "title": result.listing.title,
        "missing": result.missing,
        "problem": result.problem,
        "capture_id": result.taken.capture.capture_id if result.taken else None,
    }
