"""Comparing a vault with its witnesses, to find that an older copy was put in its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from face_index.errors import VaultSetBack
from face_index.vault.audit import AuditLog
from face_index.vault.database import fact, set_fact, transaction
from face_index.vault.gallery_version import gallery_version
from face_index.vault.people import keep_out
from face_index.vault.receipts import ErasureReceipt, receipt_from
from face_index.vault.witness import LogEnd, Witnesses

# Events of the audit log after which the witnesses may have noted entries that the log lacks.
RESTORED = "restored from a backup"
REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Findings:
    """The contradictions between a vault and its witnesses.

    Attributes:
        problems: In sentences; empty if they agree.
        erased: Receipts of people whom the vault does not know to be erased.
        ends: The end of the audit log as each witness noted it.
        unnamed: How many people were erased whom neither the vault nor a receipt names.
    """

    problems: tuple[str, ...]
    erased: tuple[ErasureReceipt, ...]
    ends: tuple[LogEnd, ...]
    unnamed: int = 0


class RollbackCheck:
    """Compares one vault with its witnesses and keeps the witnesses up to date.

    Args:
        path: The file of the vault.
        signer: Fingerprint of the vault's key; receipts of other vaults are ignored.

    Attributes:
        findings: Of the newest comparison.
    """

    def __init__(
        self, db: Database, path: Path, witnesses: Witnesses, audit: AuditLog, signer: str
    ) -> None:
        self._db, self._path, self._witnesses = db, path, witnesses
        self._audit, self._signer = audit, signer
        self._inode = path.stat().st_ino
        self.findings = self.compare()

    def compare(self) -> Findings:
        """Compare again; people whom only the witnesses know to be erased are kept out.

        If the witnesses agree, new ones receive the receipts that they lack.
        """
        erased = frozenset(
            row["identity_id"] for row in self._db.query("select identity_id from erasures")
        )
        begun, folders = int(fact(self._db, "witnesses") or b"0"), len(self._witnesses.folders)
        findings = find_contradictions(
            self._witnesses, self._audit, erased, self._signer, all_begun=begun >= folders
        )
        self.findings = findings
        keep_out(self._db, [receipt.identity_id for receipt in findings.erased])
        if not findings.problems:
            if begun < folders:
                self.begin_witnesses()
            self.note_end()
        return findings

    def begin_witnesses(self) -> None:
        """Write into each witness the receipts that it lacks."""
        rows = self._db.table("erasures").rows_where(order_by="erased_at")
        receipts = [receipt_from(json.loads(row["receipt"])) for row in rows]
        self._witnesses.begin([receipt for receipt in receipts if receipt.signature])
        with transaction(self._db):
            set_fact(self._db, "witnesses", str(len(self._witnesses.folders)).encode())

    def note_erasure(self, receipt: ErasureReceipt) -> None:
        """Add a receipt to every witness."""
        self._witnesses.note_erasure(receipt)

    def note_end(self) -> None:
        """Note the end of the audit log in every witness.

        Nothing is noted while the witnesses contradict the vault, nor for a file that another one
        has replaced since it was opened.
        """
        if not self.findings.problems and self._path.stat().st_ino == self._inode:
            self._witnesses.note_end(self.log_end())

    def log_end(self) -> LogEnd:
        """Return the present end of the audit log."""
        erasures = int(self._db.table("erasures").count)
        return LogEnd(*self._audit.end, gallery_version(self._db), erasures)

    def accept(self) -> None:
        """Make the witnesses agree with the vault as it is now, after a repair."""
        self.begin_witnesses()
        self._witnesses.note_end(self.log_end())
        self.compare()

    def require_known_erasures(self) -> None:
        """Raise VaultSetBack if somebody was erased whom nobody can name.

        That person may be among those who would be searched.
        """
        if self.findings.unnamed:
            raise VaultSetBack(self.findings.unnamed)


def find_contradictions(
    witnesses: Witnesses, audit: AuditLog, erased: frozenset[str], signer: str, *, all_begun: bool
) -> Findings:
    """Compare the witnesses with a vault.

    The witnesses are read first, so that a line that another process writes meanwhile is no false
    alarm.

    Args:
        erased: Ids of the people whom the vault knows to be erased.
        signer: Fingerprint of the vault's key; receipts of other vaults are ignored.
        all_begun: The vault says that something was written to every witness.
    """
    ends, missing = witnesses.ends()
    problems = missing if all_begun else []
    forgotten = witnesses.receipts(signer, erased)
    problems += [
        f"the audit log does not hold entry {end.entry}, which was written down outside vault.db: "
        "an older or another copy was put in its place"
        for end in dict.fromkeys(ends)
        if not _contains(audit, end)
    ]
    if forgotten:
        problems.append(
            f"{len(forgotten)} of the people who were erased would be back, since an older copy "
            "of vault.db was put in its place"
        )
    named = len(erased | {receipt.identity_id for receipt in forgotten})
    unnamed = max(0, max((end.erasures for end in ends), default=0) - named)
    if unnamed:
        problems.append(
            f"{unnamed} people were erased of whom neither vault.db nor a receipt beside it says "
            "who they are"
        )
    return Findings(tuple(problems), forgotten, tuple(ends), unnamed)


def _contains(audit: AuditLog, end: LogEnd) -> bool:
    """Whether the log contains that end, or the restore or repair of a vault that had it."""
    if end.entry == 0 or audit.has(end.entry, end.sha256):  # every log was empty once
        return True
    return any(
        end.sha256 in entry.details.get("witnessed", ())
        for entry in audit.vouched_about("vault")
        if entry.event in (RESTORED, REPAIRED)
    )
