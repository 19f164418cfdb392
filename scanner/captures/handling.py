"""The people who took part in a capture, from the audit log; they may not release its findings."""

from __future__ import annotations

from collections.abc import Collection
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


def handled_by(vault: Vault, captures: Collection[str] | None = None) -> dict[str, Handled]:
    """The people who took part in captures, by their ids; by default in all."""
    found: dict[str, Handled] = {}
    for entry in vault.audit.about_captures(captures):
        if entry.event in _HANDLED:
            handled = found.setdefault(str(entry.details.get("capture")), Handled())
            handled.names.add(entry.actor)
            handled.marks.update(entry.details.get("login", ()))
    return found
