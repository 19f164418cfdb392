"""Everything that can go wrong between a photo and a search.

FaceIndexError
├── PackError
│   ├── PackMissing          the pack's files are not here, with how to bring them
│   ├── PackUnusable         the files are here and do not form a pack
│   ├── PackNotLicensed      the pack's licence does not cover this use
│   └── PackMismatch         vectors of two packs were about to meet
├── EnrolmentRefused         too few photos passed, or they show several people; `report` says why, photo by photo
├── PickRefused              a face was picked of a photo that cannot be told, or twice
├── ManifestInvalid          an agency's list cannot be read; names the line
├── ConsentMissing           no valid consent for what was asked
├── NotDecidable             an approval or rejection that the rules do not allow
├── UnknownIdentity          no identity of that id or name
│   └── SharedName           several identities have that name
├── NameTaken                an identity already has that name
├── NameRefused              a name or reference that could not tell people apart
├── CalibrationImpossible    too few scores, or files without labels, to state an error rate
├── ReceiptInvalid           an erasure receipt is not what this vault signed
└── VaultError
    ├── VaultLocked          the master key is missing or is not the one that sealed the vault
    ├── VaultDamaged         the file is not a sound vault; nothing was written to it
    ├── VaultSetBack         an older file lies in its place, and receipts of erasures since are missing
    ├── BackupUnusable       a backup cannot be made or restored
    ├── ClockWentBackwards   the newest audit entry lies in the future
    └── ClockFarAhead        nothing was written for so long that the clock may be wrong
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from face_index.registration.enrolment import EnrolmentReport


class FaceIndexError(Exception):
    """Root of the errors of this package."""


class PackError(FaceIndexError):
    """A face pack cannot be used."""


class PackMissing(PackError):
    """The pack's files are not on this machine and could not be fetched."""


class PackUnusable(PackError):
    """The files do not form a face pack."""


class PackNotLicensed(PackError):
    """The pack's licence does not cover the declared use."""


class PackMismatch(PackError):
    """Embeddings of two packs were about to be compared; such scores mean nothing."""


class EnrolmentRefused(FaceIndexError):
    """Too few photos passed, or they show several people."""

    def __init__(self, report: EnrolmentReport) -> None:
        reasons = "; ".join(
            f"{verdict.name}: {verdict.refusal}" for verdict in report.photos if verdict.refusal
        )
        if not report.photos:
            told = f"there are no image files in what was given; {report.needed} photos are needed"
        elif report.people:
            told = f"{people_told(report)}; register each of them with photos of their own"
        else:
            missing = report.needed - report.accepted
            told = f"{report.accepted} usable photos, {report.needed} are needed: add {missing} more. {reasons}"
        super().__init__(told.strip())
        self.report = report


def people_told(report: EnrolmentReport) -> str:
    """Which photos show whom, of photos that show several people who do not look alike."""
    groups = "; ".join(
        f"{number}: {', '.join(names)}" for number, names in enumerate(report.people, 1)
    )
    return f"these are photos of {len(report.people)} people who do not look alike ({groups})"


class PickRefused(FaceIndexError):
    """A face was picked of a photo that no or several photos' names fit, or twice."""


class ConsentMissing(FaceIndexError):
    """No valid consent for what was asked."""


class UnknownIdentity(FaceIndexError):
    """No identity of that id or name, or no licence of that id."""

    def __init__(self, wanted: str, what: str = "identity") -> None:
        where = "identities" if what == "identity" else f"{what} list NAME"
        super().__init__(f"no {what} is called {wanted!r}; `portrait-scanner {where}` lists them")
        self.wanted = wanted


class SharedName(UnknownIdentity):
    """Several identities have that name."""

    def __init__(self, wanted: str, ids: list[str]) -> None:
        super().__init__(wanted)
        self.args = (
            f"{len(ids)} identities are called {wanted!r}; give the id: {', '.join(one[:12] for one in ids)}",
        )
        self.ids = ids


class NameTaken(FaceIndexError):
    """An active identity already has that name."""


class NameRefused(FaceIndexError):
    """A name or reference that could not tell people apart."""


class ManifestInvalid(FaceIndexError):
    """An agency's list of persons cannot be read."""


class NotDecidable(FaceIndexError):
    """An approval or rejection that the rules do not allow."""


class CalibrationImpossible(FaceIndexError):
    """There is not enough to measure an error rate with."""


class ReceiptInvalid(FaceIndexError):
    """An erasure receipt is not what this vault signed."""


class VaultError(FaceIndexError):
    """The vault cannot be used as it is."""


class VaultLocked(VaultError):
    """The master key is missing or is not the one that sealed the vault."""


class VaultDamaged(VaultError):
    """The file is not a sound vault; nothing was written to it."""


class VaultSetBack(VaultError):
    """An older vault.db lies in its place, and receipts of erasures since are missing: somebody may be back."""

    def __init__(self, unnamed: int) -> None:
        super().__init__(
            f"nobody is searched: an older vault.db was put in its place, and of {unnamed} people who were erased since "
            "no receipt is here. Put erasures.jsonl back from a copy of yours, or run `portrait-scanner vault restore BACKUP` "
            "with the newest backup and the receipts that people were given"
        )


class BackupUnusable(VaultError):
    """A backup cannot be made or restored."""


class ClockWentBackwards(VaultError):
    """The machine's clock lies before the newest audit entry; nothing was written."""

    def __init__(self, now: datetime, newest: str) -> None:
        super().__init__(
            f"the clock says {now.isoformat(timespec='seconds')}, but the newest audit entry is of {newest}; "
            "nothing was written: set the machine's clock right and run the command again; if it is right now and was ahead "
            "then, `portrait-scanner audit accept-clock` says so in the log"
        )


class ClockFarAhead(VaultError):
    """The newest audit entry is so old that the machine's clock may be ahead; nothing was erased."""

    def __init__(self, now: datetime, silent_for: timedelta) -> None:
        super().__init__(
            f"the clock says {now:%Y-%m-%d}, and nothing was written to the audit log for {silent_for.days} days: if the clock "
            "is ahead, this would erase people whose consent still holds, so nobody was erased. Set the clock right, or say "
            "--clock-is-right"
        )
