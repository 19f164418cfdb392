"""The modules of models are those of the real classes, and identify adapters in every naming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils

from scanner.adapters.acceptance import fitting_models
from scanner.adapters.families import find_family
from scanner.adapters.geometries.build import DATA, describe
from scanner.adapters.geometries.geometry import (
    Geometry,
    file_name,
    geometries,
    models,
    place_of,
)
from scanner.adapters.geometries.original_names import original_modules

MODELS = geometries()
BY_NAME = {model.name: model for model in MODELS}
Size = tuple[int | None, int | None]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_files_say_what_the_real_classes_have(name: str) -> None:
    stored = json.loads((DATA / file_name(name)).read_text("utf-8"))
    assert describe(models()[name]) == stored


def test_every_file_is_of_a_model() -> None:
    assert {path.name for path in DATA.glob("*.json")} == {file_name(name) for name in BY_NAME}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_flat_and_dotted_paths_mean_the_same_module(model: Geometry) -> None:
    for path, size in model.paths().items():
        assert size in model.sizes(*place_of(path), flat=False)
        flat = path.replace(".", "_")
        assert size in model.sizes(*place_of(flat, flat=True), flat=True), path


# Sets of modules that people train, as predicates of a path.
PARTS: dict[str, Callable[[str], bool]] = {
    "all blocks": lambda path: place_of(path)[0] != "",
    "all with embedders": lambda path: True,
    "attention": lambda path: ".attn" in path or "attention" in path,
    "feed-forward": lambda path: ".ff" in path or "mlp" in path or "feed_forward" in path,
    "first block": lambda path: place_of(path)[:2] == ("transformer_blocks", 0),
}
NAMINGS: dict[str, Callable[[str], tuple[str, str]]] = {
    "diffusers": lambda path: (
        f"transformer.{path}.lora_A.weight",
        f"transformer.{path}.lora_B.weight",
    ),
    "PEFT, named": lambda path: (
        f"base_model.model.{path}.lora_A.x.weight",
        f"base_model.model.{path}.lora_B.x.weight",
    ),
    "kohya": lambda path: tuple(
        f"lora_unet_{path.replace('.', '_')}.lora_{half}.weight" for half in ("down", "up")
    ),  # type: ignore[dict-item, return-value]
}


def originals(model: Geometry) -> dict[str, Size]:
    """The paths of the original code; those that it shares with the class, as in the class."""
    found: dict[str, Size] = {}
    for place, some in model.originals.items():
        for blocks in some:
            for number in range(blocks.first, blocks.last + 1):
                for rest, (size, *_) in blocks.modules.items():
                    if not rest.endswith(("to_qkv", "to_added_qkv")):
                        found[f"{place}.{number}.{rest}" if place else rest] = size
    return found


def accepting(sizes: dict[str, Size], *, flat: bool) -> set[str]:
    """The models that have every module, looked up one by one in their whole tables."""
    found = set()
    for model in MODELS:
        table: dict[str, list[Size]] = {}
        for paths in (model.paths(), originals(model)):
            for path, size in paths.items():
                table.setdefault(path.replace(".", "_") if flat else path, []).append(size)
        if all(
            size in table.get(path.replace(".", "_") if flat else path, [])
            for path, size in sizes.items()
        ):
            found.add(model.name)
    return found


def shapes_of(sizes: dict[str, Size], naming: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for path, (outputs, inputs) in sizes.items():
        if not outputs or not inputs:
            continue  # a norm
        down, up = NAMINGS[naming](path)
        shapes |= {down: (4, inputs), up: (outputs, 4)}
    return shapes


def related(names: set[str]) -> set[str]:
    """The models and those that are preferred to them."""
    return names | {str(BY_NAME[name].twin_of) for name in names if BY_NAME[name].twin_of}


@pytest.mark.slow
@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("spelling", ["class", "original"])
@pytest.mark.parametrize("part", PARTS)
def test_an_adapter_fits_exactly_the_models_that_have_all_its_modules(
    part: str, spelling: str, naming: str
) -> None:
    """The confusion table of all models: right if one fits, and all that fit otherwise."""
    told = 0
    for model in MODELS:
        paths = model.paths() if spelling == "class" else originals(model)
        sizes = {path: size for path, size in paths.items() if size[1] and PARTS[part](path)}
        if not sizes:
            continue
        fits = {one.name for one in fitting_models(shapes_of(sizes, naming))}
        wanted = accepting(sizes, flat=naming == "kohya")
        assert model.name in wanted
        assert fits <= wanted, model.name
        assert wanted <= related(fits) | twins_of(fits), model.name
        finding = find_family(shapes_of(sizes, naming), {})
        if finding.problem is None:
            told += 1
            expected = {model.family, BY_NAME[model.twin_of or model.name].family}
            assert finding.family in expected, model.name
    assert told or (part, spelling) == ("first block", "original")


def twins_of(names: set[str]) -> set[str]:
    """The models that are passed over for these."""
    return {model.name for model in MODELS if model.twin_of in names}


# Rows of a table that was made with other code, from the same classes: a file of the first model
# goes into each of the others without an error.
SHARED: list[tuple[str, str, set[str]]] = [
    ("Flux.1", "transformer_blocks.#.attn.to_q", {"Flux.1", "Chroma", "Qwen-Image"}),
    ("Flux.2 Klein 4B", "transformer_blocks.#.attn.to_q", {"Flux.1", "Qwen-Image", "Ovis"}),
    ("MageFlow", "transformer_blocks.#.img_mlp.net.0.proj", {"MageFlow", "Qwen-Image"}),
    ("LTX-Video 13B", "transformer_blocks.#.attn1.to_q", {"LTX-Video 13B", "LTX-2"}),
    ("SD3 Medium", "transformer_blocks.#.attn.to_q", {"SD3 Medium", "SD3.5 Medium"}),
    ("Qwen-Image-2.1", "transformer_blocks.#.img_mlp.gate_layer", {"Qwen-Image-2.1"}),
    ("Krea2", "transformer_blocks.#.attn.to_gate", {"Krea2"}),
    ("CogVideoX 5B", "transformer_blocks.#.attn1.to_q", {"CogVideoX 5B", "Mochi"}),
]


@pytest.mark.parametrize(("name", "path", "families"), SHARED, ids=[row[0] for row in SHARED])
def test_known_confusions_are_seen(name: str, path: str, families: set[str]) -> None:
    model = BY_NAME[name]
    before, after = path.split("#")
    sizes = {
        one: size
        for one, size in model.paths().items()
        if one.startswith(before) and one.endswith(after) and place_of(one)[1] < 4
    }
    assert sizes
    assert families <= {one.name for one in fitting_models(shapes_of(sizes, "diffusers"))}


def test_nothing_of_a_file_has_to_be_known_by_a_model(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"somewhere.else.lora_A.weight": (4, 8)}
    assert fitting_models(unknown) == ()


class Complete(dict[str, torch.Tensor]):
    """A checkpoint that has every bias and norm that a conversion asks for."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def pop(self, key: str, default: Any = None) -> Any:
        rows = self.rows.get(f"{key.removesuffix('.bias')}.weight", 1)
        return super().pop(key, torch.zeros(rows, 1) if default is None else default)


CONVERSIONS = {
    "Flux.1": "convert_flux_transformer_checkpoint_to_diffusers",
    "Flex.1": "convert_flux_transformer_checkpoint_to_diffusers",
    "Chroma": "convert_chroma_transformer_checkpoint_to_diffusers",
    "Flux.2 Klein 4B": "convert_flux2_transformer_checkpoint_to_diffusers",
    "SD3 Medium": "convert_sd3_transformer_checkpoint_to_diffusers",
    "SD3.5 Medium": "convert_sd3_transformer_checkpoint_to_diffusers",
    "Wan 14B": "convert_wan_transformer_to_diffusers",
    "Wan 14B image": "convert_wan_transformer_to_diffusers",
    "Wan VACE 1.3B": "convert_wan_transformer_to_diffusers",
    "Z-Image": "convert_z_image_transformer_checkpoint_to_diffusers",
    "Lumina2": "convert_lumina2_to_diffusers",
    "HunyuanVideo": "convert_hunyuan_video_transformer_to_diffusers",
    "Anima": "convert_cosmos_transformer_checkpoint_to_diffusers",
    "Krea2": "convert_krea2_transformer_checkpoint_to_diffusers",
    "LTX-Video 2B": "convert_ltx_transformer_checkpoint_to_diffusers",
    "LTX-2": "convert_ltx2_transformer_to_diffusers",
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_original_modules_mean_the_rows_that_diffusers_converts_them_to(name: str) -> None:
    """Row by row: each row of an original weight has a number of its own.

    diffusers' conversion of whole checkpoints exchanges halves and divides fused modules.
    """
    model = BY_NAME[name]
    sizes = model.paths()
    matrices = {path for path, (_, inputs) in sizes.items() if inputs}
    named = {
        original: pieces
        for original, pieces in original_modules(model.model_class, matrices)
        if not original.endswith(("to_qkv", "to_added_qkv")) and "processor" not in original
    }
    meant = {path for pieces in named.values() for path, _, _ in pieces}
    checkpoint, wanted, first = Complete(), dict[str, torch.Tensor](), 0
    for original, pieces in [
        *named.items(),
        *((path, ((path, None, 1),)) for path in sorted(matrices - meant)),
    ]:
        rows = [int(sizes[path][0] or 0) // parts for path, _, parts in pieces]
        numbers = torch.arange(first, first + sum(rows), dtype=torch.float64)[:, None]
        first += sum(rows)
        checkpoint[f"{original}.weight"] = numbers
        checkpoint.rows[f"{original}.weight"] = sum(rows)
        for (path, part, parts), own in zip(pieces, numbers.split(rows), strict=True):
            place = wanted.setdefault(f"{path}.weight", torch.zeros(len(own) * parts, 1).double())
            start = (part or 0) * len(own)
            place[start : start + len(own)] = own
    converted = getattr(single_file_utils, CONVERSIONS[name])(checkpoint)
    for path, rows in wanted.items():
        assert torch.equal(converted[path].reshape(-1, 1).double(), rows), path
