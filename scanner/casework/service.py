"""The case service: review, amendments, reports and bundles, with lines in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from crawlers.captures.capture_rows import CaptureRow, PageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.locks import alone
from crawlers.errors import CapturesBusy
from face_index.errors import UnknownIdentity
from face_index.vault import Vault
from face_index.vault.audit import AuditEntry
from reports.cases.case import Case, CustodyEntry, Entry
from reports.cases.case_store import CaseStore
from reports.cases.listings import listings_of
from reports.cases.review import Decision, is_confirmed, review_details
from reports.documents.case_report import case_html, case_pdf
from reports.errors import AuthorityFailed, CaseAltered, ReviewRefused, UnknownCase
from reports.evidence.bundle import BundleRequest, write_bundle
from reports.evidence.revocations import revocation_list, revocation_of
from reports.evidence.timestamping import Authority, write_timestamps
from scanner.casework.case_records import CUSTODY, CaseRecords
from scanner.casework.confirmation import PicturesViewed, require_confirmable, viewing_of
from scanner.casework.copies import RelatedFiles, copies_for
from scanner.casework.hash_lists import HashStatus, hash_list
from scanner.clock import Clock
from scanner.errors import EvidenceNotHere
from scanner.fingerprints.fingerprint_store import FingerprintStore


@dataclass(frozen=True, slots=True)
class CaseRules:
    """What the case service takes from the settings.

    Attributes:
        four_eyes: the operator of a scan may not review its cases.
        two_people: two logins take part in what needs two people.
        captures_path: folder of the sealed captures.
        authorities: timestamp authorities for bundles.
        checkpoint_path: the file of a checkpoint by SHA-256; None if it is not in the store.
        related_files: opens what finds the copies of a file.
    """

    operator: str
    four_eyes: bool
    two_people: bool
    captures_path: Path
    authorities: tuple[Authority, ...]
    checkpoint_path: Callable[[str], Path | None]
    related_files: Callable[[], AbstractContextManager[RelatedFiles]]


class CaseService:
    """The cases together with the vault, and the actions of people on cases. Loads no model.

    A context manager; `scanner.factories.open_case_service` opens it from settings.

    Attributes:
        actor: the person who uses it, for the audit log.
    """

    def __init__(self, vault: Vault, case_store: CaseStore, rules: CaseRules, clock: Clock) -> None:
        self.vault, self.case_store, self.rules, self.clock = vault, case_store, rules, clock
        self.actor = rules.operator
        self.records = CaseRecords(vault, case_store, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.vault.close()
        self.case_store.close()

    def has_withdrawn(self, case: Case) -> bool:
        """Whether the person of a case is no longer registered; nothing new is begun for them."""
        try:
            self.vault.people.find(case.identity_id)
        except UnknownIdentity:
            return True
        return False

    def case(self, case_id: str) -> Case:
        """A case as it stands, with its chain of custody and without working notes.

        Raises:
            UnknownCase: there is none.
            CaseAltered: its record is not the one that the audit log names.
        """
        return _with_custody(*self.records.vouched(self.case_store.case(case_id).case_id))

    def exported(self, case_id: str) -> Case:
        """The same for exports: the whole audit log is verified, and dates are compared with it."""
        return _with_custody(*self.records.require(self.case_store.case(case_id).case_id))

    def review(self, case_id: str, reviewer: str, decision: str, reason: str) -> Case:
        """Record a named reviewer's decision.

        Raises:
            ReviewRefused: it may not be recorded as it was given.
            ConfirmationRefused: the person has withdrawn, the pictures were not opened, or the
                reason is a copy.
        """
        case = self.records.vouched(self.case_store.case(case_id).case_id)[0]
        details = review_details(
            case,
            reviewer,
            decision,
            reason,
            four_eyes=self.rules.four_eyes,
            operator=self.actor,
            login=self.vault.audit.login,
            two_people=self.rules.two_people,
        )
        if decision == Decision.CONFIRM:
            withdrawn = self.has_withdrawn(case)
            require_confirmable(
                case, self.viewing(case), self.case_store, reviewer, reason, withdrawn=withdrawn
            )
        self.case_store.add(case.case_id, "review", reviewer.strip(), self.clock(), dict(details))
        alone = {"two_people": details["two_people"]} if "two_people" in details else {}
        self._note_change("case-reviewed", case, reviewer, decision=decision, **alone)
        return self.find_copies(case.case_id)

    def find_copies(self, case_id: str) -> Case:
        """A case with the listings and copies of its file that are known by now.

        They are added only while the case is confirmed.
        """
        case = self.records.vouched(self.case_store.case(case_id).case_id)[0]
        if case.sighting is not None or not is_confirmed(case.entries):
            return self.case(case.case_id)
        with self.rules.related_files() as related:
            listings, copies = copies_for(case, related)
        for listing in listings:
            if any(listing.is_place_of(known) for known in listings_of(case)):
                continue
            if self.case_store.attach(case.case_id, listing, self.actor, self.clock()):
                details = {"hub": listing.hub, "checkpoint": listing.sha256}
                self._note_change("case-listing-added", case, self.actor, **details)
        for copy in copies:
            if self.case_store.attach_copy(case.case_id, copy, self.actor, self.clock()):
                details = {"hub": copy.listing.hub, "checkpoint": copy.listing.sha256}
                self._note_change(
                    "case-copy-added", case, self.actor, relation=copy.relation, **details
                )
        return self.case(case.case_id)

    def hash_list(self, fingerprints: FingerprintStore, source: str) -> dict[str, Any]:
        """The signed list of confirmed files, which other hubs may import."""
        cases: list[tuple[Case, HashStatus]] = []
        for case in self.case_store.cases():
            decisions = [one.details["decision"] for one in case.entries if one.kind == "review"]
            if case.sighting is not None or Decision.CONFIRM not in decisions:
                continue
            holds = is_confirmed(case.entries) and not self.has_withdrawn(case)
            if holds and not self.records.is_sound(case):
                continue
            cases.append((case, HashStatus.ACTIVE if holds else HashStatus.WITHDRAWN))
        known = fingerprints.of([case.checkpoint.sha256 for case, _ in cases])
        document = hash_list(
            cases,
            {file.sha256: file for file in known},
            source,
            self.vault.keys.sign,
            self.clock(),
        )
        self.vault.audit.record(
            "hash-list-exported", "cases", self.actor, self.clock(), cases=len(cases)
        )
        return document

    def viewing(self, case: Case) -> PicturesViewed:
        """How many of a case's pictures were opened under this login."""
        log = self.vault.audit.about(case.identity_id)
        return viewing_of(case, log, self.actor, self.vault.audit.login, exports_count=True)

    def amend(self, case_id: str, kind: str, by: str, text: str) -> Entry:
        """Add an appeal or a correction; nothing is overwritten. An appeal asks for a new review.

        Raises:
            ReviewRefused: no name, no text, or another kind.
        """
        if kind not in ("appeal", "correction"):
            raise ReviewRefused(f"{kind!r} is not one of appeal, correction")
        if not by.strip() or not text.strip():
            raise ReviewRefused(
                "who asks for it (--by) and what they say (--text) are part of the record"
            )
        return self._add(case_id, kind, by, text.strip())

    def remove_capture(self, captures: CaptureStore, wanted: str, reason: str) -> CaptureRow:
        """Delete a capture that was taken in by mistake; the audit log keeps its id and the reason.

        Raises:
            UnknownCapture: no capture has that id.
            ReviewRefused: no reason, or a case rests on it.
        """
        if not reason.strip():
            raise ReviewRefused("say why it is removed; the reason stays in the audit log")
        try:
            with alone(captures.folder):
                return self._remove(captures, captures.find(wanted), reason)
        except CapturesBusy as error:
            raise ReviewRefused(str(error)) from error

    def _remove(self, captures: CaptureStore, row: CaptureRow, reason: str) -> CaptureRow:
        if resting := self.case_store.resting_on(row.capture_id):
            raise ReviewRefused(
                f"case {resting[0].case_id} rests on this capture: it is evidence and stays; "
                "wrong facts of it can be corrected (captures edit)"
            )
        self.vault.audit.record(
            "capture-removed",
            "vault",
            self.actor,
            self.clock(),
            capture=row.capture_id,
            reason=reason.strip(),
        )
        captures.forget(row.capture_id)
        return row

    def correct_capture(
        self, captures: CaptureStore, page: PageRow, changes: dict[str, Any], by: str
    ) -> list[Case]:
        """Correct the facts that were read from a captured page; the audit log names the fields.

        Returns the cases that rest on its capture; they keep the earlier facts.

        Raises:
            KeyError, ValueError: no such field, or not a value of it.
        """
        after = captures.edit(page.page_id, changes, by, self.clock().isoformat())
        changed = [
            name for name in changes if getattr(page.facts, name) != getattr(after.facts, name)
        ]
        if changed:
            self.vault.audit.record(
                "capture-corrected",
                "vault",
                self.actor,
                self.clock(),
                capture=page.capture_id,
                page=page.number + 1,
                fields=changed,
            )
        return self.case_store.resting_on(page.capture_id)

    def write_report(
        self, case_id: str, out: Path, language: str, *, redacted: bool, pdf: bool
    ) -> dict[str, Path]:
        """Write the report of a case into a folder; returns the files by their kind."""
        case = self.exported(case_id)
        out.mkdir(parents=True, exist_ok=True)
        html = case_html(case, self.case_store, language, redacted=redacted)
        stem = f"{case.case_id}.{case.status}{'.redacted' if redacted else ''}.{language}"
        paths = {"html": out / f"{stem}.html"}
        paths["html"].write_text(html, "utf-8")
        if pdf:
            paths["pdf"] = out / f"{stem}.pdf"
            paths["pdf"].write_bytes(case_pdf(html, case, language))
        self._note("case-exported", case, self.actor, what="report", redacted=redacted)
        return paths

    def write_bundle(self, case_id: str, out: Path, *, with_weights: bool, pdf: bool) -> Path:
        """Write the sealed evidence of a case into a new folder in `out`.

        Raises:
            BundleExists: the folder exists already.
            EvidenceNotHere: the weights are wanted and no longer in the store.
        """
        case = self.exported(case_id)
        sha256 = case.checkpoint.sha256
        weights = self.rules.checkpoint_path(sha256) if with_weights else None
        if with_weights and weights is None:
            raise EvidenceNotHere(sha256)
        folder = write_bundle(
            case,
            self.case_store,
            out / f"evidence-{case.case_id}",
            BundleRequest(
                checkpoint=weights,
                captures=self._originals(case),
                pdf=pdf,
                log_end=self.vault.audit.end,
            ),
            self.vault.keys.sign,
            list(self.rules.authorities),
            self.clock(),
        )
        self._note("case-exported", case, self.actor, what="bundle")
        return folder

    def revocations(self) -> tuple[dict[str, Any], list[CaseAltered]]:
        """The signed list of cases that changed after their bundle was exported.

        Returns also the exported cases whose records the audit log does not confirm any more.
        """
        exported: dict[str, int] = {}
        for entry in self.vault.audit.found(event="case-exported", limit=-1):
            if entry.details.get("what") == "bundle":
                case_id = str(entry.details["case"])
                exported[case_id] = min(entry.number, exported.get(case_id, entry.number))
        listed, unvouched = [], []
        for case_id, first in sorted(exported.items()):
            try:
                case = self.case(case_id)
            except CaseAltered as error:
                unvouched.append(error)
            except UnknownCase:
                unvouched.append(CaseAltered(case_id, "it is not in cases.db any more"))
            else:
                if case.custody and case.custody[-1].number > first:
                    listed.append(revocation_of(case))
        return revocation_list(
            listed, self.vault.audit.end, self.vault.keys.sign, self.clock()
        ), unvouched

    def _originals(self, case: Case) -> dict[str, Path]:
        captures = case.sighting.captures if case.sighting else ()
        return {
            capture.sha256: self.rules.captures_path / capture.capture_id / "data" / "original"
            for capture in captures
        }

    def stamp(self, bundle: Path) -> list[AuthorityFailed]:
        """Ask the authorities that have not stamped a bundle yet; returns those that failed."""
        return write_timestamps(
            bundle, list(self.rules.authorities), self.vault.keys.sign, self.clock()
        )

    def note_request(self, case_id: str, by: str) -> Entry:
        """Record that the person asks for a report of their case."""
        return self._add(case_id, "request", by, "")

    def note(self, case_id: str, by: str, text: str) -> Entry:
        """Add a working note. Raises ReviewRefused without a text."""
        if not text.strip():
            raise ReviewRefused("a note needs a text")
        return self._add(case_id, "note", by, text.strip())

    def _add(self, case_id: str, kind: str, by: str, text: str) -> Entry:
        case = self.records.vouched(self.case_store.case(case_id).case_id)[0]
        entry = self.case_store.add(case.case_id, kind, by.strip(), self.clock(), {"text": text})
        self._note_change("case-amended", case, self._nameless(case, by), kind=kind)
        return entry

    def _nameless(self, case: Case, by: str) -> str:
        """The name of an actor for the audit log, which is kept after the person's data are erased.

        It is the login if the name is the person's own.
        """
        words = {word.casefold() for word in case.identity_name.split() if len(word) > 1}
        return self.actor if any(word in by.casefold() for word in words) else by

    def note_shown(self, case: Case, *, blurred: bool, sha256: list[str]) -> None:
        """Add a line about pictures that somebody saw."""
        event = "pictures-shown-blurred" if blurred else "picture-shown"
        self._note(
            event, case, self.actor, pictures=len(sha256), **({} if blurred else {"sha256": sha256})
        )

    def note_notice(self, case: Case, event: str, actor: str, **details: object) -> None:
        """Add a line about a notice to the audit log."""
        self._note_change(event, case, actor, **details)

    def _note(self, event: str, case: Case, actor: str, **details: object) -> None:
        self.vault.audit.record(
            event, case.identity_id, actor, self.clock(), case=case.case_id, **details
        )

    def _note_change(self, event: str, case: Case, actor: str, **details: object) -> None:
        self.records.note(event, case, actor, **details)


def _with_custody(case: Case, lines: Sequence[AuditEntry]) -> Case:
    custody = tuple(
        CustodyEntry(line.number, line.at, line.actor, line.event, line.details, line.sha256)
        for line in lines
        if line.event in CUSTODY
    )
    return replace(
        case,
        entries=tuple(entry for entry in case.entries if entry.kind != "note"),
        custody=custody,
    )
