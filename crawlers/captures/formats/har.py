"""HAR 1.2, as browsers' developer tools and proxies write it, plain or gzip."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crawlers.captures.formats.bodies import body_of
from crawlers.captures.formats.documents import pages_in
from crawlers.captures.formats.stored_bodies import stored_body
from crawlers.captures.formats.unpacking import GZIP, Members, codings_in
from crawlers.captures.formats.warc import is_whole, redirect_of
from crawlers.captures.pages.addresses import is_web
from crawlers.captures.pages.charsets import charset_in
from crawlers.captures.pages.html import decoded
from crawlers.captures.pages.page import Start
from crawlers.captures.pages.resources import Resource, Resources
from crawlers.errors import CaptureRefused
from crawlers.values import object_of, objects_of

_MOST_BYTES = 250_000_000  # JSON is read into memory
_NOT_MODIFIED, _PART = 304, 206
_NO_PAGES = frozenset({"OPTIONS", "HEAD", "CONNECT", "TRACE"})
_PAGES = ("text/html", "application/xhtml+xml")


def read_har(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Read the responses of all entries, and the pages for which they were recorded."""
    log = _log_of(path)
    entries, pages = list(log.get("entries") or ()), list(log.get("pages") or ())
    titles = {str(page.get("id")): page for page in pages if isinstance(page, dict)}
    left_out = 0
    for entry in entries:
        try:
            left_out += _take_entry(entry, resources)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            resources.notes.append(
                f"an entry of the HAR file cannot be read ({type(error).__name__})"
            )
    if left_out:
        resources.notes.append(
            f"{left_out} answers were saved without their bodies; save the HAR “with content”"
        )
    creator = log.get("creator")
    tool = (
        f"{creator.get('name', '')} {creator.get('version', '')}".strip()
        if isinstance(creator, dict)
        else None
    )
    return _starts(titles, resources), tool, []


def _log_of(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        packed = stream.peek(2).startswith(GZIP)
        members = Members(stream)
        data = (io.BufferedReader(members) if packed else stream).read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise CaptureRefused(f"a HAR file of more than {_MOST_BYTES / 1e6:,.0f} MB is not read")
    if packed and members.problem:
        raise CaptureRefused(f"it is a HAR file packed with gzip, and {members.problem}")
    try:
        log = json.loads(data)["log"]
        entries, pages = list(log.get("entries") or ()), list(log.get("pages") or ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CaptureRefused(f"it is no HAR file ({type(error).__name__})") from error
    return {**log, "entries": entries, "pages": pages}


def _take_entry(entry: Any, resources: Resources) -> int:
    """Add the answer of an entry; returns 1 if its body was left out, else 0."""
    request, response = entry["request"], entry["response"]
    if str(request.get("method") or "GET").upper() in _NO_PAGES:
        return 0
    url, content = str(request["url"]), response.get("content") or {}
    asked, headers = _headers_of(request), _headers_of(response)
    status = _number(response.get("status"))
    location = redirect_of(
        status, url, str(response.get("redirectURL") or "") or headers.get("location")
    )
    text = content.get("text")
    if location is None and not text and _number(content.get("size")) > 0:
        resources.miss("not in the capture: its body was not saved", url)
        return int(status < 300 or status == _NOT_MODIFIED)
    media_type, _, parameters = str(
        content.get("mimeType") or headers.get("content-type") or ""
    ).partition(";")
    media_type = media_type.strip().lower()
    packed_as = codings_in(headers.get("content-encoding"))
    stored = stored_body(str(text or ""), content, media_type, packed_as)
    data = stored.data
    if stored.note:
        resources.note(stored.note, url)
    whole = status != _PART or is_whole(headers.get("content-range"))
    if not whole:
        resources.miss("only a part of it is in the capture (status 206)", url)
    if status == _NOT_MODIFIED and not data:
        resources.miss(
            "not in the capture; its server said that it had not changed (status 304)", url
        )
    # A browser with a cached answer writes its body next to the status "not modified".
    if (status == _PART and whole) or (status == _NOT_MODIFIED and data):
        status = 200
    if stored.loss:
        resources.miss(stored.loss, url)
    body, complete = body_of(iter([data]), stored.codings, url, resources)
    resources.add(
        body,
        url,
        media_type=media_type,
        charset="utf-8" if stored.is_text else charset_in(parameters),
        status=status,
        referrer=asked.get("referer") or _parsed_in(entry, media_type),
        asked_for=_asked_for(asked),
        at=_utc(entry.get("startedDateTime")),
        location=location,
        whole=whole and complete and not stored.loss,
        group=str(entry.get("pageref") or "") or None,
    )
    return 0


def _headers_of(message: Any) -> dict[str, str]:
    return {
        str(header["name"]).lower(): str(header["value"])
        for header in objects_of(message.get("headers"))
        if "name" in header and "value" in header
    }


def _asked_for(headers: dict[str, str]) -> str:
    by_script = "empty" if "x-requested-with" in headers else ""
    return headers.get("sec-fetch-dest", "").strip().lower() or by_script


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 1e15 else 0


def _parsed_in(entry: dict[str, Any], media_type: str) -> str | None:
    """The page in whose markup Chrome found the address of another page."""
    initiator = object_of(entry.get("_initiator"))
    if initiator.get("type") != "parser" or media_type not in _PAGES:
        return None
    return str(initiator.get("url") or "") or None


def _starts(titles: dict[str, Any], resources: Resources) -> list[Start]:
    """The documents of each recorded page; without recorded pages all HTML answers but frames."""
    groups: dict[str | None, list[Resource]] = {}
    for answer in resources.all:
        groups.setdefault(answer.group, []).append(answer)
    starts: list[Start] = []
    for group, answers in groups.items():
        known = titles.get(group or "", {})
        title = str(known.get("title") or "")
        pages = pages_in(resources, answers)
        if group is not None:
            documents = [page for page in pages if page.asked_for == "document"]
            pages = documents or _main_of(pages, title)
        for page in pages:
            shown = title if len(pages) == 1 and not is_web(title) else ""
            at = _utc(known.get("startedDateTime")) if page is pages[0] else None
            starts.append(Start(page.url, shown, at or page.at, group))
    return starts


def _main_of(pages: Sequence[Resource], title: str) -> list[Resource]:
    """The recorded page: the one with the title, else the first one without a referrer."""
    urls = {page.url.partition("#")[0] for page in pages}
    tests = (
        lambda page: page.url == title,
        lambda page: bool(title) and _title_of(page) == title,
        lambda page: page.referrer not in urls - {page.url.partition("#")[0]},
    )
    left = list(pages)
    for test in tests:
        left = [page for page in left if test(page)] or left
    return sorted(left, key=lambda page: page.at or "")[:1]


def _title_of(page: Resource) -> str:
    found = re.search(r"<title[^>]{0,200}>([^<]{0,2000})", decoded(page)[:200_000], re.IGNORECASE)
    return " ".join(found[1].split()) if found else ""


def _utc(value: Any) -> str | None:
    """A time in UTC; unchanged if it has no zone or is none."""
    text = str(value or "")[:40]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text or None
    return moment.astimezone(UTC).isoformat() if moment.tzinfo is not None else text
