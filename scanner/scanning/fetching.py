"""Which files `fetch` brings, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from crawlers.checkpoints.checkpoint_store import CheckpointStore, StoredCheckpoint
from crawlers.errors import HubError
from crawlers.hubs.registry import HubRegistry
from crawlers.hubs.storage import is_storage
from crawlers.listing import Listing, RemoteFile, listings_of
from crawlers.sweeps.acquisition import DOWNLOADS, Acquisition, download_key
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries, Wanted
from crawlers.sweeps.query import Found, search
from reports.cases.case_store import CaseStore
from scanner.errors import RefusedToSample
from scanner.factories import open_vault
from scanner.identification.verdict import NEEDS_A_LOOK
from scanner.sampling.prompt_safety import refuse_minors
from scanner.scanning.held_files import HeldFiles
from scanner.scanning.scan_store import ScanStore
from scanner.settings import Settings
from scanner.triage.minors import RegisteredMinors, words_about

_PART = 1_000


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of a wanted file: where it is, or why not."""

    wanted: Wanted
    stored: StoredCheckpoint | None
    problem: str | None

    def as_document(self) -> dict[str, Any]:
        """The JSON contract of `fetch`."""
        listing, file, stored = self.wanted.listing, self.wanted.file, self.stored
        return {
            "hub": listing.hub, "listing_id": listing.listing_id, "file": file.name,
            "sha256": stored.sha256 if stored else file.sha256, "path": str(stored.path) if stored else None,
            "members": [{"name": one.name, "sha256": one.sha256} for one in stored.members] if stored else [],
            "problem": self.problem,
        }  # fmt: skip


def open_checkpoints(settings: Settings) -> CheckpointStore:
    """The checkpoint store, which keeps what cases cite whatever the budget."""

    def cited() -> frozenset[str]:
        case_store = CaseStore(settings.cases_path, settings.evidence_path)
        try:
            return case_store.cited_checkpoints()
        finally:
            case_store.close()

    return CheckpointStore(
        settings.checkpoints_path, int(settings.checkpoint_budget_gb * 1e9), cited
    )


def acquisition_of(
    settings: Settings, store: CrawlStore, door: HubRegistry, clock: Callable[[], datetime]
) -> Acquisition:
    """What fetches listed files, from settings."""
    return Acquisition(store, open_checkpoints(settings), door, clock)


def wanted_files(
    service: tuple[CrawlStore, HubRegistry, CheckpointStore],
    what: Sequence[str],
    limit: int,
    min_likeness: float,
    now: datetime,
    *,
    again: bool = False,
) -> list[Wanted]:
    """The files that were named, or the likeliest that are not here and were not refused lately.

    Args:
        again: also those that were refused.

    Raises:
        HubError: something that was named is not known.
    """
    store, door, checkpoints = service
    if what:
        return [wanted for one in what for wanted in _named(store, door, one)]
    inquiries = Inquiries(store)
    likely: list[Wanted] = []
    for found in _likeliest(store, min_likeness):
        for file in found.listing.files:
            if not file.url.startswith("http") and not is_storage(file.url):
                continue
            sha256 = inquiries.bytes_of(found.listing, file)
            here = sha256 is not None and checkpoints.path_of(sha256) is not None
            key = download_key(file)
            refused = (
                not again and inquiries.fresh(DOWNLOADS, [key], now).get(key, (True,))[0] is False
            )
            if not here and not refused:
                likely.append(Wanted(found.listing, file, found.likeness or 0))
        if len(likely) >= limit:
            break
    return likely[:limit]


class Objections:
    """Why a listed file is not fetched before somebody has looked at it; files that name a registered minor are held."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings, self._clock = settings, clock
        self._vault = open_vault(settings) if settings.vault_path.exists() else None
        self._scan_store = ScanStore(settings.scans_path) if self._vault else None
        self._minors = RegisteredMinors(self._vault, clock) if self._vault else None

    def close(self) -> None:
        for one in (self._vault, self._scan_store):
            if one is not None:
                one.close()

    def to(self, listing: Listing, file: RemoteFile) -> str | None:
        """A sentence, or None where it may be fetched."""
        try:
            refuse_minors(
                [listing.title, file.name, *listing.tags, *listing.triggers], listing.minor_flag
            )
        except RefusedToSample as error:
            return str(error)
        if self._vault is None or self._scan_store is None or self._minors is None:
            return None
        naming = self._minors.named_by(words_about(listing, file))
        if naming is None:
            return None
        held = HeldFiles(self._scan_store, self._vault)
        one = held.hold(naming, listing, file, None, self._settings.operator, self._clock())
        return None if one.lifted else NEEDS_A_LOOK


def _likeliest(store: CrawlStore, min_likeness: float) -> Iterator[Found]:
    """Listings at or above a score, the highest first."""
    for offset in count(0, _PART):
        part = search(store, state="listed", order="likeness", limit=_PART, offset=offset)
        for found in part:
            if (found.likeness or 0) < min_likeness:
                return
            yield found
        if len(part) < _PART:
            return


def _named(store: CrawlStore, door: HubRegistry, what: str) -> list[Wanted]:
    if "://" in what:
        return [
            Wanted(listing, file, 0.0)
            for listing in listings_of(door.open(what))
            for file in listing.files
        ]
    if len(what) == 64:
        holders = Inquiries(store).holders(what.lower())
        files = [
            Wanted(one, file, 0.0)
            for one in holders
            for file in one.files
            if file.sha256 == what.lower() and file.url
        ]
        if not files:
            raise HubError(
                f"no crawled listing has a file {what}; crawl the hub, or ask for it with `portrait-scanner lookup`"
            )
        return files[:1]
    hub, _, listing_id = what.partition(":")
    for listing in store.newest(hub, listing_id):
        named = [Wanted(listing, file, 0.0) for file in listing.files if file.url]
        if not named:
            raise HubError(f"{what} lists no file that can be fetched")
        return named
    raise HubError(
        f"no listing {what!r} was crawled here; `portrait-scanner crawl HUB` lists a hub, `portrait-scanner listings` shows what is known, as hub:ID"
    )
