"""Reading everything that a vault holds, to know that it can be read."""

from __future__ import annotations

import sqlite3

from face_index.errors import VaultError
from face_index.vault.database import empty_write_ahead_log
from face_index.vault.keys import unseal
from face_index.vault.vault import Vault


def check_vault(vault: Vault) -> list[str]:
    """Return what is wrong, in sentences.

    The list is empty if the file is sound, the audit log is whole, the witnesses agree and
    everything that is sealed can be unsealed.
    """
    found = [
        f"file: {row[0]}"
        for row in vault.db.execute("pragma integrity_check(20)").fetchall()
        if row[0] != "ok"
    ]
    found += [f"audit log: {problem}" for problem in vault.audit.problems()]
    found += [f"outside the vault: {problem}" for problem in vault.rollback.findings.problems]
    if returned := vault.erasure.erased_with_rows():
        found.append(
            f"{len(returned)} of the people who were erased still have rows in the vault: "
            "`portrait-scanner vault repair` erases them again"
        )
    for identity in vault.people.all():
        found += [
            f"{identity.identity_id}: {problem}"
            for problem in _problems_of_person(vault, identity.identity_id)
        ]
    try:
        empty_write_ahead_log(vault.db)
    except sqlite3.OperationalError as error:
        found.append(str(error))
    return found


def _problems_of_person(vault: Vault, identity_id: str) -> list[str]:
    problems = []
    try:
        data_key = vault.keys.data_key(identity_id)
    except VaultError:
        return ["its key does not open"]
    for table in ("photos", "templates", "proofs"):
        rows = vault.db.execute(
            f"select sealed from {table} where identity_id = ?", [identity_id]
        ).fetchall()
        for (sealed,) in rows:
            try:
                unseal(data_key, sealed, identity_id)
            except VaultError:
                problems.append(f"something in {table} was altered")
        if table == "templates" and not rows:
            problems.append("there is no template")
    return problems
