"""The listings of a case: its weights may be uploaded many times and stay one case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from reports.cases.case import Case
from reports.cases.case_summary import CaseSummary

# The fields that identify a place. A hub numbers the same upload anew when it is sent again.
PLACE = ("hub", "listing_url", "creator", "file", "sha256")


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """One place where the weights of a case were listed.

    Attributes:
        file: the name of the file at this place.
        sha256: of this file; a rewritten header changes it and leaves the weights as they are.
        listing_url: an address, or the path of a file that was scanned from a folder.
        creator: the uploader, None if the hub names none.
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
        """Whether both are one place, whatever id and title the hub gives it."""
        return all(getattr(self, name) == getattr(other, name) for name in PLACE)

    def has_uploader_of(self, other: ListingRecord) -> bool:
        """Whether both have one uploader: the same account on a hub, or else the same listing."""
        if self.creator:
            return (self.hub, self.creator) == (other.hub, other.creator)
        return self.listing_id == other.listing_id and self.is_place_of(other)


def own_listing(case: Case) -> ListingRecord:
    """The listing that a case was opened for."""
    checkpoint = case.checkpoint
    return ListingRecord(
        checkpoint.hub,
        checkpoint.listing_id,
        checkpoint.listing_url,
        checkpoint.title,
        checkpoint.creator,
        checkpoint.file,
        checkpoint.sha256,
        checkpoint.published_at,
    )


def listings_of(case: Case) -> tuple[ListingRecord, ...]:
    """Every listing of a case: its own first, then the attached ones as they were found."""
    attached = (entry for entry in case.entries if entry.kind == "listing")
    return (own_listing(case), *(ListingRecord(**entry.details) for entry in attached))


def places_of(case: CaseSummary) -> list[dict[str, str | None]]:
    """Every place of a case's weights, for lists: hub, address, title, uploader, file, hash."""
    own = {
        "hub": case.hub,
        "listing_url": case.listing_url,
        "title": case.title,
        "creator": case.creator,
        "file": case.file,
        "sha256": case.sha256,
    }
    attached = (entry.details for entry in case.entries if entry.kind == "listing")
    return [own, *({name: details[name] for name in own} for details in attached)]


def listing_details(listing: ListingRecord) -> dict[str, str | None]:
    """The details of the log entry for an attached listing."""
    return asdict(listing)


def on_hub(listings: Iterable[ListingRecord], hub: str | None) -> tuple[ListingRecord, ...]:
    """The listings on one hub."""
    return tuple(listing for listing in listings if listing.hub == hub)
