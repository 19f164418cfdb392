"""Everything that can go wrong between a checkpoint and its verdict.

ScanError
├── SettingsInvalid      a flag, environment variable or portrait-scanner.toml holds a bad value
├── KeyringUnusable      hub tokens are to come from the system's keyring, and it gives no answer
├── BaseModelMissing     the base model's files are not here, with how to bring them
├── NotScannable         this checkpoint cannot be sampled faithfully; becomes `failed`
│   ├── UnfaithfulLoad   it loaded only in part, not at all, or to numbers that are not finite
│   └── RefusedToSample  a safety rule forbids sampling
└── UnknownScan          no scan of that id
"""

from __future__ import annotations


class ScanError(Exception):
    """Root of the errors of this package."""


class SettingsInvalid(ScanError):
    """A flag, environment variable or portrait-scanner.toml holds a bad value."""


class KeyringUnusable(ScanError):
    """Hub tokens are to come from the system's keyring, and it gives no answer."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"the system's keyring cannot be used for hub tokens ({cause}); set hub_tokens = 'environment' and give "
            "them as PORTRAIT_SCANNER_CIVITAI_TOKEN and its like"
        )


class BaseModelMissing(ScanError):
    """The base model's files are not on this machine and could not be fetched."""


class NotScannable(ScanError):
    """Nothing may be said about a checkpoint that cannot be sampled faithfully."""


class UnfaithfulLoad(NotScannable):
    """The adapter loaded only in part, not at all, or to numbers that are not finite."""


class RefusedToSample(NotScannable):
    """A safety rule forbids sampling this checkpoint."""


class UnknownScan(ScanError):
    """No scan of that id."""
