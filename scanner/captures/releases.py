"""Release of captured pictures by a second person, who did not take them in.

A decision covers the present images of an account or page; further images need another one. The
second person sees the pages, but neither a name nor a score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crawlers.captures.capture_store import CaptureStore
from face_index.vault import Vault
from face_index.vault.logins import Login, same_person, share_a_mark
from scanner.captures.disclosure import Source, source_of
from scanner.captures.handling import Handled, handled_by
from scanner.captures.subjects import Subject, subjects_of
from scanner.captures.verdicts import CaptureVerdicts
from scanner.errors import ReleaseRefused


class ReleaseDecision(StrEnum):
    """Decision of a second person about captured pictures."""

    # There is a reason to search the account or page, and the finding may be disclosed.
    RELEASE = "release"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Person:
    """A person who decides.

    Attributes:
        name: the name under which they decide.
        login: their own; on the command line the name again, because nobody signs in there.
        marks: of the login (face_index.vault.logins); empty if one login may do both steps.
    """

    name: str
    login: str
    marks: Login = ()


@dataclass(frozen=True, slots=True)
class PendingRelease:
    """Captured pictures that wait for a second person.

    Attributes:
        searched: False if nothing is searched before the decision.
        brought_by: names of the people who took them in or corrected their pages.
        marks: of those people's logins.
    """

    subject: Subject
    searched: bool
    brought_by: frozenset[str]
    marks: frozenset[str]

    def may_be_decided_by(self, person: Person) -> bool:
        """Whether a person took no part in taking the pictures in."""
        named = any(
            same_person(submitter, name)
            for submitter in self.brought_by
            for name in (person.name, person.login)
        )
        return not named and not share_a_mark(person.marks, self.marks)


class Releases:
    """Pictures that wait for a second person, and decisions."""

    def __init__(self, captures: CaptureStore, verdicts: CaptureVerdicts, vault: Vault) -> None:
        self._captures, self._verdicts, self._vault = captures, verdicts, vault

    def decision_about(self, subject: Subject) -> str | None:
        """The newest decision about these images; None without one."""
        found = self._verdicts.release_of(subject.key, subject.version)
        return str(found["decision"]) if found else None

    def waiting(self, capture_id: str | None = None) -> Iterator[PendingRelease]:
        """Undecided pictures of one capture or of all."""
        pending: list[tuple[Subject, bool]] = []
        for subject in subjects_of(self._captures, capture_id):
            if self.decision_about(subject) is not None:
                continue
            held = self._verdicts.is_held(subject.key, subject.version)
            if held or source_of(subject, self._captures) == Source.SAID:
                pending.append((subject, held))
        pages = (page for subject, _ in pending for page in subject.pages.values())
        handled = handled_by(self._vault, {page.capture_id for page in pages})
        for subject, held in pending:
            yield PendingRelease(subject, held, *self._submitters(subject, handled))

    def decide(
        self, waiting: PendingRelease, person: Person, decision: str, reason: str, now: datetime
    ) -> None:
        """Record a second person's decision, in this store and in the audit log.

        Raises:
            ReleaseRefused: the name or reason is missing, the decision is unknown, or the person
                took part in taking the pictures in.
        """
        if decision not in list(ReleaseDecision):
            raise ReleaseRefused(f"{decision!r} is not one of {', '.join(ReleaseDecision)}")
        if not person.name.strip() or not reason.strip():
            raise ReleaseRefused("who releases it and why are part of the record")
        if not waiting.may_be_decided_by(person):
            raise ReleaseRefused(
                f"{person.name}, or somebody at this login, took these captures in or corrected "
                "them; somebody else must look at the pages and release them, from a login of "
                "their own"
            )
        subject = waiting.subject
        captures = sorted({page.capture_id for page in subject.pages.values()})
        self._vault.audit.record(
            f"captured-{decision}",
            "vault",
            person.login,
            now,
            captures=captures[:20],
            version=subject.version,
            reason=reason.strip(),
        )
        self._verdicts.keep_release(
            {
                "subject": subject.key,
                "version": subject.version,
                "decision": decision,
                "by": person.name.strip(),
                "actor": person.login,
                "reason": reason.strip(),
                "at": now.isoformat(),
            }
        )

    def _submitters(
        self, subject: Subject, handled: dict[str, Handled]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Names and login marks of those who took in or corrected a subject's captures."""
        names, marks = set[str](), set[str]()
        for page in subject.pages.values():
            capture = self._captures.known(page.capture_id)
            own = handled.get(page.capture_id, Handled())
            names |= own.names | {page.edited_by or "", capture.taken_in_by if capture else ""}
            marks |= own.marks
        return frozenset(names - {""}), frozenset(marks)
