"""An empty answer is no end: it is requested again, and without a known end no sweep finishes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from crawlers.http.transport import Transport
from crawlers.hubs.civitai import CivitaiHub
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.partitions import unfinished_places
from crawlers.sweeps.rounds import go_round
from crawlers.sweeps.sweep import SweepStep, sweep
from scanner.cli.app import app
from scanner.scanning.scan import run_scan
from scanner.settings import Settings
from tests.conftest import NOON, Silent
from tests.opening import open_session
from tests.servers.civitai import model
from tests.servers.serving import Answer, as_json, serve_answers

ODD_METADATA: list[Any] = [{}, [], None, "", {"nextCursor": None}, {"nextCursor": {"a": 1}}]
Fault = Callable[[str | None, int], Any]


class Hub:
    """450 models of 18 months, or of one; `fault` may replace a page by cursor and attempt."""

    def __init__(self, fault: Fault, count: int = 450, *, one_month: bool = False) -> None:
        self.models = [model(number) for number in range(1, count + 1)]
        if one_month:
            for number, entry in enumerate(self.models):
                entry["modelVersions"][0]["publishedAt"] = (
                    f"2025-03-{1 + number // 50:02d}T10:00:00.000Z"
                )
        self.fault, self.asked = fault, Counter[str | None]()

    def __call__(self, path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        url = urlsplit(path)
        if url.path != "/api/v1/models":
            known = {str(entry["id"]) for entry in self.models}
            return (
                as_json({"id": 1, "model": {}})
                if url.path.rsplit("/", 1)[1] in known
                else as_json({}, 404)
            )
        cursor = parse_qs(url.query).get("cursor", [None])[0]
        self.asked[cursor] += 1
        odd = self.fault(cursor, self.asked[cursor])
        return as_json(self.page(cursor) if odd is None else odd)

    def page(self, cursor: str | None) -> dict[str, Any]:
        published, _, number = (cursor or "|0").rpartition("|")
        places = [(entry["modelVersions"][0]["publishedAt"], entry["id"]) for entry in self.models]
        left = [
            one
            for one, place in zip(self.models, places, strict=True)
            if place >= (published, int(number))
        ]
        following = (
            left[100]["modelVersions"][0]["publishedAt"] + f"|{left[100]['id']}"
            if len(left) > 100
            else None
        )
        return {"items": left[:100], "metadata": {"nextCursor": following} if following else {}}

    def serve(self) -> AbstractContextManager[str]:
        return serve_answers(self)


def given(cursor: str | None) -> bool:
    """Whether the hub itself gave this cursor."""
    return cursor is not None and not cursor.endswith("|0")


def go(url: str, transport: Transport, store: CrawlStore, now: datetime = NOON) -> list[SweepStep]:
    return list(sweep(CivitaiHub(transport, url), "civitai", store, lambda: now))


@pytest.mark.parametrize("one_month", [False, True])
@pytest.mark.parametrize("metadata", ODD_METADATA, ids=json.dumps)
def test_every_cursor_may_be_answered_with_nothing_some_times(
    transport: Transport, store: CrawlStore, metadata: Any, one_month: bool
) -> None:
    def fault(cursor: str | None, times: int) -> Any:
        return {"items": [], "metadata": metadata} if given(cursor) and times <= 4 else None

    with Hub(fault, one_month=one_month).serve() as url:
        steps = go(url, transport, store)
    assert (steps[-1].finished, steps[-1].listings, steps[-1].gaps) == (True, 450, ())


@pytest.mark.parametrize(
    "odd",
    [
        {"items": [], "metadata": {}},
        {"items": []},
        {"items": None, "metadata": {}},
        {"items": {}, "metadata": {}},
        {"metadata": {}},
        {},
    ],
    ids=json.dumps,
)
def test_the_first_page_of_a_hub_and_of_a_month_may_be_empty_as_well(
    transport: Transport, store: CrawlStore, odd: Any
) -> None:
    with Hub(lambda _, times: odd if times <= 2 else None).serve() as url:
        steps = go(url, transport, store)
    assert (steps[-1].finished, steps[-1].listings) == (True, 450)


@pytest.mark.parametrize("one_month", [False, True])
def test_a_page_without_its_cursor_is_no_end_while_models_are_missing(
    transport: Transport, store: CrawlStore, one_month: bool
) -> None:
    hub = Hub(lambda *_: None, one_month=one_month)

    def without_cursor(cursor: str | None, times: int) -> Any:
        return {**hub.page(cursor), "metadata": {}} if times == 1 and given(cursor) else None

    hub.fault = without_cursor
    with hub.serve() as url:
        assert go(url, transport, store)[-1].listings == 450


def test_a_cursor_is_also_taken_from_the_address_of_the_next_page(
    transport: Transport, store: CrawlStore
) -> None:
    hub = Hub(lambda *_: None, one_month=True)

    def linked(cursor: str | None, _times: int) -> Any:
        page = hub.page(cursor)
        following = page["metadata"].get("nextCursor")
        return (
            page | {"metadata": {"nextPage": f"//civitai.com/api/v1/models?cursor={following}"}}
            if following
            else None
        )

    hub.fault = linked
    with hub.serve() as url:
        assert go(url, transport, store)[-1].listings == 450


class TestAGapThatStays:
    """The hub never answers its second cursor with models."""

    @pytest.fixture
    def hub(self) -> Hub:
        hub = Hub(lambda *_: None, one_month=True)
        hidden = hub.page(hub.page(None)["metadata"]["nextCursor"])["metadata"]["nextCursor"]
        hub.fault = lambda cursor, _times: (
            {"items": [], "metadata": {}} if cursor == hidden else None
        )
        return hub

    def test_the_sweep_says_so_and_the_next_one_goes_on_there(
        self, transport: Transport, store: CrawlStore, hub: Hub
    ) -> None:
        with hub.serve() as url:
            first = go(url, transport, store)[-1]
            assert (first.finished, first.listings) == (False, 200)
            assert "gives no model at cursor" in first.gaps[0]
            assert max(hub.asked.values()) == 6
            again = go(url, transport, store)[-1]
            assert (again.finished, again.sweep_id, again.listings) == (False, first.sweep_id, 200)
            asked = sum(hub.asked.values())
            hub.fault = lambda *_: None
            whole = go(url, transport, store)[-1]
        assert (whole.finished, whole.sweep_id, whole.listings) == (True, first.sweep_id, 450)
        assert sum(hub.asked.values()) - asked == 3

    def test_nothing_is_told_as_vanished(
        self, transport: Transport, store: CrawlStore, hub: Hub
    ) -> None:
        fault, hub.fault = hub.fault, lambda *_: None
        with hub.serve() as url:
            go(url, transport, store)
            hub.fault, gone = fault, hub.models.pop()
            for hour in range(1, 6):
                steps = go(url, transport, store, NOON + timedelta(hours=3 * hour))
                assert not [event for step in steps for event in step.events]
            assert (
                store.db.execute(
                    "select count(*) from presence where state != 'listed'"
                ).fetchone()[0]
                == 0
            )
            hub.fault = lambda *_: None
            events = [
                event
                for day in (2, 3)
                for step in go(url, transport, store, NOON + timedelta(days=day))
                for event in step.events
            ]
        assert [(event.listing_id, event.kind) for event in events] == [
            (str(gone["id"]), EventKind.GONE)
        ]

    def test_a_day_later_all_is_read_anew(
        self, transport: Transport, store: CrawlStore, hub: Hub
    ) -> None:
        with hub.serve() as url:
            first = go(url, transport, store)[-1]
            later = go(url, transport, store, NOON + timedelta(days=2))[-1]
            assert later.sweep_id != first.sweep_id
            hub.fault = lambda *_: None
            assert go(url, transport, store, NOON + timedelta(days=2))[-1].finished
            # What was left open before is not resumed.
            assert go(url, transport, store, NOON + timedelta(days=3))[-1].sweep_id > later.sweep_id

    def test_a_watch_sees_what_is_new_all_the_same(
        self, transport: Transport, store: CrawlStore, hub: Hub
    ) -> None:
        def one_round(hour: int) -> list[SweepStep]:
            clock = NOON + timedelta(hours=hour)
            return list(go_round(CivitaiHub(transport, url), "civitai", store, lambda: clock, None))

        with hub.serve() as url:
            one_round(0)
            hub.models.append(new := model(451))
            new["modelVersions"][0]["publishedAt"] = "2026-11-23T13:00:00.000Z"
            steps = one_round(2)
        assert [event.listing_id for step in steps for event in step.events] == ["451"]
        assert (steps[-1].finished, bool(steps[-1].gaps)) == (False, True)

    def test_a_scan_is_not_finished_and_lists_again(self, hub: Hub, settings: Settings) -> None:
        scan_session = open_session(settings, clock=lambda: NOON)
        for entry in hub.models:
            entry["modelVersions"][0]["files"] = []
        with hub.serve() as url:
            scan_session.transport.destinations.allow(url)
            first = run_scan(scan_session, [f"civitai={url}"], Silent())
            assert (
                "gives no model at cursor" in first.gaps[0],
                scan_session.scan_store.scan("latest").finished_at,
            ) == (
                True,
                None,
            )
            hub.fault = lambda *_: None
            again = run_scan(scan_session, [f"civitai={url}"], Silent())
        assert (again.gaps, again.scan.scan_id) == ((), first.scan.scan_id)
        assert scan_session.scan_store.scan("latest").finished_at is not None
        scan_session.close()

    def test_the_commands_say_so(self, hub: Hub, tmp_path: Path) -> None:
        def run(*arguments: str) -> Any:
            return CliRunner().invoke(app, ["--home", str(tmp_path / "home"), *arguments])

        with hub.serve() as url:
            target = f"civitai={url}"
            done = run("crawl", target, "--json")
            told = json.loads(done.stdout)
            assert (done.exit_code, told["finished"], told["listings"]) == (3, False, 200)
            assert "gives no model at cursor" in told["gaps"][0]
            assert "not finished" in done.stderr
            watched = run("watch", target, "--once", "--json")
            summary = json.loads(watched.stdout.splitlines()[-1])
            assert (watched.exit_code, summary["finished"]) == (3, False)
            assert "listings may be missing" in summary["problem"]
            sweeps = json.loads(run("hubs", "--json").stdout)["sweeps"]
            assert {
                (bool(one["gaps"]), one["finished_at"]) for one in sweeps if one["since"] is None
            } == {(True, None)}
            previews = run("previews", target, "--no-search", "--json")
            assert json.loads(previews.stdout)["unfinished"] == [target]
            hub.fault = lambda *_: None
            mended = run("crawl", target, "--json")
            assert (mended.exit_code, json.loads(mended.stdout)["finished"]) == (0, True)
        store = CrawlStore(tmp_path / "home" / "crawl.db")
        assert unfinished_places(store, target) == ()
        store.close()
