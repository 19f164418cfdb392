"""The worked examples of CONTRIBUTING.md, run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.listing import Presence
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import sweep
from face_index.faces import pack_files, packs
from reports.cases.case import Case
from reports.notices import drafting
from scanner.adapters import algebra, reading
from scanner.errors import UnfaithfulLoad
from scanner.factories import utc_now
from scanner.miniature.world import FACE_PACK
from tests.cases import AT
from tests.servers.serving import serve_answers
from tests.test_notices import case  # noqa: F401  a fixture

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text("utf-8")


def example(heading: str) -> str:
    """The code below a heading."""
    found = re.search(rf"^### {heading}$.*?^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def run(heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(example(heading), names)
    return names


def test_a_hub(tmp_path: Path) -> None:
    models = [{"id": str(one), "title": f"Model {one}", "file": f"{one}.safetensors", "sha256": "ab" * 32} for one in range(5)]  # fmt: skip

    def answer(
        path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if listed := re.fullmatch(r"/models\?after=(\d*)", path):
            start = int(listed[1]) + 1 if listed[1] else 0
            return (
                200,
                {"Content-Type": "application/json"},
                json.dumps(models[start : start + 2]).encode(),
            )
        there = re.fullmatch(r"/models/[0-4]", path)
        return (200 if there else 404), {"Content-Type": "application/json"}, b"{}"

    transport = Transport(attempts=1, timeout_s=10, destinations=Destinations({"127.0.0.1"}))
    store = CrawlStore(tmp_path / "crawl.db")
    with serve_answers(answer) as url:
        hub = run("Adding a hub")["ExampleHub"](transport, url)
        *_, last = sweep(hub, "example", store, utc_now)
        assert (last.finished, last.listings) == (True, 5)
        assert (hub.look("3"), hub.look("9")) == (Presence.LISTED, Presence.GONE)
    assert next(store.newest("example", "4")).files[0].sha256 == "ab" * 32
    store.close()
    transport.close()


def test_a_format(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Adding a format")
    for mark, change in names["ALGORITHM"].items():
        monkeypatch.setitem(algebra._ALGORITHMS, mark, change)
    monkeypatch.setattr(reading, "_ENDINGS", (*names["ENDINGS"], *reading._ENDINGS))
    column, row, weight = (
        torch.randn(6).double(),
        torch.randn(4).double(),
        torch.randn(6, 4).double(),
    )
    file = {"lora_unet_mid.outer_column": column, "lora_unet_mid.outer_row": row}
    [parts] = reading.anatomy_of(file, {}).modules.values()
    expected = torch.tensor(
        [[float(a) * float(b) for b in row] for a in column], dtype=torch.float64
    )
    assert torch.allclose(algebra.change_of_weight(parts, weight), expected)
    with pytest.raises(UnfaithfulLoad):
        algebra.change_of_weight({"outer_column": column}, weight)


def test_a_notice(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    folder = tmp_path / "notices" / "templates"
    folder.mkdir(parents=True)
    with resources.as_file(resources.files("reports").joinpath("notices/fields.toml")) as fields:
        shutil.copy(fields, tmp_path / "notices")
    (folder / "example.toml").write_text(example("Adding a notice"), "utf-8")
    for cached in (drafting.template, drafting.template_names):
        cached.cache_clear()
    monkeypatch.setattr(drafting.resources, "files", lambda _: tmp_path)
    try:
        given = {
            "recipient": "Example",
            "right_holder": "Lin Yue",
            "signature": "/s/",
            "urls": "https://example.org/1",
        }
        made = drafting.draft_notice("example", case, given, AT)
    finally:
        for cached in (drafting.template, drafting.template_names):
            cached.cache_clear()
    assert "Lin Yue asks for the removal of https://example.org/1" in made.text
    assert case.checkpoint.sha256 in made.text


def test_a_face_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry = {**packs.known_packs(), **tomllib.loads(example("Adding a face pack"))}
    monkeypatch.setattr(pack_files, "known_packs", lambda: registry)
    pack = pack_files.find_pack("example", tmp_path, {"example": FACE_PACK})
    assert (pack.name, pack.folder, pack.detection_size, pack.commercial) == (
        "example",
        FACE_PACK,
        (128, 128),
        True,
    )
