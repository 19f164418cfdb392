"""Licences: models, uploaders and hubs that a registered person allows."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import TYPE_CHECKING

from face_index.consent import Licence, LicenceKind
from face_index.errors import UnknownIdentity
from face_index.vault.schema import transaction

if TYPE_CHECKING:
    from face_index.vault.vault import Vault


def grant_licence(
    vault: Vault,
    name_or_id: str,
    kind: LicenceKind,
    value: str,
    until: date,
    *,
    note: str,
    actor: str,
    now: datetime,
) -> Licence:
    """Record that a person allows a model, an uploader or a hub until a day; raises UnknownIdentity."""
    licence = Licence(
        uuid.uuid4().hex, vault.find(name_or_id).identity_id, kind, value, until, note
    )
    with transaction(vault.db):
        vault.db.table("licences").insert(
            {
                "licence_id": licence.licence_id, "identity_id": licence.identity_id, "kind": str(kind),
                "value": value, "until": until.isoformat(), "note": note,
            }
        )  # fmt: skip
        vault.audit.append(
            "licence granted", licence.identity_id, actor, now,
            kind=kind, until=until, licence_id=licence.licence_id,
        )  # fmt: skip
    return licence


def revoke_licence(vault: Vault, licence_id: str, actor: str, now: datetime) -> None:
    """End a licence, named by its id or the beginning of it; raises UnknownIdentity."""
    with transaction(vault.db):
        rows = list(
            vault.db.table("licences").rows_where(
                "substr(licence_id, 1, ?) = ?", [len(licence_id), licence_id]
            )
        )
        if len(rows) != 1:
            raise UnknownIdentity(licence_id, "licence")
        vault.db.conn.execute("delete from licences where licence_id = ?", [rows[0]["licence_id"]])
        vault.audit.append(
            "licence revoked", rows[0]["identity_id"], actor, now, licence_id=rows[0]["licence_id"]
        )


def licences_of(vault: Vault, identity_id: str) -> list[Licence]:
    """All licences of a person, those that ended too."""
    rows = vault.db.table("licences").rows_where("identity_id = ?", [identity_id], order_by="until")
    return [
        Licence(
            row["licence_id"], row["identity_id"], LicenceKind(row["kind"]), row["value"],
            date.fromisoformat(row["until"]), row["note"],
        )
        for row in rows
    ]  # fmt: skip


def covering_licence(
    vault: Vault, identity_id: str, hub: str, creator: str | None, sha256: str, day: date
) -> Licence | None:
    """The licence under which a file is allowed on that day, None without one."""
    return next(
        (one for one in licences_of(vault, identity_id) if one.covers(hub, creator, sha256, day)),
        None,
    )
