"""An older copy in the place of the vault is noticed, and erased people stay erased."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from face_index.errors import NotDecidable, UnknownIdentity, VaultDamaged, VaultSetBack
from face_index.identity import Identity
from face_index.vault import Vault
from face_index.vault.check import check_vault
from face_index.vault.keys import FileKeys
from face_index.vault.repair import repair
from face_index.vault.restoration import restore
from face_index.vault.rotation import rotate_master_key
from face_index.vault.witness import END_FILE, ERASURES_FILE
from tests.conftest import NOON, PHOTO, VERSION, bytes_below

LATER = NOON + timedelta(hours=1)
Register = Callable[..., Identity]


def copy_of(vault: Vault, to: Path) -> Path:
    """The whole database as it is now."""
    with closing(sqlite3.connect(vault.path)) as db:
        db.execute("vacuum into ?", [str(to)])
    return to


def put_back(copy: Path, path: Path) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    shutil.copy(copy, path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "erasures"


@pytest.fixture
def again(vault: Vault, keys: FileKeys, elsewhere: Path) -> Callable[[], Vault]:
    """Opens the vault as the program does, with both witnesses."""
    return lambda: Vault(vault.path, keys, witnesses=(vault.path.parent, elsewhere))


@pytest.fixture
def older(vault: Vault, register: Register, again: Callable[[], Vault], tmp_path: Path) -> Path:
    """A copy of the time before somebody left; the vault is without them by now, and closed."""
    register("stays")
    register("leaves")
    vault.close()
    opened = again()
    copy = copy_of(opened, tmp_path / "older.db")
    opened.erasure.withdraw("leaves", LATER, "olga")
    opened.close()
    return copy


def is_noticed(opened: Vault) -> None:
    day = LATER.date()
    assert [one.name for one in opened.people.all()] == ["stays"]
    assert len(opened.templates.active(VERSION, day)) == 1
    assert len(opened.templates.gallery_on(VERSION, day)[1]) == 1
    assert len(opened.templates.all(VERSION)) == 1
    with pytest.raises(UnknownIdentity):
        opened.people.find("leaves")
    told = " ".join(check_vault(opened))
    assert "older copy of vault.db was put in its place" in told
    assert "1 of the people who were erased would be back" in told


def test_a_copied_back_vault_searches_nobody_who_was_erased(
    older: Path, vault: Vault, again: Callable[[], Vault]
) -> None:
    put_back(older, vault.path)
    for _ in range(2):  # opening it does not make it good
        opened = again()
        is_noticed(opened)
        opened.audit.record("photos shown", "vault", "olga", LATER)
        opened.close()


def test_one_witness_is_enough(
    older: Path, vault: Vault, again: Callable[[], Vault], elsewhere: Path, tmp_path: Path
) -> None:
    """If the witness beside the vault is also put back or deleted, the other one finds it."""
    now = tmp_path / "now"
    shutil.copytree(elsewhere, now / "elsewhere")
    shutil.copytree(vault.path.parent, now / "beside")
    for gone in (vault.path.parent, elsewhere):
        put_back(older, vault.path)
        for name in (END_FILE, ERASURES_FILE):
            (gone / name).unlink()
        opened = again()
        is_noticed(opened)
        assert "missing" in " ".join(check_vault(opened))
        opened.close()
        for name in (END_FILE, ERASURES_FILE):
            shutil.copy(now / ("beside" if gone == vault.path.parent else "elsewhere") / name, gone)


def test_without_any_receipt_nobody_is_searched_and_nothing_is_repaired(
    older: Path, vault: Vault, again: Callable[[], Vault], elsewhere: Path
) -> None:
    """The attack: the older file with both receipt files deleted and both log ends unchanged."""
    kept = (vault.path.parent / ERASURES_FILE).read_text()
    put_back(older, vault.path)
    for folder in (vault.path.parent, elsewhere):
        (folder / ERASURES_FILE).unlink()
    opened = again()
    with pytest.raises(VaultSetBack, match=r"nobody is searched: .* of 1 people who were erased"):
        opened.templates.gallery_on(VERSION, LATER.date())
    with pytest.raises(VaultSetBack):
        repair(opened, "olga", LATER, "all is well")
    assert "of whom neither vault.db nor a receipt" in " ".join(check_vault(opened))
    opened.close()
    (elsewhere / ERASURES_FILE).write_text(kept)
    opened = again()
    is_noticed(opened)
    assert len(repair(opened, "olga", LATER, "a receipt was found")) == 1
    assert [one.name for one in opened.people.all()] == ["stays"]
    opened.close()


def test_without_either_witness_that_they_are_gone_is_noticed(
    older: Path, vault: Vault, again: Callable[[], Vault], elsewhere: Path
) -> None:
    put_back(older, vault.path)
    for folder in (vault.path.parent, elsewhere):
        for name in (END_FILE, ERASURES_FILE):
            (folder / name).unlink()
    opened = again()
    assert " ".join(check_vault(opened)).count("is missing") == 2
    opened.close()


def test_a_forged_witness_speaks_for_nothing(
    older: Path, vault: Vault, again: Callable[[], Vault], elsewhere: Path
) -> None:
    put_back(older, vault.path)
    opened = again()
    number, sha256 = opened.audit.end
    opened.close()
    for folder in (vault.path.parent, elsewhere):
        (folder / END_FILE).write_text(
            json.dumps({"entry": number, "sha256": sha256, "gallery_version": 2, "mac": "0" * 64})
        )
    opened = again()
    assert "cannot be believed" in " ".join(check_vault(opened))
    is_noticed(opened)
    opened.close()


def test_rows_put_in_again_beside_the_receipt(
    older: Path, vault: Vault, again: Callable[[], Vault]
) -> None:
    """Whoever is erased by the vault's own word is nobody, whatever rows there are."""
    with closing(sqlite3.connect(vault.path)) as db:
        db.execute("attach ? as older", [str(older)])
        for table in ("identities", "consents", "templates", "photos"):
            db.execute(f"insert or ignore into {table} select * from older.{table}")
        db.commit()
    opened = again()
    assert [one.name for one in opened.people.all()] == ["stays"]
    assert len(opened.templates.all(VERSION)) == 1
    told = check_vault(opened)
    assert told == [
        (
            "1 of the people who were erased still have rows in the vault: "
            "`portrait-scanner vault repair` erases them again"
        )
    ]
    assert len(repair(opened, "olga", LATER, "somebody put rows in")) == 1
    assert check_vault(opened) == []
    opened.close()


def test_repair_erases_again_and_says_so(
    older: Path, vault: Vault, again: Callable[[], Vault], tmp_path: Path
) -> None:
    put_back(older, vault.path)
    opened = again()
    before = opened.gallery_version
    with pytest.raises(NotDecidable):
        repair(opened, "olga", LATER, " ")
    [erased] = repair(opened, "olga", LATER, "a colleague copied the wrong file")
    assert check_vault(opened) == []
    assert (
        opened.gallery_version > before + 1
    )  # nothing that was cached for the erased state or this one counts
    entry = next(opened.audit.entries(newest_first=True))
    assert (entry.event, entry.details["erased_again"]) == ("repaired", [erased])
    opened.close()
    older.unlink()
    reopened = again()
    assert check_vault(reopened) == []
    assert [one["identity_id"] for one in reopened.erasure.rows()] == [erased]
    reopened.close()
    assert b"leaves" not in bytes_below(vault.path.parent)


def test_a_vault_of_before_there_were_witnesses(
    vault: Vault, register: Register, again: Callable[[], Vault], elsewhere: Path
) -> None:
    register("stays")
    register("left before")
    vault.erasure.withdraw("left before", LATER, "olga")
    with closing(sqlite3.connect(vault.path)) as db:
        db.execute("delete from vault_facts where name = 'witnesses'")
        db.commit()
    (vault.path.parent / END_FILE).unlink(missing_ok=True)
    vault.close()
    (vault.path.parent / END_FILE).unlink(missing_ok=True)
    opened = again()
    assert check_vault(opened) == []
    opened.close()
    assert "withdrawn" in (elsewhere / ERASURES_FILE).read_text()


class TestWhatIsAllowed:
    def test_a_restore_by_the_program(
        self,
        vault: Vault,
        register: Register,
        again: Callable[[], Vault],
        keys: FileKeys,
        elsewhere: Path,
        tmp_path: Path,
    ) -> None:
        register("stays")
        register("leaves")
        vault.close()
        opened = again()
        backup = opened.backups.make(tmp_path / "backup.db", "olga", NOON)
        carried = Path(shutil.copy(backup, tmp_path / "carried.db"))
        opened.erasure.withdraw("leaves", LATER, "olga")
        opened.audit.record("photos shown", "vault", "olga", LATER)
        opened.close()
        for lost in (False, True):
            if lost:  # the whole folder but the key: the other witness knows who left
                shutil.rmtree(vault.path.parent)
            told = restore(
                carried, vault.path, keys, [], "olga", LATER, (vault.path.parent, elsewhere)
            )
            assert told.erased_again == 1
            opened = again()
            assert check_vault(opened) == []
            assert [one.name for one in opened.people.all()] == ["stays"]
            opened.close()

    def test_a_restore_that_is_killed_before_the_witnesses_know(
        self,
        older: Path,
        vault: Vault,
        again: Callable[[], Vault],
        keys: FileKeys,
        elsewhere: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("face_index.vault.witness.Witnesses.note_end", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(older, vault.path, keys, [], "olga", LATER, (vault.path.parent, elsewhere))
        monkeypatch.undo()
        opened = again()
        assert check_vault(opened) == []
        opened.close()

    def test_a_moved_home_and_a_rotated_key(
        self,
        older: Path,
        vault: Vault,
        again: Callable[[], Vault],
        keys: FileKeys,
        elsewhere: Path,
        tmp_path: Path,
    ) -> None:
        opened = again()
        rotate_master_key(opened, "olga", LATER)
        opened.close()
        moved = tmp_path / "moved"
        shutil.copytree(vault.path.parent, moved / "vault")
        shutil.copytree(elsewhere, moved / "erasures")
        opened = Vault(
            moved / "vault" / "vault.db", keys, witnesses=(moved / "vault", moved / "erasures")
        )
        assert check_vault(opened) == []
        opened.close()
        assert older.exists()

    def test_the_vaults_folder_alone_says_that_the_other_witness_is_missing(
        self, older: Path, vault: Vault, keys: FileKeys, tmp_path: Path
    ) -> None:
        moved = tmp_path / "moved"
        shutil.copytree(vault.path.parent, moved / "vault")
        opened = Vault(
            moved / "vault" / "vault.db", keys, witnesses=(moved / "vault", moved / "erasures")
        )
        assert "is missing" in " ".join(check_vault(opened))
        assert repair(opened, "olga", LATER, "only the folder of the vault was moved") == []
        assert check_vault(opened) == []
        opened.close()
        assert (moved / "erasures" / ERASURES_FILE).exists()
        assert older.exists()

    def test_a_full_disk_only_makes_a_witness_lag(
        self, older: Path, vault: Vault, again: Callable[[], Vault], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("face_index.vault.witness._write", full)
        opened = again()
        opened.audit.record("photos shown", "vault", "olga", LATER)
        opened.close()
        monkeypatch.undo()
        opened = again()
        assert check_vault(opened) == []
        opened.close()
        assert older.exists()

    def test_what_is_left_of_a_lost_vault_is_not_begun_anew(
        self, older: Path, vault: Vault, elsewhere: Path, tmp_path: Path
    ) -> None:
        shutil.rmtree(vault.path.parent)
        other = FileKeys(tmp_path / "none" / "master.key")
        with pytest.raises(VaultDamaged, match=r"erasures\.jsonl"):
            Vault(vault.path, other, witnesses=(vault.path.parent, elsewhere))
        assert older.exists()


_WORK = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from face_index.vault import Vault
from face_index.vault.keys import FileKeys
from face_index.vault import witness
from face_index.vault.backups import Backups
LATER = datetime.fromisoformat(sys.argv[5])
path, elsewhere, key, when = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
opened = Vault(path, FileKeys(key), witnesses=(path.parent, elsewhere))
def killed(*_, **__):
    os._exit(9)
target = {
    "receipts": (witness.Witnesses, "note_erasure"),
    "end": (witness.Witnesses, "note_end"),
    "backups": (Backups, "erase_person"),
    "second receipt": (witness, "append_receipt"),
}[when]
if when == "second receipt":
    first, done = witness.append_receipt, []
    def second(folder, receipt):
        if done:
            os._exit(9)
        done.append(folder)
        first(folder, receipt)
    killed = second
setattr(*target, killed)
opened.erasure.withdraw("leaves", LATER, "olga")
"""


@pytest.mark.parametrize("when", ["backups", "receipts", "second receipt", "end"])
def test_a_withdrawal_that_is_killed_between_vault_and_witnesses(
    vault: Vault,
    register: Register,
    again: Callable[[], Vault],
    keys: FileKeys,
    elsewhere: Path,
    tmp_path: Path,
    when: str,
) -> None:
    register("stays")
    register("leaves")
    vault.close()
    again().close()
    key = tmp_path / "keys" / "master.key"
    done = subprocess.run(
        [sys.executable, "-c", _WORK, vault.path, elsewhere, key, when, LATER.isoformat()],
        check=False,
    )
    assert done.returncode == 9
    opened = again()
    assert check_vault(opened) == []
    assert [one.name for one in opened.people.all()] == ["stays"]
    [row] = opened.erasure.rows()
    assert json.loads(row["receipt"])["signature"]
    copy = copy_of(opened, tmp_path / "whole.db")
    opened.close()
    for folder in (vault.path.parent, elsewhere):
        assert row["identity_id"] in (folder / ERASURES_FILE).read_text()
    assert PHOTO not in bytes_below(vault.path.parent)
    assert copy.exists()


def test_many_processes_raise_no_false_alarm(
    vault: Vault,
    register: Register,
    again: Callable[[], Vault],
    keys: FileKeys,
    elsewhere: Path,
    tmp_path: Path,
) -> None:
    register("stays")
    vault.close()
    again().close()
    code = (
        "import sys; from pathlib import Path; from datetime import datetime\n"
        "from face_index.vault import Vault; from face_index.vault.keys import FileKeys\n"
        "path, elsewhere, key = map(Path, sys.argv[1:4])\n"
        "for number in range(25):\n"
        "    opened = Vault(path, FileKeys(key), witnesses=(path.parent, elsewhere))\n"
        "    assert not opened.rollback.findings.problems, opened.rollback.findings.problems\n"
        "    opened.audit.record('photos shown', 'vault', 'olga', "
        "datetime.fromisoformat(sys.argv[4])); opened.close()\n"
    )
    key = tmp_path / "keys" / "master.key"
    arguments = [
        sys.executable,
        "-c",
        code,
        str(vault.path),
        str(elsewhere),
        str(key),
        LATER.isoformat(),
    ]
    processes = [subprocess.Popen(arguments) for _ in range(4)]
    assert [one.wait(120) for one in processes] == [0] * 4
    opened = again()
    assert check_vault(opened) == []
    opened.close()
