"""Captures in crawl.db: their pages with facts, their images with provenance.

The files are stored next to it: `captures/<SHA-256>/` holds the sealed original, `captures/images/`
each image once. Nothing is changed afterwards except facts that people correct; both versions stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crawlers.captures.capture_rows import (
    CaptureRow,
    ImageRow,
    PageRow,
    as_json,
    as_text,
    capture_from,
    image_from,
    page_from,
    row_of_image,
)
from crawlers.captures.pages.facts import PageFacts, PageKind, edited
from crawlers.captures.pages.page import CapturedPage
from crawlers.errors import UnknownCapture
from crawlers.sweeps.crawl_schema import ITEM_OF_PAGE
from crawlers.sweeps.crawl_store import CrawlStore


class CaptureStore:
    """The captures of one home.

    Args:
        store: the database; None where only images are kept, as in the isolated reader.
    """

    def __init__(self, store: CrawlStore | None, folder: Path) -> None:
        self._known, self.folder = store, folder

    @property
    def store(self) -> CrawlStore:
        if self._known is None:
            raise ValueError("this end of it has no database")
        return self._known

    def known(self, capture_id: str) -> CaptureRow | None:
        """A capture that was taken in completely, by its id."""
        for row in self.store.db.table("captures").rows_where("capture_id = ?", [capture_id]):
            return capture_from(row)
        return None

    def find(self, wanted: str) -> CaptureRow:
        """The capture with this id or beginning of an id (8 digits); raises UnknownCapture."""
        if len(wanted) >= 8 and wanted.isalnum():
            rows = list(
                self.store.db.table("captures").rows_where(
                    "capture_id like ?", [f"{wanted.lower()}%"], limit=2
                )
            )
            if len(rows) == 1:
                return capture_from(rows[0])
        raise UnknownCapture(wanted)

    def has_listing(self, hub: str, listing_id: str) -> bool:
        """Whether a hub's listing was taken in with the pictures that it shows."""
        where = f"platform = ? and kind = ? and {ITEM_OF_PAGE} = ?"
        pages = self.store.db.table("capture_pages")
        return pages.count_where(where, [hub, str(PageKind.MODEL), listing_id]) > 0

    def newest(self, find: str = "", after: str = "", limit: int | None = None) -> list[CaptureRow]:
        """Return captures, the newest first.

        Args:
            find: a part of a file's name, a title, an account, a site or an address, or the
                beginning of an id.
            after: id of a capture; only those that follow it in this order.
        """
        where, values = "1 = 1", {}
        if find:
            like, facts = "like :part escape '!'", "coalesce(edited, facts)"
            where = (
                f"name {like} or capture_id like :begin escape '!' or capture_id in "
                f"(select capture_id from capture_pages where platform {like} or account {like} "
                f"or url {like} or {facts} ->> '$.account_name' {like} "
                f"or {facts} ->> '$.title' {like})"
            )
            escaped = "".join(f"!{sign}" if sign in "!%_" else sign for sign in find)
            values = {"part": f"%{escaped}%", "begin": f"{escaped}%"}
        if after:
            taken = "(select taken_in_at from captures where capture_id = :after)"
            where = (
                f"({where}) and taken_in_at <= {taken} "
                f"and (taken_in_at < {taken} or capture_id > :after)"
            )
            values["after"] = after
        rows = self.store.db.table("captures").rows_where(
            where, values, order_by="taken_in_at desc, capture_id", limit=limit
        )
        return [capture_from(row) for row in rows]

    def bag(self, capture_id: str) -> Path:
        """The folder (a BagIt bag) with the sealed original of a capture."""
        return self.folder / capture_id

    def original_sha256(self, capture_id: str) -> str:
        """The SHA-256 of a capture's main file, without the other files that belong to it."""
        record = self.bag(capture_id) / "data" / "capture.json"
        return str(json.loads(record.read_bytes())["sha256"])

    def keep_image(self, data: bytes) -> str:
        """Store an image's bytes once and return their SHA-256."""
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
        """Store a capture with all pages and images, or nothing; False if it was known before."""
        with self.store.transaction():
            db = self.store.db
            if self.known(capture.capture_id) is not None:
                return False
            db.table("captures").insert(
                {
                    **asdict(capture),
                    "checks": as_json(capture.checks),
                    "notes": as_json(capture.notes),
                },
                ignore=True,
            )
            for number, (page, facts, problems) in enumerate(pages):
                db.table("capture_pages").insert(
                    {
                        "page_id": page_id_of(capture.capture_id, number),
                        "capture_id": capture.capture_id,
                        "number": number,
                        "url": as_text(page.url),
                        "saved_at": as_text(page.saved_at),
                        "platform": as_text(facts.platform),
                        "account": as_text(facts.account_id or facts.account_name),
                        "kind": str(facts.kind),
                        "facts": as_json(asdict(facts)),
                        "edited": None,
                        "edited_by": None,
                        "edited_at": None,
                        "notes": as_json([*page.notes, *problems]),
                    },
                    ignore=True,
                )
                rows = map(row_of_image, images[number])
                db.table("capture_images").insert_all(rows, ignore=True)
        return True

    def forget(self, capture_id: str) -> None:
        """Delete a capture with its seal, its pages, and the images that no other capture has.

        The caller must hold the lock exclusively (crawlers.captures.locks).
        """
        own = "select page_id from capture_pages where capture_id = ?"
        unshared = (
            f"select distinct sha256 from capture_images where page_id in ({own}) and sha256 "
            f"not in (select sha256 from capture_images where page_id not in ({own}))"
        )
        with self.store.transaction():
            db = self.store.db
            images = [row[0] for row in db.execute(unshared, [capture_id, capture_id]).fetchall()]
            db.table("capture_images").delete_where(f"page_id in ({own})", [capture_id])
            db.table("capture_pages").delete_where("capture_id = ?", [capture_id])
            db.table("captures").delete_where("capture_id = ?", [capture_id])
            db.table("captures_leaving").upsert(
                {"capture_id": capture_id, "images": as_json(images)}, pk="capture_id"
            )
        self._delete_what_left()

    def tidy(self) -> None:
        """Delete what killed processes left behind. The caller must hold the lock exclusively."""
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
        """The pages of a capture, or all pages, in the order in which they were taken in."""
        where, values = ("1 = 1", []) if capture_id is None else ("capture_id = ?", [capture_id])
        rows = self.store.db.table("capture_pages").rows_where(where, values, order_by="rowid")
        return [page_from(row) for row in rows]

    def pages_beside(self, capture_id: str) -> list[PageRow]:
        """Return the pages of a capture, and all pages of the accounts and listings on them."""
        own = "from capture_pages where capture_id = :id"
        query = (
            "select * from capture_pages where capture_id = :id "
            f"or (platform, account) in (select platform, account {own}) "
            f"or (platform, {ITEM_OF_PAGE}) in (select platform, {ITEM_OF_PAGE} {own}) "
            "order by rowid"
        )
        return [page_from(row) for row in self.store.db.query(query, {"id": capture_id})]

    def images(self, page_id: str) -> list[ImageRow]:
        """The images of a page in their order."""
        rows = self.store.db.table("capture_images").rows_where(
            "page_id = ?", [page_id], order_by="place"
        )
        return [image_from(row) for row in rows]

    def edit(self, page_id: str, changes: dict[str, Any], by: str, at: str) -> PageRow:
        """Correct facts of a page; the facts that were read stay as well.

        Raises:
            UnknownCapture: no page has that id.
            KeyError, ValueError: a field or its value is invalid.
        """
        rows = list(self.store.db.table("capture_pages").rows_where("page_id = ?", [page_id]))
        if not rows:
            raise UnknownCapture(page_id)
        facts = edited(page_from(rows[0]).facts, changes)
        with self.store.transaction():
            self.store.db.table("capture_pages").update(
                page_id,
                {
                    "edited": as_json(asdict(facts)),
                    "edited_by": by,
                    "edited_at": at,
                    "platform": facts.platform,
                    "account": facts.account_id or facts.account_name,
                    "kind": str(facts.kind),
                },
            )
        return next(page for page in self.pages(rows[0]["capture_id"]) if page.page_id == page_id)


def page_id_of(capture_id: str, number: int) -> str:
    """The id of a capture's page, which is always the same for the same file."""
    return hashlib.sha256(f"{capture_id}:{number}".encode()).hexdigest()[:24]
