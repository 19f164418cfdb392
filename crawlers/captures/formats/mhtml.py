"""MHTML (RFC 2557, multipart/related of RFC 2387) as browsers save it.

The file is divided as bytes. The email package only parses headers, because it would treat bodies
as text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email import policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from pathlib import Path
from string import ascii_letters, digits
from urllib.parse import quote, urljoin, urlsplit

from crawlers.captures.pages.addresses import is_web
from crawlers.captures.pages.charsets import charset_in
from crawlers.captures.pages.page import Start
from crawlers.captures.pages.resources import Resource, Resources
from crawlers.captures.pages.sniffing import HEAD_BYTES, media_type_of
from crawlers.errors import CaptureRefused

_MOST_BYTES = 250_000_000
_MOST_DEPTH = 10
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_PAGES = ("text/html", "application/xhtml+xml")
_NOT_BASE64 = bytes(set(range(256)) - set(f"{ascii_letters}{digits}+/=".encode()))
# In mail folders a line precedes each message (RFC 4155): "From - Sun Mar 01 10:00:00 2026".
_BEFORE_HEADERS = re.compile(
    rb"(?:\xef\xbb\xbf|\s)*(?:From (?![ \t]*:)[^\r\n]*\r?\n(?=[!-9;-~]+:))?"
)
_AS_IT_IS = ("", "7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that contains no other parts.

    Attributes:
        ids: its Content-ID and those of the parts around it.
        base: the base of its Content-Location.
        closed: whether a delimiter follows it.
    """

    headers: Message
    body: bytes
    ids: tuple[str, ...]
    base: str | None
    closed: bool


def read_mhtml(path: Path, resources: Resources) -> tuple[list[Start], str | None, list[str]]:
    """Read all parts, and start at the part that is the page (`_root`)."""
    if path.stat().st_size > _MOST_BYTES:
        raise CaptureRefused(f"an MHTML file of more than {_MOST_BYTES / 1e6:,.0f} MB is not read")
    data = path.read_bytes()
    headers, body = _split(data[message_begin(data) :])
    del data
    saved_as = _address(headers, "Snapshot-Content-Location")
    parts = list(_parts(headers, body, (), None, 0, closed=True))
    start_id = _content_id(collapse_rfc2231_value(headers.get_param("start") or ""))
    root = _root(parts, start_id, saved_as)
    if root is None:
        raise CaptureRefused("it holds no HTML part")
    start: Start | None = None
    for number, part in enumerate(parts):
        kept = _keep(part, number, saved_as if part is root else None, resources)
        if part is root:
            start = Start(kept.url, _subject(headers), _date(headers))
    if not all(part.closed for part in parts):
        resources.notes.append(
            "the MHTML was cut off: it ends inside a part, and what came after is missing"
        )
    return [start] if start else [], str(headers.get("From") or "")[:200] or None, []


def message_begin(data: bytes) -> int:
    """The offset of a message's headers, behind marks, blank lines and the line of mail folders."""
    found = _BEFORE_HEADERS.match(data)
    return found.end() if found else 0


def _split(data: bytes) -> tuple[Message, bytes]:
    """The headers and the body of a message or part."""
    if data.startswith((b"\n", b"\r\n")):
        return Message(policy.compat32), data.partition(b"\n")[2]
    found = _BLANK_LINE.search(data)
    head, body = (data, b"") if found is None else (data[: found.end()], data[found.end() :])
    return BytesParser(policy=policy.compat32).parsebytes(head, headersonly=True), body


def _parts(
    headers: Message,
    body: bytes,
    ids: tuple[str, ...],
    base: str | None,
    depth: int,
    *,
    closed: bool,
) -> Iterator[_Part]:
    own = _content_id(str(headers.get("Content-ID") or ""))
    ids = (*ids, own) if own else ids
    base = _based(headers, base)
    boundary = headers.get_boundary() if headers.get_content_maintype() == "multipart" else None
    if boundary is None:
        yield _Part(headers, body, ids, base, closed)
        return
    if depth >= _MOST_DEPTH:
        raise CaptureRefused("its parts are nested too deeply")
    for inside, followed in _cut(body, boundary.encode("utf-8", "surrogateescape")):
        yield from _parts(*_split(inside), ids, base, depth + 1, closed=closed and followed)


def _cut(body: bytes, boundary: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the parts between delimiter lines (RFC 2046, 5.1.1), and whether a delimiter follows.

    The line end before a delimiter belongs to the delimiter, and is of the same kind as the line
    end after it.
    """
    lines = re.compile(rb"--" + re.escape(boundary) + rb"(--)?[ \t]*(\r?\n|\Z)")
    begin, line_end = None, b""
    for found in lines.finditer(body):
        if found.start() and body[found.start() - 1] != ord("\n"):
            continue
        if begin is not None:
            end = found.start()
            ends_in_two = body[end - 2 : end] == b"\r\n" and (found[2] or line_end) == b"\r\n"
            yield body[begin : max(begin, end - (2 if ends_in_two else 1))], True
        if found[1]:
            return
        begin, line_end = found.end(), found[2]
    if begin is not None:
        yield body[begin:], False


def _based(headers: Message, around: str | None) -> str | None:
    """The base of a part: its Content-Base (RFC 2110), else that of the part around it.

    See RFC 2557, section 5.
    """
    address = _address(headers, "Content-Base")
    if not address and headers.get_content_maintype() == "multipart":
        address = _address(headers, "Content-Location")
    return _joined(around, address) if address else around


def _root(parts: list[_Part], start: str, saved_as: str) -> _Part | None:
    """The part that `start` names (RFC 2387), else that of the snapshot, else the first page."""
    pages = [part for part in parts if _is_html(part)]
    named = [part for part in pages if start and start in part.ids]
    of_snapshot = [part for part in pages if saved_as and _location(part) == saved_as]
    return next(iter([*named, *of_snapshot, *pages]), None)


def _is_html(part: _Part) -> bool:
    return (_media_type(part) or media_type_of(_decoded(part)[0][:HEAD_BYTES])) in _PAGES


def _keep(part: _Part, number: int, saved_as: str | None, resources: Resources) -> Resource:
    """Add a part under its addresses; the page also gets the address of the snapshot."""
    own_id = _content_id(str(part.headers.get("Content-ID") or ""))
    location = _location(part)
    if saved_as and not is_web(location):
        location = saved_as
    url = location or f"cid:{own_id or number}"
    body, problem = _decoded(part)
    if problem:
        resources.note(problem, url)
    charset = charset_in(str(part.headers.get("Content-Type") or "").partition(";")[2])
    has_own_base = part.headers.get("Content-Base") or not urlsplit(url).netloc
    kept = resources.add_bytes(
        body,
        url,
        media_type=_media_type(part),
        charset=charset,
        base=part.base if has_own_base else None,
    )
    if own_id:
        resources.name(kept, f"cid:{quote(own_id)}")
        resources.name(kept, f"cid:{own_id}")  # many programs do not escape it
    return kept


def _decoded(part: _Part) -> tuple[bytes, str | None]:
    """The bytes of a part without transfer encoding (RFC 2045), and a problem with them."""
    encoding = (
        str(part.headers.get("Content-Transfer-Encoding") or "").partition(";")[0].strip().lower()
    )
    if encoding in _AS_IT_IS:
        return part.body, None
    if encoding == "quoted-printable":
        return binascii.a2b_qp(part.body), None
    if encoding != "base64":
        return b"", f"not read, since its transfer encoding {encoding[:40]!r} is not known"
    pieces = part.body.translate(None, _NOT_BASE64).split(b"=")
    broken = any(len(piece) % 4 == 1 for piece in pieces)
    whole = (piece[:-1] if len(piece) % 4 == 1 else piece for piece in pieces)
    data = b"".join(base64.b64decode(piece + b"=" * (-len(piece) % 4)) for piece in whole)
    return data, "its base64 ends in the middle of a byte" if broken else None


def _media_type(part: _Part) -> str:
    """The declared media type, "" without one."""
    return part.headers.get_content_type().lower() if part.headers.get("Content-Type") else ""


def _location(part: _Part) -> str:
    address = _address(part.headers, "Content-Location")
    return (_joined(part.base, address) or address) if address else ""


def _joined(base: str | None, place: str) -> str | None:
    try:
        return urljoin(base or "page", place)  # without a base parts are relative to each other
    except ValueError:
        return None


def _address(headers: Message, name: str) -> str:
    """The address in a header, which may be folded or an encoded word (RFC 2557, section 4.4)."""
    text = re.sub(r"\r?\n[ \t]*", "", str(headers.get(name) or "")).strip().strip("<>")
    if "=?" in text:
        try:
            text = str(make_header(decode_header(text)))
        except (LookupError, ValueError, MessageError):
            return text
    return re.sub(r"\s+", "%20", text.strip())


def _content_id(text: str) -> str:
    return re.sub(r"\r?\n[ \t]*", "", text).strip().strip("<>").strip()


def _subject(headers: Message) -> str:
    text = re.sub(r"\r?\n[ \t]*", " ", str(headers.get("Subject") or ""))
    try:
        return str(make_header(decode_header(text)))[:500]
    except (LookupError, ValueError, MessageError):
        return text[:500]


def _date(headers: Message) -> str | None:
    """The time of saving; without a zone, or with -0000, it is UTC (RFC 5322, 3.3)."""
    try:
        moment = parsedate_to_datetime(str(headers.get("Date")))
    except (TypeError, ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
