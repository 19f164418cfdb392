"""Limits on wrong passwords and codes; each known browser of an account has its own count.

Wrong tries from elsewhere lock an account for unknown browsers only, so that nobody who merely
knows an address can lock its owner out (OWASP, "Slow down online guessing attacks with device
cookies").
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from scanner.web.store import WebStore

FAILURES_UNTIL_LOCKED = 8
LOCKED_S = 15 * 60.0
DEVICE_S = 90 * 24 * 3600.0
MAX_DEVICES = 5  # per account: each has its own count


class Lockout:
    """Counts of wrong tries in web.db.

    `device` is the secret that a browser was given when somebody signed in with it, and "" for an
    unknown browser.
    """

    def __init__(self, store: WebStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock

    def is_locked(self, account: dict[str, Any], device: str) -> bool:
        """Whether no try is allowed at the moment.

        Args:
            account: a row of the table of accounts.
        """
        row = self._known(account["account_id"], device) or account
        return float(row["locked_until"]) > self._now()

    def counted(self, account: dict[str, Any], device: str, *, right: bool, last: bool) -> bool:
        """Whether a secret is right and no lock is active; a wrong one is counted.

        Args:
            last: no further secret will be asked for, so a right one resets the count.
        """
        if account["disabled"] or self.is_locked(account, device):
            return False
        if not right:
            self.failed(account["account_id"], device)
        elif last:
            self.passed(account["account_id"], device)
        return right

    def failed(self, account_id: str, device: str) -> None:
        """Count one wrong try."""
        with self._store.transaction() as db:
            row = self._known(account_id, device)
            if row is not None:
                table, key = "devices", _key(account_id, device)
            else:
                [row] = db.table("accounts").rows_where("account_id = ?", [account_id])
                table, key = "accounts", account_id
            failures = row["failures"] + 1
            changes = {"failures": failures}
            if failures >= FAILURES_UNTIL_LOCKED:
                changes = {"failures": 0, "locked_until": self._now() + LOCKED_S}
            db.table(table).update(key, changes)

    def passed(self, account_id: str, device: str) -> None:
        """Reset the count after everything that was asked for was right."""
        clean = {"failures": 0, "locked_until": 0.0}
        with self._store.transaction() as db:
            if self._known(account_id, device):
                db.table("devices").update(_key(account_id, device), clean)
            else:
                db.table("accounts").update(account_id, clean)

    def trust(self, account_id: str, device: str) -> str:
        """Make a browser known to an account; the secret that it must keep."""
        if self._known(account_id, device):
            with self._store.transaction() as db:
                db.table("devices").update(_key(account_id, device), {"seen_at": self._now()})
            return device
        secret = secrets.token_urlsafe(24)
        with self._store.transaction() as db:
            db.table("devices").delete_where("seen_at < ?", [self._now() - DEVICE_S])
            kept = (
                "select device_sha256 from devices where account_id = ? "
                "order by seen_at desc limit ?"
            )
            db.table("devices").delete_where(
                f"account_id = ? and device_sha256 not in ({kept})",
                [account_id, account_id, MAX_DEVICES - 1],
            )
            db.table("devices").insert(
                {
                    "device_sha256": _key(account_id, secret),
                    "account_id": account_id,
                    "failures": 0,
                    "locked_until": 0.0,
                    "seen_at": self._now(),
                }
            )
        return secret

    def forget_devices(self, account_id: str) -> None:
        """Make every browser unknown again."""
        with self._store.transaction() as db:
            db.table("devices").delete_where("account_id = ?", [account_id])

    def _known(self, account_id: str, device: str) -> dict[str, Any] | None:
        if not device:
            return None
        rows = self._store.db.table("devices").rows_where(
            "device_sha256 = ?", [_key(account_id, device)]
        )
        return next((row for row in rows if row["seen_at"] > self._now() - DEVICE_S), None)

    def _now(self) -> float:
        return self._clock().timestamp()


def _key(account_id: str, device: str) -> str:
    return hashlib.sha256(f"{account_id} {device}".encode()).hexdigest()
