"""Jobs on captures: take in what was uploaded, and search the faces in new captures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.capture_store import CaptureStore
from reports.cases.case_store import CaseStore
from scanner.captures.subjects import subject_of
from scanner.clock import Clock
from scanner.factories import open_capture_search, open_intake
from scanner.identification.verdict import Outcome
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.queue.job import Job
from scanner.web.queue.progress import JobProgress

# The values of a row about a file or capture without a case.
ROW_WITHOUT_CASE: dict[str, Any] = {
    "outcome": "failed",
    "case_id": None,
    "score": None,
    "threshold": None,
    "lift": None,
    "authorised": None,
    "samples": 0,
}


def capture_rows(
    scan_session: ScanSession, settings: Settings, job: Job, progress: JobProgress
) -> list[dict[str, Any]]:
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
    rows: list[dict[str, Any]] = []
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
        row = {
            **ROW_WITHOUT_CASE,
            "file": capture.name,
            "sha256": capture.capture_id,
            "reason": reason,
            "outcome": str(outcome),
        }
        rows.insert(0, row)
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


def rows_of(subject: CaptureVerdict, case_store: CaseStore) -> list[dict[str, Any]]:
    """A judged account or capture as rows of a scan: one per case, or one without a case."""
    shared = {
        **ROW_WITHOUT_CASE,
        "file": subject.name,
        "sha256": None,
        "outcome": subject.outcome,
        "samples": subject.images,
        "reason": subject.reason,
        "authorised": "; ".join(subject.authorised) or None,
    }
    cases = [case_store.case(case_id) for case_id in subject.cases]
    return [
        {**shared, "case_id": case.case_id, "score": case.score, "threshold": case.threshold}
        for case in cases
    ] or [shared]
