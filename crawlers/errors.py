"""Everything that can go wrong on the way from a hub to a checkpoint on disk.

CrawlError
├── UnreadableCheckpoint     the file is not what it claims to be
│   ├── NotSafetensors       another format altogether; `kind` says which
│   ├── HeaderTooLarge       the header claims more bytes than we agree to read
│   ├── TooManyTensors       the header names more tensors than we agree to hold
│   └── MalformedHeader      the header contradicts itself or the file
├── HubError                 a hub did not give what was asked
│   ├── UnknownHub           no hub of that name is built in
│   ├── DestinationRefused   an address that is not on the public internet, or no http(s) address
│   ├── HubUnreachable       no answer after all retries
│   └── HubRefused           an answer that retrying will not change; `status` holds it
└── DownloadError            the bytes that came are not the checkpoint
    ├── HashMismatch         complete, but other bytes than the hub named
    └── DownloadTooLarge     more bytes than the limit allows
"""

from __future__ import annotations


class CrawlError(Exception):
    """Root of the errors of this package."""


class UnreadableCheckpoint(CrawlError):
    """The file cannot be read as a checkpoint."""


class NotSafetensors(UnreadableCheckpoint):
    """The file is of another format; pickles end here and are never opened."""

    def __init__(self, kind: str, advice: str) -> None:
        super().__init__(advice)
        self.kind = kind


class HeaderTooLarge(UnreadableCheckpoint):
    """The safetensors header claims more bytes than we agree to read."""

    def __init__(self, claimed: int, limit: int) -> None:
        super().__init__(f"the header claims {claimed:,} bytes, the limit is {limit:,}; treat the file as hostile")
        self.claimed, self.limit = claimed, limit


class TooManyTensors(UnreadableCheckpoint):
    """The safetensors header names more tensors than we agree to hold."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the header names {count:,} tensors, the limit is {limit:,}; treat the file as hostile")
        self.count, self.limit = count, limit


class MalformedHeader(UnreadableCheckpoint):
    """The safetensors header contradicts itself, the format or the file's length."""


class HubError(CrawlError):
    """A hub did not give what was asked."""


class UnknownHub(HubError):
    """No hub of that name is built in."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no hub is called {name!r}; known are {', '.join(known)}")
        self.name, self.known = name, known


class DestinationRefused(HubError):
    """A request was about to leave for an address that nobody may be sent to."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} is not fetched: {problem}")
        self.place, self.problem = place, problem


class HubUnreachable(HubError):
    """The hub gave no usable answer after all retries."""


class HubRefused(HubError):
    """The hub answered, and the answer is no."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(f"{url} answered {status}: {message}")
        self.url, self.status, self.message = url, status, message


class DownloadError(CrawlError):
    """The bytes that came are not the checkpoint that was asked for."""


class HashMismatch(DownloadError):
    """The download is complete but its SHA-256 is not the one the hub named."""

    def __init__(self, url: str, expected: str, actual: str) -> None:
        super().__init__(f"{url}: SHA-256 is {actual}, the hub says {expected}; the file was replaced or damaged")
        self.url, self.expected, self.actual = url, expected, actual


class DownloadTooLarge(DownloadError):
    """The server sends more bytes than the limit allows."""
