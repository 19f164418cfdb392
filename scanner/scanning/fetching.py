"""The files that `fetch` downloads, and reasons not to download them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from crawlers.checkpoints.checkpoint_store import CheckpointStore, StoredCheckpoint
from crawlers.checkpoints.header import FileSource, read_header
from crawlers.errors import HubError, UnreadableCheckpoint
from crawlers.hashes import weights_hash_of
from crawlers.hubs.registry import HubRegistry
from crawlers.hubs.storage import is_storage
from crawlers.listing import Listing, Presence, RemoteFile, listings_of
from crawlers.sweeps.acquisition import DOWNLOADS, download_key
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries, WantedFile
from crawlers.sweeps.query import FoundListing, search
from scanner.casework.derived_listings import Place
from scanner.clock import Clock
from scanner.errors import RefusedToSample
from scanner.fingerprints.fingerprinter import Fingerprinter
from scanner.identification.outcome import NEEDS_A_LOOK
from scanner.scanning.held_files import HeldFiles
from scanner.triage.minors import RegisteredMinors, refuse_minors, words_about

_PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result for a wanted file: where it is stored, or why it is not."""

    wanted: WantedFile
    stored: StoredCheckpoint | None
    problem: str | None

    def as_document(self) -> dict[str, Any]:
        """Return the result in the JSON contract of `fetch`."""
        listing, file, stored = self.wanted.listing, self.wanted.file, self.stored
        members = stored.members if stored else ()
        return {
            "hub": listing.hub,
            "listing_id": listing.listing_id,
            "file": file.name,
            "sha256": stored.sha256 if stored else file.sha256,
            "path": str(stored.path) if stored else None,
            "members": [{"name": member.name, "sha256": member.sha256} for member in members],
            "problem": self.problem,
        }


def keep_fingerprints(fingerprinter: Fingerprinter, name: str, stored: StoredCheckpoint) -> None:
    """Make the fingerprints of a fetched file, or of the members of a fetched archive."""
    files = [(member.name, member.sha256, member.path) for member in stored.members] or [
        (name, stored.sha256, stored.path)
    ]
    for own_name, sha256, path in files:
        fingerprinter.keep(path, sha256, _weights_hash(path), own_name)


def _weights_hash(path: Path) -> str | None:
    try:
        return weights_hash_of(path, read_header(FileSource(path)).header_bytes)
    except UnreadableCheckpoint:
        return None


def wanted_files(
    service: tuple[CrawlStore, HubRegistry, CheckpointStore],
    what: Sequence[str],
    limit: int,
    min_likeness: float,
    now: datetime,
    *,
    again: bool = False,
    first: Sequence[Place] = (),
) -> list[WantedFile]:
    """Return the named files, or the likeliest ones that are neither stored nor refused lately.

    Args:
        what: URLs, SHA-256 values and listings (`hub:ID`); empty for the likeliest files.
        again: include files that were refused lately.
        first: listings that come before all others, whatever their score.

    Raises:
        HubError: a named file or listing is not known.
    """
    store, hubs, checkpoints = service
    if what:
        return [wanted for name in what for wanted in _named(store, hubs, name)]
    inquiries = Inquiries(store)
    likely: list[WantedFile] = []
    for found in _in_order(store, min_likeness, first):
        for file in found.listing.files:
            if not file.url.startswith("http") and not is_storage(file.url):
                continue
            sha256 = inquiries.bytes_of(found.listing, file)
            is_stored = sha256 is not None and checkpoints.path_of(sha256) is not None
            key = download_key(file)
            refused = (
                not again and inquiries.fresh(DOWNLOADS, [key], now).get(key, (True,))[0] is False
            )
            if not is_stored and not refused:
                likely.append(WantedFile(found.listing, file, found.likeness or 0))
        if len(likely) >= limit:
            break
    return likely[:limit]


@dataclass(frozen=True, slots=True)
class Objections:
    """Reasons why a listed file is not downloaded before a reviewer has seen its listing.

    Attributes:
        minors, held: None if there is no vault yet, so that nobody can be registered.
    """

    minors: RegisteredMinors | None
    held: HeldFiles | None
    operator: str
    clock: Clock

    def to(self, listing: Listing, file: RemoteFile) -> str | None:
        """Return the objection in a sentence; None if the file may be downloaded.

        A file that names a registered minor is put into the queue of held files.
        """
        try:
            refuse_minors(
                [listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag
            )
        except RefusedToSample as error:
            return str(error)
        if self.minors is None or self.held is None:
            return None
        naming = self.minors.named_by(words_about(listing, file))
        if naming is None:
            return None
        held = self.held.hold(naming, listing, file, None, self.operator, self.clock())
        return None if held.lifted else NEEDS_A_LOOK


def _in_order(
    store: CrawlStore, min_likeness: float, first: Sequence[Place]
) -> Iterator[FoundListing]:
    """Yield the listings that come first, then those at or above a score."""
    seen = set(first)
    for place in first:
        for listing in store.newest(*place):
            yield FoundListing(listing, Presence.LISTED, None, "", "")
    for found in _likeliest(store, min_likeness):
        if (found.listing.hub, found.listing.listing_id) not in seen:
            yield found


def _likeliest(store: CrawlStore, min_likeness: float) -> Iterator[FoundListing]:
    """Yield listings at or above a score, the highest first."""
    for offset in count(0, _PAGE_SIZE):
        page = search(store, state="listed", order="likeness", limit=_PAGE_SIZE, offset=offset)
        for found in page:
            if (found.likeness or 0) < min_likeness:
                return
            yield found
        if len(page) < _PAGE_SIZE:
            return


def _named(store: CrawlStore, hubs: HubRegistry, what: str) -> list[WantedFile]:
    if "://" in what:
        return [
            WantedFile(listing, file, 0.0)
            for listing in listings_of(hubs.open(what))
            for file in listing.files
        ]
    if len(what) == 64:
        holders = Inquiries(store).holders(what.lower())
        files = [
            WantedFile(listing, file, 0.0)
            for listing in holders
            for file in listing.files
            if file.sha256 == what.lower() and file.url
        ]
        if not files:
            raise HubError(
                f"no crawled listing has a file {what}; crawl the hub, or ask for it with "
                "`portrait-scanner lookup`"
            )
        return files[:1]
    hub, _, listing_id = what.partition(":")
    for listing in store.newest(hub, listing_id):
        named = [WantedFile(listing, file, 0.0) for file in listing.files if file.url]
        if not named:
            raise HubError(f"{what} lists no file that can be fetched")
        return named
    raise HubError(
        f"no listing {what!r} was crawled here; `portrait-scanner crawl HUB` lists a hub, "
        "`portrait-scanner listings` shows what is known, as hub:ID"
    )
