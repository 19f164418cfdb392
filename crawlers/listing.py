"""What a hub says about one model version at one time, and what every hub must be able to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from crawlers.errors import HubRefused, ListingIncomplete


class Presence(StrEnum):
    """What a hub says has become of a listing."""

    LISTED = "listed"
    GONE = "gone"  # 404
    ARCHIVED = "archived"  # 410, or the hub's word for it
    TAKEN_DOWN = "taken down"
    FLAGGED = "flagged as a real person"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a listing.

    Attributes:
        name: the file's name on the hub.
        url: where it is downloaded; a path for a local file.
        size_bytes: as the hub says, None if it does not.
        sha256: as the hub says, lower-case hex, None if it does not.
        weights_hash: SHA-256 of the tensor bytes as the hub says (AutoV3), 12 to 64 lower-case hex digits.
        other_hashes: "blake3:", "autov1:" or "crc32:" with their digits, as the hub says; no part of a version.
    """

    name: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None
    weights_hash: str | None = None
    other_hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """One model version as its hub describes it.

    Attributes:
        hub: name of the hub.
        listing_id: the hub's own id of this version.
        title: what people read.
        url: the page a person would open.
        triggers: words the uploader says the adapter answers to.
        base_model: the hub's own words for it, e.g. "SD 1.5".
        real_person_flag: the hub itself says that it shows a real person.
        minor_flag: the hub itself says that it shows a minor.
        raw: the response this came from, as text; evidence, kept unchanged.
        training_data: archives of the training photos, where the hub offers them.
        revision: changes whenever the hub's content does, None where the hub names nothing of the kind.
        standing: what the hub says has become of it, where it lists it all the same.
        complete: False while `Hub.complete` has more to ask.
        gaps: which of its files may be missing here and why, in sentences.
        declared: what is said of it is the word of whoever sent the file, not a hub's; it proves nothing about the uploader.
    """

    hub: str
    listing_id: str
    title: str
    url: str
    creator: str | None
    triggers: tuple[str, ...]
    tags: tuple[str, ...]
    base_model: str | None
    published_at: str | None
    downloads: int | None
    real_person_flag: bool
    minor_flag: bool
    files: tuple[RemoteFile, ...]
    raw: str
    training_data: tuple[RemoteFile, ...] = ()
    revision: str | None = None
    standing: Presence = Presence.LISTED
    complete: bool = True
    gaps: tuple[str, ...] = ()
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a hub that is read from its beginning to its end beside the others.

    Attributes:
        name: what the hub makes of it: a search, a stretch of time; the same for the same part in every sweep.
        since: only what changed since then, None for everything.
        last: read after all others, because what changes meanwhile turns up there.
    """

    name: str = ""
    since: datetime | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Listings as a hub hands them out.

    Attributes:
        listings: may be none, may repeat those of another page.
        cursor: where the next page begins, None after the last one.
        notes: what was odd about this page, in sentences.
        gap: why listings may be missing here, in a sentence. A sweep with a gap is not finished.
    """

    listings: tuple[Listing, ...]
    cursor: str | None
    notes: tuple[str, ...] = ()
    gap: str | None = None


class Hub(Protocol):
    """A place that lists checkpoints. Listings come page by page; a hub never holds them all.

    Methods are called from several threads, those of one strand never at the same time.
    """

    name: str

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        """The parts that together are everything, or everything that changed since then."""

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Pages from a cursor on, from the beginning without one.

        The last page is the one at which the hub says that its list ends. An error ends the stream
        by raising, an end that cannot be believed by a page with a gap, neither of them silently.
        """

    def complete(self, listing: Listing) -> Listing:
        """A listing whose `complete` is False, with what only a further request tells; raises HubError."""

    def check_presence(self, listing_id: str) -> Presence:
        """What has become of one listing; raises HubError if that cannot be told now."""


class SinglePartition:
    """What hubs share that are read in one go and hold nothing back."""

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        return (Partition(since=since),)

    def complete(self, listing: Listing) -> Listing:
        return listing


def presence_of_status(error: HubRefused) -> Presence:
    """Presence from a refusal's HTTP status; raises the refusal itself where it says nothing about presence."""
    by_status = {404: Presence.GONE, 410: Presence.ARCHIVED, 451: Presence.TAKEN_DOWN}
    if error.status not in by_status:
        raise error
    return by_status[error.status]


def listings_of(hub: Hub) -> Iterator[Listing]:
    """Every listing of a hub, each id once and complete.

    Raises:
        ListingIncomplete: listings may be missing; after all that could be read.
        HubError: the hub stopped answering.
    """
    seen: set[str] = set()
    gaps: list[str] = []
    for partition in hub.partitions():
        for page in hub.pages(partition):
            gaps += [page.gap] if page.gap else []
            for listing in page.listings:
                if listing.listing_id not in seen:
                    seen.add(listing.listing_id)
                    yield listing if listing.complete else hub.complete(listing)
    if gaps:
        raise ListingIncomplete("; ".join(dict.fromkeys(gaps)))


_FILE_FIELDS = tuple(field.name for field in fields(RemoteFile) if field.name != "other_hashes")
_LISTING_FIELDS = tuple(
    field.name
    for field in fields(Listing)
    if field.name not in ("files", "training_data", "raw", "complete", "gaps", "declared")
)


def listing_to_dict(listing: Listing) -> dict[str, Any]:
    """A listing as JSON values, without the raw response."""
    record = {name: getattr(listing, name) for name in _LISTING_FIELDS}
    for part in ("files", "training_data"):
        record[part] = [
            {name: getattr(file, name) for name in _FILE_FIELDS} for file in getattr(listing, part)
        ]
    # Named only where it is so: what hubs say keeps its hash.
    return record | ({"declared": True} if listing.declared else {})


def listing_from_dict(record: Mapping[str, Any]) -> Listing:
    """The inverse of `listing_to_dict`, also after a round trip through JSON."""
    lists = {name: tuple(record[name]) for name in ("triggers", "tags")}
    files = {
        name: tuple(RemoteFile(**one) for one in record.get(name, ()))
        for name in ("files", "training_data")
    }
    standing = Presence(record.get("standing", Presence.LISTED))
    return Listing(**{"raw": "", **record, **lists, **files, "standing": standing})


def bare_listing(hub: str, listing_id: str, title: str, url: str, file: RemoteFile) -> Listing:
    """A listing of one file about which nobody says anything."""
    return Listing(
        hub=hub, listing_id=listing_id, title=title, url=url, creator=None, triggers=(), tags=(), base_model=None,
        published_at=None, downloads=None, real_person_flag=False, minor_flag=False, files=(file,), raw="",
    )  # fmt: skip


def hex_digest(text: Any, shortest: int = 64) -> str | None:
    """A hash as hubs write it, in lower case, None for anything that is no hash of at least so many digits."""
    plain = text.lower().removeprefix("0x") if isinstance(text, str) else ""
    return (
        plain if shortest <= len(plain) <= 64 and not set(plain) - set("0123456789abcdef") else None
    )
