"""Families with a UNet, by the width of the text states that it reads, or by a text encoder."""

from __future__ import annotations

import re

from scanner.adapters.formats.definition import Shapes
from scanner.adapters.kinds import down_shapes, has_name
from scanner.adapters.module_sizes import sizes_of_modules
from scanner.adapters.tensor_names import part_of

# Width of the text states that cross-attention reads.
CROSS_ATTENTION_FAMILIES = {
    64: "Miniature",
    768: "SD1",
    1024: "SD2",
    2048: "SDXL",
    1280: "SDXL refiner",
}
_BLOCKS = r"(down|up|mid|input|output|middle)_blocks?"
_READERS = rf"{_BLOCKS}.*attn2[._](to_k|to_v|processor[._](to_)?[kv]_lora|processor\.to_[kv])"
_NUMBERED = r"^unet:\d+:"
# Layers of a language model, whose names have the same prefixes as CLIP's.
_NO_CLIP = r"encoder[._]block[._]|SelfAttention|gate_proj|up_proj|self_attn[._]o_proj"
_ENCODER = r"^(base_model\.model\.)?(lora_te\d?_|lycoris_te\d?_|text_encoder(_\d)?[.:])"


def unet_families(shapes: Shapes) -> tuple[str, ...]:
    """The families whose UNet a file changes, the likeliest first; none if they are not known."""
    if has_name(shapes, r"^lora_prior_unet_"):
        return ("Stable Cascade",)
    if not has_name(shapes, rf"{_BLOCKS}[._]|{_NUMBERED}"):
        return ()
    if has_name(shapes, r"temporal_transformer_blocks"):
        return ("SVD",)
    if has_name(shapes, r"encoder_hid_proj"):
        return ("Kolors",)
    read = _widths_read(shapes)
    family = next((name for width, name in CROSS_ATTENTION_FAMILIES.items() if width in read), None)
    depth = _depth(shapes)
    # Only the SDXL group stacks transformer blocks. SSD-1B has four at most and none in the middle.
    if family is None and depth > 0:
        family = "SDXL"
    if family == "SDXL" and depth == 3 and not has_name(shapes, r"mid(dle)?_block"):
        return ("SSD-1B", "SDXL")
    if family is not None:
        return (family,)
    if has_name(
        shapes, r"lora_te2_|text_encoder_2\.|lora_unet_(in|out)put_blocks_[4578]_1_transformer"
    ):
        return ("SDXL",)
    return _families_of_outputs(shapes)


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


def _depth(shapes: Shapes) -> int:
    found = (re.search(rf"{_BLOCKS}.*transformer_blocks[._](\d+)", name) for name in shapes)
    return max((int(match[2][:9]) for match in found if match), default=-1)


def _widths_read(shapes: Shapes) -> set[int]:
    downs = {name: shape for name, shape in down_shapes(shapes).items() if len(shape) > 1}
    read = {shape[1] for name, shape in downs.items() if re.search(_READERS, name)}
    if read & CROSS_ATTENTION_FAMILIES.keys():
        return read
    # cloneofsimo numbers its layers; the input width shows which are cross-attention.
    numbered = {shape[1] for name, shape in downs.items() if re.match(_NUMBERED, name)}
    for width in (2048, 1024, 768):
        if width in numbered:
            return {width}
    return _factored_widths(shapes)


def _factored_widths(shapes: Shapes) -> set[int]:
    """Input widths of the layers that read text, from the factors of LoHa, LoKr and GLoRA."""
    found = set()
    for name, shape in shapes.items():
        if not re.search(_READERS, name) or len(shape) < 2:
            continue
        stem = name.rpartition(".lokr_")[0]
        if name.endswith((".hada_w1_b", ".diff", ".b2.weight", ".a2.weight")):
            found.add(shape[1])
        if name.endswith((".lokr_w1", ".lokr_w1_b")):
            second = shapes.get(f"{stem}.lokr_w2", shapes.get(f"{stem}.lokr_w2_b", (0, 0)))
            found.add(shape[1] * second[1] if len(second) > 1 else 0)
    if not found:  # of any other format
        readers = {
            name: shape
            for name, shape in shapes.items()
            if re.search(_READERS, name) and _is_of_other_format(name)
        }
        found = {width for _, width in sizes_of_modules(readers).values() if width is not None}
    return found


def _is_of_other_format(name: str) -> bool:
    found = part_of(name)
    return found is not None and not found[1].startswith(("hada_", "lokr_"))


# Output widths of attention layers; SD1 and SD2 share theirs.
_ATTENTION = rf"(^|[._])(unet_)?{_BLOCKS}.*attn[12][._]to_"


def _families_of_outputs(shapes: Shapes) -> tuple[str, ...]:
    """The families by the outputs of attention layers; OFT and IA3 files have no input width."""
    outputs: set[int] = set()
    for name, shape in shapes.items():
        if re.search(_ATTENTION, name):
            if name.endswith(".oft_blocks") and len(shape) > 2:
                outputs.add(shape[-3] * shape[-2])
            elif name.endswith(".weight") and f"{name.removesuffix('.weight')}.on_input" in shapes:
                outputs.add(max(shape, default=0))
    if outputs & {64, 128} and not outputs & {640, 1280}:
        return ("Miniature",)
    return ("SD1", "SD2") if outputs & {320, 640, 1280} else ()


# Self-attention that only a UNet of four levels has; SDXL's has three, the first without it.
_FOUR_LEVELS = (
    r"(down_blocks[._]0|up_blocks[._]3)[._]attentions|input_blocks[._][12][._]1[._]"
    r"|output_blocks[._](9|1[01])[._]1[._]"
)


def self_attention_families(shapes: Shapes) -> tuple[str, ...]:
    """The families that have all self-attention layers that a file changes.

    SD1 and SD2 differ only in cross-attention, and have every layer that SDXL has once.
    """
    attention = {name: shape for name, shape in shapes.items() if re.search(_ATTENTION, name)}
    if not {size for shape in attention.values() for size in shape} & {320, 640, 1280}:
        return ()
    return ("SD1", "SD2") if has_name(attention, _FOUR_LEVELS) else ("SD1", "SD2", "SDXL")
