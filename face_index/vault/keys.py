"""Stores of the master key, and sealing with a key.

The vault has one data key per identity. A master key wraps them; it comes from a file that only its
owner can read, from the environment, or from the operating system's keyring. Rotation first writes
the next key beside the present one, so that a process that is killed between writing the vault and
writing the key file leaves a vault that still opens.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from face_index.errors import VaultLocked

_NONCE_BYTES = 12
_KEY_BYTES = 32
_KEYRING_SERVICE = "portrait-scanner vault"


class KeyStore(Protocol):
    """Stores a master key. `slot` is "present", or "next" during a rotation."""

    where: str  # the place, in words, for messages

    def load(self, slot: str) -> bytes | None:
        """Return the 256-bit key, None if there is none.

        Raises:
            VaultLocked: The store holds something that is not a key, or cannot be used.
        """

    def save(self, slot: str, key: bytes) -> None: ...
    def discard(self, slot: str) -> None: ...
    def left_behind(self) -> bool:
        """Whether the store holds a key that only a vault can have made."""


class FileKeys:
    """Stores the key in a file with mode 0600; the next key lies beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = f"the file {path}"

    def load(self, slot: str) -> bytes | None:
        path = self._of(slot)
        if not path.exists():
            return None
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise VaultLocked(
                f"others can read the master key {path}; run chmod 600 on it, "
                "and rotate it if they did"
            )
        try:
            # base64 is ASCII. Latin-1 decodes anything, so other content is refused as not base64.
            return parse_key(path.read_text("latin-1"))
        except VaultLocked as error:
            raise VaultLocked(
                f"{path}: {error}; bring the key back from where you keep a copy"
            ) from error

    def save(self, slot: str, key: bytes) -> None:
        path = self._of(slot)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(base64.b64encode(key))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)

    def discard(self, slot: str) -> None:
        path = self._of(slot)
        if path.exists():
            path.write_bytes(secrets.token_bytes(path.stat().st_size))
            path.unlink()

    def left_behind(self) -> bool:
        return self._path.exists()

    def _of(self, slot: str) -> Path:
        return self._path if slot == "present" else self._path.with_name(self._path.name + ".next")


class EnvironmentKeys:
    """Reads the keys from environment variables; the program cannot change them."""

    where = "the environment (PORTRAIT_SCANNER_MASTER_KEY)"

    def __init__(self, present: str, following: str | None) -> None:
        self._texts = {"present": present, "next": following}

    def load(self, slot: str) -> bytes | None:
        text = self._texts[slot]
        try:
            return parse_key(text) if text else None
        except VaultLocked as error:
            name = (
                "PORTRAIT_SCANNER_MASTER_KEY"
                if slot == "present"
                else "PORTRAIT_SCANNER_NEXT_MASTER_KEY"
            )
            raise VaultLocked(f"{name}: {error}; it must be 32 random bytes in base64") from error

    def save(self, slot: str, key: bytes) -> None:  # noqa: ARG002  only the operator can set keys
        if self.load("next") != key:
            raise VaultLocked(
                "the master key comes from the environment: put a new one into "
                "PORTRAIT_SCANNER_NEXT_MASTER_KEY (32 random bytes in base64), rotate, then move "
                "it to PORTRAIT_SCANNER_MASTER_KEY"
            )

    def discard(self, slot: str) -> None:
        """Do nothing: only the operator can change the environment."""

    def left_behind(self) -> bool:
        return False


class KeyringKeys:
    """Stores the key in the operating system's keyring, one entry for each vault."""

    def __init__(self, vault: Path) -> None:
        self._user = str(vault.resolve())
        self.where = f"the system keyring (service {_KEYRING_SERVICE!r})"

    def load(self, slot: str) -> bytes | None:
        import keyring

        try:
            text = keyring.get_password(_KEYRING_SERVICE, self._of(slot))
        except keyring.errors.KeyringError as error:
            raise VaultLocked(
                f"the system keyring cannot be used ({error}); set key_store = 'file'"
            ) from error
        return parse_key(text) if text else None

    def save(self, slot: str, key: bytes) -> None:
        import keyring

        try:
            keyring.set_password(_KEYRING_SERVICE, self._of(slot), base64.b64encode(key).decode())
        except keyring.errors.KeyringError as error:
            raise VaultLocked(
                f"the system keyring cannot be written ({error}); set key_store = 'file'"
            ) from error

    def discard(self, slot: str) -> None:
        import keyring

        if self.load(slot) is not None:
            keyring.delete_password(_KEYRING_SERVICE, self._of(slot))

    def left_behind(self) -> bool:
        return self.load("present") is not None

    def _of(self, slot: str) -> str:
        return self._user if slot == "present" else f"{self._user} ({slot})"


def parse_key(text: str) -> bytes:
    """Decode a master key from base64; raises VaultLocked if the text is not a key."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise VaultLocked("the master key is not base64") from error
    if len(key) != _KEY_BYTES:
        raise VaultLocked(f"the master key has {len(key)} bytes, {_KEY_BYTES} are needed")
    return key


def new_key() -> bytes:
    """Return a random 256-bit key."""
    return secrets.token_bytes(_KEY_BYTES)


def seal(key: bytes, plain: bytes, bound_to: str) -> bytes:
    """Encrypt with AES-256-GCM; the result unseals only with the same key and `bound_to`.

    Returns:
        Nonce and ciphertext.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to.encode())


def unseal(key: bytes, sealed: bytes, bound_to: str) -> bytes:
    """Decrypt what `seal` returned.

    Raises:
        VaultLocked: Key, bytes or `bound_to` are not the same.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise VaultLocked(
            "the master key is not the one that sealed this vault, or the vault was altered"
        ) from error
