"""Templates in the vault: sealed with the person's key, each with the pack that made it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
from sqlite_utils import Database

from face_index.faces.face import PackVersion, Prototypes
from face_index.vault.keys import seal, unseal
from face_index.vault.records import NOT_ERASED

_SEARCHABLE = """
    and i.status = 'active' and c.signed_on <= :day and c.expires_on >= :day
    and (i.adult_on is null or i.adult_on <= :day)
"""


def store_template(
    db: Database, identity_id: str, data_key: bytes, prototypes: Prototypes, version: PackVersion
) -> None:
    """Seal and store one template. Belongs inside a transaction."""
    db.table("templates").insert(
        {
            "identity_id": identity_id, "pack_sha256": version.sha256, "pack_name": version.name,
            "pack_version": version.version, "dimension": version.dimension,
            "sealed": seal(data_key, prototypes.astype("<f4").tobytes(), identity_id),
        }
    )  # fmt: skip


def read_templates(
    db: Database, master_key: bytes, version: PackVersion, searchable_on: date | None
) -> Iterator[tuple[str, Prototypes]]:
    """Identity id and prototypes, float32 [p, d], by id; raises VaultLocked if one does not open.

    Args:
        searchable_on: only adults who are approved and whose consent holds on that day; None for everyone stored.
    """
    query = f"""
        select t.identity_id, t.sealed, i.data_key from templates t
        join identities i using (identity_id) join consents c on c.consent_id = i.consent_id
        where t.pack_sha256 = :pack and {NOT_ERASED} {_SEARCHABLE if searchable_on else ""} order by t.identity_id
    """
    facts = {"pack": version.sha256, "day": searchable_on.isoformat() if searchable_on else ""}
    for identity_id, sealed, wrapped in db.conn.execute(query, facts):
        plain = unseal(unseal(master_key, wrapped, identity_id), sealed, identity_id)
        yield identity_id, np.frombuffer(plain, "<f4").reshape(-1, version.dimension)
