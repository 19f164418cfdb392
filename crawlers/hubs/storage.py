"""An operator's uploads in object storage, through fsspec (https://filesystem-spec.readthedocs.io).

Addresses have the form `s3://bucket/prefix`. Keys, endpoints and regions come from where the
library of the storage looks for them, such as AWS_ACCESS_KEY_ID or FSSPEC_S3_ENDPOINT_URL. Only
addresses that an operator types are opened; what a hub names is fetched over http(s) only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

from crawlers.errors import HubError, HubUnreachable
from crawlers.hubs.folder import is_checkpoint
from crawlers.listing import (
    Listing,
    Page,
    Partition,
    Presence,
    RemoteFile,
    SinglePartition,
    bare_listing,
    hex_digest,
)

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "oss", "sftp", "webdav+http", "webdav+https")
PAGE_SIZE = 1_000
_CHUNK_BYTES = 1024 * 1024


def is_storage(place: str) -> bool:
    """Whether an address is one of object storage."""
    return place.partition("://")[0] in PROTOCOLS and "://" in place


class StorageHub(SinglePartition):
    """Every checkpoint below an address, sorted by key."""

    name = "storage"

    def __init__(self, place: str) -> None:
        if not place.partition("://")[2].strip("/"):
            raise HubError(
                f"{place} names no bucket; write {place.partition('://')[0]}://bucket/prefix"
            )
        self._place, self._protocol = place.rstrip("/"), place.partition("://")[0]

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of 1,000 objects; the cursor is the last key of the previous page."""
        with _translated_errors(self._place):
            filesystem, root = _open_at(self._place)
            filesystem.invalidate_cache()
            # By default fsspec's own `find` skips folders that it cannot read.
            strictly = type(filesystem).find is AbstractFileSystem.find
            found = filesystem.find(
                root, detail=True, **({"on_error": "raise"} if strictly else {})
            )
        keys = sorted(
            key for key in found if is_checkpoint(key) and (cursor is None or key > cursor)
        )
        while keys:
            part, keys = keys[:PAGE_SIZE], keys[PAGE_SIZE:]
            listings = [
                self._listing(key, found[key])
                for key in part
                if not _is_older(found[key], partition.since)
            ]
            yield Page(tuple(listings), part[-1] if keys else None)

    def check_presence(self, listing_id: str) -> Presence:
        with _translated_errors(listing_id):
            filesystem, path = _open_at(listing_id)
            filesystem.invalidate_cache()
            return Presence.LISTED if filesystem.exists(path) else Presence.GONE

    def _listing(self, key: str, info: dict[str, Any]) -> Listing:
        place = f"{self._protocol}://{key}"
        raw = {
            name: value
            for name, value in info.items()
            if isinstance(value, str | int | float | None)
        }
        changed = _changed_at(info)
        # S3 has an object's SHA-256 only if its uploader requested it (x-amz-checksum-sha256).
        file = RemoteFile(
            key.rsplit("/", 1)[-1], place, info.get("size"), hex_digest(info.get("sha256"))
        )
        return replace(
            bare_listing(self.name, place, file.name, place, file),
            published_at=changed.isoformat() if changed else None,
            raw=json.dumps(raw, ensure_ascii=False, sort_keys=True),
            revision=str(info.get("ETag") or "").strip('"') or None,
        )


class StorageSource:
    """A checkpoint in object storage that is read in ranges (see `ByteSource` in header.py)."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.bytes_read = 0
        with _translated_errors(place):
            filesystem, path = _open_at(place)
            self._size_bytes: int | None = filesystem.info(path).get("size")

    @property
    def size_bytes(self) -> int | None:
        return self._size_bytes

    def read(self, start: int, length: int) -> bytes:
        if self._size_bytes is not None and start >= self._size_bytes:
            return b""
        with _translated_errors(self._place):
            filesystem, path = _open_at(self._place)
            data: bytes = filesystem.cat_file(
                path, start=start, end=min(start + length, self._size_bytes or start + length)
            )
        self.bytes_read += len(data)
        return data


def chunks(place: str, start: int) -> Iterator[bytes]:
    """Yield an object's bytes from `start` on, piece by piece.

    Raises:
        HubUnreachable: the storage does not deliver them.
    """
    with _translated_errors(place):
        filesystem, path = _open_at(place)
        stream = filesystem.open(path, "rb", cache_type="readahead")
        stream.seek(start)
    try:
        while True:
            with _translated_errors(place):
                data = stream.read(_CHUNK_BYTES)
            if not data:
                return
            yield data
    finally:
        stream.close()


def put_object(place: str, path: Path) -> None:
    """Upload a file; raises HubUnreachable."""
    with _translated_errors(place):
        filesystem, key = _open_at(place)
        filesystem.put_file(str(path), key)


def remove_object(place: str) -> None:
    """Delete an object; raises HubUnreachable."""
    with _translated_errors(place):
        filesystem, key = _open_at(place)
        filesystem.rm_file(key)


def revision_of(place: str) -> tuple[int | None, str | None]:
    """The current size and ETag of an object; raises HubUnreachable."""
    with _translated_errors(place):
        filesystem, path = _open_at(place)
        filesystem.invalidate_cache()
        info = filesystem.info(path)
        return info.get("size"), info.get("ETag")


@cache
def _filesystem(protocol: str) -> Any:
    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise HubError(f"{protocol}:// needs another package: {error}") from error


def _open_at(place: str) -> tuple[Any, str]:
    filesystem = _filesystem(place.partition("://")[0])
    return filesystem, filesystem._strip_protocol(place)  # noqa: SLF001  documented by fsspec


@contextmanager
def _translated_errors(place: str) -> Iterator[None]:
    """Raise the errors of any storage library as HubError; they have no common base class."""
    try:
        yield
    except HubError:
        raise
    except FileNotFoundError as error:
        raise HubUnreachable(f"{place} is not there, or may not be seen with these keys") from error
    except Exception as error:
        raise HubUnreachable(
            f"{place}: {type(error).__name__}: {error}; check keys and endpoint"
        ) from error


def _changed_at(info: dict[str, Any]) -> datetime | None:
    changed = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
    if isinstance(changed, int | float):
        return datetime.fromtimestamp(changed, UTC)
    return changed if isinstance(changed, datetime) else None


def _is_older(info: dict[str, Any], since: datetime | None) -> bool:
    changed = _changed_at(info)
    return since is not None and changed is not None and changed < since
