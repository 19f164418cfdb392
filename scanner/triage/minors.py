"""Who is registered and under age, by name: files that name them are held, and a person looks at them.

Whoever waits for approval counts as well, since a child may not be drawn while papers are checked; but by a name of several
words or in a script without spaces only, so that nobody holds every "portrait" by sending in a child of that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from crawlers.listing import Listing, RemoteFile
from face_index.identity import Identity, Status
from face_index.vault import Vault
from scanner.factories import Clock
from scanner.triage.header import Triage
from scanner.triage.name_matching import NameMatcher

# Where a name stands: in the file itself, or in words about it, which anybody who lists it may write.
HEADER = "header"


@dataclass(frozen=True, slots=True)
class Naming:
    """A registered minor whom something names.

    Attributes:
        places: "title", "file name", "tags", "triggers", "examples" or HEADER.
    """

    identity_id: str
    places: tuple[str, ...]


class RegisteredMinors:
    """Their names, read anew when somebody was submitted, entered or left, or the day changed."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault, self._clock = vault, clock
        self._matcher, self._ids = NameMatcher(()), dict[str, str]()
        self._state: tuple[str, date] | None = None

    @property
    def matcher(self) -> NameMatcher:
        self._look()
        return self._matcher

    @property
    def ids(self) -> frozenset[str]:
        """Identity ids of those who are looked for."""
        self._look()
        return frozenset(self._ids.values())

    def named_by(self, texts: dict[str, list[str]]) -> Naming | None:
        """The first minor whom texts name, and in which of them; None where they name none.

        Args:
            texts: by their place.
        """
        name = self.matcher.named_in(text for some in texts.values() for text in some)
        if name is None:
            return None
        alone = NameMatcher([name])
        return Naming(
            self._ids[name], tuple(place for place, some in texts.items() if alone.named_in(some))
        )

    def _look(self) -> None:
        state = (self._vault.people.register_state, self._clock().date())
        if state != self._state:
            found = [one for one in self._vault.people.minors(state[1]) if _counts(one)]
            self._ids = {one.name: one.identity_id for one in found}
            self._matcher = NameMatcher(self._ids)
            self._state = state


def _counts(identity: Identity) -> bool:
    several = len(identity.name.split()) > 1 or not identity.name.isascii()
    return identity.status == Status.ACTIVE or several


def words_about(
    listing: Listing, file: RemoteFile, triage: Triage | None = None
) -> dict[str, list[str]]:
    """What a listing, and a file's header where it was read, say of whom it shows, by place."""
    texts = {
        "title": [listing.title], "file name": [file.name], "tags": [" ".join(listing.tags)],
        "triggers": [" ".join(listing.triggers)],
    }  # fmt: skip
    if triage is not None:
        texts[HEADER] = [*triage.triggers, str(triage.training.get("output_name") or "")]
    return texts
