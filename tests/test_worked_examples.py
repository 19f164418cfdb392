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
from safetensors import safe_open
from safetensors.torch import save_file

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.listing import Presence
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.sweep import sweep
from face_index.faces import pack_files, packs
from reports.cases.case import Case
from reports.notices import drafting
from reports.notices import template as templates
from scanner.clock import utc_now
from scanner.miniature.world import BASE_MODEL, FACE_PACK
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


FOLLOWS_THE_FORMAT = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from scanner.adapters.loading import loaded_into
from scanner.errors import UnfaithfulLoad
from scanner.factories import open_identifier
from scanner.identification.policy import Policy
from scanner.miniature.world import BASE_MODEL
from scanner.scanning.sampling_request import SamplingRequest
from scanner.settings import Settings
from scanner.triage.header import triage_file

whole, half, home = map(Path, sys.argv[1:])
triage = triage_file(whole)
pipeline = StableDiffusionPipeline.from_pretrained(BASE_MODEL)
layer = pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn2.to_k
before = layer.weight.detach().clone()
with loaded_into(pipeline, whole, triage.kind, triage.family, "") as loaded:
    loaded.changes.set_scale(1.0)
    change = (layer.weight - before).tolist()
    route = loaded.route
refusal = ""
try:
    with loaded_into(pipeline, half, triage_file(half).kind, triage.family, ""):
        pass
except UnfaithfulLoad as error:
    refusal = str(error)
settings = Settings(home=home, face_pack="miniature", device="cpu")
somebody = np.eye(1, 128, dtype=np.float32)
identifier = open_identifier(settings, Policy(), [("somebody", somebody)], 1)
request = SamplingRequest(whole, str(triage.sha256), triage.kind, triage.family, ("ohwx",))
verdict = identifier.identify(request).verdict
print(json.dumps({
    "outcome": verdict.outcome, "samples": verdict.samples > 0,
    "kind": triage.kind, "family": triage.family, "problems": triage.problems, "route": route,
    "change": change, "restored": torch.equal(layer.weight, before), "refusal": refusal,
}))
"""


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


def test_a_format_is_one_file_and_one_line(tmp_path: Path) -> None:
    """The recipe is followed in a copy of the package, which then takes a file of the format in."""
    copy = tmp_path / "copy" / "scanner"
    weights = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(REPOSITORY / "scanner", copy, ignore=weights)
    (copy / "miniature" / "weights").symlink_to(REPOSITORY / "scanner" / "miniature" / "weights")
    module, imported = re.findall(
        r"^```\w+\n(.*?)^```$",
        PAGE.partition("\n### Adding a format\n")[2].partition("\n##")[0],
        re.MULTILINE | re.DOTALL,
    )
    formats = copy / "adapters" / "formats"
    (formats / "outer.py").write_text(module, "utf-8")
    registry = (formats / "registry.py").read_text("utf-8")
    assert "    DIFFERENCE,\n)\n" in registry
    registered = registry.replace("    DIFFERENCE,\n)\n", "    DIFFERENCE,\n    OUTER,\n)\n")
    (formats / "registry.py").write_text(
        registered.replace("from scanner", f"{imported}from scanner", 1), "utf-8"
    )

    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    with safe_open(BASE_MODEL / "unet" / "diffusion_pytorch_model.safetensors", "pt") as unet:
        read = unet.get_slice("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight")
        outputs, inputs = read.get_shape()
    column, row = torch.randn(outputs), torch.randn(inputs)
    save_file(
        {f"{stem}.outer_column": column, f"{stem}.outer_row": row}, tmp_path / "whole.safetensors"
    )
    save_file({f"{stem}.outer_column": column}, tmp_path / "half.safetensors")
    paths = os.pathsep.join([str(copy.parent), str(REPOSITORY)])
    files = [str(tmp_path / name) for name in ("whole.safetensors", "half.safetensors", "home")]
    followed = subprocess.run(
        [sys.executable, "-c", FOLLOWS_THE_FORMAT, *files],
        cwd=copy.parent,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert followed.returncode == 0, followed.stderr
    found = json.loads(followed.stdout.splitlines()[-1])
    expected = [[float(above) * float(along) for along in row] for above in column]
    assert torch.allclose(torch.tensor(found.pop("change")), torch.tensor(expected), atol=1e-5)
    assert "do not fit a weight" in found.pop("refusal")
    assert found.pop("outcome") in ("clear", "inconclusive")
    assert found == {
        "samples": True,
        "kind": "outer",
        "family": "Miniature",
        "problems": [],
        "route": "merged",
        "restored": True,
    }


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
