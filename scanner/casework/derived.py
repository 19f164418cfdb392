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
from scanner.fingerprints.relation import COPIES, DERIVED, LEAST_COSINE_COMPLETE, Relation
from scanner.fingerprints.relatives import ListSearch, Relative, relatives_of


@dataclass(frozen=True, slots=True)
class Derivation:
    """That a file's weights come from those of a confirmed case.

    Attributes:
        source: the installation whose list names the case; None for a case of this one.
    """

    case_id: str
    relative: Relative
    source: str | None = None

    @property
    def reason(self) -> str:
        """The sentence that rows store."""
        if self.source is not None:
            named: dict[str, str | float] = {"case": self.case_id, "source": self.source}
            facts = {**named, "cosine": self.relative.cosine}
            return Reason("listed-derived", facts).in_english()
        return _reason(self.case_id, self.relative).in_english()

    @property
    def is_complete_copy(self) -> bool:
        """Whether the file shows the same people as the case's, and nobody else."""
        one = self.relative
        return one.relation in COPIES and one.cosine >= LEAST_COSINE_COMPLETE

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


_Source = tuple[str, str | None]
"""A case, and the installation whose list names it; None for this one."""


class DerivedFiles:
    """Compares files with those of confirmed cases. Used by several threads."""

    def __init__(self, fingerprints: FingerprintStore, case_store: CaseStore) -> None:
        self._fingerprints, self._case_store = fingerprints, case_store
        self._lock = threading.Lock()
        self._cases: Mapping[str, tuple[_Source, ...]] = MappingProxyType({})
        self._search = ListSearch(())
        self._unknown: frozenset[str] | None = None
        self._lists: tuple[tuple[str, str], ...] = ()

    def of_file(self, sha256: str) -> list[Derivation]:
        """The same for a file whose fingerprint is stored; none for any other file.

        Fingerprints are read only where there is something to compare them with.
        """
        if not self._case_store.confirmed_files() and not self._fingerprints.lists():
            return []
        known = self._fingerprints.get(sha256)
        return self.of(known) if known is not None else []

    def of(self, known: KnownFile) -> list[Derivation]:
        """The confirmed cases from whose files a file derives, the nearest first.

        Cases of other installations are among them whose lists were imported.
        """
        with self._lock:
            self._refresh()
            cases, search = self._cases, self._search
        same = Relative(known, Relation.SAME_WEIGHTS, 1.0, 1.0, 0.0, None)
        listed = self._fingerprints.listed_as(known.sha256, known.weights_hash)
        found = [Derivation(case_id, same, source) for source, case_id in listed]
        return found + [
            Derivation(case_id, relative, source)
            for relative in relatives_of(known, search)
            if relative.relation in DERIVED
            for case_id, source in cases[relative.file.sha256]
        ]

    def _refresh(self) -> None:
        """Read the fingerprints of confirmed files again where cases or fingerprints changed."""
        cases: dict[str, tuple[_Source, ...]] = {}
        named = [(sha256, case_id, None) for case_id, sha256 in self._case_store.confirmed_files()]
        listed = [
            (sha256, case_id, source) for sha256, source, case_id in self._fingerprints.listed()
        ]
        for sha256, case_id, source in (*named, *listed):
            cases[sha256] = (*cases.get(sha256, ()), (case_id, source))
        missing = cases.keys() & (self._unknown or frozenset())
        lists = tuple((row["key_sha256"], row["digest"]) for row in self._fingerprints.lists())
        has_come = bool(missing) and bool(self._fingerprints.of(missing))
        if cases == self._cases and lists == self._lists and not has_come:
            return
        self._lists = lists
        files = self._fingerprints.of(cases)
        self._cases, self._search = cases, ListSearch(files)
        self._unknown = frozenset(cases) - {file.sha256 for file in files}
