"""The tables of vault.db, and opening it without harming what is there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database, Migrations

from face_index.errors import VaultDamaged, VaultLocked
from face_index.vault.keys import KeyStore, new_key, seal, unseal

# Facts sealed with the master key; rotation seals them anew.
SEALED_FACTS = ("key_check", "audit_key", "signing_key")
_CHECKED_UP_TO_BYTES = 200_000_000
migrations = Migrations("vault")


@migrations()
def two_operators_prototypes_licences_backups(db: Database) -> None:
    db.table("vault_facts").create({"name": str, "value": bytes}, pk="name")
    db.table("identities").create(
        {
            "identity_id": str, "name": str, "reference": str, "status": str, "data_key": bytes, "photo_count": int,
            "photos_kept": int, "submitted_at": str, "submitted_by": str, "decided_by": str, "adult_on": str,
            "consent_id": str,
        },
        pk="identity_id",
    )  # fmt: skip
    db.table("identities").create_index(["name"], unique=True)
    db.table("identities").create_index(["reference"])
    db.table("consents").create(
        {"consent_id": str, "identity_id": str, "signed_on": str, "expires_on": str, "record": str},
        pk="consent_id",
    )
    db.table("photos").create({"photo_id": str, "identity_id": str, "sealed": bytes}, pk="photo_id")
    db.table("templates").create(
        {
            "identity_id": str, "pack_sha256": str, "pack_name": str, "pack_version": str, "dimension": int,
            "sealed": bytes,
        },
        pk=("identity_id", "pack_sha256"),
    )  # fmt: skip
    db.table("proofs").create({"proof_id": str, "identity_id": str, "sealed": bytes}, pk="proof_id")
    db.table("documents").create(
        {"document_id": str, "identity_id": str, "kind": str, "sha256": str, "sealed": bytes},
        pk="document_id",
    )
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
    db.table("erasures").create(
        {"identity_id": str, "erased_at": str, "receipt": str}, pk="identity_id"
    )
    db.table("backups").create({"path": str, "made_at": str, "sha256": str}, pk="path")
    db.table("audit").create(
        {
            "entry": int, "at": str, "actor": str, "event": str, "subject": str, "details": str, "previous": str,
            "sha256": str,
        },
        pk="entry",
    )  # fmt: skip
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


# Everything that belongs to one person; erasing goes through all of them.
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


def connect(path: Path, *, any_thread: bool = False) -> Database:
    """A connection that zeroes what is deleted and loses nothing that was committed. Call it under the vault's lock.

    Args:
        any_thread: threads take turns, under a lock of the caller's.

    Raises:
        VaultDamaged: the file is not a sound vault.
    """
    _must_look_like_a_vault(path)
    fresh = not path.exists()
    db = Database(sqlite3.connect(path, timeout=30, check_same_thread=not any_thread))
    if fresh:
        path.chmod(0o600)
    try:
        db.execute("pragma secure_delete = on")
        db.execute("pragma synchronous = full")
        if not fresh and path.stat().st_size <= _CHECKED_UP_TO_BYTES:
            [(answer,)] = db.execute("pragma quick_check(1)").fetchall()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
        if not fresh and (tables := db.table_names()) and "vault_facts" not in tables:
            raise sqlite3.DatabaseError(
                f"it is another program's database, with {', '.join(sorted(tables)[:3])}"
            )
        db.enable_wal()
        migrations.apply(db)
    except sqlite3.OperationalError as error:
        db.close()
        if "already exists" in str(error):
            raise VaultDamaged(
                f"{path} was made by an early development version that nothing can be carried over from; "
                "move it away and register again"
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        db.close()
        raise damaged(path, error) from error
    return db


def damaged(path: Path, error: object) -> VaultDamaged:
    """The error of a file that is no sound vault."""
    return VaultDamaged(
        f"{path} is damaged ({error}); nothing was written to it. "
        "Bring back the newest backup with `portrait-scanner vault restore FILE`"
    )


def _must_look_like_a_vault(path: Path) -> None:
    if not path.exists():
        return
    # Never opened as a plain file: closing it would drop the locks of every connection this process has on it
    # (sqlite.org/howtocorrupt, 2.2), and another process would then delete the write-ahead log under them.
    if path.stat().st_size == 0:
        raise damaged(path, "it is empty")


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """All that is written inside, or nothing; waits for other writers before it reads anything."""
    db.conn.execute("begin immediate")
    try:
        yield
    except BaseException:
        db.conn.rollback()
        raise
    db.conn.commit()


@contextmanager
def read_transaction(db: Database) -> Iterator[None]:
    """Everything that is read inside is read from one state of the vault, whatever others write meanwhile."""
    db.conn.execute("begin deferred")
    try:
        yield
    finally:
        db.conn.rollback()


def fact(db: Database, name: str) -> bytes | None:
    """One of the vault's facts about itself."""
    rows = list(db.table("vault_facts").rows_where("name = ?", [name]))
    return bytes(rows[0]["value"]) if rows else None


def set_fact(db: Database, name: str, value: bytes) -> None:
    db.table("vault_facts").upsert({"name": name, "value": value}, pk="name")


def unlock(db: Database, keys: KeyStore, existed: bool, folder: Path) -> bytes:
    """The master key that opens this vault; made now for a new one.

    Raises:
        VaultLocked: there is no key, or it is another vault's.
    """
    present, following = keys.load("present"), keys.load("next")
    check = fact(db, "key_check")
    if check is None:
        if existed and db.table("identities").count:
            raise VaultLocked(
                "this vault does not say which key opens it: it was altered; restore a backup"
            )
        return _begin(db, keys, present)
    if present is None and following is None:
        raise VaultLocked(
            f"this vault needs its master key, and there is none in {keys.where}; bring it back from where you keep "
            "a copy. Nothing was changed. Without the key nobody can read what is sealed"
        )
    if present is not None and _opens(present, check):
        if following is not None:
            keys.discard("next")  # a rotation that was cut off before the vault changed
        return present
    if following is not None and _opens(following, check):
        # A rotation that was cut off after the vault changed: the backups may still need the old key.
        from face_index.vault.backups import rewrap_backups

        if present is not None:
            rewrap_backups(db, folder, present, following)
        keys.save("present", following)
        keys.discard("next")
        return following
    raise VaultLocked(
        f"the master key in {keys.where} is not the one that sealed this vault; nothing was changed. "
        "Bring back the right key"
    )


def _opens(key: bytes, check: bytes) -> bool:
    try:
        return unseal(key, check, "key_check") == b"portrait-scanner"
    except VaultLocked:
        return False


def _begin(db: Database, keys: KeyStore, key: bytes | None) -> bytes:
    if key is None:
        key = new_key()
        keys.save("present", key)
    with transaction(db):
        set_fact(db, "key_check", seal(key, b"portrait-scanner", "key_check"))
        set_fact(db, "audit_key", seal(key, new_key(), "audit_key"))
        set_fact(
            db,
            "signing_key",
            seal(key, Ed25519PrivateKey.generate().private_bytes_raw(), "signing_key"),
        )
        set_fact(db, "gallery_version", json.dumps(0).encode())
    return key


def rewrap(db: Database, old: bytes, new: bytes) -> None:
    """Seal every data key and fact with another master key. Belongs inside a transaction."""
    rows = db.execute("select identity_id, data_key from identities").fetchall()
    for identity_id, wrapped in rows:
        sealed = seal(new, unseal(old, wrapped, identity_id), identity_id)
        db.conn.execute(
            "update identities set data_key = ? where identity_id = ?", [sealed, identity_id]
        )
    for name in SEALED_FACTS:
        value = fact(db, name)
        if value is not None:
            set_fact(db, name, seal(new, unseal(old, value, name), name))
