"""Reading of a capture: its format is recognised by the first bytes, then its reader is called."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from crawlers.captures.formats.files import (
    PICTURE_ENDINGS,
    beside,
    read_html,
    read_pdf,
    read_picture,
    read_table,
    saved_from,
    shots_of,
    unused_beside,
)
from crawlers.captures.formats.har import read_har
from crawlers.captures.formats.mhtml import message_begin, read_mhtml
from crawlers.captures.formats.own_folders import PAGE_ENDINGS, folders_of_pages
from crawlers.captures.formats.unpacking import GZIP, ZSTD, head_of
from crawlers.captures.formats.wacz import read_wacz
from crawlers.captures.formats.warc import read_warc
from crawlers.captures.images.image_formats import HEAD_BYTES, image_format, kind_of
from crawlers.captures.pages.charsets import head_in_utf8
from crawlers.captures.pages.html import page_of
from crawlers.captures.pages.page import Format, Limits, Reading, Start
from crawlers.captures.pages.resources import Resource, Resources
from crawlers.captures.pages.sniffing import looks_like_text
from crawlers.errors import CaptureRefused

_MOST_REASON_CHARS = 1_000
_HEADER = re.compile(rb"[!-9;-~]+:")
_MESSAGE = re.compile(
    rb"^(?:mime-version:|content-type:[ \t]*(?:multipart/|text/html))", re.MULTILINE
)
_MESSAGE_BEGINNINGS = (
    b"from:",
    b"mime-version:",
    b"content-type: multipart/related",
    b"subject:",
    b"date:",
    b"snapshot-content-location:",
)
_HTML_WORDS = (b"<html", b"<!doctype html", b"<head", b"<body", b"<!--")
_TAG = re.compile(rb"<[a-z][a-z0-9-]{0,60}[\s/>]")
_READERS: dict[Format, Callable[[Path, Resources], tuple[list[Start], str | None, list[str]]]] = {
    Format.WARC: read_warc,
    Format.WACZ: read_wacz,
    Format.HAR: read_har,
    Format.MHTML: read_mhtml,
    Format.HTML: read_html,
}


def read_capture(path: Path, folder: Path, limits: Limits | None = None) -> Reading:
    """Read everything in a capture. Nothing is executed, and no request is sent.

    Args:
        folder: an empty folder for the bodies that pages refer to; the caller deletes it.

    Raises:
        CaptureRefused: the format is unsupported, or the file is broken or hostile beyond use.
    """
    limits = limits or Limits()
    if path.stat().st_size > limits.file_bytes:
        raise CaptureRefused(f"it is larger than {limits.file_bytes / 1e6:,.0f} MB")
    kind = format_of(path)
    resources = Resources(folder, limits)
    if kind == Format.PDF:
        return Reading(kind, (read_pdf(path, resources),))
    if kind == Format.IMAGE:
        return Reading(kind, (read_picture(path, resources),))
    if kind == Format.TABLE:
        return Reading(kind, tuple(read_table(path, resources)))
    starts, tool, checks = _READERS[kind](path, resources)
    url = None
    if kind == Format.HTML:
        url, checks = saved_from(checks)
        kind = Format.SINGLE_FILE if tool else Format.FOLDER if len(resources.all) > 1 else kind
    pages = [
        page
        for start, loaded in _shares(starts, resources)
        if (page := page_of(start, resources, loaded))
    ]
    pages = [replace(page, url=page.url or url) for page in pages]
    if not pages:
        reasons = ("it holds no page", *resources.summary())
        raise CaptureRefused("; ".join(reasons)[:_MOST_REASON_CHARS])
    if kind in (Format.FOLDER, Format.SINGLE_FILE):
        resources.notes += unused_beside(pages, resources)
    return Reading(kind, tuple(pages), tool, tuple(checks), resources.summary())


def _shares(starts: list[Start], resources: Resources) -> Iterator[tuple[Start, list[Resource]]]:
    """Yield each page, at the end of its redirects, with the answers that were recorded for it.

    If the capture does not say for which page an answer was recorded, the page gets the answers
    from its own on up to the next page, because browsers load one page after another.
    """
    pages: dict[int, tuple[Start, set[str]]] = {}
    for start in starts:
        if found := resources.find(start.url):
            _, groups = pages.setdefault(found.number, (replace(start, url=found.url), set()))
            groups |= {start.group} if start.group is not None else set()
    ends = [*sorted(pages), len(resources.all)]
    for begin, (start, groups) in pages.items():
        end = next(number for number in ends if number > begin)
        loaded = resources.all[0 if begin == ends[0] else begin : end]
        if groups:
            loaded = [answer for answer in resources.all if answer.group in groups]
        yield start, loaded


def format_of(path: Path) -> Format:
    """The format of a capture; raises CaptureRefused if it is unsupported."""
    with path.open("rb") as stream:
        head = stream.read(4_096)
    decoded = head_in_utf8(head)
    plain = decoded[message_begin(decoded) :].lower()
    if plain.startswith(b"pk\x03\x04"):
        if zipfile.is_zipfile(path):
            return Format.WACZ
        raise CaptureRefused("it is a zip that was cut off")
    if packed_as := _packed(path, head):
        return packed_as
    if head.startswith(b"%PDF-"):
        return Format.PDF
    if image_format(head):
        return Format.IMAGE
    if plain.startswith(b"{") and (path.suffix.lower() == ".har" or b'"log"' in plain):
        return Format.HAR
    if plain.startswith(_MESSAGE_BEGINNINGS) or (_HEADER.match(plain) and _MESSAGE.search(plain)):
        return Format.MHTML
    if plain.startswith(b"<") and (
        any(word in plain for word in _HTML_WORDS)
        or (path.suffix.lower() in PAGE_ENDINGS and _TAG.match(plain) and looks_like_text(plain))
    ):
        return Format.HTML
    if path.suffix.lower() == ".csv":
        return Format.TABLE
    if zipfile.is_zipfile(path):  # with other bytes before the zip
        return Format.WACZ
    raise _unsupported(path, head)


def _unsupported(path: Path, head: bytes) -> CaptureRefused:
    what = str(kind_of(head))
    if head:
        what += f" ({path.suffix or 'no ending'}), which is not read"
    return CaptureRefused(
        f"it is {what}: save the page as WARC, WACZ, HAR, MHTML, HTML or PDF, or take a screenshot"
    )


def _packed(path: Path, head: bytes) -> Format | None:
    """The format of a WARC or gzip by its content; None for anything else."""
    inside = head
    if head.startswith(GZIP):
        with path.open("rb") as stream:
            inside = head_of(stream)
    if inside.startswith(b"WARC/"):
        return Format.WARC
    if inside.startswith(b"filedesc://"):
        raise CaptureRefused(
            "it is an ARC, which WARC replaced: `warcio recompress OLD.arc.gz NEW.warc.gz` "
            "makes a WARC of it"
        )
    if head.startswith(ZSTD):
        raise CaptureRefused("it is packed with zstd: unpack it first (`zstd -d`)")
    if not head.startswith(GZIP):
        return None
    plain = head_in_utf8(inside).lstrip(b"\xef\xbb\xbf \t\r\n")
    if plain.startswith(b"{") and b'"log"' in plain:
        return Format.HAR
    raise CaptureRefused("it is a gzip that holds neither a WARC nor a HAR: unpack it first")


def parts_beside(path: Path) -> list[Path]:
    """The other files of a capture: a page's own files, or the pictures that a table names."""
    if path.suffix.lower() == ".csv":
        return [path.parent / shot.relative_to(path.parent.resolve()) for shot in shots_of(path)]
    return list(beside(path)) if path.suffix.lower() in PAGE_ENDINGS else []


def captures_in(paths: list[Path]) -> list[Path]:
    """The captures among files and folders.

    Of a folder, these are the files that may be captures by content or name. Files that belong to
    another capture are left out: a page's own folder, the pictures that a table names.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += [file for file in _loose_files(path) if _may_be_capture(file)]
        else:
            found.append(path)
    return found


def left_out_of(paths: list[Path]) -> list[Path]:
    """The files of folders that `captures_in` leaves out because of their format."""
    return [
        file
        for path in paths
        if path.is_dir()
        for file in _loose_files(path)
        if not _may_be_capture(file)
    ]


def what_it_is(path: Path) -> str:
    """The content of a file that was left out, in words."""
    try:
        with path.open("rb") as stream:
            return kind_of(stream.read(HEAD_BYTES))
    except OSError as error:
        return error.strerror or type(error).__name__


def _loose_files(folder: Path) -> list[Path]:
    """The files of a folder that belong to no other capture; no hidden files, no links."""
    everything = sorted(path for path in folder.rglob("*") if not path.is_symlink())
    files = [path for path in everything if path.is_file() and not path.name.startswith(".")]
    pages = [path for path in files if path.suffix.lower() in PAGE_ENDINGS]
    folders = (path for path in everything if path.is_dir())
    own = {of_page for of_page, _ in folders_of_pages(pages, folders)}
    tables = (path for path in files if path.suffix.lower() == ".csv")
    shots = {shot for table in tables for shot in shots_of(table)}
    return [path for path in files if own.isdisjoint(path.parents) and path.resolve() not in shots]


def _may_be_capture(path: Path) -> bool:
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        return format_of(path) in _RECOGNISED_BY_CONTENT
    except (CaptureRefused, OSError):
        return False


# Zip archives and mails may be anything, so captures of these formats are recognised by name.
_RECOGNISED_BY_CONTENT = frozenset({Format.IMAGE, Format.PDF, Format.WARC, Format.HTML})
ENDINGS = PICTURE_ENDINGS | frozenset(
    {".warc", ".gz", ".wacz", ".har", ".mhtml", ".mht", ".html", ".htm", ".xhtml", ".pdf", ".csv"}
)
