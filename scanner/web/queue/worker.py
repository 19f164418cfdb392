"""The worker: one process that takes jobs from web.db and scans, and a thread of it that tells people.

It holds a lock on the home. Whoever gets the lock after a crash goes on with what was under way: the ledger repeats
at most the step it was in, and a job ends once.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.errors import CrawlError
from crawlers.listing import Listing, listings_of
from crawlers.sweeps.inquiries import Inquiries
from face_index.errors import FaceIndexError
from reports.cases.case_store import CaseStore
from reports.errors import ReportError
from scanner.captures.filing import JudgedSubject, judge_captures
from scanner.captures.intake import Intake
from scanner.captures.subjects import subject_of
from scanner.errors import FleetUnreachable, ScanError, sentence_of
from scanner.factories import Clock, utc_now
from scanner.identification.verdict import Outcome
from scanner.scanning.scan import ScanResult, run_scan, scan_listings
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.api.declared_files import listing_of, with_declared
from scanner.web.api.known_files import JOB_TARGET
from scanner.web.api.verdicts import WATCHED, Standings, Telling
from scanner.web.queue.delivery import Delivery
from scanner.web.queue.jobs import SENT, Job, JobKind, Jobs
from scanner.web.queue.outbox import Outbox
from scanner.web.store import WebStore

log = logging.getLogger(__name__)

_IDLE_S = 0.3
_PROGRESS_EVERY_S = 0.5
_TRY_AGAIN_S = 10.0
_LOOK_AGAIN_S = 60.0


class _Cancelled(Exception):
    """Somebody took the job back."""


class _Progress:
    """Writes how far a job is, not more often than people look; raises _Cancelled."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self._jobs, self._job_id, self._last = jobs, job_id, 0.0

    def step(self, done: int, total: int | None, doing: str) -> None:
        if time.monotonic() - self._last < _PROGRESS_EVERY_S and done != total:
            return
        self._last = time.monotonic()
        if not self._jobs.progress(self._job_id, done, total, doing):
            raise _Cancelled


class Worker:
    """Takes one job after another; models stay loaded between them."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        self.store = WebStore(settings.web_path)
        self.jobs = Jobs(self.store, clock)
        self.outbox = Outbox(settings, self.store, clock)
        self.delivery = Delivery(settings, self.store, self.outbox, clock)
        self._scan_session: ScanSession | None = None
        self._look_again_at = float("-inf")
        self._stop = threading.Event()

    def stop(self) -> None:
        """Leave after the job that is under way; a second worker may wait for the lock already."""
        self._stop.set()

    def run(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Work until told to stop, or until `alive` says that whoever started this process is gone."""
        lock = FileLock(self.settings.web_path.with_name("worker.lock"))
        while not self._stop.is_set() and alive():
            try:
                lock.acquire(timeout=1.0)
            except Timeout:
                continue
            break
        else:
            return
        delivery = threading.Thread(
            target=self.delivery.run, args=(self._stop,), name="messenger", daemon=True
        )
        try:
            self.store.forget_fact(WATCHED)  # a worker before this one may have had other settings
            self.jobs.put_back_what_ran()
            delivery.start()
            while not self._stop.is_set() and alive():
                self._note_whom_we_look_for()
                job = self.jobs.claim()
                if job is None:
                    self._stop.wait(_IDLE_S)
                elif not job.ended:
                    self._work(job)
                    if job.kind in SENT and job.source and self.jobs.has_ended(job.job_id):
                        Path(job.source).unlink(
                            missing_ok=True
                        )  # what was judged lies in the store
        finally:
            self._stop.set()
            delivery.join(timeout=15.0)
            if self._scan_session is not None:
                self._scan_session.close()
            lock.release()
            self.store.close()

    @property
    def scan_session(self) -> ScanSession:
        """Opened once; base models are loaded with the first file that needs one."""
        if self._scan_session is None:
            self._scan_session = ScanSession(self.settings, self.clock)
        return self._scan_session

    def _note_whom_we_look_for(self) -> None:
        """Write down which verdicts are good now, so that the gate answers known files at once.

        From the start on, not from the first job on; where nobody can be looked for, the log says why, the gate
        answers 202, and it is tried again once in a while.
        """
        if time.monotonic() < self._look_again_at:
            return
        try:
            watch = self.scan_session.watch
            told = f"{watch.gallery_version} {self.scan_session.fingerprint_of(watch)}"
        except (
            CrawlError,
            ScanError,
            FaceIndexError,
            ReportError,
            OSError,
            sqlite3.OperationalError,
        ) as error:
            self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
            log.error("nobody can be looked for: %s", sentence_of(error))  # noqa: TRY400  the sentence says what to do
            self.store.forget_fact(WATCHED)
            return
        if self.store.fact(WATCHED) != told:
            self.store.set_fact(WATCHED, told)

    def _work(self, job: Job) -> None:
        try:
            rows, scan_id = self._captured(job) if job.kind == JobKind.CAPTURE else self._scan(job)
        except _Cancelled:
            log.info("job %s was cancelled", job.job_id)
            return
        except FleetUnreachable as error:
            log.warning("job %s waits: %s", job.job_id, error)
            self.scan_session.close_worker_pool()
            self.jobs.put_back(job.job_id)
            self._stop.wait(_TRY_AGAIN_S)
            return
        except (CrawlError, ScanError, FaceIndexError, ReportError) as error:
            self.jobs.finish(job.job_id, [], None, str(error), self._tell_webhook)
            return
        except (OSError, sqlite3.OperationalError) as error:
            if getattr(error, "errno", None) in (
                errno.ENAMETOOLONG,
                errno.ENOENT,
                errno.EACCES,
                errno.ENOTDIR,
            ):
                self.jobs.finish(
                    job.job_id,
                    [],
                    None,
                    (getattr(error, "strerror", None) or "the file cannot be opened")[:300],
                    self._tell_webhook,
                )
                return
            # A full disk or a locked file is no verdict on the job: it waits for its turn again, a few times.
            full = getattr(error, "errno", None) == errno.ENOSPC
            log.warning("job %s: %s%s", job.job_id, error, "; free some disk space" if full else "")
            self.jobs.put_back_what_ran()
            self._stop.wait(_TRY_AGAIN_S)
            return
        except Exception as error:  # the outermost frame: what one job brings must not end the worker for all others
            log.exception("job %s", job.job_id)
            problem = f"a mistake of the program's ({type(error).__name__}); its log has more under job {job.job_id}"
            self.jobs.finish(job.job_id, [], None, problem, self._tell_webhook)
            return
        self._note_whom_we_look_for()  # before anyone is told: whoever asks then gets the same answer
        self.jobs.finish(job.job_id, rows, scan_id, None, self._tell_webhook)

    def _scan(self, job: Job) -> tuple[list[dict[str, Any]], str | None]:
        scan_session, progress = self.scan_session, _Progress(self.jobs, job.job_id)
        progress.step(0, None, job.name)
        if job.kind == JobKind.TARGET:
            return _told(run_scan(scan_session, [job.source], progress))
        listings = (with_declared(one, job.declared) for one in self._listings(job))
        target = f"{JOB_TARGET}{job.job_id}"
        return _told(scan_listings(scan_session, target, listings, progress, brought=True))

    def _captured(self, job: Job) -> tuple[list[dict[str, Any]], str | None]:
        """Take in what was sent, if anything was, and judge what is new among everything captured."""
        scan_session, progress = self.scan_session, _Progress(self.jobs, job.job_id)
        progress.step(0, None, job.name)
        rows: list[dict[str, Any]] = []
        captures, sent, own = (
            CaptureStore(scan_session.crawl, self.settings.captures_path),
            None,
            set[str](),
        )
        if job.source:
            sent = taken_in(self.settings, self.clock, Path(job.source), job.name, job.declared)
            own = {subject_of(page, sent.name)[0] for page in captures.pages(sent.capture_id)}
        asker = job.declared.get("login")
        for done, one in enumerate(judge_captures(scan_session, captures, asker=asker), 1):
            progress.step(done, None, one.name)
            if not one.known or one.key in own:
                rows += rows_of(one, scan_session.case_store)
        if sent and (sent.problem or sent.notes or not rows):
            reason = (
                sent.problem
                or "; ".join(sent.notes)
                or f"{sent.pages} pages were read; no image of theirs shows a face to search"
            )
            about = {**_NOBODY, "file": sent.name, "sha256": sent.capture_id, "reason": reason}
            rows.insert(
                0,
                {**about, "outcome": str(Outcome.FAILED if sent.problem else Outcome.INCONCLUSIVE)},
            )
        return rows, None

    def _listings(self, job: Job) -> Iterable[Listing]:
        if job.kind == JobKind.URL:
            return listings_of(self.scan_session.hubs.open(job.source))
        if job.kind == JobKind.UPLOAD:
            self.scan_session.acquisition.checkpoints.adopt(
                Path(job.source), job.sha256 or "", job.name
            )
            return [listing_of(job, job.job_id, self.settings.web.hub_name)]
        holders = Inquiries(self.scan_session.crawl).holders(job.source)
        for known in holders:
            files = tuple(file for file in known.files if file.sha256 == job.source and file.url)
            if files:
                return [replace(known, files=files[:1])]
        # Somebody else's upload is as little known as bytes that nobody ever sent.
        sent = self.jobs.sent_by(job.account_id, job.source)
        if (sent or holders) and self.scan_session.acquisition.checkpoints.path_of(job.source):
            return [listing_of(sent or job, job.job_id, self.settings.web.hub_name)]
        raise CrawlError(
            f"nobody lists a file with the SHA-256 {job.source}; send the file or its address"
        )

    def _tell_webhook(self, job: Job) -> None:
        if job.webhook is None:
            return
        standings = Standings(self.settings)
        document = (
            Telling(self.settings.web.url, standings, with_names=False)
            .scan(job)
            .model_dump(mode="json")
        )
        standings.close()
        self.outbox.post(job.webhook, {"event": "scan.ended", "scan": document}, job.job_id)


_NOBODY: dict[str, Any] = {
    "outcome": "failed", "case_id": None, "score": None, "threshold": None, "lift": None, "authorised": None, "samples": 0,
}  # fmt: skip


def _told(result: ScanResult) -> tuple[list[dict[str, Any]], str]:
    rows = list(result.rows)
    for gap in result.gaps:
        reason = f"listings may be missing: {gap}; scan it again"
        rows.append({**_NOBODY, "file": result.scan.target, "sha256": None, "reason": reason})
    return rows, result.scan.scan_id


def taken_in(
    settings: Settings, clock: Clock, sent: Path, name: str, told: Mapping[str, Any]
) -> CaptureRow:
    """Take a file that was sent in under its own name; what its format is may depend on that."""
    taking = Intake(settings, clock)
    try:
        with tempfile.TemporaryDirectory(dir=sent.parent) as folder:
            place = Path(folder) / name
            place.hardlink_to(sent)
            by, login = told.get("by", settings.operator), told.get("login")
            return taking.take_one(place, by, told.get("made_with"), login=login).capture
    finally:
        taking.close()


def rows_of(one: JudgedSubject, case_store: CaseStore) -> list[dict[str, Any]]:
    """A judged account or capture as rows of a scan: one for each case, or one for nobody."""
    shared = {
        **_NOBODY, "file": one.name, "sha256": None, "outcome": one.outcome, "samples": one.images, "reason": one.reason,
        "authorised": "; ".join(one.authorised) or None,
    }  # fmt: skip
    cases = [case_store.case(case_id) for case_id in one.cases]
    return [
        {**shared, "case_id": case.case_id, "score": case.score, "threshold": case.threshold}
        for case in cases
    ] or [shared]


def work(settings: Settings) -> None:
    """What the worker process runs; it ends with the process that started it."""
    parent = os.getppid()
    worker = Worker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run(alive=lambda: os.getppid() == parent)
