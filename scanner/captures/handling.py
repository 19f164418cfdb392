"""Who had a hand in a capture, as the audit log knows: whoever did cannot release what it shows."""

from __future__ import annotations

from face_index.vault import Vault

TAKEN_IN = "capture-taken-in"
_HANDLED = (TAKEN_IN, "capture-corrected")


def handled_by(vault: Vault) -> dict[str, set[str]]:
    """The logins of everybody who took each capture in or corrected it, by its id."""
    found: dict[str, set[str]] = {}
    for entry in vault.audit.about("vault"):
        if entry.event in _HANDLED:
            found.setdefault(str(entry.details.get("capture")), set()).add(entry.actor)
    return found
