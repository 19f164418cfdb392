"""Keys of the vault: one data key per identity, wrapped by a master key from environment or file."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from face_index.errors import VaultLocked

_NONCE_BYTES = 12
_KEY_BYTES = 32


def master_key(path: Path, from_settings: str | None) -> bytes:
    """The master key: the one in the settings (base64), else the file's, made at first use.

    Raises:
        VaultLocked: what is there is not a 256-bit key.
    """
    text = from_settings
    if text is None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)))
        text = path.read_text()
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise VaultLocked("the master key is not base64") from error
    if len(key) != _KEY_BYTES:
        raise VaultLocked(f"the master key has {len(key)} bytes, {_KEY_BYTES} are needed")
    return key


def new_data_key() -> bytes:
    """A fresh 256-bit key."""
    return secrets.token_bytes(_KEY_BYTES)


def seal(key: bytes, plain: bytes, bound_to: str) -> bytes:
    """AES-256-GCM: nonce and ciphertext; opens only with the same key and `bound_to`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to.encode())


def unseal(key: bytes, sealed: bytes, bound_to: str) -> bytes:
    """The inverse of `seal`; raises VaultLocked if key, bytes or binding are not the ones used."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
    except InvalidTag as error:
        raise VaultLocked("the master key is not the one that sealed this vault, or the vault was altered") from error
