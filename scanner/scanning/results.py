"""Result rows and cases of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crawlers.listing import Listing, RemoteFile
from reports.cases.case import Case
from reports.cases.case_summary import weights_of
from reports.cases.listings import own_listing
from reports.reasons.reason import Reason
from scanner.casework.derived import Derivation, DerivedFiles
from scanner.casework.filing import CaseFiling
from scanner.finding_records import FindingRecord
from scanner.identification.outcome import NEEDS_A_LOOK, Outcome
from scanner.records import AskedWords, ResultRow, VerdictMethod, VerdictRecord
from scanner.scanning.checkpoint_facts import CheckpointFacts
from scanner.triage.header import Triage

# The reason of a file whose only finding was of somebody who has withdrawn. Stores keep it.
WITHDRAWN = Reason("withdrawn").in_english()


@dataclass(frozen=True, slots=True)
class ResultFiling:
    """Makes the rows of a verdict and files the cases of its findings.

    Attributes:
        hub_name: name of the hub that runs the upload gate; it stands in cases about uploaded
            files.
    """

    filing: CaseFiling
    facts: CheckpointFacts
    derived: DerivedFiles
    hub_name: str

    def shows_somebody(self, verdict: VerdictRecord) -> bool:
        """Whether a verdict names anybody who is registered now."""
        return any(self.filing.is_registered(found.identity_id) for found in verdict.findings)

    def rows(
        self,
        scan_id: str,
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
        verdict: VerdictRecord,
        asked: AskedWords,
    ) -> tuple[ResultRow, ...]:
        """File the cases of a verdict and return a row for each finding, or one row without any.

        A finding whose use is authorised gets no case. Rows contain no name, because they are kept
        and a name must be erased when its person withdraws.
        """
        row = ResultRow(
            file=file.name,
            sha256=triage.sha256,
            outcome=verdict.outcome,
            samples=verdict.samples,
            seconds=verdict.seconds,
            reason=verdict.reason,
            gallery_version=verdict.gallery_version,
            # A failed file was not sampled.
            asked=asked if verdict.outcome != Outcome.FAILED else None,
        )
        # A declared file was sent to this hub, even if its sender named another one.
        if listing.declared:
            listing = replace(listing, hub=self.hub_name)
        findings = [
            finding
            for finding in verdict.findings
            if self.filing.is_registered(finding.identity_id)
        ]
        rows = [
            self._row_of_finding(row, scan_id, listing, file, triage, finding, verdict.method)
            for finding in findings
        ]
        named = {finding.identity_id for finding in findings}
        rows += [
            self._row_of_confirmed(row, case, listing, file, triage)
            for case in self.filing.confirmed_about(triage.weights_hash or triage.sha256 or "")
            if case.identity_id not in named
        ]
        derivations = self._derivations(triage)
        rows += self._rows_of_derived(row, rows, derivations, listing, file, triage)
        rows = sorted(rows, key=_strongest_first) or [_row_without_finding(row, verdict)]
        if triage.mislabelled is None:
            return tuple(rows)
        return tuple(
            replace(one, reason="; ".join(filter(None, (one.reason, triage.mislabelled))))
            for one in rows
        )

    def rows_of_copy(
        self, listing: Listing, file: RemoteFile, triage: Triage
    ) -> tuple[ResultRow, ...]:
        """Return a row for each person whom a confirmed file shows, for another form of that file.

        Empty for any other file. Nothing is drawn for a copy.
        """
        if self.filing.case_store.standing_about(triage.weights_hash or triage.sha256 or ""):
            return ()  # it was examined itself
        if listing.declared:
            listing = replace(listing, hub=self.hub_name)
        row = ResultRow(file.name, triage.sha256, str(Outcome.POSSIBLE))
        copies = [
            one for one in self._derivations(triage) if one.source is None and one.is_complete_copy
        ]
        return tuple(self._rows_of_derived(row, (), copies, listing, file, triage))

    def _derivations(self, triage: Triage) -> list[Derivation]:
        return self.derived.of_file(triage.sha256 or "")

    def _rows_of_derived(
        self,
        row: ResultRow,
        found: Sequence[ResultRow],
        derivations: Sequence[Derivation],
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
    ) -> list[ResultRow]:
        """Return a row for each person from whose confirmed case the weights come.

        The cases get the file as a copy. A person who has a row already gets no other one.
        """
        named = {one.identity_id for one in found}
        rows: list[ResultRow] = []
        listed = next((one for one in derivations if one.source is not None), None)
        for derivation in derivations:
            if derivation.source is not None:
                continue
            case = self.filing.confirmed_case(derivation.case_id)
            if case is None or weights_of(case) == (triage.weights_hash or triage.sha256):
                continue
            copied = replace(case, checkpoint=self.facts.record(listing, file, triage))
            authorised = self.filing.authorised_by(copied, uploader_known=not listing.declared)
            if authorised is None:
                self.filing.attach_copy(case, derivation.as_copy(own_listing(copied)))
            for other in self._cases_of(case, derivation):
                if other.identity_id not in named:
                    named.add(other.identity_id)
                    rows.append(_row_of_derived(row, other, derivation, authorised))
        if listed is not None and not found and not rows:
            rows.append(replace(row, outcome=str(Outcome.POSSIBLE), reason=listed.reason))
        return rows

    def _cases_of(self, case: Case, derivation: Derivation) -> list[Case]:
        """Return the cases that hold for a derived file: of a copy, all about the file's weights.

        Somebody may have been found in the confirmed file whose case is not decided yet.
        """
        if not derivation.is_complete_copy:
            return [case]
        others = self.filing.case_store.standing_about(weights_of(case) or "")
        return [case, *(one for one in others if self.filing.is_registered(one.identity_id))]

    def _row_of_confirmed(
        self, row: ResultRow, case: Case, listing: Listing, file: RemoteFile, triage: Triage
    ) -> ResultRow:
        """Return the row of a person who is not found any more, and whose case was confirmed."""
        known = not listing.declared
        found = replace(case, checkpoint=self.facts.record(listing, file, triage))
        authorised = self.filing.authorised_by(found, uploader_known=known)
        if authorised:
            self.filing.note_authorised(found, authorised)
        else:
            self.filing.attach(case, own_listing(found))
        row = _row_of(row, case, None if authorised else case.case_id, authorised)
        return replace(row, reason=Reason("confirmed-before").in_english())

    def _row_of_finding(
        self,
        row: ResultRow,
        scan_id: str,
        listing: Listing,
        file: RemoteFile,
        triage: Triage,
        finding: FindingRecord,
        method: VerdictMethod | None,
    ) -> ResultRow:
        if method is None:
            raise AssertionError("a verdict with findings has a method")
        known = not listing.declared
        checkpoint = self.facts.record(listing, file, triage)
        case = self.filing.new_case(finding, method, checkpoint, scan_id, uploader_known=known)
        authorised = self.filing.authorised_by(case, uploader_known=known)
        if authorised:
            self.filing.note_authorised(case, authorised)
        filed = None if authorised else self.filing.file(case, uploader_known=known)
        return _row_of(row, case, filed.case_id if filed else None, authorised)


def _row_of_derived(
    row: ResultRow, case: Case, derivation: Derivation, authorised: str | None
) -> ResultRow:
    """Return the row of a person who is shown by a file from which another one derives."""
    return replace(
        row,
        outcome=str(Outcome.POSSIBLE),
        identity_id=case.identity_id,
        reason=derivation.reason,
        case_id=None if authorised else case.case_id,
        authorised=authorised,
    )


def _row_of(row: ResultRow, case: Case, case_id: str | None, authorised: str | None) -> ResultRow:
    """Return the row of a person with what a case says.

    Args:
        case_id: of the case that stands for it.
    """
    return replace(
        row,
        outcome=case.outcome,
        identity_id=case.identity_id,
        score=_rounded(case.score),
        threshold=_rounded(case.threshold),
        lift=_rounded(case.lift),
        reason=case.reason,
        case_id=case_id,
        authorised=authorised,
    )


def _row_without_finding(row: ResultRow, verdict: VerdictRecord) -> ResultRow:
    threshold = verdict.best_threshold or (verdict.method.threshold if verdict.method else None)
    row = replace(row, threshold=_rounded(threshold))
    if verdict.findings:
        return replace(row, outcome=str(Outcome.CLEAR), reason=WITHDRAWN)
    return replace(row, score=_rounded(verdict.best_score), lift=_rounded(verdict.lift))


def renewed_row(row: ResultRow, verdict: VerdictRecord) -> ResultRow:
    """Return a row without a finding as it is in another gallery, in which nobody is found."""
    renewed = replace(
        row,
        outcome=verdict.outcome,
        reason=verdict.reason,
        samples=verdict.samples,
        gallery_version=verdict.gallery_version,
    )
    return _row_without_finding(renewed, verdict)


def failed_row(file: RemoteFile, sha256: str | None, reason: str, seconds: float) -> ResultRow:
    """Return the row of a file that could not be examined."""
    return ResultRow(
        file.name,
        sha256,
        str(Outcome.FAILED),
        seconds=round(seconds, 2),
        reason=reason,
        examined=False,
    )


def held_row(file: RemoteFile, sha256: str | None, gallery_version: int) -> ResultRow:
    """Return the row of a held file.

    It does not disclose that the file is held; only the reviewers' queue shows that.
    """
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
