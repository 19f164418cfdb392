"""Names of registered minors: files that name one are held until a reviewer has seen them.

Minors who wait for approval count too, because a child may not be drawn while papers are checked. They count
only with a name of several words or in a script without spaces; otherwise anybody could hold every "portrait"
by submitting a child of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from crawlers.listing import Listing, RemoteFile
from face_index.identity import Identity, Status
from face_index.vault import Vault
from scanner.clock import Clock
from scanner.errors import RefusedToSample
from scanner.sampling.prompt_safety import says_minor
from scanner.triage.header import Triage
from scanner.triage.name_matching import NameMatcher

# The place of a name in the file itself; all other places are words about it, which anybody who lists it may write.
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
    """Names of registered minors, read again when the register or the day changed."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault, self._clock = vault, clock
        self._matcher, self._ids = NameMatcher(()), dict[str, str]()
        self._state: tuple[str, date] | None = None

    @property
    def matcher(self) -> NameMatcher:
        self._refresh()
        return self._matcher

    @property
    def ids(self) -> frozenset[str]:
        """Identity ids of the minors whose names are searched for."""
        self._refresh()
        return frozenset(self._ids.values())

    def named_by(self, texts: dict[str, list[str]]) -> Naming | None:
        """The first minor whom texts name, with the places; None if they name none.

        Args:
            texts: by place.
        """
        name = self.matcher.named_in(text for some in texts.values() for text in some)
        if name is None:
            return None
        alone = NameMatcher([name])
        return Naming(
            self._ids[name], tuple(place for place, some in texts.items() if alone.named_in(some))
        )

    def _refresh(self) -> None:
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
    """Texts of a listing, and of a file's header if it was read, that may name a person; by place."""
    texts = {
        "title": [listing.title], "file name": [file.name], "tags": [" ".join(listing.tags)],
        "triggers": [" ".join(listing.triggers)],
    }  # fmt: skip
    if triage is not None:
        texts[HEADER] = [*triage.triggers, str(triage.training.get("output_name") or "")]
    return texts


def refuse_minors(texts: Iterable[str], flagged_by_hub: bool) -> None:
    """Raise RefusedToSample if the hub's flag or any text says that the subject is a minor."""
    if flagged_by_hub:
        raise RefusedToSample(
            "the hub marks this model as showing a minor; it is never sampled, see docs/safety.md"
        )
    if any(says_minor(text) for text in texts):
        raise RefusedToSample(
            "a name, tag or trigger of this model says minor; "
            "it is never sampled, see docs/safety.md"
        )
