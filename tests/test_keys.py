"""Master keys: their stores, a wrong key opens nothing, and a rotation may be killed anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring

from face_index.errors import VaultLocked
from face_index.identity import Identity
from face_index.vault import Vault
from face_index.vault.check import check_vault
from face_index.vault.keys import (
    EnvironmentKeys,
    FileKeys,
    KeyringKeys,
    KeyStore,
    new_key,
    seal,
    unseal,
)
from face_index.vault.rotation import rotate_master_key
from tests.conftest import NOON, PHOTO

Register = Callable[..., Identity]


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class KeysKilledAt:
    """A key store that dies at its nth write."""

    def __init__(self, keys: KeyStore, at: int) -> None:
        self._keys, self._left, self.where = keys, at, keys.where

    def load(self, slot: str) -> bytes | None:
        return self._keys.load(slot)

    def save(self, slot: str, key: bytes) -> None:
        self._count()
        self._keys.save(slot, key)

    def discard(self, slot: str) -> None:
        self._count()
        self._keys.discard(slot)

    def _count(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1


class TestFile:
    def test_it_is_made_once_and_only_its_owner_reads_it(
        self, vault: Vault, keys: FileKeys, tmp_path: Path
    ) -> None:
        path = tmp_path / "keys" / "master.key"
        assert path.stat().st_mode & 0o777 == 0o600
        before = path.read_bytes()
        Vault(vault.path, keys).close()
        assert path.read_bytes() == before

    def test_a_key_that_others_can_read_is_refused(
        self, vault: Vault, keys: FileKeys, tmp_path: Path
    ) -> None:
        (tmp_path / "keys" / "master.key").chmod(0o644)
        with pytest.raises(VaultLocked, match="chmod 600"):
            Vault(vault.path, keys)

    @pytest.mark.parametrize("content", ["not base64!", text(b"short"), ""])
    def test_what_is_no_key_is_told(
        self, vault: Vault, keys: FileKeys, tmp_path: Path, content: str
    ) -> None:
        (tmp_path / "keys" / "master.key").write_text(content)
        with pytest.raises(VaultLocked):
            Vault(vault.path, keys)


def test_a_missing_or_wrong_key_opens_and_changes_nothing(
    register: Register, vault: Vault, tmp_path: Path
) -> None:
    register()
    vault.close()
    before = vault.path.read_bytes()
    for store in (FileKeys(tmp_path / "none.key"), EnvironmentKeys(text(new_key()), None)):
        with pytest.raises(VaultLocked, match=r"Bring back|bring it back"):
            Vault(vault.path, store)
        assert not (tmp_path / "none.key").exists()
    assert vault.path.read_bytes() == before


def test_a_sealed_thing_belongs_to_one_person() -> None:
    key = new_key()
    assert unseal(key, seal(key, PHOTO, "one"), "one") == PHOTO
    for other in ((key, "other"), (new_key(), "one")):
        with pytest.raises(VaultLocked):
            unseal(other[0], seal(key, PHOTO, "one"), other[1])
    assert seal(key, PHOTO, "one") != seal(key, PHOTO, "one")


def test_rotation_reaches_vault_and_backups_and_destroys_the_old_key(
    register: Register, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    identity = register()
    backup = vault.backups.make(tmp_path / "backup.db", "olga", NOON)
    old = vault.keys.master
    assert rotate_master_key(vault, "olga", NOON) == []
    assert vault.keys.master != old
    assert vault.photos.load(identity.identity_id) == [PHOTO, PHOTO]
    for path in (vault.path, backup):
        again = Vault(path, keys)
        assert check_vault(again) == []
        again.close()
        with pytest.raises(VaultLocked):
            Vault(path, EnvironmentKeys(text(old), None))
    assert text(old) not in "".join(path.read_text() for path in (tmp_path / "keys").iterdir())


@pytest.mark.parametrize("at", [0, 1, 2])
def test_rotation_killed_anywhere_leaves_a_vault_that_opens(
    register: Register, vault: Vault, keys: FileKeys, tmp_path: Path, at: int
) -> None:
    identity = register()
    backup = vault.backups.make(tmp_path / "backup.db", "olga", NOON)
    vault.key_store = KeysKilledAt(keys, at)
    with pytest.raises(Killed):
        rotate_master_key(vault, "olga", NOON)
    vault.close()
    for path in (vault.path, backup):
        again = Vault(path, keys)
        assert check_vault(again) == []
        assert again.photos.load(identity.identity_id) == [PHOTO, PHOTO]
        again.close()
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["master.key"]


def test_a_backup_out_of_reach_is_named(register: Register, vault: Vault, tmp_path: Path) -> None:
    register()
    vault.backups.make(tmp_path / "backup.db", "olga", NOON).rename(tmp_path / "away.db")
    assert rotate_master_key(vault, "olga", NOON) == ["backup.db"]


def test_the_environment_gives_keys_and_rotates_by_two(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    vault = Vault(tmp_path / "vault.db", EnvironmentKeys(text(old), None))
    with pytest.raises(VaultLocked, match="NEXT_MASTER_KEY"):
        rotate_master_key(vault, "olga", NOON)
    vault.close()
    vault = Vault(tmp_path / "vault.db", EnvironmentKeys(text(old), text(new)))
    rotate_master_key(vault, "olga", NOON)
    vault.close()
    Vault(tmp_path / "vault.db", EnvironmentKeys(text(new), None)).close()
    with pytest.raises(VaultLocked):
        Vault(tmp_path / "vault.db", EnvironmentKeys(text(old), None))


@pytest.fixture
def system_keyring(tmp_path: Path) -> Iterator[PlaintextKeyring]:
    """keyring's own file backend, as the system's keyring of this test."""
    backend, before = PlaintextKeyring(), keyring.get_keyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


@pytest.mark.usefixtures("system_keyring")
def test_the_system_keyring_holds_and_rotates_keys(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    vault = Vault(path, KeyringKeys(path))
    first = vault.keys.master
    rotate_master_key(vault, "olga", NOON)
    vault.close()
    again = Vault(path, KeyringKeys(path))
    assert again.keys.master == vault.keys.master != first
    again.close()
    assert KeyringKeys(path).load("next") is None
    with pytest.raises(VaultLocked, match="keyring"):
        Vault(path, KeyringKeys(tmp_path / "another.db"))


def test_without_a_keyring_the_way_out_is_told(tmp_path: Path) -> None:
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        with pytest.raises(VaultLocked, match="key_store = 'file'"):
            Vault(tmp_path / "vault.db", KeyringKeys(tmp_path / "vault.db"))
    finally:
        keyring.set_keyring(before)
