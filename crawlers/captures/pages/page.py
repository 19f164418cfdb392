"""The records into which every format of captures is read, and the limits of reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """The format of a capture, recognised by its bytes."""

    WARC = "WARC"
    WACZ = "WACZ"
    HAR = "HAR"
    MHTML = "MHTML"
    HTML = "HTML"
    SINGLE_FILE = "SingleFile"
    FOLDER = "saved folder"
    PDF = "PDF"
    IMAGE = "image"
    TABLE = "table of screenshots"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one reading. Of a hostile capture only what came before a limit is read.

    Attributes:
        file_bytes: the size of the capture itself.
        resource_bytes: the decoded size of one image, script or page.
        total_bytes: the decoded size of all of them.
        resources: their number.
        text_chars: the length of a page's text.
        frame_depth: the depth of frames within frames.
        pdf_pages: the number of pages of a PDF.
    """

    file_bytes: int = 4_000_000_000
    resource_bytes: int = 64_000_000
    total_bytes: int = 4_000_000_000
    resources: int = 50_000
    text_chars: int = 1_000_000
    frame_depth: int = 5
    pdf_pages: int = 300


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image of a page.

    Attributes:
        url: None for an image without an address of its own.
        place: its number on the page, from the top.
        alt: its description by the page.
    """

    url: str | None
    path: Path
    place: int
    alt: str = ""


@dataclass(frozen=True, slots=True)
class CapturedPage:
    """One page at the moment when it was saved.

    Attributes:
        url: None if the capture does not hold it.
        saved_at: UTC, ISO 8601, according to the capture; it is not verified.
        html: the saved markup, None for pictures of pages.
        text: the visible text, without scripts and styles.
        images: in the order of the page, including those in frames.
        answers: JSON that was sent to the page's scripts, as (address, text).
        notes: sentences about missing and irregular parts.
    """

    url: str | None
    title: str
    saved_at: str | None
    html: str | None
    text: str
    images: tuple[PageImage, ...]
    answers: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read from a capture.

    Attributes:
        tool: the program that made it, according to the capture.
        checks: sentences about its verified digests and signatures.
    """

    format: Format
    pages: tuple[CapturedPage, ...]
    tool: str | None = None
    checks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """A page of the capture at which reading begins.

    Attributes:
        group: the group of the answers that were recorded for it, if the capture says so.
    """

    url: str
    title: str = ""
    saved_at: str | None = None
    group: str | None = None
