"""The copies of a case's file: files of other bytes whose weights came from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from reports.cases.case import Case
from reports.cases.listings import ListingRecord


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """One place where a file was listed whose weights came from those of a case.

    Attributes:
        listing: the place; its SHA-256 is that of the other file.
        relation: what the other file is to the case's, as scanner.fingerprints.relation names it.
        cosine: of the two changes of weights, as their sketches estimate it.
        share: of the other file's change that the case's file explains, 0 to 1.
        error: standard error of the cosine.
    """

    listing: ListingRecord
    relation: str
    cosine: float
    share: float
    error: float

    @property
    def is_identical(self) -> bool:
        """Whether it has the same weights, to the byte."""
        return self.relation == "same weights"


_OWN = tuple(field.name for field in fields(CopyRecord) if field.name != "listing")


def copies_of(case: Case) -> tuple[CopyRecord, ...]:
    """Every copy that a case's log names, as they were found."""
    return tuple(_copy_of(entry.details) for entry in case.entries if entry.kind == "copy")


def copy_details(copy: CopyRecord) -> dict[str, Any]:
    """The details of the log entry for a copy."""
    return {**asdict(copy.listing), **{name: getattr(copy, name) for name in _OWN}}


def _copy_of(details: dict[str, Any]) -> CopyRecord:
    own = {name: details[name] for name in _OWN}
    listing = {name: value for name, value in details.items() if name not in _OWN}
    return CopyRecord(ListingRecord(**listing), **own)
