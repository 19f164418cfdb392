"""web.db: accounts, sessions, tokens, mandates, jobs and messages.

It holds no photo, no vector and no name of a person. Every thread has its own connection: SQLite
lets many read while one writes, and makes other writers wait.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from sqlite_utils import Database, Migrations

from scanner.scanning.scan_schema import without_licensee
from scanner.web.job_row_table import create_job_rows

migrations = Migrations("web")


@migrations()
def accounts_sessions_tokens(db: Database) -> None:
    _create_accounts(db)
    _create_sessions_and_tokens(db)
    db.table("invitations").create(
        {
            "invitation_sha256": str,
            "email": str,
            "roles": str,
            "identity_id": str,
            "invited_by": str,
            "expires_at": float,
        },
        pk="invitation_sha256",
    )
    db.table("mandates").create(
        {"account_id": str, "identity_id": str, "capacity": str, "since": str},
        pk=("account_id", "identity_id"),
    )
    db.table("mandates").create_index(["identity_id"])
    db.table("drafts").create(
        {"account_id": str, "consent": str, "created_at": str}, pk="account_id"
    )


def _create_accounts(db: Database) -> None:
    db.table("accounts").create(
        {
            "account_id": str,
            "email": str,
            "name": str,
            "roles": str,
            "password": str,
            "totp": bytes,
            "totp_on": int,
            "totp_step": int,
            "language": str,
            "notify": str,
            "openid": str,
            "created_at": str,
            "disabled": int,
            "failures": int,
            "locked_until": float,
        },
        pk="account_id",
    )
    db.table("accounts").create_index(["email"], unique=True)


def _create_sessions_and_tokens(db: Database) -> None:
    db.table("sessions").create(
        {
            "session_sha256": str,
            "account_id": str,
            "csrf": str,
            "created_at": float,
            "seen_at": float,
            "second_factor": int,
            "agent": str,
            "address": str,
        },
        pk="session_sha256",
    )
    db.table("sessions").create_index(["account_id"])
    db.table("tokens").create(
        {
            "token_id": str,
            "token_sha256": str,
            "account_id": str,
            "name": str,
            "scopes": str,
            "created_at": str,
            "expires_on": str,
            "used_at": str,
        },
        pk="token_id",
    )
    db.table("tokens").create_index(["token_sha256"], unique=True)


@migrations()
def jobs_and_messages(db: Database) -> None:
    db.table("jobs").create(
        {
            "job_id": str,
            "account_id": str,
            "kind": str,
            "source": str,
            "name": str,
            "sha256": str,
            "size_bytes": int,
            "declared": str,
            "webhook": str,
            "state": str,
            "scan_id": str,
            "attempts": int,
            "done": int,
            "total": int,
            "doing": str,
            "result": str,
            "problem": str,
            "created_at": str,
            "started_at": str,
            "finished_at": str,
        },
        pk="job_id",
    )
    db.table("jobs").create_index(["state", "created_at"])
    db.table("jobs").create_index(["account_id", "created_at"])
    db.table("idempotency").create(
        {"account_id": str, "key": str, "request_sha256": str, "job_id": str, "created_at": str},
        pk=("account_id", "key"),
    )
    db.table("messages").create(
        {
            "message_id": str,
            "kind": str,
            "address": str,
            "subject": str,
            "body": str,
            "digest": int,
            "tries": int,
            "next_at": float,
            "sent_at": str,
            "problem": str,
            "job_id": str,
            "created_at": str,
        },
        pk="message_id",
    )
    db.table("messages").create_index(["sent_at", "next_at"])
    db.table("facts").create({"name": str, "value": str}, pk="name")
    db.table("told").create({"what": str, "at": str}, pk="what")


@migrations()
def known_browsers_and_recovery_codes(db: Database) -> None:
    db.table("devices").create(
        {
            "device_sha256": str,
            "account_id": str,
            "failures": int,
            "locked_until": float,
            "seen_at": float,
        },
        pk="device_sha256",
    )
    db.table("devices").create_index(["account_id"])
    db.table("recovery_codes").create({"code_hmac": str, "account_id": str}, pk="code_hmac")
    db.table("recovery_codes").create_index(["account_id"])


@migrations()
def licences_are_not_told(db: Database) -> None:
    """Remove licensees from stored results; an uploader may be named like a registered person."""
    db.execute("pragma secure_delete = on")
    for row in list(
        db.query("select job_id, result from jobs where instr(result, 'licence ') > 0")
    ):
        rows = [
            {**finding, "authorised": without_licensee(finding["authorised"])}
            if finding.get("authorised")
            else finding
            for finding in json.loads(row["result"])
        ]
        db.execute(
            "update jobs set result = ? where job_id = ?",
            [json.dumps(rows, ensure_ascii=False), row["job_id"]],
        )


@migrations()
def rows_of_jobs(db: Database) -> None:
    create_job_rows(db)


class WebStore:
    """The only writer of web.db; threads and the worker process may use it concurrently."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._own = threading.local()
        self._open: list[Database] = []
        self._lock = threading.Lock()
        # If several processes start at once, one of them creates the tables.
        with FileLock(path.with_suffix(".lock")):
            migrations.apply(self.db)
        path.chmod(0o600)

    @property
    def db(self) -> Database:
        """The connection of this thread."""
        db: Database | None = getattr(self._own, "db", None)
        if db is None:
            db = Database(sqlite3.connect(self.path, timeout=30, check_same_thread=False))
            # SQLite's own `lower` knows ASCII only.
            db.conn.create_function("casefold", 1, str.casefold, deterministic=True)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute("pragma secure_delete = on")
            self._own.db = db
            with self._lock:
                self._open.append(db)
        return db

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Commit everything inside or nothing; waits for other writers before it begins."""
        db = self.db
        if db.conn.in_transaction:
            yield db
            return
        db.conn.execute("begin immediate")
        try:
            yield db
        except BaseException:
            db.conn.rollback()
            raise
        db.conn.commit()

    def fact(self, name: str) -> str | None:
        """A value that a process has stored for the others."""
        for row in self.db.table("facts").rows_where("name = ?", [name]):
            return str(row["value"])
        return None

    def set_fact(self, name: str, value: str) -> None:
        with self.transaction() as db:
            db.table("facts").upsert({"name": name, "value": value}, pk="name")

    def forget_fact(self, name: str) -> None:
        with self.transaction() as db:
            db.table("facts").delete_where("name = ?", [name])

    def empty_log(self) -> None:
        """Write the log back and truncate it, so that it keeps no deleted name.

        If the database is busy, a later call does it.
        """
        self.db.execute("pragma wal_checkpoint(truncate)").fetchall()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for db in self._open:
                db.close()
            self._open.clear()


def web_key(path: Path) -> bytes:
    """The 32 bytes that seal second factors and sign cookies; created by the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(f".{os.getpid()}.part")
        partial.touch(mode=0o600)
        partial.write_bytes(secrets.token_bytes(32))
        try:
            # If two processes start at once, the key of the first one stays.
            os.link(partial, path)
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_bytes()
