"""Checkpoints on their way to machines that draw: in object storage, only while they are needed."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawlers.errors import HubError
from crawlers.hubs.storage import chunks, put_object, remove_object
from scanner.errors import StagingFailed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staging:
    """An address in object storage through which checkpoints travel.

    Keys, endpoints and regions come from each machine's environment (`crawlers.hubs.storage`).

    Attributes:
        place: for example `s3://bucket/prefix`.
        folder: on the machine that draws; copies lie there while a checkpoint is loaded.
    """

    place: str
    folder: Path

    @contextmanager
    def staged(self, path: Path, sha256: str) -> Iterator[str]:
        """Upload a checkpoint for the duration of a with-block; yield its name.

        Raises:
            StagingFailed: the storage does not take it.
        """
        # A name of its own, so that the end of one block never removes the file of another.
        name = f"{sha256}-{secrets.token_hex(8)}"
        try:
            put_object(self._place_of(name), path)
        except HubError as error:
            raise StagingFailed(self.place, str(error)) from error
        try:
            yield name
        finally:
            try:
                remove_object(self._place_of(name))
            except HubError as error:
                log.warning("%s stays in the staging area: %s", name, error)

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """Download a checkpoint for the duration of a with-block; yield its path.

        Raises:
            StagingFailed: the storage does not deliver it, or delivers other bytes.
        """
        # The folder may be shared, and the process id is that of this machine.
        path = self.folder / f"{name}.{socket.gethostname()}.{os.getpid()}.safetensors"
        try:
            self._download(name, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _download(self, name: str, path: Path) -> None:
        digest = hashlib.sha256()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as copy:
                for data in chunks(self._place_of(name), 0):
                    digest.update(data)
                    copy.write(data)
        except (HubError, OSError) as error:
            raise StagingFailed(self.place, str(error)) from error
        if digest.hexdigest() != name.partition("-")[0]:
            raise StagingFailed(self.place, "other bytes arrived")

    def remove_leftovers(self) -> None:
        """Remove the copies that processes of this machine left when they were killed."""
        for path in self.folder.glob(f"*.{socket.gethostname()}.*.safetensors"):
            pid = path.name.split(".")[-2]
            if pid.isdigit() and not _is_running(int(pid)):
                path.unlink(missing_ok=True)

    def _place_of(self, name: str) -> str:
        return f"{self.place.rstrip('/')}/{name}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
