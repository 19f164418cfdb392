"""Captures of one page with one image, built byte by byte in every archive format."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import brotli
import zstandard
from PIL import Image

from crawlers.captures.pages.page import CapturedPage, Limits, Reading
from crawlers.captures.reading import read_capture

PAGE, IMAGE = "https://site.example/p/1", "https://site.example/i/1.png"
DATE = "2026-03-01T10:00:00Z"


def html(*images: str, title: str = "Offer") -> bytes:
    shown = "".join(f'<img src="{url}" alt="photo">' for url in images or (IMAGE,))
    return (
        f"<!doctype html><html><head><title>{title}</title></head><body>Words{shown}</body></html>"
    ).encode()


def png(colour: str = "red", side: int = 64) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, "PNG")
    return data.getvalue()


# Content codings as a server applies them.
def _raw_deflate(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "raw deflate": _raw_deflate,
}


def chunked(data: bytes, size: int = 7, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    return b"".join(b"%X;x=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


# WARC.
def answer(
    body: bytes, media_type: str | None = "image/png", status: str = "200 OK", **headers: str
) -> bytes:
    lines = {
        "Content-Type": media_type,
        **{name.replace("_", "-"): told for name, told in headers.items()},
    }
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{told}\r\n".encode() + body


def record(kind: str, url: str, block: bytes, **headers: str) -> bytes:
    named = {"WARC-Date": DATE, **{name.replace("_", "-"): told for name, told in headers.items()}}
    told = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return (
        (
            f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n{told}"
            "Content-Type: application/http; "
            f"msgtype={'request' if kind == 'request' else 'response'}\r\n"
            f"Content-Length: {len(block)}\r\n\r\n"
        ).encode()
        + block
        + b"\r\n\r\n"
    )


def response(url: str, body: bytes, *told: Any, **headers: str) -> bytes:
    return record("response", url, answer(body, *told, **headers))


def page_record(url: str = PAGE, body: bytes | None = None, **headers: str) -> bytes:
    return record("response", url, answer(html() if body is None else body, "text/html"), **headers)


def members(records: Iterable[bytes]) -> bytes:
    return b"".join(gzip.compress(one) for one in records)


def wacz(
    warcs: Mapping[str, bytes],
    describe: Callable[[str, bytes], dict[str, Any]] | None = None,
    listed: Iterable[str] = (PAGE,),
    ids: Mapping[str, str] | None = None,
) -> bytes:
    """A package of WARCs; `describe` returns the entry of a file in datapackage.json."""
    lines = [
        {"format": "json-pages-1.0"},
        *({"url": url, "title": "Offer", "id": (ids or {}).get(url)} for url in listed),
    ]
    pages = "\n".join(json.dumps(line) for line in lines).encode()
    files = {
        **{f"archive/{name}": data for name, data in warcs.items()},
        "pages/pages.jsonl": pages,
    }
    describe = describe or (
        lambda name, data: {"hash": "sha256:" + hashlib.sha256(data).hexdigest()}
    )
    resources = [{"path": name, **describe(name, data)} for name, data in files.items()]
    described = {"profile": "data-package", "wacz_version": "1.1.1", "resources": resources}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        for name, data in {**files, "datapackage.json": json.dumps(described).encode()}.items():
            package.writestr(name, data)
    return out.getvalue()


# HAR.
def entry(url: str, content: dict[str, Any], status: int = 200, **more: Any) -> dict[str, Any]:
    asked = [
        {"name": name.replace("_", "-"), "value": told}
        for name, told in more.pop("asked", {}).items()
    ]
    told = [
        {"name": name.replace("_", "-"), "value": value}
        for name, value in more.pop("told", {}).items()
    ]
    return {
        "startedDateTime": "2026-03-01T10:00:00.000+08:00",
        "request": {"method": more.pop("method", "GET"), "url": url, "headers": asked},
        "response": {
            "status": status,
            "headers": told,
            "content": content,
            "redirectURL": more.pop("redirect", ""),
        },
        **more,
    }


def page_entry(url: str = PAGE, body: bytes | None = None, **more: Any) -> dict[str, Any]:
    text = (html() if body is None else body).decode()
    return entry(
        url, {"mimeType": "text/html; charset=utf-8", "text": text, "size": len(text)}, **more
    )


def in_base64(body: bytes, media_type: str = "image/png") -> dict[str, Any]:
    return {
        "mimeType": media_type,
        "encoding": "base64",
        "text": base64.b64encode(body).decode(),
        "size": len(body),
    }


def har(*entries: dict[str, Any], pages: Iterable[dict[str, Any]] = ()) -> bytes:
    return json.dumps(
        {"log": {"version": "1.2", "entries": entries, "pages": list(pages)}}
    ).encode()


# MHTML.
def encoded(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.encodebytes(body)
    return binascii.b2a_qp(body, istext=False) if encoding == "quoted-printable" else body


def part(
    body: bytes, headers: Mapping[str, str], encoding: str = "binary", line: str = "\r\n"
) -> bytes:
    told = {**headers, "Content-Transfer-Encoding": encoding}
    head = "".join(f"{name}: {value}{line}" for name, value in told.items())
    return f"{head}{line}".encode() + encoded(body, encoding)


def mhtml(
    *parts: bytes, boundary: str = "b", line: str = "\r\n", type_more: str = "", **headers: str
) -> bytes:
    told = {
        "From": "<Saved by Blink>",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    told["Content-Type"] = f'multipart/related; boundary="{boundary}"{type_more}'
    head = "".join(f"{name}: {value}{line}" for name, value in told.items()) + line
    inside = b"".join(f"--{boundary}{line}".encode() + one + line.encode() for one in parts)
    return head.encode() + inside + f"--{boundary}--{line}".encode()


def page_part(
    location: str | None = PAGE, body: bytes | None = None, line: str = "\r\n", **headers: str
) -> bytes:
    told = {"Content-Type": "text/html", **({"Content-Location": location} if location else {})}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return part(html() if body is None else body, {**told, **more}, "8bit", line)


def read(data: bytes, name: str = "capture", limits: Limits | None = None) -> Reading:
    """Read a file with these bytes; the images of its pages are read as well (`images_of`)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_at(path, limits)


_IMAGES: dict[Path, bytes] = {}


def read_at(path: Path, limits: Limits | None = None) -> Reading:
    with tempfile.TemporaryDirectory() as room:
        reading = read_capture(path, Path(room), limits)
        for page in reading.pages:
            for image in page.images:
                _IMAGES[image.path] = image.path.read_bytes()
    return reading


def images_of(page: CapturedPage) -> list[bytes]:
    return [_IMAGES[image.path] for image in page.images]
