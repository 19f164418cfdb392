"""The exceptions of this package.

CrawlError
├── UnreadableCheckpoint     the file is not what it claims to be
│   ├── NotSafetensors       another format; `kind` names it
│   ├── HeaderTooLarge       the header claims more bytes than the limit
│   ├── TooManyTensors       the header names more tensors than the limit
│   ├── MalformedHeader      the header contradicts itself or the file
│   ├── UnreadableEncoding   the server sends the file in a content coding that is not supported
│   └── ArchiveRefused       a zip archive that is broken, encrypted or too large to unpack
├── CaptureRefused           a capture of an unsupported format, or broken or hostile beyond use
├── CapturesBusy             captures cannot be deleted at the moment
├── UnknownCapture           no capture has that id
├── HubError                 a hub did not deliver what was requested
│   ├── UnknownHub           no built-in hub has that name
│   ├── PlaceBusy            another program is sweeping the same place
│   ├── DestinationRefused   the address is not public, or not an http(s) address
│   ├── RobotsDisallow       the host's robots.txt forbids the request
│   ├── HubUnreachable       no answer after all retries
│   ├── ListingIncomplete    the hub answered, but listings may be missing
│   └── HubRefused           an error that retrying will not change; `status` holds it
└── DownloadError            the bytes received are not the checkpoint
    ├── HashMismatch         the download is complete, but its SHA-256 is another one
    ├── NotWeights           a page or a text was sent instead of the file
    ├── DownloadTooLarge     the server sends more bytes than the limit
    ├── KnownAbsent          the file was refused recently and is not requested again yet
    └── NoRoom               the disk, or the budget for checkpoints, is full
"""

from __future__ import annotations


class CrawlError(Exception):
    """Root of the errors of this package."""


class UnreadableCheckpoint(CrawlError):
    """The file cannot be read as a checkpoint."""


class NotSafetensors(UnreadableCheckpoint):
    """The file has another format. `kind` is "pickle" (never opened), "zip" or "unknown"."""

    def __init__(self, kind: str, advice: str) -> None:
        super().__init__(advice)
        self.kind = kind


class HeaderTooLarge(UnreadableCheckpoint):
    """The safetensors header claims more bytes than the limit."""

    def __init__(self, claimed: int, limit: int) -> None:
        super().__init__(
            f"the header claims {claimed:,} bytes, the limit is {limit:,}; "
            "treat the file as hostile"
        )
        self.claimed, self.limit = claimed, limit


class TooManyTensors(UnreadableCheckpoint):
    """The safetensors header names more tensors than the limit."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"the header names {count:,} tensors, the limit is {limit:,}; treat the file as hostile"
        )
        self.count, self.limit = count, limit


class MalformedHeader(UnreadableCheckpoint):
    """The safetensors header contradicts itself, the format or the length of the file."""


class UnreadableEncoding(UnreadableCheckpoint):
    """The server sends the file in an unsupported content coding that nobody requested."""


class ArchiveRefused(UnreadableCheckpoint):
    """A zip archive is broken, encrypted or larger than the limits for unpacking."""


class CaptureRefused(CrawlError):
    """A capture cannot be read. Its file is kept all the same."""


class CapturesBusy(CrawlError):
    """Captures cannot be deleted while others are being taken in or judged."""

    def __init__(self) -> None:
        super().__init__("captures are being taken in or judged just now; try again in a minute")


class UnknownCapture(CrawlError):
    """No capture, and no page of a capture, has that id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no capture {wanted!r}; `portrait-scanner captures list` shows them")


class HubError(CrawlError):
    """A hub did not deliver what was requested."""


class UnknownHub(HubError):
    """No built-in hub has that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"{name!r} is no file or folder that is here, no URL, and no hub; "
            f"hubs are {', '.join(known)}"
        )
        self.name, self.known = name, known


class PlaceBusy(HubError):
    """Another program is sweeping the same place in the same home."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} is being crawled by another program with this --home; wait for it, or stop it"
        )
        self.place = place


class DestinationRefused(HubError):
    """A request would go to an address that is not allowed."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} is not fetched: {problem}")
        self.place, self.problem = place, problem


class RobotsDisallow(HubError):
    """The host's robots.txt forbids the request."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} is not fetched: the host's robots.txt disallows it; ask its owner, or name the "
            "host in robots_exempt in portrait-scanner.toml if you have their permission"
        )
        self.url = url


class HubUnreachable(HubError):
    """The hub gave no usable answer after all retries."""


class ListingIncomplete(HubError):
    """A hub's list was read as far as it goes, but the hub does not show whether it is complete."""


class HubRefused(HubError):
    """The hub answered with an error status."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(f"{url} answered {status}: {message}")
        self.url, self.status, self.message = url, status, message


class DownloadError(CrawlError):
    """The bytes received are not the checkpoint that was requested."""


class HashMismatch(DownloadError):
    """The download is complete, but its SHA-256 is not the one that the hub named.

    The bytes are kept under their own SHA-256.
    """

    def __init__(self, url: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{url}: SHA-256 is {actual}, the hub says {expected}; the file was replaced or damaged"
        )
        self.url, self.expected, self.actual = url, expected, actual


class DownloadTooLarge(DownloadError):
    """The server sends more bytes than the limit."""


class NotWeights(DownloadError):
    """A page, a text or a pointer was sent instead of the file. Nothing of it is kept."""


class KnownAbsent(DownloadError):
    """The hub refused this file recently, and it is not requested again yet."""

    def __init__(self, name: str, looked_at: str, expires_at: str) -> None:
        super().__init__(
            f"{name} was refused on {looked_at[:10]} and is asked for again after "
            f"{expires_at[:10]}, or with --again"
        )


class NoRoom(DownloadError):
    """There is no room for more. Partial downloads stay, so that the same command can resume."""
