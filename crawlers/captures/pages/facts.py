"""The facts of a captured page, and the parsing of numbers, prices and times on sites."""

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
    """The purpose of a page."""

    OFFER = "offer"
    POST = "post"
    ACCOUNT = "account"
    MODEL = "model"  # a hub's listing and its preview pictures
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The facts of a page; None or empty where the page states none.

    Attributes:
        platform: the site, by a short name or its host.
        item_id: the site's own id of an offer or post.
        price: a number in `currency` (ISO 4217).
        counts: counters of the page under "sold", "wanted", "likes", "saves", "comments",
            "views", "followers", "posts" and "downloads".
        published_at: UTC, ISO 8601.
        links: addresses in page and text, in their order.
        hashes: hexadecimal hashes in the text, 10 to 64 digits, lower case.
        images: addresses of the images of the offer or post; if empty, any image may be one.
        extractor: the name of the extractor.
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
    """Facts with a person's corrections.

    Raises:
        KeyError: there is no such field.
        ValueError: the value is invalid.
    """
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
    """The text without control characters and without characters that change its direction."""
    return "".join(
        sign
        for sign in text
        if sign in "\n\t" or not (unicodedata.category(sign) == "Cc" or sign in _TURNING)
    )


@cache
def _facts_adapter() -> TypeAdapter[PageFacts]:
    return TypeAdapter(PageFacts)


def facts_from_dict(record: dict[str, Any]) -> PageFacts:
    """The inverse of dataclasses.asdict, also after a round trip through JSON."""
    return _facts_adapter().validate_python(record)


def number_of(value: Any) -> int | None:
    """A count in a form that sites use: 1234, "1.2万", "3k+", "10,000"."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value < _MOST else None
    number = _amount(value)
    return int(number) if number is not None and number < _MOST else None


def price_of(value: Any) -> float | None:
    """A price in a form that sites use: 9.9, "¥9.90", "1.2万"."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < 1e12 else None
    number = _amount(value)
    return None if number is None else round(number, 2)


def _amount(value: Any) -> float | None:
    found = _AMOUNT.search(str(value)[:60])
    if found is None:
        return None
    return float(found[1].replace(",", "")) * _TIMES.get(found[2].lower(), 1)


def well_formed(text: str) -> str:
    """A text that databases and files accept: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def same_image(url: str) -> str:
    """An image's address without scheme and size, because sites serve a picture in many sizes."""
    try:
        parts = urlsplit(keys_of(f"https:{url}" if url.startswith("//") else url)[0])
    except ValueError:
        return url
    return f"{parts.netloc}{parts.path}".split("!")[0].split("_.")[0]


def moment_of(value: Any) -> str | None:
    """A time (seconds or milliseconds since 1970, or ISO 8601) in UTC, ISO 8601."""
    try:
        if isinstance(value, str) and not value.strip().isdigit():
            at = datetime.fromisoformat(value.strip().replace("/", "-"))
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        seconds = float(value)
        seconds = seconds / 1000 if seconds > 1e11 else seconds
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def text_of(value: Any, longest: int = 2_000) -> str | None:
    """A text, or a number as text; None for anything else and for an empty text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip()[:longest] or None


def counted(**values: Any) -> dict[str, int]:
    """The counts that are numbers."""
    return {
        name: number for name, value in values.items() if (number := number_of(value)) is not None
    }


def dig(value: Any, *path: str | int) -> Any:
    """A value inside nested JSON; None if the path does not exist."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
