"""From findings to cases: authorised uses, one case per person and weights, and succession."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from face_index.consent import Terms
from face_index.errors import UnknownIdentity
from face_index.vault import Vault
from reports.cases.case import Case, Entry
from reports.cases.case_store import CaseStore
from reports.cases.case_summary import weights_of
from reports.cases.checkpoint_record import CheckpointRecord
from reports.cases.copies import CopyRecord
from reports.cases.listings import (
    ListingRecord,
    listing_details,
    listings_of,
    own_listing,
)
from reports.cases.review import CaseStatus, is_confirmed
from reports.cases.standing import (
    has_other_opinion,
    is_doubted,
    material_change,
    standing_case,
)
from scanner.casework.case_records import CaseRecords
from scanner.clock import Clock
from scanner.environment import environment_now
from scanner.errors import FilingBusy
from scanner.finding_records import FindingRecord
from scanner.records import VerdictMethod

log = logging.getLogger(__name__)

_MOST_TRIES = 10
_AUTHORISED = "authorised-use-found"


@dataclass(frozen=True, slots=True)
class CaseFiling:
    """Files cases from findings.

    Attributes:
        operator: the person who runs the program, for the logs.
    """

    vault: Vault
    case_store: CaseStore
    records: CaseRecords
    operator: str
    clock: Clock

    def is_registered(self, identity_id: str) -> bool:
        """Whether a person is still registered; they may withdraw while a scan runs."""
        try:
            return self.vault.people.find(identity_id).is_active(self.clock().date())
        except UnknownIdentity:
            return False

    def confirmed_about(self, weights: str) -> list[Case]:
        """The confirmed cases about these weights and people who are registered.

        A decision of reviewers holds where thresholds rise or somebody draws other samples.
        """
        return [
            case
            for case in self.case_store.confirmed_about(weights)
            if self.is_registered(case.identity_id) and self.records.is_sound(case)
        ]

    def confirmed_case(self, case_id: str) -> Case | None:
        """A confirmed case about somebody who is registered; None for any other."""
        case = self.case_store.case(case_id)
        is_sound = is_confirmed(case.entries) and self.records.is_sound(case)
        return case if is_sound and self.is_registered(case.identity_id) else None

    def new_case(
        self,
        finding: FindingRecord,
        method: VerdictMethod,
        checkpoint: CheckpointRecord,
        scan_id: str,
        *,
        uploader_known: bool,
    ) -> Case:
        """The case of a finding, without an id: `file` gives it one.

        Args:
            uploader_known: False where only the sender says whose upload it is.
        """
        identity, now = self.vault.people.find(finding.identity_id), self.clock()
        return Case(
            case_id="",
            scan_id=scan_id,
            opened_at=now.isoformat(),
            outcome=finding.outcome,
            reason=finding.reason,
            identity_id=identity.identity_id,
            identity_name=identity.name,
            terms=str(identity.consent.terms),
            score=finding.score,
            interval=finding.interval,
            threshold=finding.threshold,
            possible_threshold=finding.possible_threshold,
            control_score=finding.control_score,
            lift=finding.lift,
            checkpoint=checkpoint,
            log10_lr=finding.log10_lr,
            concentration=finding.concentration,
            runner_up=finding.runner_up,
            share=finding.share,
            authorisation=(
                f"terms: {identity.consent.terms}; no licence of this person covers the file, "
                f"its uploader or the hub on {now:%Y-%m-%d}"
                + ("" if uploader_known else "; who uploaded it is the sender's word")
            ),
            environment=environment_now(self.operator, now),
            method=method.as_case_method(),
            samples=tuple(sample.as_case_sample() for sample in finding.samples),
            second_opinion=finding.second_opinion,
        )

    def file(self, case: Case, *, uploader_known: bool = True) -> Case:
        """The case that stands for this person and these weights: the known one, or a new one.

        A known case gets the listing. A decision holds wherever the file is found again, until
        something material changes (`reports.cases.standing.material_change`).

        Args:
            uploader_known: False where only the sender says whose upload it is.
        """
        for _ in range(_MOST_TRIES):
            if (filed := self._filed(case, uploader_known=uploader_known)) is not None:
                return filed
        raise FilingBusy(case.checkpoint.sha256)

    def _filed(self, case: Case, *, uploader_known: bool) -> Case | None:
        """The standing case; None if another process filed it or somebody decided meanwhile."""
        earlier = self.case_store.of_weights(case.identity_id, weights_of(case) or "")
        # A case that was changed outside this program does not stand; the finding gets a new case.
        sound = [known for known in earlier if self.records.is_sound(known)]
        known = standing_case(sound, own_listing(case), uploader_known=uploader_known)
        change = material_change(known, case) if known else None
        if known is not None and change is None:
            self.attach(known, own_listing(case))
            if is_doubted(case) and has_other_opinion(known, case):
                log.warning(
                    "case %s stands as %s, though another face pack does not confirm it now: %s",
                    known.case_id,
                    known.status,
                    case.reason,
                )
            return known
        case = self._named(case, len(earlier))
        replaces = known is not None and known.status in (
            CaseStatus.DRAFT,
            CaseStatus.MORE_SAMPLES,
        )
        also = self._succession(known, case, str(change), replaces=replaces) if known else []
        if not self.open(case, also, known):
            return None
        if known is not None and replaces:
            self.note_superseded(known, case)
        return case

    def _named(self, case: Case, number: int) -> Case:
        """The case with an unused id; ids of cases that cases.db has lost count as used."""
        while True:
            parts = f"{weights_of(case)}:{case.identity_id}:{number}"
            case = replace(case, case_id=hashlib.sha256(parts.encode()).hexdigest()[:16])
            if not self.records.is_known(case):
                return case
            number += 1

    def _succession(
        self, known: Case, case: Case, reason: str, *, replaces: bool
    ) -> list[tuple[str, Entry]]:
        """Log lines of a case and the case that it follows: the reason and all listings so far."""
        at, actor = self.clock().isoformat(), self.operator
        reopens = {"case": known.case_id, "text": reason}
        lines = [(case.case_id, Entry(0, at, "reopens", actor, reopens))]
        lines += [
            (case.case_id, Entry(0, at, "listing", actor, dict(listing_details(listing))))
            for listing in listings_of(known)
            if not listing.is_place_of(own_listing(case))
        ]
        if replaces:
            by = {"by": case.case_id}
            lines.append((known.case_id, Entry(0, at, "superseded", actor, by)))
        return lines

    def attach(self, case: Case, listing: ListingRecord) -> None:
        """Add another listing of a case's weights to the case, unless it has it."""
        if listing.is_place_of(own_listing(case)):
            return
        if self.case_store.attach(case.case_id, listing, self.operator, self.clock()):
            details = {"hub": listing.hub, "checkpoint": listing.sha256}
            self.records.note("case-listing-added", case, self.operator, **details)

    def attach_copy(self, case: Case, copy: CopyRecord) -> None:
        """Add a file whose weights come from a case's to the case, unless it has that place."""
        if self.case_store.attach_copy(case.case_id, copy, self.operator, self.clock()):
            details = {"hub": copy.listing.hub, "checkpoint": copy.listing.sha256}
            self.records.note(
                "case-copy-added", case, self.operator, relation=copy.relation, **details
            )

    def note_superseded(self, case: Case, by: Case) -> None:
        """Note in the audit log that a later case takes the place of an undecided one."""
        self.records.note("case-superseded", case, self.operator, by=by.case_id)

    def open(
        self,
        case: Case,
        also: Sequence[tuple[str, Entry]] = (),
        unless_changed: Case | None = None,
    ) -> bool:
        """Store a case and note it in the audit log; False, without a change, if it is known."""
        is_new = self.case_store.open(case, also, unless_changed)
        if is_new:
            details = {"checkpoint": case.checkpoint.sha256, "outcome": case.outcome}
            self.records.note("case-opened", case, self.operator, **details)
        return is_new

    def authorised_by(self, case: Case, *, uploader_known: bool = True) -> str | None:
        """What allows this use; None if nothing does. The text is stored, so it names nobody.

        Args:
            uploader_known: False if only the sender says whose upload it is; a licence for an
                uploader does not count then.
        """
        if case.terms == Terms.PERMITTED:
            return "the person's terms permit it"
        checkpoint = case.checkpoint
        licence = self.vault.licences.covering(
            case.identity_id,
            checkpoint.hub,
            checkpoint.creator if uploader_known else None,
            checkpoint.sha256,
            self.clock().date(),
        )
        return f"licence {licence.licence_id[:8]} until {licence.until}" if licence else None

    def note_authorised(self, case: Case, reason: str) -> None:
        """Note an authorised use, which has no case, in the audit log once for each listing."""
        details = {
            "checkpoint": case.checkpoint.sha256,
            "hub": case.checkpoint.hub,
            "listing": case.checkpoint.listing_url,
            "because": reason,
        }
        noted = any(
            entry.event == _AUTHORISED and details.items() <= entry.details.items()
            for entry in self.vault.audit.about(case.identity_id)
        )
        if not noted:
            self.vault.audit.record(
                _AUTHORISED, case.identity_id, self.operator, self.clock(), **details
            )
