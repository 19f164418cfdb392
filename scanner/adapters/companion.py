"""Files that users may load beside a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Companion:
    """An adapter that users may load beside another one."""

    path: Path
    sha256: str
