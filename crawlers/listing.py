"""A listing, which is a hub's description of one model version, and the protocol of hubs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from crawlers.errors import HubRefused, ListingIncomplete


class Presence(StrEnum):
    """The state of a listing according to its hub."""

    LISTED = "listed"
    GONE = "gone"  # 404
    ARCHIVED = "archived"  # 410, or the hub's own word for it
    TAKEN_DOWN = "taken down"
    FLAGGED = "flagged as a real person"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a listing.

    Attributes:
        name: the file's name on the hub.
        url: the address of the download; a path for a local file.
        size_bytes: the size according to the hub, None if it names none.
        sha256: the SHA-256 according to the hub in lower-case hex, None if it names none.
        weights_hash: the SHA-256 of the tensor bytes according to the hub (AutoV3), 12 to 64
            lower-case hex digits.
        other_hashes: "blake3:", "autov1:" or "crc32:" and the digits that the hub names. A change
            of these is not a new version of the listing.
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
        hub: the name of the hub.
        listing_id: the hub's own id of this version.
        title: the title for people.
        url: the page that a person would open.
        triggers: words that the adapter answers to, according to the uploader.
        base_model: the base model in the hub's own words, e.g. "SD 1.5".
        real_person_flag: whether the hub says that the model shows a real person.
        minor_flag: whether the hub says that the model shows a minor.
        raw: the response that the listing was read from, as text; evidence, kept unchanged.
        training_data: archives of the training photos, where the hub offers them.
        revision: a value that changes with the hub's content, None if the hub has no such value.
        standing: the state according to the hub's own document.
        complete: False while `Hub.complete` must make a further request.
        gaps: sentences that say which of its files may be missing and why.
        declared: whether the description comes from the person who sent the file and not from a
            hub. It then proves nothing about the uploader.
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
    """A part of a hub that is read from beginning to end, in parallel with the other parts.

    Attributes:
        name: the hub's own name for the part, e.g. a search or a range of dates. It stays the same
            in every sweep.
        since: read only what changed since this moment, None for everything.
        last: read after all other partitions, because concurrent changes turn up in this one.
    """

    name: str = ""
    since: datetime | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of listings from a hub.

    Attributes:
        listings: may be empty, and may repeat listings of another page.
        cursor: the cursor of the next page, None after the last page.
        notes: sentences about irregularities of the page.
        gap: a sentence that says why listings may be missing. A sweep with a gap is not finished.
    """

    listings: tuple[Listing, ...]
    cursor: str | None
    notes: tuple[str, ...] = ()
    gap: str | None = None


class Hub(Protocol):
    """A place that lists checkpoints, page by page; a hub never holds all listings in memory.

    The methods are called from several threads, but never concurrently for the same partition.
    """

    name: str

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        """The partitions that together hold everything, or everything that changed since then."""

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages from a cursor on, or from the beginning without a cursor.

        The last page is the page at which the hub says that its list ends. After an error the
        iterator raises; an end that is not credible is a page with a gap. Neither is silent.
        """

    def complete(self, listing: Listing) -> Listing:
        """Add to a listing with `complete` False what needs a further request; raises HubError."""

    def check_presence(self, listing_id: str) -> Presence:
        """The present state of a listing; raises HubError if the hub does not answer."""


class SinglePartition:
    """The methods of a hub with one partition and with listings that need no further request."""

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        return (Partition(since=since),)

    def complete(self, listing: Listing) -> Listing:
        return listing


def presence_of_status(error: HubRefused) -> Presence:
    """The presence that an HTTP status means; raises the refusal if it means none."""
    by_status = {404: Presence.GONE, 410: Presence.ARCHIVED, 451: Presence.TAKEN_DOWN}
    if error.status not in by_status:
        raise error
    return by_status[error.status]


def listings_of(hub: Hub) -> Iterator[Listing]:
    """Yield every listing of a hub, each id once and complete.

    Raises:
        ListingIncomplete: listings may be missing; raised after everything that could be read.
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
    # Left out where it is False, so that records of hubs keep their hash.
    return record | ({"declared": True} if listing.declared else {})


def listing_from_dict(record: Mapping[str, Any]) -> Listing:
    """The inverse of `listing_to_dict`, also after a round trip through JSON."""
    lists = {name: tuple(record[name]) for name in ("triggers", "tags")}
    files = {
        name: tuple(RemoteFile(**_known(RemoteFile, file)) for file in record.get(name, ()))
        for name in ("files", "training_data")
    }
    standing = Presence(record.get("standing", Presence.LISTED))
    values = {"raw": "", **record, **lists, **files, "standing": standing}
    return Listing(**_known(Listing, values))


def _known(record_type: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of fields that the record has; a later version may have written others."""
    return {field.name: values[field.name] for field in fields(record_type) if field.name in values}


def bare_listing(hub: str, listing_id: str, title: str, url: str, file: RemoteFile) -> Listing:
    """A listing of one file without any description."""
    return Listing(
        hub=hub,
        listing_id=listing_id,
        title=title,
        url=url,
        creator=None,
        triggers=(),
        tags=(),
        base_model=None,
        published_at=None,
        downloads=None,
        real_person_flag=False,
        minor_flag=False,
        files=(file,),
        raw="",
    )


def hex_digest(text: Any, shortest: int = 64) -> str | None:
    """A hash in lower case, None if the text is no hash of at least `shortest` digits."""
    plain = text.lower().removeprefix("0x") if isinstance(text, str) else ""
    return (
        plain if shortest <= len(plain) <= 64 and not set(plain) - set("0123456789abcdef") else None
    )
