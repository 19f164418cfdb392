"""Downloads over real HTTP: resumed, verified, truncated, throttled; ranged reads stay small."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save

from crawlers.checkpoints.checkpoint_store import CheckpointStore, files_still_there
from crawlers.checkpoints.download import download
from crawlers.checkpoints.header import read_header
from crawlers.checkpoints.ranged_reads import HttpSource
from crawlers.errors import (
    DownloadError,
    DownloadTooLarge,
    HashMismatch,
    HubRefused,
    HubUnreachable,
)
from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.listing import RemoteFile
from tests.servers.files import FileServer

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def remote(file_server: FileServer) -> RemoteFile:
    (file_server.folder / "a.safetensors").write_bytes(DATA)
    return RemoteFile("a.safetensors", file_server.url("a.safetensors"), len(DATA), SHA256)


def test_a_download_is_named_by_its_hash(
    transport: Transport, remote: RemoteFile, tmp_path: Path
) -> None:
    path, sha256 = download(transport, remote, tmp_path / "store")
    assert (path.name, sha256, path.read_bytes()) == (SHA256, SHA256, DATA)


def test_a_cut_connection_is_continued_not_repeated(
    transport: Transport, remote: RemoteFile, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.cut_after = 500_000
    path, _ = download(transport, remote, tmp_path / "store")
    assert path.read_bytes() == DATA
    assert file_server.requests[1][1]["Range"] == "bytes=500000-"
    assert file_server.sent_bytes == len(DATA)


def test_a_server_that_ignores_range_restarts_the_file(
    transport: Transport, remote: RemoteFile, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.cut_after, file_server.ignore_range = 500_000, True
    path, _ = download(transport, remote, tmp_path / "store")
    assert path.read_bytes() == DATA


def test_a_server_that_never_gets_further_is_given_up(
    transport: Transport, remote: RemoteFile, file_server: FileServer, tmp_path: Path
) -> None:
    class AlwaysCut(type(file_server)):  # type: ignore[misc]
        cut_after = property(lambda _self: 0, lambda _self, _value: None)

    file_server.__class__ = AlwaysCut
    with pytest.raises(DownloadError, match="stops after"):
        download(transport, remote, tmp_path / "store")


def test_other_bytes_than_promised_are_told_and_kept_under_their_own_hash(
    transport: Transport, remote: RemoteFile, file_server: FileServer, tmp_path: Path
) -> None:
    other = DATA[:9] + b"other" + DATA[14:]
    (file_server.folder / "a.safetensors").write_bytes(other)
    with pytest.raises(HashMismatch) as told:
        download(transport, remote, tmp_path / "store")
    assert told.value.actual == hashlib.sha256(other).hexdigest()
    assert [path.name for path in (tmp_path / "store").iterdir()] == [told.value.actual]


def test_a_file_over_the_limit_is_refused(
    transport: Transport, remote: RemoteFile, tmp_path: Path
) -> None:
    with pytest.raises(DownloadTooLarge):
        download(transport, remote, tmp_path / "store", max_bytes=1000)
    assert list((tmp_path / "store").iterdir()) == []


def test_throttling_is_waited_out(
    transport: Transport, remote: RemoteFile, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.failures = [(429, {"Retry-After": "0"}), (503, {"Retry-After": "0"})]
    download(transport, remote, tmp_path / "store")
    assert len(file_server.requests) == 3


def test_giving_up_says_how_often_it_was_tried(
    transport: Transport, remote: RemoteFile, file_server: FileServer
) -> None:
    file_server.failures = [(503, {"Retry-After": "0"})] * 9
    with pytest.raises(HubUnreachable, match="503 after 3 attempts"):
        transport.get(remote.url)


def test_a_refusal_is_not_retried(transport: Transport, file_server: FileServer) -> None:
    with pytest.raises(HubRefused, match="404"):
        transport.get(file_server.url("nothing"))
    assert len(file_server.requests) == 1


def test_a_dead_port_is_unreachable() -> None:
    client = Transport(attempts=1, destinations=Destinations({"127.0.0.1"}))
    with pytest.raises(HubUnreachable):
        client.get("http://127.0.0.1:9/")
    client.close()


@pytest.mark.parametrize("ignore_range", [False, True])
def test_a_header_is_read_over_http_without_the_data(
    transport: Transport,
    file_server: FileServer,
    make_lora: Callable[..., Path],
    ignore_range: bool,
) -> None:
    import numpy as np

    big = save({"lora_unet_a.lora_down.weight": np.zeros((1000, 3000), np.float32)})
    (file_server.folder / "big.safetensors").write_bytes(big)
    file_server.ignore_range = ignore_range
    source = HttpSource(transport, file_server.url("big.safetensors"))
    header = read_header(source)
    assert list(header.tensors) == ["lora_unet_a.lora_down.weight"]
    assert source.bytes_read <= 64 * 1024 + 16384
    assert source.size_bytes == len(big)


def test_the_store_fetches_once_and_keeps_to_its_budget(
    transport: Transport, file_server: FileServer, tmp_path: Path
) -> None:
    files = []
    for number in range(3):
        data = bytes([number]) * 1000
        (file_server.folder / f"{number}.bin").write_bytes(data)
        files.append(
            RemoteFile(
                f"{number}.bin",
                file_server.url(f"{number}.bin"),
                1000,
                hashlib.sha256(data).hexdigest(),
            )
        )
    store = CheckpointStore(tmp_path / "store", budget_bytes=2000)
    for file in [files[0], files[0], files[1], files[2]]:
        stored = store.obtain(transport, file)
        assert stored.path.exists()
    assert len(file_server.requests) == 3
    assert not (tmp_path / "store" / str(files[0].sha256)).exists()


def test_a_folder_is_counted_while_another_process_finishes_files_in_it(tmp_path: Path) -> None:
    """An upload that ends between listing and stat must not cause an internal error in another."""
    (tmp_path / "stays").write_bytes(DATA)
    churn = (
        "import pathlib, sys\nwhile True:\n"
        " for n in range(50): pathlib.Path(sys.argv[1], f'{n}.part').touch()\n"
    )
    churn += " for n in range(50): pathlib.Path(sys.argv[1], f'{n}.part').unlink()\n"
    with subprocess.Popen([sys.executable, "-c", churn, str(tmp_path)]) as other:
        try:
            while len(files_still_there(tmp_path)) == 1:  # until the other process runs
                assert other.poll() is None
            counts = [len(files_still_there(tmp_path)) for _ in range(20_000)]
        finally:
            other.kill()
    assert min(counts) >= 1
    assert files_still_there(tmp_path / "nowhere") == []
