"""Fetching of listed files: known hashes, verified resume, other formats, archives, full disks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from crawlers.checkpoints import archives
from crawlers.checkpoints.archives import is_archive, unpack
from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.checkpoints.download import must_be_weights
from crawlers.errors import (
    ArchiveRefused,
    DestinationRefused,
    HashMismatch,
    HubRefused,
    KnownAbsent,
    NoRoom,
    NotWeights,
)
from crawlers.http.transport import Transport
from crawlers.hubs.registry import HubRegistry
from crawlers.listing import Listing, RemoteFile, bare_listing
from crawlers.sweeps.acquisition import Acquisition
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from scanner.triage.crawled_headers import read_headers
from tests.conftest import NOON
from tests.servers.files import FileServer

WEIGHTS = save(
    {"a.lora_down.weight": np.random.default_rng(1).normal(size=(200, 500)).astype(np.float32)}
)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> object:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", 10**9)


@pytest.fixture
def acquisition(
    store: CrawlStore, checkpoints: CheckpointStore, transport: Transport, clock: Clock
) -> Acquisition:
    return Acquisition(store, checkpoints, HubRegistry(transport), clock)  # type: ignore[arg-type]


@pytest.fixture
def offer(file_server: FileServer, store: CrawlStore) -> Callable[..., Listing]:
    """Serve bytes under a name and return their listing."""

    def do(name: str = "a.safetensors", data: bytes = WEIGHTS, **claims: object) -> Listing:
        (file_server.folder / name).write_bytes(data)
        told = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **claims}
        file = RemoteFile(name, file_server.url(name), **told)  # type: ignore[arg-type]
        listing = bare_listing("hub", name, name, f"https://hub/{name}", file)
        store.record(listing, NOON)
        return listing

    return do


def kinds(store: CrawlStore) -> list[EventKind]:
    return [event.kind for event in store.events() if event.kind != EventKind.FIRST_SEEN]


def test_known_bytes_are_not_fetched_again(
    acquisition: Acquisition, offer: Callable[..., Listing], file_server: FileServer
) -> None:
    first, second = offer("a.safetensors"), offer("b.safetensors")
    stored = acquisition.obtain(first, first.files[0])
    assert (stored.sha256, stored.path.read_bytes()) == (SHA256, WEIGHTS)
    assert acquisition.obtain(second, second.files[0]).path == stored.path
    assert len(file_server.requests) == 1


def test_a_refusal_is_remembered_until_it_expires(
    acquisition: Acquisition, offer: Callable[..., Listing], file_server: FileServer, clock: Clock
) -> None:
    listing = offer()
    (file_server.folder / "a.safetensors").unlink()
    with pytest.raises(HubRefused):
        acquisition.obtain(listing, listing.files[0])
    with pytest.raises(KnownAbsent, match="after 2026-11-30"):
        acquisition.obtain(listing, listing.files[0])
    assert len(file_server.requests) == 1
    with pytest.raises(HubRefused):
        acquisition.obtain(listing, listing.files[0], ask_again=True)
    offer()
    clock.now += timedelta(days=8)
    assert acquisition.obtain(listing, listing.files[0]).sha256 == SHA256


def test_other_bytes_than_claimed_are_noted_as_evidence(
    acquisition: Acquisition,
    checkpoints: CheckpointStore,
    offer: Callable[..., Listing],
    store: CrawlStore,
) -> None:
    listing = offer(sha256="ab" * 32)
    with pytest.raises(HashMismatch):
        acquisition.obtain(listing, listing.files[0])
    [event] = [event for event in store.events() if event.kind == EventKind.OTHER_BYTES]
    assert (event.details["claimed_sha256"], event.details["sha256"]) == ("ab" * 32, SHA256)
    assert checkpoints.path_of(SHA256) is not None
    sized = offer("b.safetensors", WEIGHTS, sha256=None, size_bytes=10)
    acquisition.obtain(sized, sized.files[0])
    assert store.events(limit=1)[0].details["claimed_bytes"] == 10


def test_the_same_weights_behind_another_header_are_told(
    acquisition: Acquisition, offer: Callable[..., Listing], store: CrawlStore
) -> None:
    scrubbed = save({"a": np.ones(3, np.float32)})
    original = save({"a": np.ones(3, np.float32)}, {"ss_output_name": "somebody"})
    for name, data in (("one", original), ("two", scrubbed)):
        listing = offer(name, data)
        acquisition.obtain(listing, listing.files[0])
    [event] = [event for event in store.events() if event.kind == EventKind.RE_UPLOADED]
    assert (event.listing_id, event.details["same"], event.details["first"]["listing_id"]) == (
        "two",
        "weights",
        "one",
    )


@pytest.mark.parametrize(
    "place", ["/etc/passwd", "file:///etc/passwd", "s3://bucket/x", "../x.safetensors", "ftp://h/x"]
)
def test_no_hub_leads_to_files_of_this_machine(
    acquisition: Acquisition, store: CrawlStore, transport: Transport, place: str
) -> None:
    listing = bare_listing("civitai", "1", "x", "https://hub/1", RemoteFile("x.safetensors", place))
    with pytest.raises(DestinationRefused, match="civitai named it"):
        acquisition.obtain(listing, listing.files[0])
    store.record(listing, NOON)
    assert all(step.problem is not None for step in read_headers(store, transport, lambda: NOON))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"<!DOCTYPE html><html><title>Just a moment...</title>" + b" " * 5000, "page"),
        (b'{"error": "Unauthorized", "message": "You need to log in"}', "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64, "LFS"),
        (b"ok", "ok"),
    ],
)
def test_a_page_is_never_saved_as_weights(
    acquisition: Acquisition, offer: Callable[..., Listing], tmp_path: Path, data: bytes, told: str
) -> None:
    listing = offer(data=data, sha256=None, size_bytes=None)
    if told == "ok":
        assert acquisition.obtain(listing, listing.files[0]).path.read_bytes() == b"ok"
        return
    with pytest.raises(NotWeights, match=told):
        acquisition.obtain(listing, listing.files[0])
    assert list((tmp_path / "checkpoints").iterdir()) == []


@given(st.binary(min_size=9, max_size=200))
def test_no_first_bytes_of_a_page_pass(data: bytes) -> None:
    with pytest.raises(NotWeights):
        must_be_weights("https://h/x", b"  <html>" + data)


class TestResume:
    def test_another_file_in_the_middle_begins_anew(
        self, acquisition: Acquisition, offer: Callable[..., Listing], file_server: FileServer
    ) -> None:
        """If the file is replaced during the download, the two halves are never joined."""
        old = bytes(range(256)) * 2000
        listing = offer("a.bin", old, sha256=None, size_bytes=None)
        file_server.cut_after = 200_000
        file_server.when_cut = lambda: (file_server.folder / "a.bin").write_bytes(WEIGHTS)
        assert acquisition.obtain(listing, listing.files[0]).path.read_bytes() == WEIGHTS

    def test_halves_of_equal_length_are_noticed_by_their_hash(
        self,
        acquisition: Acquisition,
        offer: Callable[..., Listing],
        file_server: FileServer,
        store: CrawlStore,
    ) -> None:
        other = bytearray(WEIGHTS)
        other[-5:] = b"other"
        listing = offer("a.bin", bytes(other), sha256=SHA256)
        file_server.etags = False
        file_server.cut_after = 200_000
        file_server.when_cut = lambda: (file_server.folder / "a.bin").write_bytes(WEIGHTS)
        # Both halves happen to belong to the claimed file here; those of the next file do not.
        assert acquisition.obtain(listing, listing.files[0]).sha256 == SHA256
        listing = offer("b.bin", b"\x01" + WEIGHTS[1:], sha256="ab" * 32)
        file_server.cut_after = 200_000
        with pytest.raises(HashMismatch):
            acquisition.obtain(listing, listing.files[0])
        whole = [
            headers
            for path, headers in file_server.requests
            if path == "/b.bin" and "Range" not in headers
        ]
        assert len(whole) == 2  # resumed once, then fetched in one piece before the hub is blamed

    def test_a_fresh_address_is_asked_for_every_time(
        self, acquisition: Acquisition, offer: Callable[..., Listing], file_server: FileServer
    ) -> None:
        listing = offer("a.safetensors")
        moved = replace(listing.files[0], url=file_server.url("download?id=1"))
        redirect = (307, {"Location": file_server.url("a.safetensors?signature=1")})
        file_server.redirects = {
            "/download?id=1": [
                redirect,
                (307, {"Location": file_server.url("a.safetensors?signature=2")}),
            ]
        }
        file_server.cut_after = 100_000
        assert acquisition.obtain(listing, moved).sha256 == SHA256
        assert [path for path, _ in file_server.requests] == [
            "/download?id=1",
            "/a.safetensors?signature=1",
            "/download?id=1",
            "/a.safetensors?signature=2",
        ]
        assert file_server.requests[3][1]["Range"] == "bytes=100000-"
        assert file_server.sent_bytes == len(WEIGHTS)

    def test_a_killed_fetch_goes_on_where_it_was(
        self, file_server: FileServer, tmp_path: Path
    ) -> None:
        data = save({"a": np.random.default_rng(2).normal(size=(3000, 1000)).astype(np.float32)})
        (file_server.folder / "big.safetensors").write_bytes(data)
        file_server.pause_s = 0.002
        home, url = tmp_path / "home", file_server.url("big.safetensors")
        command = [
            sys.executable,
            "-c",
            "from scanner.cli.app import main; main()",
            "--home",
            str(home),
            "fetch",
            url,
            "--json",
        ]
        for _ in range(3):
            before = sum(path.stat().st_size for path in home.glob("checkpoints/*.part"))
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                if (
                    sum(path.stat().st_size for path in home.glob("checkpoints/*.part"))
                    > before + 500_000
                ):
                    break
                time.sleep(0.005)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        file_server.pause_s = 0.0
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        [one] = json.loads(done.stdout)["files"]
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        # What was on disk when the process died is not sent again; what was in transit may be.
        assert file_server.sent_bytes < len(data) + 4 * 2_000_000
        ranges = [headers["Range"] for _, headers in file_server.requests if "Range" in headers]
        assert len(ranges) >= 3


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return out.getvalue()


class TestArchives:
    def test_weights_in_a_zip_are_kept_under_their_own_hash(
        self, acquisition: Acquisition, offer: Callable[..., Listing], checkpoints: CheckpointStore
    ) -> None:
        data = zipped(
            **{
                "..__..__evil.safetensors": WEIGHTS,
                "readme.txt": b"hello",
                "b.safetensors": WEIGHTS[:-1] + b"x",
            }
        )
        listing = offer("pack.zip", data)
        stored = acquisition.obtain(listing, listing.files[0])
        assert [member.name for member in stored.members] == [
            "../../evil.safetensors",
            "b.safetensors",
        ]
        assert stored.members[0].sha256 == SHA256
        assert checkpoints.path_of(SHA256).read_bytes() == WEIGHTS  # type: ignore[union-attr]
        assert not (stored.path.parent.parent.parent / "evil.safetensors").exists()
        assert acquisition.obtain(listing, listing.files[0]).members == stored.members

    def test_a_pickle_in_pytorchs_zip_is_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "x.safetensors").write_bytes(
            zipped(archive__data=b"x", **{"archive__data.pkl": b"\x80\x02."})
        )
        assert not is_archive(tmp_path / "x.safetensors")

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (zipped(readme=b"x"), "without any safetensors"),
            (zipped(**{"a.safetensors": bytes(70_000_000)}), "bomb"),
            (zipped(**{f"{number}.safetensors": b"x" for number in range(65)}), "65 weights files"),
            (zipped(**{"a.safetensors": WEIGHTS})[:-30], "cannot be unpacked"),
        ],
    )
    def test_hostile_archives_are_refused(self, tmp_path: Path, data: bytes, told: str) -> None:
        path = tmp_path / "x.zip"
        path.write_bytes(data)
        with pytest.raises(ArchiveRefused, match=told):
            unpack(path, tmp_path)
        assert [one.name for one in tmp_path.iterdir()] == ["x.zip"]

    def test_whatever_may_be_weights_is_unpacked_under_any_name(self, tmp_path: Path) -> None:
        """A clean style has the usual ending, a person's LoRA another; unpacking gives both."""
        inner = zipped(**{"c.safetensors": WEIGHTS})
        data = zipped(
            **{
                "a.safetensors": WEIGHTS,
                "b.sft": WEIGHTS,
                "preview.png": WEIGHTS,
                "d.pt": b"\x80\x02.",
                "notes": b"\x80\x02.",
                "e.zip": inner,
                "inner": inner,
                "f.gguf": b"GGUF",
                "g": b"7z\xbc\xaf\x27\x1c",
                "readme.txt": b"use it well",
                "cover.png": b"\x89PNG\r\n\x1a\n",
                "info.json": b"{}",
            }
        )
        (tmp_path / "x.zip").write_bytes(data)
        found = {one.name for one in unpack(tmp_path / "x.zip", tmp_path)}
        assert found == {
            "a.safetensors",
            "b.sft",
            "preview.png",
            "d.pt",
            "notes",
            "e.zip",
            "inner",
            "f.gguf",
            "g",
        }
        assert {one.name for one in unpack(tmp_path / "x.zip", tmp_path)} == found

    def test_a_flipped_byte_is_noticed(self, tmp_path: Path) -> None:
        rng, whole = random.Random(4), zipped(**{"a.safetensors": WEIGHTS})
        path = tmp_path / "x.zip"
        for _ in range(30):
            data = bytearray(whole)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            try:
                [member] = unpack(path, tmp_path)
            except ArchiveRefused:
                continue
            # A name or a date has changed, but not the weights.
            assert member.sha256 == SHA256
            (tmp_path / "x.zip.content").unlink()

    def test_an_archive_that_would_fill_the_disk_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archives, "MOST_BYTES", 1000)
        (tmp_path / "x.zip").write_bytes(zipped(**{"a.safetensors": WEIGHTS}))
        with pytest.raises(ArchiveRefused, match="unpacks to"):
            unpack(tmp_path / "x.zip", tmp_path)


class TestRoom:
    def test_what_cases_cite_is_never_deleted(
        self, offer: Callable[..., Listing], transport: Transport, tmp_path: Path
    ) -> None:
        cited: set[str] = set()
        checkpoints = CheckpointStore(tmp_path / "checkpoints", 2_500, lambda: frozenset(cited))
        files = []
        for number in range(4):
            data = bytes([number]) * 1000
            files.append(offer(f"{number}.bin", data).files[0])
        paths = []
        for number, file in enumerate(files[:3]):
            paths.append(checkpoints.obtain(transport, file).path)
            os.utime(paths[-1], (1000 + number, 1000 + number))
            if number == 0:
                cited.add(paths[0].name)
        assert [path.exists() for path in paths] == [True, False, True]
        cited.add(paths[2].name)
        with pytest.raises(NoRoom, match="checkpoint_budget_gb"):
            checkpoints.obtain(transport, files[3])
        assert paths[0].exists()

    def test_a_full_disk_pauses_and_goes_on(
        self,
        offer: Callable[..., Listing],
        transport: Transport,
        small_disk: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("crawlers.checkpoints.download.RESERVE_BYTES", 0)
        data = os.urandom(3_000_000)
        listing = offer("big.bin", b"\x00" + data, size_bytes=None)
        filler = small_disk / "filler"
        filler.write_bytes(bytes(2_500_000))
        checkpoints = CheckpointStore(small_disk / "checkpoints", 10**9)
        for known in (True, False):
            # Detected once in advance by the free space, once while writing.
            if not known:
                monkeypatch.setattr("crawlers.checkpoints.download._must_fit", lambda *_: None)
            with pytest.raises(NoRoom, match="run the same command again"):
                checkpoints.obtain(transport, listing.files[0])
        [part] = small_disk.glob("checkpoints/*.part")
        assert part.stat().st_size > 0
        filler.unlink()
        assert checkpoints.obtain(transport, listing.files[0]).sha256 == listing.files[0].sha256


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)
