"""Comparison of the record of each case with the audit log.

cases.db seals each record (reports.cases.record_seals). The log names the version and SHA-256 of
each record, so that restoring an older state is detected too. A case is written before its line in
the log. If a process is killed in between, the line is added later, because the seal shows that
this program wrote the case.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from face_index.errors import ClockWentBackwards
from face_index.vault import Vault
from face_index.vault.audit import AuditEntry
from face_index.vault.database import transaction
from reports.cases.case import Case, case_to_dict
from reports.cases.case_store import CaseStore
from reports.cases.record_seals import RecordSeal
from reports.errors import CaseAltered, ReviewRefused, UnknownCase
from reports.verify.audit_log import disagreement
from scanner.clock import Clock

# The subject of entries about all cases; identities' ids are hex.
ALL_CASES = "cases"
BEGUN = "case-records-begun"
AT_UPGRADE = "case-recorded-at-upgrade"
CAUGHT_UP = "case-recorded"
SET_BACK = "case-set-back-accepted"
_TRIES = 10
_PAUSE_S = 0.05


def open_case_store(
    cases_path: Path,
    evidence_path: Path,
    vault: Vault,
    operator: str,
    clock: Clock,
    *,
    any_thread: bool = False,
) -> CaseStore:
    """Open cases.db, sealed with the vault's key.

    Cases of earlier versions are entered in the audit log once, as they are.
    """
    mac = vault.keys.keyed_digest("case record")
    case_store = CaseStore(cases_path, evidence_path, mac, any_thread=any_thread)
    if not any(entry.event == BEGUN for entry in vault.audit.vouched_about(ALL_CASES)):
        _begin(case_store, vault, operator, clock)
    return case_store


def _begin(case_store: CaseStore, vault: Vault, actor: str, clock: Clock) -> None:
    case_store.seal_unsealed()
    found = []
    for case_id in case_store.case_ids():
        with suppress(CaseAltered):  # a case that cannot be read is not entered and stays refused
            found.append(case_store.vouched(case_id)[:2])
    with transaction(vault.db):
        if any(entry.event == BEGUN for entry in vault.audit.vouched_about(ALL_CASES)):
            return  # another process was first
        for case, seal in found:
            vault.audit.append(
                AT_UPGRADE, case.identity_id, actor, clock(), case=case.case_id, **_details(seal)
            )
        vault.audit.append(BEGUN, ALL_CASES, actor, clock(), cases=len(found))


def _details(seal: RecordSeal | None) -> dict[str, object]:
    return {} if seal is None else {"record": seal.version, "record_sha256": seal.sha256}


class CaseRecords:
    """Compares cases with the audit log, and writes its lines about them."""

    def __init__(self, vault: Vault, case_store: CaseStore, clock: Clock) -> None:
        self._vault, self._case_store, self._clock = vault, case_store, clock

    def note(self, event: str, case: Case, actor: str, **details: object) -> None:
        """Add a line about a change of a case, with the version and SHA-256 of its new record."""
        record = _details(self._case_store.seal_of(case.case_id))
        self._vault.audit.record(
            event, case.identity_id, actor, self._clock(), case=case.case_id, **details, **record
        )

    def vouched(self, case_id: str) -> tuple[Case, list[AuditEntry]]:
        """A case and its lines in the audit log, read as one state.

        Raises:
            UnknownCase: no case of exactly that id.
            CaseAltered: its record is not the one that the log names.
        """
        for attempt in range(_TRIES):
            identity_id = self._case_store.identity_of(case_id)
            # They are read before the case: the log is written after it.
            lines = self._lines(identity_id, case_id)
            case, seal, fault = self._case_store.vouched(case_id)
            if fault is not None or seal is None or case.identity_id != identity_id:
                raise CaseAltered(case_id, fault or "it is not sealed")
            known = _newest(lines)
            if known is not None and known[0] > seal.version:
                raise CaseAltered(
                    case_id,
                    f"cases.db holds version {seal.version} of it, the audit log knows version "
                    f"{known[0]}: an older copy was put back, or lines were taken out of its log. "
                    "If that was you, `portrait-scanner vault repair` says so",
                )
            if known == (seal.version, seal.sha256):
                return case, lines
            if attempt:
                self._catch_up(case)
            else:
                time.sleep(_PAUSE_S)  # another process may be about to write its line
        # Another process keeps changing it, or the clock is wrong; the sealed case is sound.
        return case, lines

    def _catch_up(self, case: Case) -> None:
        """Add the missing line about a case.

        A process was killed before it wrote the line, or the vault was restored from a backup
        that is older than the case.
        """
        with suppress(ClockWentBackwards):
            self.note(CAUGHT_UP, case, "portrait-scanner")

    def require(self, case_id: str) -> tuple[Case, list[AuditEntry]]:
        """The same for exports: the whole log is verified and compared with dates and decisions."""
        if problems := self._vault.audit.problems():
            raise CaseAltered(
                case_id, f"the audit log itself was altered: {'; '.join(problems[:3])}"
            )
        case, lines = self.vouched(case_id)
        if (problem := _disagreement(case, lines)) is not None:
            raise CaseAltered(case_id, problem)
        return case, lines

    def is_sound(self, case: Case) -> bool:
        """Whether a case may stand for a finding that is made again."""
        try:
            found, lines = self.vouched(case.case_id)
        except CaseAltered:
            return False
        return (
            not any(line.event == AT_UPGRADE for line in lines)
            or _disagreement(found, lines) is None
        )

    def is_known(self, case: Case) -> bool:
        """Whether the log or cases.db holds a case of that id already."""
        try:
            self._case_store.vouched(case.case_id)
        except UnknownCase:
            return bool(self._lines(case.identity_id, case.case_id))
        except CaseAltered:
            pass
        return True

    def problems(self) -> Iterator[str]:
        """Differences between cases.db and the log, as sentences.

        Cases may have been changed, added, removed or restored to an older state.
        """
        stored = set(self._case_store.case_ids())
        for case_id in sorted(stored):
            try:
                case, lines = self.vouched(case_id)
            except CaseAltered as error:
                yield f"case {case_id}: {error.what}"
                continue
            if (problem := _disagreement(case, lines)) is not None:
                yield f"case {case_id}: {problem}"
        for case_id in sorted(self._known_cases() - stored):
            yield (
                f"case {case_id}: the audit log knows it, and it is not in cases.db: "
                "it was taken out, or an older copy was put back"
            )

    def accept_set_back(self, actor: str, reason: str) -> list[str]:
        """Accept older states of cases after an older cases.db was restored; returns their ids.

        Cases that were changed or added outside this program stay refused. The custody of each
        accepted case names the actor and the reason.
        """
        if not reason.strip():
            raise ReviewRefused(
                "say why an older state of the cases may stand; the reason stays in the audit log"
            )
        accepted = []
        for case_id in self._case_store.case_ids():
            with suppress(CaseAltered):
                case, seal, fault = self._case_store.vouched(case_id)
                known = _newest(self._lines(case.identity_id, case_id))
                if (
                    fault is None
                    and seal is not None
                    and known is not None
                    and known[0] > seal.version
                ):
                    self._case_store.seal_again(case_id, known[0] + 1)
                    self.note(SET_BACK, case, actor, reason=reason.strip(), was=seal.version)
                    accepted.append(case_id)
        return accepted

    def _lines(self, identity_id: str, case_id: str) -> list[AuditEntry]:
        return list(self._vault.audit.vouched_about(identity_id, case_id))

    def _known_cases(self) -> set[str]:
        entries = self._vault.audit.entries()
        return {
            str(entry.details["case"])
            for entry in entries
            if "record" in entry.details and "case" in entry.details
        }


def _newest(lines: list[AuditEntry]) -> tuple[int, str] | None:
    records = [line.details for line in lines if "record" in line.details]
    return max(
        ((int(record["record"]), str(record["record_sha256"])) for record in records), default=None
    )


def _disagreement(case: Case, lines: list[AuditEntry]) -> str | None:
    """A difference between the case's dates and decisions and the log's; None without one."""
    custody = [asdict(line) for line in lines if line.event in CUSTODY]
    try:
        return disagreement({**case_to_dict(case), "custody": custody}, is_whole=True)
    except ValueError as error:
        return f"one of its dates is not valid ({error})"


# Events that change a case. Reading and exporting are in the log, but not part of the case.
CUSTODY = frozenset(
    {
        "case-opened",
        "case-listing-added",
        "case-copy-added",
        "case-reviewed",
        "case-amended",
        "case-superseded",
        "notice-drafted",
        "notice-marked",
        AT_UPGRADE,
        CAUGHT_UP,
        SET_BACK,
    }
)
