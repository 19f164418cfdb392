"""The audit log: every change to it shows, and a clock that went back stops the program."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta

import pytest

from face_index.errors import ClockFarAhead, ClockWentBackwards
from face_index.identity import Identity
from face_index.vault import Vault
from tests.conftest import NOON

Register = Callable[..., Identity]


@pytest.fixture
def filled(vault: Vault, register: Register) -> Vault:
    register("person-1")
    register("person-2")
    vault.erasure.withdraw("person-1", NOON, "olga")
    assert vault.audit.problems() == []
    return vault


def without_triggers(vault: Vault, change: str) -> None:
    """What someone with the file and an SQLite shell, but without the key, can do."""
    vault.db.execute("drop trigger audit_no_update")
    vault.db.execute("drop trigger audit_no_delete")
    vault.db.execute(change)


def test_it_says_who_did_what_and_no_name(filled: Vault) -> None:
    entries = list(filled.audit.entries())
    assert [entry.event for entry in entries] == [
        "submitted",
        "approved",
        "submitted",
        "approved",
        "erased: withdrawn",
    ]
    assert [entry.actor for entry in entries[:2]] == ["sam", "olga"]
    assert not any("person-" in str(entry.details) for entry in entries)
    assert filled.audit.head == entries[-1].sha256


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("update audit set actor = 'someone else' where entry = 2", "entry 2 was altered"),
        ("update audit set at = '2020-01-01' where entry = 1", "entry 1 was altered"),
        ("delete from audit where entry = 2", "entry 2 is missing"),
        ("delete from audit where entry = 5", "cut off"),
        ("delete from audit", "cut off"),
        (
            (
                "insert into audit select 6, at, actor, event, subject, details, sha256, sha256 "
                "from audit where entry = 5"
            ),
            "entry 6 was altered",
        ),
        ("delete from vault_facts where name = 'audit_head'", "cut off"),
        ("update vault_facts set value = x'00' where name = 'audit_head'", "cut off"),
    ],
)
def test_every_change_shows(filled: Vault, change: str, told: str) -> None:
    without_triggers(filled, change)
    assert any(told in problem for problem in filled.audit.problems())


def test_an_older_copy_shows_only_against_a_noted_hash(filled: Vault, register: Register) -> None:
    older = filled.path.with_name("older.db")
    filled.db.execute("vacuum into ?", [str(older)])
    register("person-3")
    noted = filled.audit.head
    filled.close()
    filled.path.with_name("vault.db-wal").unlink(missing_ok=True)
    older.replace(filled.path)
    again = Vault(filled.path, filled.key_store)
    assert again.audit.problems() == []
    assert any("older copy" in problem for problem in again.audit.problems(noted))
    again.close()


def test_a_clock_that_went_back_writes_nothing(filled: Vault, register: Register) -> None:
    for change in (
        lambda: filled.erasure.withdraw("person-2", NOON - timedelta(hours=1), "olga"),
        lambda: filled.consents.renew(
            "person-2", filled.people.find("person-2").consent, "olga", NOON - timedelta(minutes=1)
        ),
    ):
        with pytest.raises(ClockWentBackwards, match="set the machine's clock right"):
            change()
    assert filled.people.find("person-2")
    assert len(list(filled.audit.entries())) == 5
    filled.erasure.withdraw(
        "person-2", NOON - timedelta(seconds=2), "olga"
    )  # what a time server does


def test_a_clock_that_was_ahead_is_accepted_in_the_log(filled: Vault) -> None:
    filled.audit.record("looked", "vault", "olga", NOON + timedelta(days=700))
    with pytest.raises(ClockWentBackwards, match="audit accept-clock"):
        filled.erasure.withdraw("person-2", NOON, "olga")
    assert filled.audit.accept_clock("olga", NOON, "the battery was empty")
    assert not filled.audit.accept_clock("olga", NOON, "again")
    filled.erasure.withdraw("person-2", NOON, "olga")
    assert filled.audit.problems() == []
    newest = next(
        entry
        for entry in filled.audit.entries(newest_first=True)
        if entry.event == "clock-accepted"
    )
    assert newest.details == {
        "was": (NOON + timedelta(days=700)).isoformat(),
        "reason": "the battery was empty",
    }


def test_a_clock_far_ahead_erases_nobody(filled: Vault) -> None:
    people, later = filled.people.count(), NOON + timedelta(days=3650)
    with pytest.raises(ClockFarAhead, match="clock-is-right"):
        filled.erasure.withdraw_ended(later, "olga")
    assert filled.people.count() == people
    assert len(filled.erasure.withdraw_ended(later, "olga", clock_is_right=True)) == people
    assert filled.people.count() == 0


def test_two_programs_write_one_chain(filled: Vault) -> None:
    other = Vault(filled.path, filled.key_store)
    for _ in range(5):
        for one in (filled, other):
            one.db.conn.execute("begin immediate")
            one.audit.append("looked", "vault", "olga", NOON)
            one.db.conn.commit()
    assert filled.audit.problems() == other.audit.problems() == []
    assert len(list(other.audit.entries())) == 15
    other.close()
    with pytest.raises(sqlite3.ProgrammingError):
        other.people.count()
