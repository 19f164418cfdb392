"""Who had a hand in a capture, as the audit log knows: whoever did cannot release what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from face_index.vault import Vault
from face_index.vault.audit import AuditEntry

TAKEN_IN = "capture-taken-in"
_HANDLED = (TAKEN_IN, "capture-corrected")


def handled_by(vault: Vault) -> dict[str, set[str]]:
    """Everybody who took each capture in or corrected it, by its id, as they named themselves."""
    return _found(vault, lambda entry: (entry.actor,))


def logged_in_at(vault: Vault) -> dict[str, set[str]]:
    """The marks of the logins at which each capture was taken in or corrected, by its id (face_index.vault.logins)."""
    return _found(vault, lambda entry: entry.details.get("login", ()))


def _found(vault: Vault, told: Callable[[AuditEntry], Iterable[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in vault.audit.about("vault"):
        if entry.event in _HANDLED:
            found.setdefault(str(entry.details.get("capture")), set()).update(told(entry))
    return found
