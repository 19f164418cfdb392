"""Listings that an operator exported from a site without a public interface, such as LiblibAI.

CSV with a heading, a JSON list, or JSON Lines, in UTF-8, UTF-16 or GB 18030. Columns have the names
below, those of LiblibAI's site (uuid, name, username, triggerWord, baseType, downloadCount,
createTime) or Chinese ones. All other columns are kept in `raw`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from crawlers.errors import HubError
from crawlers.listing import (
    Listing,
    Page,
    Partition,
    Presence,
    RemoteFile,
    SinglePartition,
    hex_digest,
)
from crawlers.values import count_of, mended, text_of

# The name of each column here, and its names in exports.
COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "uuid", "modelid", "编号"),
    "title": ("title", "name", "modelname", "标题", "名称", "模型名称"),
    "url": ("url", "link", "链接", "地址"),
    "creator": ("creator", "username", "author", "uploader", "作者", "上传者"),
    "triggers": ("triggers", "trigger", "triggerword", "trainedwords", "触发词"),
    "tags": ("tags", "labels", "标签"),
    "base_model": ("base_model", "basemodel", "basetype", "底模", "基础模型"),
    "published_at": ("published_at", "publishedat", "createtime", "date", "发布时间", "上传时间"),
    "downloads": ("downloads", "downloadcount", "下载量", "下载次数"),
    "file": ("file", "filename", "文件名"),
    "download_url": ("download_url", "downloadurl", "下载链接", "下载地址"),
    "sha256": ("sha256", "hash", "weightssha256"),
    "size_bytes": ("size_bytes", "size", "filesize", "大小"),
}
PAGE_SIZE = 1_000


class ImportedHub(SinglePartition):
    """The listings in one exported file.

    Args:
        name: the name of the site in results.
    """

    def __init__(self, path: Path, name: str = "imported") -> None:
        self._path, self.name = path, name

    def pages(
        self,
        partition: Partition,  # noqa: ARG002  an export is read whole, whatever its dates
        cursor: str | None = None,
    ) -> Iterator[Page]:
        """Yield pages of 1,000 lines; the cursor is the number of the previous line."""
        lines = list(enumerate(_rows(self._path), 1))
        gap = (
            f"{self._path.name} ends in the middle of its last line; export it again"
            if _is_cut(self._path, lines)
            else None
        )
        seen: set[str] = set()
        if not any(self._listing(number, row, []) for number, row in lines):
            raise HubError(
                f"{self._path} holds no entry with an id, url or title; "
                "nothing was concluded from it"
            )
        # If the file is now shorter than the cursor, it is another export.
        start = int(cursor or 0) if int(cursor or 0) < len(lines) else 0
        while True:
            listings: list[Listing] = []
            notes: list[str] = []
            for number, row in lines[start : start + PAGE_SIZE]:
                listing = self._listing(number, row, notes)
                if listing is not None and listing.listing_id in seen:
                    notes.append(
                        f"{self._path.name}, entry {number}: {listing.listing_id} was there "
                        "before; this one is left out"
                    )
                elif listing is not None:
                    seen.add(listing.listing_id)
                    listings.append(listing)
            start += PAGE_SIZE
            more = start < len(lines)
            yield Page(
                tuple(listings), str(start) if more else None, tuple(notes), None if more else gap
            )
            if not more:
                return

    def check_presence(self, listing_id: str) -> Presence:
        """Gone if the newest export lacks it; two exports must lack it, as nobody can be asked."""
        return Presence.LISTED if listing_id in self._ids else Presence.GONE

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(
            listing.listing_id for page in self.pages(Partition()) for listing in page.listings
        )

    def _listing(self, number: int, row: dict[str, Any], notes: list[str]) -> Listing | None:
        values = {ours: _first(row, theirs) for ours, theirs in COLUMNS.items()}
        title, place = _text(values["title"]), _text(values["url"])
        # Two creators may use the same title.
        listing_id = (
            _text(values["id"])
            or place
            or "/".join(filter(None, (_text(values["creator"]), title)))
        )
        if not listing_id:
            notes.append(f"{self._path.name}, entry {number}: neither id, url nor title")
            return None
        download = _text(values["download_url"])
        file = RemoteFile(
            name=_text(values["file"]) or title or listing_id,
            url=download or "",
            size_bytes=_whole(values["size_bytes"]),
            sha256=hex_digest(_text(values["sha256"])),
        )
        return Listing(
            hub=self.name,
            listing_id=listing_id,
            title=title or listing_id,
            url=place or f"file:{self._path.name}",
            creator=_text(values["creator"]),
            triggers=_words(values["triggers"]),
            tags=_words(values["tags"]),
            base_model=_text(values["base_model"]),
            published_at=_text(values["published_at"]),
            downloads=_whole(values["downloads"]),
            real_person_flag=False,
            minor_flag=False,
            files=(file,) if download or file.sha256 else (),
            raw=json.dumps(row, ensure_ascii=False, sort_keys=True, default=str),
        )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    text = _text_in(path)
    yield from _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)


def _is_cut(path: Path, lines: list[tuple[int, dict[str, Any]]]) -> bool:
    """Whether the last line of a CSV has too few columns and no end, after a broken download."""
    last = lines[-1][1] if lines else {}
    return (
        path.suffix.lower() == ".csv"
        and None in last.values()
        and not _text_in(path).endswith(("\n", "\r"))
    )


def _text_in(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 with a mark, or GB 18030, the usual ones in China."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HubError(f"{path} cannot be read ({error.strerror})") from error
    for encoding in (
        ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    ):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise HubError(f"{path} is no text in UTF-8, UTF-16 or GB 18030; save it as UTF-8")


def _csv_rows(path: Path, text: str) -> Iterator[dict[str, Any]]:
    heading = text.split("\n", 1)[0]
    separator = max(",;\t|", key=heading.count)
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=separator, restkey="", strict=True
    )
    known = {name for names in COLUMNS.values() for name in names}
    try:
        if not known & {_column(name) for name in reader.fieldnames or ()}:
            raise HubError(
                f"{path}: none of its columns ({heading.strip()[:80]}) is one of "
                f"{', '.join(COLUMNS)}"
            )
        yield from reader
    except csv.Error as error:
        raise HubError(
            f"{path}, line {reader.line_num}: no CSV from there on ({error}); is a quote missing?"
        ) from error


def _json_rows(path: Path, text: str) -> Iterator[dict[str, Any]]:
    try:
        try:
            document = json.loads(text)
            rows = document if isinstance(document, list) else [document]
        except json.JSONDecodeError:
            # Only line feeds end a line, because JSON may hold Unicode's own line separators.
            rows = [
                _line(path, number, line)
                for number, line in enumerate(text.split("\n"), 1)
                if line.strip()
            ]
    except (ValueError, RecursionError) as error:
        raise HubError(
            f"{path} is neither CSV (.csv), a JSON list nor JSON Lines ({str(error)[:80]})"
        ) from error
    # An entry that is not an object counts as empty and gets the note of empty entries.
    yield from ({} if not isinstance(row, dict) else row for row in mended(rows))


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        if number == 1:
            raise
        raise HubError(f"{path}, line {number}: no JSON ({str(error)[:60]})") from error


def _column(name: Any) -> str:
    return str(name).strip().lower().replace(" ", "")


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    plain = {_column(name): value for name, value in row.items()}
    return next((plain[name] for name in names if plain.get(name) not in (None, "")), None)


def _text(value: Any) -> str | None:
    return (text_of(value) or "").strip() or None


def _whole(value: Any) -> int | None:
    try:
        return count_of(float(str(value).replace(",", ""))) if value is not None else None
    except ValueError:
        return None


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(word) for word in value)
    for sign in ("，", "、", ";", "；", "|"):
        value = value.replace(sign, ",") if isinstance(value, str) else value
    return (
        tuple(word.strip() for word in value.split(",") if word.strip())
        if isinstance(value, str)
        else ()
    )
