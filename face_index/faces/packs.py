"""Face packs: the networks that read faces, their licences and the registry of known packs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from face_index.errors import PackNotLicensed
from face_index.faces.quality import QualityBar


@dataclass(frozen=True, slots=True)
class FacePack:
    """A face pack on disk.

    Attributes:
        name: Registry name, or the folder's name for a pack of the user's own.
        folder: Holds the .onnx files.
        licence: In words.
        commercial: Whether the licence covers commercial use.
        detection_size: Width and height to which images are scaled for detection, pixels.
        bar: The quality that a face needs with this pack.
        version: As the pack's maker states it, "" if unstated.
    """

    name: str
    folder: Path
    licence: str
    commercial: bool
    detection_size: tuple[int, int]
    bar: QualityBar
    version: str = ""

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
