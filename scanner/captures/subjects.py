"""Subjects: the sets of captured images that are searched together.

All images of an account are one subject, because they are dependent evidence on one question.
Images of a capture that names no account are a subject of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from crawlers.captures.capture_rows import ImageRow, PageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.images.pictures import copies_among
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.pages.page import Format


@dataclass(frozen=True, slots=True)
class Subject:
    """An account's images, or those of one capture that names no account.

    Attributes:
        key: identifies the account or capture.
        name: for display.
        account: platform and account; None for a capture that names none.
        pages: by their id.
        images: distinct images, the first of each set of copies.
        copies: number of copies of each image, by SHA-256.
        places: ids of the pages that show an image or a copy of it, by SHA-256.
        thorough: SHA-256 of images that are pictures of pages.
    """

    key: str
    name: str
    account: tuple[str, str] | None
    pages: dict[str, PageRow]
    images: tuple[ImageRow, ...]
    copies: dict[str, int]
    places: dict[str, tuple[str, ...]]
    thorough: frozenset[str]

    @property
    def version(self) -> str:
        """Changes when images come or go."""
        return hashlib.sha256("".join(sorted(self.copies)).encode()).hexdigest()[:16]


def subjects_of(captures: CaptureStore, capture_id: str | None = None) -> Iterator[Subject]:
    """The subjects of all captures, or only those that one capture is part of."""
    groups: dict[str, tuple[str, tuple[str, str] | None, list[PageRow]]] = {}
    pages_there = captures.pages() if capture_id is None else captures.pages_beside(capture_id)
    # Read after the pages, so that a page whose capture is removed meanwhile is left out.
    if capture_id is None:
        known = captures.newest()
    else:
        ids = {page.capture_id for page in pages_there}
        known = [row for one in sorted(ids) if (row := captures.known(one)) is not None]
    formats = {capture.capture_id: capture for capture in known}
    for page in pages_there:
        if page.capture_id not in formats:
            continue  # removed meanwhile
        key, name, account = subject_of(page, formats[page.capture_id].name)
        groups.setdefault(key, (name, account, []))[2].append(page)
    for key, (name, account, pages) in groups.items():
        if capture_id is not None and all(page.capture_id != capture_id for page in pages):
            continue
        rows = [(image, page) for page in pages for image in captures.images(page.page_id)]
        own = [
            (image, page) for image, page in rows if image.belongs and image.picture.problem is None
        ]
        groups_of = copies_among([image.picture.pdq for image, _ in own])
        firsts: dict[int, ImageRow] = {}
        copies: dict[str, int] = {}
        places: dict[str, dict[str, None]] = {}
        by_hash: dict[str, int] = {}
        for number, (image, page) in enumerate(own):
            first = by_hash.setdefault(image.sha256, groups_of[number])
            firsts.setdefault(first, own[first][0])
            copies[own[first][0].sha256] = copies.get(own[first][0].sha256, 0) + 1
            places.setdefault(own[first][0].sha256, {})[page.page_id] = None
        whole = {Format.IMAGE, Format.PDF, Format.TABLE}
        thorough = frozenset(
            image.sha256 for image, page in own if formats[page.capture_id].format in whole
        )
        if firsts:
            yield Subject(
                key,
                name,
                account,
                {page.page_id: page for page in pages},
                tuple(firsts.values()),
                copies,
                {sha256: tuple(found) for sha256, found in places.items()},
                thorough,
            )


def subject_of(page: PageRow, file: str) -> tuple[str, str, tuple[str, str] | None]:
    """Key, name and account of a page's subject; a hub's listing is a subject of its own."""
    facts, account = page.facts, page.account
    if facts.kind == PageKind.MODEL and facts.item_id:
        return (
            f"listing {facts.platform} {facts.item_id}",
            f"{facts.title} · {facts.platform}",
            None,
        )
    if account:
        return (
            f"account {account[0]} {account[1]}",
            f"{facts.account_name or account[1]} · {account[0]}",
            account,
        )
    return f"capture {page.capture_id}", file, None
