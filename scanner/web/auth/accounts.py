"""Accounts: who may sign in, with which password, and for which identities they act."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from face_index.vault.logins import same_person
from scanner.web.auth.access import Permission, Role, permissions_of
from scanner.web.auth.lockout import Lockout
from scanner.web.auth.passwords import fits, hashed
from scanner.web.errors import AccountRefused
from scanner.web.store import WebStore
from scanner.web.translation import LANGUAGES

NOTIFY = ("at-once", "daily", "never")
STAFF = frozenset(Role) - {Role.RIGHTS_HOLDER, Role.AGENT}
# Plain addresses only: in any other the mail library would decode RFC 2047 words, which may contain
# whole headers.
_ATOM = r"[a-z0-9!#$%&'*+/^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_EMAIL = re.compile(rf"(?=[^@]{{1,64}}@.{{1,190}}$){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Account:
    """One account.

    Attributes:
        email: in lower case; used to sign in.
        name: the name that decisions and notices carry.
        notify: when mails are sent: one of NOTIFY.
    """

    account_id: str
    email: str
    name: str
    roles: tuple[Role, ...]
    has_password: bool
    totp_on: bool
    language: str
    notify: str
    created_at: str
    disabled: bool
    locked_until: float

    @property
    def permissions(self) -> frozenset[Permission]:
        return permissions_of(self.roles)

    @property
    def is_staff(self) -> bool:
        return bool(STAFF & set(self.roles))

    @property
    def actor(self) -> str:
        """The account's name in the audit log.

        The log outlives a rights holder, and must not contain their name or address.
        """
        return self.email if self.is_staff else holder_actor(self.account_id)

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


def holder_actor(account_id: str) -> str:
    """The name of a rights holder or agent in the audit log."""
    return f"holder {account_id[:12]}"


class Accounts:
    """The accounts in web.db, without their second factors."""

    def __init__(self, store: WebStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self.lockout = Lockout(store, clock)

    def create(
        self,
        email: str,
        name: str,
        roles: Iterable[Role],
        password: str | None,
        language: str = "en",
    ) -> Account:
        """Create an account; raises AccountRefused, PasswordRefused."""
        roles = list(roles)
        address = checked_email(email)
        password_hash = None if password is None else hashed(password, address, name)
        with self._store.transaction() as db:
            if self.by_email(address):
                raise AccountRefused("taken")
            full_name = _checked_name(name)
            self._require_unique_name(full_name, roles)
            account_id = uuid.uuid4().hex
            # An earlier link must not change the new account.
            db.table("invitations").delete_where("email = ?", [address])
            db.table("accounts").insert(
                {
                    "account_id": account_id,
                    "email": address,
                    "name": full_name,
                    "roles": joined_roles(roles),
                    "password": password_hash,
                    "totp": None,
                    "totp_on": 0,
                    "totp_step": 0,
                    "language": language,
                    "notify": NOTIFY[0],
                    "openid": None,
                    "created_at": self._clock().isoformat(),
                    "disabled": 0,
                    "failures": 0,
                    "locked_until": 0.0,
                }
            )
        return self.get(account_id)

    def get(self, account_id: str) -> Account:
        """The account of an id; raises AccountRefused."""
        for row in self._store.db.table("accounts").rows_where("account_id = ?", [account_id]):
            return _account(row)
        raise AccountRefused("unknown")

    def by_email(self, email: str) -> Account | None:
        rows = self._store.db.table("accounts").rows_where("email = ?", [email.strip().lower()])
        return next((_account(row) for row in rows), None)

    def page(self, words: str = "", *, after: str = "", limit: int = -1) -> list[Account]:
        """A page of accounts, by address.

        Args:
            words: only those whose name or address contains them, whatever their case.
            after: address of the last account of the page before.
            limit: -1 for all.
        """
        query = (
            "select * from accounts where email > :after and instr(casefold(name || ' ' || email), "
            ":words) > 0 order by email limit :limit"
        )
        values = {"after": after, "words": words.casefold().replace("\0", ""), "limit": limit}
        return [_account(row) for row in self._store.db.query(query, values)]

    def count(self, words: str = "") -> int:
        """How many accounts `page` has in all."""
        query = (
            "select count(*) from accounts where instr(casefold(name || ' ' || email), :words) > 0"
        )
        values = {"words": words.casefold().replace("\0", "")}
        return int(self._store.db.execute(query, values).fetchone()[0])

    def staff(self) -> list[Account]:
        """The accounts with a role of staff, by address."""
        holds = " or ".join("instr(' ' || roles || ' ', ?) > 0" for _ in STAFF)
        rows = self._store.db.table("accounts").rows_where(
            holds, [f" {role} " for role in STAFF], order_by="email"
        )
        return [_account(row) for row in rows]

    def authenticate(self, email: str, password: str, device: str = "") -> Account | None:
        """The account with this address and password.

        None for a wrong password, a locked account and a disabled account alike.

        Args:
            device: the secret of a known browser, see `Lockout`.
        """
        address = email.strip().lower()[:255]
        rows = self._store.db.table("accounts").rows_where("email = ?", [address])
        row = next(iter(rows), None)
        is_right = fits(row["password"] if row else None, password)
        if row is None:
            # This takes as long as counting a failure.
            self._store.set_fact("last wrong address", self._now())
            return None
        # With a second factor only a right code resets the count: passwords and codes share it.
        is_last = not row["totp_on"]
        is_accepted = self.lockout.counted(row, device, right=is_right, last=is_last)
        return _account(row) if is_accepted else None

    def set_password(self, account_id: str, password: str) -> None:
        """Set a new password and unlock the account; raises PasswordRefused."""
        account = self.get(account_id)
        self._set(
            account_id,
            password=hashed(password, account.email, account.name),
            failures=0,
            locked_until=0.0,
        )

    def set_roles(self, account_id: str, roles: Iterable[Role]) -> None:
        """Replace the roles of an account; raises AccountRefused."""
        roles = list(roles)
        self._require_unique_name(self.get(account_id).name, roles, but=account_id)
        self._set(account_id, roles=joined_roles(roles))

    def set_preferences(self, account_id: str, language: str, notify: str) -> None:
        """Set the language and when mails are sent; raises AccountRefused."""
        if language not in LANGUAGES or notify not in NOTIFY:
            raise AccountRefused("no-such-choice")
        self._set(account_id, language=language, notify=notify)

    def by_openid(self, subject: str, verified_email: str | None) -> Account | None:
        """The account of an OpenID subject.

        At the first sign-in the account is found by its verified address and bound to the subject.
        """
        for row in self._store.db.table("accounts").rows_where("openid = ?", [subject]):
            return _account(row)
        account = self.by_email(verified_email) if verified_email else None
        if account is None:
            return None
        with self._store.transaction() as db:
            bound = db.conn.execute(
                "update accounts set openid = ? where account_id = ? and openid is null",
                [subject, account.account_id],
            ).rowcount
        return account if bound else None

    def set_disabled(self, account_id: str, disabled: bool) -> None:
        self._set(account_id, disabled=int(disabled))

    def delete(self, account_id: str) -> None:
        """Delete an account with its sessions, tokens and mandates; decisions keep its name."""
        with self._store.transaction() as db:
            [[email]] = db.execute(
                "select email from accounts where account_id = ?", [account_id]
            ).fetchall() or [[""]]
            db.table("invitations").delete_where("email = ?", [email])
            for table in (
                "sessions",
                "tokens",
                "devices",
                "recovery_codes",
                "mandates",
                "idempotency",
                "drafts",
                "accounts",
            ):
                db.table(table).delete_where("account_id = ?", [account_id])

    def give_mandate(self, account_id: str, identity_id: str, capacity: str) -> None:
        """Let an account act for an identity, as "self" or "agent"."""
        row = {
            "account_id": account_id,
            "identity_id": identity_id,
            "capacity": capacity,
            "since": self._now(),
        }
        with self._store.transaction() as db:
            db.table("mandates").upsert(row, pk=("account_id", "identity_id"))

    def identities_of(self, account_id: str) -> dict[str, str]:
        """The identity ids that an account acts for, with its capacity, oldest first."""
        rows = self._store.db.table("mandates").rows_where(
            "account_id = ?", [account_id], order_by="since"
        )
        return {row["identity_id"]: row["capacity"] for row in rows}

    def acting_for(self, identity_id: str) -> list[Account]:
        """The enabled accounts that act for an identity."""
        query = (
            "select a.* from accounts a join mandates m using (account_id) "
            "where m.identity_id = ? and not a.disabled"
        )
        return [_account(row) for row in self._store.db.query(query, [identity_id])]

    def _require_unique_name(self, name: str, roles: Iterable[Role], but: str = "") -> None:
        """Raise AccountRefused if two members of staff would share a name: it signs decisions."""
        if not STAFF & set(roles):
            return
        others = (one for one in self.staff() if one.account_id != but)
        if any(same_person(other.name, name) for other in others):
            raise AccountRefused("name-taken")

    def _set(self, account_id: str, **fields: Any) -> None:
        with self._store.transaction() as db:
            db.table("accounts").update(account_id, fields)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat()


def checked_email(email: str) -> str:
    """An address as it is stored; raises AccountRefused."""
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address) or not address.isprintable():
        raise AccountRefused("no-address")
    return address


def _checked_name(name: str) -> str:
    plain = " ".join(name.split())
    if not plain or len(plain) > 120 or not plain.isprintable():
        raise AccountRefused("no-name")
    return plain


def joined_roles(roles: Iterable[Role]) -> str:
    """Roles as they are stored; raises AccountRefused if there are none."""
    names = sorted({str(Role(role)) for role in roles})
    if not names:
        raise AccountRefused("no-role")
    return " ".join(names)


def roles_of(text: str) -> tuple[Role, ...]:
    """Roles from their stored form."""
    return tuple(Role(name) for name in text.split())


def _account(row: dict[str, Any]) -> Account:
    return Account(
        row["account_id"],
        row["email"],
        row["name"],
        roles_of(row["roles"]),
        row["password"] is not None,
        bool(row["totp_on"]),
        row["language"],
        row["notify"],
        row["created_at"],
        bool(row["disabled"]),
        row["locked_until"],
    )
