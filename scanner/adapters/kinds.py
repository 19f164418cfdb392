"""The kind of a checkpoint, from the endings of its tensors' names.

Sources: LyCORIS weight_list_det, InvokeAI's model probe, kohya sd-scripts, diffusers' converters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scanner.adapters.embedding_names import table_of
from scanner.adapters.tensor_names import part_of

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "unknown"
ADAPTER_KINDS = ("lora", "locon", "loha", "lokr", "dora", "ia3", "glora", "oft", "boft", "full-diff")

_PARTNERS = (
    (".lora_down.", ".lora_up."),
    ("_lora_down.", "_lora_up."),
    (".lora_A.", ".lora_B."),
    (".down.", ".up."),
    (":down", ":up"),
)


def unpaired(shapes: Shapes) -> list[str]:
    """Low-rank tensors whose other half is missing: loaders fill it with zeros and say nothing."""
    alone = []
    for name in (name for name in shapes if not name.endswith(".bias")):
        for down, up in _PARTNERS:
            for here, there in ((down, up), (up, down)):
                if here in name and name.replace(here, there) not in shapes:
                    alone.append(name)
    return alone


def _ends(*endings: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.endswith(endings) for name in shapes)


def _starts(*starts: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.startswith(starts) for name in shapes)


def _is_convolutional(shapes: Shapes) -> bool:
    wide = any(len(shape) == 4 and shape[2] > 1 for shape in down_shapes(shapes).values())
    return wide or _ends(".lora_mid.weight")(shapes)


def _is_weight_decomposed(shapes: Shapes) -> bool:
    return bool(down_shapes(shapes)) and any((part_of(name) or ("", ""))[1] == "dora_scale" for name in shapes)


def _is_diffusers_unet(shapes: Shapes) -> bool:
    return _ends("conv_in.weight")(shapes) and has_name(shapes, r"down_blocks\.")


def _is_textual_inversion(shapes: Shapes) -> bool:
    if any(table_of(name) is not None for name in shapes):
        return True
    small = 0 < len(shapes) <= 8
    widths = {64, 768, 1024, 1280}
    return small and all(
        len(shape) in (1, 2) and shape[-1] in widths and "." not in name for name, shape in shapes.items()
    )


# The first rule that holds names the kind; order matters, since DoRA and LoCon are LoRA and more.
_KIND_RULES: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("checkpoint", _starts("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")),
    ("loha", _ends(".hada_w1_a", ".hada_w1_b")),
    ("lokr", _ends(".lokr_w1", ".lokr_w1_a", ".lokr_w2")),
    ("boft", lambda shapes: any(name.endswith(".oft_blocks") and len(shape) == 4 for name, shape in shapes.items())),
    ("oft", lambda shapes: _ends(".oft_diag", ".oft_R.weight")(shapes) or has_name(shapes, r"\.oft_blocks(\.\d+)?$")),
    ("ia3", _ends(".on_input")),
    ("glora", lambda shapes: _ends(".a1.weight")(shapes) and _ends(".b1.weight")(shapes)),
    ("dora", _is_weight_decomposed),
    ("locon", lambda shapes: bool(down_shapes(shapes)) and _is_convolutional(shapes)),
    ("lora", lambda shapes: bool(down_shapes(shapes))),
    ("full-diff", _ends(".diff", ".diff_b", ".w_norm", ".b_norm")),
    ("textual-inversion", _is_textual_inversion),
    ("checkpoint", _is_diffusers_unet),
    (
        "checkpoint",
        lambda shapes: has_name(
            shapes, r"^(model\.)?(double_blocks\.\d+\.img_attn\.qkv|joint_blocks\.\d+\.x_block\.attn\.qkv)\.weight$"
        ),
    ),
)


def kind_of(shapes: Shapes) -> str:
    """What sort of checkpoint the tensors form: one of ADAPTER_KINDS, textual-inversion, checkpoint, unknown."""
    return next((kind for kind, holds in _KIND_RULES if holds(shapes)), UNKNOWN)


def down_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The tensors that lead into the low rank, by name; their second number is the layer's input width."""
    return {
        name: shape
        for name, shape in shapes.items()
        # No adapter that loads has the malformed ending, but it tells what the file was to be.
        if name.endswith("_lora_down.weight") or (part_of(name) or ("", ""))[1] == "lora_down"
    }


def has_name(shapes: Shapes, pattern: str) -> bool:
    """Whether any tensor has a name in which a pattern is found."""
    found = re.compile(pattern).search
    return any(found(name) for name in shapes)
