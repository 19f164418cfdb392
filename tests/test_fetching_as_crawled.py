"""`fetch` treats a hub as `crawl` does: with its token, and without its robots.txt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.hubs.registry import REMOTE_HUBS, HubRegistry
from tests.servers.civitai import model
from tests.servers.serving import Answer, as_json, serve_answers
from tests.test_cli import run

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


class Guarded:
    """A hub whose robots.txt forbids everything and whose files need a token; records requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, path: str, headers: dict[str, str], _body: bytes) -> Answer:
        self.asked.append((path.partition("?")[0], headers.get("Authorization")))
        if path == "/robots.txt":
            return 200, {}, b"User-agent: *\nDisallow: /\n"
        if (
            path.startswith("/api/download/")
            and headers.get("Authorization") != "Bearer hub-secret"
        ):
            return as_json({"error": "Unauthorized"}, 401)
        if path.startswith("/api/download/"):
            return 200, {}, DATA
        one = model(1)
        one["modelVersions"][0]["files"][0] |= {
            "hashes": {"SHA256": SHA256},
            "sizeKB": len(DATA) / 1024,
        }
        return as_json({"items": [one], "metadata": {}})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Guarded, Path]]:
    monkeypatch.setenv("PORTRAIT_SCANNER_ALLOWED_HOSTS", "127.0.0.1")
    monkeypatch.setenv("PORTRAIT_SCANNER_CIVITAI_TOKEN", "hub-secret")
    guarded, home = Guarded(), tmp_path / "home"
    with serve_answers(guarded) as url:
        assert run("crawl", f"civitai={url}", home=home).returncode == 0
        guarded.asked.clear()
        yield guarded, home


@pytest.mark.parametrize(
    "what", [["civitai:1"], [SHA256], ["--min-likeness", "0"]], ids=["ID", "SHA-256", "likeliest"]
)
def test_a_crawled_file_is_fetched_with_the_token_and_without_robots(
    hub: tuple[Guarded, Path], what: list[str]
) -> None:
    guarded, home = hub
    done = run("fetch", *what, "--json", home=home)
    [file] = json.loads(done.stdout)["files"]
    assert (done.returncode, file["problem"], file["sha256"]) == (0, None, SHA256)
    assert guarded.asked == [("/api/download/models/1", "Bearer hub-secret")]


def test_what_a_listing_names_elsewhere_gets_no_token_and_robots_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTRAIT_SCANNER_ALLOWED_HOSTS", "127.0.0.1")
    monkeypatch.setenv("PORTRAIT_SCANNER_CIVITAI_TOKEN", "hub-secret")
    guarded = Guarded()
    with serve_answers(guarded) as stranger:
        row = {"id": "1", "title": "x", "download_url": f"{stranger}/api/download/models/1"}
        (tmp_path / "list.json").write_text(json.dumps([row]))
        assert (
            run("crawl", f"liblib={tmp_path / 'list.json'}", home=tmp_path / "home").returncode == 0
        )
        done = run("fetch", "liblib:1", "--json", home=tmp_path / "home")
    assert "robots.txt disallows it" in json.loads(done.stdout)["files"][0]["problem"]
    assert guarded.asked == [("/robots.txt", None)]


@pytest.mark.parametrize(
    "hub", [name for name, one in REMOTE_HUBS.items() if one.build is not None]
)
def test_the_token_goes_where_it_was_crawled_and_to_no_other_host(hub: str) -> None:
    transport = Transport(destinations=Destinations(), obey_robots=True)
    sent: dict[str, Any] = {}
    transport.send_token_to = lambda url, token: sent.update({url: token})  # type: ignore[method-assign]
    registry = HubRegistry(transport, dict.fromkeys(REMOTE_HUBS, "secret"))
    others = [f"{name}=https://other.example" for name in REMOTE_HUBS if name != hub]
    registry.admit(
        hub, [f"{hub}=https://mine.example LORA", hub, "lookup:civitai", "/some/folder", *others]
    )
    assert sent == {REMOTE_HUBS[hub].address: "secret", "https://mine.example": "secret"}
    registry.admit("liblib", [f"{hub}=https://mine.example"])
    assert len(sent) == 2
    transport.close()
