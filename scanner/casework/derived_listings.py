"""Listings whose files come from those of confirmed cases, as far as hubs and headers tell.

They are fetched and scanned before others. Nothing is downloaded to find them: hubs name hashes of
files and weights, and headers the training.
"""

from __future__ import annotations

from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries
from reports.cases.case_store import CaseStore
from reports.cases.case_summary import weights_of
from reports.cases.copies import copies_of
from reports.cases.listings import listings_of

Place = tuple[str, str]
"""The name of a hub and the id of a listing there."""


def derived_listings(crawl: CrawlStore, case_store: CaseStore) -> list[Place]:
    """The listings with a file of a confirmed case, a copy of it, or a save of its training.

    Those that are no longer listed are left out.
    """
    inquiries, found = Inquiries(crawl), dict[Place, None]()
    for case_id, _ in case_store.confirmed_files():
        case = case_store.case(case_id)
        sha256s = {listing.sha256 for listing in listings_of(case)}
        sha256s |= {copy.listing.sha256 for copy in copies_of(case)}
        sha256s |= set(inquiries.files_of_weights(weights_of(case) or ""))
        holders = [one for sha256 in sorted(sha256s) for one in inquiries.holders(sha256)]
        found |= dict.fromkeys((one.hub, one.listing_id) for one in holders)
        session_id = case.checkpoint.training.get("session_id")
        saves = inquiries.of_one_training(str(session_id)) if session_id else []
        found |= dict.fromkeys((str(one["hub"]), str(one["listing_id"])) for one in saves)
    return [place for place in found if crawl.is_listed(*place)]
