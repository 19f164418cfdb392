"""Captures that are plain files: HTML pages with their folders, PDFs, pictures and tables."""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from crawlers.captures.formats.own_folders import own_folders
from crawlers.captures.formats.self_extracting import page_within
from crawlers.captures.images.image_formats import HEAD_BYTES, image_format
from crawlers.captures.images.pictures import SMALLEST_SIDE_PX, picture_from
from crawlers.captures.pages.addresses import SAVED, is_web
from crawlers.captures.pages.charsets import page_text
from crawlers.captures.pages.page import CapturedPage, PageImage, Start
from crawlers.captures.pages.resources import Resources
from crawlers.errors import CaptureRefused

_SINGLE_FILE = re.compile(r"<!--\s*+Page saved with SingleFile")
_SAVED_FROM = re.compile(r"<!--\s*+saved from url=\(\d{1,9}\)(\S{1,8000}?)\s*+-->")
# What may precede a page's head: doctype, comments and the html tag, whose styles may be long.
_BEFORE_HEAD = re.compile(
    r"(?:[\s\ufeff]++|<!--.*?-->|<[!?](?!--)[^>]*+>|<html(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>)*+",
    re.IGNORECASE | re.DOTALL,
)
_MOST_HEAD_BYTES = 1_000_000
_COMMENT_CHARS = 8_000  # how far behind it the comment of the saving program may be
_TYPES = {
    ".html": "text/html", ".htm": "text/html", ".xhtml": "application/xhtml+xml",
    ".json": "application/json", ".css": "text/css", ".js": "text/javascript",
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".jpe": "image/jpeg",
    ".jfif": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".bmp": "image/bmp",
    ".avif": "image/avif", ".heic": "image/heic", ".heif": "image/heif", ".hif": "image/heif",
    ".tif": "image/tiff", ".tiff": "image/tiff", ".svg": "image/svg+xml",
}  # fmt: skip
PICTURE_ENDINGS = frozenset(
    ending for ending, kind in _TYPES.items() if kind.startswith("image/") and ending != ".svg"
)
_MOST_ROWS = 100_000
_MOST_TOLD = 5
_MOST_PAGE_BYTES = 160_000_000


def read_html(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Read a page with data: addresses (SingleFile), or with a folder of its files beside it."""
    if path.stat().st_size > _MOST_PAGE_BYTES:
        raise CaptureRefused(f"a page of more than {_MOST_PAGE_BYTES / 1e6:,.0f} MB is not read")
    data = path.read_bytes()
    url, saved_at, tool = saved_by_comment(page_text(data[:_MOST_HEAD_BYTES]))
    own = f"saved:///{quote(os.fsencode(path.name))}"
    body = resources.body()
    body._most = len(data)  # noqa: SLF001  a page that contains its pictures may be longer
    body.write(data)
    resources.add(body, own, media_type="text/html")
    for file in beside(path):
        name = quote(os.fsencode(file.relative_to(path.parent).as_posix()))
        _take(file, f"saved:///{name}", resources)
    start = page_within(data, own, resources, _TYPES) or own
    return [Start(start, saved_at=saved_at)], tool, [f"saved from {url}"] if url else []


def unused_beside(pages: Sequence[CapturedPage], resources: Resources) -> list[str]:
    """A note about pictures in a saved page's folder that are not on the page."""
    shown = {image.path for page in pages for image in page.images}
    names = [
        unquote(answer.url.rpartition("/")[2])
        for answer in resources.all
        if answer.url.startswith(SAVED) and answer.is_image and answer.path not in shown
    ]
    if not names:
        return []
    listed = ", ".join(names[:_MOST_TOLD]) + (", ..." if len(names) > _MOST_TOLD else "")
    several = (
        "pictures lie beside the page, are not on it and were"
        if len(names) > 1
        else "picture lies beside the page, is not on it and was"
    )
    return [f"{len(names)} {several} left out: {listed}"]


def saved_from(checks: list[str]) -> tuple[str | None, list[str]]:
    """Separate the address of an HTML file's comment from the other checks of `read_html`."""
    prefix = "saved from "
    found = next((text.removeprefix(prefix) for text in checks if text.startswith(prefix)), None)
    return found, [text for text in checks if not text.startswith(prefix)]


def shot_of(table: Path, name: str) -> Path | None:
    """The picture that a row names, next to the table or below; None for anything else."""
    try:
        root = table.parent.resolve()
        file = (root / unquote(name)).resolve()
        inside = file.is_relative_to(root) and not any(
            part.startswith(".") for part in file.relative_to(root).parts
        )
        if not inside or not file.is_file():
            return None
        with file.open("rb") as stream:
            is_image = image_format(stream.read(HEAD_BYTES)) is not None
        return file if is_image or file.suffix.lower() in PICTURE_ENDINGS else None
    except (OSError, ValueError):
        return None


def shots_of(table: Path) -> list[Path]:
    """Every picture that a table names."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = itertools.islice(csv.DictReader(stream), _MOST_ROWS)
            named = [shot_of(table, (row.get("screenshot") or "").strip()) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, AttributeError):
        return []
    return list(dict.fromkeys(file for file in named if file is not None))


def saved_by_comment(text: str) -> tuple[str | None, str | None, str | None]:
    """Address, date and program in the comment that programs write at the beginning of a page."""
    before = _BEFORE_HEAD.match(text)
    head = text[: (before.end() if before else 0) + _COMMENT_CHARS]
    single = _SINGLE_FILE.search(head)
    end = head.find("-->", single.end()) if single else -1
    if single and end >= 0:
        facts = dict(
            re.findall(
                r"^[ \t]*(url|saved date):[ \t]*(\S.*?)\s*$", head[single.end() : end], re.MULTILINE
            )
        )
        return _address(facts.get("url")), facts.get("saved date"), "SingleFile"
    chrome = _SAVED_FROM.search(head)
    return (_address(chrome[1]), None, None) if chrome else (None, None, None)


def _address(text: str | None) -> str | None:
    return text if text and is_web(text) else None


def beside(path: Path) -> Iterator[Path]:
    """Yield the files that a browser saved beside a page; links and other places are left out."""
    for folder in own_folders(path):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink():
                yield file


def _take(file: Path, url: str, resources: Resources) -> None:
    body = resources.body()
    with file.open("rb") as stream:
        while (chunk := stream.read(1 << 20)) and body.write(chunk):
            pass
    resources.add(body, url, media_type=_TYPES.get(file.suffix.lower(), ""))


def read_pdf(path: Path, resources: Resources) -> CapturedPage:
    """Read a PDF: its text, and each page as a rendered picture.

    Embedded pictures are not used, because they do not show what is visible on the page.
    """
    import pypdfium2

    images: list[PageImage] = []
    text: list[str] = []
    notes: list[str] = []
    try:
        with pypdfium2.PdfDocument(path) as document:
            facts: dict[str, Any] = document.get_metadata_dict()
            if len(document) > resources.limits.pdf_pages:
                notes.append(
                    f"only {resources.limits.pdf_pages} of {len(document)} pages were read"
                )
            for number in range(min(len(document), resources.limits.pdf_pages)):
                page = document[number]
                text.append(page.get_textpage().get_text_bounded())
                scale = min(2.0, 4_000 / max(*page.get_size(), 1.0))
                picture = io.BytesIO()
                page.render(scale=scale, may_draw_forms=False).to_pil().save(
                    picture, "PNG", compress_level=1
                )
                kept = resources.add_bytes(
                    picture.getvalue(), f"saved:///page-{number + 1}.png", media_type="image/png"
                )
                images.append(PageImage(None, kept.path, number, f"page {number + 1}"))
    except (pypdfium2.PdfiumError, ValueError, OSError) as error:
        raise CaptureRefused(f"it is no PDF that can be read ({type(error).__name__})") from error
    return CapturedPage(
        None,
        str(facts.get("Title") or path.stem)[:500],
        None,
        None,
        "\n".join(text)[: resources.limits.text_chars],
        tuple(images),
        notes=tuple(notes),
    )


def read_picture(path: Path, resources: Resources) -> CapturedPage:
    """Read a screenshot or any other picture."""
    _take(path, f"saved:///{quote(os.fsencode(path.name))}", resources)
    image = PageImage(None, resources.all[-1].path, 0, "")
    return CapturedPage(
        None, path.stem[:500], None, None, "", (image,), notes=_too_small(image.path)
    )


def _too_small(path: Path) -> tuple[str, ...]:
    picture = picture_from(path.read_bytes())
    if picture.problem is not None or picture.is_large_enough:
        return ()
    note = (
        f"the picture is {picture.width} x {picture.height} pixels: smaller than "
        f"{SMALLEST_SIDE_PX} on a side, no face is looked for"
    )
    return (note,)


def read_table(path: Path, resources: Resources) -> Iterator[CapturedPage]:
    """Yield the rows of a CSV: an address, and a screenshot next to the table or below."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(itertools.islice(csv.DictReader(stream), _MOST_ROWS))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise CaptureRefused(f"it is no table in UTF-8 ({type(error).__name__})") from error
    if not rows or not {"url", "screenshot"} <= set(rows[0]):
        raise CaptureRefused(
            "a table of screenshots has the columns url and screenshot; "
            "saved_at and title are read as well"
        )
    for number, row in enumerate(rows, 2):
        name = (row.get("screenshot") or "").strip()
        file = shot_of(path, name)
        url, title = (row.get("url") or "").strip(), (row.get("title") or "").strip()
        url = url if is_web(url) else ""
        if file is None:
            note = f"row {number}: no screenshot {name[:200]!r} beside the table"
            yield CapturedPage(url or None, title, None, None, "", (), notes=(note,))
            continue
        page = read_picture(file, resources)
        yield replace(
            page,
            url=url or None,
            title=title or page.title,
            saved_at=(row.get("saved_at") or "").strip() or None,
        )
