"""Robots, tokens and limits: what the client requests, and what it never sends or shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring

from crawlers.errors import HubRefused, HubUnreachable, RobotsDisallow
from crawlers.http.destinations import Destinations, shown
from crawlers.http.robots import Robots
from crawlers.http.transport import USER_AGENT, Transport
from crawlers.hubs.registry import HubRegistry
from scanner.factories.network import keep_token, open_hubs, open_transport, token_of
from scanner.settings import Settings
from tests.conftest import NOON
from tests.servers.files import FileServer
from tests.servers.serving import Answer, as_json, serve_answers

ROBOTS = (
    b"User-agent: *\nDisallow: /private/\nAllow: /private/open\n\n"
    b"User-agent: portrait-scanner\nDisallow: /faces\n"
)


class TestRobots:
    @pytest.fixture
    def polite(self) -> Iterator[Transport]:
        client = Transport(attempts=2, destinations=Destinations({"127.0.0.1"}), obey_robots=True)
        yield client
        client.close()

    def test_a_host_that_says_no_is_not_asked(
        self, polite: Transport, file_server: FileServer
    ) -> None:
        (file_server.folder / "robots.txt").write_bytes(ROBOTS)
        (file_server.folder / "open").write_bytes(b"x")
        assert polite.get(file_server.url("open")).content == b"x"
        with pytest.raises(RobotsDisallow, match="robots_exempt"):
            polite.get(file_server.url("faces/1"))
        assert [path for path, _ in file_server.requests] == ["/robots.txt", "/open"]

    def test_an_exempted_host_is_not_asked_for_its_robots(
        self, polite: Transport, file_server: FileServer
    ) -> None:
        (file_server.folder / "robots.txt").write_bytes(b"User-agent: *\nDisallow: /\n")
        (file_server.folder / "open").write_bytes(b"x")
        with pytest.raises(RobotsDisallow):
            polite.get(file_server.url("open"))
        polite.exempt_from_robots(file_server.url(""))
        assert polite.get(file_server.url("open")).content == b"x"

    def test_no_robots_txt_means_yes_and_a_broken_one_not_now(
        self, polite: Transport, file_server: FileServer
    ) -> None:
        (file_server.folder / "open").write_bytes(b"x")
        file_server.failures = [(503, {})]
        with pytest.raises(HubUnreachable, match=r"robots\.txt answered 503"):
            polite.get(file_server.url("open"))
        assert polite.get(file_server.url("open")).content == b"x"

    def test_it_is_read_again_after_a_day(self) -> None:
        now, texts = [0.0], [b"User-agent: *\nDisallow: /\n", b""]
        robots = Robots(
            lambda _url: httpx.Response(200, content=texts.pop(0)), USER_AGENT, lambda: now[0]
        )
        with pytest.raises(RobotsDisallow):
            robots.must_allow(httpx.URL("https://h.example/x"))
        now[0] = 90_000.0
        robots.must_allow(httpx.URL("https://h.example/x"))


class TestTokens:
    def test_each_hub_gets_its_own_and_nobody_else_any(self, tmp_path: Path) -> None:
        got: list[tuple[str, str | None]] = []

        def answer(path: str, headers: dict[str, str], _body: bytes) -> Answer:
            got.append((headers["Host"], headers.get("Authorization")))
            if path.startswith("/api/v1/models"):
                return as_json({"items": [], "metadata": {}})
            return 404, {}, b""

        with serve_answers(answer) as civitai, serve_answers(answer) as stranger:
            settings = Settings(home=tmp_path, civitai_token="c-secret", github_token="g-secret")
            transport = open_transport(settings)
            for url in (civitai, stranger):
                transport.destinations.allow(url)
                transport.exempt_from_robots(url)
            hub = open_hubs(settings, transport).open(
                f"civitai={civitai.replace('127.0.0.1', 'localhost')}"
            )
            transport.destinations.allow(civitai.replace("127.0.0.1", "localhost"))
            list(hub.pages(hub.partitions()[0]))
            with pytest.raises(HubRefused):
                transport.get(f"{stranger}/x")
            transport.close()
        by_host = {host.partition(":")[0]: token for host, token in got}
        assert by_host == {"localhost": "Bearer c-secret", "127.0.0.1": None}

    def test_tokens_can_live_in_the_keyring(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = PlaintextKeyring()
        backend.file_path = str(tmp_path / "keyring")
        monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
        keep_token("huggingface", "hf-secret")
        stored = Settings(home=tmp_path, hub_tokens="keyring")
        assert token_of(stored, "huggingface") == "hf-secret"
        assert token_of(stored, "civitai") is None
        assert token_of(Settings(home=tmp_path), "huggingface") is None
        assert (
            token_of(
                Settings(home=tmp_path, hub_tokens="keyring", huggingface_token="env"),
                "huggingface",
            )
            == "env"
        )

    def test_nothing_secret_is_logged_or_shown(
        self, file_server: FileServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        settings = Settings(home=tmp_path, civitai_token="very-secret")
        assert "very-secret" not in repr(settings)
        client = Transport(
            {"127.0.0.1": "very-secret"}, attempts=2, destinations=Destinations({"127.0.0.1"})
        )
        file_server.failures = [(503, {"Retry-After": "0"}), (403, {})]
        with caplog.at_level(logging.DEBUG), pytest.raises(HubRefused) as refused:
            client.get(
                file_server.url("x?token=query-secret&type=Model&X-Amz-Signature=sig-secret")
            )
        client.close()
        assert file_server.requests[0][1]["Authorization"] == "Bearer very-secret"
        assert "very-secret" not in caplog.text
        assert "secret" not in str(refused.value)
        assert "type=Model" in str(refused.value)

    def test_what_is_shown_of_an_address(self) -> None:
        assert (
            shown("https://u:p@h/x?token=1&a=2&auth_key=9#f")
            == "https://...@h/x?token=...&a=2&auth_key=...#f"
        )
        assert shown("https://h/x@y") == "https://h/x@y"


class TestLimits:
    def test_a_contact_is_named_and_no_browser(
        self, file_server: FileServer, tmp_path: Path
    ) -> None:
        (file_server.folder / "x").write_bytes(b"x")
        transport = open_transport(Settings(home=tmp_path, contact="abuse@agency.example"))
        transport.destinations.allow(file_server.url(""))
        transport.exempt_from_robots(file_server.url(""))
        transport.get(file_server.url("x"))
        transport.close()
        agent = file_server.requests[0][1]["User-Agent"]
        assert agent == f"{USER_AGENT} abuse@agency.example"
        assert not any(
            word in agent.lower()
            for word in ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
        )

    def test_an_answer_that_never_ends_is_cut(
        self, transport: Transport, file_server: FileServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (file_server.folder / "x").write_bytes(bytes(3_000_000))
        monkeypatch.setattr("crawlers.http.transport.MOST_ANSWER_BYTES", 1_000_000)
        with pytest.raises(HubRefused, match="more than 1,000,000 bytes"):
            transport.get(file_server.url("x"))
        monkeypatch.undo()
        monkeypatch.setattr("crawlers.http.transport.LONGEST_ANSWER_S", 0.05)
        file_server.pause_s = 0.01
        with pytest.raises(HubUnreachable, match="longer than"):
            transport.get(file_server.url("x"))

    def test_a_redirect_loop_ends(self, transport: Transport, file_server: FileServer) -> None:
        file_server.failures = [(302, {"Location": file_server.url("again")})] * 20
        with pytest.raises(HubRefused, match="redirects"):
            transport.get(file_server.url("x"))
        assert len(file_server.requests) <= 7

    def test_a_403_that_means_too_fast_is_waited_out(
        self, transport: Transport, file_server: FileServer
    ) -> None:
        import time

        (file_server.folder / "x").write_bytes(b"x")
        limited = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()))}
        file_server.failures = [(403, limited)]
        assert transport.get(file_server.url("x")).content == b"x"
        file_server.failures = [(403, {"X-RateLimit-Remaining": "17"})]
        with pytest.raises(HubRefused, match="403"):
            transport.get(file_server.url("x"))

    def test_half_characters_in_an_answer_do_not_stop_a_sweep(
        self, transport: Transport, store: object, tmp_path: Path
    ) -> None:
        from crawlers.sweeps.crawl_store import CrawlStore
        from crawlers.sweeps.sweep import sweep

        model = (
            '{"id":1,"name":"half \\ud800 '
            '\\ud83d\\ude00","modelVersions":[{"id":1,"name":"v","files":[]}]}'
        )
        body = f'{{"items":[{model}],"metadata":{{}}}}'.encode()
        with serve_answers(lambda *_: (200, {"Content-Type": "application/json"}, body)) as url:
            crawl = CrawlStore(tmp_path / "half.db")
            hub = HubRegistry(transport).open(f"civitai={url}")
            assert list(sweep(hub, "c", crawl, lambda: NOON))[-1].listings == 1
            [listing] = crawl.newest("civitai", "1")
            assert "😀" in listing.title
            crawl.close()
