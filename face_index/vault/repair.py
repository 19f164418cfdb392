"""Continuing with a vault after an older copy was put in its place."""

from __future__ import annotations

from datetime import datetime

from face_index.vault.database import empty_write_ahead_log, set_fact, transaction
from face_index.vault.names import required_text
from face_index.vault.receipts import record_erasure
from face_index.vault.rollback import REPAIRED
from face_index.vault.schema import erase_rows
from face_index.vault.vault import Vault


def repair(vault: Vault, actor: str, now: datetime, reason: str) -> list[str]:
    """Erase again the people whom the witnesses name, and accept the vault as it is.

    The audit log records who did it and why.

    Returns:
        Ids of the people who were erased again.

    Raises:
        VaultSetBack: Receipts are missing.
        NotDecidable: The reason is blank.
    """
    reason, findings = required_text(reason, "a reason"), vault.rollback.findings
    vault.rollback.require_known_erasures()
    with transaction(vault.db):
        for receipt in findings.erased:
            record_erasure(vault.db, receipt)
        erased_again = vault.erasure.erased_with_rows()
        for identity_id in erased_again:
            erase_rows(vault.db, identity_id)
        newest = max([vault.gallery_version, *(end.gallery_version for end in findings.ends)])
        set_fact(vault.db, "gallery_version", str(newest + 1).encode())
        vault.audit.append(
            REPAIRED,
            "vault",
            actor,
            now,
            reason=reason,
            problems=findings.problems,
            erased_again=erased_again,
            witnessed=[end.sha256 for end in findings.ends],
        )
    for identity_id in erased_again:
        vault.backups.erase_person(identity_id)
    empty_write_ahead_log(vault.db)
    vault.rollback.accept()
    return erased_again
