"""Face packs: the networks that read faces, their licences and the registry of known packs."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from face_index.errors import PackNotLicensed
from face_index.faces.quality import QualityBar


class DetectorKind(StrEnum):
    """The detectors that can be run."""

    SCRFD = "scrfd"
    YUNET = "yunet"


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a pack that names its files.

    Attributes:
        kind: A `DetectorKind`, or "arcface" for a recogniser.
    """

    kind: str
    file: Path
    licence: str
    commercial: bool


@dataclass(frozen=True, slots=True)
class FacePack:
    """A face pack on disk.

    Attributes:
        name: Registry name, or the folder's name for a pack of the user's own.
        folder: Holds the .onnx files, and the pack's calibration if it has one.
        licence: In words, of detector and recogniser.
        commercial: Whether the licences of both cover commercial use.
        detection_size: Width and height to which images are scaled for detection, pixels.
        bar: The quality that a face needs with this pack.
        version: As the pack's maker states it, "" if unstated.
        detector, recogniser: The networks of a pack that names its files; None for a folder in
            InsightFace's layout, from which InsightFace picks them.
    """

    name: str
    folder: Path
    licence: str
    commercial: bool
    detection_size: tuple[int, int]
    bar: QualityBar
    version: str = ""
    detector: Network | None = None
    recogniser: Network | None = None

    def networks_sha256(self) -> str:
        """Return what decides whether two packs are the same: a hash of their networks' hashes."""
        named = [network.file for network in (self.detector, self.recogniser) if network]
        digest = hashlib.sha256()
        for path in named or sorted(self.folder.glob("*.onnx")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def must_allow(self, use: str | None) -> None:
        """Raise PackNotLicensed unless the licence covers this use.

        Args:
            use: "commercial", "research", or None if unstated.
        """
        if self.commercial or use == "research":
            return
        raise PackNotLicensed(
            f"face pack {self.name}: {self.licence}. If this is non-commercial research, say so "
            "with --use research; otherwise choose a pack whose licence covers your work, such as "
            "auraface"
        )


def known_packs() -> dict[str, dict[str, Any]]:
    """Return the entries of face_packs.toml by name."""
    return tomllib.loads(
        resources.files("face_index").joinpath("face_packs.toml").read_text("utf-8")
    )
