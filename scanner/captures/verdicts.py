"""The interface of the store that keeps verdicts on captures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from scanner.records import CaptureVerdict


class CaptureVerdicts(Protocol):
    """Verdicts on subjects and the decisions of second persons.

    A subject's images at one time are a version of it.
    """

    def verdict(self, subject: str, version: str, search_key: str) -> CaptureVerdict | None:
        """The verdict on these images under these settings; None if there is none."""

    def keep_verdict(
        self, version: str, search_key: str, verdict: CaptureVerdict, now: datetime
    ) -> None:
        """Store a verdict."""

    def was_searched(self, subject: str, version: str) -> bool:
        """Whether these images were searched before, in any gallery."""

    def is_held(self, subject: str, version: str) -> bool:
        """Whether the newest search of these images waits for a second person."""

    def outcomes(self, subjects: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Newest outcome and reason of subjects that were searched."""

    def release_of(self, subject: str, version: str) -> dict[str, Any] | None:
        """The newest decision of a second person about these images."""

    def keep_release(self, row: Mapping[str, str]) -> None:
        """Add a decision; earlier ones stay."""
