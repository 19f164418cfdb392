"""Which files of a scan are done again, because they may be parts of a sum of files.

Those files of one listing or archive, or pairs for two denoisers, are drawn together that draw no
face again and again.
Files whose fingerprints add up (scanner.fingerprints.complements) are drawn together in any case;
one that was begun before the others were known is done again with them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePosixPath

from crawlers.hubs.folder import FolderHub
from scanner.adapters.experts import Expert, expert_in_name, name_of_pair
from scanner.fingerprints.complements import MOST_FILES
from scanner.identification.outcome import Outcome
from scanner.scanning.entries import Entry, Part
from scanner.scanning.kept_samples import KeptSamples
from scanner.scanning.sampling_request import SamplingRequest

# Families with a model that draws with two denoisers.
PAIRED_FAMILIES = frozenset({"Wan"})
_GENERIC = frozenset({"lora", "model", "adapter", "wan", "video", "weights", "pytorch", "noise"})
_NOBODY = (Outcome.CLEAR, Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class _Half:
    """A file for one of two denoisers.

    Attributes:
        listing: of the file.
        may_be_part: whether it draws no face again and again.
    """

    expert: Expert
    listing: tuple[str, str]
    may_be_part: bool


class Company:
    """The files that were begun in one scan, and those that belong together."""

    def __init__(self, kept: KeptSamples) -> None:
        self._kept = kept
        self._file_of: dict[str, str] = {}
        self._again: set[str] = set()
        # By listing or archive: its weights files, and whether each may be a part of a sum.
        self._sets: dict[tuple[str, ...], dict[str, bool]] = defaultdict(dict)
        # By what their names have in common: the files for two denoisers, by SHA-256.
        self._pairs: dict[tuple[str, ...], dict[str, _Half]] = defaultdict(dict)
        self._beside: dict[str, frozenset[str]] = {}

    def note_begun(self, request: SamplingRequest, file: str | None) -> None:
        """Note that a weights file is examined, and which companions were begun before it.

        Args:
            file: SHA-256 of the listed file, which may be an archive.
        """
        self._file_of[request.sha256] = file or request.sha256
        if self._beside:
            return  # everything was begun already
        self._again |= {one.sha256 for one in request.companions if one.sha256 in self._file_of}

    def note_done(self, entry: Entry) -> None:
        """Note the results of a listed file that may be a part of a set or a pair."""
        place, listing = _set_of(entry), entry.listing
        for part in entry.parts:
            if part.triage is None or part.triage.sha256 is None:
                continue
            sha256 = part.triage.sha256
            may_be_part = self._draws_nobody(part)
            if place is not None:
                self._sets[place][sha256] = may_be_part
            expert = expert_in_name(part.file.name)
            pair = _pair_of(entry, part.file.name)
            if part.triage.family in PAIRED_FAMILIES and pair is not None and expert is not None:
                half = _Half(expert, (listing.hub, listing.listing_id), may_be_part)
                self._pairs[pair][sha256] = half

    def _draws_nobody(self, part: Part) -> bool:
        key = part.sampling_key
        kept = self._kept.store.drawing(key) if key is not None else None
        is_nobody = all(row.outcome in _NOBODY for row in part.rows or ())
        return is_nobody and kept is not None and not kept.drawing.draws_one_face

    def _add_sets(self) -> None:
        """Put files of one listing or archive together that draw no face again and again.

        A set of which no file was examined in this scan was drawn by an earlier one.
        """
        for files in self._sets.values():
            parts = frozenset(sha256 for sha256, may_be_part in files.items() if may_be_part)
            if len(parts) > 1 and not self._file_of.keys().isdisjoint(files):
                self._beside |= {sha256: parts - {sha256} for sha256 in parts}
                self._again |= parts

    def _add_pairs(self) -> None:
        """Put each half of a pair beside the other half, which may show somebody alone.

        Of several files with such a name, one of the same listing is taken, else the first.
        """
        for halves in self._pairs.values():
            for sha256, half in halves.items():
                others = sorted(
                    (other.listing != half.listing, other.listing, number)
                    for number, other in halves.items()
                    if other.expert is not half.expert
                )
                if half.may_be_part and others and not self._file_of.keys().isdisjoint(halves):
                    self._beside[sha256] = frozenset({others[0][2]})
                    self._again.add(sha256)

    def beside(self, sha256: str) -> AbstractSet[str]:
        """Return the files of its listing or archive that a file is drawn with."""
        return self._beside.get(sha256, frozenset())

    def to_do_again(self) -> set[str]:
        """Put sets together, and return the SHA-256 of the listed files that are done again."""
        self._add_sets()
        self._add_pairs()
        return {self._file_of.get(sha256, sha256) for sha256 in self._again}


def _set_of(entry: Entry) -> tuple[str, ...] | None:
    """Return the listing or archive of several files that a file is in; None for a single file."""
    listing, listed = entry.listing, len(entry.listing.files)
    if 1 < listed <= MOST_FILES + 1:
        return listing.hub, listing.listing_id
    return (str(entry.sha256),) if 1 < len(entry.parts) <= MOST_FILES + 1 else None


def _pair_of(entry: Entry, file_name: str) -> tuple[str, ...] | None:
    """Return what both files of a pair for two denoisers have in common; None for another file.

    Creators publish them in one listing or as two. A folder's listings are its files, which have no
    creator. Names without a word of their own are a pair only in one listing.
    """
    listing, name = entry.listing, name_of_pair(PurePosixPath(file_name).name)
    if name is None:
        return None
    owner = listing.creator
    if owner is None and listing.hub == FolderHub.name:
        owner = str(PurePosixPath(listing.listing_id).parent)
    words = set(re.findall(r"[^\W\d_]{2,}", name.rpartition(".")[0])) - _GENERIC
    if owner is None or not words:
        return listing.hub, listing.listing_id, name
    return listing.hub, "", owner, name
