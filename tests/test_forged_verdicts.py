"""The attack: a finding is written into scans.db, so that the next scan files a case for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from face_index.identity import Identity
from face_index.vault import Vault
from face_index.vault.rotation import rotate_master_key
from scanner.records import VerdictRecord
from scanner.scanning.key import Key
from scanner.scanning.scan_store import ScanStore
from tests.conftest import NOON

SHA256 = "ab" * 32
KEY = Key({"words": "these"})
CLEAR = VerdictRecord("clear")
FORGED = VerdictRecord("match", "somebody wrote it")


@pytest.fixture
def sealed(vault: Vault, tmp_path: Path) -> ScanStore:
    scan_store = ScanStore(tmp_path / "scans.db", seal=vault.keys.keyed_digest("verdicts"))
    scan_store.remember_verdict(SHA256, KEY, CLEAR, NOON, "searched")
    return scan_store


def changed(path: Path, statement: str, *values: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update verdicts set record = ?",
        "update verdicts set record = ?, seal = ''",
        "update verdicts set record = ?, seal = (select seal from verdicts limit 1)",
    ],
)
def test_a_forged_record_is_nobodys_finding(
    sealed: ScanStore, tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert sealed.known_verdict(SHA256, KEY.digest) == CLEAR
    changed(tmp_path / "scans.db", statement, json.dumps(FORGED.to_json()))
    assert sealed.known_verdict(SHA256, KEY.digest) is None
    assert sealed.other_verdicts(SHA256, "searched") == []
    assert "was changed outside this program" in caplog.text


def test_a_record_cannot_be_put_under_other_bytes_or_questions(
    sealed: ScanStore, tmp_path: Path
) -> None:
    sealed.remember_verdict("cd" * 32, Key({"words": "others"}), FORGED, NOON, "searched")
    changed(
        tmp_path / "scans.db",
        "update verdicts set (record, seal) = "
        "(select record, seal from verdicts where sha256 = ?) where sha256 = ?",
        "cd" * 32,
        SHA256,
    )
    assert sealed.known_verdict(SHA256, KEY.digest) is None


def test_what_an_earlier_version_wrote_is_judged_anew_without_an_alarm(
    sealed: ScanStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed(tmp_path / "scans.db", "update verdicts set seal = null")
    assert sealed.known_verdict(SHA256, KEY.digest) is None
    assert caplog.text == ""


def test_seals_outlive_the_rotation_of_the_master_key(
    sealed: ScanStore, vault: Vault, tmp_path: Path, register: Callable[..., Identity]
) -> None:
    register("somebody")
    rotate_master_key(vault, "olga", NOON)
    again = ScanStore(tmp_path / "scans.db", seal=vault.keys.keyed_digest("verdicts"))
    assert again.known_verdict(SHA256, KEY.digest) == CLEAR
