"""Files that users may load beside a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scanner.adapters.experts import Expert


@dataclass(frozen=True, slots=True)
class Companion:
    """An adapter that users may load beside another one.

    Attributes:
        expert: of a model with two denoisers, the one that it is for, if that is known; otherwise
            it is taken for the other half of a pair.
    """

    path: Path
    sha256: str
    expert: Expert | None = None
