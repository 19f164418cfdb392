"""What is read of a case without its samples: for lists, and to find the case that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.cases.case import Case, Entry
from reports.cases.review import status_of


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What a list shows of a case.

    Attributes:
        flagged: number of samples that the image safety check called unsafe.
        entries: the case's log.
    """

    case_id: str
    identity_id: str
    identity_name: str
    outcome: str
    opened_at: str
    score: float
    threshold: float
    file: str
    sha256: str
    hub: str
    title: str
    creator: str | None
    downloads: int | None
    listing_url: str
    flagged: int
    entries: tuple[Entry, ...]

    @property
    def status(self) -> str:
        return status_of(self.entries)


@dataclass(frozen=True, slots=True)
class Standing:
    """The case that stands for another one: itself, or the one that took its place.

    Attributes:
        status: a CaseStatus.
        identity_name: the person that the case is about.
        is_confirmed: whether it was confirmed, also while somebody contests that.
    """

    case_id: str
    status: str
    identity_name: str
    is_confirmed: bool = False


def weights_of(case: Case) -> str | None:
    """The hash of a case's weights, which no header changes; None for captured images."""
    return None if case.sighting else case.checkpoint.weights_hash or case.checkpoint.sha256


def summary_record(case: Case) -> dict[str, Any]:
    """The fields of a case's summary, but for its log."""
    own = ("case_id", "identity_id", "identity_name", "outcome", "opened_at", "score", "threshold")
    of_file = ("file", "sha256", "hub", "title", "creator", "downloads", "listing_url")
    record = {name: getattr(case, name) for name in own}
    record |= {name: getattr(case.checkpoint, name) for name in of_file}
    return {**record, "flagged": sum(sample.flagged for sample in case.samples)}
