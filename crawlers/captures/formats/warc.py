"""WARC (ISO 28500), plain or gzip, read with warcio; the digests of records are checked as well."""

from __future__ import annotations

import io
import lzma
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from warcio.exceptions import ArchiveLoadFailed

from crawlers.captures.formats.bodies import body_of
from crawlers.captures.formats.documents import pages_in
from crawlers.captures.formats.record_digests import agrees, has_digest, records_of
from crawlers.captures.formats.revisits import Visits
from crawlers.captures.formats.unpacking import GZIP, Members, codings_in, pieces_of, without_chunks
from crawlers.captures.pages.addresses import is_web
from crawlers.captures.pages.charsets import charset_in
from crawlers.captures.pages.page import Format, Start
from crawlers.captures.pages.resources import Resources

_CHUNK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})  # Fetch, "redirect status"
_PART, _NOT_MODIFIED = 206, 304
_WHOLE_RANGE = re.compile(r"\s*bytes\s+0-(\d+)/(\d+)\s*", re.IGNORECASE)
# The exceptions of warcio and zipfile for broken input.
BROKEN = (
    ArchiveLoadFailed,
    lzma.LZMAError,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    AttributeError,
    AssertionError,
)


_CHECKS = {
    True: "{} records agree with their own digests",
    False: (
        "{} records do NOT agree with their own digests: they were changed after they were captured"
    ),
    None: "{} records have digests of a kind that is not known: not checked",
}


def read_warc(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Read the answers into `resources`; returns the pages, the tool and the checks."""
    visits = Visits(resources)
    with path.open("rb") as stream:
        tool, checks = read_warc_stream(stream, resources, visits)
    visits.settle()
    return starts_in(resources), tool, checks


def starts_in(resources: Resources) -> list[Start]:
    """The pages of the WARCs that were read; call it after `Visits.settle`."""
    return [Start(page.url, saved_at=page.at, group=page.group) for page in pages_in(resources)]


def read_warc_stream(
    stream: Any, resources: Resources, visits: Visits
) -> tuple[str | None, list[str]]:
    """Read one WARC from an open stream with `peek`; returns the tool and the checks.

    A broken record ends the reading with a note. The records before it count.
    """
    tool, cut_off, verdicts = None, False, Counter[bool | None]()
    members = Members(stream, b"WARC/") if stream.peek(2).startswith(GZIP) else None
    plain: Any = stream if members is None else io.BufferedReader(members, _CHUNK)
    try:
        records = records_of(plain)
        for record in records:
            if record.rec_type == "warcinfo":
                tool = tool or _software(record)
            else:
                _take_record(record, resources, visits)
            if _is_cut_off(record):
                cut_off = True
            elif record.rec_type in ("response", "resource"):
                verdicts.update([agrees(record)] if has_digest(record) else [])
        # The iterator stops silently at the beginning of a record without an end.
        member_cut_off = members is not None and members.problem == "cut off"
        cut_off = cut_off or bool(records.next_line) or member_cut_off
        if members is not None and members.problem == "broken":
            resources.notes.append(f"the {Format.WARC} ends in a gzip member that cannot be read")
    except BROKEN as error:
        resources.notes.append(
            f"the {Format.WARC} ends in a record that cannot be read ({type(error).__name__})"
        )
    if cut_off:
        resources.notes.append(
            f"the {Format.WARC} was cut off: it ends inside a record, "
            "and what came after is missing"
        )
    return tool, [
        text.format(verdicts[verdict]) for verdict, text in _CHECKS.items() if verdicts[verdict]
    ]


def _is_cut_off(record: Any) -> bool:
    """Whether the file ends inside this record. warcio takes that for the end of the record."""
    while record.raw_stream.read(_CHUNK):
        pass
    announced = record.rec_headers.get_header("Content-Length")
    return announced is None or getattr(record.raw_stream, "limit", 0) > 0


def _take_record(record: Any, resources: Resources, visits: Visits) -> None:
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    if not is_web(url):
        return
    if record.rec_type == "request" and record.http_headers is not None:
        visits.keep_request(record, url)
    elif record.rec_type == "revisit":
        visits.keep_revisit(record, url, _take(record, url, resources))
    elif record.rec_type in ("response", "resource"):
        visits.keep_answer(record, url, _take(record, url, resources))


def _take(record: Any, url: str, resources: Resources) -> int:
    """Add an answer and return its number."""
    headers, record_headers = record.http_headers, record.rec_headers
    status = _status(headers, record.rec_type)
    media_type, _, parameters = (
        _joined(headers or record_headers, "Content-Type") or ""
    ).partition(";")
    if record.rec_type == "revisit":
        body, whole = resources.body(), True
        media_type = media_type if headers else ""  # the header of the record describes the record
    else:
        body, whole = _body(record, url, resources)
    if reason := record_headers.get_header("WARC-Truncated"):
        resources.note(f"cut off when it was captured ({reason[:40]})", url)
        whole = False
    if record_headers.get_header("WARC-Segment-Number"):
        resources.note("read in part only, since it was stored in several records", url)
        whole = False
    if status == _PART:
        if is_whole(headers.get_header("Content-Range")):
            status = 200
        else:
            resources.miss("only a part of it is in the capture (status 206)", url)
            whole = False
    if status == _NOT_MODIFIED and record.rec_type != "revisit":
        resources.miss(
            "not in the capture; its server said that it had not changed (status 304)", url
        )
    return resources.add(
        body,
        url,
        media_type=media_type.strip().lower(),
        charset=charset_in(parameters),
        status=status,
        whole=whole,
        at=record_headers.get_header("WARC-Date"),
        group=record_headers.get_header("WARC-Page-ID"),
        location=redirect_of(status, url, headers.get_header("Location")) if headers else None,
    ).number


def _body(record: Any, url: str, resources: Resources) -> tuple[Any, bool]:
    stream, headers = record.raw_stream, record.http_headers
    transfer = codings_in(_joined(headers, "Transfer-Encoding"))
    pieces = without_chunks(stream) if "chunked" in transfer else pieces_of(stream)
    codings = codings_in(_joined(headers, "Content-Encoding"))
    codings += [coding for coding in transfer if coding != "chunked"]
    return body_of(pieces, codings, url, resources)


def _joined(headers: Any, name: str) -> str | None:
    """All values of a header; of Content-Type the last one, as in Fetch."""
    pairs = headers.headers if headers else []
    found = [value for key, value in pairs if key.lower() == name.lower()]
    return (found[-1] if name == "Content-Type" else ", ".join(found)) if found else None


def redirect_of(status: int, url: str, location: str | None) -> str | None:
    """The absolute address of a redirect (Fetch, "location URL"); None if it is no redirect."""
    if status not in _REDIRECTS or not location:
        return None
    try:
        return urljoin(url, location.strip())
    except ValueError:
        return None


def _status(headers: Any, kind: str) -> int:
    if headers is None:
        return _NOT_MODIFIED if kind == "revisit" else 200
    code = headers.get_statuscode()
    return int(code) if re.fullmatch(r"[1-9]\d\d", code) else 0


def is_whole(content_range: str | None) -> bool:
    """Whether a partial answer (206) holds the whole body."""
    found = _WHOLE_RANGE.fullmatch(content_range or "")
    return found is not None and int(found[1]) + 1 == int(found[2])


def _software(record: Any) -> str | None:
    text = record.content_stream().read(10_000).decode("utf-8", "replace")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "software":
            return value.strip()[:200] or None
    return None
