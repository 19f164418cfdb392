"""Case services and the face reader that pages share, opened once and reused between requests."""

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
from scanner.casework.confirmation import PicturesViewed, viewing_of
from scanner.casework.service import CaseService
from scanner.clock import Clock
from scanner.factories import (
    case_rules,
    open_calibration,
    open_case_store,
    open_pack,
    open_reader,
    open_vault,
)
from scanner.scanning.scan_store import ScanStore
from scanner.settings import Settings


class PageCaseService(CaseService):
    """A case service with the store of scans, for one request at a time.

    Attributes:
        hub_name: of the gate's own hub.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        vault = open_vault(settings, any_thread=True)
        case_store = open_case_store(settings, vault, clock, any_thread=True)
        super().__init__(vault, case_store, case_rules(settings), clock)
        self.hub_name, self._scans_path = settings.web.hub_name, settings.scans_path

    @cached_property
    def scan_store(self) -> ScanStore:
        return ScanStore(self._scans_path, any_thread=True)

    def viewing(self, case: Case) -> PicturesViewed:
        """How many pictures of a case the reviewer has opened; exported reports do not count."""
        log = self.vault.audit.about(case.identity_id)
        return viewing_of(case, log, self.actor, self.vault.audit.login, exports_count=False)

    # The callers pass the reviewer's name as the actor; the log must hold the account instead.
    def _note(self, event: str, case: Case, actor: str, **details: object) -> None:  # noqa: ARG002
        super()._note(event, case, self.actor, **details)

    def _note_change(
        self,
        event: str,
        case: Case,
        actor: str,  # noqa: ARG002
        **details: object,
    ) -> None:
        super()._note_change(event, case, self.actor, **details)

    def close(self) -> None:
        super().close()
        if "scan_store" in self.__dict__:
            self.scan_store.close()


class ServicePool:
    """A pool of case services.

    The service of a request that failed is closed: the key of the vault may have changed meanwhile.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._free: queue.LifoQueue[PageCaseService] = queue.LifoQueue()

    @contextmanager
    def acquire(self, actor: str) -> Iterator[PageCaseService]:
        """Lend a service to one request of an actor."""
        try:
            service = self._free.get_nowait()
        except queue.Empty:
            service = PageCaseService(self._settings, self._clock)
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
    """The face reader of this process, loaded when the first photo is checked."""

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
        """The reader; only one request uses it at a time."""
        with self._lock:
            yield self._reader

    def registrar(self, vault: Vault, reader: FaceReader) -> Registrar:
        """A registrar of people for this vault and this reader."""
        calibration = open_calibration(self._settings, self.pack, reader.version.sha256)
        return Registrar(vault, reader, self.pack.bar, calibration)
