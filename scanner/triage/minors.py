"""Names of registered minors; a file that contains one is held for reviewers.

Minors who wait for approval count too, because a child must not be drawn while documents are
checked. They count only with a name of several words or in a script without spaces. Otherwise
anybody could block every "portrait" by submitting a child of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from crawlers.listing import Listing, RemoteFile
from face_index.identity import Identity, Status
from face_index.vault import Vault
from reports.reasons.reason import Reason
from scanner.clock import Clock
from scanner.errors import RefusedToSample
from scanner.sampling.prompt_safety import says_minor
from scanner.triage.header import Triage
from scanner.triage.name_matching import NameMatcher

# The place of a name in the file itself. All other places are text of the listing, which anybody
# who publishes the file can write.
HEADER = "header"


@dataclass(frozen=True, slots=True)
class NamedMinor:
    """A registered minor who is named, and the places of the name.

    Attributes:
        places: "title", "file name", "tags", "triggers", "examples" or HEADER.
    """

    identity_id: str
    places: tuple[str, ...]


class RegisteredMinors:
    """Names of registered minors; they are read again after the register or the day has changed."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault, self._clock = vault, clock
        self._matcher, self._ids = NameMatcher(()), dict[str, str]()
        self._state: tuple[str, date] | None = None

    @property
    def matcher(self) -> NameMatcher:
        """Finds the names of these minors in texts."""
        self._refresh()
        return self._matcher

    @property
    def ids(self) -> frozenset[str]:
        """Identity ids of the minors whose names are searched for."""
        self._refresh()
        return frozenset(self._ids.values())

    def named_by(self, texts: dict[str, list[str]]) -> NamedMinor | None:
        """Return the first minor whom texts name, with the places; None if they name none.

        Args:
            texts: texts by place.
        """
        name = self.matcher.named_in(text for group in texts.values() for text in group)
        if name is None:
            return None
        matcher = NameMatcher([name])
        places = tuple(place for place, group in texts.items() if matcher.named_in(group))
        return NamedMinor(self._ids[name], places)

    def _refresh(self) -> None:
        state = (self._vault.people.register_state, self._clock().date())
        if state != self._state:
            minors = self._vault.people.minors(state[1])
            self._ids = {minor.name: minor.identity_id for minor in minors if _counts(minor)}
            self._matcher = NameMatcher(self._ids)
            self._state = state


def _counts(identity: Identity) -> bool:
    several = len(identity.name.split()) > 1 or not identity.name.isascii()
    return identity.status == Status.ACTIVE or several


def words_about(
    listing: Listing, file: RemoteFile, triage: Triage | None = None
) -> dict[str, list[str]]:
    """Return the texts of a listing, and of a header that was read, that may name a person.

    The keys are places as in `NamedMinor`.
    """
    texts = {
        "title": [listing.title],
        "file name": [file.name],
        "tags": [" ".join(listing.tags)],
        "triggers": [" ".join(listing.triggers)],
    }
    if triage is not None:
        texts[HEADER] = [*triage.triggers, str(triage.training.get("output_name") or "")]
    return texts


def refuse_minors(texts: Iterable[str], flagged_by_hub: bool) -> None:
    """Raise RefusedToSample if the hub's flag or a word in a text indicates a minor."""
    if flagged_by_hub:
        raise RefusedToSample(Reason("hub-marks-minor").in_english())
    if any(says_minor(text) for text in texts):
        raise RefusedToSample(Reason("words-name-minor").in_english())
