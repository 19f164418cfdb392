"""API tokens of programs; only their hashes are stored."""

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

TOKEN_PREFIX = "psk_"  # noqa: S105  not a secret
MAX_DAYS = 366


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


class Tokens:
    """The tokens in web.db."""

    def __init__(self, store: WebStore, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self._store, self._accounts, self._clock = store, accounts, clock

    def issue(self, account: Account, name: str, scopes: Iterable[Scope], expires_on: date) -> str:
        """Issue a token; its secret, which is shown once.

        Raises:
            AccountRefused: a scope that the account lacks, no name, or a last day too far away.
        """
        chosen, today = tuple(dict.fromkeys(scopes)), self._clock().date()
        if not chosen or not set(chosen) <= set(scopes_for(account.roles)):
            raise AccountRefused("no-such-scope")
        if not name.strip() or not today <= expires_on <= today + timedelta(days=MAX_DAYS):
            raise AccountRefused("no-such-token")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            db.table("tokens").insert(
                {
                    "token_id": secrets.token_hex(6),
                    "token_sha256": _sha256(secret),
                    "account_id": account.account_id,
                    "name": name.strip()[:80],
                    "scopes": " ".join(chosen),
                    "created_at": self._clock().isoformat(),
                    "expires_on": expires_on.isoformat(),
                    "used_at": None,
                }
            )
        return secret

    def find(self, secret: str) -> Token | None:
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

    def is_valid(self, token: Token) -> bool:
        """Whether a token that was read earlier is still valid."""
        rows = self._store.db.table("tokens").rows_where("token_id = ?", [token.token_id])
        stored = next((self._token(row) for row in rows), None)
        if stored is None or stored.account.disabled:
            return False
        return stored.expires_on >= self._clock().date()

    def of_account(self, account_id: str) -> list[Token]:
        rows = self._store.db.table("tokens").rows_where(
            "account_id = ?", [account_id], order_by="created_at desc"
        )
        return [self._token(row) for row in rows]

    def revoke(self, account_id: str, token_id: str) -> None:
        """Delete a token; raises NotThere."""
        with self._store.transaction() as db:
            gone = db.conn.execute(
                "delete from tokens where account_id = ? and token_id = ?", [account_id, token_id]
            ).rowcount
        if not gone:
            raise NotThere("no such token")

    def revoke_all(self, account_id: str) -> None:
        with self._store.transaction() as db:
            db.table("tokens").delete_where("account_id = ?", [account_id])

    def _token(self, row: dict[str, Any]) -> Token:
        account = self._accounts.get(row["account_id"])
        allowed = scopes_for(account.roles)  # roles may have been removed since
        return Token(
            row["token_id"],
            account,
            row["name"],
            tuple(scope for scope in map(Scope, row["scopes"].split()) if scope in allowed),
            row["created_at"],
            date.fromisoformat(row["expires_on"]),
            row["used_at"],
        )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
