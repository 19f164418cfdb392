"""What must have happened before somebody may confirm a case: they looked at its pictures, and say why in their own words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from face_index.vault.audit import AuditEntry
from face_index.vault.logins import Login, share_a_mark
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.review import same_name
from reports.errors import ConfirmationRefused

# One face may come up by chance in one image, so one comparison is not enough to confirm that a file draws a person.
LEAST_COMPARISONS = 3


@dataclass(frozen=True, slots=True)
class Viewing:
    """How much of a case one person has looked at.

    Attributes:
        opened: comparisons whose pictures they opened as they are, not blurred.
        needed: how many they must open before they may confirm.
    """

    opened: int
    needed: int

    @property
    def is_enough(self) -> bool:
        return 0 < self.needed <= self.opened


def comparisons_of(case: Case) -> list[frozenset[str]]:
    """The pictures that say something about a case, as sets that must be seen together; SHA-256, lower-case hex.

    Of a checkpoint, the samples whose faces were compared, each with its control; of captures, the faces that were.
    """
    if case.sighting is not None:
        return [
            frozenset({one.face_sha256})
            for one in case.sighting.images
            if one.in_mean and one.face_sha256
        ]
    counted = [one for one in case.samples if one.in_mean and one.image_sha256]
    paired = [one for one in counted if one.control_sha256] or counted
    return [frozenset(filter(None, (one.image_sha256, one.control_sha256))) for one in paired]


def viewing_of(
    case: Case, log: Iterable[AuditEntry], actor: str, login: Login = (), *, exports_count: bool
) -> Viewing:
    """What somebody has looked at, by the audit log.

    Args:
        log: entries about the case's person.
        actor: as they stand in the log.
        login: theirs; what was opened from another login under their name was opened by somebody else.
        exports_count: a report or bundle that shows every picture counts too, for those who work without pages.
    """
    comparisons = comparisons_of(case)
    needed = min(LEAST_COMPARISONS, len(comparisons))
    seen: set[str] = set()
    for entry in log:
        if entry.actor != actor or entry.details.get("case") != case.case_id:
            continue
        opened_from = entry.details.get("login", ())
        if login and opened_from and not share_a_mark(login, opened_from):
            continue
        if exports_count and entry.event == "case-exported" and not entry.details.get("redacted"):
            return Viewing(len(comparisons), needed)
        if entry.event == "picture-shown":
            seen |= set(entry.details["sha256"])
    return Viewing(sum(pictures <= seen for pictures in comparisons), needed)


def require_confirmable(
    case: Case,
    viewing: Viewing,
    case_store: CaseStore,
    reviewer: str,
    reason: str,
    *,
    withdrawn: bool,
) -> None:
    """Raise ConfirmationRefused where a case may not be confirmed by this person with this reason."""
    if withdrawn:
        raise ConfirmationRefused(
            "withdrawn",
            f"{case.identity_name} has withdrawn: no case about them is confirmed; it is kept as evidence",
        )
    if not viewing.is_enough:
        raise ConfirmationRefused(
            "unseen",
            f"open at least {max(1, viewing.needed)} of its pairs of pictures before you confirm it "
            f"({viewing.opened} were opened under this login): "
            f"`portrait-scanner report {case.case_id} --out DIR` writes them all side by side",
        )
    for other, confirmed_by in case_store.confirmations(reason):
        if other != case.case_id:
            told = f"the same words confirm case {other}: say in your own words what you saw in this one"
            raise ConfirmationRefused("same-words", told)
        if same_name(confirmed_by) != same_name(reviewer):
            told = f"these are the words of {confirmed_by}, who confirmed this case before: say in your own what you saw"
            raise ConfirmationRefused("same-words", told)
