"""`fetch`: downloading checkpoints into the store, verified by their hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scanner.cli.context import CrawlSession, crawl_session_of, settings_of
from scanner.cli.options import JsonFlag
from scanner.cli.output import print_json, print_line, print_notes
from scanner.cli.progress import TransferObserver, transfer_bar

if TYPE_CHECKING:
    from crawlers.sweeps.acquisition import Acquisition
    from crawlers.sweeps.inquiries import WantedFile
    from scanner.casework.derived_listings import Place
    from scanner.fingerprints.fingerprinter import Fingerprinter
    from scanner.scanning.fetching import FetchResult, Objections


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("fetch", rich_help_panel=panel)(fetch)


def fetch(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Listings as hub:ID, SHA-256, or URLs; none for the likeliest likenesses.",
            metavar="LISTING|SHA256|URL...",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Without names: at most so many files.", min=1, max=10**9)
    ] = 20,
    min_likeness: Annotated[
        float, typer.Option(help="Without names: only at or above this score.", min=0, max=1)
    ] = 0.5,
    again: Annotated[
        bool, typer.Option("--again", help="Ask again for what was refused not long ago.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Download checkpoints into the store, verified by hash.

    A download that was stopped is resumed by the same command.
    """
    from scanner.clock import utc_now
    from scanner.factories import open_acquisition
    from scanner.scanning.fetching import wanted_files

    with crawl_session_of(settings_of(context), what or ()) as session:
        acquisition = open_acquisition(session.settings, session.store, session.hubs, utc_now)
        place = (session.store, session.hubs, acquisition.checkpoints)
        first = [] if what else _derived_first(session)
        wanted = wanted_files(
            place, what or (), limit, min_likeness, utc_now(), again=again, first=first
        )
        results = _fetch_all(session, acquisition, wanted, again=again)
    failed = [result for result in results if result.problem is not None]
    if as_json:
        left = len(wanted) - len(results)
        print_json({"files": [result.as_document() for result in results], "left": left})
    elif not results:
        typer.echo(
            "Nothing to fetch: what is likely enough is here, or was refused lately "
            "(--again asks for it all the same)."
        )
    else:
        for result in results:
            print_line(_result_line(result))
        print_notes(f"{result.wanted.file.name}: {result.problem}" for result in failed)
    raise typer.Exit(3 if failed else 0)


def _derived_first(session: CrawlSession) -> list[Place]:
    """The listings with files that come from confirmed cases; none before there is a case."""
    from contextlib import closing

    from reports.cases.case_store import CaseStore
    from scanner.casework.derived_listings import derived_listings

    settings = session.settings
    if not settings.cases_path.exists():
        return []
    with closing(CaseStore(settings.cases_path, settings.evidence_path)) as case_store:
        return derived_listings(session.store, case_store)


def _fetch_all(
    session: CrawlSession, acquisition: Acquisition, wanted: list[WantedFile], *, again: bool
) -> list[FetchResult]:
    """Fetch files one after another, up to the first for which the disk has no room."""
    from crawlers.errors import NoRoom
    from scanner.factories import open_objections
    from scanner.factories.fingerprints import open_fingerprinter
    from scanner.scanning.fetching import FetchResult

    results: list[FetchResult] = []
    with (
        transfer_bar() as bar,
        open_objections(session.settings) as objections,
        open_fingerprinter(session.settings) as fingerprinter,
    ):
        for file in wanted:
            try:
                results.append(
                    _fetch_file(file, acquisition, objections, fingerprinter, bar, again=again)
                )
            except NoRoom as error:
                # The files after it would meet the same full disk.
                results.append(FetchResult(file, None, str(error)))
                break
    return results


def _fetch_file(
    wanted: WantedFile,
    acquisition: Acquisition,
    objections: Objections,
    fingerprinter: Fingerprinter,
    bar: TransferObserver,
    *,
    again: bool,
) -> FetchResult:
    from crawlers.errors import CrawlError, NoRoom
    from scanner.scanning.fetching import FetchResult, keep_fingerprints

    if (problem := objections.to(wanted.listing, wanted.file)) is not None:
        return FetchResult(wanted, None, problem)
    bar.begin(wanted.file.name)
    try:
        stored = acquisition.obtain(wanted.listing, wanted.file, bar, ask_again=again)
    except NoRoom:
        raise
    except CrawlError as error:
        return FetchResult(wanted, None, str(error))
    keep_fingerprints(fingerprinter, wanted.file.name, stored)
    return FetchResult(wanted, stored, None)


def _result_line(result: FetchResult) -> str:
    """What became of a file, with a path that can be copied."""
    listing, file = result.wanted.listing, result.wanted.file
    named = f"{listing.hub}:{listing.listing_id}  {file.name}"
    if result.stored is None:
        return f"{named}  not fetched"
    members = [f"; {member.name} in it: {member.path}" for member in result.stored.members]
    return f"{named}  {result.stored.path}{''.join(members)}"
