"""Opening the face pack, and the session that registers people."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from face_index.faces.pack_files import find_pack
from face_index.vault import Vault
from scanner.clock import Clock, utc_now
from scanner.factories.vaults import open_vault
from scanner.sampling.base_models import MINIATURE_WEIGHTS

if TYPE_CHECKING:
    from face_index.faces.face import FaceReader
    from face_index.faces.packs import FacePack
    from face_index.gallery.calibration import Calibration
    from face_index.registration.registration import Registrar
    from scanner.identification.faces import FaceTools
    from scanner.settings import Settings


def open_pack(settings: Settings) -> FacePack:
    """The configured face pack, licensed for the declared use."""
    built_in = {"miniature": MINIATURE_WEIGHTS / "face_pack"}
    pack = find_pack(settings.face_pack, settings.cache, built_in)
    pack.must_allow(settings.use)
    return pack


def open_reader(settings: Settings, pack: FacePack) -> FaceReader:
    """The face reader of a pack, on the configured device."""
    import onnxruntime

    from face_index.faces.insight import InsightFaceReader

    available = onnxruntime.get_available_providers()
    cuda = settings.device == "cuda" or (
        settings.device == "auto" and "CUDAExecutionProvider" in available
    )
    providers = ["CPUExecutionProvider"]
    return InsightFaceReader(pack, ["CUDAExecutionProvider", *providers] if cuda else providers)


def open_calibration(settings: Settings, pack: FacePack, sha256: str) -> Calibration | None:
    """The calibration of a pack's networks.

    As `calibrate` measured it locally, else the one in the pack's folder, else the one that ships
    with the program.

    Args:
        sha256: of the networks.
    """
    from face_index.gallery.calibration_file import SHIPPED, load_calibration

    for path in (
        settings.calibrations_path / f"{sha256}.json",
        pack.folder / "calibration.json",
        SHIPPED / f"{sha256}.json",
    ):
        calibration = load_calibration(path, sha256)
        if calibration:
            return calibration
    return None


def open_face_tools(settings: Settings) -> FaceTools:
    """The configured face pack with its reader and its calibration."""
    from scanner.identification.faces import FaceTools

    pack = open_pack(settings)
    reader = open_reader(settings, pack)
    return FaceTools(pack, reader, partial(open_calibration, settings, pack, reader.version.sha256))


def open_registrar(vault: Vault, tools: FaceTools) -> Registrar:
    """The registrar of people for an open vault."""
    from face_index.registration.registration import Registrar

    return Registrar(vault, tools.reader, tools.pack.bar, tools.calibration)


class EnrolmentSession:
    """The vault with the configured face pack, for registering people; a context manager.

    The face pack is loaded when it is first needed. No image model is loaded.
    """

    def __init__(self, settings: Settings, vault: Vault, clock: Clock) -> None:
        self.settings, self.vault, self.clock = settings, vault, clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vault.close()

    @cached_property
    def faces(self) -> FaceTools:
        return open_face_tools(self.settings)

    @cached_property
    def registrar(self) -> Registrar:
        return open_registrar(self.vault, self.faces)


def open_enrolment_session(settings: Settings, clock: Clock = utc_now) -> EnrolmentSession:
    """The vault and the face pack of a home."""
    return EnrolmentSession(settings, open_vault(settings), clock)
