"""Everything a scan works with, opened from settings: stores, hub transport, face reader, gallery, models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import date

from crawlers.store import CrawlStore
from face_index.faiss_gallery import IndexKind
from face_index.gallery import Gallery
from reports.docket import Docket
from scanner.base_models import choose_base_model
from scanner.errors import BaseModelMissing
from scanner.examination import Budget, Examiner
from scanner.fetching import acquisition_of
from scanner.ledger import Ledger
from scanner.network import open_hubs, open_transport
from scanner.reception import Clock, Reception, utc_now
from scanner.sampling import Sampler
from scanner.settings import Settings
from scanner.verdict import Thresholds
from scanner.versions import library_versions
from scanner.watch import Watch, watch_over


def device_of(settings: Settings) -> str:
    """Where models run, cuda or cpu: the configured one, or what is there."""
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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
        self.acquisition = acquisition_of(settings, self.crawl, self.transport, clock)
        self._sampler: Sampler | None = None
        self._missing: dict[str, BaseModelMissing] = {}
        self._watch: Watch | None = None
        self._watched: tuple[int, date] | None = None
        self._templates_sha256 = ""

    def close(self) -> None:
        super().close()
        for store in (self.transport, self.crawl, self.ledger, self.docket):
            store.close()

    @property
    def watch(self) -> Watch:
        """Whom to look for now: made anew when somebody entered or left, or the day changed."""
        state = (self.vault.gallery_version, self.clock().date())
        if self._watch is None or self._watched != state:
            self._watched = state
            templates = self.vault.active_templates(self.reader.version, state[1])
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
    def calibration_source(self) -> str:
        if self.calibration:
            return self.calibration.source
        return "none: this face pack was never calibrated, nothing is called a match"

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
            # Another version may draw or see differently: what it judged before does not count.
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def sampler_for(self, family: str) -> Sampler:
        """The sampler of a family's base model; only one base model is held at a time.

        Raises:
            NotScannable: the family cannot be sampled.
            BaseModelMissing: its files are not here; asked once per family, not once per file.
        """
        if family in self._missing:
            raise self._missing[family]
        base = choose_base_model(family, self.settings.base_model)
        if self._sampler is None or self._sampler.base != base:
            self._sampler = None
            try:
                self._sampler = Sampler(base, self.settings.cache / "huggingface", device_of(self.settings))
            except BaseModelMissing as error:
                self._missing[family] = error
                raise
        return self._sampler

    def examiner_for(self, family: str) -> tuple[Examiner, Sampler]:
        """An examiner of checkpoints of a family; raises as `sampler_for` does."""
        sampler = self.sampler_for(family)
        return Examiner(sampler, self.reader, self.pack.bar, self.watch, self.budget), sampler
