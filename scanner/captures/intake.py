"""Intake of captures: the original is copied, read in a separate process, sealed and recorded.

A capture that cannot be read is kept with the reason. Taking in a file twice changes nothing. If
the process is killed, the current capture is taken in again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from crawlers.captures.capture_rows import CaptureRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.locks import alone, shared
from crawlers.captures.pages.facts import PageFacts, PageKind, well_formed
from crawlers.captures.pages.page import Limits
from crawlers.captures.reading import parts_beside
from crawlers.captures.sales import listing_for_sale
from crawlers.errors import CaptureRefused, CapturesBusy
from crawlers.listing import Listing
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.vault import Vault
from reports.evidence.sealing import seal_capture
from reports.evidence.timestamping import Authority
from scanner.captures.bag_names import bag_places, name_in_json
from scanner.captures.handling import TAKEN_IN
from scanner.captures.isolated_reader import Content, IsolatedReader
from scanner.clock import Clock
from scanner.environment import environment_now

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The result for one file.

    Attributes:
        file: its name; the same bytes under another name are one capture, under the first name.
        new: it was not known before.
        listings: offers of a likeness or its training, which were recorded as listings.
    """

    capture: CaptureRow
    file: str
    new: bool
    listings: tuple[Listing, ...] = ()


class Intake:
    """Takes captures in; a context manager. Loads no model.

    Args:
        folder: the folder of the captures.
        authorities: timestamp authorities for the seals.
    """

    def __init__(
        self,
        vault: Vault,
        store: CrawlStore,
        folder: Path,
        *,
        operator: str,
        authorities: Sequence[Authority],
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self.vault, self.store, self.operator, self.clock = vault, store, operator, clock
        self._authorities, self._limits = authorities, limits or Limits()
        self.captures = CaptureStore(store, folder)
        self._reader = IsolatedReader()
        with suppress(CapturesBusy), alone(folder, wait_s=0):
            self.captures.tidy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self.vault.close()
        self.store.close()

    def take_one(
        self,
        path: Path,
        by: str,
        made_with: str | None = None,
        account: tuple[str, str] | None = None,
        listing: Listing | None = None,
        login: str | None = None,
    ) -> TakenIn:
        """Take one capture in; raises OSError if the file cannot be copied.

        Args:
            account: platform and name that the submitter gives, for pages that name no account.
            listing: the listing whose previews it holds.
            login: of the submitter, who may not release the findings; by default the operator's.
        """
        folder = self.captures.folder
        with (
            shared(folder),
            tempfile.TemporaryDirectory(prefix=".reading-", dir=folder) as room,
        ):
            copy = _Copy.of(path, Path(room) / "in")
            if login is not None:  # the worker takes it in for an account of the web app
                self.vault.audit.login = (f"account {login}",)
            actor = login or self.operator
            capture = {"capture": copy.capture_id}
            self.vault.audit.record(TAKEN_IN, "vault", actor, self.clock(), **capture)
            known = self.captures.known(copy.capture_id)
            if known is not None:
                return TakenIn(known, well_formed(path.name), new=False)
            content, problem = self._read(copy, Path(room) / "bodies")
            row = self._row(copy, content, problem, by, made_with)
            self._seal(Path(room), copy, row)
        return self._remember(row, content, well_formed(path.name), account, listing)

    def _read(self, copy: _Copy, bodies: Path) -> tuple[Content | None, str | None]:
        """The content of a capture, or the reason why it cannot be read."""
        bodies.mkdir()
        try:
            content = self._reader.read(
                copy.main, bodies, self._limits, self.captures, copy.capture_id
            )
        except CaptureRefused as error:
            return None, str(error)
        return content, None

    def _remember(
        self,
        row: CaptureRow,
        content: Content | None,
        file: str,
        account: tuple[str, str] | None,
        listing: Listing | None,
    ) -> TakenIn:
        """Write a sealed capture and its pages into crawl.db."""
        pages = [
            (page, _of_listing(facts, listing) if listing else _named(facts, account), notes)
            for page, facts, notes in (content.pages if content else ())
        ]
        if not self.captures.add(row, pages, list(content.images) if content else []):
            # Another process recorded it first.
            return TakenIn(self.captures.find(row.capture_id), file, new=False)
        offers = tuple(
            offer
            for page, facts, _ in pages
            if (offer := listing_for_sale(page, facts, row)) is not None
        )
        for offer in offers:
            self.store.record(offer, self.clock())
        return TakenIn(row, file, new=True, listings=offers)

    def _row(
        self,
        copy: _Copy,
        content: Content | None,
        problem: str | None,
        by: str,
        made_with: str | None,
    ) -> CaptureRow:
        reading = content.reading if content else None
        return CaptureRow(
            capture_id=copy.capture_id,
            name=well_formed(copy.main.name),
            format=str(reading.format) if reading else "",
            size_bytes=copy.size_bytes,
            taken_in_at=self.clock().isoformat(),
            taken_in_by=by,
            tool=well_formed(reading.tool) if reading and reading.tool else None,
            made_with=made_with,
            checks=tuple(map(well_formed, reading.checks)) if reading else (),
            notes=tuple(map(well_formed, reading.notes)) if reading else (),
            problem=well_formed(problem) if problem else None,
            pages=len(content.pages) if content else 0,
        )

    def _seal(self, room: Path, copy: _Copy, row: CaptureRow) -> None:
        final = self.captures.bag(row.capture_id)
        if final.exists():
            return  # sealed by a process that was killed afterwards
        bag = room / "bag"
        bag.mkdir()
        copy.main.rename(bag / "original")
        places = bag_places(copy.beside)
        for name, place in places.items():
            (bag / place).parent.mkdir(parents=True, exist_ok=True)
            (copy.folder / name).rename(bag / place)
        kept = {
            name: sha256 for name, sha256 in copy.beside.items() if places[name] == f"beside/{name}"
        }
        renamed = {
            places[name]: {"name": name_in_json(name), "sha256": sha256}
            for name, sha256 in copy.beside.items()
            if name not in kept
        }
        facts = {
            "capture_id": row.capture_id,
            "sha256": copy.main_sha256,
            "name": row.name,
            "size_bytes": row.size_bytes,
            "format": row.format,
            "taken_in_at": row.taken_in_at,
            "taken_in_by": row.taken_in_by,
            "tool": row.tool,
            "made_with": row.made_with,
            "checks": list(row.checks),
            "notes": list(row.notes),
            "problem": row.problem,
            "beside": kept,
            **({"renamed": renamed} if renamed else {}),
        }
        environment = environment_now(row.taken_in_by, self.clock())
        sign, now = self.vault.keys.sign, self.clock()
        seal_capture(bag, facts, environment, sign, list(self._authorities), now)
        try:
            bag.rename(final)
        except OSError:
            if not final.exists():
                raise
            # Another process sealed the same bytes meanwhile; its seal is kept.


@dataclass(frozen=True, slots=True)
class _Copy:
    """A capture with the files that belong to it, copied before anything reads them.

    Attributes:
        beside: SHA-256 of the other files, by their path relative to the main file's folder.
        capture_id: the SHA-256 of the file, or of the list of hashes if there are several files.
    """

    folder: Path
    main: Path
    main_sha256: str
    size_bytes: int
    beside: dict[str, str]
    capture_id: str

    @classmethod
    def of(cls, path: Path, folder: Path) -> _Copy:
        folder.mkdir()
        main = folder / path.name
        main_sha256 = _copied(path, main)
        size = main.stat().st_size
        beside: dict[str, str] = {}
        for part in parts_beside(path):
            name = part.relative_to(path.parent).as_posix()
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            beside[name] = _copied(part, folder / name)
            size += (folder / name).stat().st_size
        several = json.dumps([main_sha256, sorted(beside.items())]).encode()
        capture_id = hashlib.sha256(several).hexdigest() if beside else main_sha256
        return cls(folder, main, main_sha256, size, beside, capture_id)


def _named(facts: PageFacts, account: tuple[str, str] | None) -> PageFacts:
    if account is None or facts.account_id or facts.account_name:
        return facts
    return replace(facts, platform=account[0], account_name=account[1])


def _of_listing(facts: PageFacts, listing: Listing) -> PageFacts:
    counts = {} if listing.downloads is None else {"downloads": listing.downloads}
    return replace(
        facts,
        kind=PageKind.MODEL,
        platform=listing.hub,
        title=well_formed(listing.title),
        account_name=listing.creator,
        item_id=listing.listing_id,
        published_at=listing.published_at,
        counts=counts,
        links=(listing.url,),
        hashes=tuple(file.sha256 for file in listing.files if file.sha256),
        extractor="the hub's answer",
    )


def _copied(path: Path, to: Path) -> str:
    """Copy a file and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as source, to.open("xb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()
