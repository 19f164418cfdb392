"""Listings from an operator's export, and from GitHub's REST API spoken on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crawlers.catalog import hub_for
from crawlers.errors import HubError, UnknownHub
from crawlers.github import GitHubHub
from crawlers.imported import ImportedHub
from crawlers.listing import Presence, listings_of
from crawlers.transport import Transport

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
            path.write_text(",".join(row) + "\n" + ",".join(f'"{value}"' for value in row.values()) + "\n", "utf-8-sig")
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
            "标题,链接,作者,触发词,底模,下载量\n小红 LoRA,https://liblib.example/1,张三,xiaohong,SDXL,88\n", "utf-8"
        )
        [listing] = listings_of(ImportedHub(path))
        assert (listing.listing_id, listing.base_model, listing.downloads) == ("https://liblib.example/1", "SDXL", 88)
        assert listing.files == ()

    def test_odd_entries_are_noted_and_odd_files_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('[{"tags": ["x"]}, {"id": 7, "downloads": "many"}]')
        [page] = ImportedHub(path).pages()
        assert [one.listing_id for one in page.listings] == ["7"]
        assert "entry 1" in page.notes[0]
        for text in ("not json", "[1, 2]"):
            path.write_text(text)
            with pytest.raises(HubError):
                list(ImportedHub(path).pages())

    def test_it_is_reached_by_its_name(self, tmp_path: Path, transport: Transport) -> None:
        path = tmp_path / "list.csv"
        path.write_text("id,title\n1,a\n2,b\n")
        hub = hub_for(f"liblib={path}", transport)
        assert [listing.hub for listing in listings_of(hub)] == ["liblib", "liblib"]
        assert (hub.look("1"), hub.look("9")) == (Presence.LISTED, Presence.GONE)
        with pytest.raises(UnknownHub):
            hub_for("liblib=missing.csv", transport)


def repository(number: int) -> dict[str, Any]:
    name = f"maker/person-{number}-face"
    return {"full_name": name, "html_url": f"https://github.com/{name}", "default_branch": "main", "description": "a face",
            "owner": {"login": "maker"}, "topics": ["lora"], "created_at": "2026-10-01T00:00:00Z"}  # fmt: skip


class GitHubApi(BaseHTTPRequestHandler):
    """The calls the crawler makes, with GitHub's shapes and quirks."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/search/repositories":
            query = parse_qs(parts.query)
            page, first = int(query["page"][0]), "in:name,topics" in query["q"][0] and "lora" in query["q"][0]
            items = [repository(number) for number in range((page - 1) * 100, min(page * 100, 120))] if first else []
            return self.answer(
                200, {"total_count": 120 if first else 0, "incomplete_results": page == 2, "items": items}
            )
        if match := re.fullmatch(r"/repos/maker/person-(\d+)-face/git/trees/main", parts.path):
            if match[1] == "3":
                return self.answer(409, {"message": "Git Repository is empty."})
            tree = [{"path": "a b/lora.safetensors", "type": "blob", "size": 134}, {"path": "README.md", "size": 5}]
            return self.answer(200, {"tree": tree, "truncated": match[1] == "4"})
        if re.fullmatch(r"/repos/maker/person-\d+-face/releases", parts.path):
            asset = {"name": "v1.safetensors", "size": 999, "download_count": 7, "digest": f"sha256:{SHA256}",
                     "browser_download_url": "https://github.com/x/releases/download/v1.safetensors"}  # fmt: skip
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


def test_github_repositories_are_listed_with_their_weights(api: str, transport: Transport) -> None:
    pages = list(GitHubHub(transport, api).pages())
    listings = {listing.listing_id: listing for page in pages for listing in page.listings}
    notes = [note for page in pages for note in page.notes]
    assert len(listings) == 119
    first = listings["maker/person-0-face"]
    assert [file.name for file in first.files] == ["a b/lora.safetensors", "v1.safetensors"]
    assert first.files[0].url == "https://github.com/maker/person-0-face/raw/main/a%20b/lora.safetensors"
    assert (first.files[0].sha256, first.files[1].sha256) == (None, SHA256)
    assert first.downloads == 7
    assert any("person-3-face" in note for note in notes)
    assert any("person-4-face has more files" in note for note in notes)
    assert any("incomplete" in note for note in notes)


def test_a_github_sweep_goes_on_at_its_cursor(api: str, transport: Transport) -> None:
    first = next(GitHubHub(transport, api).pages())
    assert first.cursor == "0|2"
    rest = list(GitHubHub(transport, api).pages(first.cursor))
    assert sum(len(page.listings) for page in rest) == 20
    looked = GitHubHub(transport, api)
    assert (looked.look("maker/person-1-face"), looked.look("maker/gone")) == (Presence.LISTED, Presence.GONE)
