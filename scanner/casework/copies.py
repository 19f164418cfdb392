"""Related files with the listings and cases about them, and copies in cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crawlers.listing import Listing
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.inquiries import Inquiries
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.case_summary import weights_of
from reports.cases.copies import CopyRecord
from reports.cases.listings import ListingRecord
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.full_model import BaseOf
from scanner.fingerprints.relation import DERIVED, Relation, inverse_of
from scanner.fingerprints.relatives import Relative, Search, have_same_change, relatives_of

_BEFORE_NAME = {Relation.CONTAINS: "", Relation.CONTAINED: "", Relation.EPOCH: "as"}


@dataclass(frozen=True, slots=True)
class RelatedFile:
    """A file whose weights are related to those of another, and what is known about it.

    Attributes:
        file: its name.
        cosine, share, error: see scanner.fingerprints.relatives.Relative.
        listings: every place where its bytes are listed.
        case_id: of the newest case about it, a confirmed one first; None without one.
    """

    file: str
    sha256: str
    relation: Relation
    cosine: float
    share: float
    error: float
    listings: tuple[ListingRecord, ...]
    case_id: str | None

    def in_words(self) -> str:
        """The relation in a line, as `inspect` shows it."""
        places = ", ".join(f"{one.hub}:{one.listing_id}" for one in self.listings)
        known = [f"at {places}"] if places else []
        known += [f"case {self.case_id}"] if self.case_id else []
        words = {Relation.SAME_WEIGHTS: "the same weights as"}.get(
            self.relation, f"{self.relation} {_BEFORE_NAME.get(self.relation, 'of')}".rstrip()
        )
        numbers = f"cosine {self.cosine:.3f}, share {self.share:.0%}"
        return "; ".join([f"{words} {self.file} ({numbers})", *known])

    def as_document(self) -> dict[str, Any]:
        """The JSON contract of a relation."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "relation": str(self.relation),
            "cosine": round(self.cosine, 4),
            "share": round(self.share, 4),
            "error": round(self.error, 4),
            "listings": [
                {
                    "hub": listing.hub,
                    "listing_id": listing.listing_id,
                    "url": listing.listing_url,
                    "title": listing.title,
                    "uploader": listing.creator,
                    "published_at": listing.published_at,
                    "file": listing.file,
                }
                for listing in self.listings
            ],
            "case_id": self.case_id,
        }


@dataclass(frozen=True, slots=True)
class RelatedFiles:
    """Finds the files that are related to a file, with their listings and cases."""

    store: FingerprintStore
    search: Search
    crawl: CrawlStore
    case_store: CaseStore
    base_of: BaseOf

    def of(
        self, sha256: str, weights_hash: str | None, known: KnownFile | None
    ) -> list[RelatedFile]:
        """The files related to a file, the nearest first.

        Args:
            known: the fingerprint of the file; None if it has none, and only files with the same
                bytes are found then.
        """
        found = [self._same_bytes(sha256, weights_hash)]
        found += self._same_weights(sha256, weights_hash, known)
        named = {one.sha256 for one in found if one is not None}
        relatives = relatives_of(known, self.search) if known is not None else []
        found += [self._related(one) for one in relatives if one.file.sha256 not in named]
        return [one for one in found if one is not None]

    def _same_bytes(self, sha256: str, weights_hash: str | None) -> RelatedFile | None:
        """The file itself where it is listed."""
        listings = self.listings_of(sha256)
        if not listings:
            return None
        return self._identical(listings[0].file, sha256, weights_hash, listings)

    def _same_weights(
        self, sha256: str, weights_hash: str | None, known: KnownFile | None
    ) -> list[RelatedFile]:
        if weights_hash is None:
            return []
        others = [
            *self.store.of_weights(weights_hash),
            *Inquiries(self.crawl).files_of_weights(weights_hash),
        ]
        found = []
        for other in dict.fromkeys(others):
            if other == sha256:
                continue
            listings = self.listings_of(other)
            stored = self.store.get(other)
            if known is not None and stored is not None and not have_same_change(known, stored):
                continue
            name = stored.name if stored else listings[0].file if listings else other
            found.append(self._identical(name, other, weights_hash, listings))
        return found

    def _identical(
        self, name: str, sha256: str, weights: str | None, listings: tuple[ListingRecord, ...]
    ) -> RelatedFile:
        case_id = self.case_store.case_of_file(sha256, weights)
        return RelatedFile(name, sha256, Relation.SAME_WEIGHTS, 1.0, 1.0, 0.0, listings, case_id)

    def _related(self, one: Relative) -> RelatedFile:
        file = one.file
        listings = self.listings_of(file.sha256)
        case_id = self.case_store.case_of_file(file.sha256, file.weights_hash)
        return RelatedFile(
            listings[0].file if listings else file.name,
            file.sha256,
            one.relation,
            one.cosine,
            one.share,
            one.error,
            listings,
            case_id,
        )

    def listings_of(self, sha256: str) -> tuple[ListingRecord, ...]:
        """Every place where a file is listed, the oldest first."""
        return tuple(places_of(Inquiries(self.crawl).holders(sha256), sha256))


def places_of(listings: Iterable[Listing], sha256: str) -> Iterable[ListingRecord]:
    """The places at which listings have a file, as cases hold them."""
    for listing in listings:
        for file in listing.files:
            if file.sha256 == sha256:
                yield ListingRecord(
                    listing.hub,
                    listing.listing_id,
                    listing.url,
                    listing.title,
                    listing.creator,
                    file.name,
                    sha256,
                    listing.published_at,
                )


def copies_for(case: Case, related: RelatedFiles) -> tuple[list[ListingRecord], list[CopyRecord]]:
    """The listings of a case's weights, and the places of files that derive from them.

    Sources of a merge are left out: they may show somebody else.
    """
    sha256 = case.checkpoint.sha256
    found = related.of(sha256, weights_of(case), related.store.get(sha256))
    listings: list[ListingRecord] = []
    copies: list[CopyRecord] = []
    for one in found:
        relation = inverse_of(one.relation)
        if relation == Relation.SAME_WEIGHTS:
            listings += one.listings
        elif relation in DERIVED:
            share = one.cosine**2 if relation == Relation.CONTAINS else one.share
            numbers = (round(one.cosine, 4), round(share, 4), round(one.error, 4))
            copies += [CopyRecord(place, str(relation), *numbers) for place in one.listings]
    return listings, copies
