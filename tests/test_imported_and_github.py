"""Listings from an operator's export, and from GitHub's REST API on loopback."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crawlers.errors import HubError, UnknownHub
from crawlers.http.transport import Transport
from crawlers.hubs.github import GitHubHub
from crawlers.hubs.imported import ImportedHub
from crawlers.hubs.registry import HubRegistry
from crawlers.listing import Partition, Presence, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import sweep
from tests.conftest import NOON

SHA256 = "ab" * 32


class TestImported:
    @pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
    def test_every_form_says_the_same(self, tmp_path: Path, form: str) -> None:
        row = {
            "uuid": "u1",
            "name": "某明星 写真",
            "username": "卖家",
            "triggerWord": "ohwx，zkw",
            "downloadCount": "1,234",
            "WeightsSha256": SHA256.upper(),
        }
        path = tmp_path / f"export.{form}"
        if form == "csv":
            path.write_text(
                ",".join(row) + "\n" + ",".join(f'"{value}"' for value in row.values()) + "\n",
                "utf-8-sig",
            )
        else:
            text = json.dumps(row, ensure_ascii=False)
            path.write_text(f"[{text}]" if form == "json" else text + "\n", "utf-8")
        [listing] = listings_of(ImportedHub(path, "liblib"))
        assert (listing.hub, listing.listing_id, listing.title, listing.creator) == (
            "liblib",
            "u1",
            "某明星 写真",
            "卖家",
        )
        assert listing.triggers == ("ohwx", "zkw")
        assert listing.downloads == 1234
        assert listing.files[0].sha256 == SHA256
        assert "triggerWord" in listing.raw

    def test_chinese_columns_are_understood(self, tmp_path: Path) -> None:
        path = tmp_path / "导出.csv"
        path.write_text(
            (
                "标题,链接,作者,触发词,底模,下载量\n"
                "小红 LoRA,https://liblib.example/1,张三,xiaohong,SDXL,88\n"
            ),
            "utf-8",
        )
        [listing] = listings_of(ImportedHub(path))
        assert (listing.listing_id, listing.base_model, listing.downloads) == (
            "https://liblib.example/1",
            "SDXL",
            88,
        )
        assert listing.files == ()

    def test_odd_entries_are_noted_and_odd_files_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('[{"tags": ["x"]}, {"id": 7, "downloads": "many"}]')
        [page] = ImportedHub(path).pages(Partition())
        assert [one.listing_id for one in page.listings] == ["7"]
        assert "entry 1" in page.notes[0]
        for text in ("not json", "[1, 2]"):
            path.write_text(text)
            with pytest.raises(HubError):
                list(ImportedHub(path).pages(Partition()))

    def test_it_is_reached_by_its_name(self, tmp_path: Path, transport: Transport) -> None:
        path = tmp_path / "list.csv"
        path.write_text("id,title\n1,a\n2,b\n")
        hub = HubRegistry(transport).open(f"liblib={path}")
        assert [listing.hub for listing in listings_of(hub)] == ["liblib", "liblib"]
        assert (hub.check_presence("1"), hub.check_presence("9")) == (
            Presence.LISTED,
            Presence.GONE,
        )
        with pytest.raises(HubError, match="built in"):
            HubRegistry(transport).open(f"folder={path}")
        with pytest.raises(UnknownHub):
            HubRegistry(transport).open("liblib=missing.csv")


SIZE = {"repositories": 120}
SEARCHED: list[str] = []


def repository(number: int) -> dict[str, Any]:
    name = f"maker/person-{number}-face"
    return {
        "full_name": name,
        "html_url": f"https://github.com/{name}",
        "default_branch": "main",
        "description": "a face",
        "owner": {"login": "maker"},
        "topics": ["lora"],
        "created_at": f"{2023 + number % 3}-{1 + number % 12:02d}-{1 + number % 28:02d}T00:00:00Z",
    }


class GitHubApi(BaseHTTPRequestHandler):
    """The requests of the crawler, with the forms and quirks of GitHub's answers."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/search/repositories":
            query = parse_qs(parts.query)
            page, first = (
                int(query["page"][0]),
                "in:name,topics" in query["q"][0] and "lora" in query["q"][0],
            )
            start, end = re.search(r"created:(\S+)\.\.(\S+)", query["q"][0]).groups()  # type: ignore[union-attr]
            SEARCHED.append(query["q"][0])
            found = [
                one
                for one in map(repository, range(SIZE["repositories"] if first else 0))
                if start <= one["created_at"][:10] <= end
            ]
            seen = found[:1000][(page - 1) * 100 : page * 100]
            return self.answer(
                200, {"total_count": len(found), "incomplete_results": page == 2, "items": seen}
            )
        if parts.path == "/repos/maker/person-0-face/git/blobs/p0":
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{'cd' * 32}\nsize 77777\n"
            )
            return self.answer(
                200, {"content": base64.b64encode(pointer.encode()).decode(), "encoding": "base64"}
            )
        if re.fullmatch(r"/repos/maker/person-\d+-face/git/blobs/p\d+", parts.path):
            return self.answer(
                200, {"content": base64.b64encode(b"{}").decode(), "encoding": "base64"}
            )
        if match := re.fullmatch(r"/repos/maker/person-(\d+)-face/git/trees/main", parts.path):
            if match[1] == "3":
                return self.answer(409, {"message": "Git Repository is empty."})
            tree = [
                {
                    "path": "a b/lora.safetensors",
                    "type": "blob",
                    "size": 134,
                    "sha": f"p{match[1]}",
                },
                {"path": "README.md", "size": 5},
            ]
            return self.answer(200, {"tree": tree, "truncated": match[1] == "4"})
        if re.fullmatch(r"/repos/maker/person-\d+-face/releases", parts.path):
            asset = {
                "name": "v1.safetensors",
                "size": 999,
                "download_count": 7,
                "digest": f"sha256:{SHA256}",
                "browser_download_url": "https://github.com/x/releases/download/v1.safetensors",
            }
            return self.answer(200, [{"assets": [asset, {"name": "notes.txt"}]}])
        if parts.path == "/repos/maker/person-1-face":
            return self.answer(200, repository(1))
        return self.answer(404, {"message": "Not Found"})

    def answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHubApi)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_github_repositories_are_listed_with_their_weights(
    api: str, transport: Transport, store: CrawlStore
) -> None:
    steps = list(sweep(GitHubHub(transport, api), "github", store, lambda: NOON))
    notes = [note for step in steps for note in step.notes]
    assert steps[-1].listings == 120
    [first] = store.newest("github", "maker/person-0-face")
    assert [file.name for file in first.files] == ["a b/lora.safetensors", "v1.safetensors"]
    assert (
        first.files[0].url
        == "https://github.com/maker/person-0-face/raw/main/a%20b/lora.safetensors"
    )
    # The tree shows an LFS pointer; its content is known without a download.
    assert (first.files[0].sha256, first.files[0].size_bytes) == ("cd" * 32, 77_777)
    assert first.files[1].sha256 == SHA256
    assert first.downloads == 7
    [second] = store.newest("github", "maker/person-1-face")
    assert (second.files[0].sha256, second.files[0].size_bytes) == (None, 134)
    [empty] = store.newest("github", "maker/person-3-face")
    assert empty.files == ()
    assert any("person-3-face" in note for note in notes)
    assert (steps[-1].finished, "incomplete" in steps[-1].gaps[0]) == (False, True)


def test_a_search_of_more_than_can_be_seen_goes_through_the_years(
    api: str, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZE, "repositories", 2_500)
    hub = GitHubHub(transport, api, ["lora in:name,topics"])
    [partition] = hub.partitions()
    found = [listing.listing_id for page in hub.pages(partition) for listing in page.listings]
    assert len(found) == len(set(found)) == 2_500
    since = datetime(2026, 11, 1, tzinfo=UTC)
    next(hub.pages(Partition(partition.name, since)))
    assert "pushed:>=2026-11-01" in SEARCHED[-1]


def test_a_github_sweep_goes_on_at_its_cursor(api: str, transport: Transport) -> None:
    hub = GitHubHub(transport, api)
    partition = hub.partitions()[0]
    first = next(hub.pages(partition))
    rest = list(hub.pages(partition, first.cursor))
    assert sum(len(page.listings) for page in [first, *rest]) == 120
    assert (hub.check_presence("maker/person-1-face"), hub.check_presence("maker/gone")) == (
        Presence.LISTED,
        Presence.GONE,
    )
