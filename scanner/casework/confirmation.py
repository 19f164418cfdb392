"""Conditions for confirming a case: its pictures were opened, and the reason is no copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from face_index.vault.audit import AuditEntry
from face_index.vault.logins import Login, share_a_mark
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.review import same_name
from reports.errors import ConfirmationRefused

# A face may appear in one image by chance, so one comparison is not enough to confirm a case.
LEAST_COMPARISONS = 3


@dataclass(frozen=True, slots=True)
class PicturesViewed:
    """How many comparisons of a case one person has looked at.

    Attributes:
        opened: number of comparisons whose pictures they opened unblurred.
        needed: number that they must open before they may confirm.
    """

    opened: int
    needed: int

    @property
    def is_enough(self) -> bool:
        return 0 < self.needed <= self.opened


def comparisons_of(case: Case) -> list[frozenset[str]]:
    """The compared pictures of a case, as sets of SHA-256 that must be seen together.

    For a checkpoint these are the samples whose faces were compared, each with its control; for
    captures, the faces that were compared.
    """
    if case.sighting is not None:
        return [
            frozenset({image.face_sha256})
            for image in case.sighting.images
            if image.in_mean and image.face_sha256
        ]
    counted = [sample for sample in case.samples if sample.in_mean and sample.image_sha256]
    paired = [sample for sample in counted if sample.control_sha256] or counted
    return [
        frozenset(filter(None, (sample.image_sha256, sample.control_sha256))) for sample in paired
    ]


def viewing_of(
    case: Case, log: Iterable[AuditEntry], actor: str, login: Login = (), *, exports_count: bool
) -> PicturesViewed:
    """The comparisons that somebody has looked at, according to the audit log.

    Args:
        log: entries about the case's person.
        actor: their name in the log.
        login: their login; pictures opened from another login under their name do not count.
        exports_count: an unredacted report or bundle counts too, for work without the web app.
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
            return PicturesViewed(len(comparisons), needed)
        if entry.event == "picture-shown":
            seen |= set(entry.details["sha256"])
    return PicturesViewed(sum(pictures <= seen for pictures in comparisons), needed)


def require_confirmable(
    case: Case,
    viewing: PicturesViewed,
    case_store: CaseStore,
    reviewer: str,
    reason: str,
    *,
    withdrawn: bool,
) -> None:
    """Raise ConfirmationRefused if this person may not confirm the case with this reason."""
    if withdrawn:
        raise ConfirmationRefused(
            "withdrawn",
            f"{case.identity_name} has withdrawn: no case about them is confirmed; "
            "it is kept as evidence",
        )
    if not viewing.is_enough:
        raise ConfirmationRefused(
            "unseen",
            f"open at least {max(1, viewing.needed)} of its pairs of pictures before you confirm "
            f"it ({viewing.opened} were opened under this login): "
            f"`portrait-scanner report {case.case_id} --out DIR` writes them all side by side",
        )
    for other, confirmed_by in case_store.confirmations(reason):
        if other != case.case_id:
            raise ConfirmationRefused(
                "same-words",
                f"the same words confirm case {other}: "
                "say in your own words what you saw in this one",
            )
        if same_name(confirmed_by) != same_name(reviewer):
            raise ConfirmationRefused(
                "same-words",
                f"these are the words of {confirmed_by}, who confirmed this case before: "
                "say in your own what you saw",
            )
