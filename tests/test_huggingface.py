"""The Hugging Face crawler against a hub that huggingface_hub's own client accepts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.errors import HubError
from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.hubs.huggingface import HuggingFaceHub
from crawlers.listing import Partition, Presence, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.query import likely
from crawlers.sweeps.sweep import sweep
from scanner.miniature.huggingface import HuggingFaceServer, serve_huggingface
from scanner.triage.header import triage_url
from tests.conftest import NOON


@pytest.fixture
def hub(make_lora: Callable[..., Path]) -> Iterator[HuggingFaceServer]:
    weights = make_lora(metadata={"ss_output_name": "someone"}).read_bytes()
    with serve_huggingface() as server:
        for number in range(5):
            files = {
                "lora.safetensors": weights,
                "README.md": b"---\nlicense: other\n---",
                "a b/x.safetensors": weights,
            }
            server.add(
                f"maker/lora-{number}", "lora", files, instance_prompt=f"photo of tok{number}"
            )
        server.add("maker/words", "textual_inversion", {"learned_embeds.bin": bytes(200)})
        server.add("other/text-model", "text-generation", {"model.safetensors": bytes(200)})
        yield server


@pytest.fixture
def client() -> Iterator[Transport]:
    opened = Transport(
        attempts=3, timeout_s=10, destinations=Destinations({"127.0.0.1", "localhost"})
    )
    yield opened
    opened.close()


def test_every_repository_is_listed_with_the_hashes_of_its_files(
    hub: HuggingFaceServer, client: Transport
) -> None:
    found = {
        listing.listing_id: listing for listing in listings_of(HuggingFaceHub(client, hub.url))
    }
    assert sorted(found) == [*(f"maker/lora-{number}" for number in range(5)), "maker/words"]
    first = found["maker/lora-0"]
    assert first.triggers == ("photo of tok0",)
    assert (first.base_model, first.creator, first.downloads) == ("org/base", "maker", 5)
    data = hub.repositories["maker/lora-0"]["files"]["lora.safetensors"]
    assert [file.name for file in first.files] == ["lora.safetensors", "a b/x.safetensors"]
    assert first.files[0].sha256 == hashlib.sha256(data).hexdigest()
    assert first.files[0].size_bytes == len(data)
    # The Link header names another host, but only the host that was asked gets the request.
    assert all("127.0.0.1" in headers["Host"] for _, headers in hub.requests)


def test_files_are_triaged_by_range_and_fetched_through_the_redirect(
    hub: HuggingFaceServer, client: Transport, tmp_path: Path
) -> None:
    listing = next(iter(listings_of(HuggingFaceHub(client, hub.url))))
    for file in listing.files:
        triage = triage_url(client, file.url)
        assert (triage.kind, triage.family, triage.sha256) == ("lora", "SD1", file.sha256)
    stored = CheckpointStore(tmp_path, 10**9).obtain(client, listing.files[1])
    assert stored.sha256 == listing.files[1].sha256


def test_a_rate_limit_is_waited_out(hub: HuggingFaceServer, client: Transport) -> None:
    hub.limited = 1
    assert len(list(listings_of(HuggingFaceHub(client, hub.url)))) == 6
    assert client.budgets.state("127.0.0.1").window_s == 300


def test_gated_and_odd_repositories_are_noted_and_cost_no_other(
    hub: HuggingFaceServer, client: Transport, store: CrawlStore
) -> None:
    hub.gated.add("maker/lora-1")
    hub.repositories["maker/lora-2"]["card"] = {"instance_prompt": ["a", "list"]}
    steps = list(sweep(HuggingFaceHub(client, hub.url), "hf", store, lambda: NOON))
    assert steps[-1].listings == 6
    notes = [note for step in steps for note in step.notes]
    assert any("maker/lora-1" in note for note in notes)
    [gated] = store.newest("huggingface", "maker/lora-1")
    assert [file.sha256 for file in gated.files] == [None, None]


def test_a_stopped_sweep_goes_on_at_its_cursor(hub: HuggingFaceServer, client: Transport) -> None:
    lora = Partition("filter=lora")
    first = next(HuggingFaceHub(client, hub.url).pages(lora))
    rest = list(HuggingFaceHub(client, hub.url).pages(lora, first.cursor))
    assert next(listing.listing_id for page in rest for listing in page.listings) == "maker/lora-2"
    assert rest[-1].cursor is None


def details_asked(hub: HuggingFaceServer) -> list[str]:
    return [path for path, _ in hub.requests if "blobs=true" in path]


def test_what_two_searches_find_is_asked_for_once_and_what_did_not_change_not_again(
    hub: HuggingFaceServer, client: Transport, store: CrawlStore
) -> None:
    def go(day: int) -> list[str]:
        hub.requests.clear()
        steps = list(
            sweep(HuggingFaceHub(client, hub.url), "hf", store, lambda: NOON + timedelta(day))
        )
        assert steps[-1].listings == 6
        return [event.listing_id for step in steps for event in step.events]

    assert len(go(0)) == 10  # six are new, and four of them hold the file of the first one
    assert len(details_asked(hub)) == 6
    assert go(1) == []
    assert details_asked(hub) == []
    hub.repositories["maker/lora-3"] |= {
        "sha": "b" * 40,
        "card": {"instance_prompt": "photo of another"},
    }
    assert go(2) == ["maker/lora-3"]
    assert len(details_asked(hub)) == 1
    [event] = store.events(limit=1)
    assert event.details["fields"] == [
        "files",
        "triggers",
    ]  # the addresses of files contain the commit


def test_the_same_hub_at_another_address_is_asked_for_its_own(
    hub: HuggingFaceServer, client: Transport, store: CrawlStore
) -> None:
    list(sweep(HuggingFaceHub(client, hub.url), "hf", store, lambda: NOON))
    mirror = hub.url.replace("127.0.0.1", "localhost")
    list(sweep(HuggingFaceHub(client, mirror), "mirror", store, lambda: NOON))
    files = [file.url for listing in likely(store, "mirror") for file in listing.files]
    assert files
    assert all(url.startswith(f"{mirror}/") for url in files)


def test_only_what_changed_since_is_listed(
    hub: HuggingFaceServer, client: Transport, store: CrawlStore
) -> None:
    since = datetime(2026, 10, 5, tzinfo=UTC)
    steps = list(sweep(HuggingFaceHub(client, hub.url, ["lora"]), "hf", store, lambda: NOON, since))
    assert {event.listing_id for step in steps for event in step.events} == {
        "maker/lora-4",
        "maker/lora-3",
    }
    # The page that reaches behind the date is the last one.
    assert len([path for path, _ in hub.requests if path.startswith("/api/models?")]) == 1


def test_what_became_of_a_repository(hub: HuggingFaceServer, client: Transport) -> None:
    hub.gated.add("maker/lora-1")
    hub.disabled.add("maker/lora-2")
    looked = HuggingFaceHub(client, hub.url)
    names = ("maker/lora-0", "maker/lora-1", "maker/lora-2", "maker/never")
    expected = [Presence.LISTED, Presence.LISTED, Presence.TAKEN_DOWN, Presence.GONE]
    assert [looked.check_presence(name) for name in names] == expected


def test_something_else_than_a_list_is_an_error(client: Transport, hub: HuggingFaceServer) -> None:
    with pytest.raises(HubError):
        list(HuggingFaceHub(client, f"{hub.url}/nowhere").pages(Partition("filter=lora")))


def test_the_real_client_takes_this_server_for_the_hub(
    hub: HuggingFaceServer, tmp_path: Path
) -> None:
    code = (
        "import json, sys\n"
        "from huggingface_hub import HfApi, hf_hub_download\n"
        "api = HfApi()\n"
        "names = [model.id for model in api.list_models(filter='lora', "
        "sort='created_at', full=True)]\n"
        "info = api.model_info('maker/lora-0', files_metadata=True)\n"
        "path = hf_hub_download('maker/lora-0', 'lora.safetensors')\n"
        "meta = api.parse_safetensors_file_metadata('maker/lora-0', 'lora.safetensors')\n"
        "print(json.dumps([names, [s.lfs.sha256 for s in info.siblings if s.lfs], "
        "open(path, 'rb').read().hex()[:16], len(meta.tensors)]))\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names, hashes, beginning, tensors = json.loads(done.stdout.splitlines()[-1])
    assert names == [f"maker/lora-{number}" for number in range(5)]
    data = hub.repositories["maker/lora-0"]["files"]["lora.safetensors"]
    assert set(hashes) == {hashlib.sha256(data).hexdigest()}
    assert (beginning, tensors) == (data.hex()[:16], 3)
