"""Fetching of listed files: known hashes first, then the hub; claims and contents are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from crawlers.checkpoints.checkpoint_store import CheckpointStore, StoredCheckpoint
from crawlers.checkpoints.download import Progress
from crawlers.checkpoints.header import FileSource, read_header
from crawlers.errors import (
    DestinationRefused,
    HashMismatch,
    HubRefused,
    KnownAbsent,
    NotWeights,
    RobotsDisallow,
    UnreadableCheckpoint,
)
from crawlers.hashes import weights_hash_of
from crawlers.http.destinations import must_be_remote
from crawlers.hubs.registry import HubRegistry
from crawlers.hubs.storage import is_storage
from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.inquiries import Inquiries

# A larger difference in size is not due to rounding. Civitai gives kilobytes with decimals.
ROUNDING_BYTES = 1024
DOWNLOADS = "download"


class Acquisition:
    """Fetches files of listings into the checkpoint store and records the findings in crawl.db."""

    def __init__(
        self,
        crawl: CrawlStore,
        checkpoints: CheckpointStore,
        registry: HubRegistry,
        clock: Callable[[], datetime],
    ) -> None:
        self.checkpoints = checkpoints
        self._crawl, self._registry, self._clock = crawl, registry, clock
        self._inquiries = Inquiries(crawl)

    def obtain(
        self,
        listing: Listing,
        file: RemoteFile,
        progress: Progress | None = None,
        *,
        ask_again: bool = False,
    ) -> StoredCheckpoint:
        """Return the file on disk, fetched if necessary.

        A file that is stored under its hash is not fetched, nor one that was refused recently.

        Args:
            ask_again: request also what was refused.

        Raises:
            DestinationRefused: a remote hub named a place that is not remote.
            KnownAbsent: the file was refused recently.
            HashMismatch: the file has another SHA-256 than claimed; it is kept, with an event.
            CrawlError: the file cannot be had; the message says why.
        """
        if file.url:
            must_be_remote(listing.hub, file.url)
        remote = file.url.startswith(("http://", "https://")) or is_storage(file.url)
        key = download_key(file)
        held = file.sha256 is not None and self.checkpoints.path_of(file.sha256) is not None
        if remote and not held and not ask_again:
            self._must_not_be_refused(key, file.name)
        # A hub's own files are requested with its token and without robots.txt, as in the crawl.
        places = self._crawl.places_of(listing.hub, listing.listing_id)
        self._registry.admit(listing.hub, places)
        try:
            stored = self.checkpoints.obtain(self._registry.transport, file, progress)
        except HashMismatch as error:
            self._note_other_bytes(listing, file, error.actual, None)
            self._remember_refusal(key)
            raise
        except (HubRefused, DestinationRefused, RobotsDisallow, NotWeights) as error:
            if not isinstance(error, HubRefused) or error.status in (401, 403, 404, 410, 451):
                self._remember_refusal(key)
            raise
        if remote and not held:
            self._note(listing, file, stored)
        return stored

    def _remember_refusal(self, key: str) -> None:
        with self._crawl.transaction():
            self._inquiries.remember(DOWNLOADS, {key: False}, self._clock())

    def _must_not_be_refused(self, key: str, name: str) -> None:
        answer = self._inquiries.fresh(DOWNLOADS, [key], self._clock()).get(key)
        if answer is not None and not answer[0]:
            raise KnownAbsent(name, *answer[1:])

    def _note(self, listing: Listing, file: RemoteFile, stored: StoredCheckpoint) -> None:
        size = stored.path.stat().st_size
        if (
            file.sha256 is None
            and file.size_bytes is not None
            and abs(size - file.size_bytes) > ROUNDING_BYTES
        ):
            self._note_other_bytes(listing, file, stored.sha256, size)
        self._inquiries.know_file(
            listing, file, stored.sha256, _weights_hash(stored.path), self._clock()
        )

    def _note_other_bytes(
        self, listing: Listing, file: RemoteFile, sha256: str, size: int | None
    ) -> None:
        details = {
            "file": file.name,
            "url": file.url,
            "claimed_sha256": file.sha256,
            "sha256": sha256,
            "claimed_bytes": file.size_bytes,
            "bytes": size,
        }
        with self._crawl.transaction():
            self._crawl.note(
                EventKind.OTHER_BYTES, listing.hub, listing.listing_id, self._clock(), details
            )


def download_key(file: RemoteFile) -> str:
    """The key under which a refusal of this file is stored."""
    return file.sha256 or hashlib.sha256(file.url.encode()).hexdigest()


def _weights_hash(path: Path) -> str | None:
    try:
        return weights_hash_of(path, read_header(FileSource(path)).header_bytes)
    except UnreadableCheckpoint:
        return None
