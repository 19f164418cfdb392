"""Everything a scan works with, opened from settings: stores, hub transport, face reader, gallery, models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import date
from functools import cached_property

from crawlers.sweeps.crawl_store import CrawlStore
from face_index.gallery.faiss_gallery import IndexKind
from scanner.casework.case_records import CaseRecords, open_case_store
from scanner.factories import Clock, Reception, utc_now
from scanner.identification.snapshot import Watch, watch_over
from scanner.network import open_hubs, open_transport
from scanner.scanning.examination import Budget
from scanner.scanning.fetching import acquisition_of
from scanner.scanning.held_files import HeldFiles
from scanner.scanning.judging import Bench
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.workers import LocalWorkerPool, WorkerPool
from scanner.settings import Settings
from scanner.triage.minors import RegisteredMinors
from scanner.versions import library_versions


class ScanSession(Reception):
    """Opened once per command; `close` when done."""

    def __init__(
        self, settings: Settings, clock: Clock = utc_now, budget: Budget | None = None
    ) -> None:
        super().__init__(settings, clock)
        self.budget = budget or Budget()
        self.crawl = CrawlStore(settings.crawl_path)
        self.scan_store = ScanStore(
            settings.scans_path, seal=self.vault.keys.keyed_digest("verdicts")
        )
        self.case_store = open_case_store(settings, self.vault, clock)
        self.records = CaseRecords(self.vault, self.case_store, clock)
        self.transport = open_transport(settings)
        self.hubs = open_hubs(settings, self.transport)
        self.acquisition = acquisition_of(settings, self.crawl, self.hubs, clock)
        self._worker_pool: WorkerPool | None = None
        self._watch: Watch | None = None
        self._watched: tuple[int, date] | None = None
        self._fingerprints: dict[str, str] = {}  # by snapshot
        self.minors = RegisteredMinors(self.vault, clock)
        self.held = HeldFiles(self.scan_store, self.vault)

    def close(self) -> None:
        super().close()
        self.close_worker_pool()
        for store in (self.transport, self.crawl, self.scan_store, self.case_store):
            store.close()

    @property
    def watch(self) -> Watch:
        """Whom to look for now: made anew when somebody entered or left, or the day changed.

        Everything about one verdict takes one value of it: the next call may give another.
        """
        day = self.clock().date()
        if self._watch is None or self._watched != (self.vault.gallery_version, day):
            version, templates = self.vault.templates.gallery_on(self.reader.version, day)
            self.vault.audit.record(
                "templates read",
                "vault",
                self.settings.operator,
                self.clock(),
                people=len(templates),
            )
            rates = (self.settings.fpir, self.settings.possible_fpir)
            kind = IndexKind(self.settings.gallery_index)
            self._watch = watch_over(
                self.reader.version, templates, version, kind, self.calibration, rates
            )
            self._watched = (version, day)
        return self._watch

    def fingerprint_of(self, watch: Watch) -> str:
        """SHA-256 over everything but the checkpoint that a verdict against that gallery depends on."""
        if watch.snapshot not in self._fingerprints:
            self._fingerprints[watch.snapshot] = self._fingerprint(watch)
        return self._fingerprints[watch.snapshot]

    def fingerprint_at(self, snapshot: str) -> str:
        """The same for a gallery that was searched before, by its `Watch.snapshot`."""
        return self._fingerprints[snapshot]

    def _fingerprint(self, watch: Watch) -> str:
        parts = {
            "pack": asdict(self.reader.version),
            "gallery": watch.snapshot.partition(":")[2],
            "index": self.settings.gallery_index,
            "thresholds": asdict(watch.thresholds),
            "budget": asdict(self.budget),
            "base_model": self.settings.base_model,
            "image_check": self.settings.image_check,
            # Another version may draw or see differently: what it judged before does not count.
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _bench(self) -> Bench:
        return Bench(self.settings, self.pack, self.reader, self.watch, self.budget)

    @property
    def worker_pool(self) -> WorkerPool:
        """Who judges: a thread of this program, or a Ray cluster where one is configured."""
        if self._worker_pool is None:
            if self.settings.ray is None:
                self._worker_pool = LocalWorkerPool(self._bench.looking_for)
            else:
                from scanner.scanning.ray_workers import RayWorkerPool

                self._worker_pool = RayWorkerPool(self.settings, self.watch, self.budget)
        return self._worker_pool

    def close_worker_pool(self) -> None:
        """Let go of who judges; whoever is needed next is called together anew."""
        if self._worker_pool is not None:
            self._worker_pool.close()
        self._worker_pool = None
