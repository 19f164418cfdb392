"""The daily limit on searches of captured pictures, counted in the audit log.

A search is one account or page with images that were not searched before. It counts for the logins
of the person who asks for it and of those who took the captures in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime

from crawlers.captures.capture_store import CaptureStore
from face_index.vault import Vault
from face_index.vault.audit import AuditEntry
from scanner.captures.handling import Handled, handled_by
from scanner.captures.subjects import Subject

SEARCHED = "captured-searched"
_PART = 500


class DailySearchLimit:
    """Today's searches; created once for a run over the captures."""

    def __init__(
        self, vault: Vault, captures: CaptureStore, asker: str, limit: int, now: datetime
    ) -> None:
        self._vault, self._captures = vault, captures
        self._asker, self._limit, self._now = asker, limit, now
        self._handled = handled_by(vault)
        self._made = searches_on(vault, now.date())

    def take(self, subject: Subject) -> bool:
        """Count a search before it is made; False, uncounted, if somebody has reached the limit."""
        people = {self._asker, *self._takers(subject)}
        if any(self._made[person] >= self._limit for person in people):
            return False
        self._made.update(people)
        about = hashlib.sha256(f"{subject.key}:{subject.version}".encode()).hexdigest()[:16]
        self._vault.audit.record(
            SEARCHED,
            "vault",
            self._asker,
            self._now,
            people=sorted(people),
            about=about,
            images=len(subject.images),
        )
        return True

    def _takers(self, subject: Subject) -> Iterator[str]:
        for page in subject.pages.values():
            yield from self._handled.get(page.capture_id, Handled()).names


def searches_on(vault: Vault, day: date) -> Counter[str]:
    """The number of searches of that day by login."""
    made: Counter[str] = Counter()
    for entry in _newest_first(vault):
        if datetime.fromisoformat(entry.at).date() < day:
            break
        made.update(map(str, entry.details["people"]))
    return made


def _newest_first(vault: Vault) -> Iterator[AuditEntry]:
    before: int | None = None
    while found := vault.audit.found(event=SEARCHED, before=before, limit=_PART):
        yield from found
        before = found[-1].number
