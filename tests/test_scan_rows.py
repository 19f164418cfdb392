"""Rows of scans, which are read when they are used and may be many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.listing import Listing, RemoteFile, bare_listing
from scanner.cli.output import print_json
from scanner.records import ResultRow
from scanner.scanning.item_store import ScanRow
from scanner.scanning.scan_rows import ScannedRow
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.searched_file_store import Searched

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MANY = 1_200
SEARCHED = Searched("key", "settings", ("sampling",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ScanStore]:
    store = ScanStore(tmp_path / "scans.db")
    yield store
    store.close()


def sha256_of(number: int) -> str:
    return f"{number:064x}"


def listing_of(number: int) -> Listing:
    file = RemoteFile(f"{number}.safetensors", "https://hub/file", 1, sha256_of(number))
    return bare_listing("civitai", str(number), "title", "https://hub/model", file)


def rows_of(number: int) -> list[ResultRow]:
    """The rows of a file; every hundredth shows two people, every seventh cannot be read."""
    row = ResultRow(f"{number}.safetensors", sha256_of(number), "clear")
    if number % 100 == 50:
        return [
            ResultRow(row.file, row.sha256, outcome, f"person {outcome}", case_id=f"{number}")
            for outcome in ("match", "possible")
        ]
    if number % 7 == 0:
        return [ResultRow(row.file, None, "failed", reason="damaged")]
    if number == 3:
        return [ResultRow(row.file, row.sha256, "match", "person", authorised="a licence")]
    return [row]


def rows(scanned: Iterable[ScannedRow]) -> list[ResultRow]:
    return [one.row for one in scanned]


def judged(store: ScanStore, numbers: range) -> ScanRow:
    scan = store.begin("scan", "target", "key", 0, NOON)
    store.items.add(scan, map(listing_of, numbers))
    for item in store.items.pending(scan):
        number = int(item.listing.listing_id)
        store.items.note_judged(item, scan, None, rows_of(number), SEARCHED, NOON)
    return scan


def test_all_rows_come_in_the_order_of_the_listing(store: ScanStore) -> None:
    scan = judged(store, range(MANY))
    expected = [row for number in range(MANY) for row in rows_of(number)]
    assert rows(store.rows.of_scan(scan)) == expected
    findings = [row for row in expected if row.outcome in ("match", "possible")]
    assert rows(store.rows.of_scan(scan, only_findings=True)) == findings


def test_counts_are_of_files_and_of_rows(store: ScanStore) -> None:
    scan = judged(store, range(MANY))
    counts = store.rows.counts(scan)
    expected = [row for number in range(MANY) for row in rows_of(number)]
    examined = {row.sha256 for row in expected if row.outcome != "failed"}
    assert (counts.examined, counts.rows) == (len(examined), len(expected))
    assert counts.by_outcome == {
        outcome: [row.outcome for row in expected].count(outcome)
        for outcome in ("clear", "failed", "match", "possible")
    }


def test_the_most_serious_keep_the_order_of_the_listing(store: ScanStore) -> None:
    scan = judged(store, range(MANY))
    found, every = rows(store.rows.most_serious(scan, 30)), rows(store.rows.of_scan(scan))
    matches = [row for row in every if row.outcome == "match" and row.case_id]
    possible = [row for row in every if row.outcome == "possible"]
    failed = [row for row in every if row.outcome == "failed"]
    serious = [*matches, *possible, *failed[:6]]
    assert found == sorted(serious, key=lambda row: int(row.file.removesuffix(".safetensors")))
    assert "a licence" not in [row.authorised for row in found]  # it counts as clear


def test_a_scan_without_files_has_no_rows(store: ScanStore) -> None:
    scan = judged(store, range(0))
    assert list(store.rows.of_scan(scan)) == []
    assert (store.rows.counts(scan).examined, store.rows.counts(scan).rows) == (0, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(before=JSON, rows=st.lists(JSON, max_size=4), after=JSON)
def test_a_list_that_is_read_while_it_is_printed_looks_like_any_other(
    before: Any, rows: list[Any], after: Any
) -> None:
    printed: list[str] = []
    document = {"before": before, "rows": rows, "after": after}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("typer.echo", lambda text, nl=True: printed.append(text + "\n" * nl))
        print_json({**document, "rows": iter(rows)})
    assert "".join(printed) == json.dumps(document, ensure_ascii=False, indent=2) + "\n"
