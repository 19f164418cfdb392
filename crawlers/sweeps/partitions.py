"""The partitions of a sweep in crawl.db: how far each was read, and where listings may be missing.

The table is called `strands` for the sake of existing databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from crawlers.listing import Page, Partition
from crawlers.sweeps.crawl_store import CrawlStore

# A sweep with nothing but gaps left is resumed for this long. After that a new sweep begins.
GAPS_ASKED_FOR = timedelta(days=1)
# Read as far as possible: only implausible pages are left.
_ENDED = "not done and gap is not null and cursor is gap_cursor"


@dataclass(frozen=True, slots=True)
class OpenPartition:
    """A partition that was not read to its end, and the cursor at which to resume."""

    number: int
    partition: Partition
    cursor: str | None


def open_sweep(store: CrawlStore, place: str, since: datetime | None, now: datetime) -> int | None:
    """The id of the sweep to resume, None if a new one must begin.

    A sweep that reaches further back finds everything that this one would. A sweep with nothing
    but gaps left would not see what is new meanwhile, so it is resumed for one day, and only if it
    is a sweep of everything.
    """
    same = "since is null and ? is null" if since is None else "since <= ?"
    query = f"""
        select sweep_id, started_at from sweeps where place = ? and finished_at is null and {same}
        and sweep_id > (select coalesce(max(sweep_id), 0) from sweeps
                        where place = ? and finished_at is not null and since is null)
        order by sweep_id desc limit 1
    """
    start = since.isoformat() if since else None
    row = store.db.execute(query, [place, start, place]).fetchone()
    if row is None or not _count(store, row[0], "1"):
        return None
    if _count(store, row[0], f"not done and not ({_ENDED})"):
        return int(row[0])
    fresh = since is None and now - datetime.fromisoformat(row[1]) < GAPS_ASKED_FOR
    return int(row[0]) if fresh or not _count(store, row[0], "not done") else None


def add_sweep(
    store: CrawlStore,
    place: str,
    hub: str,
    partitions: tuple[Partition, ...],
    since: datetime | None,
    now: datetime,
) -> int:
    """Insert a new sweep with its partitions and return its id."""
    with store.transaction():
        sweep_id = (
            store.db.table("sweeps")
            .insert(
                {
                    "place": place,
                    "hub": hub,
                    "started_at": now.isoformat(),
                    "finished_at": None,
                    "cursor": None,
                    "pages": 0,
                    "listings": 0,
                    "since": since.isoformat() if since else None,
                }
            )
            .last_pk
        )
        store.db.table("strands").insert_all(
            {
                "sweep_id": sweep_id,
                "number": number,
                "name": partition.name,
                "last": partition.last,
                "cursor": None,
                "pages": 0,
                "done": 0,
                "gap": None,
                "gap_cursor": None,
            }
            for number, partition in enumerate(partitions)
        )
    return int(sweep_id or 0)


def open_partitions(store: CrawlStore, sweep_id: int, *, last: bool) -> list[OpenPartition]:
    """The unread rest of a sweep. A gap at the end of a partition is requested again."""
    row = store.db.execute("select since from sweeps where sweep_id = ?", [sweep_id]).fetchone()
    since = datetime.fromisoformat(row[0]) if row[0] else None
    with store.transaction():
        forget = f"""
            update strands set gap = null, gap_cursor = null
            where sweep_id = ? and last = ? and {_ENDED}
        """
        store.db.execute(forget, [sweep_id, last])
    where = "sweep_id = ? and last = ? and not done"
    rows = store.db.table("strands").rows_where(where, [sweep_id, last], order_by="number")
    return [
        OpenPartition(row["number"], Partition(row["name"], since, last), row["cursor"])
        for row in rows
    ]


def advance(
    store: CrawlStore, sweep_id: int, number: int, page: Page | None, asked_at: str | None
) -> None:
    """Record that a page was taken in. Must be called inside a transaction.

    A partition that ends with a gap is not done: it resumes at its first gap.

    Args:
        page: None if the hub had no page at all.
        asked_at: the cursor of this page.
    """
    key = [sweep_id, number]
    this = "where sweep_id = ? and number = ?"
    if page is not None and page.gap is not None:
        query = f"update strands set gap = ?, gap_cursor = ? {this} and gap is null"
        store.db.execute(query, [page.gap, asked_at, *key])
    query = f"update strands set cursor = ?, pages = pages + ? {this}"
    store.db.execute(query, [page.cursor if page else None, int(page is not None), *key])
    if page is None or page.cursor is None:
        query = f"update strands set done = gap is null, cursor = gap_cursor {this}"
        store.db.execute(query, key)


def gaps_of(store: CrawlStore, sweep_id: int) -> tuple[str, ...]:
    """Sentences that say why listings may be missing from a sweep."""
    query = "select gap from strands where sweep_id = ? and gap is not null order by number"
    return tuple(dict.fromkeys(row[0] for row in store.db.execute(query, [sweep_id])))


def unfinished_places(store: CrawlStore, target: str) -> tuple[str, ...]:
    """The places of a target, whole or by types, whose newest full sweep is not finished."""
    query = """
        select place from sweeps
        where (place = :target or substr(place, 1, length(:target) + 1) = :target || ' ')
        and since is null and finished_at is null
        and sweep_id = (select max(sweep_id) from sweeps newer
                        where newer.place = sweeps.place and newer.since is null)
        order by sweep_id
    """
    return tuple(row[0] for row in store.db.execute(query, {"target": target}))


def _count(store: CrawlStore, sweep_id: int, which: str) -> int:
    query = f"select count(*) from strands where sweep_id = ? and {which}"
    return int(store.db.execute(query, [sweep_id]).fetchone()[0])
