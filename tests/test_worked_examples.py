"""The worked examples of CONTRIBUTING.md are run exactly as they are printed there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
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
from reports.notices import template as templates
from scanner.adapters import algebra, reading
from scanner.clock import utc_now
from scanner.errors import UnfaithfulLoad
from scanner.miniature.world import FACE_PACK
from tests.cases import AT
from tests.servers.serving import Answer, as_json, serve_answers
from tests.test_notices import case  # noqa: F401  a fixture

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")


def examples(heading: str) -> list[str]:
    """The blocks of code below a heading."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    found = re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found


def example(heading: str) -> str:
    """The first block of code below a heading."""
    return examples(heading)[0]


def run(heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(example(heading), names)
    return names


class ExampleServer:
    """The protocol of the example's hub, with files of real weights, behind a token."""

    def __init__(self, lora: Path) -> None:
        self.file = lora.read_bytes()
        self.sha256 = hashlib.sha256(self.file).hexdigest()
        self.tokens: set[str | None] = set()

    def __call__(self, path: str, headers: dict[str, str], _body: bytes) -> Answer:
        self.tokens.add(headers.get("Authorization"))
        if listed := re.fullmatch(r"/models\?after=(\d*)", path):
            start = int(listed[1]) + 1 if listed[1] else 0
            return as_json([self.model(number) for number in range(start, min(start + 2, 5))])
        if re.fullmatch(r"/files/[0-4]\.safetensors", path):
            return self.piece(headers.get("Range", "bytes=0-"))
        return as_json({}, 200 if re.fullmatch(r"/models/[0-4]", path) else 404)

    def model(self, number: int) -> dict[str, str]:
        return {
            "id": str(number),
            "title": f"Model {number}",
            "file": f"{number}.safetensors",
            "sha256": self.sha256,
        }

    def piece(self, asked: str) -> Answer:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        end = min(int(last or len(self.file)) + 1, len(self.file))
        place = f"bytes {first}-{end - 1}/{len(self.file)}"
        return 206, {"Content-Range": place}, self.file[int(first) : end]


def test_a_hub(tmp_path: Path, make_lora: Callable[..., Path]) -> None:
    transport = Transport(attempts=1, timeout_s=10, destinations=Destinations({"127.0.0.1"}))
    store = CrawlStore(tmp_path / "crawl.db")
    server = ExampleServer(make_lora())
    with serve_answers(server) as url:
        hub = run("Adding a hub")["ExampleHub"](transport, url)
        *_, last = sweep(hub, "example", store, utc_now)
        assert (last.finished, last.listings) == (True, 5)
        assert (hub.check_presence("3"), hub.check_presence("9")) == (
            Presence.LISTED,
            Presence.GONE,
        )
    assert next(store.newest("example", "4")).files[0].sha256 == server.sha256
    store.close()
    transport.close()


def test_a_hub_is_one_file_and_one_line(tmp_path: Path, make_lora: Callable[..., Path]) -> None:
    """The recipe is followed in a copy of the package, which the command line then uses."""
    copy = tmp_path / "copy" / "crawlers"
    shutil.copytree(REPOSITORY / "crawlers", copy, ignore=shutil.ignore_patterns("__pycache__"))
    file, line = examples("Adding a hub")
    (copy / "hubs" / "example.py").write_text(file, "utf-8")
    registry = (copy / "hubs" / "registry.py").read_text("utf-8")
    assert "_MODULES = (\n" in registry
    added = registry.replace("_MODULES = (\n", f"_MODULES = (\n{line}")
    (copy / "hubs" / "registry.py").write_text(added, "utf-8")

    def command(*arguments: str, token: str = "PORTRAIT_SCANNER_EXAMPLE_TOKEN") -> Any:
        paths = os.pathsep.join([str(copy.parent), str(REPOSITORY)])
        return subprocess.run(
            [sys.executable, "-m", "scanner.cli.app", "--home", str(tmp_path / "home"), *arguments],
            cwd=copy.parent,
            env={**os.environ, "PYTHONPATH": paths, token: "a-token"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    lora = make_lora(metadata={"ss_output_name": "a likeness", "ss_base_model_version": "sd_v1"})
    server = ExampleServer(lora)
    with serve_answers(server) as url:
        crawled = command("crawl", f"example={url}", "--triage")
        assert crawled.returncode == 0, crawled.stderr
    assert server.tokens == {"Bearer a-token"}
    found = json.loads(command("listings", "--hub", "example", "--json").stdout)["listings"]
    assert {listing["listing_id"] for listing in found} == set("01234")
    [triage] = json.loads(command("listings", "example:3", "--json").stdout)["triages"]
    assert (triage["name"], triage["kind"], triage["family"]) == ("3.safetensors", "lora", "SD1")
    known = {hub["hub"]: hub for hub in json.loads(command("hubs", "--json").stdout)["hubs"]}
    assert known["example"] == {
        "hub": "example",
        "address": "https://models.example.org",
        "types": "",
        "token": True,
    }
    refused = command("hubs", token="PORTRAIT_SCANNER_EXMAPLE_TOKEN")
    assert refused.returncode == 2
    assert (
        "exmaple_token belongs to no hub; known are example_token, civitai_token" in refused.stderr
    )


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
    for cached in (templates.template, templates.template_names):
        cached.cache_clear()
    monkeypatch.setattr(templates.resources, "files", lambda _: tmp_path)
    try:
        given = {
            "recipient": "Example",
            "right_holder": "Lin Yue",
            "signature": "/s/",
            "urls": "https://example.org/1",
        }
        made = drafting.draft_notice("example", case, given, AT)
    finally:
        for cached in (templates.template, templates.template_names):
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
