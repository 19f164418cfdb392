"""Passwords (Argon2id) and one-time codes (TOTP, RFC 6238)."""

from __future__ import annotations

import threading
import unicodedata
from datetime import datetime

import argon2
import pyotp

from scanner.web.errors import PasswordRefused

SHORTEST, LONGEST = 12, 200
ISSUER = "portrait-scanner"
# RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes. At most two run at a time, so
# that many sign-ins do not exhaust the memory.
_HASHER = argon2.PasswordHasher()
_ONE_OF_TWO = threading.BoundedSemaphore(2)
# Verified if there is no account, so that the time taken does not reveal whether there is one.
_NOBODYS = _HASHER.hash("nobody has this password")


def hashed(password: str, *known: str) -> str:
    """The Argon2id hash of a new password.

    Args:
        known: what the password must not be: address and name.

    Raises:
        PasswordRefused: too short, too long, or easily guessed.
    """
    plain = unicodedata.normalize("NFKC", password)
    if len(plain) < SHORTEST:
        raise PasswordRefused("short")
    if len(plain) > LONGEST:
        raise PasswordRefused("long")
    if len(set(plain)) < 5 or any(plain.casefold() == one.casefold() for one in known):
        raise PasswordRefused("guessed")
    with _ONE_OF_TWO:
        return _HASHER.hash(plain)


def fits(stored: str | None, password: str) -> bool:
    """Whether a password matches the hash; takes the same time if there is no hash."""
    plain = unicodedata.normalize("NFKC", password[:LONGEST])
    with _ONE_OF_TWO:
        try:
            _HASHER.verify(stored or _NOBODYS, plain)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
    return stored is not None


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The 30-second step of a code, if it is this one, the one before or after; else None."""
    digits = "".join(sign for sign in code if sign.isdecimal())
    totp = pyotp.TOTP(secret)
    present = totp.timecode(now)
    steps = (present, present - 1, present + 1)
    return next(
        (step for step in steps if pyotp.utils.strings_equal(totp.generate_otp(step), digits)), None
    )


def provisioning_uri(secret: str, email: str) -> str:
    """The address that an authenticator app scans as a QR code."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))
