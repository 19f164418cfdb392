"""The people who took part in a capture, from the audit log; they may not release its findings."""

from __future__ import annotations

from dataclasses import dataclass, field

from face_index.vault import Vault

TAKEN_IN = "capture-taken-in"
_HANDLED = (TAKEN_IN, "capture-corrected")


@dataclass(frozen=True, slots=True)
class Handled:
    """The people who took one capture in or corrected it.

    Attributes:
        names: the names that they gave.
        marks: of their logins at that time (face_index.vault.logins).
    """

    names: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)


def handled_by(vault: Vault) -> dict[str, Handled]:
    """The people who took part in each capture, by its id."""
    found: dict[str, Handled] = {}
    for entry in vault.audit.about("vault"):
        if entry.event in _HANDLED:
            handled = found.setdefault(str(entry.details.get("capture")), Handled())
            handled.names.add(entry.actor)
            handled.marks.update(entry.details.get("login", ()))
    return found
