"""Second factors: one-time codes of an authenticator app (TOTP, RFC 6238) and recovery codes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyotp

from face_index.vault.keys import seal, unseal
from scanner.web.auth.lockout import Lockout
from scanner.web.auth.passwords import step_of
from scanner.web.errors import AccountRefused
from scanner.web.store import WebStore

RECOVERY_CODES = 10
_RECOVERY_CODE = re.compile(r"[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}")


def _with_hyphens(code: str) -> str:
    """A recovery code in its printed form, however it was typed; anything else stripped."""
    plain = re.sub(r"[\s-]", "", code).upper()
    if re.fullmatch(r"[A-Z2-7]{12}", plain):
        return "-".join((plain[:4], plain[4:8], plain[8:]))
    return code.strip()


class SecondFactors:
    """The second factors of accounts in web.db.

    Args:
        key: seals the secrets.
        lockout: counts wrong codes together with wrong passwords.
    """

    def __init__(
        self, store: WebStore, key: bytes, clock: Callable[[], datetime], lockout: Lockout
    ) -> None:
        self._store, self._key, self._clock, self._lockout = store, key, clock, lockout

    def begin(self, account_id: str) -> str:
        """A new secret, base32, that takes effect with its first right code.

        Raises:
            AccountRefused: a second factor is set up already.
        """
        if self._row(account_id)["totp_on"]:
            raise AccountRefused("second-factor-on")
        secret = pyotp.random_base32()
        self._set(
            account_id, totp=seal(self._key, secret.encode(), account_id), totp_on=0, totp_step=0
        )
        return secret

    def pending(self, account_id: str) -> str | None:
        """The secret that has not been confirmed with a code yet."""
        row = self._row(account_id)
        return self._secret(row) if row["totp"] and not row["totp_on"] else None

    def confirm(self, account_id: str, code: str) -> bool:
        """Turn the second factor on if the code is right."""
        if not self.check(account_id, code):
            return False
        self._set(account_id, totp_on=1)
        return True

    def check(self, account_id: str, code: str, device: str = "") -> bool:
        """Whether a one-time code or a recovery code is right.

        Each code counts once (RFC 6238, 5.2). Wrong codes lock the account as wrong passwords do.
        """
        row = self._row(account_id)
        typed = _with_hyphens(code)
        step = step_of(self._secret(row), typed, self._clock()) if row["totp"] else None
        fresh = step is not None and step > row["totp_step"]
        recovers = not fresh and bool(row["totp_on"]) and self._is_recovery_code(account_id, typed)
        if not self._lockout.counted(row, device, right=fresh or recovers, last=False):
            return False
        unused = (
            self._use_up(account_id, typed) if recovers else self._use_step(account_id, step or 0)
        )
        if unused:
            self._lockout.passed(account_id, device)
        return unused

    def remove(self, account_id: str) -> None:
        with self._store.transaction() as db:
            db.table("recovery_codes").delete_where("account_id = ?", [account_id])
            self._set(account_id, totp=None, totp_on=0, totp_step=0)

    def new_recovery_codes(self, account_id: str) -> list[str]:
        """Ten new recovery codes that replace the old ones; only their keyed hashes are stored."""
        codes = [
            _with_hyphens(base64.b32encode(secrets.token_bytes(10)).decode()[:12])
            for _ in range(RECOVERY_CODES)
        ]
        with self._store.transaction() as db:
            db.table("recovery_codes").delete_where("account_id = ?", [account_id])
            db.table("recovery_codes").insert_all(
                {"code_hmac": self._hmac(account_id, code), "account_id": account_id}
                for code in codes
            )
        return codes

    def recovery_codes_left(self, account_id: str) -> int:
        return int(
            self._store.db.table("recovery_codes").count_where("account_id = ?", [account_id])
        )

    def _is_recovery_code(self, account_id: str, code: str) -> bool:
        if not _RECOVERY_CODE.fullmatch(code):
            return False
        codes = self._store.db.table("recovery_codes")
        return codes.count_where("code_hmac = ?", [self._hmac(account_id, code)]) == 1

    def _use_up(self, account_id: str, code: str) -> bool:
        query = "delete from recovery_codes where code_hmac = ?"
        with self._store.transaction() as db:
            return db.conn.execute(query, [self._hmac(account_id, code)]).rowcount == 1

    def _use_step(self, account_id: str, step: int) -> bool:
        query = "update accounts set totp_step = ? where account_id = ? and totp_step < ?"
        with self._store.transaction() as db:
            return db.conn.execute(query, [step, account_id, step]).rowcount == 1

    def _hmac(self, account_id: str, code: str) -> str:
        return hmac.new(self._key, f"{account_id} {code}".encode(), hashlib.sha256).hexdigest()

    def _secret(self, row: dict[str, Any]) -> str:
        return unseal(self._key, row["totp"], row["account_id"]).decode()

    def _row(self, account_id: str) -> dict[str, Any]:
        [row] = self._store.db.table("accounts").rows_where("account_id = ?", [account_id])
        return row

    def _set(self, account_id: str, **fields: Any) -> None:
        with self._store.transaction() as db:
            db.table("accounts").update(account_id, fields)
