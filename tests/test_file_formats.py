"""Other formats than safetensors are named with advice, whatever their file names; nothing runs."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.checkpoints.download import must_be_weights
from crawlers.checkpoints.file_formats import is_pickle, refuse_other_formats
from crawlers.errors import NotSafetensors, NotWeights
from scanner.triage.header import triage_file


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("some-model/weights.safetensors"), io.BytesIO())
    return made.getvalue()


def array(values: object) -> bytes:
    made = io.BytesIO()
    np.save(made, values, allow_pickle=True)
    return made.getvalue()


def arrays(**values: object) -> bytes:
    made = io.BytesIO()
    np.savez(made, **values)
    return made.getvalue()


FORMATS: dict[str, tuple[bytes, str, str]] = {
    "gzip": (gzip.compress(b"x" * 99), "a gzip file", "unpack it"),
    "gzip without a time": (
        b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + bytes(40),
        "a gzip file",
        "unpack it",
    ),
    "xz": (lzma.compress(b"x"), "an xz or lzma file", "unpack it"),
    "lzma": (lzma.compress(b"x", lzma.FORMAT_ALONE), "an xz or lzma file", "unpack it"),
    "zstandard": (b"\x28\xb5\x2f\xfd" + bytes(20), "a zstandard file", "unpack it"),
    "bzip2": (b"BZh91AY&SY" + bytes(20), "a bzip2 file", "unpack it"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(20), "an lz4 file", "unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(30), "a 7z archive", "unpack it"),
    "rar 4": (b"Rar!\x1a\x07\0" + bytes(30), "a rar archive", "unpack it"),
    "rar 5": (b"Rar!\x1a\x07\x01\0" + bytes(30), "a rar archive", "unpack it"),
    "tar": (tarred(), "a tar archive", "unpack it"),
    "zip": (zipped(model__readme=b"x"), "a zip archive", "unpack it"),
    "an empty zip": (zipped(), "a zip archive", "unpack it"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(30), "a GGUF file", "convert it to safetensors"),
    "GGML": (b"lmgg\x01\0\0\0" + bytes(30), "a GGML file", "convert it to safetensors"),
    "npy": (array(np.zeros((3, 3))), "a NumPy array", "convert it to safetensors"),
    "npz": (arrays(a=np.zeros(3), b=np.zeros(4)), "a NumPy archive", "convert it to safetensors"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file", "convert it to safetensors"),
    "ONNX": (
        b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:" + bytes(30),
        "an ONNX model",
        "convert it to safetensors",
    ),
    "ONNX, another writer": (
        b"\x08\x0a\x12\x0donnx.quantize" + bytes(30),
        "an ONNX model",
        "convert it to safetensors",
    ),
    "ONNX, no name": (
        b"\x08\x08\x3a\xf4\x03\x0a\x1d" + bytes(30),
        "an ONNX model",
        "convert it to safetensors",
    ),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(30), "a TensorFlow Lite model", "no image model"),
    "SQLite": (b"SQLite format 3\0" + bytes(30), "an SQLite database", "the model's own file"),
    "Windows program": (b"MZ\x90\0\x03\0\0\0\x04" + bytes(30), "a program", "do not run it"),
    "Linux program": (b"\x7fELF\x02\x01\x01\0" + bytes(30), "a program", "do not run it"),
    "script": (b"#!/bin/sh\nrm -rf x\n", "a program", "do not run it"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3" + bytes(30), "a PDF document", "intake"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(30), "a picture", "intake"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(30), "a picture", "intake"),
    "WEBP": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(30), "a picture", "intake"),
    "TIFF": (b"II*\0\x08\0\0\0" + bytes(30), "a picture", "intake"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(30), "a picture or film", "intake"),
    "WARC": (b"WARC/1.0\r\nWARC-Type: response", "a saved page", "intake"),
    "LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64,
        "a Git LFS pointer",
        "fetch the real file",
    ),
    "LFS pointer with a mark": (
        b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\n",
        "a Git LFS pointer",
        "fetch the real file",
    ),
    "annex pointer": (
        b"/annex/objects/SHA256E-s12--ab.safetensors\n",
        "a git-annex pointer",
        "fetch the real file",
    ),
    "HTML": (b"<!DOCTYPE html><html><title>404", "an HTML or XML page", "again"),
    "HTML behind lines and a mark": (
        b"\xef\xbb\xbf\r\n\r\n  <html><body>Login",
        "an HTML or XML page",
        "again",
    ),
    "HTML in UTF-16": ("﻿<html>".encode("utf-16-le") + bytes(30), "an HTML or XML page", "again"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an HTML or XML page", "again"),
    "JSON error": (b'{"error":"Invalid username or password."}', "a text (JSON)", "again"),
    "JSON list": (b'[{"message": "rate limited"}]', "a text (JSON)", "again"),
    "text": (b"Access to model is restricted.\n", "a text file", "again"),
    "English that begins as a pickle would": (
        b"cat\ndog\nRabbits are not weights, and that is all.\n",
        "a text file",
        "again",
    ),
    "a list": (b"(none)\nas stated in the readme.\n", "a text file", "again"),
}


@pytest.mark.parametrize(("data", "name", "advice"), FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("ending", ["safetensors", "bin", "npy", "json", ""])
def test_every_format_is_named_with_what_to_do(
    data: bytes, name: str, advice: str, ending: str, tmp_path: Path
) -> None:
    if ending == "json" and "JSON" in name:
        pytest.skip("a description of a checkpoint, which is read")
    path = tmp_path / f"model.{ending}"
    path.write_bytes(data)
    triage = triage_file(path)
    assert (triage.readable, triage.family) == (False, "unknown")
    assert triage.kind == ("zip" if name == "a zip archive" else "unknown")
    assert name in triage.problems[0]
    assert advice in triage.problems[0]


@pytest.mark.parametrize(("data", "name", "advice"), FORMATS.values(), ids=FORMATS.keys())
def test_a_download_that_is_no_weights_ends_at_its_first_bytes(
    data: bytes, name: str, advice: str
) -> None:
    if name == "a zip archive":
        must_be_weights("https://example.org/a", data)  # unpacked later
        return
    with pytest.raises(NotWeights, match=name.replace("(", r"\(").replace(")", r"\)")):
        must_be_weights("https://example.org/a", data)


class Bomb:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.trace}",)


def bombs(trace: Path) -> dict[str, bytes]:
    bomb = Bomb(trace)
    calls = f"cposix\nsystem\n(Vtouch {trace}\ntR.".encode()
    return {
        **{f"protocol {number}": pickle.dumps(bomb, number) for number in range(6)},
        **{
            f"protocol {number} in a dict": pickle.dumps(
                {"state_dict": {"a": 1.5, "b": [bomb]}}, number
            )
            for number in range(6)
        },
        "text": calls,
        "text that breaks off": calls[:-1] + b"this is no opcode \xff\xff",
        "text by INST": f"(Vtouch {trace}\niposix\nsystem\n.".encode(),
        "text behind a number": b"I42\n0" + calls,
        "PyTorch's zip": zipped(archive__data=b"x", **{"archive__data.pkl": pickle.dumps(bomb, 2)}),
        "PyTorch's zip, its pickle in text": zipped(**{"archive__data.pkl": calls}),
        "PyTorch's zip, its pickle first": zipped(
            **{"archive__data.pkl": pickle.dumps(bomb), "archive__data__0": bytes(64)}
        ),
        "PyTorch's old form": b"".join(
            pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {}, bomb, [])
        )
        + bytes(90),
        "npy": array(np.array([bomb], dtype=object)),
        "npz": arrays(a=np.array([bomb], dtype=object)),
        "a pickle in a zip": zipped(readme=b"x", **{"inner.pkl": pickle.dumps(bomb, 0)}),
    }


@pytest.mark.parametrize("form", bombs(Path("x")))
@pytest.mark.parametrize("ending", ["safetensors", "npy", "bin", "txt"])
def test_a_pickle_in_every_form_is_told_with_what_it_would_call_and_never_run(
    form: str, ending: str, tmp_path: Path
) -> None:
    trace = tmp_path / "was-run"
    path = tmp_path / f"model.{ending}"
    path.write_bytes(bombs(trace)[form])
    triage = triage_file(path)
    assert any("posix.system" in problem and "malware" in problem for problem in triage.problems)
    assert any("pickle" in problem and "not opened" in problem for problem in triage.problems)
    assert not trace.exists()
    if form.startswith(("protocol", "text", "PyTorch")):
        assert triage.kind == "pickle"


def test_what_a_pickle_imports_is_listed_though_nobody_knows_it_for_harm(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"cmy_models.trainer\nRestorer\n(tR.")
    assert any("my_models.trainer.Restorer" in problem for problem in triage_file(path).problems)
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0]}, 0))
    triage = triage_file(path)
    assert triage.kind == "pickle"
    assert len(triage.problems) == 1


@pytest.mark.parametrize("protocol", range(6))
def test_harmless_pickles_are_pickles_too(protocol: int) -> None:
    for value in (
        {"a": 1},
        [1, 2],
        ("x",),
        {"nested": {"deep": [1.5, None, True]}},
        1.5,
        "text",
        None,
    ):
        assert is_pickle(pickle.dumps(value, protocol)), value


@given(st.integers(2, 200_000), st.sampled_from([b"{", b" {", b"\n{"]))
def test_no_length_of_a_header_is_taken_for_another_format(length: int, start: bytes) -> None:
    """These lengths look like other formats.

    60 begins like an HTML page, 640 like a pickle, 15,392 like an HTML page behind a space, 35,615
    like gzip.
    """
    refuse_other_formats(struct.pack("<Q", length) + start + b'"a":')


@pytest.mark.parametrize("length", [60, 640, 15_392, 0x8B1F, 0x088B1F, 0x5D, 0x5A4D, 0x2123])
def test_a_header_whose_length_begins_like_another_format_is_read(
    length: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}".ljust(length))
    triage = triage_file(path)
    assert triage.readable
    assert any("no tensor" in problem for problem in triage.problems)


def test_a_model_called_json_is_read_as_the_model_that_it_is(
    make_lora: Callable[..., Path],
) -> None:
    for name in ("model.json", "model.txt", "model.gguf", "model"):
        assert triage_file(make_lora(name)).kind == "lora"


def test_unfinished_files_are_told(tmp_path: Path) -> None:
    for data, told in (
        (b"", "0 bytes"),
        (b"\x10\0\0", "3 bytes"),
        (bytes(4096), "unfinished download"),
    ):
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        assert any(told in problem for problem in triage_file(path).problems)


@given(st.binary(max_size=600))
def test_any_bytes_are_named_or_let_through(data: bytes) -> None:
    try:
        refuse_other_formats(data)
    except NotSafetensors as error:
        assert error.kind in ("pickle", "zip", "unknown")
        assert len(str(error)) > 10
