"""Copies of identity documents, kept until an operator has decided, and the proofs that stay."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlite_utils import Database

from face_index.errors import UnknownIdentity
from face_index.identity import Proof, proof_from_json
from face_index.vault.audit import AuditLog
from face_index.vault.database import transaction
from face_index.vault.keys import seal, unseal
from face_index.vault.records import Document, DocumentRow
from face_index.vault.vault_keys import VaultKeys


class Documents:
    """The tables of documents and proofs of one vault."""

    def __init__(self, db: Database, keys: VaultKeys, audit: AuditLog) -> None:
        self._db, self._keys, self._audit = db, keys, audit

    def list_for(self, identity_id: str) -> list[DocumentRow]:
        """Return the documents of a person that wait for a decision, without their content."""
        rows = self._db.table("documents").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [DocumentRow(row["document_id"], row["kind"], row["sha256"]) for row in rows]

    def read(self, identity_id: str, document_id: str, actor: str, now: datetime) -> bytes:
        """Return the bytes of a document and record in the audit log who read it.

        Raises:
            UnknownIdentity: The person has no such document.
        """
        with transaction(self._db):
            row = self._db.execute(
                "select sealed, sha256 from documents where identity_id = ? and document_id = ?",
                [identity_id, document_id],
            ).fetchone()
            if row is None:
                raise UnknownIdentity(document_id, "document")
            self._audit.append("document read", identity_id, actor, now, document_sha256=row[1])
        return unseal(self._keys.data_key(identity_id), row[0], identity_id)

    def add(self, identity_id: str, documents: Sequence[Document]) -> None:
        """Seal and store documents. Call this inside a transaction."""
        data_key = self._keys.data_key(identity_id)
        self._db.table("documents").insert_all(
            {
                "document_id": uuid.uuid4().hex,
                "identity_id": identity_id,
                "kind": document.kind,
                "sha256": hashlib.sha256(document.data).hexdigest(),
                "sealed": seal(data_key, document.data, identity_id),
            }
            for document in documents
        )

    def replace_by_proof(self, identity_id: str, proof: Proof) -> None:
        """Store what was checked and by whom, and delete the copies of the documents.

        Call this inside a transaction. The copies serve the decision only; their kind and hash
        stay in the proof and in the audit log.
        """
        sealed = seal(self._keys.data_key(identity_id), proof.to_json().encode(), identity_id)
        self._db.table("proofs").insert(
            {"proof_id": uuid.uuid4().hex, "identity_id": identity_id, "sealed": sealed}
        )
        self._db.conn.execute("delete from documents where identity_id = ?", [identity_id])

    def proofs_of(self, identity_id: str) -> list[Proof]:
        """Return the proofs of a person, oldest first."""
        data_key = self._keys.data_key(identity_id)
        rows = self._db.table("proofs").rows_where(
            "identity_id = ?", [identity_id], order_by="rowid"
        )
        return [
            proof_from_json(unseal(data_key, row["sealed"], identity_id).decode()) for row in rows
        ]
