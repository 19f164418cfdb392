"""Who else has a file: known hashes asked for at Civitai and CivArchive, in bulk and not again before the answer is old."""

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
    """Somebody who can be asked who has a file."""

    name: str

    def find(self, sha256s: Sequence[str]) -> Iterator[tuple[str, Listing | None]]:
        """Each hash with the listing that has it, or None; raises HubError, after which the rest was not answered."""


class AtCivitai:
    """Civitai's by-hash interface, which also knows flagged and unlisted versions."""

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
                    # The hash is known there and the version may no longer be seen: it was taken away meanwhile.
                    listing = None
            yield sha256, listing


class AtCivArchive:
    """The archive of what was deleted, one question a file."""

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
        done, total: of all sources together.
        listing: who has it, None if the source knows nobody.
        events: what that is news of.
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
    """Ask each source about hashes whose last answer is old or missing; each answer is kept as it comes.

    Raises:
        HubError: a source stopped answering; what came is kept, and the next call goes on there.
    """
    inquiries = Inquiries(store)
    open_questions = [
        (source, [sha256 for sha256 in sha256s if sha256 not in fresh])
        for source in sources
        for fresh in [inquiries.fresh(source.name, sha256s, clock())]
    ]
    total, done = sum(len(asked) for _, asked in open_questions), 0
    failed: HubError | None = None
    for source, asked in open_questions:
        try:
            for start in range(0, len(asked), _PART):
                for sha256, listing in source.find(asked[start : start + _PART]):
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
