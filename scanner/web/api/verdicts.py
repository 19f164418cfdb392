"""What a gate is told of a file: one outcome, what to do about it, and why; in fields that a moderation queue takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from reports.cases.case_store import CaseStore
from reports.cases.case_summary import Standing
from reports.cases.review import CaseStatus
from scanner.identification.verdict import NEEDS_A_LOOK, NOBODY_REGISTERED, Outcome
from scanner.settings import Settings
from scanner.web.queue.jobs import Job, JobKind, JobState

# Name of the fact: gallery version and fingerprint that the worker scans with.
WATCHED = "watched"

# The worst of several files or persons speaks for the whole.
_WORST = (Outcome.MATCH, Outcome.POSSIBLE, Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.CLEAR)
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
        description="Words that were told and not asked, since there were too many: nothing is known of them.",
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
        description="Cosine of the samples' mean face to the template, -1 to 1. Of what is no finding only with names:read."
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


class Standings:
    """Where cases stand now, over one connection that threads share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._case_store: CaseStore | None = None
        self._lock = threading.Lock()

    def of(self, case_ids: set[str]) -> dict[str, Standing]:
        """Where these cases stand, by their ids."""
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
class Telling:
    """What is needed to put verdicts into words for one reader."""

    url: str
    standings: Standings
    with_names: bool

    def verdict(self, rows: Sequence[dict[str, Any]]) -> VerdictDocument:
        """Rows of a scan as one document."""
        if not rows:
            reason = "no checkpoint was found in it"
            return VerdictDocument(
                outcome=Outcome.FAILED, action="review", label=None, priority=20, gallery_version=None, findings=[], reasons=[reason]
            )  # fmt: skip
        cases = self.standings.of({row["case_id"] for row in rows if row.get("case_id")})
        findings = [self._finding(row, cases) for row in rows]
        counted = [_counted(finding) for finding in findings]
        outcome = next(one for one in _WORST if one in counted)
        scores = [
            finding.score or 0.0
            for finding, one in zip(findings, counted, strict=True)
            if one == outcome
        ]
        unsearched = any(row["reason"] == NOBODY_REGISTERED for row in rows)
        versions = [
            row["gallery_version"] for row in rows if row.get("gallery_version") is not None
        ]
        if not self.with_names:
            findings = _without_what_is_none([_discreet(one) for one in findings])
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
        """A job as the API tells it."""
        return ScanDocument(
            **{
                name: getattr(job, name) for name in ScanDocument.model_fields if hasattr(job, name)
            },
            # Captures that were all judged before come to no verdict of this scan's.
            verdict=self.verdict(job.result)
            if job.state == JobState.FINISHED and (job.result or job.kind != JobKind.CAPTURE)
            else None,
            url=f"{self.url}/api/v1/scans/{job.job_id}",
        )

    def _finding(self, row: dict[str, Any], cases: dict[str, Standing]) -> FindingDocument:
        case = cases.get(row.get("case_id") or "")
        return FindingDocument(
            file=row["file"], sha256=row["sha256"], outcome=row["outcome"], case_id=case.case_id if case else None,
            case_status=case.status if case else None,
            identity_name=case.identity_name if case and self.with_names else None, score=row["score"], threshold=row["threshold"],
            lift=row["lift"], authorised=row["authorised"], samples=row["samples"], reason=row["reason"], asked=row.get("asked"),
        )  # fmt: skip


def _counted(finding: FindingDocument) -> Outcome:
    """What a finding counts as: what was authorised or what a reviewer rejected is nothing to act on."""
    settled = finding.case_status in (CaseStatus.REJECTED, CaseStatus.AUTHORISED)
    return Outcome.CLEAR if finding.authorised or settled else Outcome(finding.outcome)


# What is told of no finding: a score, a count or a reason in numbers would say how close the file comes to somebody.
_SAID_OF_NOTHING = {
    Outcome.CLEAR: "nobody who is registered was found in it",
    Outcome.INCONCLUSIVE: NEEDS_A_LOOK,  # too few faces, or a file that is held: callers are not told which
}


def _discreet(finding: FindingDocument) -> FindingDocument:
    """A finding as those are told who may not know whom a file shows, and so not how much it is like somebody either."""
    counted = _counted(finding)
    nothing: dict[str, Any] = {"score": None, "threshold": None, "lift": None, "authorised": None}
    if counted in _SAID_OF_NOTHING:
        reason = (
            _SAID_OF_NOTHING[counted] if finding.reason != NOBODY_REGISTERED else NOBODY_REGISTERED
        )
        allowed = finding.authorised or finding.case_status == CaseStatus.AUTHORISED
        hidden: dict[str, Any] = {"case_id": None, "case_status": None} if allowed else {}
        if counted == Outcome.INCONCLUSIVE:
            hidden["asked"] = None
        return finding.model_copy(
            update={
                **nothing,
                **hidden,
                "outcome": counted,
                "samples": None,
                "reason": reason,
                "identity_name": None,
            }
        )
    if (
        counted == Outcome.POSSIBLE and finding.case_id is None
    ):  # by its words alone, which say who is registered
        return finding.model_copy(update={**nothing, "reason": "a person must look at its listing"})
    return finding.model_copy(update=nothing) if counted == Outcome.FAILED else finding


def _without_what_is_none(findings: Sequence[FindingDocument]) -> list[FindingDocument]:
    """One line for a file about which nothing is told, and none beside what was found in it: their number says something too."""
    told = {
        (one.file, one.sha256) for one in findings if one.outcome != Outcome.CLEAR or one.case_id
    }
    kept: dict[Any, FindingDocument] = {}
    for number, one in enumerate(findings):
        place = (one.file, one.sha256)
        if one.outcome != Outcome.CLEAR or one.case_id:
            kept[number] = one
        elif place not in told:
            kept.setdefault(place, one)
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
