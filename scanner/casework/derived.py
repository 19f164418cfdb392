"""Files whose weights come from those of a confirmed case."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reports.cases.case_store import CaseStore
from reports.cases.copies import CopyRecord
from reports.cases.listings import ListingRecord
from reports.reasons.reason import Reason
from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
from scanner.fingerprints.relation import DERIVED, Relation
from scanner.fingerprints.relatives import ListSearch, Relative, relatives_of


@dataclass(frozen=True, slots=True)
class Derivation:
    """That a file's weights come from those of a confirmed case."""

    case_id: str
    relative: Relative

    @property
    def reason(self) -> str:
        """The sentence that rows store."""
        return _reason(self.case_id, self.relative).in_english()

    def as_copy(self, listing: ListingRecord) -> CopyRecord:
        """The copy at one place, as the case's log holds it."""
        one = self.relative
        return CopyRecord(
            listing,
            str(one.relation),
            round(one.cosine, 4),
            round(one.share, 4),
            round(one.error, 4),
        )


def _reason(case_id: str, one: Relative) -> Reason:
    facts: dict[str, str | float] = {"case": case_id, "cosine": one.cosine}
    match one.relation:
        case Relation.RECAST:
            return Reason("derived-recast", facts)
        case Relation.RENAMED:
            return Reason("derived-renamed", facts)
        case Relation.RESCALED:
            return Reason("derived-rescaled", facts)
        case Relation.RESIZED:
            return Reason("derived-resized", facts)
        case Relation.ALTERED:
            return Reason("derived-altered", facts)
        case Relation.EPOCH:
            return Reason("derived-epoch", facts)
        case Relation.CONTAINS:
            return Reason("derived-contains", {**facts, "share": one.share})
        case _:
            return Reason("derived-same", {"case": case_id})


class DerivedFiles:
    """Compares files with those of confirmed cases. Used by several threads."""

    def __init__(self, fingerprints: FingerprintStore, case_store: CaseStore) -> None:
        self._fingerprints, self._case_store = fingerprints, case_store
        self._lock = threading.Lock()
        self._cases: Mapping[str, tuple[str, ...]] = MappingProxyType({})
        self._search = ListSearch(())
        self._unknown: frozenset[str] | None = None

    def of(self, known: KnownFile) -> list[Derivation]:
        """The confirmed cases from whose files a file derives, the nearest first."""
        with self._lock:
            self._refresh()
            cases, search = self._cases, self._search
        if not cases:
            return []
        return [
            Derivation(case_id, relative)
            for relative in relatives_of(known, search)
            if relative.relation in DERIVED
            for case_id in cases[relative.file.sha256]
        ]

    def _refresh(self) -> None:
        """Read the fingerprints of confirmed files again where cases or fingerprints changed."""
        cases: dict[str, tuple[str, ...]] = {}
        for case_id, sha256 in self._case_store.confirmed_files():
            cases[sha256] = (*cases.get(sha256, ()), case_id)
        missing = cases.keys() & (self._unknown or frozenset())
        if cases == self._cases and not (missing and self._fingerprints.of(missing)):
            return
        files = self._fingerprints.of(cases)
        self._cases, self._search = cases, ListSearch(files)
        self._unknown = frozenset(cases) - {file.sha256 for file in files}
