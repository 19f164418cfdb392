"""Recognition of file formats by their first bytes. Nothing is executed or unpacked.

Sources are the formats' own descriptions: APPNOTE.TXT (zip), POSIX ustar, NumPy's NEP 1, ONNX
onnx.proto, TensorFlow Lite schema.fbs, ggml's gguf.md, HDF5 file format 3.0, Python's pickletools,
git-lfs docs/spec.md, git-annex pointer files.
"""

from __future__ import annotations

import contextlib
import io
import pickletools
import re
import struct
from collections.abc import Iterator
from itertools import islice
from pickletools import OpcodeInfo, StackObject, markobject

from crawlers.errors import NotSafetensors

_LONGEST_HEADER = 2**30
_UNPACK = "unpack it first, and give what is in it"
_CONVERT = "convert it to safetensors to have it scanned"
_AGAIN = "download the file itself again"
# Offset, magic numbers, name of the format, and advice.
_MAGICS: tuple[tuple[int, tuple[bytes, ...], str, str], ...] = (
    (0, (b"\x1f\x8b",), "a gzip file", _UNPACK),
    (0, (b"\xfd7zXZ\0", b"\x5d\0\0"), "an xz or lzma file", _UNPACK),
    (0, (b"\x28\xb5\x2f\xfd",), "a zstandard file", _UNPACK),
    (0, (b"BZh",), "a bzip2 file", _UNPACK),
    (0, (b"\x04\x22\x4d\x18",), "an lz4 file", _UNPACK),
    (0, (b"7z\xbc\xaf\x27\x1c",), "a 7z archive", _UNPACK),
    (0, (b"Rar!\x1a\x07",), "a rar archive", _UNPACK),
    (0, (b"MSCF\0\0\0\0",), "a cab archive", _UNPACK),
    (257, (b"ustar",), "a tar archive", _UNPACK),
    (0, (b"GGUF", b"FUGG"), "a GGUF file", _CONVERT),
    (0, (b"lmgg", b"fmgg", b"tjgg", b"algg"), "a GGML file", _CONVERT),
    (0, (b"\x93NUMPY",), "a NumPy array (npy)", _CONVERT),
    (0, (b"\x89HDF\r\n\x1a\n",), "an HDF5 file, as Keras writes", _CONVERT),
    (4, (b"TFL3",), "a TensorFlow Lite model", "it is no image model that is sampled here"),
    (0, (b"SQLite format 3\0",), "an SQLite database",
     "it holds no weights; look for the model's own file"),
    (0, (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!"), "a program",
     "it holds no weights; do not run it"),
)  # fmt: skip
_CAPTURES: tuple[tuple[int, tuple[bytes, ...], str], ...] = (
    (0, (b"%PDF",), "a PDF document"),
    (0, (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"), "a picture"),
    (8, (b"WEBP",), "a picture"),
    (4, (b"ftyp",), "a picture or film (HEIC, AVIF or MP4)"),
    (0, (b"WARC/",), "a saved page (WARC)"),
)
_POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"version https://hawser", "a Git LFS pointer"),
    (b"# xet version", "a Xet pointer"),
    (b"/annex/objects/", "a git-annex pointer"),
)
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_LOCAL_FILE = struct.Struct("<4s5H3I2H")
# A pickle in text names a module and an object in it, each on its own line.
_IMPORT = re.compile(r"[A-Za-z_]\w*(?:\.\w+)* [A-Za-z_]\w*(?:\.\w+)*")
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_MOST_OPCODES = 10_000


def refuse_other_formats(first_bytes: bytes) -> None:
    """Raise NotSafetensors if the first bytes are those of another format.

    Its `kind` is "pickle" or "zip" for formats that are listed or unpacked later, else "unknown".
    """
    if claims_header(first_bytes):
        return
    if first_bytes.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        raise _zip(first_bytes)
    if is_pickle(first_bytes):
        raise NotSafetensors("pickle", "a Python pickle: listed by static analysis, not opened")
    for start, marks, name, advice in _MAGICS:
        if first_bytes.startswith(marks, start):
            raise NotSafetensors("unknown", f"{name}, not safetensors: {advice}")
    for start, marks, name in _CAPTURES:
        if first_bytes.startswith(marks, start):
            raise NotSafetensors(
                "unknown", f"{name}, not weights; `portrait-scanner intake` takes it in"
            )
    if _is_onnx(first_bytes):
        raise NotSafetensors("unknown", f"an ONNX model, not safetensors: {_CONVERT}")
    _refuse_texts(first_bytes)


def may_hold_weights(first_bytes: bytes) -> bool:
    """Whether a file may be weights or pack weights: safetensors, pickles, archives and others."""
    if (
        claims_header(first_bytes)
        or is_pickle(first_bytes)
        or first_bytes.startswith(b"PK\x03\x04")
    ):
        return True
    holds = ((start, marks) for start, marks, _, advice in _MAGICS if advice in (_UNPACK, _CONVERT))
    return any(first_bytes.startswith(marks, start) for start, marks in holds)


def claims_header(first_bytes: bytes) -> bool:
    """Whether a file begins like safetensors: a length, then JSON.

    Some lengths look like the magic of another format: 640 like that of a pickle, 15,392 like that
    of an HTML page.
    """
    length = int.from_bytes(first_bytes[:8], "little")
    return 0 < length < _LONGEST_HEADER and first_bytes[8:9] in (b"{", b" ", b"\t", b"\n", b"\r")


def is_pickle(first_bytes: bytes) -> bool:
    """Whether Python's unpickler would accept these bytes.

    Protocol 2 and later are recognised by their first byte, older ones by their opcodes.
    """
    if len(first_bytes) > 1 and first_bytes[0] == 0x80 and first_bytes[1] <= 5:
        return True
    imports = calls = 0
    for before, (name, argument) in enumerate(_opcodes(first_bytes)):
        if name in ("GLOBAL", "INST"):
            if not _IMPORT.fullmatch(argument):
                return False
            imports += 1
        calls += name in _CALLS and imports > 0
        if name == "STOP":
            return before > 0
    # An unpickler executes everything before the first opcode that it does not know.
    return calls > 0


def _opcodes(first_bytes: bytes) -> Iterator[tuple[str, str]]:
    """Yield the opcodes that an unpickler would execute, with their arguments, until one fails."""
    stack: list[StackObject] = []
    # pickletools does not catch the exceptions of int(), str.decode() and the like.
    with contextlib.suppress(Exception):
        for opcode, argument, _ in islice(
            pickletools.genops(io.BytesIO(first_bytes)), _MOST_OPCODES
        ):
            if not _applies(opcode, stack):
                return
            yield opcode.name, str(argument)


def _applies(opcode: OpcodeInfo, stack: list[StackObject]) -> bool:
    """Apply an opcode to the stack; False if the stack lacks what the opcode takes."""
    taken = opcode.stack_before
    if markobject in taken or (opcode.name == "POP" and stack[-1:] == [markobject]):
        if markobject not in stack:
            return False
        while stack.pop() is not markobject:
            pass
        taken = taken[: taken.index(markobject)] if markobject in taken else []
    if len(stack) < len(taken):
        return False
    del stack[len(stack) - len(taken) :]
    stack.extend(opcode.stack_after)
    return True


def _zip(first_bytes: bytes) -> NotSafetensors:
    """The error for a zip archive, by the first names in it. More is known once it is on disk."""
    names = _first_names(first_bytes)
    if any(name.endswith("data.pkl") for name in names):
        return NotSafetensors(
            "pickle",
            "a zip archive, the form of PyTorch pickles: listed by static analysis, not opened",
        )
    if names and all(name.endswith(".npy") for name in names):
        return NotSafetensors("unknown", f"a NumPy archive (npz), not safetensors: {_CONVERT}")
    return NotSafetensors("zip", f"a zip archive: {_UNPACK}")


def _first_names(first_bytes: bytes) -> list[str]:
    names: list[str] = []
    place = 0
    while len(first_bytes) >= place + _LOCAL_FILE.size and first_bytes.startswith(
        b"PK\x03\x04", place
    ):
        fields = _LOCAL_FILE.unpack_from(first_bytes, place)
        packed, name_length, extra = fields[7], fields[9], fields[10]
        begin = place + _LOCAL_FILE.size
        names.append(first_bytes[begin : begin + name_length].decode("utf-8", "replace"))
        place = begin + name_length + extra + packed
    return names


def _is_onnx(first_bytes: bytes) -> bool:
    """Whether this is a ModelProto: ir_version, then the producer's name or the graph."""
    if len(first_bytes) < 16 or first_bytes[0] != 0x08 or not 0 < first_bytes[1] <= 32:
        return False
    if first_bytes[2] == 0x12:
        name = first_bytes[4 : 4 + first_bytes[3]]
        return len(name) > 1 and all(32 <= byte < 127 for byte in name)
    return first_bytes[2] in (0x3A, 0x42)


def _refuse_texts(first_bytes: bytes) -> None:
    mark = next((mark for mark in _BYTE_ORDER_MARKS if first_bytes.startswith(mark)), b"")
    plain = first_bytes[len(mark) :]
    if len(mark) == 2:  # UTF-16
        plain = plain.replace(b"\0", b"")
    for start, name in _POINTERS:
        if plain.startswith(start):
            raise NotSafetensors("unknown", f"{name}, not the file itself; fetch the real file")
    begins = plain[:512].lstrip()[:1]
    if begins == b"<":
        raise NotSafetensors("unknown", f"an HTML or XML page saved in place of the file; {_AGAIN}")
    # Read as a length, eight printable characters would mean more than 2**61 bytes.
    text = len(plain) >= 8 and all(9 <= byte <= 13 or 32 <= byte < 127 for byte in plain[:8])
    if begins in (b"{", b"[") and (text or mark):
        raise NotSafetensors(
            "unknown", f"a text (JSON), such as a server's error message, not weights; {_AGAIN}"
        )
    if text or mark:
        raise NotSafetensors("unknown", f"a text file, not weights; {_AGAIN}")
