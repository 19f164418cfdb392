"""Files that name a registered minor: held, never sampled, and put before a person, who says what they saw.

Anybody can write a child's name into the words about somebody else's file. So a hold is a line in a queue: somebody looks, and
that they did stays in the record. Where the file itself does not name the child, two people who both say that somebody else is
meant lift it; whatever it says afterwards in another place holds it again.
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
from scanner.errors import LookRefused
from scanner.scanning.held_file_store import HeldFileStore
from scanner.triage.header import Triage
from scanner.triage.minors import HEADER, Naming

_TWO = 2


class LookDecision(StrEnum):
    """What somebody who looked at a held file says."""

    KEEP = "keep"  # it shows the child, or may
    SOMEBODY_ELSE = "somebody-else"  # an adult is meant


@dataclass(frozen=True, slots=True)
class Look:
    """That somebody looked at a held file.

    Attributes:
        places: where it named the child then.
        login: marks of who was logged in (face_index.vault.logins).
    """

    at: str
    by: str
    actor: str
    decision: str
    reason: str
    places: tuple[str, ...]
    login: Login = ()

    def is_of_whom(self, other: Look) -> bool:
        """Whether one person looked both times: names may be given as anybody likes, logins may not."""
        return same_person(self.actor, other.actor) or share_a_mark(self.login, other.login)


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One file of one listing that names a registered minor.

    Attributes:
        key: names it; the same for the same file of the same listing.
        places: where the name stands (scanner.triage.minors.Naming).
        likeness: how much header and listing look like a person's adapter, 0 to 1: the first to be looked at.
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
    looks: tuple[Look, ...] = ()

    @property
    def liftable(self) -> bool:
        """Whether the name stands in words about the file alone."""
        return HEADER not in self.places

    @property
    def lifted(self) -> bool:
        """Whether two people, and nobody since, said that somebody else is meant."""
        newest: list[Look] = []  # of each person
        for one in reversed(self.looks):
            if not any(one.is_of_whom(other) for other in newest):
                newest.append(one)
        fitting = [
            one
            for one in newest
            if one.decision == LookDecision.SOMEBODY_ELSE and one.places == self.places
        ]
        return self.liftable and len(fitting) >= _TWO and len(fitting) == len(newest)

    @property
    def settled(self) -> bool:
        """Whether nothing waits for anybody: it stays held, or was lifted."""
        return self.lifted or (bool(self.looks) and self.looks[-1].decision == LookDecision.KEEP)


def key_of(listing: Listing, file: RemoteFile) -> str:
    """What names a file of a listing in the queue."""
    return hashlib.sha256(f"{listing.hub}:{listing.listing_id}:{file.name}".encode()).hexdigest()[
        :16
    ]


class HeldFiles:
    """The held files of one home."""

    def __init__(self, store: HeldFileStore, vault: Vault) -> None:
        self._store, self._vault = store, vault

    def hold(
        self,
        naming: Naming,
        listing: Listing,
        file: RemoteFile,
        triage: Triage | None,
        actor: str,
        now: datetime,
    ) -> HeldFile:
        """Put a file into the queue, or note what is new of one that is there; whether it is lifted is said by what comes back."""
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
            places = tuple(json.loads(known["places"]))  # what the header said once it still says
        row = {
            "key": key, "identity_id": naming.identity_id, "sha256": sha256, "places": json.dumps(places),
            "hub": listing.hub, "listing_id": listing.listing_id, "title": listing.title, "url": listing.url, "file": file.name,
            "likeness": max(header, likeness_of(listing).score), "held_at": known["held_at"] if known else now.isoformat(),
        }  # fmt: skip
        if row != known:
            self._store.keep_file(row)
            self._vault.audit.record(
                "file-held", naming.identity_id, actor, now, held=key, places=list(places)
            )
        return self._with_looks(row)

    def of_bytes(self, sha256: str, minors: Collection[str]) -> HeldFile | None:
        """A file of these bytes that is held under any listing; None for one that was lifted.

        Args:
            minors: ids of those who are looked for now.
        """
        found = (self._with_looks(row) for row in self._store.files(sha256))
        return next((one for one in found if one.identity_id in minors and not one.lifted), None)

    def all(self, minors: Collection[str]) -> list[HeldFile]:
        """Whatever waits for a look first, the likeliest likeness first; of minors who are looked for now."""
        found = [
            one
            for row in self._store.files()
            if (one := self._with_looks(row)).identity_id in minors
        ]
        return sorted(found, key=lambda one: (one.settled, -one.likeness, one.held_at))

    def look(
        self, wanted: str, minors: Collection[str], by: str, actor: str, decision: str, reason: str, now: datetime,
        login: Login = (),
    ) -> HeldFile:  # fmt: skip
        """Note that somebody looked, here and in the audit log.

        Args:
            login: who is logged in, whatever name they give; nobody where one login may speak for two.

        Raises:
            LookRefused: no such file, name, decision or reason, or the file itself names the child.
        """
        held = next((one for one in self.all(minors) if one.key == wanted), None)
        if held is None:
            raise LookRefused(f"no file is held under {wanted!r}; `held list` shows what is")
        if decision not in list(LookDecision):
            raise LookRefused(f"{decision!r} is not one of {', '.join(LookDecision)}")
        if not by.strip() or not reason.strip():
            raise LookRefused("who looked and what they saw are part of the record")
        if decision == LookDecision.SOMEBODY_ELSE and not held.liftable:
            raise LookRefused(
                "the file itself names the child: it stays held, whoever else its listing speaks of"
            )
        identity = self._vault.people.find(held.identity_id)
        told = without_name(reason.strip(), identity)
        self._vault.audit.record(
            "held-file-looked-at",
            held.identity_id,
            actor,
            now,
            held=held.key,
            decision=decision,
            reason=told,
        )
        self._store.keep_look(
            {
                "key": held.key, "at": now.isoformat(), "by": by.strip(), "actor": actor, "login": json.dumps(login), "decision": decision, "reason": told,
                "places": json.dumps(held.places),
            }
        )  # fmt: skip
        return next(one for one in self.all(minors) if one.key == held.key)

    def _with_looks(self, row: dict[str, Any]) -> HeldFile:
        looks = tuple(
            Look(
                one["at"],
                one["by"],
                one["actor"],
                one["decision"],
                one["reason"],
                tuple(json.loads(one["places"])),
                tuple(json.loads(one["login"])),
            )
            for one in self._store.looks(row["key"])
        )
        return HeldFile(**{**row, "places": tuple(json.loads(row["places"])), "looks": looks})


def has_looked(held: HeldFile, actor: str) -> bool:
    """Whether somebody's own word is in the record of a held file."""
    return any(same_person(one.actor, actor) for one in held.looks)


def waiting(found: Collection[HeldFile]) -> Iterator[HeldFile]:
    """Those that nobody settled yet."""
    return (one for one in found if not one.settled)
