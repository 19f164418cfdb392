"""The Civitai crawler against a server with the hub's protocol and its quirks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.errors import HubError, HubRefused, UnknownHub
from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.hubs import civitai
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.registry import HubRegistry
from crawlers.listing import Partition, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from scanner.miniature import world
from scanner.miniature.hub import serve_hub
from scanner.miniature.world import WorldFile
from tests.conftest import NOON
from tests.servers.civitai import serve_civitai


@pytest.fixture
def hub_url(
    tmp_path: Path, make_lora: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setattr(world, "ADAPTERS", tmp_path)
    files = []
    for number in range(7):
        make_lora(f"m{number}.safetensors", metadata={"number": str(number)})
        files.append(
            WorldFile(
                f"m{number}.safetensors",
                "registered",
                (),
                f"Model {number}",
                (f"tok{number}",),
                ("woman",),
                "maker",
            )
        )
    with serve_hub(files) as url:
        yield url


def test_every_version_is_listed_once_whatever_the_page_size(
    transport: Transport, hub_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1, 2, 3, 100):
        monkeypatch.setattr(civitai, "PAGE_SIZE", size)
        names = [listing.title for listing in listings_of(CivitaiHub(transport, hub_url))]
        assert names == [f"Model {number} - v1.0" for number in range(7)]


def test_the_hub_really_loses_models_when_sorted_by_newest(
    transport: Transport, hub_url: str
) -> None:
    parameters: dict[str, Any] = {"sort": "Newest", "limit": 2}
    seen: list[str] = []
    while True:
        page = transport.get(f"{hub_url}/api/v1/models", parameters).json()
        seen += [model["name"] for model in page["items"]]
        if "nextCursor" not in page["metadata"]:
            break
        parameters["cursor"] = page["metadata"]["nextCursor"]
    assert len(seen) < 7


class ScriptedTransport(Transport):
    """Answers with prepared pages, and with the usual answers for everything else."""

    def __init__(self, pages: list[dict[str, Any]]) -> None:
        super().__init__()
        self.pages = pages

    def get_json(self, url: str, params: dict[str, Any] | None = None) -> Any:
        return self.pages.pop(0)


def _model(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"n{number}",
        "modelVersions": [{"id": number, "name": "v", "files": []}],
    }


def test_a_sweep_can_be_narrowed_to_types(transport: Transport) -> None:
    with serve_civitai(120) as server:
        assert len(list(listings_of(CivitaiHub(transport, server.url, ["LORA", "DoRA"])))) == 120
        assert all(
            "types=LORA&types=DoRA&nsfw=true&sort=Oldest" in path for path in server.requests
        )


def test_a_hub_that_takes_no_cursors_of_ours_is_read_in_one_strand() -> None:
    class Strict(ScriptedTransport):
        def get_json(self, url: str, params: dict[str, Any] | None = None) -> Any:
            if params and "cursor" in params:
                raise HubRefused(url, 400, "Invalid cursor")
            return super().get_json(url, params)

    dated = {"items": [_model(1)], "metadata": {"nextCursor": "2025-06-01T10:00:00.000Z|2"}}
    assert CivitaiHub(Strict([dated])).partitions() == (Partition(),)
    assert len(CivitaiHub(ScriptedTransport([dated, dated])).partitions()) > 40
    # Cursors that are not dates are only followed, and a hub of one page is read as a whole.
    assert CivitaiHub(
        ScriptedTransport([{"items": [_model(1)], "metadata": {"nextCursor": "56|1234|9"}}])
    ).partitions() == (Partition(),)
    assert CivitaiHub(ScriptedTransport([{"items": [_model(1)], "metadata": {}}])).partitions() == (
        Partition(),
    )


def test_models_that_were_never_published_are_told_and_end_nothing() -> None:
    class NullDates(ScriptedTransport):
        def get_json(self, url: str, params: dict[str, Any] | None = None) -> Any:
            if params and str(params.get("cursor", "")).startswith("|"):
                raise HubRefused(url, 400, "Invalid cursor")
            return super().get_json(url, params)

    pages = list(
        CivitaiHub(NullDates([{"items": [_model(1)], "metadata": {"nextCursor": "|7"}}])).pages(
            Partition()
        )
    )
    assert [page.cursor for page in pages] == ["|7", None]
    assert "never published" in pages[1].notes[0]


def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    pages = [
        {"items": [_model(1)], "metadata": {"nextCursor": "a|1"}},
        {"items": [], "metadata": {"nextCursor": "b|2"}},
        {"items": [_model(2)], "metadata": {}},
    ]
    found = list(CivitaiHub(ScriptedTransport(pages)).pages(Partition()))
    assert [listing.listing_id for page in found for listing in page.listings] == ["1", "2"]


def test_a_repeated_cursor_is_stepped_over() -> None:
    pages = [
        {"items": [_model(1)], "metadata": {"nextCursor": "a|1"}},
        {"items": [_model(1)], "metadata": {"nextCursor": "a|1"}},
        {"items": [_model(2)], "metadata": {}},
    ]
    found = list(CivitaiHub(ScriptedTransport(pages)).pages(Partition()))
    assert [page.cursor for page in found] == ["a|1", "a|2", None]
    assert "repeated" in found[1].notes[0]


def test_an_empty_page_that_repeats_its_cursor_is_asked_for_again() -> None:
    pages = [
        {"items": [_model(1)], "metadata": {"nextCursor": "a|2"}},
        {"items": [], "metadata": {"nextCursor": "a|2"}},
        {"items": [_model(2)], "metadata": {}},
    ]
    assert [page.cursor for page in CivitaiHub(ScriptedTransport(pages)).pages(Partition())] == [
        "a|2",
        "a|2",
        None,
    ]


def test_a_hub_that_only_repeats_is_an_error_not_an_endless_loop() -> None:
    pages = [{"items": [_model(1)], "metadata": {"nextCursor": "a|1"}}] * 30
    with pytest.raises(HubError, match="incomplete"):
        list(CivitaiHub(ScriptedTransport(pages)).pages(Partition()))


def test_a_model_that_cannot_be_read_is_noted_and_costs_no_other() -> None:
    broken = {"name": "no id", "modelVersions": [{"name": "nor here"}]}
    [page] = CivitaiHub(ScriptedTransport([{"items": [broken, _model(2)], "metadata": {}}])).pages(
        Partition()
    )
    assert [listing.listing_id for listing in page.listings] == ["2"]
    assert "cannot be read" in page.notes[0]


def test_something_else_than_json_is_an_error(transport: Transport, file_server: Any) -> None:
    folder = file_server.folder / "api" / "v1"
    folder.mkdir(parents=True)
    (folder / "models").write_text("<html>sorry</html>")
    with pytest.raises(HubError, match="JSON"):
        list(listings_of(CivitaiHub(transport, file_server.url(""))))


def test_the_token_is_not_sent_to_the_signed_host(hub_url: str, tmp_path: Path) -> None:
    client = Transport(
        {"127.0.0.1": "secret"}, attempts=1, destinations=Destinations({"127.0.0.1", "localhost"})
    )
    listing = next(iter(listings_of(CivitaiHub(client, hub_url))))
    stored = CheckpointStore(tmp_path / "store", 10**9).obtain(client, listing.files[0])
    assert stored.sha256 == listing.files[0].sha256
    client.close()


def test_every_version_of_a_listing_is_kept(
    transport: Transport, hub_url: str, tmp_path: Path
) -> None:
    from dataclasses import replace

    store = CrawlStore(tmp_path / "crawl.db")
    listing = next(iter(listings_of(CivitaiHub(transport, hub_url))))
    assert store.record(listing, NOON)
    assert not store.record(replace(listing, downloads=5), NOON + timedelta(days=1))
    assert store.record(replace(listing, title="renamed"), NOON + timedelta(days=2))
    assert [found.title for found in store.latest("civitai")] == ["renamed"]
    store.close()


def test_targets_are_told_apart(transport: Transport, tmp_path: Path) -> None:
    registry = HubRegistry(transport)
    assert registry.open(str(tmp_path)).name == "folder"
    assert registry.open("https://host.example/a/b.safetensors").name == "url"
    assert registry.open("civitai=http://127.0.0.1:1").name == "civitai"
    with pytest.raises(UnknownHub, match="civitai"):
        registry.open("nowhere")
    with pytest.raises(HubError, match="https"):
        registry.open("civitai=ftp://x")
