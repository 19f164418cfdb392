"""Kind and family of a checkpoint from tensor names and shapes alone.

Rules: suffixes tell the kind, prefixes the trainer, shapes the base model. Sources: LyCORIS
weight_list_det, InvokeAI's model probe, kohya sd-scripts, diffusers' converters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "unknown"
ADAPTER_KINDS = ("lora", "locon", "loha", "lokr", "dora", "ia3", "glora", "oft", "boft", "full-diff")

# Width of the text states that cross-attention reads, for the UNet families.
CROSS_ATTENTION_FAMILIES = {64: "Miniature", 768: "SD1", 1024: "SD2", 2048: "SDXL"}
_DOWN_ENDINGS = (
    ".lora_down.weight",
    ".lora_A.weight",
    ".lora.down.weight",
    "_lora.down.weight",
    "_lora_down.weight",
    ".lora_linear_layer.down.weight",
    ":down",
)
_PARTNERS = (
    (".lora_down.", ".lora_up."),
    ("_lora_down.", "_lora_up."),
    (".lora_A.", ".lora_B."),
    (".down.", ".up."),
    (":down", ":up"),
)
_EMBEDDING_KEYS = ("emb_params", "string_to_param", "clip_l", "clip_g")


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
    return bool(down_shapes(shapes)) and _ends(
        ".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"
    )(shapes)


def _is_diffusers_unet(shapes: Shapes) -> bool:
    return _ends("conv_in.weight")(shapes) and _has(shapes, r"down_blocks\.")


def _is_textual_inversion(shapes: Shapes) -> bool:
    if any(name in _EMBEDDING_KEYS or name.startswith("string_to_param") for name in shapes):
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
    ("oft", _ends(".oft_blocks", ".oft_diag", ".oft_R.weight")),
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
        lambda shapes: _has(
            shapes, r"^(model\.)?(double_blocks\.\d+\.img_attn\.qkv|joint_blocks\.\d+\.x_block\.attn\.qkv)\.weight$"
        ),
    ),
)


def kind_of(shapes: Shapes) -> str:
    """What sort of checkpoint the tensors form: one of ADAPTER_KINDS, textual-inversion, checkpoint, unknown."""
    return next((kind for kind, holds in _KIND_RULES if holds(shapes)), UNKNOWN)


def down_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The tensors that lead into the low rank, by name; their second number is the layer's input width."""
    found = {name: shape for name, shape in shapes.items() if name.endswith(_DOWN_ENDINGS)}
    # XLabs names its pairs qkv_lora1.down.weight.
    found |= {name: shape for name, shape in shapes.items() if re.search(r"_lora[12]\.down\.weight$", name)}
    return found


def family_of(shapes: Shapes) -> str:
    """The base model's family, `unknown` when the tensors do not say."""
    for decide in (_family_of_checkpoint, _family_of_embedding, _family_of_transformer, _family_of_unet):
        family = decide(shapes)
        if family is not None:
            return family
    return UNKNOWN


def _family_of_checkpoint(shapes: Shapes) -> str | None:
    names = list(shapes)
    if any(name.startswith("conditioner.embedders.1.") for name in names):
        return "SDXL"
    if _has(shapes, r"^(model\.diffusion_model\.)?joint_blocks\.\d+\.x_block\.attn\.qkv\.weight$"):
        return "SD3"
    for name in names:
        if name.startswith(("model.diffusion_model.", "down_blocks.")) and name.endswith("attn2.to_k.weight"):
            return CROSS_ATTENTION_FAMILIES.get(shapes[name][1])
    return None


def _family_of_embedding(shapes: Shapes) -> str | None:
    if "clip_g" in shapes:
        return "SDXL"
    if kind_of(shapes) != "textual-inversion":
        return None
    width = next(iter(shapes.values()))[-1]
    return {64: "Miniature", 768: "SD1", 1024: "SD2", 1280: "SDXL"}.get(width)


def _widths(shapes: Shapes, pattern: str) -> set[int]:
    """Every size of the tensors whose name fits."""
    return {size for name, shape in shapes.items() if re.search(pattern, name) for size in shape}


def _largest_number(shapes: Shapes, pattern: str) -> int:
    return max((int(found[1]) for name in shapes if (found := re.search(pattern, name))), default=-1)


def _has(shapes: Shapes, pattern: str) -> bool:
    return any(re.search(pattern, name) for name in shapes)


def _hidden(*widths: int) -> Callable[[set[int]], bool]:
    return lambda sizes: any(width in sizes for width in widths)


def _family_of_transformer(shapes: Shapes) -> str | None:
    if _has(shapes, r"joint_(transformer_)?blocks?[._]\d"):
        return "SD3"
    if _has(shapes, r"(double|single)_(transformer_)?blocks[._]\d"):
        return _family_of_double_stream(shapes)
    if _has(shapes, r"transformer_blocks[._]\d+[._]attn[._]") and not _has(shapes, r"(down|up|mid)_blocks?"):
        sizes = _widths(shapes, r"transformer_blocks[._]\d+[._]attn[._]")
        if _hidden(1536, 2432)(sizes):
            return "SD3"
        return "Qwen-Image" if 3072 in sizes else None
    if _has(shapes, r"(^|[._])layers[._]\d+[._](attention|adaLN)"):
        sizes = _widths(shapes, r"layers[._]\d")
        return "Z-Image" if 3840 in sizes else "Lumina2" if 2304 in sizes else None
    if not _has(shapes, r"(down|up|mid|input|output|middle)_blocks?"):
        if _has(shapes, r"[._]blocks[._]\d+[._]cross_attn[._](q|k|v|o)_proj") or _has(shapes, r"llm_adapter"):
            return "Anima"
        if _has(shapes, r"[._]blocks[._]\d+[._](self_attn|cross_attn)[._][qkvo]\b"):
            return "Wan"
        if _has(shapes, r"[._]blocks[._]\d+[._]attn[._](wq|wk|wv|wo|gate)\b"):
            return "Krea2"
    return None


def _family_of_double_stream(shapes: Shapes) -> str | None:
    sizes = _widths(shapes, r"(double|single)_(transformer_)?blocks[._]\d")
    singles = _largest_number(shapes, r"single_(?:transformer_)?blocks[._](\d+)")
    doubles = _largest_number(shapes, r"(?<!single_)(?:double_blocks|transformer_blocks)[._](\d+)")
    if 6144 in sizes and 3072 not in sizes:
        return "Flux.2"
    if 3584 in sizes:
        return "HunyuanImage"
    if doubles == 19 and singles == 39:
        return "HunyuanVideo"
    # LoKr factors hide the width: Flux.1's 3072 is 32 x 96 there.
    if 3072 in sizes or {32, 96} <= sizes:
        return "Flux.1"
    return None


def _family_of_unet(shapes: Shapes) -> str | None:
    if _has(shapes, r"lora_te2_|text_encoder_2\.") or _has(
        shapes, r"lora_unet_(in|out)put_blocks_[4578]_1_transformer"
    ):
        return "SDXL"
    readers = r"attn2[._](to_k|to_v|processor[._](to_)?[kv]_lora|processor\.to_[kv])"
    inputs = {shape[1] for name, shape in down_shapes(shapes).items() if re.search(readers, name) and len(shape) > 1}
    for width, family in CROSS_ATTENTION_FAMILIES.items():
        if width in inputs:
            return family
    # cloneofsimo numbers its layers; cross-attention is told by its input width.
    numbered = {shape[1] for name, shape in shapes.items() if re.match(r"unet:\d+:down$", name) and len(shape) > 1}
    for width in (2048, 1024, 768):
        if width in numbered:
            return CROSS_ATTENTION_FAMILIES[width]
    # Other algorithms hide the width in factors, or have only outputs.
    for width in _factored_widths(shapes, readers):
        if width in CROSS_ATTENTION_FAMILIES:
            return CROSS_ATTENTION_FAMILIES[width]
    if told := _family_of_outputs(shapes):
        return told
    encoder = {
        shape[1]
        for name, shape in down_shapes(shapes).items()
        if name.startswith(("lora_te_", "text_encoder.", "text_encoder:")) and len(shape) > 1
    }
    if encoder and len(shapes) == len([name for name in shapes if "te_" in name or "text_encoder" in name]):
        return {64: "Miniature", 768: "SD1", 1024: "SD2"}.get(min(encoder))
    return None


def _factored_widths(shapes: Shapes, readers: str) -> set[int]:
    """Input widths of the layers that read text, from the factors of LoHa, LoKr, GLoRA and full differences."""
    found = set()
    for name, shape in shapes.items():
        if not re.search(readers, name) or len(shape) < 2:
            continue
        stem = name.rpartition(".lokr_")[0]
        if name.endswith((".hada_w1_b", ".diff", ".b2.weight", ".a2.weight")):
            found.add(shape[1])
        if name.endswith((".lokr_w1", ".lokr_w1_b")):
            second = shapes.get(f"{stem}.lokr_w2", shapes.get(f"{stem}.lokr_w2_b", (0, 0)))
            found.add(shape[1] * second[1])
    return found


# Output widths of attention layers; SD1 and SD2 share theirs, and only SDXL stacks transformer blocks.
_ATTENTION = r"(^|[._])(unet_)?(down|up|mid|input|output|middle)_blocks?.*attn[12][._]to_"


def _family_of_outputs(shapes: Shapes) -> str | None:
    """The family by how many outputs its attention layers have, for rotations and scalings, which keep no input width."""
    outputs: set[int] = set()
    for name, shape in shapes.items():
        if re.search(_ATTENTION, name):
            if name.endswith(".oft_blocks"):
                outputs.add(shape[-3] * shape[-2])
            elif name.endswith(".weight") and f"{name.removesuffix('.weight')}.on_input" in shapes:
                outputs.add(max(shape, default=0))
    if outputs & {64, 128} and not outputs & {640, 1280}:
        return "Miniature"
    if not outputs & {320, 640, 1280}:
        return None
    return "SDXL" if _largest_number(shapes, r"transformer_blocks[._](\d+)") > 0 else "SD1"
