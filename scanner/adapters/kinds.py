"""The kind of a checkpoint, from the names of its tensors.

Sources: LyCORIS weight_list_det, InvokeAI's model probe, kohya sd-scripts, diffusers' converters, ComfyUI's
model detection, transformers' model classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scanner.adapters.embedding_names import table_of
from scanner.adapters.tensor_names import part_of

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "unknown"
ADAPTER_KINDS = (
    "lora",
    "locon",
    "loha",
    "lokr",
    "dora",
    "ia3",
    "glora",
    "oft",
    "boft",
    "full-diff",
)

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


def _has(*parts: str) -> Callable[[Shapes], bool]:
    """Whether any tensor is one of these parts of an adapter's module."""
    return lambda shapes: any((part_of(name) or ("", ""))[1] in parts for name in shapes)


def _named(pattern: str) -> Callable[[Shapes], bool]:
    return lambda shapes: has_name(shapes, pattern)


def _is_whole(shapes: Shapes) -> bool:
    """Whether a model's own weights are here under the names of an original checkpoint; adapters bear some of them too."""
    return any(
        part_of(name) is None and f"{name.removesuffix('.weight')}.on_input" not in shapes
        for name in shapes
        if name.startswith(_WHOLE)
    )


def _is_vae(shapes: Shapes) -> bool:
    return has_name(shapes, _VAE) and not any(
        re.search(_DENOISER, name) or _UNET.match(name) for name in shapes
    )


def _is_convolutional(shapes: Shapes) -> bool:
    wide = any(len(shape) == 4 and shape[2] > 1 for shape in down_shapes(shapes).values())
    return wide or _has("lora_mid")(shapes)


def _is_weight_decomposed(shapes: Shapes) -> bool:
    return bool(down_shapes(shapes)) and _has("dora_scale")(shapes)


def _is_diffusers_unet(shapes: Shapes) -> bool:
    return has_name(shapes, r"^(unet\.)?conv_in\.weight$") and any(
        _UNET.match(name) for name in shapes
    )


def _is_textual_inversion(shapes: Shapes) -> bool:
    if any(table_of(name) is not None for name in shapes):
        return True
    small = 0 < len(shapes) <= 8
    widths = {64, 768, 1024, 1280}
    return small and all(
        len(shape) in (1, 2) and shape[-1] in widths and "." not in name
        for name, shape in shapes.items()
    )


_WHOLE = ("model.diffusion_model.", "cond_stage_model.", "conditioner.embedders.")
_UNET = re.compile(r"^(unet\.)?(down|up|mid)_blocks?\.")
# The weight of one layer in the blocks of a transformer; adapters of it have other endings.
_DENOISER = (
    r"^(?:(?:model|net|dit|transformer|diffusion_model|unet|base_model)\.)*(?:"
    r"(?:double|single|joint)(?:_transformer|_stream)?_(?:blocks|layers)\.\d+\.(?!.*layer_norm)\w+"
    r"|(?:visual_|text_)?transformer_blocks\.\d+\.(?:attn|ff|img_|txt_|qkv_proj|mlp_)|txt_mode_blocks\.\d"
    r"|(?:layers|noise_refiner|context_refiner)\.\d+\.(?:attention\.|attn\.|adaLN_modulation|feed_forward\.w)"
    r"|(?:vace_)?blocks\.\d+\.(?:self_attn\.[qkvo]|cross_attn\.|attn\.w|attn1\.|attn2\.|adaln_modulation|cross_attn_layer))"
)
_VAE = r"^(?:vae\.|first_stage_model\.)?(?:(?:en|de)coder\.(?:conv_in|conv1|mid|middle|down|up|layers\.\d+\.conv)|post_quant_conv)\b"
_LANGUAGE = (
    r"(?:^|\.)(?:text_model\.encoder\.layers|encoder\.block\.\d+\.layer|layers\.\d+\.(?:self_attn\.[qkvo]_proj|mlp\.gate_proj)"
    r"|transformer\.resblocks)\b"
)


# The first rule that holds names the kind; order matters, since DoRA and LoCon are LoRA and more.
_KIND_RULES: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("checkpoint", _is_whole),
    ("loha", _has("hada_w1_a", "hada_w1_b")),
    ("lokr", _has("lokr_w1", "lokr_w1_a", "lokr_w2")),
    (
        "boft",
        lambda shapes: any(
            name.endswith(".oft_blocks") and len(shape) == 4 for name, shape in shapes.items()
        ),
    ),
    ("oft", _named(r"\.(oft_diag|oft_R\.weight|oft_R\.[^.]+\.weight|oft_blocks(\.\d+)?)$")),
    ("ia3", _has("on_input")),
    ("glora", lambda shapes: _has("a1")(shapes) and _has("b1")(shapes)),
    ("dora", _is_weight_decomposed),
    ("locon", lambda shapes: bool(down_shapes(shapes)) and _is_convolutional(shapes)),
    ("lora", lambda shapes: bool(down_shapes(shapes))),
    ("full-diff", _has("diff", "diff_b", "w_norm", "b_norm")),
    ("textual-inversion", _is_textual_inversion),
    ("checkpoint", _is_diffusers_unet),
    ("vae", _is_vae),
    (
        "text-encoder",
        lambda shapes: has_name(shapes, _LANGUAGE) and not has_name(shapes, _DENOISER),
    ),
    ("checkpoint", _named(_DENOISER)),
)
NOT_ALONE = {
    "vae": "a VAE alone turns no words into a picture: whom it shows depends on the model that it is used with",
    "text-encoder": "a text encoder or language model alone draws nothing: whom it shows depends on the model that it is used with",
}
"""Why a part of a model is not examined."""


def kind_of(shapes: Shapes) -> str:
    """What sort of file the tensors form: one of ADAPTER_KINDS or NOT_ALONE, textual-inversion, checkpoint, unknown."""
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
