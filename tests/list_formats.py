"""Writes a table into docs/formats.md: which kinds of adapters are merged, by model and naming.

Run: python -m tests.list_formats

Each cell is tried: the file of a single module is made up in that naming, and counts if triage
names its kind and the model accepts the module. Loading is tried in tests/test_every_module.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scanner.adapters.acceptance import fitting_models
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.formats.registry import ADAPTER_KINDS
from scanner.adapters.geometries.geometry import Geometry, geometries
from scanner.adapters.kinds import kind_of
from scanner.errors import NotScannable
from scanner.sampling.base_models import Declared, choose_base_model

PAGE = Path(__file__).parent.parent / "docs" / "formats.md"
_BEGIN, _END = "<!-- begin: python -m tests.list_formats -->\n", "<!-- end -->\n"
_RANK, _BLOCK, _FACTOR = 4, 8, 2
Parts = Callable[[int, int], Shapes]


def _lora(out: int, inner: int) -> Shapes:
    return {"lora_down.weight": (_RANK, inner), "lora_up.weight": (out, _RANK)}


# By kind, the parts of a module with so many outputs and inputs. "locon" is a LoRA of convolutions.
_PARTS: dict[str, Parts] = {
    "lora": _lora,
    "dora": lambda out, inner: {**_lora(out, inner), "dora_scale": (out, 1)},
    "loha": lambda out, inner: {
        "hada_w1_a": (out, _RANK),
        "hada_w1_b": (_RANK, inner),
        "hada_w2_a": (out, _RANK),
        "hada_w2_b": (_RANK, inner),
    },
    "lokr": lambda out, inner: {
        "lokr_w1": (_FACTOR, _FACTOR),
        "lokr_w2": (out // _FACTOR, inner // _FACTOR),
    },
    "oft": lambda out, _: {"oft_blocks": (out // _BLOCK, _BLOCK, _BLOCK)},
    "boft": lambda out, _: {"oft_blocks": (2, out // _BLOCK, _BLOCK, _BLOCK)},
    "ia3": lambda out, _: {"weight": (out, 1), "on_input": ()},
    "glora": lambda out, inner: {
        "a1.weight": (_RANK, inner),
        "a2.weight": (inner, _RANK),
        "b1.weight": (_RANK, inner),
        "b2.weight": (out, _RANK),
    },
    "full-diff": lambda out, inner: {"diff": (out, inner)},
}
# By column: what stands before a path, whether its dots become underscores, and whose paths.
_COLUMNS = {
    "diffusers, PEFT, Comfy, ai-toolkit": ("diffusion_model.", False, False),
    "kohya, OneTrainer, LyCORIS": ("lora_unet_", True, False),
    "own names with dots": ("diffusion_model.", False, True),
    "own names, kohya": ("lora_unet_", True, True),
}


def table() -> str:
    """Return the table with its heading."""
    rows = [
        f"| model | {' | '.join(_COLUMNS)} |",
        "|---" * (len(_COLUMNS) + 1) + "|",
        *(_row(model) for model in geometries() if _is_drawn(model)),
    ]
    kinds = ", ".join(sorted(_PARTS))
    return f"All kinds: {kinds}.\n\n" + "\n".join(rows) + "\n"


def _is_drawn(model: Geometry) -> bool:
    size = model.name if model.name != model.family else None
    try:
        choose_base_model(model.family, None, Declared(model=size))
    except NotScannable:
        return False
    return True


def _row(model: Geometry) -> str:
    return f"| {model.name} | {' | '.join(_cell(model, *how) for how in _COLUMNS.values())} |"


def _cell(model: Geometry, prefix: str, flat: bool, original: bool) -> str:
    """Return the kinds that are merged of a model in one naming."""
    module = _some_module(model, original=original)
    if module is None:
        return "the same"
    path, (out, inner) = module
    stem = prefix + (path.replace(".", "_") if flat else path)
    merged = [
        kind
        for kind, parts in _PARTS.items()
        if _is_told(
            model, kind, {f"{stem}.{part}": size for part, size in parts(out, inner).items()}
        )
    ]
    missing = sorted(set(_PARTS) - set(merged))
    return "all" if not missing else f"all but {', '.join(missing)}"


def _is_told(model: Geometry, kind: str, shapes: Shapes) -> bool:
    names = {one.name for one in fitting_models(shapes)}
    return kind_of(shapes) == kind and not names.isdisjoint({model.name, model.twin_of})


def _some_module(model: Geometry, *, original: bool) -> tuple[str, tuple[int, int]] | None:
    """Return the first attention layer in the blocks of a model, with its outputs and inputs."""
    for place, some in (model.originals if original else model.modules).items():
        for blocks in some:
            for rest, sizes in blocks.modules.items():
                out, inner = sizes[0]
                is_attention = "attn" in f"{place}.{rest}" or "attention" in rest
                if place and is_attention and out and inner and out % (2 * _BLOCK) == 0:
                    return f"{place}.{blocks.first}.{rest}", (out, inner)
    return None


def page() -> str:
    """Return the whole page with the table of today."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    return before + _BEGIN + table() + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    assert set(_PARTS) | {"locon"} == set(ADAPTER_KINDS)
    PAGE.write_text(page(), "utf-8")
