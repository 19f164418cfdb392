"""The result of the checks of a person's photos, and the error for photos that were refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from face_index.errors import FaceIndexError
from face_index.faces.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Choice:
    """The face that was taken from a photo.

    Attributes:
        number: 1 is the largest face of the photo; 0 if it was found only after turning the photo.
        count: How many faces were found.
        left, top: Of its box, percent of the photo's width and height.
        degrees: By how much the photo was turned clockwise, 0 if it is upright.
    """

    number: int
    count: int
    left: int
    top: int
    degrees: int

    def text(self, language: str = "en") -> str:
        """Return what was chosen in a sentence; empty if nothing had to be."""
        words, parts = _CHOSEN[language], []
        if self.number and self.count > 1:
            parts.append(words[0].format(**asdict(self)))
        if self.degrees:
            parts.append(words[1].format(**asdict(self)))
        return words[2].join(parts)


_CHOSEN = {
    "en": ("face {number} of {count}, at x={left}% y={top}%", "turned by {degrees} degrees", ", "),
    "zh-CN": (
        "{count} 张人脸中的第 {number} 张，位于 x={left}% y={top}%",
        "已旋转 {degrees} 度",
        "，",
    ),
}


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """The result for one photo.

    Attributes:
        name: File name, with folders if another photo has that name.
        refusal: None if the photo was accepted.
        quality: What was measured of its face; None if the photo was refused.
        choice: The face that was taken; None if the photo was refused.
    """

    name: str
    refusal: Refusal | None
    quality: Mapping[str, float] | None = None
    choice: Choice | None = None

    def to_document(self, language: str = "en") -> dict[str, Any]:
        return {
            "name": self.name,
            "why": str(self.refusal.why) if self.refusal else None,
            "reason": self.refusal.text(language) if self.refusal else None,
            "quality": self.quality,
            "face": asdict(self.choice) if self.choice else None,
        }


@dataclass(frozen=True, slots=True)
class EnrolmentReport:
    """The results for all photos of an enrolment.

    Attributes:
        needed: How many photos must pass.
        people: If the photos show several people who do not look alike, the names of the photos
            of each person.
    """

    photos: tuple[PhotoVerdict, ...]
    needed: int
    people: tuple[tuple[str, ...], ...] = ()

    @property
    def accepted(self) -> int:
        return sum(verdict.refusal is None for verdict in self.photos)

    def describe_people(self) -> str:
        """Return which photos show which person, where photos show several people."""
        groups = "; ".join(
            f"{number}: {', '.join(names)}" for number, names in enumerate(self.people, 1)
        )
        return f"these are photos of {len(self.people)} people who do not look alike ({groups})"


class EnrolmentRefused(FaceIndexError):
    """Too few photos passed, or they show several people."""

    def __init__(self, report: EnrolmentReport) -> None:
        if not report.photos:
            message = (
                f"there are no image files in what was given; {report.needed} photos are needed"
            )
        elif report.people:
            message = f"{report.describe_people()}; register each of them with photos of their own"
        else:
            missing = report.needed - report.accepted
            reasons = "; ".join(
                f"{verdict.name}: {verdict.refusal}" for verdict in report.photos if verdict.refusal
            )
            message = (
                f"{report.accepted} usable photos, {report.needed} are needed: "
                f"add {missing} more. {reasons}"
            )
        super().__init__(message.strip())
        self.report = report
