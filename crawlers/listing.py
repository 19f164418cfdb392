"""What a hub says about one model version at one time, and what every hub must be able to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from crawlers.errors import HubRefused


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a listing.

    Attributes:
        name: the file's name on the hub.
        url: where it is downloaded; a path for a local file.
        size_bytes: as the hub says, None if it does not.
        sha256: as the hub says, lower-case hex, None if it does not.
    """

    name: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None


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


@dataclass(frozen=True, slots=True)
class Page:
    """Listings as a hub hands them out.

    Attributes:
        listings: may be none, may repeat those of another page.
        cursor: where the next page begins, None after the last one.
        notes: what was odd about this page, in sentences.
    """

    listings: tuple[Listing, ...]
    cursor: str | None
    notes: tuple[str, ...] = ()


class Presence(StrEnum):
    """What a hub says of a listing that it no longer lists."""

    LISTED = "listed"
    GONE = "gone"  # 404
    ARCHIVED = "archived"  # 410, or the hub's word for it
    TAKEN_DOWN = "taken down"
    FLAGGED = "flagged as a real person"


class Hub(Protocol):
    """A place that lists checkpoints. Listings come page by page; a hub never holds them all."""

    name: str

    def pages(self, cursor: str | None = None) -> Iterator[Page]:
        """Pages from a cursor on, from the beginning without one. An error ends the stream by raising, never silently."""

    def look(self, listing_id: str) -> Presence:
        """What has become of one listing; raises HubError if that cannot be told now."""


def presence_of_status(error: HubRefused) -> Presence:
    """Presence from a refusal's HTTP status; raises the refusal itself where it says nothing about presence."""
    by_status = {404: Presence.GONE, 410: Presence.ARCHIVED, 451: Presence.TAKEN_DOWN}
    if error.status not in by_status:
        raise error
    return by_status[error.status]


def listings_of(hub: Hub) -> Iterator[Listing]:
    """Every listing of a hub, each id once."""
    seen: set[str] = set()
    for page in hub.pages():
        for listing in page.listings:
            if listing.listing_id not in seen:
                seen.add(listing.listing_id)
                yield listing


def listing_from_dict(fields: Mapping[str, Any]) -> Listing:
    """The inverse of dataclasses.asdict, also after a round trip through JSON."""
    files = tuple(RemoteFile(**file) for file in fields["files"])
    return Listing(**{**fields, "files": files, "triggers": tuple(fields["triggers"]), "tags": tuple(fields["tags"])})


def bare_listing(hub: str, listing_id: str, title: str, url: str, file: RemoteFile) -> Listing:
    """A listing of one file about which nobody says anything."""
    return Listing(
        hub=hub, listing_id=listing_id, title=title, url=url, creator=None, triggers=(), tags=(), base_model=None,
        published_at=None, downloads=None, real_person_flag=False, minor_flag=False, files=(file,), raw="",
    )  # fmt: skip
