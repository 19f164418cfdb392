"""Everything a scan works with, opened from settings: stores, hub transport, face reader, gallery, models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property

from crawlers.checkpoints import CheckpointStore
from crawlers.store import CrawlStore
from crawlers.transport import Transport
from face_index.calibration import UNCALIBRATED_THRESHOLD, load_calibration
from face_index.face import FaceReader
from face_index.gallery import Gallery
from face_index.keys import master_key
from face_index.packs import FacePack, find_pack
from face_index.vault import Vault
from reports.docket import Docket
from scanner.base_models import MINIATURE_WEIGHTS, choose_base_model
from scanner.errors import BaseModelMissing
from scanner.examination import Budget, Examiner
from scanner.ledger import Ledger
from scanner.sampling import Sampler
from scanner.settings import Settings
from scanner.verdict import Thresholds
from scanner.versions import library_versions

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, as every store records it."""
    return datetime.now(UTC)


def device_of(settings: Settings) -> str:
    """Where models run, cuda or cpu: the configured one, or what is there."""
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def open_vault(settings: Settings) -> Vault:
    """The vault of this home folder, unlocked."""
    key = settings.master_key.get_secret_value() if settings.master_key else None
    return Vault(settings.vault_path, master_key(settings.key_path, key))


def open_pack(settings: Settings) -> FacePack:
    """The configured face pack, licensed for the declared use."""
    pack = find_pack(settings.face_pack, settings.cache, {"miniature": MINIATURE_WEIGHTS / "face_pack"})
    pack.must_allow(settings.use)
    return pack


def open_reader(settings: Settings, pack: FacePack) -> FaceReader:
    """The face reader of a pack, on the configured device."""
    from face_index.insight import InsightFaceReader

    cuda = device_of(settings) == "cuda"
    return InsightFaceReader(
        pack, ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
    )


class Workshop:
    """Opened once per command; `close` when done."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, budget: Budget | None = None) -> None:
        self.settings, self.clock, self.budget = settings, clock, budget or Budget()
        self.vault = open_vault(settings)
        self.crawl = CrawlStore(settings.crawl_path)
        self.ledger = Ledger(settings.scans_path)
        self.docket = Docket(settings.cases_path, settings.evidence_path)
        self.checkpoints = CheckpointStore(settings.checkpoints_path, int(settings.checkpoint_budget_gb * 1e9))
        self.transport = Transport(settings.hub_token.get_secret_value() if settings.hub_token else None)
        self._sampler: Sampler | None = None
        self._missing: dict[str, BaseModelMissing] = {}

    def close(self) -> None:
        self.transport.close()
        for store in (self.vault, self.crawl, self.ledger, self.docket):
            store.close()

    @cached_property
    def pack(self) -> FacePack:
        return open_pack(self.settings)

    @cached_property
    def reader(self) -> FaceReader:
        return open_reader(self.settings, self.pack)

    @cached_property
    def gallery(self) -> Gallery:
        from face_index.faiss_gallery import FaissGallery

        return FaissGallery(self.reader.version, self.vault.active_templates(self.reader.version, self.clock().date()))

    @cached_property
    def calibration_source(self) -> str:
        calibration = load_calibration(self.pack.folder, self.reader.version.sha256)
        return (
            calibration.source
            if calibration
            else "none: this face pack was never calibrated, nothing is called a match"
        )

    @cached_property
    def thresholds(self) -> Thresholds:
        calibration = load_calibration(self.pack.folder, self.reader.version.sha256)
        settings, size = self.settings, len(self.gallery)
        if calibration is None:
            low = UNCALIBRATED_THRESHOLD - 0.1
            return Thresholds(UNCALIBRATED_THRESHOLD, low, settings.fpir, settings.possible_fpir, calibrated=False)
        match, possible = (calibration.threshold(size, rate) for rate in (settings.fpir, settings.possible_fpir))
        return Thresholds(match, min(match, possible), settings.fpir, settings.possible_fpir, calibrated=True)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the checkpoint that a verdict depends on."""
        templates = hashlib.sha256()
        for identity_id, vector in self.vault.active_templates(self.reader.version, self.clock().date()):
            templates.update(identity_id.encode() + vector.tobytes())
        parts = {
            "pack": asdict(self.reader.version),
            "gallery": templates.hexdigest(),
            "thresholds": asdict(self.thresholds),
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
        return Examiner(sampler, self.reader, self.pack.bar, self.gallery, self.thresholds, self.budget), sampler
