"""Sweeps find every listing once, whatever hub and process do, and report what vanished."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crawlers.http.transport import Transport
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.folder import FolderHub
from crawlers.sweeps.crawl_store import CrawlStore, EventKind
from crawlers.sweeps.presence import REQUESTS_AT_ONCE
from crawlers.sweeps.sweep import SweepStep, sweep
from tests.conftest import NOON
from tests.servers.civitai import FakeCivitai, model, serve_civitai
from tests.test_cli import run


def months() -> int:
    today = datetime.now(UTC)
    return (today.year - 2022) * 12 + today.month - 10


def go(
    server: FakeCivitai, transport: Transport, store: CrawlStore, now: datetime = NOON
) -> list[SweepStep]:
    return list(sweep(CivitaiHub(transport, server.url), "civitai", store, lambda: now))


def kinds(steps: list[SweepStep]) -> list[tuple[str, EventKind]]:
    return [(event.listing_id, event.kind) for step in steps for event in step.events]


def test_every_listing_is_found_once_and_a_second_sweep_finds_nothing_new(
    transport: Transport, store: CrawlStore
) -> None:
    with serve_civitai(450) as server:
        first = go(server, transport, store)
        assert first[-1].finished
        assert sorted(int(number) for number, _ in kinds(first)) == list(range(1, 451))
        assert {kind for _, kind in kinds(first)} == {EventKind.FIRST_SEEN}
        # A page for a hundred models, one page at the beginning, and one for each month.
        assert len(server.requests) <= 5 + months() + 2
        assert kinds(go(server, transport, store, NOON + timedelta(days=1))) == []


def test_what_happens_to_a_listing_becomes_an_event(
    transport: Transport, store: CrawlStore
) -> None:
    days = iter(NOON + timedelta(days=day) for day in range(1, 99))
    with serve_civitai(30) as server:
        go(server, transport, store)
        server.models[3]["modelVersions"][0]["trainedWords"] = ["zkw"]
        server.models[4]["modelVersions"][0]["stats"] = {
            "downloadCount": 999
        }  # a new counter is no change
        assert kinds(go(server, transport, store, next(days))) == [("3", EventKind.CHANGED)]
        gone, flagged, archived = server.models.pop(5), server.models.pop(6), server.models.pop(7)
        server.flagged.add(6)
        server.archived.add(7)
        second = kinds(go(server, transport, store, next(days)))
        assert sorted(second) == [
            ("6", EventKind.FLAGGED),
            ("7", EventKind.ARCHIVED),
        ]  # a single 404 is not enough
        assert kinds(go(server, transport, store, next(days))) == [("5", EventKind.GONE)]
        assert kinds(go(server, transport, store, next(days))) == []
        server.models[5], server.models[7] = gone, archived
        server.models[31] = {
            **model(31),
            "modelVersions": [{**flagged["modelVersions"][0], "id": 31}],
        }
        back = sorted(kinds(go(server, transport, store, next(days))))
        assert back == [
            ("31", EventKind.FIRST_SEEN),
            ("31", EventKind.RE_UPLOADED),
            ("5", EventKind.BACK_AGAIN),
            ("7", EventKind.BACK_AGAIN),
        ]
    [again] = [event for event in store.events() if event.kind == EventKind.RE_UPLOADED]
    assert again.details["first"] == {"hub": "civitai", "listing_id": "6"}
    versions = store.db.execute("select count(*) from listings where listing_id = '3'").fetchone()[
        0
    ]
    assert versions == 2


def test_what_a_hub_says_of_what_it_still_lists_is_an_event_too(
    transport: Transport, store: CrawlStore
) -> None:
    days = iter(NOON + timedelta(days=day) for day in range(1, 99))
    with serve_civitai(5) as server:
        go(server, transport, store)
        server.models[2]["mode"], server.models[3]["mode"], server.models[4]["poi"] = (
            "Archived",
            "TakenDown",
            True,
        )
        told = [
            kind
            for kind in kinds(go(server, transport, store, next(days)))
            if kind[1] != EventKind.CHANGED
        ]
        assert told == [
            ("2", EventKind.ARCHIVED),
            ("3", EventKind.TAKEN_DOWN),
            ("4", EventKind.FLAGGED),
        ]
        assert kinds(go(server, transport, store, next(days))) == []
        del server.models[2]["mode"]
        assert ("2", EventKind.BACK_AGAIN) in kinds(go(server, transport, store, next(days)))


def test_a_hub_that_breaks_off_is_gone_on_with(transport: Transport, store: CrawlStore) -> None:
    with serve_civitai(450) as server:
        steps = sweep(CivitaiHub(transport, server.url), "civitai", store, lambda: NOON)
        found = kinds([next(steps), next(steps)])
        steps.close()
        asked = len(server.requests)
        rest = go(server, transport, store)
        assert len(server.requests) - asked <= 3 + months()
        assert sorted(int(number) for number, _ in found + kinds(rest)) == list(range(1, 451))
        assert rest[-1].listings == 450
        assert len(list(store.db.table("sweeps").rows)) == 1


def test_a_filtered_network_is_told(transport: Transport, store: CrawlStore) -> None:
    with serve_civitai(1_100) as server:
        for entry in server.models.values():
            entry["nsfwLevel"] = 1
        notes = [note for step in go(server, transport, store) for note in step.notes]
        assert any("filtered list" in note for note in notes)


def test_a_folder_is_swept_like_a_hub(store: CrawlStore, tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("a.safetensors", "b.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"x")

    def once(day: int) -> list[EventKind]:
        return [
            kind
            for _, kind in kinds(
                list(sweep(FolderHub(folder), str(folder), store, lambda: NOON + timedelta(day)))
            )
        ]

    assert once(0) == [EventKind.FIRST_SEEN] * 2
    (folder / "a.safetensors").unlink()
    assert (once(1), once(2), once(3)) == ([], [EventKind.GONE], [])
    (folder / "a.safetensors").write_bytes(b"x")
    assert once(4) == [EventKind.BACK_AGAIN]


def pages_kept(home: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{home / 'crawl.db'}?mode=ro", uri=True)
        return int(connection.execute("select coalesce(sum(pages), 0) from sweeps").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_five_thousand_models_with_faults_and_five_kills(tmp_path: Path) -> None:
    home, rng = tmp_path / "home", random.Random(5)
    with serve_civitai(5_000, faults=0.03, delay_s=0.03, seed=8, budget=40) as server:
        command = [
            sys.executable,
            "-c",
            "from scanner.cli.app import main; main()",
            "--home",
            str(home),
            "crawl",
            f"civitai={server.url}",
            "--json",
        ]
        for _ in range(5):
            wanted = pages_kept(home) + rng.randint(1, 9)
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            deadline = time.monotonic() + 60
            while (
                process.poll() is None and pages_kept(home) < wanted and time.monotonic() < deadline
            ):
                time.sleep(0.005)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert (document["finished"], document["listings"]) == (True, 5_000)
        # A page for a hundred models and for each month, one more for each fault, one for each
        # worker and kill, and the probes.
        pages = sum(
            -(-count // 100)
            for count in Counter(
                entry["modelVersions"][0]["publishedAt"][:7] for entry in server.models.values()
            ).values()
        )
        assert len(server.requests) <= pages + months() + len(server.faults_made) + 5 * (
            REQUESTS_AT_ONCE + 2
        )
        assert server.over_budget <= REQUESTS_AT_ONCE
        assert server.faults_made
    with_events = run("listings", "--events", "--last", "9999", "--json", home=home)
    happened = json.loads(with_events.stdout)["events"]
    assert sorted(int(event["listing_id"]) for event in happened) == list(range(1, 5_001))


def test_crawled_listings_can_be_searched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serve_civitai(120) as server:
        first = run("crawl", f"civitai={server.url}", "--limit", "100", home=home)
        assert "so far" in first.stdout
        assert "finished" in run("crawl", f"civitai={server.url}", "--json", home=home).stdout
    found = json.loads(run("listings", "--search", "Model 117", "--json", home=home).stdout)[
        "listings"
    ]
    assert [one["listing_id"] for one in found] == ["117"]
    assert found[0]["state"] == "listed"
    assert "120" in run("hubs", home=home).stdout
    assert "first seen" in run("listings", "--events", "--last", "3", home=home).stdout
