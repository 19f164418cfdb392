"""Lookups of file hashes at Civitai and CivArchive: which listings have the same file.

Hashes are sent in bulk, and not again before the last answer has expired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crawlers.errors import HubError, HubRefused
from crawlers.hubs.civarchive import CivArchive
from crawlers.hubs.civitai import CivitaiHub
from crawlers.listing import Listing
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import Event
from crawlers.sweeps.inquiries import Inquiries

_PART = 1_000


class Source(Protocol):
    """A service that knows files by their hash."""

    name: str

    def find(self, sha256s: Sequence[str]) -> Iterator[tuple[str, Listing | None]]:
        """Yield each hash with the listing that has it, or None.

        Raises HubError, after which the remaining hashes are unanswered.
        """


class AtCivitai:
    """Civitai's interface by hash, which also knows flagged and unlisted versions."""

    name = "civitai"

    def __init__(self, hub: CivitaiHub) -> None:
        self._hub = hub

    def find(self, sha256s: Sequence[str]) -> Iterator[tuple[str, Listing | None]]:
        known = self._hub.versions_of(sha256s)
        for sha256 in sha256s:
            listing = None
            if sha256 in known:
                model_id, version_id = known[sha256]
                try:
                    listing = self._hub.version(version_id, model_id)
                except HubRefused:
                    # The hub knows the hash, but the version is no longer visible.
                    listing = None
            yield sha256, listing


class AtCivArchive:
    """The archive of deleted versions, with one request for each file."""

    name = "civarchive"

    def __init__(self, archive: CivArchive) -> None:
        self._archive = archive

    def find(self, sha256s: Sequence[str]) -> Iterator[tuple[str, Listing | None]]:
        for sha256 in sha256s:
            yield sha256, self._archive.record_of(sha256)


@dataclass(frozen=True, slots=True)
class LookupStep:
    """One answered hash.

    Attributes:
        done, total: the numbers of hashes of all sources together.
        listing: the listing that has the file, None if the source knows none.
        events: the events that follow from the listing.
    """

    source: str
    sha256: str
    done: int
    total: int
    listing: Listing | None = None
    events: tuple[Event, ...] = ()


def look_up(
    store: CrawlStore,
    sources: Sequence[Source],
    sha256s: Sequence[str],
    clock: Callable[[], datetime],
) -> Iterator[LookupStep]:
    """Look up hashes whose last answer is old or missing; each answer is stored at once.

    Raises:
        HubError: a source stopped answering. The next call resumes there.
    """
    inquiries = Inquiries(store)
    queries = [
        (source, [sha256 for sha256 in sha256s if sha256 not in fresh])
        for source in sources
        for fresh in [inquiries.fresh(source.name, sha256s, clock())]
    ]
    total, done = sum(len(hashes) for _, hashes in queries), 0
    failed: HubError | None = None
    for source, hashes in queries:
        try:
            for start in range(0, len(hashes), _PART):
                for sha256, listing in source.find(hashes[start : start + _PART]):
                    done += 1
                    with store.transaction():
                        events = (
                            store.see([listing], f"lookup:{source.name}", 0, clock())
                            if listing
                            else []
                        )
                        inquiries.remember(source.name, {sha256: listing is not None}, clock())
                    yield LookupStep(source.name, sha256, done, total, listing, tuple(events))
        except HubError as error:
            failed = failed or error
    if failed is not None:
        raise failed
