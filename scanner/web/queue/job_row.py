"""One result of a job, as web.db stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scanner.records import AskedWords, ResultRow


@dataclass(frozen=True, slots=True)
class JobRow:
    """A file or a captured account, and the case about it.

    It holds no name of a person, because names must disappear when the person withdraws.

    Attributes:
        sha256: None for what could not be read, and for accounts.
        samples: number of samples, or of captured images.
        authorised: what allows the use; None if nothing does.
        asked: None if the file was not sampled, or if another account requested that.
        searched_through: version of the newest gallery for which the result holds.
        searched_at: when that gallery was searched, ISO 8601; None in rows of before.
    """

    file: str
    sha256: str | None
    outcome: str
    reason: str
    case_id: str | None = None
    score: float | None = None
    threshold: float | None = None
    lift: float | None = None
    samples: int = 0
    gallery_version: int | None = None
    authorised: str | None = None
    asked: AskedWords | None = None
    searched_through: int | None = None
    searched_at: str | None = None

    @classmethod
    def of(cls, row: ResultRow, searched_at: str | None = None) -> JobRow:
        """The row of a scan without the fields that jobs do not keep."""
        own = ("searched_through", "searched_at")
        shared = {
            field.name: getattr(row, field.name) for field in fields(cls) if field.name not in own
        }
        return cls(**shared, searched_through=row.gallery_version, searched_at=searched_at)

    def to_json(self) -> dict[str, Any]:
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**record, "asked": self.asked.to_json() if self.asked else None}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> JobRow:
        """Read a stored row; rows of early versions have more fields, or fewer."""
        names = {field.name for field in fields(cls)}
        asked = AskedWords.from_json(record["asked"]) if record.get("asked") else None
        known = {name: value for name, value in record.items() if name in names}
        return cls(**{"sha256": None, "reason": "", **known, "asked": asked})
