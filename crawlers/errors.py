"""Everything that can go wrong on the way from a hub to a checkpoint on disk.

CrawlError
├── UnreadableCheckpoint     the file is not what it claims to be
│   ├── NotSafetensors       another format altogether; `kind` says which
│   ├── HeaderTooLarge       the header claims more bytes than we agree to read
│   ├── TooManyTensors       the header names more tensors than we agree to hold
│   ├── MalformedHeader      the header contradicts itself or the file
│   ├── UnreadableEncoding   the server sends the file in a coding that cannot be undone
│   └── ArchiveRefused       a zip that is broken, encrypted, or larger than we agree to unpack
├── CaptureRefused           a saved page that is of no format that is read, broken or hostile beyond use
├── CapturesBusy             nothing can be deleted just now
├── UnknownCapture           no capture of that id
├── HubError                 a hub did not give what was asked
│   ├── UnknownHub           no hub of that name is built in
│   ├── PlaceBusy            another program is sweeping the same place
│   ├── DestinationRefused   an address that is not on the public internet, or no http(s) address
│   ├── RobotsDisallow       the host's robots.txt says no
│   ├── HubUnreachable       no answer after all retries
│   ├── ListingIncomplete    answers came, and listings may be missing between them
│   └── HubRefused           an answer that retrying will not change; `status` holds it
└── DownloadError            the bytes that came are not the checkpoint
    ├── HashMismatch         complete, but other bytes than the hub named
    ├── NotWeights           a page or a text in place of the file
    ├── DownloadTooLarge     more bytes than the limit allows
    ├── KnownAbsent          refused not long ago; not asked again yet
    └── NoRoom               the disk, or the part of it that checkpoints may fill, is full
"""

from __future__ import annotations


class CrawlError(Exception):
    """Root of the errors of this package."""


class UnreadableCheckpoint(CrawlError):
    """The file cannot be read as a checkpoint."""


class NotSafetensors(UnreadableCheckpoint):
    """The file is of another format, as `kind` says: "pickle", which is never opened, "zip", or "unknown"."""

    def __init__(self, kind: str, advice: str) -> None:
        super().__init__(advice)
        self.kind = kind


class HeaderTooLarge(UnreadableCheckpoint):
    """The safetensors header claims more bytes than we agree to read."""

    def __init__(self, claimed: int, limit: int) -> None:
        super().__init__(
            f"the header claims {claimed:,} bytes, the limit is {limit:,}; treat the file as hostile"
        )
        self.claimed, self.limit = claimed, limit


class TooManyTensors(UnreadableCheckpoint):
    """The safetensors header names more tensors than we agree to hold."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"the header names {count:,} tensors, the limit is {limit:,}; treat the file as hostile"
        )
        self.count, self.limit = count, limit


class MalformedHeader(UnreadableCheckpoint):
    """The safetensors header contradicts itself, the format or the file's length."""


class UnreadableEncoding(UnreadableCheckpoint):
    """The server sends the file in a coding that nobody asked for, and that cannot be undone."""


class ArchiveRefused(UnreadableCheckpoint):
    """A zip archive is broken, encrypted, or larger than we agree to unpack."""


class CaptureRefused(CrawlError):
    """A capture cannot be read; it is kept all the same."""


class CapturesBusy(CrawlError):
    """Something cannot be deleted while captures are being taken in or judged."""

    def __init__(self) -> None:
        super().__init__("captures are being taken in or judged just now; try again in a minute")


class UnknownCapture(CrawlError):
    """No capture, or no page of one, has that id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no capture {wanted!r}; `portrait-scanner captures list` shows them")


class HubError(CrawlError):
    """A hub did not give what was asked."""


class UnknownHub(HubError):
    """No hub of that name is built in."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"{name!r} is no file or folder that is here, no URL, and no hub; hubs are {', '.join(known)}"
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
    """A request was about to leave for an address that nobody may be sent to."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} is not fetched: {problem}")
        self.place, self.problem = place, problem


class RobotsDisallow(HubError):
    """The host asks robots not to fetch this."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} is not fetched: the host's robots.txt disallows it; ask its owner, or name the host in "
            "robots_exempt in portrait-scanner.toml if you have their leave"
        )
        self.url = url


class HubUnreachable(HubError):
    """The hub gave no usable answer after all retries."""


class ListingIncomplete(HubError):
    """A hub's list was read as far as it goes, and nobody can know whether that is all of it."""


class HubRefused(HubError):
    """The hub answered, and the answer is no."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(f"{url} answered {status}: {message}")
        self.url, self.status, self.message = url, status, message


class DownloadError(CrawlError):
    """The bytes that came are not the checkpoint that was asked for."""


class HashMismatch(DownloadError):
    """The download is complete but its SHA-256 is not the one the hub named; the bytes are kept under their own."""

    def __init__(self, url: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{url}: SHA-256 is {actual}, the hub says {expected}; the file was replaced or damaged"
        )
        self.url, self.expected, self.actual = url, expected, actual


class DownloadTooLarge(DownloadError):
    """The server sends more bytes than the limit allows."""


class NotWeights(DownloadError):
    """A page, a text or a pointer came in place of the file; nothing of it is kept."""


class KnownAbsent(DownloadError):
    """The hub refused this file not long ago, and is not asked again yet."""

    def __init__(self, name: str, looked_at: str, expires_at: str) -> None:
        super().__init__(
            f"{name} was refused on {looked_at[:10]} and is asked for again after {expires_at[:10]}, or with --again"
        )


class NoRoom(DownloadError):
    """Nothing more can be kept; what came so far stays, and the same command goes on once there is room."""
