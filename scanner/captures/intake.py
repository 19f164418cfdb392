"""Taking captures in: the original sealed first, then read, with everything on its pages remembered.

A capture that cannot be read is kept all the same, with the reason. Taking the same file in again changes nothing; a
process that was killed does again the capture it was at.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from crawlers.captures.capture_store import CaptureRow, Captures
from crawlers.captures.locks import alone, shared
from crawlers.captures.pages.facts import PageFacts, PageKind, well_formed
from crawlers.captures.pages.page import Limits
from crawlers.captures.reading import parts_beside
from crawlers.captures.sales import listing_for_sale
from crawlers.errors import CaptureRefused, CapturesBusy
from crawlers.listing import Listing
from crawlers.sweeps.crawl_store import CrawlStore
from reports.evidence.sealing import seal_capture
from reports.evidence.timestamping import Authority
from scanner.captures.bag_names import bag_places, written
from scanner.captures.handling import TAKEN_IN
from scanner.captures.isolated_reader import Content, IsolatedReader
from scanner.environment import environment_now
from scanner.factories import Clock, open_vault, utc_now
from scanner.settings import Settings

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of one file.

    Attributes:
        file: its name; a file with the bytes of one that was taken in before is that capture, under the first one's name.
        new: it was not known before.
        listings: offers that sell a likeness or its training, now listings.
    """

    capture: CaptureRow
    file: str
    new: bool
    listings: tuple[Listing, ...] = ()


class Intake:
    """Opened once per command; `close` when done. Loads no model."""

    def __init__(
        self, settings: Settings, clock: Clock = utc_now, limits: Limits | None = None
    ) -> None:
        self.settings, self.clock, self._limits = settings, clock, limits or Limits()
        self.vault = open_vault(settings)
        self.store = CrawlStore(settings.crawl_path)
        self.captures = Captures(self.store, settings.captures_path)
        self._room = IsolatedReader()
        with suppress(CapturesBusy), alone(settings.captures_path, wait_s=0):
            self.captures.tidy()

    def close(self) -> None:
        self._room.close()
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
        """One capture; raises OSError where the file cannot be copied.

        Args:
            account: platform and name, as whoever takes it in says, for pages that name none.
            listing: of which it holds the previews.
            login: of whoever brings it, who cannot release what it shows; the configured operator's where none is given.
        """
        with (
            shared(self.settings.captures_path),
            tempfile.TemporaryDirectory(
                prefix=".reading-", dir=self.settings.captures_path
            ) as room,
        ):
            copy = _Copy.of(path, Path(room) / "in")
            if login is not None:  # the worker takes it in, for an account of the pages
                self.vault.audit.login = (f"account {login}",)
            self.vault.audit.record(
                TAKEN_IN,
                "vault",
                login or self.settings.operator,
                self.clock(),
                capture=copy.capture_id,
            )
            known = self.captures.known(copy.capture_id)
            if known is not None:
                return TakenIn(known, well_formed(path.name), new=False)
            bodies = Path(room) / "bodies"
            bodies.mkdir()
            try:
                content, problem = (
                    self._room.read(
                        copy.main, bodies, self._limits, self.captures, copy.capture_id
                    ),
                    None,
                )
            except CaptureRefused as error:
                content, problem = None, str(error)
            row = self._row(copy, content, problem, by, made_with)
            self._seal(Path(room), copy, row)
        read = content.pages if content else ()
        pages = [
            (page, _of_listing(facts, listing) if listing else _named(facts, account), told)
            for page, facts, told in read
        ]
        if not self.captures.add(row, pages, list(content.images) if content else []):
            return TakenIn(
                self.captures.one(row.capture_id), well_formed(path.name), new=False
            )  # another process was faster
        listings = [
            one
            for page, facts, _ in pages
            if (one := listing_for_sale(page, facts, row)) is not None
        ]
        for offer in listings:
            self.store.record(offer, self.clock())
        return TakenIn(row, well_formed(path.name), new=True, listings=tuple(listings))

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
            capture_id=copy.capture_id, name=well_formed(copy.main.name), format=str(reading.format) if reading else "",
            size_bytes=copy.size_bytes, taken_in_at=self.clock().isoformat(), taken_in_by=by,
            tool=well_formed(reading.tool) if reading and reading.tool else None, made_with=made_with,
            checks=tuple(map(well_formed, reading.checks)) if reading else (),
            notes=tuple(map(well_formed, reading.notes)) if reading else (), problem=well_formed(problem) if problem else None,
            pages=len(content.pages) if content else 0,
        )  # fmt: skip

    def _seal(self, room: Path, copy: _Copy, row: CaptureRow) -> None:
        final = self.captures.bag(row.capture_id)
        if final.exists():
            return  # sealed before whoever began this was killed
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
            places[name]: {"name": written(name), "sha256": sha256}
            for name, sha256 in copy.beside.items()
            if name not in kept
        }
        told = {
            "capture_id": row.capture_id, "sha256": copy.main_sha256, "name": row.name, "size_bytes": row.size_bytes, "format": row.format,
            "taken_in_at": row.taken_in_at, "taken_in_by": row.taken_in_by, "tool": row.tool, "made_with": row.made_with,
            "checks": list(row.checks), "notes": list(row.notes), "problem": row.problem, "beside": kept,
            **({"renamed": renamed} if renamed else {}),
        }  # fmt: skip
        authorities = [
            Authority(one.name, one.url, one.certificates)
            for one in self.settings.timestamp_authorities
        ]
        environment = environment_now(row.taken_in_by, self.clock())
        seal_capture(bag, told, environment, self.vault.keys.sign, authorities, self.clock())
        try:
            bag.rename(final)
        except OSError:
            if not final.exists():
                raise
            # Another process sealed the same bytes meanwhile: one seal stands.


@dataclass(frozen=True, slots=True)
class _Copy:
    """A capture with the files that belong to it, copied before anything reads them.

    Attributes:
        beside: SHA-256 of the other files, by their names beside the main one, whatever these are.
        capture_id: the SHA-256 of the file, or over all of them where there are several.
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
        facts, kind=PageKind.MODEL, platform=listing.hub, title=well_formed(listing.title), account_name=listing.creator,
        item_id=listing.listing_id, published_at=listing.published_at, counts=counts, links=(listing.url,),
        hashes=tuple(file.sha256 for file in listing.files if file.sha256), extractor="the hub's answer",
    )  # fmt: skip


def _copied(path: Path, to: Path) -> str:
    """Copy a file; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with path.open("rb") as source, to.open("xb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()
