"""Lookups by hash: in bulk, stored with an expiry, and with the mirrors that still exist."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from crawlers.errors import HubError
from crawlers.http.transport import Transport
from crawlers.hubs.civarchive import CivArchive
from crawlers.hubs.civitai import CivitaiHub
from crawlers.listing import RemoteFile, bare_listing
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.history import history_of
from crawlers.sweeps.inquiries import Inquiries
from crawlers.sweeps.lookup import AtCivArchive, AtCivitai, look_up
from tests.conftest import NOON
from tests.servers.civitai import FakeCivitai, serve_civitai
from tests.servers.serving import Answer, as_json, serve_answers
from tests.test_cli import run


def sha(number: int) -> str:
    return f"{number:064x}"


class Archive:
    """CivArchive's interface by hash, with its rate limit in the body."""

    def __init__(self) -> None:
        self.known = {sha(7), sha(900)}
        self.asked: list[str] = []
        self.limited = 0

    def answer(self, path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        if not path.startswith("/api/sha256/"):
            return as_json({"error": "Not found"}, 404)
        asked = path.rsplit("/", 1)[-1]
        if self.limited:
            self.limited -= 1
            return as_json({"error": "rate limited", "retry_after": 0.2}, 429)
        self.asked.append(asked)
        if asked not in self.known:
            return as_json({"error": "Not found"}, 404)
        mirrors = [
            {
                "url": "https://mirror.example/x.safetensors",
                "filename": "x.safetensors",
                "source": "huggingface",
                "deletedAt": None,
            },
            {
                "url": "https://gone.example/x.safetensors",
                "filename": "x.safetensors",
                "source": "other",
                "deletedAt": "2026-01-01",
            },
        ]
        version = {
            "id": 70,
            "name": "v1",
            "trigger": ["zkw woman"],
            "baseModel": "SD 1.5",
            "files": [
                {
                    "name": "x.safetensors",
                    "sizeKB": 9000,
                    "sha256": asked.upper(),
                    "mirrors": mirrors,
                }
            ],
        }
        data = {
            "id": 7,
            "name": "Somebody",
            "creator_username": "maker",
            "platform": "civitai",
            "deletedAt": "2025-05-23T00:00:00Z",
            "version": version,
        }
        return as_json({"data": data})


@pytest.fixture
def archive() -> Iterator[tuple[Archive, str]]:
    kept = Archive()
    with serve_answers(kept.answer) as url:
        yield kept, url


@pytest.fixture
def hub() -> Iterator[FakeCivitai]:
    with serve_civitai(50) as server:
        yield server


def test_a_file_is_found_where_it_was_never_crawled(
    store: CrawlStore, transport: Transport, hub: FakeCivitai, archive: tuple[Archive, str]
) -> None:
    kept, url = archive
    listed = bare_listing(
        "huggingface",
        "who/lora",
        "x",
        "https://hf/x",
        RemoteFile("x.safetensors", "https://hf/f", 1, sha(7)),
    )
    store.record(listed, NOON)
    sources = [AtCivitai(CivitaiHub(transport, hub.url)), AtCivArchive(CivArchive(transport, url))]
    hashes = [sha(7), sha(60), sha(61)]
    steps = list(look_up(store, sources, hashes, lambda: NOON))
    assert [(step.source, step.listing is not None) for step in steps] == [
        ("civitai", True),
        ("civitai", False),
        ("civitai", False),
        ("civarchive", True),
        ("civarchive", False),
        ("civarchive", False),
    ]
    assert len(hub.posted) == 1
    found = [
        event for step in steps for event in step.events if event.kind == EventKind.RE_UPLOADED
    ]
    assert [event.details["first"]["hub"] for event in found] == ["huggingface", "huggingface"]
    [mirror] = steps[3].listing.files  # type: ignore[union-attr]
    assert (mirror.url, mirror.sha256) == ("https://mirror.example/x.safetensors", sha(7))
    assert steps[3].listing.triggers == ("zkw woman",)  # type: ignore[union-attr]
    history = history_of(store, "huggingface", "who/lora")
    assert {one["hub"] for one in history["also_at"]} == {"civitai", "civarchive"}  # type: ignore[index]
    assert "deletedAt" in steps[3].listing.raw  # type: ignore[union-attr]


def test_answers_count_until_they_expire(
    store: CrawlStore, transport: Transport, archive: tuple[Archive, str]
) -> None:
    kept, url = archive
    sources = [AtCivArchive(CivArchive(transport, url))]

    def ask(days: int) -> int:
        before = len(kept.asked)
        list(look_up(store, sources, [sha(7), sha(60)], lambda: NOON + timedelta(days)))
        return len(kept.asked) - before

    assert [ask(0), ask(1), ask(6), ask(8), ask(31)] == [2, 0, 0, 1, 2]


def test_a_limit_told_in_the_body_is_waited_out(
    store: CrawlStore, transport: Transport, archive: tuple[Archive, str]
) -> None:
    kept, url = archive
    kept.limited = 2
    started = time.monotonic()
    [step] = look_up(store, [AtCivArchive(CivArchive(transport, url))], [sha(7)], lambda: NOON)
    assert step.listing is not None
    assert (
        0.4 <= time.monotonic() - started < 2
    )  # the wait that it announced, not the growing waits for silent hubs


def test_a_source_that_breaks_off_loses_nothing_and_holds_up_no_other(
    store: CrawlStore, transport: Transport, archive: tuple[Archive, str]
) -> None:
    kept, url = archive
    with serve_answers(lambda *_: (500, {}, b"down")) as broken:
        impatient = Transport(attempts=1, destinations=transport.destinations)
        sources = [
            AtCivitai(CivitaiHub(impatient, broken)),
            AtCivArchive(CivArchive(transport, url)),
        ]
        steps = []
        with pytest.raises(HubError, match="500"):
            for step in look_up(store, sources, [sha(7)], lambda: NOON):
                steps += [step]
        impatient.close()
    assert [step.source for step in steps] == ["civarchive"]
    assert Inquiries(store).fresh("civitai", [sha(7)], NOON) == {}


def test_flagged_versions_are_known_by_hash_too(
    store: CrawlStore, transport: Transport, hub: FakeCivitai
) -> None:
    hub.flagged.add(9)
    [step] = look_up(store, [AtCivitai(CivitaiHub(transport, hub.url))], [sha(9)], lambda: NOON)
    assert step.listing is not None
    assert step.listing.real_person_flag


def test_the_command_asks_for_files_and_vanished_listings(
    tmp_path: Path, hub: FakeCivitai, archive: tuple[Archive, str]
) -> None:
    kept, url = archive
    home = tmp_path / "home"
    assert run("crawl", f"civitai={hub.url}", home=home).returncode == 0
    hub.models.pop(7)
    hub.archived.add(7)
    assert run("crawl", f"civitai={hub.url}", home=home).returncode == 0
    asked = json.loads(
        run("lookup", "--vanished", "--at", f"civarchive={url}", "--json", home=home).stdout
    )
    assert (asked["hashes"], asked["asked"], asked["found"]) == (1, 1, 1)
    assert {(one["hub"], one["listing_id"]) for one in asked["listings"]} == {
        ("civitai", "7"),
        ("civarchive", "70"),
    }
    again = run("lookup", sha(7), "--at", f"civarchive={url}", home=home)
    assert "1 hashes, 0 asked for now" in again.stdout
    assert "Somebody" in again.stdout
    assert "also at" in run("listings", "civitai:7", home=home).stdout
    assert run("lookup", "nonsense", home=home).returncode == 2
    refused = run("crawl", "civarchive", home=home)
    assert refused.returncode == 3
    assert "portrait-scanner lookup" in refused.stderr
