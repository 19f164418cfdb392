"""The tables of vault.db."""

from __future__ import annotations

from sqlite_utils import Database, Migrations

# Every table with rows of one person. Erasing a person deletes their rows from all of them.
TABLES_OF_A_PERSON = (
    "photos",
    "templates",
    "proofs",
    "documents",
    "conflicts",
    "licences",
    "consents",
    "identities",
)
migrations = Migrations("vault")


@migrations()
def two_operators_prototypes_licences_backups(db: Database) -> None:
    _create_identities(db)
    _create_sealed_tables(db)
    _create_conflicts_and_licences(db)
    db.table("erasures").create(
        {"identity_id": str, "erased_at": str, "receipt": str}, pk="identity_id"
    )
    db.table("backups").create({"path": str, "made_at": str, "sha256": str}, pk="path")
    _create_audit(db)
    # A released migration never changes, so it has a list of its own.
    for table in (
        "consents",
        "photos",
        "templates",
        "proofs",
        "documents",
        "conflicts",
        "licences",
    ):
        db.table(table).create_index(["identity_id"], if_not_exists=True)
    db.table("audit").create_index(["subject"])
    for change in ("update", "delete"):
        db.execute(
            f"create trigger audit_no_{change} before {change} on audit "
            "begin select raise(abort, 'the audit log is append-only'); end"
        )


@migrations()
def people_may_share_a_name(db: Database) -> None:
    db.execute("drop index idx_identities_name")
    db.table("identities").create_index(["name"])


def erase_rows(db: Database, identity_id: str) -> dict[str, int]:
    """Delete all rows of a person and return how many each table had.

    SQLite overwrites them with zeros (secure_delete).
    """
    counts = {
        table: db.conn.execute(f"delete from {table} where identity_id = ?", [identity_id]).rowcount
        for table in TABLES_OF_A_PERSON
    }
    db.conn.execute("delete from conflicts where other_id = ?", [identity_id])
    return counts


def _create_identities(db: Database) -> None:
    db.table("vault_facts").create({"name": str, "value": bytes}, pk="name")
    db.table("identities").create(
        {
            "identity_id": str,
            "name": str,
            "reference": str,
            "status": str,
            "data_key": bytes,
            "photo_count": int,
            "photos_kept": int,
            "submitted_at": str,
            "submitted_by": str,
            "decided_by": str,
            "adult_on": str,
            "consent_id": str,
        },
        pk="identity_id",
    )
    db.table("identities").create_index(["name"], unique=True)
    db.table("identities").create_index(["reference"])
    db.table("consents").create(
        {"consent_id": str, "identity_id": str, "signed_on": str, "expires_on": str, "record": str},
        pk="consent_id",
    )


def _create_sealed_tables(db: Database) -> None:
    db.table("photos").create({"photo_id": str, "identity_id": str, "sealed": bytes}, pk="photo_id")
    db.table("templates").create(
        {
            "identity_id": str,
            "pack_sha256": str,
            "pack_name": str,
            "pack_version": str,
            "dimension": int,
            "sealed": bytes,
        },
        pk=("identity_id", "pack_sha256"),
    )
    db.table("proofs").create({"proof_id": str, "identity_id": str, "sealed": bytes}, pk="proof_id")
    db.table("documents").create(
        {"document_id": str, "identity_id": str, "kind": str, "sha256": str, "sealed": bytes},
        pk="document_id",
    )


def _create_conflicts_and_licences(db: Database) -> None:
    db.table("conflicts").create(
        {"identity_id": str, "other_id": str, "score": float}, pk=("identity_id", "other_id")
    )
    db.table("licences").create(
        {
            "licence_id": str,
            "identity_id": str,
            "kind": str,
            "value": str,
            "until": str,
            "note": str,
        },
        pk="licence_id",
    )


def _create_audit(db: Database) -> None:
    db.table("audit").create(
        {
            "entry": int,
            "at": str,
            "actor": str,
            "event": str,
            "subject": str,
            "details": str,
            "previous": str,
            "sha256": str,
        },
        pk="entry",
    )
