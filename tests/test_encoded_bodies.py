"""Servers that encode a body unasked: the file is read all the same, or refused with a reason."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from crawlers.checkpoints.download import download
from crawlers.checkpoints.header import read_header
from crawlers.checkpoints.ranged_reads import HttpSource
from crawlers.errors import DownloadError, NotSafetensors, UnreadableEncoding
from crawlers.http.content_encodings import codings_of, decoded
from crawlers.http.transport import Transport
from crawlers.listing import RemoteFile
from tests.servers.serving import Answer, serve_answers
from tests.test_cli import run

FILE = save(
    {f"layer_{number}.weight": np.arange(64, dtype="f4") for number in range(2_000)},
    {"ss_output_name": "x"},
)
SHA256 = hashlib.sha256(FILE).hexdigest()


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    "identity": bytes,
    "aws-chunked": bytes,
    "aws-chunked, gzip": gzip.compress,
    "gzip, identity": bytes,  # the label was left on a file that is not compressed
}


def serves(
    coding: str, body: bytes, *, ranges: bool = False
) -> Callable[[str, dict[str, str], bytes], Answer]:
    """Serves one encoded body; with `ranges` also ranges of it, as in the standard."""

    def answer(_path: str, headers: dict[str, str], _body: bytes) -> Answer:
        told = {"Content-Encoding": coding, "ETag": '"one"'}
        if not ranges or "Range" not in headers:
            return 200, told, body
        first, _, last = headers["Range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(body)), len(body) - 1)
        if start >= len(body):
            return 416, {"Content-Range": f"bytes */{len(body)}"}, b""
        return (
            206,
            {**told, "Content-Range": f"bytes {start}-{end}/{len(body)}"},
            body[start : end + 1],
        )

    return answer


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("coding", ENCODED)
class TestAnEncodedFile:
    def test_its_header_is_read(self, transport: Transport, coding: str, ranges: bool) -> None:
        with serve_answers(serves(coding, ENCODED[coding](FILE), ranges=ranges)) as url:
            header = read_header(HttpSource(transport, url))
        assert (len(header.tensors), header.metadata["ss_output_name"]) == (2_000, "x")

    def test_it_is_fetched(
        self, transport: Transport, tmp_path: Path, coding: str, ranges: bool
    ) -> None:
        with serve_answers(serves(coding, ENCODED[coding](FILE), ranges=ranges)) as url:
            _, sha256 = download(
                transport, RemoteFile("x.safetensors", url, len(FILE), SHA256), tmp_path
            )
        assert sha256 == SHA256

    def test_a_part_of_it_in_plain_bytes_is_not_gone_on_with(
        self, transport: Transport, tmp_path: Path, coding: str, ranges: bool
    ) -> None:
        answers = [(200, {"Content-Length": str(len(FILE))}, FILE[:100_000])]
        behind = serves(coding, ENCODED[coding](FILE), ranges=ranges)
        with serve_answers(lambda *asked: answers.pop() if answers else behind(*asked)) as url:
            _, sha256 = download(transport, RemoteFile("x.safetensors", url), tmp_path)
        assert sha256 == SHA256


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "x-own", "gzip, br", "gzip"])
def test_what_cannot_be_undone_gets_a_plain_reason(
    transport: Transport, tmp_path: Path, coding: str
) -> None:
    body = gzip.compress(FILE)[:-2000] if coding == "gzip" else bytes(range(256)) * 40
    with serve_answers(serves(coding, body)) as url:
        for attempt in range(2):
            with pytest.raises(DownloadError, match="encoded as"):
                download(transport, RemoteFile("x.safetensors", url), tmp_path / str(attempt))
            assert not list((tmp_path / str(attempt)).glob("*.part"))
        if coding != "gzip":
            with pytest.raises(UnreadableEncoding, match=coding.rpartition(" ")[2]):
                read_header(HttpSource(transport, url))


def test_inspect_says_what_the_header_says(tmp_path: Path) -> None:
    with serve_answers(serves("gzip", gzip.compress(FILE))) as url:
        done = run("inspect", f"{url}/x.safetensors", "--json", home=tmp_path / "home")
    assert done.returncode == 0
    assert json.loads(done.stdout)["problems"] == [
        "these tensors are not those of any known adapter or image model"
    ]
    with serve_answers(serves("br", b"\x1b" * 3000)) as url:
        done = run("inspect", f"{url}/x.safetensors", "--json", home=tmp_path / "home")
    assert "encoded as br" in done.stdout + done.stderr
    assert "hostile" not in done.stdout + done.stderr


def test_a_file_that_is_compressed_itself_is_said_to_be(transport: Transport) -> None:
    with (
        serve_answers(lambda *_: (200, {}, gzip.compress(FILE))) as url,
        pytest.raises(NotSafetensors, match="unpack"),
    ):
        read_header(HttpSource(transport, url))


@given(
    st.lists(st.binary(max_size=300), max_size=4),
    st.integers(1, 50),
    st.sampled_from(["gzip", "deflate"]),
)
def test_any_pieces_of_any_members_decode_to_the_same(
    members: list[bytes], size: int, coding: str
) -> None:
    data = b"".join(members)
    body = b"".join(map(gzip.compress, members)) if coding == "gzip" else zlib.compress(data)
    pieces = (body[place : place + size] for place in range(0, len(body), size))
    assert b"".join(decoded(pieces, (coding,))) == data


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_body_under_any_label_ends_in_bytes_or_a_reason(body: bytes, label: str) -> None:
    try:
        assert isinstance(
            b"".join(decoded(iter([body]), codings_of({"content-encoding": label}))), bytes
        )
        for coding in ("gzip", "deflate"):
            b"".join(decoded(iter([b"\x1f\x8b" + body]), (coding,)))
    except UnreadableEncoding:
        pass


def test_a_body_that_swells_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    assert max(len(piece) for piece in decoded(iter([bomb]), ("gzip",))) <= 1024 * 1024
