"""Listings are found by parts of their words in any script, as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawlers.listing import Listing, RemoteFile, bare_listing
from crawlers.sweeps.crawl_schema import migrations
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.query import ORDERS, likely, search

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
PLACE = "civitai:LORA"
WORD = st.text(st.sampled_from("aAbB\"'%_!* -ßéИ李雷"), min_size=1, max_size=6)


def listing_of(number: int, title: str, **facts: object) -> Listing:
    file = RemoteFile(f"{number}.safetensors", f"https://hub/{number}", 1, f"{number:064x}")
    bare = bare_listing("civitai", str(number), title, f"https://hub/m/{number}", file)
    return replace(bare, **facts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CrawlStore]:
    with closing(CrawlStore(tmp_path / "crawl.db")) as opened:
        yield opened


def see(store: CrawlStore, *listings: Listing, at: datetime = NOON) -> None:
    with store.transaction():
        store.see(listings, PLACE, 1, at)


def found(store: CrawlStore, words: str, **how: str) -> set[str]:
    return {one.listing.listing_id for one in search(store, words=words, **how)}


def test_all_words_must_be_there_wherever_they_are(store: CrawlStore) -> None:
    see(
        store,
        listing_of(1, "Retro portraits", creator="maker", tags=("film",)),
        listing_of(2, "Retro cars", triggers=("ohwx woman",)),
        listing_of(3, "李雷的肖像"),
    )
    assert found(store, "retro") == {"1", "2"}
    assert found(store, "RETRO film") == {"1"}
    assert found(store, "ohwx") == found(store, "2.safetensors") == {"2"}
    assert found(store, "雷的") == found(store, "雷的肖") == {"3"}
    assert found(store, "retro nothing") == set()


def test_words_that_are_gone_find_nothing(store: CrawlStore) -> None:
    see(store, listing_of(1, "an old title"), listing_of(2, "another"))
    see(store, listing_of(1, "a new name"), at=NOON + timedelta(days=1))
    assert (found(store, "old title"), found(store, "new name")) == (set(), {"1"})


def test_a_vacuum_moves_no_words(store: CrawlStore) -> None:
    see(store, *(listing_of(number, f"title{number}x") for number in range(50)))
    store.db.execute("delete from presence where cast(listing_id as int) < 25")
    store.db.conn.commit()
    store.db.execute("vacuum")
    assert found(store, "title30x") == {"30"}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(titles=st.lists(WORD, min_size=1, max_size=4), wanted=WORD)
def test_the_index_finds_what_the_texts_contain(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], wanted: str
) -> None:
    with closing(CrawlStore(tmp_path_factory.mktemp("crawl") / "crawl.db")) as store:
        see(store, *(listing_of(number, title) for number, title in enumerate(titles)))
        expected = {
            str(number)
            for number, title in enumerate(titles)
            if all(
                word.casefold() in f"{title}\n{number}.safetensors".casefold()
                for word in wanted.split()
            )
        }
        assert found(store, wanted) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_pages_follow_each_other(store: CrawlStore, order: str) -> None:
    for day in range(3):
        listings = [
            listing_of(number, f"title {number}", downloads=number % 7)
            for number in range(10 * day, 10 * day + 10)
        ]
        see(store, *listings, at=NOON + timedelta(days=day))
    whole = [one.listing.listing_id for one in search(store, order=order, limit=100)]
    assert sorted(map(int, whole)) == list(range(30))
    pages = [
        [one.listing.listing_id for one in search(store, order=order, limit=7, offset=offset)]
        for offset in range(0, 35, 7)
    ]
    assert sum(pages, []) == whole  # noqa: RUF017
    of_hub = search(store, "civitai", order=order, limit=100)
    assert [one.listing.listing_id for one in of_hub] == whole


def test_the_likeliest_come_first(store: CrawlStore) -> None:
    see(
        store,
        listing_of(1, "a car"),
        listing_of(2, "Celebrity likeness of an actress", tags=("celebrity", "real person")),
        listing_of(3, "a house"),
    )
    first, *_ = likely(store, PLACE)
    assert (first.listing_id, first.raw) == ("2", "")


def test_listings_of_before_are_found(tmp_path: Path) -> None:
    path = tmp_path / "crawl.db"
    with closing(CrawlStore(path)) as store:
        see(store, listing_of(1, "Retro portraits", tags=("film",)))
        for name in ("listing_words", "listing_numbers"):
            store.db.execute(f"drop table {name}")
        for name in ("likeness", "downloads", "hub_and_likeness", "hub_and_downloads", "state"):
            store.db.execute(f"drop index presence_by_{name}")
        for name in ("first_seen", "hub_first_seen"):
            store.db.execute(f"drop index idx_listings_{name}")
        made_then = "orders_and_words_of_listings"
        assert made_then in [one.name for one in migrations.applied(store.db)]
        store.db.execute("delete from _sqlite_migrations where name = ?", [made_then])
        store.db.conn.commit()
    with closing(CrawlStore(path)) as store:
        assert found(store, "retro film") == {"1"}
