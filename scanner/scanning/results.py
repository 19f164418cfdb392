"""From verdicts to result rows and cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crawlers.listing import Listing, RemoteFile
from scanner.casework.filing import CaseFiling
from scanner.identification.verdict import NEEDS_A_LOOK, Outcome
from scanner.records import FindingRecord, Questions, ResultRow, VerdictMethod, VerdictRecord
from scanner.scanning.checkpoint_facts import CheckpointFacts
from scanner.triage.header import Triage

_WITHDRAWN = "who it showed has withdrawn meanwhile"


@dataclass(frozen=True, slots=True)
class ResultFiling:
    """Makes the rows of a verdict and files the cases of its findings.

    Attributes:
        hub_name: of the gate's own hub, where declared files are said to lie.
    """

    filing: CaseFiling
    facts: CheckpointFacts
    hub_name: str

    def shows_somebody(self, verdict: VerdictRecord) -> bool:
        """Whether a verdict names anybody who is registered now."""
        return any(self.filing.is_registered(one.identity_id) for one in verdict.findings)

    def rows(
        self,
        scan_id: str,
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
        verdict: VerdictRecord,
        asked: Questions,
    ) -> tuple[ResultRow, ...]:
        """A row for each finding, with its case unless the use is authorised; one row without a finding.

        Rows name nobody: they are kept, and a name must go when its person goes.
        """
        row = ResultRow(
            file=file.name,
            sha256=triage.sha256,
            outcome=verdict.outcome,
            samples=verdict.samples,
            seconds=verdict.seconds,
            reason=verdict.reason,
            gallery_version=verdict.gallery_version,
            asked=asked
            if verdict.outcome != Outcome.FAILED
            else None,  # nothing was asked of a failed file
        )
        if (
            listing.declared
        ):  # whatever its sender wrote, the gate's hub is the place that it was sent to
            listing = replace(listing, hub=self.hub_name)
        found = [one for one in verdict.findings if self.filing.is_registered(one.identity_id)]
        if not found or verdict.method is None:
            return (_row_without_finding(row, verdict),)
        rows = [
            self._row_of_finding(row, scan_id, listing, file, triage, one, verdict.method)
            for one in found
        ]
        return tuple(sorted(rows, key=_strongest_first))

    def _row_of_finding(
        self,
        row: ResultRow,
        scan_id: str,
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
        finding: FindingRecord,
        method: VerdictMethod,
    ) -> ResultRow:
        known = not listing.declared
        checkpoint = self.facts.record(listing, file, triage)
        case = self.filing.new_case(finding, method, checkpoint, scan_id, uploader_known=known)
        authorised = self.filing.authorised_by(case, uploader_known=known)
        if authorised:
            self.filing.note_authorised(case, authorised)
        filed = None if authorised else self.filing.file(case, uploader_known=known)
        return replace(
            row,
            outcome=finding.outcome,
            identity_id=case.identity_id,
            score=_rounded(finding.score),
            threshold=_rounded(finding.threshold),
            lift=_rounded(finding.lift),
            reason=finding.reason,
            case_id=filed.case_id if filed else None,
            authorised=authorised,
        )


def _row_without_finding(row: ResultRow, verdict: VerdictRecord) -> ResultRow:
    threshold = verdict.best_threshold or (verdict.method.threshold if verdict.method else None)
    row = replace(row, threshold=_rounded(threshold))
    if verdict.findings:
        return replace(row, outcome=str(Outcome.CLEAR), reason=_WITHDRAWN)
    return replace(row, score=_rounded(verdict.best_score), lift=_rounded(verdict.lift))


def failed_row(file: RemoteFile, sha256: str | None, reason: str, seconds: float) -> ResultRow:
    """The row of a file that could not be examined."""
    return ResultRow(
        file.name,
        sha256,
        str(Outcome.FAILED),
        seconds=round(seconds, 2),
        reason=reason,
        examined=False,
    )


def held_row(file: RemoteFile, sha256: str | None, gallery_version: int) -> ResultRow:
    """The row of a held file, the same for everybody; the reason stands in the queue of its reviewers."""
    return ResultRow(
        file.name,
        sha256,
        str(Outcome.INCONCLUSIVE),
        reason=NEEDS_A_LOOK,
        gallery_version=gallery_version,
        examined=False,
    )


def _strongest_first(row: ResultRow) -> tuple[bool, float]:
    return row.outcome != Outcome.MATCH, -(row.score or 0.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
