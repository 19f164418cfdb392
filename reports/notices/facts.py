"""The facts that a case gives to a notice, by the names that fields.toml gives to their sources."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cases.case import Case
from reports.cases.copies import CopyRecord, copies_of
from reports.cases.listings import ListingRecord, listings_of, on_hub
from reports.notices.template import Template


def addressed_listings(template: Template, case: Case) -> tuple[ListingRecord, ...]:
    """The listings that a notice is about: all on its hub, or on the hub of the first listing.

    Those of files that were made from the weights of the case are among them if the law of the
    notice reaches them.
    """
    listings = listings_of(case)
    every = (*listings, *(copy.listing for copy in covered_copies(template, case)))
    return on_hub(every, template.hub or listings[0].hub) or listings[:1]


def covered_copies(template: Template, case: Case) -> tuple[CopyRecord, ...]:
    """The copies of a case that the law of a notice reaches, on any hub."""
    return tuple(
        copy for copy in copies_of(case) if copy.is_identical or template.copies == "derived"
    )


def listing_facts(listings: Sequence[ListingRecord]) -> dict[str, str]:
    """Facts of listings of the same weights: every address and hash once, one hub and title."""
    first = listings[0]
    urls = dict.fromkeys(listing.listing_url for listing in listings)
    creators = dict.fromkeys(listing.creator for listing in listings if listing.creator)
    return {
        "checkpoint.listing_url": " ".join(urls),
        "checkpoint.sha256": ", ".join(dict.fromkeys(listing.sha256 for listing in listings)),
        "checkpoint.file": ", ".join(dict.fromkeys(listing.file for listing in listings)),
        "checkpoint.creator": ", ".join(creators),
        "checkpoint.hub": first.hub,
        "checkpoint.title": first.title,
    }


def captured_facts(case: Case) -> dict[str, str]:
    """Facts of a captured account: addresses of its pages that show the person, name, captures."""
    sighting = case.sighting
    if sighting is None:
        return {}
    counted = {number for image in sighting.images if image.in_mean for number in image.pages}
    urls = [
        page.url
        for number, page in enumerate(sighting.pages)
        if page.url and (number in counted or not counted)
    ]
    if sighting.account_url:
        urls.insert(0, sighting.account_url)
    name, number = sighting.account_name or case.checkpoint.file, sighting.account_id
    return {
        "checkpoint.listing_url": " ".join(dict.fromkeys(urls)),
        "account": f"{name} ({number})" if number else name,
        "captures": ", ".join(capture.sha256 for capture in sighting.captures),
    }
