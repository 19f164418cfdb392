"""What a saved page says of itself, as fields that people can correct, and how sites write numbers, prices and times."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter

from crawlers.captures.pages.addresses import keys_of


class PageKind(StrEnum):
    """What a page is there for."""

    OFFER = "offer"
    POST = "post"
    ACCOUNT = "account"
    MODEL = "model"  # a hub's listing, with the pictures that it shows
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says; None or empty where it does not.

    Attributes:
        platform: the site, by a short name or its host.
        item_id: the site's own id of an offer or post.
        price: as a number, in `currency` (ISO 4217).
        counts: what the page counts, by "sold", "wanted", "likes", "saves", "comments", "views", "followers", "posts", "downloads".
        published_at: UTC, ISO 8601.
        links: addresses in page and text, in their order.
        hashes: hexadecimal hashes in the text, 10 to 64 digits, lower case.
        images: addresses of the images that belong to the offer or post; empty: all of the page may.
        extractor: which one told it.
    """

    kind: PageKind = PageKind.PAGE
    platform: str = ""
    title: str = ""
    text: str = ""
    account_name: str | None = None
    account_id: str | None = None
    account_url: str | None = None
    item_id: str | None = None
    price: Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)] | None = None
    currency: str | None = None
    counts: dict[str, int] | None = None
    published_at: str | None = None
    links: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    extractor: str = ""


FIELDS = tuple(field.name for field in fields(PageFacts))
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_AMOUNT = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*([万萬wkKW千亿]?)")
_MOST = 1e15
_TIMES = {"万": 1e4, "萬": 1e4, "w": 1e4, "千": 1e3, "k": 1e3, "亿": 1e8}


def edited(facts: PageFacts, changes: dict[str, Any]) -> PageFacts:
    """Facts as somebody corrected them; raises KeyError for a field that there is not, ValueError for a value."""
    unknown = set(changes) - set(FIELDS)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    if changes.get("published_at"):
        try:
            datetime.fromisoformat(str(changes["published_at"]))
        except ValueError:
            raise ValueError(
                "published_at: not a date like 2026-03-01 or 2026-03-01T09:30+08:00"
            ) from None
    cleaned = {
        name: _readable(value) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    return facts_from_dict({**asdict(facts), **cleaned})


def _readable(text: str) -> str:
    """Without signs that turn the direction of what stands around them, and without control characters."""
    return "".join(
        sign
        for sign in text
        if sign in "\n\t" or not (unicodedata.category(sign) == "Cc" or sign in _TURNING)
    )


@cache
def _facts_adapter() -> TypeAdapter[PageFacts]:
    return TypeAdapter(PageFacts)


def facts_from_dict(told: dict[str, Any]) -> PageFacts:
    """The inverse of dataclasses.asdict, also after a round trip through JSON."""
    return _facts_adapter().validate_python(told)


def number_of(told: Any) -> int | None:
    """A count as sites write it: 1234, "1.2万", "3k+", "10,000"."""
    if isinstance(told, bool) or told is None:
        return None
    if isinstance(told, int | float):
        return int(told) if 0 <= told < _MOST else None
    found = _AMOUNT.search(str(told)[:60])
    if found is None:
        return None
    number = float(found[1].replace(",", "")) * _TIMES.get(found[2].lower(), 1)
    return int(number) if number < _MOST else None


def price_of(told: Any) -> float | None:
    """A price as sites write it: 9.9, "¥9.90", "1.2万"."""
    if isinstance(told, bool) or told is None:
        return None
    if isinstance(told, int | float):
        return float(told) if 0 <= told < 1e12 else None
    found = _AMOUNT.search(str(told)[:60])
    return (
        None
        if found is None
        else round(float(found[1].replace(",", "")) * _TIMES.get(found[2].lower(), 1), 2)
    )


def well_formed(text: str) -> str:
    """Text as databases and files take it: lone surrogates, which JSON and file names may hold, become marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def same_image(url: str) -> str:
    """An image's address without scheme and size: sites serve one picture in many sizes."""
    try:
        parts = urlsplit(keys_of(f"https:{url}" if url.startswith("//") else url)[0])
    except ValueError:
        return url
    return f"{parts.netloc}{parts.path}".split("!")[0].split("_.")[0]


def moment_of(told: Any) -> str | None:
    """A time as sites write it (seconds or milliseconds since 1970, ISO 8601) in UTC, ISO 8601."""
    try:
        if isinstance(told, str) and not told.strip().isdigit():
            at = datetime.fromisoformat(told.strip().replace("/", "-"))
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        seconds = float(told)
        return datetime.fromtimestamp(
            seconds / 1000 if seconds > 1e11 else seconds, UTC
        ).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def text_of(told: Any, longest: int = 2_000) -> str | None:
    """A field that ought to be a text or a number; None for anything else and for nothing."""
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        return None
    return str(told).strip()[:longest] or None


def counted(**told: Any) -> dict[str, int]:
    """Those counts that are numbers."""
    return {
        name: number for name, value in told.items() if (number := number_of(value)) is not None
    }


def dig(told: Any, *path: str | int) -> Any:
    """A value inside nested JSON; None where the path does not lead anywhere."""
    for step in path:
        try:
            told = told[step]
        except (KeyError, IndexError, TypeError):
            return None
    return told
