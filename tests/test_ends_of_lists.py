"""The end of each hub's list is where its documentation says, and nowhere else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crawlers.errors import ListingIncomplete
from crawlers.http.transport import Transport
from crawlers.hubs.folder import FolderHub
from crawlers.hubs.github import GitHubHub
from crawlers.hubs.huggingface import HuggingFaceHub
from crawlers.hubs.imported import ImportedHub
from crawlers.hubs.modelscope import ModelScopeHub
from crawlers.listing import Hub, listings_of
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import SweepStep, sweep
from tests.conftest import NOON
from tests.servers.serving import Answer, as_json, serve_answers


class Lists:
    """Repositories in the lists of three hubs; `odd` may replace the page of a number."""

    def __init__(
        self, count: int, odd: Callable[[int, int], Answer | None] = lambda *_: None
    ) -> None:
        self.names = [f"maker/lora-{number:04d}" for number in range(count)]
        self.odd, self.asked = odd, Counter[int]()

    def __call__(self, path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        of_hub = {
            "/api/models": self.huggingface,
            "/openapi/v1/models": self.modelscope,
            "/search/repositories": self.github,
        }
        if url.path not in of_hub:
            return self.contents(url.path)
        page = int(query.get("page_number") or query.get("page") or query.get("cursor") or 1)
        if query.get("limit") != "1":
            self.asked[page] += 1
            if (odd := self.odd(page, self.asked[page])) is not None:
                return odd
        return of_hub[url.path](query, page)

    def huggingface(self, query: dict[str, str], page: int) -> Answer:
        names = self.names if query["direction"] == "1" else self.names[::-1]
        limit = int(query["limit"])
        found = [
            {"id": name, "pipeline_tag": "text-to-speech"}
            for name in names[(page - 1) * limit : page * limit]
        ]
        link = {
            "Link": (
                f"<https://x.invalid/api/models?{urlsplit('?').query}direction=1&"
                f'limit=100&cursor={page + 1}>; rel="next"'
            )
        }
        return as_json(found, **(link if len(names) > page * limit else {}))

    def modelscope(self, _query: dict[str, str], page: int) -> Answer:
        found = [{"id": name} for name in self.names[(page - 1) * 100 : page * 100]]
        return as_json(
            {
                "success": True,
                "data": {"models": found, "total_count": len(self.names), "page_size": 100},
            }
        )

    def github(self, _query: dict[str, str], page: int) -> Answer:
        found = [
            {"full_name": name, "html_url": f"https://github.com/{name}", "default_branch": "main"}
            for name in self.names[(page - 1) * 100 : page * 100]
        ]
        return as_json(
            {"total_count": len(self.names), "incomplete_results": False, "items": found}
        )

    def contents(self, path: str) -> Answer:
        if path.endswith("/repo/files"):
            file = {"Path": "README.md", "Type": "blob", "Size": 1}
            return as_json({"Success": True, "Data": {"Files": [file]}})
        if path.endswith("/releases"):
            return as_json([])
        return (
            as_json({"tree": [{"path": "README.md"}]})
            if "/git/trees/" in path
            else as_json({}, 404)
        )


HUBS: dict[str, Callable[[Transport, str], Hub]] = {
    "huggingface": lambda transport, url: HuggingFaceHub(transport, url, ["lora"]),
    "modelscope": lambda transport, url: ModelScopeHub(transport, url, ["lora"]),
    "github": lambda transport, url: GitHubHub(transport, url, ["lora in:name"]),
}
# Answers that are not pages: in the form of each hub, truncated, of another hub, or empty.
NOTHING: dict[str, list[Any]] = {
    "huggingface": [[], {}, None, {"error": "try later"}],
    "modelscope": [
        {"success": True, "data": {}},
        {"success": True, "data": None},
        {"success": True, "data": {"models": []}},
        {"success": True, "data": {"models": [], "total_count": 0}},
        {"success": True, "data": {"models": None, "total_count": 450}},
    ],
    "github": [
        {},
        [],
        {"items": []},
        {"total_count": 0, "items": []},
        {"total_count": 450, "items": []},
        {"total_count": 450},
    ],
}
CASES = [(hub, nothing) for hub, answers in NOTHING.items() for nothing in answers]


def go(name: str, url: str, transport: Transport, store: CrawlStore) -> SweepStep:
    return list(sweep(HUBS[name](transport, url), name, store, lambda: NOON))[-1]


@pytest.mark.parametrize(("name", "nothing"), CASES, ids=str)
def test_a_page_that_is_nothing_at_first_is_asked_for_again(
    transport: Transport, store: CrawlStore, name: str, nothing: Any
) -> None:
    lists = Lists(
        450, lambda page, times: as_json(nothing) if page % 2 == 0 and times <= 4 else None
    )
    with serve_answers(lists) as url:
        step = go(name, url, transport, store)
    assert (step.finished, step.listings) == (True, 450)


@pytest.mark.parametrize(("name", "nothing"), CASES, ids=str)
def test_a_page_that_stays_nothing_leaves_the_sweep_unfinished(
    transport: Transport, store: CrawlStore, name: str, nothing: Any
) -> None:
    lists = Lists(450, lambda page, _times: as_json(nothing) if page == 3 else None)
    with serve_answers(lists) as url:
        step = go(name, url, transport, store)
        assert (step.finished, step.listings, bool(step.gaps)) == (False, 200, True)
        assert lists.asked[3] == 6
        lists.odd = lambda *_: None
        whole = go(name, url, transport, store)
    assert (whole.finished, whole.listings, whole.sweep_id) == (True, 450, step.sweep_id)
    assert lists.asked[1] == 1


@pytest.mark.parametrize("name", HUBS)
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200])
def test_a_list_of_any_length_ends(
    transport: Transport, store: CrawlStore, name: str, count: int
) -> None:
    with serve_answers(Lists(count)) as url:
        step = go(name, url, transport, store)
    assert (step.finished, step.listings, step.gaps) == (True, count, ())


def test_a_full_page_without_its_link_is_no_end(transport: Transport, store: CrawlStore) -> None:
    lists = Lists(450)

    def without_link(page: int, _times: int) -> Answer | None:
        status, headers, body = lists.huggingface({"direction": "1", "limit": "100"}, page)
        headers.pop("Link", None)
        return (status, headers, body) if page == 2 else None

    lists.odd = without_link
    with serve_answers(lists) as url:
        step = go("huggingface", url, transport, store)
    assert (step.finished, step.listings) == (False, 200)
    assert "no link to the next one" in step.gaps[0]


def test_a_page_smaller_than_was_asked_for_does_not_shorten_the_list(
    transport: Transport, store: CrawlStore
) -> None:
    names = [f"maker/lora-{number}" for number in range(130)]

    def answer(path: str, *_: Any) -> Answer:
        if "/openapi/" not in path:
            return as_json({"Success": True, "Data": {"Files": [{"Path": "x", "Type": "blob"}]}})
        page = int(parse_qs(urlsplit(path).query)["page_number"][0])
        found = [{"id": name} for name in names[(page - 1) * 50 : page * 50]]
        return as_json(
            {"success": True, "data": {"models": found, "total_count": 130, "page_size": 50}}
        )

    with serve_answers(answer) as url:
        step = go("modelscope", url, transport, store)
    assert (step.finished, step.listings) == (True, 130)


class TestFilesOfARepository:
    """An answer without files is no list of files."""

    def one(
        self, transport: Transport, store: CrawlStore, name: str, answer: Callable[[str], Answer]
    ) -> tuple[Any, str]:
        entry = {
            "id": "maker/repo",
            "sha": "a" * 40,
            "full_name": "maker/repo",
            "html_url": "https://x",
            "default_branch": "main",
        }

        def all_of(path: str, *_: Any) -> Answer:
            if path.startswith("/api/models?"):
                return as_json([entry])
            if path.startswith("/search/"):
                return as_json({"total_count": 1, "items": [entry]})
            return answer(path)

        with serve_answers(all_of) as url:
            steps = list(sweep(HUBS[name](transport, url), name, store, lambda: NOON))
        [listing] = store.newest(name, "maker/repo")
        return listing, " ".join(note for step in steps for note in step.notes)

    @pytest.mark.parametrize(
        "details", [{}, {"siblings": []}, {"siblings": None}, {"siblings": "x"}], ids=str
    )
    def test_details_without_a_file_are_noted(
        self, transport: Transport, store: CrawlStore, details: Any
    ) -> None:
        listing, notes = self.one(transport, store, "huggingface", lambda _: as_json(details))
        assert (listing.files, listing.revision, "names no file" in notes) == ((), None, True)

    def test_a_list_that_names_no_files_is_completed_by_the_details(
        self, transport: Transport, store: CrawlStore
    ) -> None:
        siblings = [{"rfilename": "x.safetensors", "size": 5}]
        listing, _ = self.one(
            transport, store, "huggingface", lambda _: as_json({"siblings": siblings})
        )
        assert [file.name for file in listing.files] == ["x.safetensors"]

    @pytest.mark.parametrize("tree", [{}, {"tree": None}, []], ids=str)
    def test_no_tree_is_noted(self, transport: Transport, store: CrawlStore, tree: Any) -> None:
        _, notes = self.one(
            transport, store, "github", lambda path: as_json(tree if "/trees/" in path else [])
        )
        assert "gives no tree" in notes

    def test_a_tree_that_is_cut_is_read_folder_by_folder(
        self, transport: Transport, store: CrawlStore
    ) -> None:
        trees = {
            "main?recursive=1": {
                "truncated": True,
                "tree": [{"path": "a.safetensors", "type": "blob"}],
            },
            "main": {
                "tree": [
                    {"path": "a.safetensors", "type": "blob"},
                    {"path": "b", "type": "tree", "sha": "t1"},
                ]
            },
            "t1": {"tree": [{"path": "c", "type": "tree", "sha": "t2"}]},
            "t2": {"tree": [{"path": "d.safetensors", "type": "blob"}]},
        }
        listing, notes = self.one(
            transport,
            store,
            "github",
            lambda path: (
                as_json(trees[path.rpartition("/")[2]]) if "/trees/" in path else as_json([])
            ),
        )
        assert ([file.name for file in listing.files], notes) == (
            ["a.safetensors", "b/c/d.safetensors"],
            "",
        )

    def test_more_than_a_page_of_releases_is_read(
        self, transport: Transport, store: CrawlStore
    ) -> None:
        def answer(path: str) -> Answer:
            if "/trees/" in path:
                return as_json({"tree": []})
            page = int(parse_qs(urlsplit(path).query).get("page", ["1"])[0])
            numbers = range((page - 1) * 100, min(page * 100, 130))
            return as_json(
                [
                    {
                        "assets": [
                            {"name": f"{one}.safetensors", "browser_download_url": "https://x"}
                        ]
                    }
                    for one in numbers
                ]
            )

        listing, _ = self.one(transport, store, "github", answer)
        assert len(listing.files) == 130


def test_a_folder_that_cannot_be_read_is_a_gap(
    store: CrawlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("open", "closed"):
        (tmp_path / "up" / folder).mkdir(parents=True)
        (tmp_path / "up" / folder / "a.safetensors").write_bytes(b"x")
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def swept() -> SweepStep:
        return list(sweep(FolderHub(tmp_path / "up"), "up", store, lambda: NOON))[-1]

    monkeypatch.setattr(os, "scandir", refusing)
    assert (swept().finished, swept().listings) == (False, 1)
    with pytest.raises(ListingIncomplete, match=r"closed \(Permission denied\) cannot be read"):
        list(listings_of(FolderHub(tmp_path / "up")))
    monkeypatch.setattr(os, "scandir", scan)
    assert (swept().finished, swept().listings) == (True, 2)


def test_an_export_that_breaks_off_is_a_gap(store: CrawlStore, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"

    def swept(text: str) -> SweepStep:
        path.write_text(text)
        return list(sweep(ImportedHub(path), "list", store, lambda: NOON))[-1]

    cut = swept("id,title,sha256\n1,one,\n2,tw")
    assert (cut.finished, "in the middle" in cut.gaps[0]) == (False, True)
    assert swept("id,title,sha256\n1,one,\n2,two,\n3,three,").finished
