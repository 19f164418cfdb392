"""Safetensors headers: valid ones are read completely, hostile ones never beyond the limits."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from crawlers.checkpoints.header import (
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    FileSource,
    parse_beginning,
    parse_header,
    read_header,
)
from crawlers.errors import (
    HeaderTooLarge,
    MalformedHeader,
    NotSafetensors,
    TooManyTensors,
    UnreadableCheckpoint,
)
from tests.conftest import raw_safetensors

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__")
SHAPES = st.lists(st.integers(0, 4), max_size=3)


class Bytes:
    """A checkpoint in memory (see `ByteSource` in crawlers/checkpoints/header.py)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.bytes_read, self.size_bytes = data, 0, len(data)

    def read(self, start: int, length: int) -> bytes:
        self.bytes_read += length
        return self.data[start : start + length]


@given(
    st.dictionaries(NAMES, SHAPES, max_size=6),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
)
def test_what_safetensors_writes_is_read_back(
    shapes: dict[str, list[int]], metadata: dict[str, str]
) -> None:
    data = save(
        {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, metadata or None
    )
    header = read_header(Bytes(data))
    assert {name: list(shape) for name, shape in header.shapes.items()} == shapes
    assert dict(header.metadata) == metadata


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_header_or_a_named_error(data: bytes) -> None:
    try:
        read_header(Bytes(data))
    except UnreadableCheckpoint as error:
        assert str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner),
    )
)
def test_any_json_ends_in_a_header_or_a_named_error(document: object) -> None:
    try:
        read_header(Bytes(raw_safetensors(json.dumps(document).encode())))
    except UnreadableCheckpoint as error:
        assert str(error)


def test_a_huge_length_is_refused_before_anything_is_read() -> None:
    source = Bytes(struct.pack("<Q", 2**40) + b"{" * 100_000)
    with pytest.raises(HeaderTooLarge):
        read_header(source)
    assert source.bytes_read <= 64 * 1024


def test_too_many_tensors_are_refused() -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    with pytest.raises(TooManyTensors):
        parse_header(
            json.dumps({str(number): entry for number in range(MAX_TENSORS + 1)}).encode(), 0
        )


@pytest.mark.parametrize(
    ("entries", "data_bytes", "told"),
    [
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [1], [4, 8])}, 8, "overlaps"),
        ({"a": ("F32", [1], [4, 8])}, 8, "hole"),
        ({"a": ("F32", [1], [0, 4])}, 9, "after the last tensor"),
        ({"a": ("F32", [2], [0, 8])}, 4, "cut off"),
        ({"a": ("F32", [3], [0, 8])}, 8, "do not fit"),
        ({"a": ("F31", [2], [0, 8])}, 8, "dtype"),
        ({"a": (["F32"], [2], [0, 8])}, 8, "dtype"),
        ({"a": ("F32", [-2], [0, 8])}, 8, "shape"),
        ({"a": ("F32", [2], [8, 0])}, 8, "offsets"),
    ],
)
def test_contradictions_are_named(
    entries: dict[str, tuple[object, list[int], list[int]]], data_bytes: int, told: str
) -> None:
    document = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        for name, (dtype, shape, offsets) in entries.items()
    }
    with pytest.raises(MalformedHeader, match=told):
        parse_header(json.dumps(document).encode(), data_bytes)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"{" + b'"":{},' * 1_000_000 + b"}", TooManyTensors),
        (b'{"a":[' + b"0," * 2_000_000 + b"0]}", MalformedHeader),
        (b'{"__metadata__":{' + b'"a":"",' * 500_000 + b'"b":""}}', MalformedHeader),
        (b'{"a":' + b" " * MAX_HEADER_BYTES + b"1}", HeaderTooLarge),
    ],
)
def test_bombs_are_refused_before_they_are_parsed(
    text: bytes, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda *_args, **_kwargs: pytest.fail("was parsed"))
    with pytest.raises(error):
        parse_header(text, None)


def test_signs_inside_strings_do_not_count(make_lora: Callable[..., Path]) -> None:
    captions = json.dumps({"40_x": {f'a "tag" {{{n}}}, \\[{n}]': n for n in range(30_000)}})
    assert (
        read_header(FileSource(make_lora(metadata={"ss_tag_frequency": captions}))).metadata[
            "ss_tag_frequency"
        ]
        == captions
    )


def test_halves_of_characters_are_refused() -> None:
    with pytest.raises(MalformedHeader, match="halves"):
        parse_header(b'{"__metadata__":{"a":"\\ud800"}}', 0)


def test_nesting_bombs_are_refused() -> None:
    with pytest.raises(MalformedHeader):
        read_header(Bytes(raw_safetensors(b'{"a":' + b"[" * 200_000)))


def test_a_repeated_name_is_a_problem_not_an_error() -> None:
    text = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32",'
        b'"shape":[1],"data_offsets":[0,4]}}'
    )
    assert any("repeats" in problem for problem in parse_header(text, 4).problems)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"<!DOCTYPE html><html>", "page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"# a text of some length", "text"),
    ],
)
def test_other_formats_are_told_by_their_first_bytes(
    tmp_path: Path, start: bytes, told: str
) -> None:
    path = tmp_path / "named.safetensors"
    path.write_bytes(start)
    with pytest.raises(NotSafetensors, match=told):
        read_header(FileSource(path))


def test_a_file_cut_off_inside_the_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(save({"a": np.zeros(100, np.float32)})[:-50])
    with pytest.raises(MalformedHeader, match="cut off"):
        read_header(FileSource(path))


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_length_that_begins_like_a_pickle_is_no_pickle(length: int) -> None:
    text = b"{}".ljust(length)
    assert read_header(Bytes(raw_safetensors(text))).header_bytes == length


def long_header(count: int, metadata: dict[str, str] | None = None) -> bytes:
    entries = {
        f"lora_unet_{number:05d}.lora_down.weight": {
            "dtype": "U8",
            "shape": [4],
            "data_offsets": [4 * number, 4 * number + 4],
        }
        for number in range(count)
    }
    text = json.dumps({**({"__metadata__": metadata} if metadata else {}), **entries}).encode()
    return raw_safetensors(text, bytes(4 * count))


def test_the_beginning_of_a_long_header_is_enough_for_triage() -> None:
    source = Bytes(long_header(3_000, {"ss_output_name": "é"}))
    header = read_header(source, beginning=True)
    assert source.bytes_read <= 64 * 1024
    assert (header.complete, dict(header.metadata)) == (False, {"ss_output_name": "é"})
    whole = read_header(source)
    assert whole.complete
    assert dict(header.tensors) == dict(list(whole.tensors.items())[: len(header.tensors)])
    assert len(header.tensors) > 400


def test_a_beginning_that_tells_too_little_is_read_on() -> None:
    source = Bytes(long_header(70, {"ss_tag_frequency": "x" * 100_000}))
    header = read_header(source, beginning=True)
    assert (header.complete, len(header.tensors)) == (True, 70)


def test_short_headers_are_whole_at_once() -> None:
    assert read_header(Bytes(long_header(100)), beginning=True).complete


@given(st.integers(0, 2_000), st.binary(max_size=20))
def test_a_beginning_cut_anywhere_is_the_beginning(cut: int, noise: bytes) -> None:
    text = long_header(40)[8:]
    try:
        header = parse_beginning(text[:cut] + noise, len(text))
    except MalformedHeader:
        return
    assert header is None or len(header.tensors) >= 64
