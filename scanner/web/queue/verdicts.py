"""Scans and verdicts as documents of the API, with fields that a moderation queue can use."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from reports.cases.case_store import CaseStore, Standing
from reports.cases.review import CaseStatus
from scanner.identification.verdict import NEEDS_A_LOOK, NOBODY_REGISTERED, Outcome
from scanner.settings import Settings
from scanner.web.queue.jobs import Job, JobKind, JobState

# The fact in web.db with the gallery version and the fingerprint that the worker scans with.
SNAPSHOT_FACT = "watched"

# The first of these among all files and persons is the outcome of a scan.
_WORST_FIRST = (
    Outcome.MATCH,
    Outcome.POSSIBLE,
    Outcome.FAILED,
    Outcome.INCONCLUSIVE,
    Outcome.CLEAR,
)
_ACTION = {
    Outcome.MATCH: "block",
    Outcome.POSSIBLE: "review",
    Outcome.FAILED: "review",
    Outcome.INCONCLUSIVE: "review",
    Outcome.CLEAR: "allow",
}


class AskedDocument(BaseModel):
    """What the samples were asked for: a verdict holds for these words and this base model, and for no others."""

    triggers: list[str] = Field(description="Words that stood in the prompts.")
    triggers_left_out: list[str] = Field(
        default_factory=list,
        description=(
            "Words that were told and not asked, since there were too many: nothing is known of "
            "them."
        ),
    )
    words_tried: list[str] = Field(
        description="Words that were tried because no trigger was known."
    )
    base_model: str | None = Field(
        description="What the file was drawn with; none if no base model is known for it."
    )


class FindingDocument(BaseModel):
    """One file and one person, or one file and nobody."""

    file: str = Field(description="The file's name, of an archive with the member's.")
    sha256: str | None = Field(description="Lower-case hex; none for what could not be read.")
    outcome: Outcome
    case_id: str | None = Field(
        description="The case that was opened; none where nothing was found or the use is authorised."
    )
    case_status: str | None = Field(
        description="draft until a person decided: confirmed, rejected and so on."
    )
    identity_name: str | None = Field(description="Only with the scope names:read.")
    score: float | None = Field(
        description=(
            "Cosine of the samples' mean face to the template, -1 to 1. Of what is no finding "
            "only with names:read."
        )
    )
    threshold: float | None = Field(
        description="The score that holds the configured false positive rate; as `score`."
    )
    lift: float | None = Field(
        description="Score minus that of the controls without the file; as `score`."
    )
    authorised: str | None = Field(
        description="What allows this use, in words; none if nothing does. Only with the scope names:read."
    )
    samples: int | None = Field(
        description="How many were made; of what is no finding only with names:read."
    )
    asked: AskedDocument | None = Field(
        None,
        description="What was asked of the file; none where nothing was, or where another sender asked.",
    )
    reason: str


class VerdictDocument(BaseModel):
    """What is known about a file."""

    outcome: Outcome = Field(
        description="The worst of the findings; authorised ones count as clear."
    )
    action: str = Field(
        description="block, review or allow: what the outcome suggests; a person decides."
    )
    label: str | None = Field(
        description="real-person-likeness where somebody was found, for a moderation queue."
    )
    priority: int = Field(description="0 to 100, for sorting a queue.")
    gallery_version: int | None
    findings: list[FindingDocument]
    reasons: list[str]


class ScanDocument(BaseModel):
    """One scan that was asked for."""

    job_id: str
    state: JobState
    kind: str
    name: str
    sha256: str | None
    size_bytes: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    done: int = Field(description="Files judged so far.")
    total: int | None = Field(description="Files there are; none while listing goes on.")
    doing: str
    problem: str | None = Field(description="Why it failed.")
    verdict: VerdictDocument | None = Field(description="Once finished.")
    url: str = Field(description="Where to ask again.")


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

    def verdict(self, rows: Sequence[dict[str, Any]]) -> VerdictDocument:
        """The rows of a scan as one verdict."""
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
        cases = self.standings.of({row["case_id"] for row in rows if row.get("case_id")})
        findings = [self._finding(row, cases) for row in rows]
        outcomes = [_effective_outcome(finding) for finding in findings]
        outcome = next(effective for effective in _WORST_FIRST if effective in outcomes)
        scores = [
            finding.score or 0.0
            for finding, effective in zip(findings, outcomes, strict=True)
            if effective == outcome
        ]
        unsearched = any(row["reason"] == NOBODY_REGISTERED for row in rows)
        versions = [
            row["gallery_version"] for row in rows if row.get("gallery_version") is not None
        ]
        if not self.with_names:
            findings = _merge_lines_without_finding(
                [_without_details(effective) for effective in findings]
            )
        return VerdictDocument(
            outcome=outcome,
            action="review" if unsearched else _ACTION[outcome],
            label="real-person-likeness" if outcome in (Outcome.MATCH, Outcome.POSSIBLE) else None,
            priority=_priority(outcome, max(scores, default=0.0)),
            gallery_version=max(versions, default=None),
            findings=findings,
            reasons=list(
                dict.fromkeys(finding.authorised or finding.reason for finding in findings)
            ),
        )

    def scan(self, job: Job) -> ScanDocument:
        """A job as a scan of the API."""
        return ScanDocument(
            **{
                name: getattr(job, name) for name in ScanDocument.model_fields if hasattr(job, name)
            },
            # A job that only searched unchanged captures has no verdict.
            verdict=self.verdict(job.result)
            if job.state == JobState.FINISHED and (job.result or job.kind != JobKind.CAPTURE)
            else None,
            url=f"{self.url}/api/v1/scans/{job.job_id}",
        )

    def _finding(self, row: dict[str, Any], cases: dict[str, Standing]) -> FindingDocument:
        case = cases.get(row.get("case_id") or "")
        return FindingDocument(
            file=row["file"],
            sha256=row["sha256"],
            outcome=row["outcome"],
            case_id=case.case_id if case else None,
            case_status=case.status if case else None,
            identity_name=case.identity_name if case and self.with_names else None,
            score=row["score"],
            threshold=row["threshold"],
            lift=row["lift"],
            authorised=row["authorised"],
            samples=row["samples"],
            reason=row["reason"],
            asked=row.get("asked"),
        )


def _effective_outcome(finding: FindingDocument) -> Outcome:
    """The outcome that counts: a use that is authorised or rejected needs no action."""
    settled = finding.case_status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED)
    return Outcome.CLEAR if finding.authorised or settled else Outcome(finding.outcome)


# Reasons of files without a finding. A score, a number of samples or a reason with numbers would
# reveal how close the file comes to somebody.
_REASON_WITHOUT_FINDING = {
    Outcome.CLEAR: "nobody who is registered was found in it",
    Outcome.INCONCLUSIVE: NEEDS_A_LOOK,  # too few faces, or a held file: callers cannot distinguish the two
}


def _without_details(finding: FindingDocument) -> FindingDocument:
    """A finding for readers who may not know whom a file shows, nor how close it comes to somebody."""
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
    if (
        outcome == Outcome.POSSIBLE and finding.case_id is None
        # Found by its words alone, and these reveal who is registered.
    ):
        return finding.model_copy(
            update={**no_numbers, "reason": "a person must look at its listing"}
        )
    return finding.model_copy(update=no_numbers) if outcome == Outcome.FAILED else finding


def _merge_lines_without_finding(findings: Sequence[FindingDocument]) -> list[FindingDocument]:
    """One line for each file without a finding, and none beside one: their number would reveal
    something.
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
    return base + (
        round(max(0.0, min(1.0, score)) * 30) if outcome in (Outcome.MATCH, Outcome.POSSIBLE) else 0
    )
