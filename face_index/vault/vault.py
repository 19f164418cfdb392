"""Opening a vault and its parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from sqlite_utils import Database

from face_index.errors import VaultDamaged
from face_index.vault.audit import AuditLog
from face_index.vault.backups import Backups
from face_index.vault.consents import Consents
from face_index.vault.database import connect
from face_index.vault.documents import Documents
from face_index.vault.enrolments import Enrolments
from face_index.vault.erasure import Erasure
from face_index.vault.gallery_version import gallery_version
from face_index.vault.keys import KeyStore
from face_index.vault.licences import Licences
from face_index.vault.people import People
from face_index.vault.photos import Photos
from face_index.vault.rollback import RollbackCheck
from face_index.vault.sealed_templates import SealedTemplates
from face_index.vault.unlocking import unlock
from face_index.vault.vault_keys import VaultKeys
from face_index.vault.witness import END_FILE, ERASURES_FILE, Witnesses


class Vault:
    """An open vault.db: its parts, each of which owns one kind of data.

    Only one of its parts, or a function of this package, writes to the file.

    Args:
        witnesses: Folders outside vault.db that are compared with it (face_index.vault.witness);
            the first one lies beside it. By default that one alone.
        any_thread: Several threads use the vault; the caller makes them take turns.

    Attributes:
        is_new: This process created the vault.
        people: Finding and listing registered people.
        enrolments: Submitting and deciding about enrolments.
        erasure: Withdrawals and their receipts.
        keys: The keys that the master key unwraps.

    Raises:
        VaultDamaged: The file is not a sound vault; nothing was written.
        VaultLocked: The master key is missing or another vault's; nothing was written.
    """

    def __init__(
        self,
        path: Path,
        key_store: KeyStore,
        *,
        witnesses: Sequence[Path] | None = None,
        any_thread: bool = False,
    ) -> None:
        self.path, self.key_store = path, key_store
        folders = (path.parent,) if witnesses is None else witnesses
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # If several processes start at once, one creates the tables and the master key while the
        # others wait for both.
        with FileLock(path.with_suffix(".lock")):
            self.is_new = not path.exists()
            if self.is_new:
                _require_no_leftovers(path, key_store, folders)
            self.db: Database = connect(path, any_thread=any_thread)
            try:
                self._open_parts(folders)
                self.erasure.finish_interrupted()
            except BaseException:
                self.db.close()
                raise

    def _open_parts(self, folders: Sequence[Path]) -> None:
        db = self.db
        master = unlock(db, self.key_store, not self.is_new, self.path.parent)
        self.keys = keys = VaultKeys(db, master)
        self.audit = audit = AuditLog(db, keys.audit_key)
        witnesses = Witnesses(folders, keys.keyed_digest("witness"))
        self.rollback = RollbackCheck(db, self.path, witnesses, audit, keys.fingerprint)
        self.people = People(db)
        self.backups = Backups(db, self.path.parent, audit)
        self.consents = Consents(db, audit, self.people)
        self.documents = Documents(db, keys, audit)
        self.licences = Licences(db, audit, self.people)
        self.photos = Photos(db, keys, audit)
        self.templates = SealedTemplates(db, keys, audit, self.rollback)
        self.erasure = Erasure(db, keys, audit, self.people, self.backups, self.rollback)
        self.enrolments = Enrolments(
            db,
            keys,
            audit,
            self.people,
            consents=self.consents,
            documents=self.documents,
            photos=self.photos,
            templates=self.templates,
            erasure=self.erasure,
        )

    @property
    def gallery_version(self) -> int:
        """How often somebody entered or left the gallery, or had their template changed."""
        return gallery_version(self.db)

    def close(self) -> None:
        with suppress(sqlite3.Error, OSError):  # a witness may lag behind
            self.rollback.note_end()
        self.db.close()


def _require_no_leftovers(path: Path, key_store: KeyStore, folders: Sequence[Path]) -> None:
    """Raise VaultDamaged if there was a vault at this place before."""
    leftovers = [
        folder / name
        for folder in folders
        for name in (ERASURES_FILE, END_FILE)
        if (folder / name).exists()
    ]
    if key_store.left_behind() or leftovers:
        raise VaultDamaged(
            f"there is no vault at {path}, but there was one: its key or its record of erasures "
            f"is still here ({', '.join(map(str, leftovers)) or key_store.where}). Bring back the "
            "newest backup with `portrait-scanner vault restore FILE`, or move what is left away "
            "to begin anew"
        )
