"""The listings of a case: the weights it is about may be uploaded many times, and are one case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from reports.cases.case import Case

# What tells one place from another; a hub that is sent the same upload again numbers it anew.
PLACE = ("hub", "listing_url", "creator", "file", "sha256")


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """One place where the weights of a case were listed.

    Attributes:
        file: its name there.
        sha256: of the file there; a rewritten header changes it, and not the weights.
        listing_url: an address, or the path of a file that was scanned from a folder.
        creator: who uploaded it, None where the hub names nobody.
    """

    hub: str
    listing_id: str | None
    listing_url: str
    title: str
    creator: str | None
    file: str
    sha256: str
    published_at: str | None

    def is_place_of(self, other: ListingRecord) -> bool:
        """Whether both are one place, whatever number and title the hub gives it."""
        return all(getattr(self, name) == getattr(other, name) for name in PLACE)

    def has_uploader_of(self, other: ListingRecord) -> bool:
        """Whether a word for this listing's uploader covers the other: an account on a hub, or else the very listing."""
        if self.creator:
            return (self.hub, self.creator) == (other.hub, other.creator)
        return self.listing_id == other.listing_id and self.is_place_of(other)


def own_listing(case: Case) -> ListingRecord:
    """The listing that a case was opened for."""
    told = case.checkpoint
    return ListingRecord(
        told.hub,
        told.listing_id,
        told.listing_url,
        told.title,
        told.creator,
        told.file,
        told.sha256,
        told.published_at,
    )


def listings_of(case: Case) -> tuple[ListingRecord, ...]:
    """Every listing of a case: its own first, then those that were attached, in the order they were found."""
    attached = (entry for entry in case.entries if entry.kind == "listing")
    return (own_listing(case), *(ListingRecord(**entry.details) for entry in attached))


def listing_details(listing: ListingRecord) -> dict[str, str | None]:
    """What the entry of an attached listing holds."""
    return asdict(listing)


def on_hub(listings: Iterable[ListingRecord], hub: str | None) -> tuple[ListingRecord, ...]:
    """Those of one hub."""
    return tuple(one for one in listings if one.hub == hub)
