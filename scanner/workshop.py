"""Everything a scan works with, opened from settings: stores, hub transport, face reader, gallery, models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import date

from crawlers.store import CrawlStore
from face_index.face import Prototypes
from face_index.faiss_gallery import IndexKind
from face_index.gallery import Gallery
from reports.docket import Docket
from scanner.crew import Crew, LocalCrew
from scanner.examination import Budget
from scanner.fetching import acquisition_of
from scanner.judging import Bench
from scanner.ledger import Ledger
from scanner.network import open_hubs, open_transport
from scanner.reception import Clock, Reception, utc_now
from scanner.settings import Settings
from scanner.verdict import Thresholds
from scanner.versions import library_versions
from scanner.watch import Watch, watch_over


class Workshop(Reception):
    """Opened once per command; `close` when done."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, budget: Budget | None = None) -> None:
        super().__init__(settings, clock)
        self.budget = budget or Budget()
        self.crawl = CrawlStore(settings.crawl_path)
        self.ledger = Ledger(settings.scans_path)
        self.docket = Docket(settings.cases_path, settings.evidence_path)
        self.transport = open_transport(settings)
        self.hubs = open_hubs(settings, self.transport)
        self.acquisition = acquisition_of(settings, self.crawl, self.hubs, clock)
        self._bench: Bench | None = None
        self._crew: Crew | None = None
        self._watch: Watch | None = None
        self._watched: tuple[int, date] | None = None
        self._templates_sha256 = ""

    def close(self) -> None:
        super().close()
        self.dismiss_crew()
        for store in (self.transport, self.crawl, self.ledger, self.docket):
            store.close()

    @property
    def watch(self) -> Watch:
        """Whom to look for now: made anew when somebody entered or left, or the day changed."""
        state = (self.vault.gallery_version, self.clock().date())
        if self._watch is None or self._watched != state:
            self._watched = state
            templates = self.templates()
            digest = hashlib.sha256()
            for identity_id, prototypes in templates:
                digest.update(identity_id.encode() + prototypes.tobytes())
            self._templates_sha256 = digest.hexdigest()
            rates = (self.settings.fpir, self.settings.possible_fpir)
            kind = IndexKind(self.settings.gallery_index)
            self._watch = watch_over(self.reader.version, templates, state[0], kind, self.calibration, rates)
        return self._watch

    @property
    def gallery(self) -> Gallery:
        return self.watch.gallery

    @property
    def thresholds(self) -> Thresholds:
        return self.watch.thresholds

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the checkpoint that a verdict depends on."""
        thresholds = asdict(self.thresholds)
        parts = {
            "pack": asdict(self.reader.version),
            "gallery": self._templates_sha256,
            "index": self.settings.gallery_index,
            "thresholds": thresholds,
            "budget": asdict(self.budget),
            "base_model": self.settings.base_model,
            "image_check": self.settings.image_check,
            # Another version may draw or see differently: what it judged before does not count.
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def bench(self) -> Bench:
        """The models of this machine, with whom to look for now."""
        if self._bench is None:
            self._bench = Bench(self.settings, self.pack, self.reader, self.watch, self.budget)
        self._bench.watch = self.watch
        return self._bench

    @property
    def crew(self) -> Crew:
        """Who judges: a thread of this program, or a Ray cluster where one is configured."""
        if self._crew is None:
            if self.settings.ray is None:
                self._crew = LocalCrew(lambda: self.bench)
            else:
                from scanner.fleet import RayCrew

                self._crew = RayCrew(self.settings, lambda: self.vault.gallery_version, self.templates, self.budget)
        return self._crew

    def dismiss_crew(self) -> None:
        """Let go of who judges; whoever is needed next is called together anew."""
        if self._crew is not None:
            self._crew.close()
        self._crew = None

    def templates(self) -> list[tuple[str, Prototypes]]:
        """Of everyone who may be searched now; that they were read is in the log."""
        now = self.clock()
        found = self.vault.active_templates(self.reader.version, now.date())
        self.vault.note("templates read", "vault", self.settings.operator, now, people=len(found))
        return found
