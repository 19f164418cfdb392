"""The case: everything known about one verdict, as one typed record.

Reports and bundles hold nothing that is not in this record. The docstrings of the records are the
descriptions in the published JSON Schema (reports.cases.case_schema).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from reports.cases.checkpoint_record import CheckpointRecord, SampleRecord
from reports.cases.method_record import EnvironmentRecord, MethodRecord, SecondOpinion
from reports.cases.sighting_record import SightingRecord

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = "portrait-scanner case 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line in a case's own log, which is only ever added to.

    Attributes:
        number: over all cases, rising.
        kind: "review", "appeal", "correction", "notice", "request", "listing", "copy", "reopens"
            or "superseded".
        actor: who, as they named themselves.
        details: facts; what they are depends on the kind.
    """

    number: int
    at: str
    kind: str
    actor: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CustodyEntry:
    """A line of the vault's audit log about this case; `sha256` chains it to the line before."""

    number: int
    at: str
    actor: str
    event: str
    details: dict[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class Case:
    """One verdict on one checkpoint and one identity.

    Attributes:
        outcome: "match" or "possible"; other outcomes open no case.
        score: cosine of the mean face of the samples to the template.
        interval: 95 % confidence interval of the score over samples.
        control_score: the same mean over the controls, None if they show no face.
        lift: score minus control score.
        log10_lr: log10 of the score's likelihood ratio, None where no genuine scores were
            calibrated.
        status: "draft" until a named reviewer decides; see reports.cases.review.
        concentration: length of the mean of the faces' unit vectors, 1 if all are one face.
        runner_up: score of the next identity.
        share: of the samples with a face, those that show this one face, 0 to 1.
        authorisation: what was checked before the case was opened, in words.
        entries: reviews, appeals, corrections, notices, as they stood when the case was read.
        custody: the audit log's lines about this case.
        sighting: what was captured, for a case about an account or a page; `checkpoint` then names
            the account, and there are no samples.
        second_opinion: of another face pack; None without one.
    """

    case_id: str
    scan_id: str
    opened_at: str
    outcome: str
    reason: str
    identity_id: str
    identity_name: str
    terms: str
    score: float
    interval: tuple[float, float]
    threshold: float
    possible_threshold: float
    control_score: float | None
    lift: float | None
    checkpoint: CheckpointRecord
    method: MethodRecord
    samples: tuple[SampleRecord, ...]
    log10_lr: float | None = None
    status: str = "draft"
    concentration: float | None = None
    runner_up: float | None = None
    share: float | None = None
    authorisation: str = ""
    environment: EnvironmentRecord | None = None
    entries: tuple[Entry, ...] = ()
    custody: tuple[CustodyEntry, ...] = ()
    sighting: SightingRecord | None = None
    second_opinion: SecondOpinion | None = None
    schema: str = SCHEMA


def case_to_dict(case: Case) -> dict[str, Any]:
    """Plain JSON values, as `dataclasses.asdict` gives them, in a tenth of its time."""
    record: dict[str, Any] = _case_adapter().dump_python(case, warnings="none")
    return record


def case_from_dict(fields: dict[str, Any]) -> Case:
    """The inverse of `case_to_dict`, also after a round trip through JSON.

    Raises:
        pydantic.ValidationError: a field is missing or of another type.
    """
    return _case_adapter().validate_python(fields)


@cache
def _case_adapter() -> TypeAdapter[Case]:
    from pydantic import (
        TypeAdapter,
    )  # building it takes tens of milliseconds, importing pydantic longer

    return TypeAdapter(Case)
