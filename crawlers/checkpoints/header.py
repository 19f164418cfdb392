"""The safetensors header, read within limits from a file or over HTTP Range.

Format: https://huggingface.co/docs/safetensors/index#format. Everything in a header is untrusted:
lengths are checked before memory is allocated, and no tensor data is interpreted.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from crawlers.checkpoints.file_formats import refuse_other_formats
from crawlers.errors import HeaderTooLarge, MalformedHeader, TooManyTensors

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_TENSORS = 20_000
MAX_METADATA = 10_000
# One request brings all metadata and hundreds of tensors, and often the whole header.
FIRST_READ_BYTES = 64 * 1024
ENOUGH_TENSORS = 64
_FIELDS = ("dtype", "shape", "data_offsets")
# The most that one tensor needs: an object, two lists, 24 commas (16 sizes) and five strings.
_LISTS, _COMMAS, _QUOTES = 2, 24, 10
_SMALL_TEXT_BYTES = 64 * 1024
_SPACE = re.compile(r"[ \n\r\t]*")
_WHITE = b" \n\r\t"  # safetensors' own reader accepts it before the JSON as well

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


class ByteSource(Protocol):
    """Random access to a checkpoint's bytes; `bytes_read` counts the bytes transferred."""

    bytes_read: int

    @property
    def size_bytes(self) -> int | None:
        """The length of the whole file, None as long as it is unknown."""

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on; fewer only at the end of the file."""


class FileSource:
    """A checkpoint on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_read = 0
        self._size_bytes = path.stat().st_size

    @property
    def size_bytes(self) -> int | None:
        return self._size_bytes

    def read(self, start: int, length: int) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(start)
            data = stream.read(length)
        self.bytes_read += len(data)
        return data


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor in a header. Offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A safetensors header that passed every check.

    Attributes:
        metadata: the strings in `__metadata__`.
        tensors: the tensors by name.
        header_bytes: the length of the JSON text; tensor data begins at 8 + header_bytes.
        problems: sentences about oddities that do not make the file unreadable.
        complete: False if only the beginning of the header was read. Later tensors and the length
            of the file are then unknown and unchecked.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorEntry]
    header_bytes: int
    problems: tuple[str, ...] = ()
    complete: bool = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: entry.shape for name, entry in self.tensors.items()}


def read_header(source: ByteSource, *, beginning: bool = False) -> Header:
    """Read and check the header of a safetensors file.

    Args:
        beginning: accept the beginning that the first request brings, if it holds the metadata
            and ENOUGH_TENSORS.

    Raises:
        NotSafetensors: the first bytes are those of another format.
        HeaderTooLarge, TooManyTensors: the header exceeds the limits of this module.
        MalformedHeader: the header breaks a rule of the format.
    """
    first = source.read(0, FIRST_READ_BYTES)
    refuse_other_formats(first)
    if len(first) < 8:
        raise MalformedHeader(
            f"the file has {len(first)} bytes, too few to hold a safetensors header"
        )
    (length,) = struct.unpack("<Q", first[:8])
    if length == 0:
        raise MalformedHeader(
            "the file begins with zeros, as an unfinished download does; download it again"
        )
    if length > MAX_HEADER_BYTES:
        raise HeaderTooLarge(length, MAX_HEADER_BYTES)
    if source.size_bytes is not None and 8 + length > source.size_bytes:
        raise MalformedHeader(
            f"the header claims {length:,} bytes but the file has only {source.size_bytes:,}"
        )
    text = first[8 : 8 + length]
    if beginning and len(text) < length and (part := parse_beginning(text, length)) is not None:
        return part
    if len(text) < length:
        text += source.read(8 + len(text), length - len(text))
    if len(text) < length:
        raise MalformedHeader("the file ends inside the header; the download was cut off")
    data_bytes = None if source.size_bytes is None else source.size_bytes - 8 - length
    return parse_header(text, data_bytes)


def parse_header(text: bytes, data_bytes: int | None) -> Header:
    """Check the JSON text of a header against the format and the length of the data behind it."""
    _must_be_bounded(text)
    problems: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            problems.append("the header repeats a name; readers disagree on which one counts")
        return dict(pairs)

    if not text.lstrip(_WHITE).startswith(b"{"):
        raise MalformedHeader("the header is not a JSON object")
    try:
        document = json.loads(text, object_pairs_hook=collect)
    except (ValueError, RecursionError) as error:
        raise MalformedHeader(f"the header is not valid JSON: {type(error).__name__}") from error
    metadata = document.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata  # safetensors' own reader accepts null
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise MalformedHeader("__metadata__ must map strings to strings")
    if len(document) > MAX_TENSORS:
        raise TooManyTensors(len(document), MAX_TENSORS)
    try:
        "".join([*document, *metadata, *metadata.values()]).encode()
    except UnicodeEncodeError as error:
        raise MalformedHeader(
            "the header escapes halves of characters, which is no text"
        ) from error
    tensors = {name: _entry(name, fields) for name, fields in document.items()}
    if not tensors:
        problems.append("the file holds no tensor")
    _check_layout(tensors, data_bytes)
    return Header(metadata, tensors, len(text), tuple(dict.fromkeys(problems)))


def parse_beginning(text: bytes, length: int) -> Header | None:
    """Parse the first bytes of a header's JSON text; None if they hold too few tensors.

    Writers put `__metadata__` first, as safetensors does, so it is complete or absent.

    Raises:
        MalformedHeader: the bytes are not the beginning of a header.
    """
    plain, decoder = text.decode("utf-8", "ignore"), json.JSONDecoder()
    place = _after_space(plain, 0) + 1
    if plain[place - 1 : place] != "{":
        raise MalformedHeader("the header is not a JSON object")
    metadata: dict[str, str] = {}
    tensors: dict[str, TensorEntry] = {}
    while True:
        try:
            name, place = decoder.raw_decode(plain, _after_space(plain, place))
            colon = _after_space(plain, place)
            fields, place = decoder.raw_decode(plain, _after_space(plain, colon + 1))
        except (ValueError, RecursionError):
            break  # the text is cut off here
        comma = _after_space(plain, place)
        if plain[colon : colon + 1] != ":" or plain[comma : comma + 1] != ",":
            break
        place = comma + 1
        if name == "__metadata__" and _are_strings(fields):
            metadata = fields
        elif isinstance(name, str) and not (name == "__metadata__" and fields is None):
            tensors[name] = _entry(name, fields)
    if len(tensors) < ENOUGH_TENSORS:
        return None
    return Header(metadata, tensors, length, complete=False)


def _are_strings(fields: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(fields, dict) and all(isinstance(value, str) for value in fields.values())


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _must_be_bounded(text: bytes) -> None:
    """Raise before parsing if a text is too large: a parser needs 60 bytes for each character."""
    if len(text) > MAX_HEADER_BYTES:
        raise HeaderTooLarge(len(text), MAX_HEADER_BYTES)
    if len(text) <= _SMALL_TEXT_BYTES:
        return
    import numpy as np  # few headers are so long, and importing it takes a fifth of a second

    plain = text.replace(b"\\\\", b"") if b"\\" in text else text
    signs = np.frombuffer(plain.replace(b'\\"', b"") if b"\\" in plain else plain, np.uint8)
    quotes = signs == ord('"')
    outside = np.bitwise_xor.accumulate(quotes.view(np.uint8)) == 0

    def count(sign: str) -> int:
        return int(np.count_nonzero((signs == ord(sign)) & outside))

    if (objects := count("{")) > MAX_TENSORS + 2:
        raise TooManyTensors(objects - 2, MAX_TENSORS)
    too_many = (
        count("[") > _LISTS * (MAX_TENSORS + 2)
        or count(",") > _COMMAS * MAX_TENSORS + MAX_METADATA
        or int(np.count_nonzero(quotes)) > _QUOTES * MAX_TENSORS + 4 * MAX_METADATA
    )
    if too_many:
        raise MalformedHeader(
            "the header holds more lists, values or strings than its tensors can need"
        )


def _entry(name: str, fields: Any) -> TensorEntry:
    short = name if len(name) <= 80 else name[:77] + "..."
    if isinstance(fields, list) and len(fields) == len(_FIELDS):
        # safetensors' own reader accepts a list of the values alone.
        fields = dict(zip(_FIELDS, fields, strict=True))
    if not isinstance(fields, dict):
        raise MalformedHeader(f"tensor {short!r} is not described by an object")
    dtype, shape, offsets = (fields.get(field) for field in _FIELDS)
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise MalformedHeader(f"tensor {short!r} has the unknown dtype {str(dtype)[:20]!r}")
    if not _are_sizes(shape) or len(shape) > 16:
        raise MalformedHeader(f"tensor {short!r} has no valid shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise MalformedHeader(f"tensor {short!r} has no valid data offsets")
    if math.prod(shape) * DTYPE_BITS[dtype] != (offsets[1] - offsets[0]) * 8:
        raise MalformedHeader(
            f"tensor {short!r}: shape and dtype do not fit its {offsets[1] - offsets[0]:,} bytes"
        )
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 2**53 for item in value
    )


def _check_layout(tensors: Mapping[str, TensorEntry], data_bytes: int | None) -> None:
    end = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            kind = (
                "overlaps the tensor before it" if entry.begin < end else "leaves a hole before it"
            )
            raise MalformedHeader(f"tensor {name[:80]!r} {kind}")
        end = entry.end
    if data_bytes is not None and end != data_bytes:
        kind = "is cut off" if data_bytes < end else "has bytes after the last tensor"
        raise MalformedHeader(
            f"the file {kind}: the header describes {end:,} data bytes, there are {data_bytes:,}"
        )
