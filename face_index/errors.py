"""The errors of face_index.

FaceIndexError
├── PackError
│   ├── PackMissing          the pack's files are not on this machine; says how to install them
│   ├── PackUnusable         the files do not form a pack
│   ├── PackNotLicensed      the pack's licence does not cover this use
│   └── PackMismatch         vectors of two packs were about to be compared
├── EnrolmentRefused         too few photos passed, or they show several people
│                            (in face_index.registration.report, with the report for each photo)
├── PickRefused              the photo of a picked face is unknown or ambiguous, or picked twice
├── ManifestInvalid          an agency's list cannot be read; names the line
├── ConsentMissing           no valid consent for the request
├── NotDecidable             an approval or rejection that the rules do not allow
├── UnknownIdentity          no identity of that id or name
│   └── SharedName           several identities have that name
├── NameTaken                an identity already has that name
├── NameRefused              a name or reference that could not tell people apart
├── CalibrationImpossible    too few scores, or files without labels, to state an error rate
├── ReceiptInvalid           an erasure receipt was altered or signed by another vault
└── VaultError
    ├── VaultLocked          the master key is missing or is not the one that sealed the vault
    ├── VaultDamaged         the file is not a sound vault; nothing was written to it
    ├── VaultSetBack         the file is an older copy, and receipts of erasures are missing
    ├── BackupUnusable       a backup cannot be made or restored
    ├── ClockWentBackwards   the newest audit entry is later than the clock
    └── ClockFarAhead        nothing was written for so long that the clock may be wrong
"""

from __future__ import annotations

from datetime import datetime, timedelta


class FaceIndexError(Exception):
    """Base class of the errors of this package."""


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


class PickRefused(FaceIndexError):
    """A face was picked for a photo that no name or several names fit, or picked twice."""


class ConsentMissing(FaceIndexError):
    """No valid consent for the request."""


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
        listed = ", ".join(identity_id[:12] for identity_id in ids)
        self.args = (f"{len(ids)} identities are called {wanted!r}; give the id: {listed}",)
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
    """There are too few scores to measure an error rate."""


class ReceiptInvalid(FaceIndexError):
    """An erasure receipt was altered or signed by another vault."""


class VaultError(FaceIndexError):
    """Base class of the errors of the vault."""


class VaultLocked(VaultError):
    """The master key is missing or is not the one that sealed the vault."""


class VaultDamaged(VaultError):
    """The file is not a sound vault; nothing was written to it."""


class VaultSetBack(VaultError):
    """The vault is an older copy, and receipts of erasures are missing.

    People who were erased may be among those who would be searched.
    """

    def __init__(self, unnamed: int) -> None:
        super().__init__(
            "nobody is searched: an older vault.db was put in its place, and of "
            f"{unnamed} people who were erased since then no receipt is here. Put erasures.jsonl "
            "back from a copy of yours, or run `portrait-scanner vault restore BACKUP` with the "
            "newest backup and the receipts that people were given"
        )


class BackupUnusable(VaultError):
    """A backup cannot be made or restored."""


class ClockWentBackwards(VaultError):
    """The machine's clock is earlier than the newest audit entry; nothing was written."""

    def __init__(self, now: datetime, newest: str) -> None:
        super().__init__(
            f"the clock says {now.isoformat(timespec='seconds')}, but the newest audit entry is "
            f"of {newest}; nothing was written: set the machine's clock right and run the command "
            "again; if it is right now and was ahead then, `portrait-scanner audit accept-clock` "
            "says so in the log"
        )


class ClockFarAhead(VaultError):
    """The newest audit entry is so old that the clock may be ahead; nothing was erased."""

    def __init__(self, now: datetime, silent_for: timedelta) -> None:
        super().__init__(
            f"the clock says {now:%Y-%m-%d}, and nothing was written to the audit log for "
            f"{silent_for.days} days: if the clock is ahead, this would erase people whose consent "
            "still holds, so nobody was erased. Set the clock right, or say --clock-is-right"
        )
