"""Reading everything a vault holds, to know that it could be read."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from face_index.errors import VaultError
from face_index.vault.keys import unseal
from face_index.vault.records import empty_write_ahead_log

if TYPE_CHECKING:
    from face_index.vault.vault import Vault


def check_vault(vault: Vault) -> list[str]:
    """What is wrong, in sentences; empty if the file is sound, the log whole and all that is sealed opens."""
    found = [
        f"file: {row[0]}"
        for row in vault.db.execute("pragma integrity_check(20)").fetchall()
        if row[0] != "ok"
    ]
    found += [f"audit log: {problem}" for problem in vault.audit.problems()]
    found += [f"outside the vault: {problem}" for problem in vault.testimony.problems]
    if undead := vault.erased_with_rows():
        found.append(
            f"{len(undead)} of the people who were erased still have rows in the vault: `portrait-scanner vault repair` "
            "erases them again"
        )
    for identity in vault.identities():
        found += [
            f"{identity.identity_id}: {problem}"
            for problem in _of_person(vault, identity.identity_id)
        ]
    try:
        empty_write_ahead_log(vault.db)
    except sqlite3.OperationalError as error:
        found.append(str(error))
    return found


def _of_person(vault: Vault, identity_id: str) -> list[str]:
    problems = []
    row = vault.db.execute(
        "select data_key from identities where identity_id = ?", [identity_id]
    ).fetchone()
    try:
        data_key = unseal(vault.key, row[0], identity_id)
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
