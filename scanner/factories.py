"""What enrolment, an operator's decisions and calibration work with: vault and face pack. Loads no image model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from face_index.faces.face import FaceReader, PackVersion
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.vault import Vault
from face_index.vault.keys import EnvironmentKeys, FileKeys, KeyringKeys, KeyStore
from scanner.logins import system_login
from scanner.sampling.base_models import MINIATURE_WEIGHTS
from scanner.settings import Settings

if TYPE_CHECKING:
    from face_index.gallery.calibration import Calibration
    from face_index.registration.registration import Registrar

Clock = Callable[[], datetime]

log = logging.getLogger(__name__)

REPAIR = (
    "Put the newest backup back with `portrait-scanner vault restore FILE`, or let this one stand with "
    "`portrait-scanner vault repair --reason TEXT`, which erases again whoever was erased"
)


def utc_now() -> datetime:
    """The time, as every store records it."""
    return datetime.now(UTC)


def key_store(settings: Settings) -> KeyStore:
    """Where the master key lives: the environment if it is there, else as configured."""
    if settings.master_key:
        following = (
            settings.next_master_key.get_secret_value() if settings.next_master_key else None
        )
        return EnvironmentKeys(settings.master_key.get_secret_value(), following)
    if settings.key_store == "keyring":
        return KeyringKeys(settings.vault_path)
    return FileKeys(settings.key_path)


def witnesses_of(settings: Settings) -> tuple[Path, Path]:
    """The two folders whose records of erasures are compared with the vault whenever it is opened."""
    return settings.vault_path.parent, settings.receipts_path


def open_vault(settings: Settings, *, any_thread: bool = False) -> Vault:
    """The vault of this home folder, unlocked; `any_thread` where threads take turns with it, each saying whose login it serves."""
    vault = Vault(
        settings.vault_path,
        key_store(settings),
        witnesses=witnesses_of(settings),
        any_thread=any_thread,
    )
    if not any_thread:
        vault.audit.login = system_login()
    if (
        vault.is_new
    ):  # a mistyped --home must not look like a healthy one in which nobody is registered
        log.warning("a new vault, with nobody in it, was made in %s", settings.vault_path.parent)
    for problem in vault.rollback.findings.problems:
        log.error("%s; nobody who was erased is searched. %s", problem, REPAIR)
    return vault


def open_calibration(
    settings: Settings, pack: FacePack, version: PackVersion
) -> Calibration | None:
    """What this pack's scores mean: measured here by `calibrate`, else as it came with the pack."""
    from face_index.gallery.calibration import load_calibration

    for path in (
        settings.calibrations_path / f"{version.sha256}.json",
        pack.folder / "calibration.json",
    ):
        calibration = load_calibration(path, version.sha256)
        if calibration:
            return calibration
    return None


def open_pack(settings: Settings) -> FacePack:
    """The configured face pack, licensed for the declared use."""
    pack = find_pack(
        settings.face_pack, settings.cache, {"miniature": MINIATURE_WEIGHTS / "face_pack"}
    )
    pack.must_allow(settings.use)
    return pack


def open_reader(settings: Settings, pack: FacePack) -> FaceReader:
    """The face reader of a pack, on the configured device."""
    import onnxruntime

    from face_index.faces.insight import InsightFaceReader

    there = onnxruntime.get_available_providers()
    cuda = settings.device == "cuda" or (
        settings.device == "auto" and "CUDAExecutionProvider" in there
    )
    return InsightFaceReader(
        pack,
        ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"],
    )


class Reception:
    """Opened once per command; `close` when done."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        self.vault = open_vault(settings)

    def close(self) -> None:
        self.vault.close()

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
        from face_index.registration.registration import Registrar

        return Registrar(self.vault, self.reader, self.pack.bar, self.calibration)
