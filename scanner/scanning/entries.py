"""The items that a pipeline works on, and their parts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from crawlers.listing import Listing, RemoteFile
from scanner.identification.outcome import Outcome
from scanner.records import ResultRow
from scanner.scanning.file_faces import is_near_and_gone
from scanner.scanning.item_store import Item
from scanner.scanning.keys import Prompting
from scanner.scanning.searched_file_store import Searched
from scanner.scanning.workers import Submission
from scanner.triage.header import Triage


@dataclass(slots=True)
class Part:
    """One weights file of an item: the item's own file, or one in an archive.

    Attributes:
        held: whether it names a registered minor. A held file is loaded, so that a damaged one
            fails like any other file, but it is not sampled.
        search_key: digest of the key of the gallery for which the rows hold; None if they say
            nothing about any, because the file could not be examined.
    """

    file: RemoteFile
    triage: Triage | None = None
    prompting: Prompting | None = None
    rows: tuple[ResultRow, ...] | None = None
    held: bool = False
    search_key: str | None = None

    @property
    def sampling_key(self) -> str | None:
        """Key of the samples that the rows rest on; None if they rest on none."""
        failed = all(row.outcome == Outcome.FAILED for row in self.rows or ())
        if failed or self.held or self.prompting is None:
            return None
        return self.prompting.sampling_key.digest


@dataclass(slots=True)
class Entry:
    """An item under way.

    Attributes:
        sha256: of the file; None before it is fetched or known.
        carried_through: version of the gallery in which the results that the item has hold as they
            are; None if they do not.
    """

    item: Item
    sha256: str | None = None
    parts: list[Part] = field(default_factory=list)
    carried_through: int | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def listing(self) -> Listing:
        return self.item.listing

    @property
    def seconds(self) -> float:
        """Seconds since the item was begun."""
        return time.monotonic() - self.started

    def searched(self, fingerprint: str, settings_key: str) -> Searched:
        """Return in which gallery the item was searched, and the samples that this rests on.

        Members of an archive that were searched in two galleries hold for neither. A file that is
        gone and may show somebody is asked for again by every retrosearch.

        Args:
            fingerprint: search key for a file that could not be examined.
        """
        used = {part.search_key for part in self.parts if part.search_key is not None}
        search_key = used.pop() if len(used) == 1 else "" if used else fingerprint
        rows = (row for part in self.parts for row in part.rows or ())
        if any(is_near_and_gone(row) for row in rows):
            search_key = ""
        keys = (part.sampling_key for part in self.parts)
        found = tuple(dict.fromkeys(key for key in keys if key is not None))
        return Searched(search_key, settings_key, found)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A submission, and the parts of items that have these bytes and words."""

    submission: Submission
    parts: list[tuple[Entry, Part]] = field(default_factory=list)
