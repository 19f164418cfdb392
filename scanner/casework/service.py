"""The case service: review, amendments, reports, evidence bundles, and their lines in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from reports.cases.review import Decision, review_details
from reports.documents.case_report import case_html, case_pdf
from reports.errors import AuthorityFailed, CaseAltered, ReviewRefused, UnknownCase
from reports.evidence.bundle import BundleRequest, write_bundle
from reports.evidence.revocations import revocation_list, revocation_of
from reports.evidence.timestamping import Authority, write_timestamps
from scanner.casework.case_records import CUSTODY, CaseRecords
from scanner.casework.confirmation import Viewing, require_confirmable, viewing_of
from scanner.clock import Clock
from scanner.errors import EvidenceNotHere


@dataclass(frozen=True, slots=True)
class CaseRules:
    """What the case service takes from the settings.

    Attributes:
        four_eyes: the operator of a scan may not review its cases.
        two_people: two logins take part in what needs two people.
        captures_path: folder of the sealed captures.
        authorities: that stamp bundles.
        checkpoint_path: the file of a checkpoint by SHA-256; None if it is not in the store any more.
    """

    operator: str
    four_eyes: bool
    two_people: bool
    captures_path: Path
    authorities: tuple[Authority, ...]
    checkpoint_path: Callable[[str], Path | None]


class CaseService:
    """Cases with the facts that only the vault knows, and what people do to them. Loads no model.

    A context manager; `scanner.factories.open_case_service` opens it from settings.

    Attributes:
        actor: who works with it, for the audit log.
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
        """Whether the person of a case is no longer registered: nothing new is begun for them."""
        try:
            self.vault.people.find(case.identity_id)
        except UnknownIdentity:
            return True
        return False

    def case(self, case_id: str) -> Case:
        """A case as it stands, with its chain of custody. Working notes are no part of it.

        Raises:
            UnknownCase: there is none.
            CaseAltered: it is not what the audit log vouches for.
        """
        return _with_custody(*self.records.vouched(self.case_store.case(case_id).case_id))

    def exported(self, case_id: str) -> Case:
        """The same for what leaves the house: the whole audit log is read, and dates are compared with it."""
        return _with_custody(*self.records.require(self.case_store.case(case_id).case_id))

    def review(self, case_id: str, reviewer: str, decision: str, reason: str) -> Case:
        """Record a named reviewer's decision.

        Raises:
            ReviewRefused: it may not be recorded as it was given.
            ConfirmationRefused: its person has withdrawn, its pictures were not opened, or the reason is a copy.
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
        return self.case(case.case_id)

    def viewing(self, case: Case) -> Viewing:
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
        """Delete a capture that was taken in by mistake; that it was here, and why it is not, stays in the audit log.

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
                f"case {resting[0].case_id} rests on this capture: it is evidence and stays; wrong facts of it can be corrected (captures edit)"
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
        """Correct what was read of a captured page; the audit log keeps who changed which fields.

        Returns the cases that rest on its capture: they keep what was read before.

        Raises:
            KeyError, ValueError: no such field, or not a value of it.
        """
        after = captures.edit(page.page_id, changes, by, self.clock().isoformat())
        changed = [
            name for name in changes if getattr(page.facts, name) != getattr(after.facts, name)
        ]
        if changed:
            self.vault.audit.record(
                "capture-corrected", "vault", self.actor, self.clock(), capture=page.capture_id, page=page.number + 1, fields=changed
            )  # fmt: skip
        return self.case_store.resting_on(page.capture_id)

    def write_report(
        self, case_id: str, out: Path, language: str, *, redacted: bool, pdf: bool
    ) -> dict[str, Path]:
        """The report of a case as files in a folder, by their kind."""
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
        """The sealed evidence of a case in a folder of `out`.

        Raises:
            BundleExists: it is there already.
            EvidenceNotHere: the weights are asked for and not in the store any more.
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
        """The signed list of cases that went on after their evidence was given out, and those nobody can vouch for any more."""
        given_out: dict[str, int] = {}
        for entry in self.vault.audit.found(event="case-exported", limit=-1):
            if entry.details.get("what") == "bundle":
                case_id = str(entry.details["case"])
                given_out[case_id] = min(entry.number, given_out.get(case_id, entry.number))
        listed, unvouched = [], []
        for case_id, first in sorted(given_out.items()):
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
            one.sha256: self.rules.captures_path / one.capture_id / "data" / "original"
            for one in captures
        }

    def stamp(self, bundle: Path) -> list[AuthorityFailed]:
        """Ask the authorities that have not stamped a bundle yet; those that failed again."""
        return write_timestamps(
            bundle, list(self.rules.authorities), self.vault.keys.sign, self.clock()
        )

    def note_request(self, case_id: str, by: str) -> Entry:
        """The person asks for a report of their case."""
        return self._add(case_id, "request", by, "")

    def note(self, case_id: str, by: str, text: str) -> Entry:
        """Add a note among those who work at the case. Raises ReviewRefused without a text."""
        if not text.strip():
            raise ReviewRefused("a note needs a text")
        return self._add(case_id, "note", by, text.strip())

    def _add(self, case_id: str, kind: str, by: str, text: str) -> Entry:
        case = self.records.vouched(self.case_store.case(case_id).case_id)[0]
        entry = self.case_store.add(case.case_id, kind, by.strip(), self.clock(), {"text": text})
        self._note_change("case-amended", case, self._nameless(case, by), kind=kind)
        return entry

    def _nameless(self, case: Case, by: str) -> str:
        """Who did something, for the audit log, which outlives the case's person: by login where that is themselves."""
        words = {word.casefold() for word in case.identity_name.split() if len(word) > 1}
        return self.actor if any(word in by.casefold() for word in words) else by

    def note_shown(self, case: Case, *, blurred: bool, sha256: list[str]) -> None:
        """A line about pictures that somebody saw."""
        event = "pictures-shown-blurred" if blurred else "picture-shown"
        self._note(
            event, case, self.actor, pictures=len(sha256), **({} if blurred else {"sha256": sha256})
        )

    def note_notice(self, case: Case, event: str, actor: str, **details: object) -> None:
        """A line about a notice in the audit log."""
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
