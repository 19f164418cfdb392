"""Taking captures in: the original sealed first, then read, with everything on its pages remembered.

A capture that cannot be read is kept all the same, with the reason. Taking the same file in again changes nothing; a
process that was killed does again the capture it was at.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from crawlers.errors import CaptureRefused
from crawlers.listing import Listing
from crawlers.saved.captures import CaptureRow, Captures, ImageRow, page_id_of
from crawlers.saved.extractors import facts_of
from crawlers.saved.facts import PageFacts
from crawlers.saved.page import Limits, Reading, SavedPage
from crawlers.saved.pictures import look_at
from crawlers.saved.provenance import provenance_of
from crawlers.saved.reading import read_capture
from crawlers.saved.sales import listing_for_sale
from crawlers.store import CrawlStore
from reports.sealing import seal_capture
from reports.timestamping import Authority
from scanner.environment import environment_now
from scanner.reception import Clock, open_vault, utc_now
from scanner.settings import Settings

log = logging.getLogger(__name__)

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of one file.

    Attributes:
        new: it was not known before.
        listings: offers that sell a likeness or its training, now listings.
    """

    capture: CaptureRow
    new: bool
    listings: tuple[Listing, ...] = ()


class Intake:
    """Opened once per command; `close` when done. Loads no model."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, limits: Limits | None = None) -> None:
        self.settings, self.clock, self._limits = settings, clock, limits or Limits()
        self.vault = open_vault(settings)
        self.store = CrawlStore(settings.crawl_path)
        self.captures = Captures(self.store, settings.captures_path)

    def close(self) -> None:
        self.vault.close()
        self.store.close()

    def take_one(
        self, path: Path, by: str, made_with: str | None = None, account: tuple[str, str] | None = None
    ) -> TakenIn:
        """One capture; raises OSError where the file cannot be copied.

        Args:
            account: platform and name, as whoever takes it in says, for pages that name none.
        """
        self.settings.captures_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".reading-", dir=self.settings.captures_path) as room:
            original = Path(room) / "bag" / "original"
            original.parent.mkdir()
            capture_id = _copied(path, original)
            known = self.captures.known(capture_id)
            if known is not None:
                return TakenIn(known, new=False)
            reading, problem = self._read(path, Path(room))
            row = self._row(path, capture_id, original.stat().st_size, reading, problem, by, made_with)
            pages = [(page, *_facts(page, account)) for page in (reading.pages if reading else ())]
            images = [
                list(self._images(page, facts, page_id_of(capture_id, number)))
                for number, (page, facts, _) in enumerate(pages)
            ]
            self._seal(original.parent, row)
        self.captures.add(row, pages, images)
        listings = [one for page, facts, _ in pages if (one := listing_for_sale(page, facts, row)) is not None]
        for listing in listings:
            self.store.record(listing, self.clock())
        return TakenIn(row, new=True, listings=tuple(listings))

    def _read(self, path: Path, room: Path) -> tuple[Reading | None, str | None]:
        bodies = room / "bodies"
        bodies.mkdir()
        try:
            return read_capture(path, bodies, self._limits), None
        except CaptureRefused as error:
            return None, str(error)
        except (MemoryError, RecursionError) as error:  # the capture is evidence whatever its reader thinks of it
            return None, f"it cannot be read ({type(error).__name__})"

    def _row(
        self,
        path: Path,
        capture_id: str,
        size: int,
        reading: Reading | None,
        problem: str | None,
        by: str,
        made_with: str | None,
    ) -> CaptureRow:
        return CaptureRow(
            capture_id=capture_id, name=path.name, format=str(reading.format) if reading else "", size_bytes=size,
            taken_in_at=self.clock().isoformat(), taken_in_by=by, tool=reading.tool if reading else None, made_with=made_with,
            checks=reading.checks if reading else (), notes=reading.notes if reading else (), problem=problem,
            pages=len(reading.pages) if reading else 0,
        )  # fmt: skip

    def _images(self, page: SavedPage, facts: PageFacts, page_id: str) -> Iterator[ImageRow]:
        own = {_key(url) for url in facts.images}
        there = {_key(image.url) for image in page.images if image.url}
        for image in page.images:
            data = image.path.read_bytes()
            picture = look_at(data)
            if not picture.is_worth_a_look and picture.problem is None:
                continue
            # Recommendations of other people stand on a page as well; they are no images of this account.
            belongs = not (own & there) or (image.url is not None and _key(image.url) in own)
            yield ImageRow(
                page_id,
                image.place,
                self.captures.keep_image(data),
                image.url,
                image.alt,
                picture,
                provenance_of(data),
                belongs,
            )

    def _seal(self, bag: Path, row: CaptureRow) -> None:
        final = self.captures.bag(row.capture_id)
        if final.exists():
            return  # sealed before whoever began this was killed
        told = {
            "sha256": row.capture_id, "name": row.name, "size_bytes": row.size_bytes, "format": row.format, "taken_in_at": row.taken_in_at,
            "taken_in_by": row.taken_in_by, "tool": row.tool, "made_with": row.made_with, "checks": list(row.checks),
            "notes": list(row.notes), "problem": row.problem,
        }  # fmt: skip
        authorities = [Authority(one.name, one.url, one.certificates) for one in self.settings.timestamp_authorities]
        environment = environment_now(row.taken_in_by, self.clock())
        seal_capture(bag, told, environment, self.vault.sign, authorities, self.clock())
        shutil.move(bag, final)


def _facts(page: SavedPage, account: tuple[str, str] | None) -> tuple[PageFacts, tuple[str, ...]]:
    facts, problems = facts_of(page)
    if account is None or facts.account_id or facts.account_name:
        return facts, problems
    return replace(facts, platform=account[0], account_name=account[1]), problems


def _copied(path: Path, to: Path) -> str:
    """Copy a file; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with path.open("rb") as source, to.open("xb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()


def _key(url: str) -> str:
    """An image's address without scheme and size: sites serve one picture in many sizes."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".split("!")[0].split("_.")[0]
