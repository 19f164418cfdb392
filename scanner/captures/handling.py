"""Who had a hand in a capture, as the audit log knows: whoever did cannot release what it shows."""

from __future__ import annotations

from face_index.vault import Vault

TAKEN_IN = "capture-taken-in"
_HANDLED = (TAKEN_IN, "capture-corrected")


def handled_by(vault: Vault) -> dict[str, set[str]]:
    """Everybody who took each capture in or corrected it, by its id: the names they gave and the marks of their logins."""
    found: dict[str, set[str]] = {}
    for entry in vault.audit.about("vault"):
        if entry.event in _HANDLED:
            found.setdefault(str(entry.details.get("capture")), set()).update(
                (entry.actor, *entry.details.get("login", ()))
            )
    return found
