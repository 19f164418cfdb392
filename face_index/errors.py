"""Everything that can go wrong between a photo and a search.

FaceIndexError
├── PackError
│   ├── PackMissing          the pack's files are not here, with how to bring them
│   ├── PackUnusable         the files are here and do not form a pack
│   ├── PackNotLicensed      the pack's licence does not cover this use
│   └── PackMismatch         vectors of two packs were about to meet
├── EnrolmentRefused         too few photos passed; `report` says why, photo by photo
├── ConsentMissing           no valid consent for what was asked
├── UnknownIdentity          no identity of that id or name
├── NameTaken                an active identity already has that name
└── VaultLocked              the master key is missing or is not the one that sealed the vault
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from face_index.enrolment import EnrolmentReport


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
    """Too few photos passed."""

    def __init__(self, report: EnrolmentReport) -> None:
        reasons = "; ".join(f"{verdict.name}: {verdict.reason}" for verdict in report.photos if verdict.reason)
        super().__init__(f"{report.accepted} usable photos, {report.needed} are needed. {reasons}")
        self.report = report


class ConsentMissing(FaceIndexError):
    """No valid consent for what was asked."""


class UnknownIdentity(FaceIndexError):
    """No identity of that id or name."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no identity is called {wanted!r}; `portrait-scanner identities` lists them")
        self.wanted = wanted


class NameTaken(FaceIndexError):
    """An active identity already has that name."""


class VaultLocked(FaceIndexError):
    """The master key is missing or is not the one that sealed the vault."""
