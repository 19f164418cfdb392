"""The errors of this package.

ScanError
├── SettingsInvalid      a flag, environment variable or portrait-scanner.toml holds a bad value
├── KeyringUnusable      hub tokens are configured to come from the keyring, which does not answer
├── BaseModelMissing     the base model's files are not on this machine
├── ImageCheckMissing    the image check cannot be loaded, so no images are made
├── NotScannable         this checkpoint cannot be sampled faithfully; becomes `failed`
│   ├── UnfaithfulLoad   it loaded only in part, not at all, or to numbers that are not finite
│   └── RefusedToSample  a safety rule forbids sampling
├── NoiseNotShared       this pipeline cannot draw one invented person in several images
├── ReleaseRefused       this person may not release captures, or there is nothing to release
├── HoldReviewRefused    a statement about a held file cannot be recorded as it was given
├── EvidenceNotHere      a file that a bundle or its reproduction needs is not on this machine
├── FilingBusy           other processes keep filing cases about the same weights
├── ClusterUnreachable   no Ray cluster answers at the address
├── WorkerLost           a worker died, and another one examines its checkpoint
├── WorkersLost          workers died one after another over the same checkpoint
├── StagingFailed        the storage through which checkpoints travel takes or delivers no file
└── UnknownScan          no scan of that id
"""

from __future__ import annotations

from typing import Any

from reports.reasons.reason import Reason


class ScanError(Exception):
    """Root of the errors of this package. They can be pickled, whatever their arguments."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[ScanError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> ScanError:
    """Return an error without calling its constructor, which takes other arguments."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class SettingsInvalid(ScanError):
    """A flag, environment variable or portrait-scanner.toml holds a bad value."""


class KeyringUnusable(ScanError):
    """Hub tokens are configured to come from the system's keyring, which does not answer."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"the system's keyring cannot be used for hub tokens ({cause}); set "
            "hub_tokens = 'environment' and give them as PORTRAIT_SCANNER_CIVITAI_TOKEN "
            "and its like"
        )


class BaseModelMissing(ScanError):
    """The base model's files are not on this machine and could not be fetched."""


class ImageCheckMissing(ScanError):
    """Images could not be checked before anyone sees them, so none are made."""

    def __init__(self, location: str, cause: str) -> None:
        super().__init__(
            f"no image safety check: {location} cannot be loaded ({cause}); nothing is sampled "
            "without one. With network it is fetched at first use; without, bring its folder and "
            "set image_check to it, or put it in the cache that `portrait-scanner doctor` shows"
        )


class NotScannable(ScanError):
    """Nothing may be said about a checkpoint that cannot be sampled faithfully."""


class NoFingerprint(ScanError):
    """The weights of a file cannot be compared with those of others; the message says why."""


class HashListRefused(ScanError):
    """A list of hashes was not taken over; the message says why."""


class UnfaithfulLoad(NotScannable):
    """The adapter loaded only in part, not at all, or to numbers that are not finite."""


class RefusedToSample(NotScannable):
    """A safety rule forbids sampling this checkpoint."""


class NoiseNotShared(ScanError):
    """A pipeline cannot draw one invented person in several images."""

    def __init__(self, pipeline: str) -> None:
        super().__init__(
            f"{pipeline} prepares its noise in another way, so one person cannot be drawn in "
            "several images; give another --family, or calibrate with labelled photos"
        )


class ReleaseRefused(ScanError):
    """Captures may not be released by this person, or there is nothing to release."""


class HoldReviewRefused(ScanError):
    """A statement about a held file cannot be recorded as it was given."""


class UnknownScan(ScanError):
    """No scan of that id."""


class FilingBusy(ScanError):
    """Other processes keep filing cases about the same weights.

    The file has a verdict, but no case was filed.
    """

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"cases about {sha256} are being filed by other processes all the time; "
            "scan the file again"
        )


class ClusterUnreachable(ScanError):
    """No Ray cluster answers at the address."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(
            f"no Ray cluster answers at {address} ({cause}); start one with `ray start --head`, "
            "or scan without --ray; see docs/fleet.md"
        )


class WorkerLost(ScanError):
    """A worker died; another one examines its checkpoint."""


class StagingFailed(ScanError):
    """The storage through which checkpoints travel to workers takes or delivers no file."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(Reason("not-sent", {"place": place, "cause": cause}).in_english())


class WorkersLost(ScanError):
    """Workers died one after another over the same checkpoint."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            f"{tries} workers died one after another over this file; it may need more memory than "
            "a worker has. Scan it alone with --batch 1"
        )


class EvidenceNotHere(ScanError):
    """A checkpoint that is needed is not on this machine."""

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"the checkpoint {sha256} is not in the store; bring it with "
            f"`portrait-scanner fetch {sha256}`, or name the file with --checkpoint"
        )
        self.sha256 = sha256


def sentence_of(error: Exception) -> str:
    """An error as a sentence for people.

    This program's errors are unchanged, the system's get the file name, and others are marked as
    unexpected: `str(error)` of a KeyError is a word in quotes, and that of many others is empty.
    """
    if is_expected(error):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error}"


def is_expected(error: Exception) -> bool:
    """Whether it is one of this program's own errors, which need no traceback."""
    return type(error).__module__.partition(".")[0] in (
        "scanner",
        "crawlers",
        "face_index",
        "reports",
    )


def first_line(error: Exception) -> str:
    """The first line of a library's error; with the error's name if its text alone is unclear."""
    text = str(error).strip()
    if not text or isinstance(
        error, LookupError | AttributeError | AssertionError | RecursionError
    ):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return text.splitlines()[0][:160]
