"""Sessions of browsers and tokens of programs; only their hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from scanner.web.auth.access import Scope, scopes_for
from scanner.web.auth.accounts import Account, Accounts
from scanner.web.errors import AccountRefused, NotThere
from scanner.web.store import WebStore

IDLE_S = 12 * 3600.0
LONGEST_S = 7 * 24 * 3600.0
_SEEN_EVERY_S = 60.0  # a write at every request would be too many
TOKEN_PREFIX = "psk_"  # noqa: S105  not a secret
LONGEST_TOKEN_DAYS = 366


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


@dataclass(frozen=True, slots=True)
class Token:
    """One API token."""

    token_id: str
    account: Account
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_on: date
    used_at: str | None


class Sessions:
    """The sessions and tokens in web.db."""

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

    def revoke_all_tokens(self, account_id: str) -> None:
        with self._store.transaction() as db:
            db.table("tokens").delete_where("account_id = ?", [account_id])

    def sign_out_everywhere(self, account_id: str) -> None:
        """End the sessions and tokens of an account and forget its known browsers."""
        self.end_all(account_id)
        self.revoke_all_tokens(account_id)
        self._accounts.lockout.forget_devices(account_id)

    def is_valid(self, session: Session) -> bool:
        """Whether a session that was read earlier is still valid."""
        rows = self._store.db.table("sessions").rows_where(
            "session_sha256 = ?", [session.session_id]
        )
        return any(not self._accounts.get(row["account_id"]).disabled for row in rows)

    def issue_token(
        self, account: Account, name: str, scopes: Iterable[Scope], expires_on: date
    ) -> str:
        """Issue a token; its secret, which is shown once.

        Raises:
            AccountRefused: a scope that the account lacks, no name, or a last day too far away.
        """
        wanted, today = tuple(dict.fromkeys(scopes)), self._clock().date()
        if not wanted or not set(wanted) <= set(scopes_for(account.roles)):
            raise AccountRefused("no-such-scope")
        if not name.strip() or not today <= expires_on <= today + timedelta(
            days=LONGEST_TOKEN_DAYS
        ):
            raise AccountRefused("no-such-token")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            db.table("tokens").insert(
                {
                    "token_id": secrets.token_hex(6),
                    "token_sha256": _sha256(secret),
                    "account_id": account.account_id,
                    "name": name.strip()[:80],
                    "scopes": " ".join(wanted),
                    "created_at": self._clock().isoformat(),
                    "expires_on": expires_on.isoformat(),
                    "used_at": None,
                }
            )
        return secret

    def token(self, secret: str) -> Token | None:
        """The token of a secret; None if it has ended or its account is disabled."""
        for row in self._store.db.table("tokens").rows_where("token_sha256 = ?", [_sha256(secret)]):
            token = self._token(row)
            if token.account.disabled or token.expires_on < self._clock().date():
                return None
            today = self._clock().date().isoformat()
            # Once a day is enough to find tokens that nobody uses.
            if row["used_at"] != today:
                with self._store.transaction() as db:
                    db.table("tokens").update(row["token_id"], {"used_at": today})
            return token
        return None

    def is_token_valid(self, token: Token) -> bool:
        """Whether a token that was read earlier is still valid."""
        rows = self._store.db.table("tokens").rows_where("token_id = ?", [token.token_id])
        tokens = [self._token(row) for row in rows]
        return (
            bool(tokens)
            and not tokens[0].account.disabled
            and tokens[0].expires_on >= self._clock().date()
        )

    def tokens_of(self, account_id: str) -> list[Token]:
        rows = self._store.db.table("tokens").rows_where(
            "account_id = ?", [account_id], order_by="created_at desc"
        )
        return [self._token(row) for row in rows]

    def revoke_token(self, account_id: str, token_id: str) -> None:
        """Delete a token; raises NotThere."""
        with self._store.transaction() as db:
            gone = db.conn.execute(
                "delete from tokens where account_id = ? and token_id = ?", [account_id, token_id]
            ).rowcount
        if not gone:
            raise NotThere("no such token")

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

    def _token(self, row: dict[str, Any]) -> Token:
        account = self._accounts.get(row["account_id"])
        may = set(scopes_for(account.roles))  # roles may have been removed since
        return Token(
            row["token_id"],
            account,
            row["name"],
            tuple(Scope(one) for one in row["scopes"].split() if Scope(one) in may),
            row["created_at"],
            date.fromisoformat(row["expires_on"]),
            row["used_at"],
        )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
