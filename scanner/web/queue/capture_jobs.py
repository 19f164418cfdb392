"""Jobs on captures: take in what was uploaded, and search the faces in new captures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.capture_store import CaptureStore
from reports.cases.case_store import CaseStore
from scanner.captures.subjects import subject_of
from scanner.clock import Clock
from scanner.factories import open_capture_search, open_intake
from scanner.identification.outcome import Outcome
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.queue.job import Job
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.progress import JobProgress


def capture_rows(
    scan_session: ScanSession, settings: Settings, job: Job, progress: JobProgress
) -> list[JobRow]:
    """Take in an upload, if there is one, and judge what is new among all captures."""
    captures = CaptureStore(scan_session.crawl, settings.captures_path)
    capture: CaptureRow | None = None
    own_keys: set[str] = set()
    if job.source:
        capture = take_in_upload(
            settings, scan_session.clock, Path(job.source), job.name, job.declared
        )
        own_keys = {
            subject_of(page, capture.name)[0] for page in captures.pages(capture.capture_id)
        }
    asker = job.declared.get("login")
    rows: list[JobRow] = []
    search = open_capture_search(settings, scan_session)
    for done, subject in enumerate(search.run(asker=asker), 1):
        progress.step(done, None, subject.name)
        if not subject.known or subject.key in own_keys:
            rows += rows_of(subject, scan_session.case_store)
    if capture and (capture.problem or capture.notes or not rows):
        reason = (
            capture.problem
            or "; ".join(capture.notes)
            or f"{capture.pages} pages were read; no image of theirs shows a face to search"
        )
        outcome = Outcome.FAILED if capture.problem else Outcome.INCONCLUSIVE
        rows.insert(0, JobRow(capture.name, capture.capture_id, str(outcome), reason))
    return rows


def take_in_upload(
    settings: Settings, clock: Clock, upload: Path, name: str, declared: Mapping[str, Any]
) -> CaptureRow:
    """Take in an uploaded file under its own name, on which its format may depend."""
    with (
        open_intake(settings, clock) as intake,
        tempfile.TemporaryDirectory(dir=upload.parent) as folder,
    ):
        path = Path(folder) / name
        path.hardlink_to(upload)
        by, login = declared.get("by", settings.operator), declared.get("login")
        return intake.take_one(path, by, declared.get("made_with"), login=login).capture


def rows_of(subject: CaptureVerdict, case_store: CaseStore) -> list[JobRow]:
    """A judged account or capture as rows of a scan: one per case, or one without a case."""
    shared = JobRow(
        subject.name,
        None,
        subject.outcome,
        subject.reason,
        samples=subject.images,
        authorised="; ".join(subject.authorised) or None,
    )
    cases = [case_store.case(case_id) for case_id in subject.cases]
    return [
        replace(shared, case_id=case.case_id, score=case.score, threshold=case.threshold)
        for case in cases
    ] or [shared]
