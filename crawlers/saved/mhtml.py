"""MHTML (RFC 2557) as browsers save it, and HAR 1.2 as their developer tools do."""

from __future__ import annotations

import base64
import binascii
import json
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from crawlers.errors import CaptureRefused
from crawlers.saved.page import Resources, Start
from crawlers.saved.warc import charset_in

_MOST_HAR_BYTES = 250_000_000  # JSON is read whole


def read_mhtml(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Parts of multipart/related by their Content-Location; the first HTML part is the page."""
    if path.stat().st_size > _MOST_HAR_BYTES:
        raise CaptureRefused(f"an MHTML file of more than {_MOST_HAR_BYTES / 1e6:,.0f} MB is not read")
    with path.open("rb") as stream:
        message = BytesParser(policy=policy.compat32).parse(stream)
    start: Start | None = None
    for number, part in enumerate(message.walk()):
        if part.is_multipart():
            continue
        url = str(part.get("Content-Location") or f"cid:{_content_id(part) or number}").strip()
        data = part.get_payload(decode=True)
        body = data if isinstance(data, bytes) else b""
        charset = charset_in(str(part.get("Content-Type") or "").partition(";")[2])
        kind = part.get_content_type().lower()
        resource = resources.add_bytes(body, url, media_type=kind, charset=charset)
        if content_id := _content_id(part):
            resources.add_bytes(body, f"cid:{content_id}", media_type=kind, charset=charset)
        if start is None and resource.is_page:
            start = Start(url, _subject(message), _date(message))
    if start is None:
        raise CaptureRefused("it holds no HTML part")
    return [start], str(message.get("From") or "")[:200] or None, []


def _content_id(part: Message) -> str:
    return str(part.get("Content-ID") or "").strip().strip("<>")


def _subject(message: Message) -> str:
    decoded = EmailMessage(policy.default)
    try:
        decoded["Subject"] = str(message.get("Subject") or "").replace("\n", " ").replace("\r", " ")
        return str(decoded["Subject"])[:500]
    except (ValueError, IndexError, LookupError):
        return ""


def _date(message: Message) -> str | None:
    try:
        return parsedate_to_datetime(str(message.get("Date"))).isoformat()
    except (TypeError, ValueError, OverflowError):
        return None


def read_har(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Entries' responses, and the pages they were recorded for. Bodies that were left out are noted."""
    if path.stat().st_size > _MOST_HAR_BYTES:
        raise CaptureRefused(f"a HAR file of more than {_MOST_HAR_BYTES / 1e6:,.0f} MB is not read")
    try:
        log = json.loads(path.read_bytes())["log"]
        entries, pages = list(log.get("entries") or ()), list(log.get("pages") or ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CaptureRefused(f"it is no HAR file ({type(error).__name__})") from error
    starts: dict[str, Start] = {}
    titles = {str(one.get("id")): one for one in pages if isinstance(one, dict)}
    left_out = 0
    for entry in entries:
        try:
            left_out += _take_entry(entry, titles, starts, resources)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            resources.notes.append(f"an entry of the HAR file cannot be read ({type(error).__name__})")
    if left_out:
        resources.notes.append(f"{left_out} answers were saved without their bodies; save the HAR “with content”")
    creator = log.get("creator")
    tool = f"{creator.get('name', '')} {creator.get('version', '')}".strip() if isinstance(creator, dict) else None
    return list(starts.values()), tool, []


def _take_entry(entry: Any, titles: dict[str, Any], starts: dict[str, Start], resources: Resources) -> int:
    url, response = str(entry["request"]["url"]), entry["response"]
    content = response.get("content") or {}
    text = content.get("text")
    if text is None:
        return int(response.get("status", 0) == 200 and content.get("size", 0) > 0)
    kind = str(content.get("mimeType") or "")
    media_type, _, parameters = kind.partition(";")
    try:
        data = base64.b64decode(text) if content.get("encoding") == "base64" else str(text).encode("utf-8", "replace")
    except (binascii.Error, ValueError):
        data = b""
    charset = None if content.get("encoding") != "base64" else charset_in(parameters)
    headers = {str(one["name"]).lower(): str(one["value"]) for one in entry["request"].get("headers") or ()}
    resource = resources.add_bytes(
        data, url, media_type=media_type.strip().lower(), charset=charset or "utf-8", status=int(response.get("status") or 0),
        referrer=headers.get("referer"), at=str(entry.get("startedDateTime") or "")[:40] or None,
    )  # fmt: skip
    page = str(entry.get("pageref") or "")
    if resource.is_page and resource.status == 200 and page not in starts:
        known = titles.get(page, {})
        starts[page] = Start(
            url, str(known.get("title") or ""), str(known.get("startedDateTime") or "")[:40] or resource.at
        )
    return 0
