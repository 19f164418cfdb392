"""How many files were examined on each hub since a time, from counters.

Triggers keep a row for each different file, and count these rows by the day and by the minute in
which the file was searched last. So a page that asks for the time since somebody registered adds up
days, the minutes of the first day and the files of its first minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlite_utils import Database

_FILE = "coalesce(new.sha256, new.item_key)"
_UNCLEAR = "coalesce(new.verdict ->> '$.rows[0].outcome', '') in ('failed', 'inconclusive')"
_HUB = "coalesce((select hub from item_listings l where l.listing_number = new.listing_number), '')"
_STARTED = "(select started_at from scans s where s.number = new.first_scan)"
_EXAMINED = (
    "insert into examined_files (hub, file, is_unclear, is_sampled, first_at, seen_at) "
    f"values ({_HUB}, {_FILE}, {_UNCLEAR}, coalesce(new.sampling_keys, '[]') <> '[]', "
    f"{_STARTED}, max({_STARTED}, coalesce(new.searched_at, ''))) "
    "on conflict (hub, file) do update set is_unclear = excluded.is_unclear, "
    "is_sampled = excluded.is_sampled, first_at = min(first_at, excluded.first_at), "
    "seen_at = excluded.seen_at where excluded.seen_at >= seen_at;"
)
_MINUTE = "substr({row}.seen_at, 1, 16)"
_COUNT = (
    "insert into examined_minutes (minute, hub, examined, unclear) "
    f"values ({_MINUTE.format(row='new')}, new.hub, not new.is_unclear, new.is_unclear) "
    "on conflict (minute, hub) do update set examined = examined + excluded.examined, "
    "unclear = unclear + excluded.unclear;"
)
_DISCOUNT = (
    "update examined_minutes set examined = examined - (not old.is_unclear), "
    "unclear = unclear - old.is_unclear "
    f"where minute = {_MINUTE.format(row='old')} and hub = old.hub; "
    "delete from examined_minutes where examined = 0 and unclear = 0 "
    f"and minute = {_MINUTE.format(row='old')} and hub = old.hub;"
)


_DRAWN = (
    "insert into drawn_files (file, first_at, seen_at) "
    "values (new.file, new.first_at, new.seen_at) "
    "on conflict (file) do update set first_at = min(first_at, excluded.first_at), "
    "seen_at = max(seen_at, excluded.seen_at);"
)
_COUNT_DRAWN = (
    "insert into drawn_minutes (minute, begun, searched) "
    "values (substr({row}.{column}, 1, 16), {begun}, {searched}) on conflict (minute) do update "
    "set begun = begun + excluded.begun, searched = searched + excluded.searched;"
)


_OTHER_DAY = (
    "when substr(old.seen_at, 1, 10) <> substr(new.seen_at, 1, 10) "
    "or old.is_unclear <> new.is_unclear"
)
_COUNT_DAY = (
    "insert into examined_days (day, hub, examined, unclear) values (substr({row}.seen_at, 1, 10), "
    "{row}.hub, {step} * not {row}.is_unclear, {step} * {row}.is_unclear) "
    "on conflict (day, hub) do update set examined = examined + excluded.examined, "
    "unclear = unclear + excluded.unclear;"
)
_COUNT_DRAWN_DAY = (
    "insert into drawn_days (day, {counter}) values (substr({row}.{column}, 1, 10), {step}) "
    "on conflict (day) do update set {counter} = {counter} + excluded.{counter};"
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Numbers of examined files on one hub.

    Attributes:
        examined: number of different files whose newest verdict tells whether they show somebody.
        unclear: number of different files that are failed or inconclusive.
        first_at, last_at: when the first and the last of these were searched, UTC.
    """

    hub: str
    examined: int
    unclear: int
    first_at: str
    last_at: str


def create_coverage(db: Database) -> None:
    """Create the tables and triggers, and count what is stored."""
    db.execute(
        "create table examined_files (hub text, file text, is_unclear integer, "
        "is_sampled integer, first_at text, seen_at text, primary key (hub, file)) without rowid"
    )
    db.execute(
        "create table examined_minutes (minute text, hub text, examined integer, "
        "unclear integer, primary key (minute, hub)) without rowid"
    )
    db.execute("create index files_seen on examined_files (seen_at, hub, is_unclear)")
    db.execute("create index files_drawn on examined_files (is_sampled, first_at, seen_at)")
    for event, statements in {"insert": _COUNT, "update": _DISCOUNT + " " + _COUNT}.items():
        db.execute(
            f"create trigger examined_{event} after {event} on examined_files "
            f"begin {statements} end"
        )
    for event in ("insert", "update of state, sha256, verdict, sampling_keys, searched_at"):
        db.execute(
            f"create trigger items_{event.partition(' ')[0]} after {event} on items "
            f"when new.state = 'judged' begin {_EXAMINED} end"
        )
    # Every item counts itself.
    db.execute("update items set state = state where state = 'judged'")


def create_drawn_counters(db: Database) -> None:
    """Create the counters of files that were drawn, and count what is stored.

    A file that several hubs list is one file here.
    """
    db.execute(
        "create table drawn_files (file text primary key, first_at text, seen_at text) "
        "without rowid"
    )
    db.execute(
        "create table drawn_minutes (minute text primary key, begun integer, searched integer) "
        "without rowid"
    )
    for column in ("first_at", "seen_at"):
        db.execute(f"create index drawn_files_{column} on drawn_files ({column})")
    for event, steps in {"insert": (("new", 1),), "update": (("old", -1), ("new", 1))}.items():
        statements = " ".join(
            _COUNT_DRAWN.format(row=row, column=column, begun=begun, searched=searched)
            for row, step in steps
            for column, begun, searched in (("first_at", step, 0), ("seen_at", 0, step))
        )
        db.execute(
            f"create trigger drawn_{event} after {event} on drawn_files begin {statements} end"
        )
        db.execute(
            f"create trigger examined_drawn_{event} after {event} on examined_files "
            f"when new.is_sampled begin {_DRAWN} end"
        )
    db.execute("update examined_files set is_sampled = is_sampled where is_sampled")
    db.execute("drop index files_drawn")


def create_day_counters(db: Database) -> None:
    """Create the counters of days, and count the minutes that are stored."""
    db.execute(
        "create table examined_days (day text, hub text, examined integer, unclear integer, "
        "primary key (day, hub)) without rowid"
    )
    db.execute(
        "create table drawn_days (day text primary key, begun integer default 0, "
        "searched integer default 0) "
        "without rowid"
    )
    for event, steps in {"insert": (("new", 1),), "update": (("old", -1), ("new", 1))}.items():
        examined = " ".join(_COUNT_DAY.format(row=row, step=step) for row, step in steps)
        db.execute(
            f"create trigger examined_day_{event} after {event} on examined_files "
            f"{_OTHER_DAY if event == 'update' else ''} begin {examined} end"
        )
        for column, counter in (("first_at", "begun"), ("seen_at", "searched")):
            drawn = " ".join(
                _COUNT_DRAWN_DAY.format(row=row, step=step, column=column, counter=counter)
                for row, step in steps
            )
            changed = f"when substr(old.{column}, 1, 10) <> substr(new.{column}, 1, 10)"
            db.execute(
                f"create trigger drawn_{counter}_day_{event} after {event} on drawn_files "
                f"{changed if event == 'update' else ''} begin {drawn} end"
            )
    db.execute(
        "insert into examined_days select substr(minute, 1, 10), hub, sum(examined), sum(unclear) "
        "from examined_minutes group by 1, 2"
    )
    db.execute(
        "insert into drawn_days select substr(minute, 1, 10), sum(begun), sum(searched) "
        "from drawn_minutes group by 1"
    )


class CoverageCounters:
    """Reads the counters."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def since(self, since: str) -> list[Coverage]:
        """Return the coverage since a time (ISO 8601) by hub, the hub with most files first."""
        query = """
            select hub, sum(examined), sum(unclear), min(first_at), max(last_at) from (
                select hub, examined, unclear, day as first_at, day as last_at
                from examined_days where day > :day and examined + unclear > 0
                union all
                select hub, examined, unclear, minute, minute
                from examined_minutes where minute > :minute and minute < :day || '~'
                union all
                select hub, sum(not is_unclear), sum(is_unclear), min(seen_at), max(seen_at)
                from examined_files where seen_at >= :since and seen_at < :minute || '~'
                group by hub
            ) group by hub order by 2 desc, hub
        """
        rows = self._db.execute(query, _periods(since)).fetchall()
        return [Coverage(*row) for row in rows]

    def ever(self) -> int:
        """Return the number of different files whose newest verdict is clear about them."""
        query = "select coalesce(sum(examined), 0) from examined_days"
        return int(self._db.execute(query).fetchone()[0])

    def drawn_before(self, since: str) -> int:
        """Return the number of files that were drawn before a time and searched since."""
        # Whoever was searched before was drawn before: the difference was searched since.
        query = """
            select (select coalesce(sum(begun - searched), 0) from drawn_days where day < :day)
            + (select coalesce(sum(begun - searched), 0) from drawn_minutes
                where minute >= :day and minute < :minute)
            + (select count(*) from drawn_files
                where first_at >= :minute and first_at < min(:since, :minute || '~'))
            - (select count(*) from drawn_files
                where seen_at >= :minute and seen_at < min(:since, :minute || '~'))
        """
        return int(self._db.execute(query, _periods(since)).fetchone()[0])


def _periods(since: str) -> dict[str, str]:
    return {"since": since, "minute": since[:16], "day": since[:10]}
