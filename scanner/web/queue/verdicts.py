"""Scans and verdicts as documents of the API, with fields that a moderation queue can use."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.cases.case_store import CaseStore
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.outcome import (
    FINDINGS,
    NEEDS_A_LOOK,
    NOBODY_REGISTERED,
    SERIOUS_FIRST,
    Outcome,
)
from scanner.settings import Settings
from scanner.web.queue.documents import (
    AskedDocument,
    FindingDocument,
    ScanDocument,
    SearchedThroughDocument,
    VerdictDocument,
)
from scanner.web.queue.job import Job, JobKind, JobState
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.job_rows import MOST_SHOWN

# The fact in web.db about the gallery that the worker has searched everywhere: its version, the key
# of settings and gallery, and when that search ended.
SNAPSHOT_FACT = "watched"
# The fact in web.db that the last search of a gallery failed: when, ISO 8601.
SEARCH_FAILED_FACT = "search failed"

_ACTION = {
    Outcome.MATCH: "block",
    Outcome.POSSIBLE: "review",
    Outcome.FAILED: "review",
    Outcome.INCONCLUSIVE: "review",
    Outcome.CLEAR: "allow",
}


class CaseStandings:
    """The present status of cases, read over one connection that threads share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._case_store: CaseStore | None = None
        self._lock = threading.Lock()

    def of(self, case_ids: set[str]) -> dict[str, Standing]:
        """The present status of these cases, by id."""
        if not case_ids:
            return {}
        with self._lock:
            if self._case_store is None:
                self._case_store = CaseStore(
                    self._settings.cases_path, self._settings.evidence_path, any_thread=True
                )
            return self._case_store.standings(case_ids)

    def close(self) -> None:
        if self._case_store is not None:
            self._case_store.close()


@dataclass(frozen=True, slots=True)
class ScanSerializer:
    """Turns rows and jobs into documents for one kind of reader.

    Attributes:
        url: the address of the web app.
        with_names: the reader may know whom a file shows.
    """

    url: str
    standings: CaseStandings
    with_names: bool

    def verdict(
        self, rows: Sequence[JobRow], files: int = 0, most: int | None = None
    ) -> VerdictDocument:
        """The rows of a scan as one verdict.

        Args:
            files: number of files of the scan if these are not the rows of all of them.
            most: number of findings that are shown, the most serious ones; None for all.
        """
        if not rows:
            reason = "no checkpoint was found in it"
            return VerdictDocument(
                outcome=Outcome.FAILED,
                action="review",
                label=None,
                priority=20,
                gallery_version=None,
                findings=[],
                reasons=[reason],
            )
        cases = self.standings.of({row.case_id for row in rows if row.case_id})
        findings = [self._finding(row, cases) for row in rows]
        outcomes = [_effective_outcome(finding) for finding in findings]
        outcome = next(effective for effective in SERIOUS_FIRST if effective in outcomes)
        scores = [
            finding.score or 0.0
            for finding, effective in zip(findings, outcomes, strict=True)
            if effective == outcome
        ]
        unsearched = any(row.reason == NOBODY_REGISTERED for row in rows)
        versions = [row.gallery_version for row in rows if row.gallery_version is not None]
        if not self.with_names:
            findings = _merge_lines_without_finding(
                [_without_details(finding) for finding in findings]
            )
        findings = _most_serious(findings, most)
        return VerdictDocument(
            outcome=outcome,
            action="review" if unsearched else _ACTION[outcome],
            label="real-person-likeness" if outcome in FINDINGS else None,
            priority=_priority(outcome, max(scores, default=0.0)),
            gallery_version=max(versions, default=None),
            searched_through=_searched_through(rows),
            findings=findings,
            more_findings=max(0, files - len({(one.file, one.sha256) for one in findings})),
            reasons=list(
                dict.fromkeys(finding.authorised or finding.reason for finding in findings)
            ),
        )

    def scan(self, job: Job, most: int = MOST_SHOWN) -> ScanDocument:
        """A job as a scan of the API, with so many of its findings."""
        return ScanDocument(
            **{
                name: getattr(job, name) for name in ScanDocument.model_fields if hasattr(job, name)
            },
            # A job that only searched unchanged captures has no verdict.
            verdict=self.verdict(job.result, job.files, most)
            if job.state == JobState.FINISHED and (job.result or job.kind != JobKind.CAPTURE)
            else None,
            url=f"{self.url}/api/v1/scans/{job.job_id}",
        )

    def findings(self, rows: Sequence[JobRow]) -> list[FindingDocument]:
        """Rows of a scan as findings."""
        cases = self.standings.of({row.case_id for row in rows if row.case_id})
        found = [self._finding(row, cases) for row in rows]
        if self.with_names:
            return found
        return _merge_lines_without_finding([_without_details(finding) for finding in found])

    def _finding(self, row: JobRow, cases: dict[str, Standing]) -> FindingDocument:
        case = cases.get(row.case_id or "")
        return FindingDocument(
            file=row.file,
            sha256=row.sha256,
            outcome=Outcome(row.outcome),
            case_id=case.case_id if case else None,
            case_status=case.status if case else None,
            identity_name=case.identity_name if case and self.with_names else None,
            score=row.score,
            threshold=row.threshold,
            lift=row.lift,
            authorised=row.authorised,
            samples=row.samples,
            reason=row.reason,
            asked=AskedDocument(**row.asked.to_json()) if row.asked else None,
        )


def _most_serious(findings: list[FindingDocument], most: int | None) -> list[FindingDocument]:
    """The most serious findings, in their own order."""
    if most is None or len(findings) <= most:
        return findings
    outcomes = [SERIOUS_FIRST.index(_effective_outcome(finding)) for finding in findings]
    serious = sorted(range(len(findings)), key=outcomes.__getitem__)
    return [findings[place] for place in sorted(serious[:most])]


def _effective_outcome(finding: FindingDocument) -> Outcome:
    """The outcome that counts: a use that is authorised or rejected needs no action."""
    is_settled = finding.case_status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED)
    return Outcome.CLEAR if finding.authorised or is_settled else Outcome(finding.outcome)


# Reasons of files without a finding. A score, a number of samples or a reason with numbers would
# reveal how close the file comes to somebody.
_REASON_WITHOUT_FINDING = {
    Outcome.CLEAR: "nobody who is registered was found in it",
    # Too few faces, or a held file: callers cannot distinguish the two.
    Outcome.INCONCLUSIVE: NEEDS_A_LOOK,
}


def _without_details(finding: FindingDocument) -> FindingDocument:
    """A finding for readers who may not know whom a file shows, or how close it comes."""
    outcome = _effective_outcome(finding)
    no_numbers: dict[str, Any] = {
        "score": None,
        "threshold": None,
        "lift": None,
        "authorised": None,
    }
    if outcome in _REASON_WITHOUT_FINDING:
        reason = (
            _REASON_WITHOUT_FINDING[outcome]
            if finding.reason != NOBODY_REGISTERED
            else NOBODY_REGISTERED
        )
        is_authorised = finding.authorised or finding.case_status == CaseStatus.AUTHORISED
        hidden: dict[str, Any] = {"case_id": None, "case_status": None} if is_authorised else {}
        if outcome == Outcome.INCONCLUSIVE:
            hidden["asked"] = None
        return finding.model_copy(
            update={
                **no_numbers,
                **hidden,
                "outcome": outcome,
                "samples": None,
                "reason": reason,
                "identity_name": None,
            }
        )
    # Found by its words alone, and these reveal who is registered.
    if outcome == Outcome.POSSIBLE and finding.case_id is None:
        return finding.model_copy(
            update={**no_numbers, "reason": "a person must look at its listing"}
        )
    return finding.model_copy(update=no_numbers) if outcome == Outcome.FAILED else finding


def _merge_lines_without_finding(findings: Sequence[FindingDocument]) -> list[FindingDocument]:
    """Keep one line for each file without a finding, and none beside a finding.

    The number of these lines would reveal how many people a file was compared with in detail.
    """
    with_finding = {
        (finding.file, finding.sha256)
        for finding in findings
        if finding.outcome != Outcome.CLEAR or finding.case_id
    }
    kept: dict[Any, FindingDocument] = {}
    for number, finding in enumerate(findings):
        file = (finding.file, finding.sha256)
        if finding.outcome != Outcome.CLEAR or finding.case_id:
            kept[number] = finding
        elif file not in with_finding:
            kept.setdefault(file, finding)
    return list(kept.values())


def _priority(outcome: Outcome, score: float) -> int:
    base = {
        Outcome.MATCH: 70,
        Outcome.POSSIBLE: 40,
        Outcome.INCONCLUSIVE: 15,
        Outcome.FAILED: 20,
        Outcome.CLEAR: 0,
    }[outcome]
    return base + (round(max(0.0, min(1.0, score)) * 30) if outcome in FINDINGS else 0)


def _searched_through(rows: Sequence[JobRow]) -> SearchedThroughDocument | None:
    """The oldest of the galleries for which the rows hold."""
    known = [row for row in rows if row.searched_through is not None]
    oldest = min(known, key=lambda row: row.searched_through or 0, default=None)
    if oldest is None or oldest.searched_through is None:
        return None
    return SearchedThroughDocument(gallery_version=oldest.searched_through, at=oldest.searched_at)
