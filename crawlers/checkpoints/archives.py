"""Zip archives that hold weights, unpacked within limits; nothing else of them is touched."""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from crawlers.checkpoints.file_formats import may_hold_weights
from crawlers.errors import ArchiveRefused
from crawlers.hubs.folder import is_checkpoint

MOST_ENTRIES, MOST_MEMBERS = 10_000, 64
MOST_BYTES = 32 * 1024**3
# Weights are close to noise: fp16 tensors shrink by a fifth. Ten times is a bomb, or zeros.
MOST_RATIO, SMALL_BYTES = 10, 64 * 1024**2
_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Member:
    """A weights file out of an archive: `name` as the archive has it, `path` where it is kept under its SHA-256."""

    name: str
    sha256: str
    path: Path


def is_archive(path: Path) -> bool:
    """Whether a file is a zip that is not one of PyTorch's own (those are pickles)."""
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist()[:MOST_ENTRIES])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def unpack(path: Path, folder: Path) -> tuple[Member, ...]:
    """Unpack what may be weights in an archive into `folder`, each under its SHA-256; done once and remembered beside it.

    What is no safetensors among it is not loaded: it fails by name like such a file outside an archive.

    Raises:
        ArchiveRefused: broken, encrypted, none in it, or over the limits of this module; nothing is kept.
    """
    note = (
        folder / f"{path.name}.content"
    )  # .members were notes of versions that passed over other endings
    if note.exists():
        members = tuple(
            Member(one["name"], one["sha256"], folder / one["sha256"])
            for one in json.loads(note.read_text("utf-8"))
        )
        if all(member.path.exists() for member in members):
            return members
    try:
        with zipfile.ZipFile(path) as archive:
            members = tuple(_member(archive, entry, folder) for entry in _wanted(archive))
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise ArchiveRefused(f"the zip archive cannot be unpacked: {error}") from error
    partial = folder / f"{path.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        partial.write_text(
            json.dumps([{"name": one.name, "sha256": one.sha256} for one in members]), "utf-8"
        )
        partial.replace(note)
    finally:
        partial.unlink(missing_ok=True)
    return members


def _wanted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise ArchiveRefused(
            f"the zip archive has {len(entries):,} entries, the limit is {MOST_ENTRIES:,}"
        )
    wanted = [entry for entry in entries if not entry.is_dir() and _may_be_weights(archive, entry)]
    if not wanted:
        raise ArchiveRefused("a zip archive without any safetensors file in it")
    if len(wanted) > MOST_MEMBERS:
        raise ArchiveRefused(
            f"the zip archive has {len(wanted)} weights files, the limit is {MOST_MEMBERS}"
        )
    total = sum(entry.file_size for entry in wanted)
    if total > MOST_BYTES:
        raise ArchiveRefused(
            f"the zip archive unpacks to {total:,} bytes, the limit is {MOST_BYTES:,}"
        )
    for entry in wanted:
        if entry.file_size > SMALL_BYTES and entry.file_size > MOST_RATIO * max(
            entry.compress_size, 1
        ):
            raise ArchiveRefused(
                f"{entry.filename[:80]!r} unpacks to {entry.file_size:,} bytes of {entry.compress_size:,}: a bomb"
            )
        if entry.flag_bits & 1:
            raise ArchiveRefused(f"{entry.filename[:80]!r} is encrypted")
    return wanted


def _may_be_weights(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Whether whoever unpacks the archive may find weights in this file, whatever it is called: each is judged, or fails by name."""
    if is_checkpoint(entry.filename) or entry.flag_bits & 1:
        return True
    with archive.open(entry) as source:
        return may_hold_weights(source.read(_HEAD_BYTES))


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> Member:
    """One file; its name in the archive is only told, never used as a path."""
    digest, written = hashlib.sha256(), 0
    # A name of its own: another process that writes into the same file would change the bytes behind the hash.
    partial = folder / f"{uuid.uuid4().hex}.part"
    try:
        with archive.open(entry) as source, partial.open("wb") as out:
            while chunk := source.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > entry.file_size:
                    raise ArchiveRefused(f"{entry.filename[:80]!r} holds more bytes than it says")
                digest.update(chunk)
                out.write(chunk)
        final = folder / digest.hexdigest()
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
    return Member(entry.filename, digest.hexdigest(), final)
