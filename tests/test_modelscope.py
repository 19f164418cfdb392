"""The ModelScope crawler against a hub that ModelScope's own client accepts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.hubs.modelscope import ModelScopeHub
from crawlers.listing import Partition, Presence
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import sweep
from tests.conftest import NOON


class FakeModelScope(ThreadingHTTPServer):
    """Repositories by id with files, in the envelopes of the open API and of the older one."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.models = {f"maker/lora-{number}": files for number in range(130)}
        self.closed = {"maker/lora-7"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Requests(BaseHTTPRequestHandler):
    server: FakeModelScope

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        path = unquote(parts.path)
        if path == "/openapi/v1/models":
            return self.search(query)
        if path.startswith("/openapi/v1/models/"):
            name = path.removeprefix("/openapi/v1/models/")
            if name not in self.server.models:
                return self.json(404, {"success": False, "code": 404, "message": "model not found"})
            return self.json(200, {"success": True, "data": model(name)})
        if path.startswith("/cdn/"):
            return self.bytes(next(iter(self.server.models.values()))[path.removeprefix("/cdn/")])
        name = "/".join(path.removeprefix("/api/v1/models/").split("/")[:2])
        if name in self.server.models and path.endswith("/repo/files"):
            if name in self.server.closed:
                return self.json(
                    200,
                    {
                        "Code": 10010205001,
                        "Success": False,
                        "Message": "no permission",
                        "Data": None,
                    },
                )
            return self.json(
                200,
                {
                    "Code": 200,
                    "Success": True,
                    "Message": "success",
                    "Data": {"Files": self.entries(name)},
                },
            )
        if name in self.server.models and path.endswith("/repo"):
            return self.redirect(query["FilePath"][0])
        return self.json(404, {"Code": 10010205001, "Success": False, "Message": "not found"})

    def search(self, query: dict[str, list[str]]) -> None:
        page, size = int(query["page_number"][0]), int(query["page_size"][0])
        if page * size > 3000:
            return self.json(
                400,
                {
                    "success": False,
                    "code": 400,
                    "message": "page_number * page_size must be <= 3000",
                },
            )
        found = [
            name for name in self.server.models if query.get("search", [""])[0].lower() in name
        ]
        models = [model(name) for name in found[(page - 1) * size : page * size]]
        data = {"models": models, "total_count": len(found), "page_number": page, "page_size": size}
        return self.json(200, {"success": True, "data": data})

    def entries(self, name: str) -> list[dict[str, Any]]:
        files = self.server.models[name]
        return [{"Name": "dir", "Path": "dir.safetensors", "Type": "tree", "Size": 0}] + [
            {
                "Name": path,
                "Path": path,
                "Type": "blob",
                "Size": len(data),
                "Sha256": hashlib.sha256(data).hexdigest(),
                "IsLFS": True,
                "Revision": "master",
                "CommittedDate": 1760000000,
            }
            for path, data in files.items()
        ]

    def redirect(self, file: str) -> None:
        self.send_response(302)
        self.send_header(
            "Location", f"http://localhost:{self.server.server_port}/cdn/{file}?auth_key=1"
        )
        self.send_header("Content-Length", "0")
        self.end_headers()

    def json(self, status: int, document: Any) -> None:
        self.bytes(json.dumps(document, ensure_ascii=False).encode(), status, "application/json")

    def bytes(self, body: bytes, status: int = 200, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def model(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "display_name": f"写真 {name}",
        "downloads": 12,
        "likes": 1,
        "tags": ["LoRA", "woman"],
        "tasks": ["text-to-image-synthesis"],
        "created_at": "2026-10-01T00:00:00Z",
        "license": "other",
    }


@pytest.fixture
def hub(make_lora: Callable[..., Path]) -> Iterator[FakeModelScope]:
    server = FakeModelScope({"lora.safetensors": make_lora().read_bytes(), "README.md": b"# x"})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client() -> Iterator[Transport]:
    opened = Transport(
        attempts=2, timeout_s=10, destinations=Destinations({"127.0.0.1", "localhost"})
    )
    yield opened
    opened.close()


def test_every_repository_is_listed_with_hashes(
    hub: FakeModelScope, client: Transport, store: CrawlStore, tmp_path: Path
) -> None:
    steps = list(sweep(ModelScopeHub(client, hub.url), "ms", store, lambda: NOON))
    assert steps[-1].listings == 130
    assert any("maker/lora-7" in note for step in steps for note in step.notes)
    [closed] = store.newest("modelscope", "maker/lora-7")
    assert closed.files == ()
    [listing] = store.newest("modelscope", "maker/lora-0")
    assert (listing.title, listing.creator, listing.downloads) == ("写真 maker/lora-0", "maker", 12)
    [file] = listing.files
    assert CheckpointStore(tmp_path / "store", 10**9).obtain(client, file).sha256 == file.sha256


def test_a_search_larger_than_can_be_seen_is_told(hub: FakeModelScope, client: Transport) -> None:
    files = hub.models["maker/lora-0"]
    hub.models = {f"maker/lora-{number}": files for number in range(3_200)}
    first = next(ModelScopeHub(client, hub.url).pages(Partition("lora")))
    assert "3,200 repositories, 3,000 can be seen" in first.notes[0]
    last = next(ModelScopeHub(client, hub.url).pages(Partition("lora"), "30"))
    assert last.cursor is None


def test_what_became_of_a_repository(hub: FakeModelScope, client: Transport) -> None:
    looked = ModelScopeHub(client, hub.url)
    assert (looked.check_presence("maker/lora-0"), looked.check_presence("maker/never")) == (
        Presence.LISTED,
        Presence.GONE,
    )


def test_a_stopped_sweep_goes_on_at_its_cursor(hub: FakeModelScope, client: Transport) -> None:
    first = next(ModelScopeHub(client, hub.url).pages(Partition("lora")))
    assert first.cursor == "2"
    rest = next(ModelScopeHub(client, hub.url).pages(Partition("lora"), first.cursor))
    assert rest.listings[0].listing_id == "maker/lora-100"


def test_the_real_client_takes_this_server_for_the_hub(hub: FakeModelScope, tmp_path: Path) -> None:
    code = (
        "import json\n"
        "from modelscope_hub import HubApi\n"
        "api = HubApi()\n"
        "found = api.list_repos('model', search='lora', page_size=50)\n"
        "files = api.list_repo_files('maker/lora-0', 'model')\n"
        "print(json.dumps([found.total_count, len(found.items), [f.sha256 for f in "
        "files if f.type == 'blob']]))\n"
    )
    environment = {
        **os.environ,
        "MODELSCOPE_ENDPOINT": hub.url,
        "MODELSCOPE_CACHE": str(tmp_path),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    total, shown, hashes = json.loads(done.stdout.splitlines()[-1])
    assert (total, shown) == (130, 50)
    assert hashlib.sha256(hub.models["maker/lora-0"]["lora.safetensors"]).hexdigest() in hashes
