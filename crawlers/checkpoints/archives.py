"""Unpacking of weights from zip archives, within limits. Other members are not touched."""

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
# Weights are close to noise: fp16 tensors shrink by a fifth. A ratio of ten means a zip bomb or
# zeros.
MOST_RATIO, SMALL_BYTES = 10, 64 * 1024**2
_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Member:
    """A weights file from an archive: its name there, its SHA-256 and its path on disk."""

    name: str
    sha256: str
    path: Path


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive other than PyTorch's own format, which is a pickle."""
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name.endswith("data.pkl") for name in archive.namelist()[:MOST_ENTRIES])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def unpack(path: Path, folder: Path) -> tuple[Member, ...]:
    """Unpack possible weights from an archive into `folder`, each named by its SHA-256.

    The list of members is written to a file next to them, so that the archive is unpacked once.
    Members that are not safetensors are not loaded; they fail by name, as outside an archive.

    Raises:
        ArchiveRefused: the archive is broken, encrypted, without weights or over the limits of
            this module; nothing is kept.
    """
    # Earlier versions, which ignored some endings, wrote .members files.
    note = folder / f"{path.name}.content"
    if note.exists():
        members = tuple(
            Member(entry["name"], entry["sha256"], folder / entry["sha256"])
            for entry in json.loads(note.read_text("utf-8"))
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
        content = [{"name": member.name, "sha256": member.sha256} for member in members]
        partial.write_text(json.dumps(content), "utf-8")
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
        ratio = entry.file_size / max(entry.compress_size, 1)
        if entry.file_size > SMALL_BYTES and ratio > MOST_RATIO:
            raise ArchiveRefused(
                f"{entry.filename[:80]!r} unpacks to {entry.file_size:,} bytes of "
                f"{entry.compress_size:,}: a bomb"
            )
        if entry.flag_bits & 1:
            raise ArchiveRefused(f"{entry.filename[:80]!r} is encrypted")
    return wanted


def _may_be_weights(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Whether a member may be weights, whatever its name. Each such member is checked or fails."""
    if is_checkpoint(entry.filename) or entry.flag_bits & 1:
        return True
    with archive.open(entry) as source:
        return may_hold_weights(source.read(_HEAD_BYTES))


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> Member:
    """Unpack one member. Its name in the archive is never used as a path."""
    digest, written = hashlib.sha256(), 0
    # A unique name, because another process writing to the same file would change the hashed bytes.
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
