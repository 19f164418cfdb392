"""Triage of crawled files: headers are read by Range in parallel, the likeliest likeness first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice

from crawlers.checkpoints.header import Header
from crawlers.errors import CrawlError, HubRefused
from crawlers.http.destinations import must_be_remote
from crawlers.http.transport import Transport
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries, WantedFile
from scanner.triage.header import Triage, triage_remote, unreadable


@dataclass(frozen=True, slots=True)
class HeaderStep:
    """The attempt to read one header.

    Attributes:
        triage: None if the server could not be asked; such files are tried again next time.
        problem: a sentence about the reason why the header was not read.
    """

    wanted: WantedFile
    triage: Triage | None
    done: int
    problem: str | None = None


def read_headers(
    store: CrawlStore,
    transport: Transport,
    clock: Callable[[], datetime],
    place: str | None = None,
    limit: int | None = None,
    workers: int = 4,
) -> Iterator[HeaderStep]:
    """Read the headers of listed files that are new or whose listing changed, and store each.

    Args:
        place: read only files of this hub or folder.
        limit: maximum number of headers.
    """
    inquiries, done = Inquiries(store), 0
    with ThreadPoolExecutor(workers) as pool:
        waiting = inquiries.to_triage(place, limit)
        asked: dict[Future[tuple[Triage, Header | None]], WantedFile] = {}
        while True:
            for wanted in islice(waiting, 2 * workers - len(asked)):
                asked[pool.submit(_read, transport, wanted)] = wanted
            if not asked:
                return
            finished = wait(asked, return_when=FIRST_COMPLETED).done
            # Headers that finish together are reported in the order of their requests.
            for future in [future for future in asked if future in finished]:
                wanted, done = asked.pop(future), done + 1
                yield _kept(store, inquiries, wanted, future, clock, done)


def _read(transport: Transport, wanted: WantedFile) -> tuple[Triage, Header | None]:
    must_be_remote(wanted.listing.hub, wanted.file.url)
    return triage_remote(transport, wanted.file, beginning=True)


def _kept(
    store: CrawlStore,
    inquiries: Inquiries,
    wanted: WantedFile,
    future: Future[tuple[Triage, Header | None]],
    clock: Callable[[], datetime],
    done: int,
) -> HeaderStep:
    problem: str | None = None
    try:
        triage, header = future.result()
    except HubRefused as error:
        # The hub answered: without more rights the file cannot be examined.
        problem = str(error)
        triage, header = unreadable(problem), None
    except CrawlError as error:
        # No answer, or the settings forbid the request: the file may be readable later.
        return HeaderStep(wanted, None, done, str(error))
    with store.transaction():
        inquiries.keep_triage(wanted, asdict(triage), header.metadata if header else None, clock())
    return HeaderStep(wanted, triage, done, problem)
