"""Whole files from a hub: resumed where they broke off, checked against what the hub claims, never taken for what they are not."""

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
# Left on the disk for the databases, whose loss would be worse than a checkpoint's.
RESERVE_BYTES = 64 * 1024**2
SLOWEST_BYTES_PER_S, PATIENCE_S = 1024, 120.0
_FIRST_BYTES = 512
_LOCKS = 64

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk so far and the expected total, if known."""


@dataclass(frozen=True, slots=True)
class _Part:
    """An unfinished download: its bytes, and beside them what tells whether the rest is of the same file."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def told(self) -> dict[str, object]:
        try:
            note = json.loads(self._note.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def tell(self, etag: str | None, total: int | None, *, encoded: bool = False) -> None:
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
    """Download a file into `folder`, continuing what an earlier, interrupted call left there.

    Returns:
        The path, whose name is the SHA-256, and that SHA-256 in lower-case hex.

    Raises:
        HashMismatch: complete, twice if it was resumed, but other bytes than the hub named; kept under their own hash.
        NotWeights: a page or a text came; nothing is kept.
        DownloadTooLarge: more bytes than `max_bytes`; nothing is kept.
        NoRoom: the disk is full; what came so far is kept for the next call.
        DownloadError: the server ended the body early, twice in a row without progress, or crawls.
        HubRefused, HubUnreachable: as the transport says; what came so far is kept for the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(
        folder / (hashlib.sha256(f"{file.url} {file.sha256}".encode()).hexdigest()[:24] + ".part")
    )
    # Two programs that append to one part would make garbage of it; the second waits, and finds the file.
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
            # Two halves of different files, perhaps: only a download in one piece speaks against the hub.
            part.forget()
    part.keep_as(folder / actual)
    raise HashMismatch(shown(file.url), file.sha256 or "", actual)


def _locked(part: Path) -> FileLock:
    """One of a few locks beside the folder, so that they do not become as many as files."""
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
            f"the disk of {folder} is full; what came so far is kept: make room and run the same command again"
        ) from error


def _complete(
    transport: Transport, file: RemoteFile, part: _Part, progress: Progress | None, max_bytes: int
) -> int:
    """Fetch what is missing of a part; in how many pieces it came."""
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
                f"{shown(file.url)}: the server stops after {now:,} of {total:,} bytes; try again later"
            )


def _append(
    transport: Transport, url: str, part: _Part, progress: Progress | None, max_bytes: int
) -> int | None:
    """Append what the server sends from where the part ends; the total length, None if it is not said."""
    if part.told().get("encoded"):
        part.forget()  # ranges of an encoded body count other bytes than ours
    have, told = part.size, part.told()
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and isinstance(told.get("etag"), str):
        headers["If-Range"] = str(told["etag"])
    try:
        with transport.stream(url, headers=headers) as response:
            resumed = have > 0 and _continues(response, have, told)
            start = (
                have if resumed else 0
            )  # a 200 to a Range request is the whole file from its start
            codings = codings_of(response.headers)
            if have > 0 and response.status_code == 206 and (codings or not resumed):
                part.forget()
                return have + 1  # not the rest of the file begun: ask again for all of it
            length = response.headers.get("content-length", "")
            total = start + int(length) if length.isdigit() and not codings else None
            _must_fit(url, part.path.parent, total, start, max_bytes)
            etag = response.headers.get("etag", "")
            # Only a strong validator may be given to If-Range (RFC 9110, 13.1.5).
            part.tell(etag if etag.startswith('"') else None, total, encoded=bool(codings))
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
        if (
            error.status == 416 and have
        ):  # nothing lies behind what we have: complete, or a shorter file now
            if have == told.get("total"):
                return have
            part.forget()
            return have + 1
        raise


def _continues(response: httpx.Response, have: int, told: dict[str, object]) -> bool:
    """Whether an answer is the rest of the file that was begun."""
    if response.status_code != 206:
        return False
    span, _, whole = response.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    same_length = told.get("total") is None or not whole.isdigit() or int(whole) == told["total"]
    etag = response.headers.get("etag")
    same_file = etag is None or told.get("etag") is None or etag == told["etag"]
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
    """Write a body; a connection that breaks is left to the caller, who sees what is missing."""
    total, max_bytes = limits
    held, moment, then = b"", time.monotonic(), have
    try:
        for chunk in pieces:
            data = held + chunk
            # Nothing is written before the first bytes are known to be no page.
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
                        f"{shown(url)} sends less than {SLOWEST_BYTES_PER_S} bytes a second; try again later"
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
    """Raise NotWeights for a page or text by its first bytes; pickles and archives pass, to be listed and never loaded."""
    try:
        refuse_other_formats(first_bytes)
    except NotSafetensors as error:
        if error.kind not in ("pickle", "zip"):
            raise NotWeights(f"{shown(url)} gave {error}") from error


def _copy_object(place: str, part: _Part, progress: Progress | None, max_bytes: int) -> None:
    """Copy an object from storage, going on where an earlier copy of the same version stopped."""
    total, etag = revision_of(place)
    have = part.size
    if part.told() != {"etag": etag, "total": total} or etag is None:
        have = 0
    _must_fit(place, part.path.parent, total, have, max_bytes)
    part.tell(etag, total)
    with part.path.open("ab" if have else "wb") as out:
        try:
            _write(place, chunks(place, have), out, have, (total, max_bytes), progress)
        except NotWeights:
            part.forget()
            raise
    if total is not None and part.size != total:
        raise DownloadError(f"{place}: {part.size:,} of {total:,} bytes came; try again")
