"""Invitations: links that open an account, or set a new password if there is one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scanner.web.auth.access import Role
from scanner.web.auth.accounts import Account, Accounts, checked_email, joined_roles, roles_of
from scanner.web.errors import LinkExpired
from scanner.web.store import WebStore

VALID_S = 7 * 24 * 3600.0
_EXPIRED = "this link has been used or has expired; ask for a new one"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that opens an account, or sets a new password if there is one."""

    email: str
    roles: tuple[Role, ...]
    identity_id: str | None
    invited_by: str
    expires_at: datetime


class Invitations:
    """The invitations in web.db."""

    def __init__(self, store: WebStore, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self._store, self._accounts, self._clock = store, accounts, clock

    def create(
        self, email: str, roles: Iterable[Role], by: str, identity_id: str | None = None
    ) -> str:
        """Create an invitation that is valid for a week; its secret. Only the hash is stored."""
        address, secret = checked_email(email), secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            db.table("invitations").delete_where("expires_at < ?", [self._clock().timestamp()])
            db.table("invitations").insert(
                {
                    "invitation_sha256": _sha256(secret),
                    "email": address,
                    "roles": joined_roles(roles),
                    "identity_id": identity_id,
                    "invited_by": by,
                    "expires_at": self._clock().timestamp() + VALID_S,
                }
            )
        return secret

    def find(self, secret: str) -> Invitation:
        """The invitation of a secret; raises LinkExpired."""
        for row in self._store.db.table("invitations").rows_where(
            "invitation_sha256 = ?", [_sha256(secret)]
        ):
            if row["expires_at"] > self._clock().timestamp():
                return _invitation(row)
        raise LinkExpired(_EXPIRED)

    def unused(self) -> list[Invitation]:
        """Unused invitations that have not expired, the newest of each address; oldest first."""
        now = self._clock().timestamp()
        rows = self._store.db.table("invitations").rows_where(
            "expires_at > ?", [now], order_by="expires_at"
        )
        return list({row["email"]: _invitation(row) for row in rows}.values())

    def end(self, email: str) -> int:
        """Delete the unused invitations of an address; how many there were."""
        with self._store.transaction() as db:
            return int(
                db.conn.execute(
                    "delete from invitations where email = ?", [email.strip().lower()]
                ).rowcount
            )

    def accept(self, secret: str, name: str, password: str, language: str = "en") -> Account:
        """Open the account of an invitation, or set its password if there is one.

        The invitation can be used once.

        Raises:
            LinkExpired, PasswordRefused, AccountRefused.
        """
        with self._store.transaction() as db:
            invitation = self.find(secret)
            account = self._accounts.by_email(invitation.email)
            if account is None:
                account = self._accounts.create(
                    invitation.email, name, invitation.roles, password, language
                )
            else:
                if account.disabled:
                    raise LinkExpired(_EXPIRED)
                self._accounts.set_password(account.account_id, password)
                # Somebody else may have had access to the account: end everything that signs in.
                for table in ("sessions", "tokens", "devices"):
                    db.table(table).delete_where("account_id = ?", [account.account_id])
            db.table("invitations").delete_where("email = ?", [invitation.email])
            if invitation.identity_id:
                self._accounts.give_mandate(account.account_id, invitation.identity_id, "self")
        return self._accounts.get(account.account_id)


def _invitation(row: Mapping[str, Any]) -> Invitation:
    until = datetime.fromtimestamp(row["expires_at"], UTC)
    return Invitation(
        row["email"], roles_of(row["roles"]), row["identity_id"], row["invited_by"], until
    )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
