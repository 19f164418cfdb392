"""The rows of captures, their pages and their images in crawl.db, as records."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from crawlers.captures.images.content_credentials import Credentials
from crawlers.captures.images.generators.ingredients import Ingredient
from crawlers.captures.images.pictures import Picture
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import FIELDS, PageFacts, facts_from_dict, well_formed


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """One capture.

    Attributes:
        capture_id: the SHA-256 of its bytes.
        tool: the program that made it, according to the capture.
        made_with: the program that made it, according to the person who took it in.
        checks: the results of checking its digests and signatures.
        problem: why it could not be read; it is kept all the same.
        pages: the number of its pages.
    """

    capture_id: str
    name: str
    format: str
    size_bytes: int
    taken_in_at: str
    taken_in_by: str
    tool: str | None
    made_with: str | None
    checks: tuple[str, ...]
    notes: tuple[str, ...]
    problem: str | None
    pages: int


@dataclass(frozen=True, slots=True)
class PageRow:
    """One page of a capture, with its present facts and the facts as they were read."""

    page_id: str
    capture_id: str
    number: int
    url: str | None
    saved_at: str | None
    facts: PageFacts
    as_read: PageFacts
    edited_by: str | None
    edited_at: str | None
    notes: tuple[str, ...]

    @property
    def corrections(self) -> tuple[tuple[str, Any], ...]:
        """The fields that a person corrected, each with the value that was read."""
        return tuple(
            (name, getattr(self.as_read, name))
            for name in FIELDS
            if getattr(self.as_read, name) != getattr(self.facts, name)
        )

    @property
    def account(self) -> tuple[str, str] | None:
        """The platform and account of the page; None if it names no account."""
        name = self.facts.account_id or self.facts.account_name
        return (self.facts.platform, name) if name else None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a page.

    Attributes:
        belongs: whether it is one of the offer's or post's own images, as far as the page says.
    """

    page_id: str
    place: int
    sha256: str
    url: str | None
    alt: str
    picture: Picture
    provenance: Provenance
    belongs: bool


def capture_from(row: dict[str, Any]) -> CaptureRow:
    return CaptureRow(
        **{
            **row,
            "checks": tuple(json.loads(row["checks"])),
            "notes": tuple(json.loads(row["notes"])),
        }
    )


def page_from(row: dict[str, Any]) -> PageRow:
    as_read = facts_from_dict(json.loads(row["facts"]))
    facts = facts_from_dict(json.loads(row["edited"])) if row["edited"] else as_read
    return PageRow(
        row["page_id"],
        row["capture_id"],
        row["number"],
        row["url"],
        row["saved_at"],
        facts,
        as_read,
        row["edited_by"],
        row["edited_at"],
        tuple(json.loads(row["notes"])),
    )


def row_of_image(image: ImageRow) -> dict[str, Any]:
    return {
        "page_id": image.page_id,
        "place": image.place,
        "sha256": image.sha256,
        "url": as_text(image.url),
        "alt": as_text(image.alt),
        "belongs": int(image.belongs),
        "picture": as_json(asdict(image.picture)),
        "provenance": as_json(asdict(image.provenance)),
    }


def image_from(row: dict[str, Any]) -> ImageRow:
    return ImageRow(
        row["page_id"],
        row["place"],
        row["sha256"],
        row["url"],
        row["alt"],
        Picture(**json.loads(row["picture"])),
        _provenance(json.loads(row["provenance"])),
        bool(row["belongs"]),
    )


def _provenance(record: dict[str, Any]) -> Provenance:
    credentials = record.pop("credentials")
    if credentials is not None:
        lists = {name: tuple(credentials[name]) for name in ("source_types", "problems")}
        credentials = Credentials(**{**credentials, **lists})
    ingredients = tuple(Ingredient(**entry) for entry in record["ingredients"])
    problems = tuple(record.get("problems", ()))
    fields = {**record, "ingredients": ingredients, "problems": problems}
    return Provenance(**fields, credentials=credentials)


def as_json(value: Any) -> str:
    return well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False))


def as_text(value: str | None) -> str | None:
    return None if value is None else well_formed(value)
