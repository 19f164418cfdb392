"""Answers and lists of any shape: an odd record affects no other, and terminals stay safe."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawlers.errors import HubError
from crawlers.http.transport import Transport
from crawlers.hubs.civarchive import CivArchive
from crawlers.hubs.civitai import CivitaiHub
from crawlers.hubs.folder import FolderHub
from crawlers.hubs.github import GitHubHub
from crawlers.hubs.huggingface import HuggingFaceHub
from crawlers.hubs.imported import ImportedHub
from crawlers.hubs.modelscope import ModelScopeHub
from crawlers.listing import Partition, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.events import EventKind
from crawlers.sweeps.query import search
from crawlers.sweeps.sweep import sweep
from scanner.miniature.huggingface import serve_huggingface
from tests.conftest import NOON
from tests.servers.civitai import model, serve_civitai
from tests.servers.files import FileServer
from tests.servers.serving import Answer, as_json, serve_answers
from tests.test_cli import run

ODD: list[Any] = [
    None,
    5,
    -1,
    10**30,
    1.5,
    True,
    "text",
    [],
    [1, None],
    {},
    {"a": {"b": []}},
    "\x1b[31m",
    "x" * 5000,
]
PATHS = [
    ("items", 0),
    ("items",),
    ("metadata",),
    ("items", 0, "nsfwLevel"),
    ("items", 0, "creator"),
    ("items", 0, "creator", "username"),
    ("items", 0, "tags"),
    ("items", 0, "name"),
    ("items", 0, "poi"),
    ("items", 0, "modelVersions"),
    ("items", 0, "modelVersions", 0),
    ("items", 0, "modelVersions", 0, "baseModel"),
    ("items", 0, "modelVersions", 0, "stats"),
    ("items", 0, "modelVersions", 0, "stats", "downloadCount"),
    ("items", 0, "modelVersions", 0, "trainedWords"),
    ("items", 0, "modelVersions", 0, "files"),
    ("items", 0, "modelVersions", 0, "files", 0),
    ("items", 0, "modelVersions", 0, "files", 0, "sizeKB"),
    ("items", 0, "modelVersions", 0, "files", 0, "hashes"),
    ("items", 0, "modelVersions", 0, "files", 0, "name"),
    ("items", 0, "modelVersions", 0, "publishedAt"),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_one_odd_field_costs_no_other_model(
    transport: Transport, tmp_path: Path, path: tuple[Any, ...]
) -> None:
    for number, value in enumerate(ODD):
        page = json.loads(json.dumps({"items": [model(1), model(2)], "metadata": {}}))
        spot = page
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = value
        with serve_answers(lambda *_, page=page: as_json(page)) as url:
            store = CrawlStore(tmp_path / f"{number}.db")
            list(sweep(CivitaiHub(transport, url), "c", store, lambda: NOON))
            found = {one.listing.listing_id for one in search(store)}
            assert "2" in found or path == ("items",), value
            store.close()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "items",
                    "metadata",
                    "nextCursor",
                    "name",
                    "modelVersions",
                    "files",
                    "hashes",
                    "SHA256",
                    "siblings",
                    "rfilename",
                    "lfs",
                    "cardData",
                    "data",
                    "models",
                    "total_count",
                    "Data",
                    "Files",
                    "Path",
                    "tree",
                    "path",
                    "full_name",
                    "version",
                    "mirrors",
                    "url",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


class Scripted(Transport):
    """Answers every request with the same document."""

    def __init__(self, document: Any) -> None:
        super().__init__()
        self.document = document

    def get_document(self, url: str, params: dict[str, Any] | None = None) -> tuple[Any, Any]:
        import httpx

        return self.document, httpx.Headers()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_any_document_ends_in_pages_or_a_hub_error(document: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crawlers.hubs.repeated_requests.MOST_ATTEMPTS", 2)
        _read_from_every_hub(document)


def _read_from_every_hub(document: Any) -> None:
    client = Scripted(document)
    hubs = [CivitaiHub(client), HuggingFaceHub(client), ModelScopeHub(client), GitHubHub(client)]
    for hub in hubs:
        try:
            for number, page in enumerate(hub.pages(Partition("lora"))):
                for listing in page.listings:
                    assert isinstance(listing.listing_id, str)
                if number > 3:
                    break
        except HubError:
            pass
    with contextlib.suppress(HubError):
        CivArchive(client).record_of("ab" * 32)
    client.close()


def test_a_renamed_or_odd_repository_costs_no_other(
    transport: Transport, store: CrawlStore
) -> None:
    with serve_huggingface() as hub:
        for number in range(3):
            hub.add(f"maker/lora-{number}", "lora", {"x.safetensors": bytes(200)})
        hub.answers_as = {"maker/lora-1": "maker/renamed"}
        steps = list(sweep(HuggingFaceHub(transport, hub.url), "hf", store, lambda: NOON))
    assert {event.listing_id for step in steps for event in step.events} == {
        f"maker/lora-{number}" for number in range(3)
    }


def test_a_question_that_fails_once_is_no_change(transport: Transport, store: CrawlStore) -> None:
    with serve_huggingface() as hub:
        hub.add("maker/lora", "lora", {"x.safetensors": bytes(200)})
        hub.add("maker/new", "lora", {"x.safetensors": bytes(300)})

        def go(day: int) -> list[str]:
            steps = list(
                sweep(
                    HuggingFaceHub(transport, hub.url), "hf", store, lambda: NOON + timedelta(day)
                )
            )
            return [f"{event.listing_id} {event.kind}" for step in steps for event in step.events]

        new = hub.repositories.pop("maker/new")
        assert go(0) == ["maker/lora first seen"]
        hub.repositories["maker/new"] = new
        hub.repositories["maker/lora"]["sha"] = "c" * 40
        hub.gated |= {"maker/lora", "maker/new"}
        assert go(1) == ["maker/new first seen"]
        assert [
            listing.files[0].sha256 is not None
            for listing in store.newest("huggingface", "maker/lora")
        ] == [True]
        hub.gated.clear()
        assert go(2) == ["maker/lora changed", "maker/new changed"]


def test_one_place_is_swept_by_one_program_at_a_time(
    transport: Transport, store: CrawlStore, tmp_path: Path
) -> None:
    with serve_civitai(150) as server:
        hub = CivitaiHub(transport, server.url)
        first = sweep(hub, "c", store, lambda: NOON)
        next(first)
        other = CrawlStore(tmp_path / "crawl.db")
        with pytest.raises(HubError, match="another program"):
            next(sweep(hub, "c", other, lambda: NOON))
        next(sweep(hub, "elsewhere", other, lambda: NOON))
        other.close()
        first.close()
        assert list(sweep(hub, "c", store, lambda: NOON))[-1].finished


def test_a_stopped_sweep_of_less_does_not_stand_in_for_one_of_more(
    transport: Transport, store: CrawlStore
) -> None:
    with serve_civitai(700) as server:
        hub = CivitaiHub(transport, server.url)
        late, early = NOON.replace(year=2023, month=4), NOON.replace(year=2022, month=11, day=1)
        first = sweep(hub, "c", store, lambda: NOON, late)
        next(first)
        first.close()
        assert list(sweep(hub, "c", store, lambda: NOON, early))[-1].listings == 700
        # A sweep that reaches further back does.
        unfinished = sweep(hub, "c", store, lambda: NOON, early)
        next(unfinished)
        unfinished.close()
        asked = len(server.requests)
        list(sweep(hub, "c", store, lambda: NOON, late))
        # Six more pages; the last one is full, and is repeated until it counts as the last.
        assert (len(set(server.requests[asked:])), server.requests[-3:]) == (
            6,
            [server.requests[-1]] * 3,
        )


def test_two_places_may_list_the_same_file(tmp_path: Path, store: CrawlStore) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.safetensors", "sub/b.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    outer, inner = (FolderHub(tmp_path), "outer"), (FolderHub(tmp_path / "sub"), "inner")
    happened = []
    for day, (hub, place) in enumerate([outer, inner, outer, outer]):
        if day == 2:
            (tmp_path / "sub" / "b.safetensors").unlink()
        steps = list(sweep(hub, place, store, lambda day=day: NOON + timedelta(day)))
        happened.append([event.kind for step in steps for event in step.events])
    assert happened == [[EventKind.FIRST_SEEN] * 2, [], [], [EventKind.GONE]]


def test_a_search_reads_words_not_keys(transport: Transport, store: CrawlStore) -> None:
    with serve_civitai(20) as server:
        server.models[7]["name"] = "100% Somebody_else"
        list(sweep(CivitaiHub(transport, server.url), "c", store, lambda: NOON))
    found = {
        words: len(search(store, words=words))
        for words in (
            "sha256",
            "http",
            '"',
            "100%",
            "Somebody_else",
            "%",
            "m3.safe",
            "ohwx",
            "woman Model",
        )
    }
    assert found == {
        "sha256": 0,
        "http": 0,
        '"': 0,
        "100%": 1,
        "Somebody_else": 1,
        "%": 1,
        "m3.safe": 1,
        "ohwx": 20,
        "woman Model": 19,
    }


class TestExports:
    def read(self, tmp_path: Path, data: bytes, name: str = "a.csv") -> list[tuple[str, str]]:
        (tmp_path / name).write_bytes(data)
        return [
            (listing.listing_id, listing.title)
            for listing in listings_of(ImportedHub(tmp_path / name))
        ]

    def test_lines_are_those_of_the_format(self, tmp_path: Path) -> None:
        rows = 'id,title,url\n1,"one\u2028two\x0b\x85.",a\n2,"line1\nline2",b\n'.encode()
        assert self.read(tmp_path, rows) == [("1", "one\u2028two\x0b\x85."), ("2", "line1\nline2")]
        lines = '{"id":"1","title":"a\u2028b"}\n{"id":"2","title":"\\ud800x"}\n'.encode()
        assert self.read(tmp_path, lines, "a.jsonl") == [("1", "a\u2028b"), ("2", "\ufffdx")]

    def test_what_spreadsheets_save_is_read(self, tmp_path: Path) -> None:
        for data in (
            "编号;标题\n1;小红\n".encode("gb18030"),
            "编号\t标题\n1\t小红\n".encode("utf-16"),
            "编号,标题,\n1,小红,x,y,z\n".encode("utf-8-sig"),
        ):
            assert self.read(tmp_path, data) == [("1", "小红")]

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b'id,title\n1,"one\n2,two\n', "quote missing"),
            (b"what,ever\n1,2\n", "none of its columns"),
            (b"", "none of its columns"),
            (bytes(range(128, 256)) * 3 + b"\xff", "no text|none of its columns"),
        ],
    )
    def test_what_is_no_list_says_so(self, tmp_path: Path, data: bytes, told: str) -> None:
        with pytest.raises(HubError, match=told):
            self.read(tmp_path, data)
        with pytest.raises(HubError, match="neither"):
            self.read(tmp_path, b"[" * 100_000, "a.json")

    def test_entries_that_are_none_are_noted_and_an_export_of_nothing_concludes_nothing(
        self, tmp_path: Path
    ) -> None:
        assert self.read(tmp_path, b'[null, 5, {"id": 7, "title": "x"}]', "a.json") == [("7", "x")]
        with pytest.raises(HubError, match="nothing was concluded"):
            self.read(tmp_path, b'{"items": [{"id": 1}]}', "a.json")
        with pytest.raises(HubError, match="line 2"):
            self.read(tmp_path, b'{"id": 1}\n{oops\n', "a.jsonl")

    def test_long_fields_and_huge_numbers_are_read(self, tmp_path: Path) -> None:
        long = b"id,title,downloads\n1," + b"x" * 300_000 + b",99999999999999999999999\n"
        [(_, title)] = self.read(tmp_path, long)
        assert len(title) == 300_000

    def test_one_title_of_two_creators_is_two_listings_and_a_repeated_id_is_told(
        self, tmp_path: Path
    ) -> None:
        assert len(self.read(tmp_path, b"title,creator\nsame,one\nsame,two\n")) == 2
        (tmp_path / "b.csv").write_text("id,title\n1,a\n1,b\n")
        [page] = ImportedHub(tmp_path / "b.csv").pages(Partition())
        assert (len(page.listings), "was there before" in page.notes[0]) == (1, True)


class TestTerminal:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Iterator[tuple[Path, str]]:
        evil = "\x1b]0;PWNED\x07\x1b[31mred\x9b2J\u202etxt.exe"
        entry = model(1)
        entry |= {"name": evil, "tags": [evil], "creator": {"username": evil}}
        entry["modelVersions"][0] |= {"trainedWords": [evil], "id": evil}
        entry["modelVersions"][0]["files"][0]["name"] = evil
        with serve_answers(lambda *_: as_json({"items": [entry], "metadata": {}})) as url:
            home = tmp_path / "home"
            assert run("crawl", f"civitai={url}", home=home).returncode == 0
            yield home, evil

    def test_nothing_of_a_hubs_text_commands_the_terminal(self, home: tuple[Path, str]) -> None:
        place, evil = home
        commands = [
            ["listings"],
            ["listings", "--events"],
            ["listings", f"civitai:{evil}"],
            ["fetch", f"civitai:{evil}"],
        ]
        for command in commands:
            done = run(*command, home=place)
            for sign in ("\x1b]", "\x1b[31mred", "\x9b", "\u202e", "\x07"):
                assert sign not in done.stdout + done.stderr, command
            assert "PWNED" in done.stdout


def test_bodies_of_refusals_are_one_line(transport: Transport, file_server: FileServer) -> None:
    with (
        serve_answers(lambda *_: (404, {}, b"<html>\n\n<h1>no</h1>\r\n" * 9)) as url,
        pytest.raises(HubError) as refused,
    ):
        transport.get(url)
    assert "\n" not in str(refused.value)


class TestWatchingSeveral:
    def test_one_broken_hub_is_told_and_holds_up_no_other(self, tmp_path: Path) -> None:
        (tmp_path / "up").mkdir()
        (tmp_path / "up" / "a.safetensors").write_bytes(b"x")
        with serve_answers(lambda *_: as_json([])) as evil:
            done = run(
                "watch",
                f"civitai={evil}",
                tmp_path / "up",
                "--once",
                "--json",
                home=tmp_path / "home",
            )
        assert done.returncode == 3
        summaries = [json.loads(line) for line in done.stdout.splitlines()]
        assert [summary["listings"] for summary in summaries] == [0, 1]
        assert summaries[0]["problem"]

    def test_a_webhook_hears_of_news_whatever_other_hubs_begin(self, tmp_path: Path) -> None:
        got: list[str] = []
        status = [400]

        def answer(_path: str, _headers: dict[str, str], body: bytes) -> Answer:
            if status[0] == 200:
                got.extend(event["listing_id"] for event in json.loads(body)["events"])
            return status[0], {}, b""

        for name in ("A", "B", "C"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "old.safetensors").write_bytes(b"x")
        home = tmp_path / "home"
        with serve_answers(answer) as hook:
            watch = ["--once", "--webhook", hook]
            assert run("watch", tmp_path / "A", *watch, home=home).returncode == 0
            (tmp_path / "A" / "new.safetensors").write_bytes(b"x")
            assert run("watch", tmp_path / "A", *watch, home=home).returncode == 3
            # A webhook that is down must not keep hubs from being read.
            done = run("watch", tmp_path / "B", *watch, "--json", home=home)
            assert (done.returncode, json.loads(done.stdout)["listings"]) == (3, 1)
            status[0] = 200
            assert run("watch", tmp_path / "C", tmp_path / "A", *watch, home=home).returncode == 0
        assert got == [str(tmp_path / "A" / "new.safetensors")]


class TestFetchingWithoutNames:
    def test_refused_files_make_way_for_the_next(
        self, file_server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PORTRAIT_SCANNER_ALLOWED_HOSTS", "127.0.0.1")
        rows = []
        for number in range(30):
            data = bytes([number, 0]) * 1000
            if number >= 20:
                (file_server.folder / f"{number}.bin").write_bytes(data)
            rows.append(
                {
                    "id": str(number),
                    "title": "celebrity",
                    "tags": "woman",
                    "download_url": file_server.url(f"{number}.bin"),
                }
            )
        (tmp_path / "list.json").write_text(json.dumps(rows))
        home = tmp_path / "home"
        assert run("crawl", f"liblib={tmp_path / 'list.json'}", home=home).returncode == 0
        first = json.loads(run("fetch", "--json", home=home).stdout)["files"]
        assert [one["problem"] is None for one in first] == [False] * 20
        second = json.loads(run("fetch", "--limit", "7", "--json", home=home).stdout)["files"]
        assert [one["problem"] for one in second] == [None] * 7
        third = run("fetch", "--json", home=home)
        assert len(json.loads(third.stdout)["files"]) == 3
        assert "Nothing to fetch" in run("fetch", home=home).stdout


def test_the_words_of_a_header_do_not_command_the_terminal(make_lora: Callable[..., Path]) -> None:
    done = run(
        "inspect",
        make_lora(metadata={"ss_output_name": "\x1b[31mRED\x1b]0;pwn\x07\x9b\u202e[bold]name"}),
    )
    assert not set("\x1b\x07\x9b\u202e") & set(done.stdout)
    assert "[bold]name" in done.stdout


def test_two_fetches_of_one_file_do_not_mix(file_server: FileServer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_000
    (file_server.folder / "a.bin").write_bytes(data)
    file_server.pause_s = 0.003
    home = tmp_path / "home"
    command = [
        sys.executable,
        "-c",
        "from scanner.cli.app import main; main()",
        "--home",
        str(home),
        "fetch",
        file_server.url("a.bin"),
        "--json",
    ]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(0.4)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    import hashlib

    expected = hashlib.sha256(data).hexdigest()
    assert [json.loads(output)["files"][0]["sha256"] for output in outputs] == [expected, expected]
    kept = [path.name for path in (home / "checkpoints").iterdir()]
    assert kept == [expected]


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["listings", "--state", "nonsense"], {}, "taken down"),
        (["crawl", "civitai", "--since", "99999999d"], {}, "is not a date"),
        (["crawl", "civitai", "--since", "²d"], {}, "is not a date"),
        (["crawl", "civitai="], {}, "write civitai=https://host"),
        (["crawl", "civitai=http://[::1"], {}, "not a hub address"),
        (["crawl", "http://"], {}, "no address"),
        (["crawl", ""], {}, "is no file or folder that is here"),
        (["crawl", "s3://"], {}, "names no bucket"),
        (["watch", ".", "--once", "--webhook", "ftp://x/y"], {}, "no address"),
        (["watch", ".", "--once", "--webhook", "http://user:secret@127.0.0.1:1/"], {}, "user name"),
        (["listings", "--last", "99999999999999999999"], {}, "--last"),
        (["crawl", "civitai", "--type", "NOSUCH"], {}, "no type of Civitai's"),
        (["hubs"], {"PORTRAIT_SCANNER_CHECKPOINT_BUDGET_GB": "inf"}, "checkpoint_budget_gb"),
        (["hubs"], {"PORTRAIT_SCANNER_ROBOTS_EXEMPT": '["[::"]'}, "no host"),
        (
            ["crawl", "civitai=http://127.0.0.1:9"],
            {"PORTRAIT_SCANNER_CIVITAI_TOKEN": "a\nsecret"},
            "set it again",
        ),
    ],
)
def test_odd_words_get_a_sentence(
    tmp_path: Path,
    arguments: list[str],
    environment: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = run(*arguments, home=tmp_path / "home")
    assert done.returncode in (2, 3)
    assert told in done.stderr
    assert "unexpected" not in done.stderr
    assert "secret" not in done.stderr


def test_hosts_can_be_named_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanner.settings import load_settings

    for text in ("localhost, 10.0.0.7:8080", '["localhost", "10.0.0.7:8080"]'):
        monkeypatch.setenv("PORTRAIT_SCANNER_ALLOWED_HOSTS", text)
        assert load_settings({"home": tmp_path}).allowed_hosts == ("localhost", "10.0.0.7:8080")
