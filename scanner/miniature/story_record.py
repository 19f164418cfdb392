"""The results of the demo, which are kept as JSON in its home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The erasure of a person who withdrew.

    Attributes:
        traces_before, traces_after: number of files in the home that contain bytes of their sealed
            photos, templates or key; None if the demo was interrupted before counting.
    """

    name: str
    photos: int
    templates: int
    seconds: float
    receipt: str
    traces_before: int | None
    traces_after: int | None


@dataclass(frozen=True, slots=True)
class Story:
    """The results of the demo, as they are printed.

    Attributes:
        registered: names of the registered people.
        rows: results of the scan, as in `scan --json`.
        findings: person, file, kind, hub, outcome, score, threshold and lift of each case that the
            scan opened.
        reuploads: file and hub of each, and the first hub of the same weights.
        judged: accounts and captures, as in `captures judge --json`.
        names: of the people who were found in captures, by id.
        offers: number of listings that sell likenesses, made from captures.
        bundle: path of the evidence bundle, number of its items, and number of intact ones.
        reproduced: number of samples made again, and number of those that agree.
        notices: files of the drafts.
        degraded: sentences about missing libraries, and what was done instead.
    """

    scan_id: str
    registered: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    findings: tuple[dict[str, Any], ...]
    reuploads: tuple[dict[str, Any], ...]
    judged: tuple[dict[str, Any], ...]
    names: dict[str, str]
    offers: int
    case_id: str
    case_file: str
    bundle: tuple[str, int, int]
    reproduced: tuple[int, int]
    notices: tuple[str, ...]
    withdrawn: Withdrawn
    degraded: tuple[str, ...] = ()


_TUPLES = (
    "registered",
    "rows",
    "findings",
    "reuploads",
    "judged",
    "bundle",
    "reproduced",
    "notices",
    "degraded",
)


def story_of(document: dict[str, Any]) -> Story:
    """The results from the JSON document that the demo writes."""
    fields: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in document.items()
    }
    fields["withdrawn"] = Withdrawn(**document["withdrawn"])
    return Story(**fields)
