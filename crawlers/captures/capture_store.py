"""Captures in crawl.db: every page of theirs with what it says, every image with where it says it comes from.

The bytes lie beside it: `captures/<SHA-256>/` holds the sealed original, `captures/images/` each image once. Nothing of it
is changed afterwards but facts that people correct, and then both stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crawlers.captures.images.content_credentials import Credentials
from crawlers.captures.images.generators.ingredients import Ingredient
from crawlers.captures.images.pictures import Picture
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import (
    FIELDS,
    PageFacts,
    PageKind,
    edited,
    facts_from_dict,
    well_formed,
)
from crawlers.captures.pages.page import CapturedPage
from crawlers.errors import UnknownCapture
from crawlers.sweeps.crawl_store import CrawlStore


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """One capture.

    Attributes:
        capture_id: SHA-256 of its bytes.
        made_with: as whoever took it in said, beside what it says itself.
        checks: what of its own digests and signatures holds.
        problem: why it could not be read; it is kept all the same.
        pages: how many.
    """

    capture_id: str
    name: str
    format: str
    size_bytes: int
    taken_in_at: str
    taken_in_by: str
    tool: str | None
    made_with: str | None
    checks: tuple[str, ...]
    notes: tuple[str, ...]
    problem: str | None
    pages: int


@dataclass(frozen=True, slots=True)
class PageRow:
    """One page of a capture, with its facts as they stand, and as they were read."""

    page_id: str
    capture_id: str
    number: int
    url: str | None
    saved_at: str | None
    facts: PageFacts
    as_read: PageFacts
    edited_by: str | None
    edited_at: str | None
    notes: tuple[str, ...]

    @property
    def corrections(self) -> tuple[tuple[str, Any], ...]:
        """The fields that somebody corrected, each with what was read before."""
        return tuple(
            (name, getattr(self.as_read, name))
            for name in FIELDS
            if getattr(self.as_read, name) != getattr(self.facts, name)
        )

    @property
    def account(self) -> tuple[str, str] | None:
        """Platform and account that the page belongs to; None where it names none."""
        who = self.facts.account_id or self.facts.account_name
        return (self.facts.platform, who) if who else None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a page.

    Attributes:
        belongs: it is one of the offer's or post's own images, as far as the page says.
    """

    page_id: str
    place: int
    sha256: str
    url: str | None
    alt: str
    picture: Picture
    provenance: Provenance
    belongs: bool


class CaptureStore:
    """The captures of one home."""

    def __init__(self, store: CrawlStore | None, folder: Path) -> None:
        """Without a store only images can be kept."""
        self._known, self.folder = store, folder

    @property
    def store(self) -> CrawlStore:
        if self._known is None:
            raise ValueError("this end of it has no database")
        return self._known

    def known(self, capture_id: str) -> CaptureRow | None:
        """A capture that was taken in wholly."""
        for row in self.store.db.table("captures").rows_where("capture_id = ?", [capture_id]):
            return _capture(row)
        return None

    def one(self, wanted: str) -> CaptureRow:
        """The capture of that id or beginning of an id (8 digits); raises UnknownCapture."""
        if len(wanted) >= 8 and wanted.isalnum():
            rows = list(
                self.store.db.table("captures").rows_where(
                    "capture_id like ?", [f"{wanted.lower()}%"], limit=2
                )
            )
            if len(rows) == 1:
                return _capture(rows[0])
        raise UnknownCapture(wanted)

    def has_listing(self, hub: str, listing_id: str) -> bool:
        """Whether a hub's listing was taken in, with the pictures that it shows."""
        where = (
            "platform = ? and kind = ? and json_extract(coalesce(edited, facts), '$.item_id') = ?"
        )
        return (
            self.store.db.table("capture_pages").count_where(
                where, [hub, str(PageKind.MODEL), listing_id]
            )
            > 0
        )

    def all(self, find: str = "") -> Iterator[CaptureRow]:
        """Newest first.

        Args:
            find: part of a file's name, a title, an account, a site or an address, or the beginning of an id.
        """
        where, values = "1 = 1", {}
        if find:
            where = (
                "name like :part escape '!' or capture_id like :begin escape '!' or capture_id in (select capture_id from capture_pages where "
                "platform like :part escape '!' or account like :part escape '!' or url like :part escape '!' "
                "or coalesce(edited, facts) ->> '$.account_name' like :part escape '!' or coalesce(edited, facts) ->> '$.title' like :part escape '!')"
            )
            told = "".join(f"!{sign}" if sign in "!%_" else sign for sign in find)
            values = {"part": f"%{told}%", "begin": f"{told}%"}
        for row in self.store.db.table("captures").rows_where(
            where, values, order_by="taken_in_at desc, capture_id"
        ):
            yield _capture(row)

    def bag(self, capture_id: str) -> Path:
        """Where the sealed original of a capture lies."""
        return self.folder / capture_id

    def original_sha256(self, capture_id: str) -> str:
        """SHA-256 of a capture's own file, without those that belong to it."""
        return str(
            json.loads((self.bag(capture_id) / "data" / "capture.json").read_bytes())["sha256"]
        )

    def keep_image(self, data: bytes) -> str:
        """Store an image's bytes once; its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.image_path(sha256)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.part")
            partial.write_bytes(data)
            partial.replace(path)
        return sha256

    def image_path(self, sha256: str) -> Path:
        return self.folder / "images" / sha256[:2] / sha256

    def add(
        self,
        capture: CaptureRow,
        pages: list[tuple[CapturedPage, PageFacts, tuple[str, ...]]],
        images: Sequence[Sequence[ImageRow]],
    ) -> bool:
        """Remember a capture with all its pages and images, or nothing; whether it was not known before."""
        with self.store.transaction():
            db = self.store.db
            if self.known(capture.capture_id) is not None:
                return False
            db.table("captures").insert(
                {**asdict(capture), "checks": _json(capture.checks), "notes": _json(capture.notes)},
                ignore=True,
            )
            for number, (page, facts, problems) in enumerate(pages):
                db.table("capture_pages").insert(
                    {
                        "page_id": page_id_of(capture.capture_id, number), "capture_id": capture.capture_id, "number": number, "url": _text(page.url),
                        "saved_at": _text(page.saved_at), "platform": _text(facts.platform), "account": _text(facts.account_id or facts.account_name),
                        "kind": str(facts.kind), "facts": _json(asdict(facts)), "edited": None, "edited_by": None, "edited_at": None,
                        "notes": _json([*page.notes, *problems]),
                    },
                    ignore=True,
                )  # fmt: skip
                db.table("capture_images").insert_all(
                    (
                        {
                            "page_id": one.page_id, "place": one.place, "sha256": one.sha256, "url": _text(one.url), "alt": _text(one.alt),
                            "belongs": int(one.belongs), "picture": _json(asdict(one.picture)), "provenance": _json(asdict(one.provenance)),
                        }
                        for one in images[number]
                    ),
                    ignore=True,
                )  # fmt: skip
        return True

    def forget(self, capture_id: str) -> None:
        """Delete a capture with its seal, its pages, and those of its images that no other capture has; call it alone (`turns`)."""
        own = "select page_id from capture_pages where capture_id = ?"
        alone = (
            f"select distinct sha256 from capture_images where page_id in ({own}) and sha256 not in "
            f"(select sha256 from capture_images where page_id not in ({own}))"
        )
        with self.store.transaction():
            db = self.store.db
            images = [row[0] for row in db.execute(alone, [capture_id, capture_id]).fetchall()]
            db.table("capture_images").delete_where(f"page_id in ({own})", [capture_id])
            db.table("capture_pages").delete_where("capture_id = ?", [capture_id])
            db.table("captures").delete_where("capture_id = ?", [capture_id])
            db.table("captures_leaving").upsert(
                {"capture_id": capture_id, "images": _json(images)}, pk="capture_id"
            )
        self._delete_what_left()

    def tidy(self) -> None:
        """Delete what killed processes left behind; call it alone (`turns`)."""
        self._delete_what_left()
        for leftover in self.folder.glob(".reading-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for partial in self.folder.glob("images/*/*.part"):
            partial.unlink(missing_ok=True)

    def _delete_what_left(self) -> None:
        table = self.store.db.table("captures_leaving")
        for row in list(table.rows):
            for sha256 in json.loads(row["images"]):
                if not self.store.db.table("capture_images").count_where("sha256 = ?", [sha256]):
                    self.image_path(sha256).unlink(missing_ok=True)
            if self.known(row["capture_id"]) is None:
                shutil.rmtree(self.bag(row["capture_id"]), ignore_errors=True)
            with self.store.transaction():
                table.delete_where("capture_id = ?", [row["capture_id"]])

    def pages(self, capture_id: str | None = None) -> list[PageRow]:
        """Pages of a capture, or all, in the order they came."""
        where, values = ("1 = 1", []) if capture_id is None else ("capture_id = ?", [capture_id])
        rows = self.store.db.table("capture_pages").rows_where(where, values, order_by="rowid")
        return [_page(row) for row in rows]

    def images(self, page_id: str) -> list[ImageRow]:
        """Images of a page, in their order."""
        rows = self.store.db.table("capture_images").rows_where(
            "page_id = ?", [page_id], order_by="place"
        )
        return [_image(row) for row in rows]

    def edit(self, page_id: str, changes: dict[str, Any], by: str, at: str) -> PageRow:
        """Correct facts of a page; what the extractor told stays beside it.

        Raises:
            UnknownCapture: no such page.
            KeyError, ValueError: no such field, or not a value of it.
        """
        rows = list(self.store.db.table("capture_pages").rows_where("page_id = ?", [page_id]))
        if not rows:
            raise UnknownCapture(page_id)
        facts = edited(_page(rows[0]).facts, changes)
        with self.store.transaction():
            self.store.db.table("capture_pages").update(
                page_id,
                {
                    "edited": _json(asdict(facts)), "edited_by": by, "edited_at": at, "platform": facts.platform,
                    "account": facts.account_id or facts.account_name, "kind": str(facts.kind),
                },
            )  # fmt: skip
        return next(page for page in self.pages(rows[0]["capture_id"]) if page.page_id == page_id)


def page_id_of(capture_id: str, number: int) -> str:
    """The id of a capture's page: the same for the same file."""
    return hashlib.sha256(f"{capture_id}:{number}".encode()).hexdigest()[:24]


def _capture(row: dict[str, Any]) -> CaptureRow:
    return CaptureRow(
        **{
            **row,
            "checks": tuple(json.loads(row["checks"])),
            "notes": tuple(json.loads(row["notes"])),
        }
    )


def _page(row: dict[str, Any]) -> PageRow:
    as_read = facts_from_dict(json.loads(row["facts"]))
    facts = facts_from_dict(json.loads(row["edited"])) if row["edited"] else as_read
    return PageRow(
        row["page_id"], row["capture_id"], row["number"], row["url"], row["saved_at"], facts, as_read, row["edited_by"],
        row["edited_at"], tuple(json.loads(row["notes"])),
    )  # fmt: skip


def _image(row: dict[str, Any]) -> ImageRow:
    told = json.loads(row["provenance"])
    credentials = told.pop("credentials")
    provenance = Provenance(
        **{
            **told, "ingredients": tuple(Ingredient(**one) for one in told["ingredients"]), "problems": tuple(told.get("problems", ())),
        },
        credentials=None if credentials is None else Credentials(
            **{**credentials, "source_types": tuple(credentials["source_types"]), "problems": tuple(credentials["problems"])}
        ),
    )  # fmt: skip
    return ImageRow(
        row["page_id"], row["place"], row["sha256"], row["url"], row["alt"], Picture(**json.loads(row["picture"])), provenance,
        bool(row["belongs"]),
    )  # fmt: skip


def _json(value: Any) -> str:
    return well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _text(value: str | None) -> str | None:
    return None if value is None else well_formed(value)
