"""Long-term watching of hubs: rounds, repeated checks, output, webhooks; headers by likelihood."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from crawlers.errors import HubError
from crawlers.http.transport import Transport
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.folder import FolderHub
from crawlers.listing import RemoteFile, bare_listing
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.history import history_of
from crawlers.sweeps.inquiries import Inquiries
from crawlers.sweeps.query import likely, search
from crawlers.sweeps.rounds import go_round, since_when
from crawlers.sweeps.sweep import sweep
from crawlers.sweeps.webhooks import SIGNATURE_HEADER, Webhook, signature_of
from scanner.triage.crawled_headers import read_headers
from tests.conftest import HEARING_CTRL_C, NOON
from tests.servers.civitai import FakeCivitai, model, serve_civitai
from tests.servers.files import FileServer
from tests.servers.serving import Answer, serve_answers
from tests.test_cli import run

WEEK = timedelta(days=7)


@pytest.fixture
def hub() -> Iterator[FakeCivitai]:
    with serve_civitai(150) as server:
        yield server


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def go(
    hub: FakeCivitai, transport: Transport, store: CrawlStore, clock: Clock
) -> tuple[datetime | None, list[tuple[str, EventKind]]]:
    since = since_when(store, "civitai", clock(), WEEK)
    steps = list(go_round(CivitaiHub(transport, hub.url), "civitai", store, clock, since))
    return since, [(event.listing_id, event.kind) for step in steps for event in step.events]


def test_rounds_ask_for_what_changed_and_now_and_then_for_everything(
    hub: FakeCivitai, transport: Transport, store: CrawlStore
) -> None:
    clock = Clock()
    since, events = go(hub, transport, store, clock)
    assert (since, len(events)) == (None, 150)
    hub.requests.clear()
    clock.now += timedelta(hours=1)
    since, events = go(hub, transport, store, clock)
    assert since == NOON - timedelta(hours=2)
    # One page; an empty page is requested again until it counts as the end.
    assert (events, hub.requests) == ([], hub.requests[:1] * 3)
    new = model(151)
    new["modelVersions"][0]["publishedAt"] = "2026-11-23T12:30:00.000Z"
    hub.models[151] = new
    clock.now += timedelta(hours=1)
    assert go(hub, transport, store, clock)[1] == [("151", EventKind.FIRST_SEEN)]
    clock.now += timedelta(days=8)
    assert go(hub, transport, store, clock)[0] is None


def test_a_404_is_looked_at_again_before_it_is_told(
    hub: FakeCivitai, transport: Transport, store: CrawlStore
) -> None:
    clock = Clock()
    go(hub, transport, store, clock)
    gone, back = hub.models.pop(5), hub.models.pop(6)
    clock.now += timedelta(days=8)
    assert go(hub, transport, store, clock)[1] == []
    clock.now += timedelta(minutes=30)
    assert go(hub, transport, store, clock)[1] == []
    hub.models[6] = back
    clock.now += timedelta(hours=1)
    assert go(hub, transport, store, clock)[1] == [("5", EventKind.GONE)]
    states = {one.listing.listing_id: one.state for one in search(store, limit=200)}
    assert (states["5"], states["6"]) == ("gone", "listed")
    hub.models[5] = gone


def test_a_sweep_of_what_changed_says_nothing_of_what_vanished(
    hub: FakeCivitai, transport: Transport, store: CrawlStore
) -> None:
    list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON))
    hub.models.clear()
    steps = list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON, since=NOON))
    assert [event for step in steps for event in step.events] == []


class Receiver:
    """An operator's server that accepts events, or refuses them for a while."""

    def __init__(self) -> None:
        self.bodies: list[tuple[dict[str, str], bytes]] = []
        self.down = False

    def answer(self, _path: str, headers: dict[str, str], body: bytes) -> Answer:
        if self.down:
            return 503, {"Retry-After": "0"}, b""
        self.bodies.append((headers, body))
        return 204, {}, b""

    def events(self) -> list[int]:
        return [
            event["event_id"] for _, body in self.bodies for event in json.loads(body)["events"]
        ]


def test_a_webhook_is_told_everything_once_and_in_order(
    store: CrawlStore, transport: Transport, hub: FakeCivitai
) -> None:
    receiver = Receiver()
    with serve_answers(receiver.answer) as url:
        hook = Webhook(store, transport, f"{url}/hook", "whsec")
        list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON))
        assert hook.deliver() == 0  # everything is new in the first sweep, so nothing is news
        for entry in hub.models.values():
            entry["modelVersions"][0]["trainedWords"] = ["zkw"]
        list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON))
        receiver.down = True
        with pytest.raises(HubError):
            hook.deliver()
        receiver.down = False
        # A new process continues where the last one stopped.
        assert Webhook(store, transport, f"{url}/hook", "whsec").deliver() == 150
        assert receiver.events() == list(range(151, 301))
        assert [len(json.loads(body)["events"]) for _, body in receiver.bodies] == [100, 50]
        headers, body = receiver.bodies[0]
        assert headers[SIGNATURE_HEADER] == signature_of(body, "whsec")
        assert headers[SIGNATURE_HEADER] != signature_of(body + b" ", "whsec")
        assert hook.deliver() == 0
        later = Webhook(store, transport, f"{url}/other", None)
        assert later.deliver() == 0  # events from now on, none of the past
    assert SIGNATURE_HEADER not in receiver.bodies[0][0] or receiver.bodies


def test_watch_prints_a_line_for_each_event(tmp_path: Path, hub: FakeCivitai) -> None:
    home, receiver = tmp_path / "home", Receiver()
    target = f"civitai={hub.url}"
    with serve_answers(receiver.answer) as url:
        watch = ["watch", target, "--once", "--webhook", f"{url}/hook", "--full-every", "1"]
        first = run(*watch, home=home)
        assert (first.returncode, first.stdout) == (0, ""), (
            first.stderr
        )  # everything is new in the first sweep, so nothing is news
        hub.models[3]["modelVersions"][0]["trainedWords"] = ["zkw"]
        database = CrawlStore(home / "crawl.db")
        with database.transaction():
            database.db.execute("update sweeps set started_at = '2026-01-01T00:00:00+00:00'")
        database.close()
        second = run(*watch, home=home)
        [line] = second.stdout.splitlines()
        assert "changed  civitai:3  Model 3 - v1" in line
        assert [
            event["kind"] for _, body in receiver.bodies for event in json.loads(body)["events"]
        ] == ["changed"]
        third = run(*watch, "--json", home=home)
        [summary] = [json.loads(line) for line in third.stdout.splitlines()]
        assert (summary["everything"], summary["problem"]) == (False, None)


def test_watch_stops_at_once_when_it_is_told_to(tmp_path: Path, hub: FakeCivitai) -> None:
    command = [
        *HEARING_CTRL_C,
        "--home",
        str(tmp_path),
        "watch",
        f"civitai={hub.url}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(hub.requests) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


class TestHeaders:
    @pytest.fixture
    def listed(
        self, file_server: FileServer, make_lora: Callable[..., Path], store: CrawlStore
    ) -> Callable[..., None]:
        def do(
            name: str,
            tags: tuple[str, ...],
            metadata: dict[str, str] | None = None,
            data: bytes | None = None,
        ) -> None:
            content = make_lora(metadata=metadata).read_bytes() if data is None else data
            (file_server.folder / name).write_bytes(content)
            from dataclasses import replace

            listing = bare_listing(
                "hub", name, name, f"https://hub/{name}", RemoteFile(name, file_server.url(name))
            )
            with store.transaction():
                store.see([replace(listing, tags=tags)], "place", 1, NOON)

        return do

    def test_the_likeliest_are_read_first_and_each_once(
        self,
        listed: Callable[..., None],
        store: CrawlStore,
        transport: Transport,
        file_server: FileServer,
    ) -> None:
        session = {
            "ss_session_id": "77",
            "ss_dataset_dirs": json.dumps({"30_zkw woman": {"img_count": 30}}),
        }
        listed("style.safetensors", ("style",))
        listed("person.safetensors", ("celebrity",), session)
        listed("other.safetensors", (), {**session, "ss_output_name": "x"})
        listed("page.safetensors", (), data=b"<html>no</html>")
        steps = list(read_headers(store, transport, lambda: NOON, "place", workers=1))
        assert [step.wanted.file.name for step in steps] == [
            "person.safetensors",
            "other.safetensors",
            "page.safetensors",
            "style.safetensors",
        ]
        assert all(step.triage is not None and step.problem is None for step in steps)
        assert list(read_headers(store, transport, lambda: NOON, "place")) == []
        history = history_of(store, "hub", "person.safetensors")
        assert history is not None
        assert {one["name"] for one in history["same_training"]} == {
            "person.safetensors",
            "other.safetensors",
        }
        assert history["triages"][0]["training"]["photo_count"] == 30
        # The content of a header can only move a file forward.
        scores = {
            one.listing_id: search(store, words=one.listing_id)[0].likeness
            for one in likely(store, "place")
        }
        assert scores["other.safetensors"] > 0.5 > scores["style.safetensors"]  # type: ignore[operator]

    def test_a_changed_listing_is_read_again(
        self, listed: Callable[..., None], store: CrawlStore, transport: Transport
    ) -> None:
        listed("a.safetensors", ())
        list(read_headers(store, transport, lambda: NOON))
        listed("a.safetensors", ("woman",))
        assert len(list(read_headers(store, transport, lambda: NOON))) == 1

    def test_refusals_are_kept_and_outages_tried_again(
        self,
        listed: Callable[..., None],
        store: CrawlStore,
        transport: Transport,
        file_server: FileServer,
    ) -> None:
        listed("a.safetensors", ())
        file_server.failures = [(503, {"Retry-After": "0"})] * 3
        [step] = read_headers(store, transport, lambda: NOON)
        assert (step.triage, "503" in str(step.problem)) == (None, True)
        file_server.failures = [(401, {})]
        [step] = read_headers(store, transport, lambda: NOON)
        assert "401" in str(step.problem)
        assert list(read_headers(store, transport, lambda: NOON)) == []

    def test_killed_anywhere_it_reads_the_rest(
        self, tmp_path: Path, make_lora: Callable[..., Path]
    ) -> None:
        folder = tmp_path / "uploads"
        folder.mkdir()
        data = make_lora().read_bytes()
        for number in range(300):
            (folder / f"{number}.safetensors").write_bytes(data)
        home = tmp_path / "home"
        command = [
            sys.executable,
            "-c",
            "from scanner.cli.app import main; main()",
            "--home",
            str(home),
            "crawl",
            str(folder),
            "--triage",
            "--json",
        ]
        counts = []
        for _ in range(3):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            deadline = time.monotonic() + 60
            before = counts[-1] if counts else 0
            while (
                time.monotonic() < deadline
                and process.poll() is None
                and read_so_far(home) <= before + 20
            ):
                time.sleep(0.002)
            process.kill()
            process.wait()
            counts.append(read_so_far(home))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert counts == sorted(counts)
        assert json.loads(done.stdout)["headers"]["read"] == 300 - counts[-1]


def read_so_far(home: Path) -> int:
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{home / 'crawl.db'}?mode=ro", uri=True)
        return int(connection.execute("select count(*) from triages").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_folder_of_today_is_a_hub_too(tmp_path: Path, store: CrawlStore) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x")
    hub = FolderHub(tmp_path)
    [partition] = hub.partitions(datetime.fromtimestamp(time.time() + 60, NOON.tzinfo))
    assert [listing for page in hub.pages(partition) for listing in page.listings] == []


def test_many_threads_may_ask_one_client(transport: Transport, file_server: FileServer) -> None:
    (file_server.folder / "x").write_bytes(b"here")
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(transport.get(file_server.url("x")).content))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"here"] * 16


def test_known_hashes_of_vanished_listings_come_first(
    store: CrawlStore, hub: FakeCivitai, transport: Transport
) -> None:
    list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON))
    hub.models.pop(7)
    hub.archived.add(7)
    list(sweep(CivitaiHub(transport, hub.url), "civitai", store, lambda: NOON + timedelta(1)))
    inquiries = Inquiries(store)
    assert inquiries.hashes(vanished=True) == [f"{7:064x}"]
    assert len(inquiries.hashes(vanished=False)) == 150
