"""Open desks for pages: vault, docket and ledger stay open between requests, each used by one thread at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from face_index.faces.face import FaceReader
from face_index.faces.packs import FacePack
from face_index.registration.registration import Registrar
from face_index.vault import Vault
from reports.cases.case import Case
from scanner.casework.confirmation import Viewing, viewing_of
from scanner.casework.service import CaseService
from scanner.factories import Clock, open_calibration, open_pack, open_reader
from scanner.scanning.scan_store import ScanStore
from scanner.settings import Settings


class PageCaseService(CaseService):
    """A case desk with the scan ledger beside it."""

    @cached_property
    def scan_store(self) -> ScanStore:
        return ScanStore(self.settings.scans_path, any_thread=True)

    def viewing(self, case: Case) -> Viewing:
        """How many of a case's pictures were opened on its page: a report that was saved is not yet looked at."""
        log = self.vault.audit.about(case.identity_id)
        return viewing_of(case, log, self.actor, self.vault.audit.login, exports_count=False)

    def _note(self, event: str, case: Case, actor: str, **details: object) -> None:  # noqa: ARG002  a name, which the log must not hold
        super()._note(event, case, self.actor, **details)

    def _note_change(self, event: str, case: Case, actor: str, **details: object) -> None:  # noqa: ARG002  the same
        super()._note_change(event, case, self.actor, **details)

    def close(self) -> None:
        super().close()
        if "ledger" in self.__dict__:
            self.scan_store.close()


class ServicePool:
    """A pool; one whose request failed is closed, since its key may have been changed meanwhile."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._free: queue.LifoQueue[PageCaseService] = queue.LifoQueue()

    @contextmanager
    def one(self, actor: str) -> Iterator[PageCaseService]:
        """A desk for one request of somebody's."""
        try:
            service = self._free.get_nowait()
        except queue.Empty:
            service = PageCaseService(self._settings, self._clock, any_thread=True)
        service.actor = actor
        service.vault.audit.login = (f"account {actor}",)
        try:
            yield service
        except BaseException:
            service.close()
            raise
        self._free.put(service)

    def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()


class FaceService:
    """The face reader of this process, loaded with the first photo that somebody checks; one photo at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    @cached_property
    def pack(self) -> FacePack:
        return open_pack(self._settings)

    @cached_property
    def _reader(self) -> FaceReader:
        return open_reader(self._settings, self.pack)

    @contextmanager
    def reader(self) -> Iterator[FaceReader]:
        """The reader, for oneself."""
        with self._lock:
            yield self._reader

    def registrar(self, vault: Vault, reader: FaceReader) -> Registrar:
        """Whoever registers people in this vault with this reader."""
        calibration = open_calibration(self._settings, self.pack, reader.version)
        return Registrar(vault, reader, self.pack.bar, calibration)
