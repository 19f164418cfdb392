"""Uploads of a confirmed file's weights in another form, which are answered without a scan."""

from __future__ import annotations

import threading

from reports.cases.case_store import CaseStore
from scanner.casework.copies import places_of
from scanner.casework.derived import Derivation, DerivedFiles
from scanner.casework.filing import CaseFiling
from scanner.casework.service import CaseService
from scanner.clock import Clock
from scanner.factories.fingerprints import open_fingerprint_store
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.relation import Relation
from scanner.identification.outcome import Outcome
from scanner.settings import Settings
from scanner.triage.minors import RegisteredMinors
from scanner.web.queue.declared_files import listing_of
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.uploads import Upload


class DerivedUploads:
    """Compares uploads with the files of confirmed cases."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self._store: FingerprintStore | None = None
        self._cases: CaseStore | None = None
        self._derived: DerivedFiles | None = None

    def close(self) -> None:
        """Close the stores that were opened."""
        for store in (self._store, self._cases):
            if store is not None:
                store.close()

    def remember(self, upload: Upload) -> None:
        """Store the fingerprint that was made while an upload arrived."""
        if upload.fingerprint is None:
            return
        known = KnownFile(upload.sha256, upload.weights_hash, upload.name, upload.fingerprint)
        self._open()[0].add(known, self._clock())

    def may_derive(self, request: JobRequest) -> bool:
        """Whether an upload is another form of a confirmed file."""
        return bool(self._derivations(request))

    def rows_for(self, request: JobRequest, service: CaseService) -> list[JobRow] | None:
        """Rows that answer an upload at once; None if the worker must scan it.

        The cases get the upload as a copy. An upload that may be authorised is left to the worker,
        and so are all while a minor is registered, whom its listing may name.
        """
        filing = CaseFiling(
            service.vault, service.case_store, service.records, service.actor, self._clock
        )
        listing = listing_of(request, "", self._settings.web.hub_name)
        if listing.minor_flag or RegisteredMinors(service.vault, self._clock).ids:
            return None
        [place] = places_of([listing], request.sha256 or "")
        rows: list[JobRow] = []
        for derivation in self._derivations(request):
            if derivation.source is not None:
                continue
            case = filing.confirmed_case(derivation.case_id)
            if case is None:
                continue
            if filing.authorised_by(case, uploader_known=False) is not None:
                return None
            if derivation.relative.relation == Relation.SAME_WEIGHTS:
                filing.attach(case, place)
            else:
                filing.attach_copy(case, derivation.as_copy(place))
            name = request.name or request.sha256 or ""
            rows.append(
                JobRow(
                    name,
                    request.sha256,
                    str(Outcome.POSSIBLE),
                    derivation.reason,
                    case_id=case.case_id,
                )
            )
        return rows or None

    def _derivations(self, request: JobRequest) -> list[Derivation]:
        """The confirmed cases of whose files an upload is a complete copy."""
        if request.kind != JobKind.UPLOAD or request.sha256 is None:
            return []
        _, derived = self._open()
        with self._lock:
            return [one for one in derived.of_file(request.sha256) if one.is_complete_copy]

    def _open(self) -> tuple[FingerprintStore, DerivedFiles]:
        with self._lock:
            if self._store is None or self._derived is None:
                self._store = open_fingerprint_store(self._settings)
                self._cases = CaseStore(
                    self._settings.cases_path, self._settings.evidence_path, any_thread=True
                )
                self._derived = DerivedFiles(self._store, self._cases)
            return self._store, self._derived
