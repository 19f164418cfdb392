"""An operator's uploads in object storage: a real S3 client and a server with the S3 protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.checkpoints.header import read_header
from crawlers.checkpoints.ranged_reads import source_of
from crawlers.errors import HubUnreachable, NotWeights
from crawlers.http.transport import Transport
from crawlers.hubs import storage
from crawlers.hubs.registry import HubRegistry
from crawlers.hubs.storage import StorageHub
from crawlers.listing import RemoteFile, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.sweep import sweep
from scanner.triage.header import triage_remote
from tests.conftest import NOON
from tests.servers.object_storage import object_storage, open_bucket
from tests.test_cli import run


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with object_storage() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Iterator[Callable[[str, bytes], None]]:
    """Put an object into the bucket `uploads`."""
    with open_bucket(s3_url, "uploads") as client:
        yield lambda key, data: client.put_object(Bucket="uploads", Key=key, Body=data)


def test_a_bucket_is_swept_triaged_and_fetched(
    bucket: Callable[[str, bytes], None],
    make_lora: Callable[..., Path],
    store: CrawlStore,
    transport: Transport,
    tmp_path: Path,
) -> None:
    data = make_lora(metadata={"ss_output_name": "someone"}).read_bytes()
    bucket("new/a b.safetensors", data)
    bucket("new/deep/c.safetensors", data[:-1] + b"x")
    bucket("new/readme.md", b"hello")
    bucket("new/empty.safetensors", b"")
    bucket("other/d.safetensors", data)
    hub = HubRegistry(transport).open("s3://uploads/new")
    steps = list(sweep(hub, "s3://uploads/new", store, lambda: NOON))
    assert steps[-1].listings == 3
    first, _, empty = listings_of(hub)
    assert "too few" in triage_remote(transport, empty.files[0])[0].problems[0]
    assert (first.listing_id, first.title, first.files[0].size_bytes) == (
        "s3://uploads/new/a b.safetensors",
        "a b.safetensors",
        len(data),
    )
    triage, header = triage_remote(transport, first.files[0])
    assert (triage.kind, triage.family) == ("lora", "SD1")
    assert header is not None
    stored = CheckpointStore(tmp_path / "store", 10**9).obtain(transport, first.files[0])
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert triage.bytes_read <= 64 * 1024


def test_changes_and_disappearances_are_noticed(
    bucket: Callable[[str, bytes], None], store: CrawlStore, s3_url: str
) -> None:
    bucket("a.safetensors", b"\x08" + bytes(100))
    bucket("b.safetensors", b"\x08" + bytes(100))

    def go(day: int) -> list[tuple[str, EventKind]]:
        storage._filesystem("s3").invalidate_cache()
        steps = list(sweep(StorageHub("s3://uploads"), "s3", store, lambda: NOON + timedelta(day)))
        return [(event.listing_id, event.kind) for step in steps for event in step.events]

    assert len(go(0)) == 2
    bucket("a.safetensors", b"\x08" + bytes(200))
    boto3.client("s3", endpoint_url=s3_url).delete_object(Bucket="uploads", Key="b.safetensors")
    assert go(1) == [("s3://uploads/a.safetensors", EventKind.CHANGED)]
    assert go(2) == [("s3://uploads/b.safetensors", EventKind.GONE)]


def test_only_what_is_newer_is_listed(bucket: Callable[[str, bytes], None]) -> None:
    bucket("a.safetensors", bytes(100))
    hub = StorageHub("s3://uploads")
    for since, count in (
        (datetime.now(UTC) - timedelta(hours=1), 1),
        (datetime.now(UTC) + timedelta(hours=1), 0),
    ):
        [partition] = hub.partitions(since)
        assert sum(len(page.listings) for page in hub.pages(partition)) == count


def test_a_copy_that_broke_off_goes_on_and_an_altered_object_begins_anew(
    bucket: Callable[[str, bytes], None],
    make_lora: Callable[..., Path],
    transport: Transport,
    tmp_path: Path,
) -> None:
    data = make_lora().read_bytes()
    bucket("a.safetensors", data)
    file = RemoteFile("a.safetensors", "s3://uploads/a.safetensors")

    class Killed(Exception):
        pass

    def killed(have: int, _total: int | None) -> None:
        raise Killed

    store = CheckpointStore(tmp_path / "store", 10**9)
    with pytest.raises(Killed):
        store.obtain(transport, file, killed)
    changed = data[:-4] + b"more"
    bucket("a.safetensors", changed)
    storage._filesystem("s3").invalidate_cache()
    assert store.obtain(transport, file).sha256 == hashlib.sha256(changed).hexdigest()
    bucket("page.safetensors", b"<html>" + bytes(600))
    with pytest.raises(NotWeights):
        store.obtain(transport, RemoteFile("page", "s3://uploads/page.safetensors"))


def test_what_cannot_be_reached_says_so(
    bucket: Callable[[str, bytes], None], transport: Transport
) -> None:
    with pytest.raises(HubUnreachable, match="not there"):
        read_header(source_of(transport, "s3://uploads/nothing.safetensors"))
    with pytest.raises(HubUnreachable, match="s3://missing-bucket"):
        list(
            StorageHub("s3://missing-bucket").pages(
                StorageHub("s3://missing-bucket").partitions()[0]
            )
        )


def test_a_bucket_is_crawled_from_the_command_line(
    bucket: Callable[[str, bytes], None], make_lora: Callable[..., Path], tmp_path: Path
) -> None:
    bucket("a.safetensors", make_lora().read_bytes())
    home = tmp_path / "home"
    done = run("crawl", "s3://uploads", "--triage", "--json", home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["listings"], document["headers"]) == (1, {"read": 1, "failed": 0})
