"""The worker: a process that runs the jobs of the queue, with a thread that sends messages.

It holds a lock on the home. The next worker to get the lock continues after a crash: at most the
step that was under way is repeated, and every job ends once.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import Timeout

from crawlers.errors import CrawlError
from crawlers.listing import Listing, listings_of
from crawlers.sweeps.inquiries import Inquiries
from face_index.errors import FaceIndexError
from reports.errors import ReportError
from scanner.clock import Clock, utc_now
from scanner.errors import ClusterUnreachable, ScanError, is_expected, sentence_of
from scanner.factories import open_scan_session
from scanner.identification.outcome import Outcome
from scanner.scanning.retrosearch import retrosearch
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.scan_result import ScanResult
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.queue.capture_jobs import capture_rows
from scanner.web.queue.declared_files import listing_of, with_declared
from scanner.web.queue.delivery import Delivery
from scanner.web.queue.health import worker_lock
from scanner.web.queue.job import SENT, Job, JobKind
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.known_files import JOB_TARGET
from scanner.web.queue.outbox import Outbox
from scanner.web.queue.progress import (
    JobCancelled,
    JobProgress,
    RetrosearchProgress,
    SearchStopped,
)
from scanner.web.queue.verdicts import (
    SEARCH_FAILED_FACT,
    SNAPSHOT_FACT,
    CaseStandings,
    ScanSerializer,
)
from scanner.web.store import WebStore

log = logging.getLogger(__name__)

_IDLE_S = 0.3
_TRY_AGAIN_S = 10.0
_SNAPSHOT_RETRY_S = 60.0


class QueueWorker:
    """Runs one job after another; models stay loaded between them."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        self.store = WebStore(settings.web_path)
        self.jobs = Jobs(self.store, clock)
        self.outbox = Outbox(settings, self.store, clock)
        self.delivery = Delivery(settings, self.store, self.outbox, clock)
        self._scan_session: ScanSession | None = None
        self._retry_at = float("-inf")
        self._searched_in_job = False
        self._stop = threading.Event()

    def stop(self) -> None:
        """Stop after the present job; another worker may be waiting for the lock."""
        self._stop.set()

    def run(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Run jobs until `stop` is called, or `alive` says that the parent process has ended."""
        lock = worker_lock(self.settings)
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
            # The previous worker may have had other settings.
            self.store.forget_fact(SNAPSHOT_FACT)
            self.jobs.requeue_running_jobs()
            delivery.start()
            while not self._stop.is_set() and alive():
                self._search_present_gallery()
                job = self.jobs.claim(self._post_result)
                if job is None:
                    self._stop.wait(_IDLE_S)
                    continue
                if not job.ended:
                    self._work(job)
                if self._searched_in_job:
                    # Files of the job may have been stored after that search.
                    self._searched_in_job = False
                    self._search_present_gallery(again=True)
                if job.kind in SENT and job.source and self.jobs.has_ended(job.job_id):
                    # The store of checkpoints or captures has the file now.
                    Path(job.source).unlink(missing_ok=True)
        finally:
            self._stop.set()
            delivery.join(timeout=15.0)
            if self._scan_session is not None:
                self._scan_session.close()
            lock.release()
            self.store.close()

    @property
    def scan_session(self) -> ScanSession:
        """The session, opened once; base models are loaded with the first file that needs one."""
        if self._scan_session is None:
            self._scan_session = open_scan_session(self.settings, self.clock)
        return self._scan_session

    def _search_present_gallery(self, *, in_job: bool = False, again: bool = False) -> None:
        """Search everybody who is registered in what was drawn before, unless that was done.

        Until it is done the gate answers 202. If it fails, the log says why, and it is tried again
        after a minute.

        Args:
            in_job: a scan is under way, which goes on with the same workers.
            again: also if it was done; the gate goes on answering.
        """
        if time.monotonic() < self._retry_at or self._stop.is_set():
            return
        try:
            snapshot = self.scan_session.take_snapshot()
            key = f"{snapshot.gallery_version} {self.scan_session.search_key(snapshot).digest}"
            known = self.store.fact(SNAPSHOT_FACT)
            if known is not None and known.startswith(f"{key} "):
                if not again:
                    return
            else:
                self.store.forget_fact(SNAPSHOT_FACT)
                self.store.forget_fact(SEARCH_FAILED_FACT)
                self._searched_in_job = in_job
            progress = RetrosearchProgress(self._stop, self.store)
            try:
                result = retrosearch(self.scan_session, progress)
            finally:
                progress.end()
        except SearchStopped:
            return
        except Exception as error:  # an error in one search must not end the worker
            self._retry_at = time.monotonic() + _SNAPSHOT_RETRY_S
            if is_expected(error) or isinstance(error, OSError | sqlite3.OperationalError):
                # Without a trace: the text says what to do.
                log.error("nobody can be searched for: %s", sentence_of(error))  # noqa: TRY400
            else:
                log.exception("nobody can be searched for")
            self.store.forget_fact(SNAPSHOT_FACT)
            self.store.set_fact(SEARCH_FAILED_FACT, self.clock().isoformat())
            if isinstance(error, ClusterUnreachable) and not in_job:
                self.scan_session.close_worker_pool()  # the next call connects again
            return
        log.info(
            "%d files that were drawn before were searched, %d could not be; %d show somebody",
            result.files,
            result.unsearched,
            result.rows.open_files(),
        )
        self.store.set_fact(SNAPSHOT_FACT, f"{key} {self.clock().isoformat()}")

    def _work(self, job: Job) -> None:
        try:
            rows, scan_id = self._captures(job) if job.kind == JobKind.CAPTURE else self._scan(job)
            self.jobs.keep_rows(job.job_id, rows)
        except JobCancelled:
            log.info("job %s was cancelled", job.job_id)
            return
        except ClusterUnreachable as error:
            log.warning("job %s waits: %s", job.job_id, error)
            self.scan_session.close_worker_pool()
            self.jobs.put_back(job.job_id)
            self._stop.wait(_TRY_AGAIN_S)
            return
        except (CrawlError, ScanError, FaceIndexError, ReportError) as error:
            self.jobs.finish(job.job_id, None, str(error), self._post_result)
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
                    None,
                    (getattr(error, "strerror", None) or "the file cannot be opened")[:300],
                    self._post_result,
                )
                return
            # A locked file says little about the job: it is queued again a few times. A full disk
            # says nothing about it.
            is_full = getattr(error, "errno", None) == errno.ENOSPC or "is full" in str(error)
            advice = "; free some disk space" if is_full else ""
            log.warning("job %s: %s%s", job.job_id, error, advice)
            if is_full:
                self.jobs.put_back(job.job_id)
            else:
                self.jobs.requeue_running_jobs()
            self._stop.wait(_TRY_AGAIN_S)
            return
        except Exception as error:  # an error in one job must not end the worker
            log.exception("job %s", job.job_id)
            problem = (
                f"a mistake of the program's ({type(error).__name__}); its log has more under job "
                f"{job.job_id}"
            )
            self.jobs.finish(job.job_id, None, problem, self._post_result)
            return
        self.jobs.finish(job.job_id, scan_id, None, self._post_result)

    def _scan(self, job: Job) -> tuple[Iterable[JobRow], str | None]:
        # Whoever is approved during a long scan is searched for between two of its files.
        between = partial(self._search_present_gallery, in_job=True)
        progress = JobProgress(self.jobs, job.job_id, between)
        scan_session = self.scan_session
        progress.step(0, None, job.name)
        if job.kind == JobKind.TARGET:
            result = run_scan(scan_session, [job.source], progress)
            return _rows_of(result), result.scan.scan_id
        listings = (with_declared(listing, job.declared) for listing in self._listings(job))
        target = f"{JOB_TARGET}{job.job_id}"
        result = scan_listings(scan_session, target, listings, progress, supplied_by_caller=True)
        return _rows_of(result), result.scan.scan_id

    def _captures(self, job: Job) -> tuple[Iterable[JobRow], str | None]:
        progress = JobProgress(self.jobs, job.job_id)
        progress.step(0, None, job.name)
        return capture_rows(self.scan_session, self.settings, job, progress), None

    def _listings(self, job: Job) -> Iterable[Listing]:
        if job.kind == JobKind.URL:
            return listings_of(self.scan_session.hubs.open(job.source))
        if job.kind == JobKind.UPLOAD:
            self.scan_session.acquisition.checkpoints.adopt(
                Path(job.source), job.sha256 or "", job.name
            )
            return [listing_of(job, job.job_id, self.settings.web.hub_name)]
        holders = Inquiries(self.scan_session.crawl).holders(job.source)
        for listing in holders:
            files = tuple(file for file in listing.files if file.sha256 == job.source and file.url)
            if files:
                return [replace(listing, files=files[:1])]
        # Another account's upload is treated like bytes that were never sent.
        upload = self.jobs.sent_by(job.account_id, job.source)
        if (upload or holders) and self.scan_session.acquisition.checkpoints.path_of(job.source):
            return [listing_of(upload or job, job.job_id, self.settings.web.hub_name)]
        raise CrawlError(
            f"nobody lists a file with the SHA-256 {job.source}; send the file or its address"
        )

    def _post_result(self, job: Job) -> None:
        if job.webhook is None:
            return
        standings = CaseStandings(self.settings)
        document = (
            ScanSerializer(self.settings.web.url, standings, with_names=False)
            .scan(job)
            .model_dump(mode="json")
        )
        standings.close()
        self.outbox.post(job.webhook, {"event": "scan.ended", "scan": document}, job.job_id)


def _rows_of(result: ScanResult) -> Iterator[JobRow]:
    for reported in result.rows:
        yield replace(JobRow.of(reported.row), searched_through=reported.searched_through)
    for gap in result.gaps:
        reason = f"listings may be missing: {gap}; scan it again"
        yield JobRow(result.scan.target, None, str(Outcome.FAILED), reason)


def work(settings: Settings) -> None:
    """Run the worker process; it ends with the process that started it."""
    parent = os.getppid()
    worker = QueueWorker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run(alive=lambda: os.getppid() == parent)
