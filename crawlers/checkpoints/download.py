"""Downloads of whole files: resumed after a break, checked against the hub's claims and formats."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from filelock import FileLock

from crawlers.checkpoints.file_formats import refuse_other_formats
from crawlers.errors import (
    DownloadError,
    DownloadTooLarge,
    HashMismatch,
    HubRefused,
    NoRoom,
    NotSafetensors,
    NotWeights,
    UnreadableEncoding,
)
from crawlers.hashes import sha256_of
from crawlers.http.content_encodings import codings_of, decoded
from crawlers.http.destinations import shown
from crawlers.http.transport import Transport
from crawlers.hubs.storage import chunks, is_storage, revision_of
from crawlers.listing import RemoteFile

MAX_CHECKPOINT_BYTES = 32 * 1024**3
# Kept free on the disk for the databases, whose loss would be worse than that of a checkpoint.
RESERVE_BYTES = 64 * 1024**2
SLOWEST_BYTES_PER_S, PATIENCE_S = 1024, 120.0
_FIRST_BYTES = 512
_LOCKS = 64

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes on disk so far and the expected total, if known."""


@dataclass(frozen=True, slots=True)
class _Part:
    """An unfinished download, and a note by which to recognise the rest of the same file."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, object]:
        try:
            note = json.loads(self._note.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_note(self, etag: str | None, total: int | None, *, encoded: bool = False) -> None:
        note = {"etag": etag, "total": total} | ({"encoded": True} if encoded else {})
        self._note.write_text(json.dumps(note), "utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def keep_as(self, final: Path) -> Path:
        self.path.replace(final)
        self._note.unlink(missing_ok=True)
        return final


def download(
    transport: Transport,
    file: RemoteFile,
    folder: Path,
    progress: Progress | None = None,
    max_bytes: int = MAX_CHECKPOINT_BYTES,
) -> tuple[Path, str]:
    """Download a file into `folder`, resuming what an earlier, interrupted call left there.

    Returns:
        The path, whose name is the SHA-256, and the SHA-256 in lower-case hex.

    Raises:
        HashMismatch: the download is complete (repeated if it was resumed), but the hub named
            another hash; the file is kept under its own hash.
        NotWeights: a page or a text was sent; nothing is kept.
        DownloadTooLarge: the server sends more than `max_bytes`; nothing is kept.
        NoRoom: the disk is full; what came so far is kept for the next call.
        DownloadError: the server ended the body early, twice without progress, or is too slow.
        HubRefused, HubUnreachable: raised by the transport; what came so far is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(
        folder / (hashlib.sha256(f"{file.url} {file.sha256}".encode()).hexdigest()[:24] + ".part")
    )
    # Two programs that append to one part would corrupt it. The second one waits for the file.
    with _locked(part.path), _room_for(folder):
        if file.sha256 is not None and (folder / file.sha256).exists():
            return folder / file.sha256, file.sha256
        while True:
            begun, pieces = part.size > 0, 1
            if is_storage(file.url):
                _copy_object(file.url, part, progress, max_bytes)
            else:
                pieces = _complete(transport, file, part, progress, max_bytes)
            actual = sha256_of(part.path)
            if file.sha256 in (None, actual):
                return part.keep_as(folder / actual), actual
            if not begun and pieces == 1:
                break
            # These may be halves of two files. Only a download in one piece is evidence.
            part.forget()
    part.keep_as(folder / actual)
    raise HashMismatch(shown(file.url), file.sha256 or "", actual)


def _locked(part: Path) -> FileLock:
    """One of a fixed number of locks beside the folder."""
    locks = part.parent.with_name(part.parent.name + ".locks")
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{int(part.name[:2], 16) % _LOCKS:02d}")


@contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoom(
            f"the disk of {folder} is full; what came so far is kept: make room and run the same "
            "command again"
        ) from error


def _complete(
    transport: Transport, file: RemoteFile, part: _Part, progress: Progress | None, max_bytes: int
) -> int:
    """Fetch the missing rest of a part and return the number of pieces in which it came."""
    stalled = pieces = 0
    while True:
        pieces += 1
        have = part.size
        total = _append(transport, file.url, part, progress, max_bytes)
        now = part.size
        if total is None or now >= total:
            return pieces
        stalled = stalled + 1 if now <= have else 0
        if stalled >= 2:
            raise DownloadError(
                f"{shown(file.url)}: the server stops after {now:,} of {total:,} bytes; "
                "try again later"
            )


def _append(
    transport: Transport, url: str, part: _Part, progress: Progress | None, max_bytes: int
) -> int | None:
    """Append what the server sends from the end of the part; the total length if known."""
    if part.note().get("encoded"):
        part.forget()  # ranges of an encoded body count encoded bytes
    have, note = part.size, part.note()
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and isinstance(note.get("etag"), str):
        headers["If-Range"] = str(note["etag"])
    try:
        with transport.stream(url, headers=headers) as response:
            resumed = have > 0 and _continues(response, have, note)
            # A 200 in answer to a Range request is the whole file from its beginning.
            start = have if resumed else 0
            codings = codings_of(response.headers)
            if have > 0 and response.status_code == 206 and (codings or not resumed):
                part.forget()
                return have + 1  # the answer is not the rest of this file: request all of it
            length = response.headers.get("content-length", "")
            total = start + int(length) if length.isdigit() and not codings else None
            _must_fit(url, part.path.parent, total, start, max_bytes)
            etag = response.headers.get("etag", "")
            # If-Range must be given a strong validator (RFC 9110, 13.1.5).
            strong = etag if etag.startswith('"') else None
            part.write_note(strong, total, encoded=bool(codings))
            pieces = decoded(response.iter_raw(), codings)
            with part.path.open("ab" if resumed else "wb") as out:
                _write(url, pieces, out, start, (total, max_bytes), progress)
            return total
    except (DownloadTooLarge, NotWeights):
        part.forget()
        raise
    except UnreadableEncoding as error:
        part.forget()
        raise DownloadError(f"{shown(url)}: {error}; try again later") from error
    except HubRefused as error:
        if error.status != 416 or not have:
            raise
        # Nothing follows what is there: the file is complete, or shorter than it was.
        if have == note.get("total"):
            return have
        part.forget()
        return have + 1


def _continues(response: httpx.Response, have: int, note: dict[str, object]) -> bool:
    """Whether an answer is the rest of the unfinished file."""
    if response.status_code != 206:
        return False
    span, _, whole = response.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    same_length = note.get("total") is None or not whole.isdigit() or int(whole) == note["total"]
    etag = response.headers.get("etag")
    same_file = etag is None or note.get("etag") is None or etag == note["etag"]
    return span.partition("-")[0] == str(have) and same_length and same_file


def _must_fit(url: str, folder: Path, total: int | None, have: int, max_bytes: int) -> None:
    if (total or 0) > max_bytes:
        raise DownloadTooLarge(
            f"{shown(url)} announces {total:,} bytes, the limit is {max_bytes:,}"
        )
    free = shutil.disk_usage(folder).free
    if total is not None and total - have > free - RESERVE_BYTES:
        raise NoRoom(
            f"{total - have:,} bytes are to come and the disk of {folder} has {free:,} left; "
            "what came so far is kept: make room and run the same command again"
        )


def _write(
    url: str,
    pieces: Iterator[bytes],
    out: IO[bytes],
    have: int,
    limits: tuple[int | None, int],
    progress: Progress | None,
) -> None:
    """Write a body. After a broken connection the caller sees what is missing."""
    total, max_bytes = limits
    held, moment, then = b"", time.monotonic(), have
    try:
        for chunk in pieces:
            data = held + chunk
            # Nothing is written before the first bytes prove that the body is not a page.
            if have == 0 and len(data) < min(_FIRST_BYTES, total or _FIRST_BYTES):
                held = data
                continue
            if have == 0:
                must_be_weights(url, data[:_FIRST_BYTES])
            held = b""
            out.write(data)
            have += len(data)
            if have > max_bytes:
                raise DownloadTooLarge(f"{shown(url)} sends more than {max_bytes:,} bytes")
            if time.monotonic() - moment > PATIENCE_S:
                if have - then < SLOWEST_BYTES_PER_S * PATIENCE_S:
                    raise DownloadError(
                        f"{shown(url)} sends less than {SLOWEST_BYTES_PER_S} bytes a second; "
                        "try again later"
                    )
                moment, then = time.monotonic(), have
            if progress is not None:
                progress(have, total)
        if held:
            must_be_weights(url, held)
            out.write(held)
    except httpx.TransportError:
        if total is None:
            raise
    finally:
        out.flush()
        os.fsync(out.fileno())


def must_be_weights(url: str, first_bytes: bytes) -> None:
    """Raise NotWeights for a page or a text. Pickles and archives pass; they are only listed."""
    try:
        refuse_other_formats(first_bytes)
    except NotSafetensors as error:
        if error.kind not in ("pickle", "zip"):
            raise NotWeights(f"{shown(url)} gave {error}") from error


def _copy_object(place: str, part: _Part, progress: Progress | None, max_bytes: int) -> None:
    """Copy an object from storage, resuming an earlier copy of the same version."""
    total, etag = revision_of(place)
    have = part.size
    if part.note() != {"etag": etag, "total": total} or etag is None:
        have = 0
    _must_fit(place, part.path.parent, total, have, max_bytes)
    part.write_note(etag, total)

    with part.path.open("ab" if have else "wb") as out:
        try:
            _write(place, chunks(place, have), out, have, (total, max_bytes), progress)
        except NotWeights:
            part.forget()
            raise
    if total is not None and part.size != total:
        raise DownloadError(f"{place}: {part.size:,} of {total:,} bytes came; try again")
