"""Backups that open, and that bring back nobody who was erased since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from face_index.errors import BackupUnusable, ReceiptInvalid, VaultLocked
from face_index.identity import Identity
from face_index.vault import Vault
from face_index.vault.keys import FileKeys
from face_index.vault.restoration import restore
from face_index.vault.witness import ERASURES_FILE
from tests.conftest import NOON, VERSION, bytes_below, prototypes_of
from tests.test_vault import sealed_pieces

Register = Callable[..., Identity]
LATER = NOON + timedelta(days=3)


@pytest.fixture
def backup(vault: Vault, register: Register, tmp_path: Path) -> Path:
    """Of a vault with two people."""
    register("stays", prototypes=prototypes_of(2))
    register("leaves")
    return vault.backups.make(tmp_path / "backup.db", "olga", NOON)


def names(path: Path, keys: FileKeys) -> list[str]:
    vault = Vault(path, keys)
    found = [one.name for one in vault.people.all()]
    assert vault.audit.problems() == []
    vault.close()
    return found


def test_a_backup_is_one_private_file_that_brings_everything_back(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("backup.db-*"))
    vault.close()
    shutil.rmtree(vault.path.parent)
    restored = restore(backup, vault.path, keys, [], "olga", LATER)
    assert (restored.persons, restored.erased_again, restored.former_file) == (2, 0, None)
    again = Vault(vault.path, keys)
    assert len(again.templates.active(VERSION, NOON.date())) == 2
    assert len(again.photos.load(again.people.find("stays").identity_id)) == 2
    assert [entry.event for entry in again.audit.entries()][-1] == "restored from a backup"
    again.close()


def test_a_backup_that_was_out_of_reach_does_not_bring_an_erased_person_back(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    identity = vault.people.find("leaves")
    pieces = sealed_pieces(vault, identity.identity_id)
    away = tmp_path / "away"
    away.mkdir()
    carried = Path(shutil.move(backup, away / "backup.db"))
    vault.erasure.withdraw("leaves", LATER, "olga")
    vault.close()
    restored = restore(carried, vault.path, keys, [], "olga", LATER)
    assert restored.erased_again == 1
    assert names(vault.path, keys) == ["stays"]
    carried.unlink()
    assert not [piece for piece in pieces if piece[:16] in bytes_below(tmp_path)]


def test_the_file_of_erasures_speaks_where_the_vault_was_lost(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    copy = shutil.copy(backup, tmp_path / "copy.db")
    vault.erasure.withdraw("leaves", LATER, "olga")
    vault.close()
    vault.path.write_bytes(b"ruined")
    restore(Path(copy), vault.path, keys, [], "olga", LATER)
    assert names(vault.path, keys) == ["stays"]


def test_receipts_from_elsewhere_count_where_all_was_lost(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(backup, tmp_path / "copy.db"))
    document = vault.erasure.withdraw("leaves", LATER, "olga").to_document()
    vault.close()
    shutil.rmtree(vault.path.parent)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps({**document, "why": "forged"}))
    with pytest.raises(ReceiptInvalid, match="altered"):
        restore(copy, vault.path, keys, [receipt], "olga", LATER)
    assert not vault.path.exists()
    receipt.write_text(json.dumps(document))
    assert restore(copy, vault.path, keys, [receipt], "olga", LATER).erased_again == 1
    with pytest.raises(ReceiptInvalid, match="no file of receipts"):
        restore(copy, vault.path, keys, [tmp_path / "none.json"], "olga", LATER)


def test_a_restore_finishes_a_withdrawal_that_was_cut_off(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copy(backup, tmp_path / "copy.db"))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("face_index.vault.backups.Backups.erase_person", cut_off)
    with pytest.raises(KeyboardInterrupt):
        vault.erasure.withdraw("leaves", LATER, "olga")
    monkeypatch.undo()
    vault.close()
    assert not (vault.path.parent / ERASURES_FILE).exists()
    restore(copy, vault.path, keys, [], "olga", LATER)
    assert names(vault.path, keys) == ["stays"]
    assert (vault.path.parent / ERASURES_FILE).exists()


def test_the_former_vault_is_kept_and_withdrawals_reach_it(
    backup: Path, vault: Vault, keys: FileKeys, register: Register, tmp_path: Path
) -> None:
    since = vault.backups.make(tmp_path / "second.db", "olga", LATER)
    pieces = sealed_pieces(vault, vault.people.find("stays").identity_id)
    vault.close()
    restored = restore(backup, vault.path, keys, [], "olga", LATER)
    former = restored.former_file
    assert former.exists()
    again = Vault(vault.path, keys)
    receipt = again.erasure.withdraw("stays", LATER, "olga")
    again.close()
    assert set(receipt.backups_erased) == {backup.name, since.name, former.name}
    assert not [piece for piece in pieces if piece[:16] in bytes_below(tmp_path)]


def test_a_restored_vault_remembers_whom_it_must_not_bring_back(
    backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(backup, tmp_path / "copy.db"))
    document = vault.erasure.withdraw("leaves", LATER, "olga").to_document()
    version = vault.gallery_version
    vault.close()
    restore(copy, vault.path, keys, [], "olga", LATER)
    again = Vault(vault.path, keys)
    assert [json.loads(row["receipt"])["signature"] for row in again.erasure.rows()] == [
        document["signature"]
    ]
    assert again.gallery_version > version  # a number never stands for two galleries
    again.close()
    (vault.path.parent / ERASURES_FILE).unlink()
    restore(copy, vault.path, keys, [], "olga", LATER + timedelta(days=1))
    assert names(vault.path, keys) == ["stays"]


def test_a_copied_home_has_backups_of_its_own(
    vault: Vault, register: Register, keys: FileKeys, tmp_path: Path
) -> None:
    register("leaves")
    inside = vault.path.parent / "backups"
    inside.mkdir()
    made = vault.backups.make(inside, "olga", NOON)
    vault.close()
    other = tmp_path / "copied"
    shutil.copytree(vault.path.parent, other)
    copied = Vault(other / "vault.db", keys)
    assert copied.erasure.withdraw("leaves", LATER, "olga").backups_erased == (made.name,)
    copied.close()
    assert names(made, keys) == ["leaves"]
    assert names(other / "backups" / made.name, keys) == []


def test_half_a_line_among_the_erasures_stops_nothing(
    backup: Path, vault: Vault, keys: FileKeys, register: Register, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(backup, tmp_path / "copy.db"))
    with (vault.path.parent / ERASURES_FILE).open("a") as file:
        file.write('{"identity_id": "cut o')
    vault.erasure.withdraw("leaves", LATER, "olga")
    vault.close()
    restored = restore(copy, vault.path, keys, [], "olga", LATER)
    assert "cannot be read" in restored.audit_problems[0]
    assert names(vault.path, keys) == ["stays"]


def test_two_backups_at_once_are_two_files(
    vault: Vault, register: Register, tmp_path: Path
) -> None:
    register()
    made = {
        vault.backups.make(tmp_path, "olga", NOON + timedelta(microseconds=number))
        for number in range(2)
    }
    assert len(made) == 2


def test_nothing_is_overwritten(backup: Path, vault: Vault, keys: FileKeys, tmp_path: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupUnusable, match="exists already"):
        vault.backups.make(backup, "olga", LATER)
    assert backup.read_bytes() == before
    whole = vault.path.read_bytes()
    ruined = tmp_path / "ruined.db"
    ruined.write_bytes(before[: len(before) // 2])
    with pytest.raises(BackupUnusable, match="no sound backup"):
        restore(ruined, vault.path, keys, [], "olga", LATER)
    foreign = Database(tmp_path / "cases.bak")
    foreign.table("cases").insert({"case_id": "1"})
    foreign.close()
    with pytest.raises(BackupUnusable, match="no sound backup"):
        restore(tmp_path / "cases.bak", vault.path, keys, [], "olga", LATER)
    with pytest.raises(BackupUnusable, match="no backup"):
        restore(tmp_path / "nothing.db", vault.path, keys, [], "olga", LATER)
    other = FileKeys(tmp_path / "other" / "master.key")
    Vault(tmp_path / "other" / "vault.db", other).close()
    with pytest.raises(BackupUnusable, match="not the one that sealed"):
        restore(backup, tmp_path / "other" / "vault.db", other, [], "olga", LATER)
    assert vault.path.read_bytes() == whole
    assert {one.name for one in vault.people.all()} == {"stays", "leaves"}
    assert not list(vault.path.parent.glob("*.incoming*"))


def test_a_backup_that_cannot_be_written_is_told(
    vault: Vault, register: Register, tmp_path: Path
) -> None:
    register()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((BackupUnusable, OSError)):
        vault.backups.make(tmp_path / "file" / "backup.db", "olga", NOON)
    assert list(vault.db.table("backups").rows) == []


def test_a_restored_file_keeps_the_names_of_its_key(
    backup: Path, vault: Vault, tmp_path: Path
) -> None:
    vault.close()
    with pytest.raises(BackupUnusable, match="needs its master key"):
        restore(
            backup,
            tmp_path / "new" / "vault.db",
            FileKeys(tmp_path / "new" / "none.key"),
            [],
            "olga",
            LATER,
        )
    with pytest.raises(VaultLocked):
        Vault(backup, FileKeys(tmp_path / "new" / "none.key"))


def test_who_came_after_the_backup_is_still_in_the_former_file(
    backup: Path, vault: Vault, keys: FileKeys, register: Register
) -> None:
    register("newcomer", prototypes=prototypes_of(9))
    vault.close()
    restored = restore(backup, vault.path, keys, [], "olga", LATER)
    assert restored.persons == 2
    former = Vault(restored.former_file, keys)
    assert [one.name for one in former.people.all()] == ["leaves", "newcomer", "stays"]
    former.close()
