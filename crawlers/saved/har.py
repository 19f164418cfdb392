"""HAR 1.2, as browsers' developer tools and proxies write it, plain or gzip."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crawlers.errors import CaptureRefused
from crawlers.saved.addresses import is_web
from crawlers.saved.bodies import body_of
from crawlers.saved.documents import pages_in
from crawlers.saved.page import Resource, Resources, Start
from crawlers.saved.sniffing import HEAD_BYTES, media_type_of
from crawlers.saved.unpacking import GZIP, Members, is_packed_as
from crawlers.saved.warc import charset_in, is_whole, redirect_of

_MOST_BYTES = 250_000_000  # JSON is read whole
_NOT_MODIFIED, _PART = 304, 206
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_NO_PAGES = frozenset({"OPTIONS", "HEAD", "CONNECT", "TRACE"})
_MARKED = ("gzip", "zstd")  # codings that show in the first bytes


def read_har(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Entries' responses, and the pages they were recorded for; what was left out is noted."""
    log = _log_of(path)
    entries, pages = list(log.get("entries") or ()), list(log.get("pages") or ())
    titles = {str(one.get("id")): one for one in pages if isinstance(one, dict)}
    left_out = 0
    for entry in entries:
        try:
            left_out += _take_entry(entry, resources)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            resources.notes.append(f"an entry of the HAR file cannot be read ({type(error).__name__})")
    if left_out:
        resources.notes.append(f"{left_out} answers were saved without their bodies; save the HAR “with content”")
    creator = log.get("creator")
    tool = f"{creator.get('name', '')} {creator.get('version', '')}".strip() if isinstance(creator, dict) else None
    return _starts(titles, resources), tool, []


def _log_of(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        packed = stream.peek(2).startswith(GZIP)
        members = Members(stream, b"")
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
    """Keep the answer of an entry; 1 for one whose body was left out."""
    request, response = entry["request"], entry["response"]
    if str(request.get("method") or "GET").upper() in _NO_PAGES:
        return 0
    url, content, asked = str(request["url"]), response.get("content") or {}, _headers_of(request)
    told, status = _headers_of(response), _number(response.get("status"))
    location = redirect_of(status, url, str(response.get("redirectURL") or "") or told.get("location"))
    text = content.get("text")
    if location is None and not text and _number(content.get("size")) > 0:
        resources.miss("not in the capture: its body was not saved", url)
        return int(status < 300 or status == _NOT_MODIFIED)
    media_type, _, parameters = str(content.get("mimeType") or told.get("content-type") or "").partition(";")
    media_type = media_type.strip().lower()
    data, is_text = _decoded(str(text or ""), content, media_type, url, resources)
    whole = status != _PART or is_whole(told.get("content-range"))
    if not whole:
        resources.miss("only a part of it is in the capture (status 206)", url)
    if status == _NOT_MODIFIED and not data:
        resources.miss("not in the capture; its server said that it had not changed (status 304)", url)
    # A browser that kept an answer writes its body beside the status "not changed".
    if (status == _PART and whole) or (status == _NOT_MODIFIED and data):
        status = 200
    # Bodies are stored unpacked; some proxies store them as they came.
    codings = [
        one for one in _MARKED if is_packed_as(one, data[:8]) and one in told.get("content-encoding", "").lower()
    ]
    body, complete = body_of(iter([data]), codings, url, resources)
    resources.add(
        body, url, media_type=media_type, charset="utf-8" if is_text else charset_in(parameters), status=status,
        referrer=asked.get("referer"), asked_for=_asked_for(asked), at=_utc(entry.get("startedDateTime")),
        location=location, whole=whole and complete, group=str(entry.get("pageref") or "") or None,
    )  # fmt: skip
    return 0


def _headers_of(told: Any) -> dict[str, str]:
    return {
        str(one["name"]).lower(): str(one["value"])
        for one in told.get("headers") or ()
        if isinstance(one, dict) and "name" in one and "value" in one
    }


def _asked_for(headers: dict[str, str]) -> str:
    return headers.get("sec-fetch-dest", "").strip().lower() or ("empty" if "x-requested-with" in headers else "")


def _number(told: Any) -> int:
    return int(told) if isinstance(told, int | float) and abs(told) < 1e15 else 0


def _decoded(text: str, content: dict[str, Any], media_type: str, url: str, resources: Resources) -> tuple[bytes, bool]:
    """A body's bytes, and whether it was stored as text, which is UTF-8 then.

    Some tools write plain text and say base64, others write base64 and do not say so: what a body
    is tells which.
    """
    plain = text.encode("utf-8", "replace")
    says_base64 = str(content.get("encoding") or "").strip().lower() == "base64"
    data = _from_base64(text) if says_base64 or media_type.startswith("image/") else None
    if says_base64:
        size = _number(content.get("size"))
        if data is not None and not (len(data) != size == len(plain)):
            return data, False
        resources.note("marked as base64 and is plain text: read as that", url)
    elif data is not None and media_type_of(data[:HEAD_BYTES]).startswith("image/"):
        resources.note("in base64 and not marked so: read as that", url)
        return data, False
    return plain, True


def _from_base64(text: str) -> bytes | None:
    """Bytes of base64 as browsers read it (Infra, "forgiving-base64 decode"), in either alphabet.

    None for anything else.
    """
    told = re.sub(r"[\t\n\f\r ]+", "", text).replace("-", "+").replace("_", "/")
    told = re.sub(r"={1,2}$", "", told) if len(told) % 4 == 0 else told
    if len(told) % 4 == 1 or _NOT_BASE64.search(told):
        return None
    try:
        return base64.b64decode(told + "=" * (-len(told) % 4))
    except (binascii.Error, ValueError):
        return None


def _starts(titles: dict[str, Any], resources: Resources) -> list[Start]:
    """Of each recorded page its documents; without recorded pages every HTML answer but frames."""
    groups: dict[str | None, list[Resource]] = {}
    for one in resources.all:
        groups.setdefault(one.group, []).append(one)
    starts: list[Start] = []
    for group, answers in groups.items():
        known = titles.get(group or "", {})
        title = str(known.get("title") or "")
        pages = pages_in(resources, answers)
        if group is not None:
            pages = [one for one in pages if one.asked_for == "document"] or _main_of(pages, title)
        for page in pages:
            shown = title if len(pages) == 1 and not is_web(title) else ""
            at = _utc(known.get("startedDateTime")) if page is pages[0] else None
            starts.append(Start(page.url, shown, at or page.at, group))
    return starts


def _main_of(pages: Sequence[Resource], title: str) -> list[Resource]:
    """The page that was recorded: the one that the title names, else the first nobody asked for."""
    urls = {one.url.partition("#")[0] for one in pages}
    tests = (
        lambda one: one.url == title,
        lambda one: bool(title) and _title_of(one) == title,
        lambda one: one.referrer not in urls - {one.url.partition("#")[0]},
    )
    left = list(pages)
    for test in tests:
        left = [one for one in left if test(one)] or left
    return sorted(left, key=lambda one: one.at or "")[:1]


def _title_of(page: Resource) -> str:
    found = re.search(rb"<title[^>]{0,200}>([^<]{0,2000})", page.read()[:200_000], re.IGNORECASE)
    return " ".join(found[1].decode("utf-8", "replace").split()) if found else ""


def _utc(told: Any) -> str | None:
    """A time of the file in UTC; as it stands there where it has no zone or is none."""
    text = str(told or "")[:40]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text or None
    return moment.astimezone(UTC).isoformat() if moment.tzinfo is not None else text
