"""A capture gives back an image's exact bytes, in every format and coding."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import archives
from tests.archives import IMAGE, PACK, PAGE

exactly = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ODD = (
    b"\r",
    b"\n",
    b"\r\n",
    b"a\r\n",
    b"a\r\r\n",
    b"a\n\r",
    b"\r\n--b",
    b"\n--b\r\r\n",
    b"--b--\r\n",
    b"0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
    b"WARC/1.1\r\n",
    b"\0" * 70_000,
    b"\x85\x0b\x0c\x1c\x1e\xe2\x80\xa8",
    b"=\r\n=20",
    b" \t \r\n",
    b"<html>",
    b"From x\n.\n",
    bytes(range(256)) * 3,
)
bodies = st.one_of(
    st.binary(min_size=1, max_size=3_000),
    st.sampled_from(ODD),
    st.lists(st.sampled_from(ODD), min_size=2, max_size=5).map(b"".join),
)


def must_be(data: bytes, body: bytes) -> None:
    """The one image of the capture's one page has these bytes."""
    [page] = archives.read(data).pages
    assert [hashlib.sha256(one).hexdigest() for one in archives.images_of(page)] == [
        hashlib.sha256(body).hexdigest()
    ]
    assert page.url == PAGE
    assert not page.notes


@given(
    bodies,
    st.sampled_from(["binary", "8bit", "base64", "quoted-printable"]),
    st.sampled_from(["\r\n", "\n"]),
)
@example(b"\x89PNG\r\n\x1a\n\r", "binary", "\r\n")
@example(b"\x89PNG\r\n\x1a\n\r", "binary", "\n")
@exactly
def test_mhtml(body: bytes, encoding: str, line: str) -> None:
    boundary = f"----Boundary{hashlib.sha256(body).hexdigest()}"
    image = archives.part(
        body, {"Content-Type": "image/png", "Content-Location": IMAGE}, encoding, line
    )
    must_be(
        archives.mhtml(archives.page_part(line=line), image, boundary=boundary, line=line), body
    )


def packed_files(records: list[bytes]) -> dict[str, bytes]:
    whole = b"".join(records)
    blocks = [whole[begin : begin + 500] for begin in range(0, len(whole), 500)]
    return {
        "plain": whole,
        "members": archives.members(records),
        "one member": gzip.compress(whole),
        "blocks": archives.members(blocks),
        "padded": archives.members(records) + b"\0" * 512,
    }


@given(
    bodies,
    st.sampled_from(["plain", "members", "one member", "blocks", "padded"]),
    st.lists(st.sampled_from(sorted(PACK)), max_size=2),
    st.one_of(st.none(), st.integers(1, 4_000)),
)
@example(b"abc", "plain", ["raw deflate"], None)
@example(b"\x28\xb5\x2f\xfd" * 9, "members", ["zstd", "br"], 3)
@exactly
def test_warc(body: bytes, form: str, codings: list[str], chunk_size: int | None) -> None:
    stored = body
    for coding in codings:
        stored = PACK[coding](stored)
    headers = (
        {"Content_Encoding": ", ".join(one.removeprefix("raw ") for one in codings)}
        if codings
        else {}
    )
    if chunk_size is not None:
        stored, headers = (
            archives.chunked(stored, chunk_size),
            {**headers, "Transfer_Encoding": "Chunked"},
        )
    records = [archives.page_record(), archives.response(IMAGE, stored, **headers)]
    must_be(packed_files(records)[form], body)


@given(bodies, st.booleans())
@exactly
def test_wacz(body: bytes, in_two: bool) -> None:
    page, image = archives.page_record(), archives.response(IMAGE, body)
    warcs = (
        {"a.warc": page, "b.warc.gz": gzip.compress(image)} if in_two else {"a.warc": page + image}
    )
    must_be(archives.wacz(warcs), body)


@given(bodies, st.booleans(), st.booleans())
@example(b"\x1f\x8b", False, False)
@example(b"\x28\xb5\x2f\xfd", False, False)
@exactly
def test_har(body: bytes, folded: bool, packed: bool) -> None:
    content = archives.in_base64(body)
    if folded:
        content["text"] = base64.encodebytes(body).decode().replace("=", "")
    data = archives.har(archives.page_entry(), archives.entry(IMAGE, content))
    must_be(gzip.compress(data) if packed else data, body)


@given(st.text(min_size=1, max_size=300))
@exactly
def test_har_of_text(text: str) -> None:
    url = "https://site.example/api"
    told = archives.entry(
        url, {"mimeType": "application/json", "text": text, "size": len(text.encode())}
    )
    [page] = archives.read(archives.har(archives.page_entry(body=b"<title>x</title>"), told)).pages
    assert page.answers == ((url, text),)


@given(bodies, st.booleans())
@exactly
def test_singlefile(body: bytes, in_base64: bool) -> None:
    data = base64.b64encode(body).decode() if in_base64 else quote(body, safe="")
    place = f"data:image/png{';base64' if in_base64 else ''},{data}"
    comment = (
        f"<!--\n Page saved with SingleFile \n url: {PAGE} \n "
        "saved date: Sun Mar 01 2026 10:00:00 GMT+0000\n-->"
    )
    must_be(
        f"<!DOCTYPE html> <html>{comment}<title>Offer</title><img src='{place}'>".encode(), body
    )


@given(bodies)
@exactly
def test_saved_folder(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    folder = tmp_path_factory.mktemp("saved")
    (folder / "Offer_files").mkdir()
    (folder / "Offer_files" / "1.png").write_bytes(body)
    (folder / "Offer.html").write_bytes(
        b"<html><!-- saved from url=(0024)%s -->" % PAGE.encode()
        + archives.html("Offer_files/1.png")
    )
    assert archives.images_of(archives.read_at(Path(folder / "Offer.html")).pages[0]) == [body]
