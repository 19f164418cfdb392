"""The charset of a text, found as browsers do (HTML Standard, 13.2.3; Encoding Standard, 4.2, 6).

Labels are those of the Encoding Standard, so Python's own codec names are never accepted.
"""

from __future__ import annotations

import re

import webencodings

_MOST_HEAD_BYTES = 65_536
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_UNMARKED = (
    (re.compile(rb"[<{\[]\0[^\0]\0"), "utf-16-le"),
    (re.compile(rb"\0[<{\[]\0[^\0]"), "utf-16-be"),
)
_ATTRIBUTES = rb"""(?:[^>"']|"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))*+"""
# Comments, and elements whose content is not markup, contain no meta elements.
_TAGS = re.compile(
    rb"<!--(?:-?>|.*?(?:-->|\Z))"
    rb"|<(script|style|title|textarea)\b" + _ATTRIBUTES + rb"(?:>.*?(?:</\1|\Z)|\Z)"
    rb"|(?P<end></head\b|<body\b)"
    rb"|<meta(?=[\s/])(?P<meta>" + _ATTRIBUTES + rb")(?:>|\Z)"
    rb"|<[a-z]" + _ATTRIBUTES + rb"(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(rb"""([^\s=/>"']+)(?:\s*=\s*("[^"]*+"?|'[^']*+'?|[^\s>"']+))?""")
_IN_CONTENT = re.compile(rb"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""", re.IGNORECASE)
_XML = re.compile(rb"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"']{1,60})["']""")


def page_text(data: bytes, declared: str | None = None) -> str:
    """Decode a page by its mark, its server, its markup, else as UTF-8 with replacements."""
    return _decoded(data, declared, is_markup=True)


def plain_text(data: bytes, declared: str | None = None) -> str:
    """Decode a text without markup in the same way."""
    return _decoded(data, declared, is_markup=False)


def head_in_utf8(head: bytes) -> bytes:
    """The first bytes of a file, converted to UTF-8 if they are UTF-16."""
    codec = _marked(head)
    if codec is None or codec == "utf-8":
        return head
    return head.decode(codec, "ignore").lstrip("\ufeff").encode("utf-8", "replace")


def charset_in(parameters: str) -> str | None:
    """The charset parameter of a Content-Type header."""
    for part in parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None


def _decoded(data: bytes, declared: str | None, *, is_markup: bool) -> str:
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    own = _in_markup(data[:_MOST_HEAD_BYTES]) if is_markup else None
    codec = _codec(declared) or _marked(data) or own or "utf-8"
    is_utf16 = codec.startswith("utf-16")
    if is_utf16 and b"\0" not in data[:1_024] and data.lstrip()[:1] in (b"<", b"{", b"["):
        codec = own or "utf-8"  # in UTF-16 every character of markup has a zero byte
    return data.decode(codec, "replace")


def _marked(data: bytes) -> str | None:
    """The codec of a mark, or UTF-16 if zero bytes follow the first characters."""
    codec = next((codec for mark, codec in _MARKS if data.startswith(mark)), None)
    return codec or next((codec for begin, codec in _UNMARKED if begin.match(data)), None)


def _codec(label: str | None) -> str | None:
    """The codec of a label; None for a label that browsers do not accept."""
    found = webencodings.lookup(label) if label else None
    if found is None or found.name == "replacement":
        return None
    return "gb18030" if found.name == "gbk" else str(found.codec_info.name)


def _in_markup(head: bytes) -> str | None:
    """The charset of a page's meta elements, else of its XML declaration.

    Browsers search the first 1,024 bytes and parse again if an element comes later, so the whole
    head counts.
    """
    for tag in _TAGS.finditer(head):
        if tag["end"] is not None:
            break
        if tag["meta"] is not None and (codec := _in_meta(tag["meta"])):
            return codec
    xml = _XML.match(head)
    return _as_markup(xml[1]) if xml else None


def _in_meta(element: bytes) -> str | None:
    attributes: dict[bytes, bytes] = {}
    for name, value in _ATTRIBUTE.findall(element):
        quote = value[:1] if value[:1] in (b'"', b"'") else b""
        attributes.setdefault(name.lower(), value.removeprefix(quote).removesuffix(quote))
    if b"charset" in attributes:
        return _as_markup(attributes[b"charset"])
    if attributes.get(b"http-equiv", b"").lower() != b"content-type":
        return None
    found = _IN_CONTENT.search(attributes.get(b"content", b""))
    return _as_markup(found[1] or found[2] or found[3]) if found else None


def _as_markup(label: bytes) -> str | None:
    """The codec of a label in markup that can be read as ASCII."""
    codec = _codec(label.decode("ascii", "replace"))
    if codec is not None and codec.startswith("utf-16"):
        return "utf-8"
    return "cp1252" if codec == "x-user-defined" else codec
