"""Families with a UNet, where no module's path tells them: numbered layers and text encoders."""

from __future__ import annotations

import re

from scanner.adapters.formats.definition import Shapes
from scanner.adapters.kinds import down_shapes, has_name

# Width of the text states that cross-attention reads.
CROSS_ATTENTION_FAMILIES = {
    64: "Miniature",
    768: "SD1",
    1024: "SD2",
    2048: "SDXL",
    1280: "SDXL refiner",
}
_NUMBERED = r"^unet:\d+:"
# Layers of a language model, whose names have the same prefixes as CLIP's.
_NO_CLIP = (
    r"encoder[._]block[._]|SelfAttention|gate_proj|up_proj|self_attn[._]o_proj"
    r"|(?<!encoder[._])layers[._]\d"
)
_ENCODER = r"^(base_model\.model\.)?(lora_te\d?_|lycoris_te\d?_|text_encoder(_\d)?[.:])"


def numbered_families(shapes: Shapes) -> tuple[str, ...]:
    """The families of a file that numbers the UNet's layers, as cloneofsimo's trainer does.

    The input width shows which layers read text.
    """
    numbered = {
        shape[1]
        for name, shape in down_shapes(shapes).items()
        if len(shape) > 1 and re.match(_NUMBERED, name)
    }
    widths = (width for width in (2048, 1024, 768) if width in numbered)
    return tuple(CROSS_ATTENTION_FAMILIES[width] for width in widths)[:1]


def encoder_families(shapes: Shapes) -> tuple[str, ...]:
    """The families of a file that changes only CLIP text encoders, which many families share."""
    if (
        not shapes
        or not all(re.search(_ENCODER, name) for name in shapes)
        or has_name(shapes, _NO_CLIP)
    ):
        return ()
    if has_name(shapes, r"te2_|text_encoder_2\."):
        return ("SDXL", "SD3", "HiDream")
    widths = {
        shape[1]
        for name, shape in down_shapes(shapes).items()
        if not re.search(r"te\d_", name) and len(shape) > 1
    }
    if not widths:
        return ()
    family = {64: "Miniature", 768: "SD1", 1024: "SD2"}.get(min(widths))
    if family == "SD1" and has_name(shapes, r"text_encoder\."):
        return ("SD1", "SDXL", "SD3", "Flux.1")
    return () if family is None else (family,)


def checkpoint_families(shapes: Shapes) -> tuple[str, ...]:
    """The families of a full checkpoint with a UNet."""
    if has_name(shapes, r"^conditioner\.embedders\.1\."):
        return ("SDXL",)
    for name, shape in shapes.items():
        if (
            name.startswith(("model.diffusion_model.", "down_blocks."))
            and name.endswith("attn2.to_k.weight")
            and len(shape) > 1
        ):
            family = CROSS_ATTENTION_FAMILIES.get(shape[1])
            return () if family is None else (family,)
    return ()
