"""Everything a scan works with, opened from settings: stores, hub transport, face reader, gallery, models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import cached_property

from crawlers.checkpoints import CheckpointStore
from crawlers.store import CrawlStore
from crawlers.transport import Transport
from face_index.calibration import Calibration, load_calibration
from face_index.face import FaceReader, PackVersion
from face_index.faiss_gallery import IndexKind
from face_index.gallery import Gallery
from face_index.packs import FacePack, find_pack
from face_index.registration import Registrar
from face_index.vault import Vault
from face_index.vault.keys import EnvironmentKeys, FileKeys, KeyringKeys, KeyStore
from reports.docket import Docket
from scanner.base_models import MINIATURE_WEIGHTS, choose_base_model
from scanner.errors import BaseModelMissing
from scanner.examination import Budget, Examiner
from scanner.ledger import Ledger
from scanner.sampling import Sampler
from scanner.settings import Settings
from scanner.verdict import Thresholds
from scanner.versions import library_versions
from scanner.watch import Watch, watch_over

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


def key_store(settings: Settings) -> KeyStore:
    """Where the master key lives: the environment if it is there, else as configured."""
    if settings.master_key:
        following = settings.next_master_key.get_secret_value() if settings.next_master_key else None
        return EnvironmentKeys(settings.master_key.get_secret_value(), following)
    if settings.key_store == "keyring":
        return KeyringKeys(settings.vault_path)
    return FileKeys(settings.key_path)


def open_vault(settings: Settings) -> Vault:
    """The vault of this home folder, unlocked."""
    return Vault(settings.vault_path, key_store(settings))


def open_calibration(settings: Settings, pack: FacePack, version: PackVersion) -> Calibration | None:
    """What this pack's scores mean: measured here by `calibrate`, else as it came with the pack."""
    for path in (settings.calibrations_path / f"{version.sha256}.json", pack.folder / "calibration.json"):
        calibration = load_calibration(path, version.sha256)
        if calibration:
            return calibration
    return None


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
        self._watch: Watch | None = None
        self._watched: tuple[int, date] | None = None
        self._templates_sha256 = ""

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
    def calibration(self) -> Calibration | None:
        return open_calibration(self.settings, self.pack, self.reader.version)

    @cached_property
    def registrar(self) -> Registrar:
        return Registrar(self.vault, self.reader, self.pack.bar, self.calibration)

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
