"""The files that are drawn together with a file, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from scanner.adapters.companion import Companion
from scanner.adapters.experts import Expert
from scanner.adapters.formats.registry import ADAPTER_KINDS
from scanner.fingerprints.complements import Complements
from scanner.triage.header import Triage


class CompanionFiles:
    """Finds the files that users may load beside a file.

    Args:
        path_of: where a checkpoint lies, by SHA-256; None if it is not stored.
        may_be_drawn: whether a file, named by its SHA-256, is neither held nor refused.
    """

    def __init__(
        self,
        complements: Complements,
        path_of: Callable[[str], Path | None],
        may_be_drawn: Callable[[str], bool],
    ) -> None:
        self._complements, self._path_of = complements, path_of
        self._may_be_drawn = may_be_drawn
        self._local: dict[str, Path] = {}
        self._experts: dict[str, Expert | None] = {}

    def note(self, sha256: str, path: Path, expert: Expert | None) -> None:
        """Remember where a file lies that is not in the checkpoint store, and its denoiser."""
        self._local[sha256], self._experts[sha256] = path, expert

    def of(self, triage: Triage, beside: Collection[str]) -> tuple[Companion, ...]:
        """Return the companions of a triaged file that are here.

        Args:
            beside: SHA-256 of the other files of its listing or archive.
        """
        if triage.kind not in ADAPTER_KINDS or triage.sha256 is None:
            return ()
        found = self._complements.of(triage.sha256, beside)
        return tuple(
            Companion(path, sha256, self._experts.get(sha256))
            for sha256 in found
            if self._may_be_drawn(sha256) and (path := self._path(sha256)) is not None
        )

    def _path(self, sha256: str) -> Path | None:
        local = self._local.get(sha256)
        if local is not None and local.is_file():
            return local
        return self._path_of(sha256)
