"""Jobs and requests for jobs, as records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.web.queue.job_row import JobRow


class JobState(StrEnum):
    """The state of a scan."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"  # it could not be scanned at all; `problem` says why
    CANCELLED = "cancelled"


class JobKind(StrEnum):
    """What a job scans."""

    UPLOAD = "upload"  # an uploaded file; `source` is its path
    URL = "url"
    SHA256 = "sha256"  # a file that has been crawled or sent before
    TARGET = "target"  # a folder, a bucket or a hub
    # An uploaded page or picture; without a source, captures are searched again.
    CAPTURE = "capture"


SENT = (JobKind.UPLOAD, JobKind.CAPTURE)
ENDED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Job:
    """One scan that was requested.

    Attributes:
        name: for people: the file's name, the address, the target.
        declared: what the sender says about an upload: title, triggers, tags, uploader, page.
        webhook: where the result is posted; None if it is polled.
        done, total, doing: the progress; total is None while files are still being listed.
        result: rows of the verdict, once finished: all findings, and others up to a number.
        files: number of different files among all rows.
    """

    job_id: str
    account_id: str
    kind: JobKind
    source: str
    name: str
    sha256: str | None
    size_bytes: int | None
    declared: dict[str, Any]
    webhook: str | None
    state: JobState
    scan_id: str | None
    attempts: int
    done: int
    total: int | None
    doing: str
    result: tuple[JobRow, ...]
    files: int
    problem: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A scan to be added to the queue."""

    account_id: str
    kind: JobKind
    source: str
    name: str
    sha256: str | None = None
    size_bytes: int | None = None
    declared: Mapping[str, Any] | None = None
    webhook: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what is requested; an idempotency key is valid for one digest only."""
        source = self.sha256 if self.kind in SENT else self.source
        parts = [str(self.kind), source, self.name, self.declared or {}, self.webhook]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
