"""Sessions of browsers; only the hashes of their secrets are stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scanner.web.auth.accounts import Account, Accounts
from scanner.web.store import WebStore

IDLE_S = 12 * 3600.0
LONGEST_S = 7 * 24 * 3600.0
_SEEN_EVERY_S = 60.0  # a write at every request would be too many


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in.

    Attributes:
        session_id: the hash of the secret; identifies the session in lists.
        csrf: the token that every form of this session carries.
        second_factor: a one-time code was entered, or the OpenID provider required a second factor.
        agent, address: the browser's, so that people recognise the session.
    """

    session_id: str
    account: Account
    csrf: str
    created_at: float
    seen_at: float
    second_factor: bool
    agent: str
    address: str


class Sessions:
    """The sessions in web.db."""

    def __init__(self, store: WebStore, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self._store, self._accounts, self._clock = store, accounts, clock

    def begin(
        self, account: Account, *, second_factor: bool, agent: str = "", address: str = ""
    ) -> str:
        """Start a session; its secret, for the cookie.

        It is never a secret that the browser sent, which would allow session fixation.
        """
        secret, now = secrets.token_urlsafe(32), self._clock().timestamp()
        with self._store.transaction() as db:
            db.table("sessions").delete_where(
                "seen_at < ? or created_at < ?", [now - IDLE_S, now - LONGEST_S]
            )
            db.table("sessions").insert(
                {
                    "session_sha256": _sha256(secret),
                    "account_id": account.account_id,
                    "csrf": secrets.token_urlsafe(24),
                    "created_at": now,
                    "seen_at": now,
                    "second_factor": int(second_factor),
                    "agent": agent[:200],
                    "address": address[:60],
                }
            )
        return secret

    def session(self, secret: str) -> Session | None:
        """The session of a secret; None if it has ended or its account is disabled."""
        now = self._clock().timestamp()
        for row in self._store.db.table("sessions").rows_where(
            "session_sha256 = ?", [_sha256(secret)]
        ):
            if row["seen_at"] < now - IDLE_S or row["created_at"] < now - LONGEST_S:
                return None
            if now - row["seen_at"] > _SEEN_EVERY_S:
                with self._store.transaction() as db:
                    db.table("sessions").update(row["session_sha256"], {"seen_at": now})
            session = self._session(row)
            return None if session.account.disabled else session
        return None

    def sessions_of(self, account_id: str) -> list[Session]:
        """The sessions of an account, newest first."""
        rows = self._store.db.table("sessions").rows_where(
            "account_id = ? and seen_at >= ?",
            [account_id, self._clock().timestamp() - IDLE_S],
            order_by="seen_at desc",
        )
        return [self._session(row) for row in rows]

    def end(self, account_id: str, session_id: str) -> None:
        with self._store.transaction() as db:
            db.table("sessions").delete_where(
                "account_id = ? and session_sha256 = ?", [account_id, session_id]
            )

    def end_all(self, account_id: str, but: str = "") -> None:
        """End all sessions of an account, except the session `but`."""
        with self._store.transaction() as db:
            db.table("sessions").delete_where(
                "account_id = ? and session_sha256 <> ?", [account_id, but]
            )

    def is_valid(self, session: Session) -> bool:
        """Whether a session that was read earlier is still valid."""
        rows = self._store.db.table("sessions").rows_where(
            "session_sha256 = ?", [session.session_id]
        )
        return any(not self._accounts.get(row["account_id"]).disabled for row in rows)

    def _session(self, row: dict[str, Any]) -> Session:
        return Session(
            row["session_sha256"],
            self._accounts.get(row["account_id"]),
            row["csrf"],
            row["created_at"],
            row["seen_at"],
            bool(row["second_factor"]),
            row["agent"],
            row["address"],
        )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
