"""Items of scans.db: stored once for all scans in which their results held."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from crawlers.listing import Listing, RemoteFile, bare_listing, listing_to_dict
from scanner.records import ResultRow
from scanner.scanning.item_store import CarriedItem, Item, ScanRow
from scanner.scanning.scan_schema import migrations
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.searched_file_store import Searched

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
TARGET = "civitai:LORA"
SEARCHED = Searched("key", "settings", ("samples",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScanStore]:
    with closing(ScanStore(tmp_path / "scans.db")) as opened:
        yield opened


def sha256_of(number: int) -> str:
    return f"{number:064x}"


def listing_of(number: int, *, title: str = "a title", downloads: int = 1) -> Listing:
    file = RemoteFile(f"{number}.safetensors", f"https://hub/{number}", 1, sha256_of(number))
    listing = bare_listing("civitai", str(number), title, f"https://hub/m/{number}", file)
    return replace(listing, downloads=downloads)


def row_of(number: int, outcome: str = "clear") -> ResultRow:
    return ResultRow(f"{number}.safetensors", sha256_of(number), outcome)


def scan(
    store: ScanStore,
    turn: int,
    listings: Mapping[int, Listing],
    outcomes: Mapping[int, str] | None = None,
) -> ScanRow:
    """Scan listings; results are clear unless others are given."""
    now = NOON + timedelta(days=turn)
    begun = store.begin(f"scan {turn}", TARGET, f"key {turn}", 0, now)
    for listing in listings.values():
        store.items.add(begun, [listing])
    for item in store.items.pending(begun):
        number = int(item.listing.listing_id)
        row = row_of(number, (outcomes or {}).get(number, "clear"))
        store.items.note_judged(item, begun, sha256_of(number), [row], SEARCHED, now)
    store.mark_finished(begun.scan_id, now, 1)
    return begun


def outcomes(store: ScanStore, of: ScanRow) -> dict[str, str]:
    return {
        f"civitai:{row.file.removesuffix('.safetensors')}:{row.file}": row.outcome
        for row in (one.row for one in store.rows.of_scan(of))
    }


def rows_in_tables(store: ScanStore) -> tuple[int, int]:
    tables = ("items", "item_listings")
    items, listings = (store._db.table(name).count for name in tables)
    return items, listings


def names(*numbers: int) -> list[str]:
    return [f"civitai:{number}:{number}.safetensors" for number in numbers]


def test_an_unchanged_target_adds_nothing(store: ScanStore) -> None:
    listings = {number: listing_of(number) for number in range(20)}
    first = scan(store, 1, listings)
    counted = rows_in_tables(store)
    later = {number: listing_of(number, downloads=500 + number) for number in range(20)}
    second = scan(store, 2, later)
    assert rows_in_tables(store) == counted == (20, 20)
    assert outcomes(store, first) == outcomes(store, second)
    [item] = store.items.judged(sha256_of(0))
    assert item.listing.downloads == 500


def test_a_listing_that_nothing_refers_to_is_forgotten(store: ScanStore) -> None:
    scan(store, 1, {0: listing_of(0)})
    files = (*listing_of(0).files, RemoteFile("new", "https://hub/new", 1, sha256_of(7)))
    begun = store.begin("scan 2", TARGET, "key", 0, NOON)
    store.items.add(begun, [replace(listing_of(0), files=files)])
    assert rows_in_tables(store) == (2, 1)


def test_a_result_that_differs_stays_with_its_scans(store: ScanStore) -> None:
    listings = {number: listing_of(number) for number in range(3)}
    first = scan(store, 1, listings)
    second = scan(store, 2, listings, {1: "match"})
    third = scan(store, 3, listings, {1: "match"})
    assert list(outcomes(store, first).values()) == ["clear", "clear", "clear"]
    assert list(outcomes(store, second).values()) == ["clear", "match", "clear"]
    assert outcomes(store, third) == outcomes(store, second)
    assert rows_in_tables(store)[0] == 4


def test_a_file_that_was_gone_in_between_is_not_in_that_scan(store: ScanStore) -> None:
    listings = {number: listing_of(number) for number in range(3)}
    scans = [
        scan(store, turn, {number: listings[number] for number in numbers})
        for turn, numbers in enumerate(((0, 1, 2), (0, 2), (0, 1, 2)))
    ]
    found = [list(outcomes(store, one)) for one in scans]
    assert found == [names(0, 1, 2), names(0, 2), names(0, 1, 2)]


def test_other_facts_about_a_file_are_another_question(store: ScanStore) -> None:
    scan(store, 1, {0: listing_of(0)})
    begun = store.begin("scan 2", TARGET, "key", 0, NOON)
    store.items.add(begun, [listing_of(0, title="another")])
    [item] = store.items.pending(begun)
    assert (item.state, item.rows, item.sha256) == ("listed", None, None)
    assert item.listing.title == "another"


def test_a_known_file_comes_with_its_results(store: ScanStore) -> None:
    scan(store, 1, {0: listing_of(0), 1: listing_of(1)})
    begun = store.begin("scan 2", TARGET, "key", 0, NOON)
    for listing in (listing_of(2), listing_of(0), listing_of(1)):
        store.items.add(begun, [listing])
    assert store.items.count(begun) == (0, 3)
    new, *known = store.items.pending(begun)
    assert (new.item_key, new.rows) == (names(2)[0], None)
    assert [(item.rows, item.searched) for item in known] == [
        ((row_of(number),), SEARCHED) for number in range(2)
    ]
    store.items.carry([CarriedItem(item.item_id, NOON, 1) for item in known], begun)
    assert store.items.count(begun) == (2, 3)
    assert [item.item_key for item in store.items.pending(begun)] == names(2)


def test_a_scan_that_goes_on_repeats_no_file(store: ScanStore) -> None:
    begun = store.begin("scan", TARGET, "key", 0, NOON)
    for number in range(3):
        store.items.add(begun, [listing_of(number)])
    first, *_ = store.items.pending(begun)
    store.items.note_judged(first, begun, sha256_of(0), [row_of(0)], SEARCHED, NOON)
    again = store.begin("another", TARGET, "key", 0, NOON)
    for number in range(4):
        store.items.add(again, [listing_of(number)])
    assert again == begun
    assert [item.item_key for item in store.items.pending(again)] == names(1, 2, 3)
    assert store.items.count(again) == (1, 4)


def test_a_listing_of_many_files_is_stored_once(store: ScanStore) -> None:
    files = tuple(
        RemoteFile(f"{number}.safetensors", f"https://hub/{number}", 1, sha256_of(number))
        for number in range(300)
    )
    begun = store.begin("scan", TARGET, "key", 0, NOON)
    store.items.add(begun, [replace(listing_of(0), files=files)])
    assert rows_in_tables(store) == (300, 1)
    found: list[Item] = list(store.items.pending(begun))
    assert [item.listing.files[item.file_number].name for item in found] == [
        file.name for file in files
    ]


class TestCoverage:
    def test_files_count_once_by_their_newest_result(self, store: ScanStore) -> None:
        listings = {number: listing_of(number) for number in range(5)}
        scan(store, 1, listings, {0: "failed", 1: "inconclusive"})
        since = (NOON + timedelta(days=1)).isoformat()
        [coverage] = store.coverage.since(since)
        assert (coverage.hub, coverage.examined, coverage.unclear) == ("civitai", 3, 2)
        scan(store, 2, listings, {1: "failed"})
        [coverage] = store.coverage.since(since)
        assert (coverage.examined, coverage.unclear, store.coverage.ever()) == (4, 1, 4)
        assert store.coverage.since((NOON + timedelta(days=3)).isoformat()) == []

    def test_the_minute_of_a_time_is_counted_from_that_time(self, store: ScanStore) -> None:
        scan(store, 1, {0: listing_of(0)})
        at = NOON + timedelta(days=1)
        assert len(store.coverage.since((at - timedelta(seconds=1)).isoformat())) == 1
        assert len(store.coverage.since(at.isoformat())) == 1
        assert store.coverage.since((at + timedelta(seconds=1)).isoformat()) == []

    def test_counters_are_those_of_reading_every_file(self, store: ScanStore) -> None:
        rng = random.Random(3)
        insert = (
            "insert into examined_files values (?, ?, ?, ?, ?, ?) on conflict (hub, file) "
            "do update set is_unclear = excluded.is_unclear, is_sampled = excluded.is_sampled, "
            "seen_at = excluded.seen_at where excluded.seen_at >= seen_at"
        )
        for number in range(400):
            first = NOON + timedelta(seconds=rng.choice((1, 400)) * rng.randrange(600))
            seen = first + timedelta(seconds=rng.choice((1, 400)) * rng.randrange(600))
            file, is_sampled = str(number % 150), rng.random() < 0.9
            is_unclear = rng.random() < 0.3
            at = [first.isoformat(), seen.isoformat()]
            values = [rng.choice("ab"), file, is_unclear, is_sampled, *at]
            store._db.execute(insert, values)
        drawn = "select count(*) from drawn_files where first_at < ? and seen_at >= ?"
        examined = (
            "select hub, sum(not is_unclear), sum(is_unclear) from examined_files "
            "where seen_at >= ? group by hub order by 2 desc, hub"
        )
        for second in (*range(0, 1_300, 7), *range(0, 480_000, 1_111)):
            since = (NOON + timedelta(seconds=second)).isoformat()
            expected = store._db.execute(drawn, [since, since]).fetchone()[0]
            assert store.coverage.drawn_before(since) == expected
            counted = [(one.hub, one.examined, one.unclear) for one in store.coverage.since(since)]
            assert counted == store._db.execute(examined, [since]).fetchall()
        assert (
            store.coverage.ever()
            == store._db.execute(
                "select count(*) from examined_files where not is_unclear"
            ).fetchone()[0]
        )

    def test_what_was_drawn_before(self, store: ScanStore) -> None:
        scan(store, 1, {0: listing_of(0), 1: listing_of(1)})
        registered = NOON + timedelta(days=1, hours=1)
        assert store.coverage.drawn_before(registered.isoformat()) == 0
        stale = list(store.searched.stale("present key"))
        store.searched.carry(stale[:1], "present key", 1, registered + timedelta(hours=1))
        assert store.coverage.drawn_before(registered.isoformat()) == 1


OLD_ROW = """
insert into items (scan_id, item_key, position, state, listing, file_number, sha256, verdict,
search_key, settings_key, sampling_keys, searched_at) values (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)
"""


def as_before(path: Path, scans: int, files: int) -> None:
    """Make scans.db as the version before ranges of scans left it; the last scan is unfinished."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        migrations.apply(Database(db), stop_before="items_of_targets")
        for turn in range(scans):
            at = (NOON + timedelta(days=turn)).isoformat()
            finished = at if turn < scans - 1 else None
            row = (f"scan {turn}", TARGET, "key", at, at, finished, 0)
            db.execute("insert into scans values (?, ?, ?, ?, ?, ?, ?)", row)
            for number in range(files):
                is_judged = turn < scans - 1 or number < files // 2
                outcome = "match" if turn > 0 and number == 1 else "clear"
                record = {"rows": [row_of(number, outcome).to_json()]}
                db.execute(
                    OLD_ROW,
                    (
                        f"scan {turn}",
                        names(number)[0],
                        number,
                        "judged" if is_judged else "listed",
                        json.dumps(listing_to_dict(listing_of(number, downloads=turn))),
                        sha256_of(number) if is_judged else None,
                        json.dumps(record) if is_judged else None,
                        *(("key", "settings", '["samples"]', at) if is_judged else [None] * 4),
                    ),
                )
        db.commit()


def check_taken_over(store: ScanStore, files: int) -> None:
    first, second, last = (store.scan(f"scan {turn}") for turn in range(3))
    assert list(outcomes(store, first).values()) == ["clear"] * files
    expected = {name: "match" if name == names(1)[0] else "clear" for name in names(*range(files))}
    assert outcomes(store, second) == expected
    assert store.items.count(last) == (files // 2, files)
    assert [item.item_key for item in store.items.pending(last)] == names(*range(files // 2, files))
    assert store.begin("new", TARGET, "key", 0, NOON) == last


def test_items_of_before_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "scans.db"
    as_before(path, 3, 10)
    with closing(ScanStore(path)) as store:
        check_taken_over(store, 10)
        # A range for each file, one more for the file whose result changed, and those that the
        # unfinished scan has not judged.
        assert rows_in_tables(store) == (10 + 1 + 5, 10)
        assert store.coverage.ever() == 10


def test_killed_while_items_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "scans.db"
    as_before(path, 3, 400)
    opening = (
        "from pathlib import Path; from scanner.scanning.scan_store import ScanStore; "
        f"ScanStore(Path({str(path)!r}))"
    )
    for seconds in (0.3, 0.4, 0.5, 0.6, 0.7):
        process = subprocess.Popen([sys.executable, "-c", opening])
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with closing(ScanStore(path)) as store:
        check_taken_over(store, 400)


class TestScansThatStop:
    """What a scan that is killed, or another process, leaves is neither lost nor repeated."""

    def begin(self, store: ScanStore, name: str, key: str = "key") -> ScanRow:
        begun = store.begin(name, TARGET, key, 0, NOON)
        store.items.add(begun, [listing_of(number) for number in range(3)])
        return begun

    def judge(self, store: ScanStore, begun: ScanRow, item: Item, outcome: str) -> None:
        number = int(item.listing.listing_id)
        rows = [row_of(number, outcome)]
        store.items.note_judged(item, begun, sha256_of(number), rows, SEARCHED, NOON)

    def test_results_that_differ_are_stored_once(self, store: ScanStore) -> None:
        scan(store, 1, {number: listing_of(number) for number in range(3)})
        begun = self.begin(store, "scan 2")
        first, *_ = store.items.pending(begun)
        self.judge(store, begun, first, "match")
        assert store.items.count(begun) == (1, 3)
        again = self.begin(store, "scan 3")
        assert again == begun
        left = list(store.items.pending(again))
        assert [item.item_key for item in left] == names(1, 2)
        self.judge(store, begun, first, "match")  # another process was slower
        assert store.items.count(again) == (1, 3)

    def test_an_older_scan_does_not_go_on(self, store: ScanStore) -> None:
        """Its items belong to the newer one, which was run with other settings."""
        first = self.begin(store, "scan 1", "one")
        second = self.begin(store, "scan 2", "other")
        for item in store.items.pending(second):
            self.judge(store, second, item, "clear")
        third = self.begin(store, "scan 3", "one")
        assert third.number > second.number > first.number
        assert store.items.count(third) == (0, 3)
        assert len(list(store.items.pending(third))) == 3

    def test_a_scan_that_examined_nothing_says_nothing(self, store: ScanStore) -> None:
        listings = {number: listing_of(number) for number in range(3)}
        first = scan(store, 1, listings)
        killed = self.begin(store, "killed", "other")
        third = scan(store, 3, listings)
        assert len(outcomes(store, first)) == len(outcomes(store, third)) == 3
        assert outcomes(store, killed) == {}

    def test_a_slower_process_takes_nothing_from_a_later_scan(self, store: ScanStore) -> None:
        listings = {number: listing_of(number) for number in range(3)}
        scan(store, 1, listings)
        second = self.begin(store, "scan 2", "other")
        known = list(store.items.pending(second))
        self.judge(store, second, known[0], "clear")
        store.mark_finished(second.scan_id, NOON, 1)
        third = scan(store, 3, listings)
        for item in known:
            self.judge(store, second, item, "clear")
        store.items.carry([CarriedItem(item.item_id, NOON, 1) for item in known], second)
        assert len(outcomes(store, third)) == 3
        assert store.items.count(third) == (3, 3)

    def test_one_target_is_scanned_by_one_process(self, store: ScanStore, tmp_path: Path) -> None:
        waiting = (
            "from pathlib import Path; from scanner.scanning.scan_store import ScanStore; "
            f"store = ScanStore(Path({str(tmp_path / 'scans.db')!r}))\n"
            f"with store.alone_with({TARGET!r}): print('alone')"
        )
        with store.alone_with(TARGET), store.alone_with(TARGET):
            process = subprocess.Popen(
                [sys.executable, "-c", waiting], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
        out, _ = process.communicate(timeout=30)
        assert out.split() == [b"alone"]


def test_files_under_way_hide_no_others(store: ScanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that was killed leaves files with a hash and without results."""
    monkeypatch.setattr("scanner.scanning.searched_file_store._ITEMS_AT_ONCE", 2)
    scan(store, 1, {9: listing_of(9)})
    begun = store.begin("killed", "another target", "key", 0, NOON)
    store.items.add(begun, [listing_of(number) for number in range(6)])
    for item in store.items.pending(begun):
        store.items.note_fetched(item, begun, item.listing.files[0].sha256)
    assert [file.sha256 for file in store.searched.stale("present key")] == [sha256_of(9)]


def test_a_retrosearch_leaves_earlier_months_as_they_were(store: ScanStore) -> None:
    listings = {number: listing_of(number) for number in range(3)}
    first, second = scan(store, 1, listings), scan(store, 2, listings)
    [stale, *others] = store.searched.stale("present key")
    changed = replace(stale, rows=(replace(stale.rows[0], outcome="inconclusive"),))
    store.searched.carry([changed, *others], "present key", 1, NOON + timedelta(days=40))
    assert set(outcomes(store, first).values()) == {"clear"}
    assert sorted(outcomes(store, second).values()) == ["clear", "clear", "inconclusive"]
    assert list(store.searched.stale("present key")) == []
