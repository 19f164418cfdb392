"""What a hub says about one model version at one time, and what every hub must be able to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


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


class Hub(Protocol):
    """A place that lists checkpoints. Listings come as a stream; a hub never holds them all."""

    name: str

    def listings(self) -> Iterator[Listing]:
        """Every listing, each version once. An error ends the stream by raising, never silently."""


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
