"""Writes docs/models.md: every model that is told apart, and what is done with its adapters.

Run: python -m tests.list_models
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from scanner.adapters.formats.registry import ADAPTER_KINDS
from scanner.adapters.geometries.build import DATA
from scanner.adapters.geometries.geometry import Geometry, file_name, geometries
from scanner.errors import NotScannable
from scanner.sampling.base_models import Declared, choose_base_model

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
_NAMES = DATA.parent / "original_names.toml"
_HEAD = """# Models

Every model whose adapters are told apart by their tensors, the likeliest first. `python -m
tests.list_models` writes this page from `scanner/adapters/geometries` and
`scanner/sampling/base_models.toml`.

**Own names.** Adapters in the names of diffusers, PEFT, kohya, OneTrainer and LyCORIS are read for
every model. "yes" says that the paths of the model's original code are read too, which many
trainers write; "the same" that they do not differ.

**Kinds.** These are merged alike in all names: {kinds}.

**Drawn on.** Adapters of a model without a base model are `failed` with the model's name, unless
`--base-model` names one. A model "like" another one has the same modules: its adapters count as
those of the other, unless a header or a listing names it or they change what only it has.

| model | parameters | class of diffusers | own names | drawn on | steps, guidance |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    named = set(tomllib.loads(_NAMES.read_text("utf-8")))
    head = _HEAD.format(kinds=", ".join(sorted(ADAPTER_KINDS)))
    return head + "".join(_row(model, named) for model in geometries())


def _row(model: Geometry, named: set[str]) -> str:
    stored = json.loads((DATA / file_name(model.name)).read_text("utf-8"))
    size = f"{stored['parameters'] / 1e9:.2g}B"
    has_originals = model.model_class in named or model.model_class == "UNet2DConditionModel"
    names = "yes" if has_originals else "the same"
    declared = Declared(model=model.name if model.name != model.family else None)
    try:
        base = choose_base_model(model.family, None, declared)
        place = "shipped" if "/weights/" in base.location else base.location
        drawn, how = place, f"{base.evidence.steps}, {base.evidence.guidance:g}"
    except NotScannable:
        drawn, how = "–", "–"
    twin = f" (like {model.twin_of})" if model.twin_of else ""
    return f"| {model.name}{twin} | {size} | `{model.model_class}` | {names} | {drawn} | {how} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
