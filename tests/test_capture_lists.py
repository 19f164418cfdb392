"""Lists of captures: pages follow each other, and one capture is read without all others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from crawlers.captures.capture_rows import CaptureRow, ImageRow
from crawlers.captures.capture_store import CaptureStore, page_id_of
from crawlers.captures.images.pictures import Picture
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import PageFacts, PageKind
from crawlers.captures.pages.page import CapturedPage
from crawlers.sweeps.crawl_store import CrawlStore
from scanner.captures.subjects import subjects_of

CAPTURES = 60


def capture_of(number: int, at: str, pages: int) -> CaptureRow:
    text = f"shop {number % 3}.html"
    capture_id = f"{number:064x}"
    return CaptureRow(capture_id, text, "html", 9, at, "ada", None, None, (), (), None, pages)


def facts_of(rng: random.Random) -> PageFacts:
    kind = rng.choice((PageKind.PAGE, PageKind.OFFER, PageKind.MODEL))
    account = rng.choice((None, "a", "b", "c"))
    item = rng.choice((None, "1", "2"))
    return PageFacts(kind, rng.choice(("xianyu", "civitai")), account_id=account, item_id=item)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaptureStore]:
    folder, rng = tmp_path_factory.mktemp("captures"), random.Random(5)
    with closing(CrawlStore(folder / "crawl.db")) as store:
        captures = CaptureStore(store, folder / "captures")
        for number in range(CAPTURES):
            count = rng.randrange(1, 4)
            at = f"2026-11-{rng.randrange(1, 9):02}T10:00:00+00:00"
            row = capture_of(number, at, count)
            pages, images = [], []
            for turn in range(count):
                page = CapturedPage(None, "", None, None, "", ())
                pages.append((page, facts_of(rng), ()))
                picture = Picture(300, 300, None)
                image = f"{rng.randrange(90):064x}"
                page_id = page_id_of(row.capture_id, turn)
                images.append([ImageRow(page_id, 0, image, None, "", picture, Provenance(), True)])
            assert captures.add(row, pages, images)
        yield captures


@pytest.mark.parametrize("find", ["", "shop 1", "civitai"])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_pages_of_a_list_hold_every_capture_once(
    captures: CaptureStore, find: str, size: int
) -> None:
    found: list[CaptureRow] = []
    while page := captures.newest(find, found[-1].capture_id if found else "", size):
        assert len(page) <= size
        found += page
    assert found == captures.newest(find)
    assert found == sorted(found, key=lambda row: row.taken_in_at, reverse=True)
    assert len(captures.newest()) == CAPTURES


def test_what_shares_subjects_with_a_capture_is_found_without_all_others(
    captures: CaptureStore,
) -> None:
    whole = list(subjects_of(captures))
    for row in captures.newest():
        expected = [
            subject
            for subject in whole
            if any(page.capture_id == row.capture_id for page in subject.pages.values())
        ]
        assert list(subjects_of(captures, row.capture_id)) == expected
