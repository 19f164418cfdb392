"""ModelScope repositories with files on other branches than master: found, or noted as unknown."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.http.transport import Transport
from crawlers.hubs.modelscope import ModelScopeHub
from crawlers.listing import Listing
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import SweepStep, sweep
from tests.conftest import NOON
from tests.servers.serving import Answer, as_json, serve_answers

Files = dict[str, bytes]
README: Files = {"README.md": b"# x"}
WEIGHTS: Files = {"person.safetensors": b"\0\1weights" * 99}


class Hub:
    """One repository with files by branch and by tag.

    Args:
        named: the revisions that the hub names: all of them, only the default, or none.
    """

    def __init__(
        self, branches: dict[str, Files], tags: dict[str, Files] | None = None, named: str = "all"
    ) -> None:
        self.branches, self.tags, self.named = branches, tags or {}, named
        self.silent, self.asked = 0, Counter[str]()

    def __call__(self, path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        place = unquote(url.path)
        self.asked[place] += 1
        if place == "/openapi/v1/models":
            found = [
                {"id": "maker/repo", "display_name": "x", "last_modified": "2026-01-01T00:00:00Z"}
            ]
            return as_json({"success": True, "data": {"models": found, "total_count": 1}})
        if place.endswith("/revisions"):
            by_kind = {"Branches": self.branches, "Tags": self.tags}
            told = {
                kind: [{"Revision": name, "CreatedAt": 1} for name in names]
                for kind, names in by_kind.items()
            }
            return self.data({"RevisionMap": told}) if self.named == "all" else self.refused()
        if place == "/api/v1/models/maker/repo":
            default = {"Revision": next(iter(self.branches))}
            return self.refused() if self.named == "nothing" else self.data(default)
        every = {**self.branches, **self.tags}
        files = every.get(query.get("Revision", next(iter(self.branches))), {})
        if place.endswith("/repo/files"):
            self.silent -= 1
            return self.data({"Files": [] if self.silent >= 0 else list(map(entry, files.items()))})
        return (200, {}, files[query["FilePath"]]) if query["FilePath"] in files else self.refused()

    def data(self, data: Any) -> Answer:
        return as_json({"Code": 200, "Success": True, "Message": "success", "Data": data})

    def refused(self) -> Answer:
        return as_json({"Code": 404, "Success": False, "Message": "not found"}, 404)


def entry(file: tuple[str, bytes]) -> dict[str, Any]:
    return {
        "Name": file[0],
        "Path": file[0],
        "Type": "blob",
        "Size": len(file[1]),
        "Sha256": hashlib.sha256(file[1]).hexdigest(),
    }


def swept(
    hub: Hub, transport: Transport, store: CrawlStore
) -> tuple[list[SweepStep], Listing, str]:
    with serve_answers(hub) as url:
        steps = list(sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON))
    [listing] = store.newest("modelscope", "maker/repo")
    return steps, listing, url


@pytest.mark.parametrize("named", ["all", "default", "nothing"])
@pytest.mark.parametrize("branch", ["master", "main", "v1.0", "feature/Ü x"])
def test_the_files_of_the_own_branch_are_listed_and_can_be_fetched(
    transport: Transport, store: CrawlStore, tmp_path: Any, branch: str, named: str
) -> None:
    hub = Hub({branch: README | WEIGHTS}, named=named)
    with serve_answers(hub) as url:
        [step, *_] = sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON)
        [listing] = store.newest("modelscope", "maker/repo")
        [file] = listing.files
        assert (file.name, file.sha256) == (
            "person.safetensors",
            hashlib.sha256(WEIGHTS["person.safetensors"]).hexdigest(),
        )
        assert (
            CheckpointStore(tmp_path / "kept", 10**9).obtain(transport, file).sha256 == file.sha256
        )
    assert step.notes == ()


def test_every_branch_and_tag_is_read_and_the_same_file_counts_once(
    transport: Transport, store: CrawlStore
) -> None:
    other = {"person.safetensors": b"other" * 99}
    hub = Hub(
        {"dev": other | README, "master": README | WEIGHTS},
        {"v1": WEIGHTS, "v0": {"old.safetensors": b"o" * 99}},
    )
    _, listing, url = swept(hub, transport, store)
    assert {file.name: file.url.removeprefix(url) for file in listing.files} == {
        "person.safetensors": (
            "/api/v1/models/maker/repo/repo?Revision=master&FilePath=person.safetensors"
        ),
        "dev/person.safetensors": (
            "/api/v1/models/maker/repo/repo?Revision=dev&FilePath=person.safetensors"
        ),
        "old.safetensors": "/api/v1/models/maker/repo/repo?Revision=v0&FilePath=old.safetensors",
    }


def test_weights_beside_a_master_that_has_none_are_found(
    transport: Transport, store: CrawlStore
) -> None:
    _, listing, _ = swept(Hub({"master": README, "release": WEIGHTS}), transport, store)
    assert [file.name for file in listing.files] == ["person.safetensors"]


@pytest.mark.parametrize("named", ["all", "default", "nothing"])
def test_a_repository_without_a_single_file_is_not_known_to_be_empty(
    transport: Transport, store: CrawlStore, named: str
) -> None:
    steps, _, _ = swept(Hub({"master": {}}, named=named), transport, store)
    assert any("shows no file in any revision" in note for step in steps for note in step.notes)
    assert store.db.execute("select revision from presence").fetchone()[0] is None


def test_one_with_other_files_only_is_complete(transport: Transport, store: CrawlStore) -> None:
    steps, listing, _ = swept(Hub({"main": README}), transport, store)
    assert ([note for step in steps for note in step.notes], listing.files) == ([], ())


def test_an_empty_answer_for_a_revision_that_is_there_is_asked_for_again(
    transport: Transport, store: CrawlStore
) -> None:
    hub = Hub({"main": WEIGHTS})
    hub.silent = 3
    steps, listing, _ = swept(hub, transport, store)
    assert (len(listing.files), steps[0].notes) == (1, ())


def test_a_branch_that_stays_empty_is_noted_beside_one_with_files(
    transport: Transport, store: CrawlStore
) -> None:
    steps, listing, _ = swept(Hub({"main": WEIGHTS, "dev": {}}), transport, store)
    assert (len(listing.files), steps[0].notes) == (1, ("maker/repo: revision dev shows no file",))


def test_more_revisions_than_are_read_are_noted(transport: Transport, store: CrawlStore) -> None:
    steps, listing, _ = swept(
        Hub({f"b{number}": WEIGHTS for number in range(20)}), transport, store
    )
    assert (len(listing.files), steps[0].notes) == (
        1,
        ("maker/repo: of its 20 revisions 8 were read",),
    )


def test_a_list_that_the_hub_cuts_is_read_folder_by_folder(
    transport: Transport, store: CrawlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        f"{folder}/{number}.safetensors": b"%d" % number
        for folder in ("a", "b/c")
        for number in range(7)
    }

    def answer(path: str, headers: dict[str, str], body: bytes) -> Answer:
        query = parse_qs(urlsplit(path).query)
        if not urlsplit(path).path.endswith("/repo/files"):
            return Hub({"master": files})(path, headers, body)
        root = query.get("Root", [""])[0]
        below = [name for name in files if name.startswith(f"{root}/" if root else "")]
        if query["Recursive"] == ["True"]:
            return as_json(
                {
                    "Success": True,
                    "Data": {"Files": [entry((name, files[name])) for name in below][:10]},
                }
            )
        rest = {
            name.removeprefix(f"{root}/" if root else "").partition("/")[::2]: name
            for name in below
        }
        here = [entry((name, files[name])) for (_, more), name in rest.items() if not more]
        folders = {f"{root}/{first}".lstrip("/") for first, more in rest if more}
        return as_json(
            {
                "Success": True,
                "Data": {"Files": [*here, *({"Path": one, "Type": "tree"} for one in folders)]},
            }
        )

    monkeypatch.setattr("crawlers.hubs.modelscope_files.MOST_FILES", 10)
    with serve_answers(answer) as url:
        list(sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON))
    [listing] = store.newest("modelscope", "maker/repo")
    assert sorted(file.name for file in listing.files) == sorted(files)


def test_what_was_read_of_master_alone_is_read_again(
    transport: Transport, store: CrawlStore
) -> None:
    hub = Hub({"main": WEIGHTS})
    with serve_answers(hub) as url:
        list(sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON))
        files = hub.asked["/api/v1/models/maker/repo/repo/files"]
        list(sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON))
        assert hub.asked["/api/v1/models/maker/repo/repo/files"] == files
        with store.transaction():
            # The state that an earlier version of this program left.
            store.db.execute("update presence set revision = '2026-01-01T00:00:00Z'")
        list(sweep(ModelScopeHub(transport, url, ["lora"]), "ms", store, lambda: NOON))
        assert hub.asked["/api/v1/models/maker/repo/repo/files"] == files + 1
