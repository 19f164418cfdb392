"""Files that name a registered minor: they are held for reviewers and not sampled.

Anybody can write a child's name into the title or tags of somebody else's file. A held file is
therefore put into a queue, and every review of it is recorded. If the file itself does not name the
child, two reviewers who both decide that somebody else is meant lift the hold. A name that later
appears in another place holds the file again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.likeness import likeness_of
from face_index.vault import Vault
from face_index.vault.logins import Login, same_person, share_a_mark
from face_index.vault.names import without_name
from scanner.errors import HoldReviewRefused
from scanner.scanning.held_file_store import HeldFileStore
from scanner.triage.header import Triage
from scanner.triage.minors import HEADER, NamedMinor

_REVIEWERS_NEEDED = 2


class HoldDecision(StrEnum):
    """A reviewer's decision about a held file."""

    KEEP = "keep"  # it shows the child, or may show it
    SOMEBODY_ELSE = "somebody-else"  # an adult is meant


@dataclass(frozen=True, slots=True)
class HoldReview:
    """One review of a held file.

    Attributes:
        at: time of the review, UTC.
        by: name that the reviewer gave.
        actor: account or system user of the reviewer.
        places: where the child was named at that time.
        login: marks of the login (face_index.vault.logins).
    """

    at: str
    by: str
    actor: str
    decision: str
    reason: str
    places: tuple[str, ...]
    login: Login = ()

    def is_of_whom(self, other: HoldReview) -> bool:
        """Whether one person made both reviews; a name can be chosen freely, a login cannot."""
        return same_person(self.actor, other.actor) or share_a_mark(self.login, other.login)


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One file of one listing that names a registered minor.

    Attributes:
        key: id of the file in the queue; the same for the same file of the same listing.
        places: where the name was found (scanner.triage.minors.NamedMinor).
        likeness: how likely it is an adapter of a person, by header and listing, 0 to 1; the
            likeliest files are reviewed first.
        looks: its reviews, the oldest first.
    """

    key: str
    identity_id: str
    sha256: str | None
    places: tuple[str, ...]
    hub: str
    listing_id: str
    title: str
    url: str
    file: str
    likeness: float
    held_at: str
    looks: tuple[HoldReview, ...] = ()

    @property
    def liftable(self) -> bool:
        """Whether the hold can be lifted: the name is in the listing and not in the file itself."""
        return HEADER not in self.places

    @property
    def lifted(self) -> bool:
        """Whether at least two reviewers, and all of them, decided that somebody else is meant.

        The newest review of each person counts, and only if the name was in the same places.
        """
        newest: list[HoldReview] = []
        for look in reversed(self.looks):
            if not any(look.is_of_whom(other) for other in newest):
                newest.append(look)
        lifting = [
            look
            for look in newest
            if look.decision == HoldDecision.SOMEBODY_ELSE and look.places == self.places
        ]
        enough = len(lifting) >= _REVIEWERS_NEEDED and len(lifting) == len(newest)
        return self.liftable and enough

    @property
    def settled(self) -> bool:
        """Whether no review is missing: the hold was kept or lifted."""
        return self.lifted or (bool(self.looks) and self.looks[-1].decision == HoldDecision.KEEP)


def key_of(listing: Listing, file: RemoteFile) -> str:
    """Return the id in the queue of a file of a listing."""
    name = f"{listing.hub}:{listing.listing_id}:{file.name}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class HeldFiles:
    """The queue of held files."""

    def __init__(self, store: HeldFileStore, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def hold(
        self,
        naming: NamedMinor,
        listing: Listing,
        file: RemoteFile,
        triage: Triage | None,
        actor: str,
        now: datetime,
    ) -> HeldFile:
        """Put a file into the queue, or update its entry.

        Returns:
            The entry; a file whose hold was lifted before stays lifted unless the name appears in
            another place.
        """
        key = key_of(listing, file)
        known = self._store.file(key)
        header = triage.likeness if triage and triage.likeness is not None else 0.0
        sha256 = (triage.sha256 if triage else None) or file.sha256 or (known or {}).get("sha256")
        places = naming.places
        if (
            known
            and known["identity_id"] == naming.identity_id
            and triage is None
            and HEADER in known["places"]
        ):
            # The header was read before, and it does not change.
            places = tuple(json.loads(known["places"]))
        row = {
            "key": key,
            "identity_id": naming.identity_id,
            "sha256": sha256,
            "places": json.dumps(places),
            "hub": listing.hub,
            "listing_id": listing.listing_id,
            "title": listing.title,
            "url": listing.url,
            "file": file.name,
            "likeness": max(header, likeness_of(listing).score),
            "held_at": known["held_at"] if known else now.isoformat(),
        }
        if row != known:
            self._store.keep_file(row)
            self._vault.audit.record(
                "file-held", naming.identity_id, actor, now, held=key, places=list(places)
            )
        return self._with_looks(row)

    def of_bytes(self, sha256: str, minors: Collection[str]) -> HeldFile | None:
        """Return a file of these bytes that is held under any listing; None if none is.

        Args:
            minors: ids of the minors whose names are searched for.
        """
        found = (self._with_looks(row) for row in self._store.files(sha256))
        return next(
            (file for file in found if file.identity_id in minors and not file.lifted), None
        )

    def all(self, minors: Collection[str]) -> list[HeldFile]:
        """Return the held files that name one of these minors.

        Files that wait for a review come first, and among them the likeliest.
        """
        found = [
            file
            for row in self._store.files()
            if (file := self._with_looks(row)).identity_id in minors
        ]
        return sorted(found, key=lambda file: (file.settled, -file.likeness, file.held_at))

    def look(
        self,
        wanted: str,
        minors: Collection[str],
        by: str,
        actor: str,
        decision: str,
        reason: str,
        now: datetime,
        login: Login = (),
    ) -> HeldFile:
        """Record a review, in the queue and in the audit log.

        Args:
            wanted: key of the held file.
            by: name that the reviewer gave.
            login: marks of the login; empty if one login may stand for two people.

        Raises:
            HoldReviewRefused: the file, name, decision or reason is missing or not valid, or the
                file itself names the child.
        """
        held = next((file for file in self.all(minors) if file.key == wanted), None)
        if held is None:
            raise HoldReviewRefused(f"no file is held under {wanted!r}; `held list` shows what is")
        if decision not in list(HoldDecision):
            raise HoldReviewRefused(f"{decision!r} is not one of {', '.join(HoldDecision)}")
        if not by.strip() or not reason.strip():
            raise HoldReviewRefused("who looked and what they saw are part of the record")
        if decision == HoldDecision.SOMEBODY_ELSE and not held.liftable:
            raise HoldReviewRefused(
                "the file itself names the child: it stays held, whoever else its listing speaks of"
            )
        identity = self._vault.people.find(held.identity_id)
        nameless = without_name(reason.strip(), identity)
        self._vault.audit.record(
            "held-file-looked-at",
            held.identity_id,
            actor,
            now,
            held=held.key,
            decision=decision,
            reason=nameless,
        )
        self._store.keep_look(
            {
                "key": held.key,
                "at": now.isoformat(),
                "by": by.strip(),
                "actor": actor,
                "login": json.dumps(login),
                "decision": decision,
                "reason": nameless,
                "places": json.dumps(held.places),
            }
        )
        return next(file for file in self.all(minors) if file.key == held.key)

    def _with_looks(self, row: dict[str, Any]) -> HeldFile:
        looks = tuple(
            HoldReview(
                look["at"],
                look["by"],
                look["actor"],
                look["decision"],
                look["reason"],
                tuple(json.loads(look["places"])),
                tuple(json.loads(look["login"])),
            )
            for look in self._store.looks(row["key"])
        )
        return HeldFile(**{**row, "places": tuple(json.loads(row["places"])), "looks": looks})


def has_looked(held: HeldFile, actor: str) -> bool:
    """Whether this person has reviewed a held file."""
    return any(same_person(look.actor, actor) for look in held.looks)


def waiting(found: Collection[HeldFile]) -> Iterator[HeldFile]:
    """Return the files that wait for a review."""
    return (file for file in found if not file.settled)
