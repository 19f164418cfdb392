"""Which files of a scan are done again, because they may be parts of a sum of files.

Those files of one listing or archive, or pairs for two denoisers, are drawn together that draw no
face again and again.
Files whose fingerprints add up (scanner.fingerprints.complements) are drawn together in any case;
one that was begun before the others were known is done again with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath

from scanner.adapters.experts import name_of_pair
from scanner.fingerprints.complements import MOST_FILES
from scanner.identification.outcome import Outcome
from scanner.scanning.entries import Entry
from scanner.scanning.kept_samples import KeptSamples
from scanner.scanning.sampling_request import SamplingRequest

_NOBODY = (Outcome.CLEAR, Outcome.INCONCLUSIVE)


class Company:
    """The files that were begun in one scan, and those that belong together."""

    def __init__(self, kept: KeptSamples) -> None:
        self._kept = kept
        self._file_of: dict[str, str] = {}
        self._again: set[str] = set()
        # By listing or archive: its weights files, and whether each may be a part of a sum.
        self._sets: dict[str, dict[str, bool]] = defaultdict(dict)
        self._pairs: set[str] = set()
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
        """Note the results of a listed file that may be a part of a set."""
        pair = _pair_of(entry)
        place = pair or _set_of(entry)
        if place is None:
            return
        if pair is not None:
            self._pairs.add(pair)
        for part in entry.parts:
            if part.triage is not None and part.triage.sha256 is not None:
                may_be_part = all(row.outcome in _NOBODY for row in part.rows or ())
                key = part.sampling_key
                kept = self._kept.store.drawing(key) if key is not None else None
                may_be_part &= kept is not None and not kept.drawing.draws_one_face
                self._sets[place][part.triage.sha256] = may_be_part

    def _add_sets(self) -> None:
        """Put files of one listing or archive together that draw no face again and again.

        A set of which no file was examined in this scan was drawn by an earlier one.
        """
        for place, files in self._sets.items():
            parts = frozenset(sha256 for sha256, may_be_part in files.items() if may_be_part)
            # Half of a pair shows whom the other half shows.
            others = frozenset(files) if place in self._pairs else parts
            if len(others) > 1 and not self._file_of.keys().isdisjoint(files):
                self._beside |= {sha256: others - {sha256} for sha256 in parts}
                self._again |= parts

    def beside(self, sha256: str) -> AbstractSet[str]:
        """Return the files of its listing or archive that a file is drawn with."""
        return self._beside.get(sha256, frozenset())

    def to_do_again(self) -> set[str]:
        """Put sets together, and return the SHA-256 of the listed files that are done again."""
        self._add_sets()
        return {self._file_of.get(sha256, sha256) for sha256 in self._again}


def _set_of(entry: Entry) -> str | None:
    """Return the listing or archive of several files that a file is in; None for a single file."""
    listing, listed = entry.listing, len(entry.listing.files)
    if 1 < listed <= MOST_FILES + 1:
        return f"{listing.hub} {listing.listing_id}"
    return str(entry.sha256) if 1 < len(entry.parts) <= MOST_FILES + 1 else None


def _pair_of(entry: Entry) -> str | None:
    """Return what both files of a pair for two denoisers have in common.

    Creators publish them in one listing or as two. A folder's listings are its files, which have no
    creator.
    """
    listing = entry.listing
    name = name_of_pair(listing.files[entry.item.file_number].name)
    if name is None:
        return None
    owner = listing.creator or str(PurePosixPath(listing.listing_id).parent)
    return f"{listing.hub} {owner} {name}"
