"""The kind of a checkpoint, from the names of its tensors.

Sources: LyCORIS weight_list_det, InvokeAI's model probe, kohya sd-scripts, diffusers' converters,
ComfyUI's model detection, transformers' model classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from scanner.adapters.embedding_names import table_of
from scanner.adapters.formats.definition import FileTensors, Shapes
from scanner.adapters.formats.lora import MALFORMED_DOWN
from scanner.adapters.formats.registry import KIND_RULES, WEIGHTS_BESIDE
from scanner.adapters.tensor_names import part_of

UNKNOWN = "unknown"


def _is_whole(shapes: Shapes) -> bool:
    """Whether a file holds weights under the names of an original checkpoint.

    Adapters use the same prefixes; their tensors do not count.
    """
    return any(
        part_of(name) is None and not _is_weight_beside(name, shapes)
        for name in shapes
        if name.startswith(_WHOLE)
    )


def _is_weight_beside(name: str, shapes: Shapes) -> bool:
    stem = name.removesuffix(".weight")
    return any(f"{stem}{ending}" in shapes for ending, _ in WEIGHTS_BESIDE)


def _is_vae(shapes: Shapes) -> bool:
    return has_name(shapes, _VAE) and not any(
        re.search(_DENOISER, name) or _UNET.match(name) for name in shapes
    )


def _is_diffusers_unet(shapes: Shapes) -> bool:
    return has_name(shapes, r"^(unet\.)?conv_in\.weight$") and any(
        _UNET.match(name) for name in shapes
    )


def _is_text_encoder(shapes: Shapes) -> bool:
    return has_name(shapes, _LANGUAGE) and not has_name(shapes, _DENOISER)


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
# Weights of layers in the blocks of a transformer; tensors of its adapters have other endings.
_DENOISER = (
    r"^(?:(?:model|net|dit|transformer|diffusion_model|unet|base_model)\.)*(?:"
    r"(?:double|single|joint)(?:_transformer|_stream)?_(?:blocks|layers)\.\d+\.(?!.*layer_norm)\w+"
    r"|(?:visual_|text_)?transformer_blocks\.\d+\.(?:attn|ff|img_|txt_|qkv_proj|mlp_)"
    r"|txt_mode_blocks\.\d"
    r"|(?:layers|noise_refiner|context_refiner)\.\d+\."
    r"(?:attention\.|attn\.|adaLN_modulation|feed_forward\.w)"
    r"|(?:vace_)?blocks\.\d+\."
    r"(?:self_attn\.[qkvo]|cross_attn\.|attn\.w|attn1\.|attn2\.|adaln_modulation|cross_attn_layer))"
)
_VAE = (
    r"^(?:vae\.|first_stage_model\.)?(?:(?:en|de)coder\."
    r"(?:conv_in|conv1|mid|middle|down|up|layers\.\d+\.conv)|post_quant_conv)\b"
)
_LANGUAGE = (
    r"(?:^|\.)(?:text_model\.encoder\.layers|encoder\.block\.\d+\.layer"
    r"|layers\.\d+\.(?:self_attn\.[qkvo]_proj|mlp\.gate_proj)|transformer\.resblocks)\b"
)


_MODEL_RULES: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("textual-inversion", _is_textual_inversion),
    ("checkpoint", _is_diffusers_unet),
    ("vae", _is_vae),
    ("text-encoder", _is_text_encoder),
    ("checkpoint", lambda shapes: has_name(shapes, _DENOISER)),
)
NOT_ALONE = {
    "vae": (
        "a VAE alone turns no words into a picture: whom it shows depends on the model that it is "
        "used with"
    ),
    "text-encoder": (
        "a text encoder or language model alone draws nothing: whom it shows depends on the model "
        "that it is used with"
    ),
}
"""Why a part of a model is not examined."""


def kind_of(shapes: Shapes) -> str:
    """The kind of a file.

    One of ADAPTER_KINDS or NOT_ALONE, textual-inversion, checkpoint or unknown; the first rule that
    holds decides. The rules of adapters stand between those of whole models,
    because adapters share some names with them.
    """
    if _is_whole(shapes):
        return "checkpoint"
    tensors = _with_parts(shapes)
    for rule in KIND_RULES:
        if rule.holds(tensors):
            return rule.kind
    return next((kind for kind, holds in _MODEL_RULES if holds(shapes)), UNKNOWN)


def _with_parts(shapes: Shapes) -> FileTensors:
    parts: dict[str, list[tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        if (part := part_of(name)) is not None:
            parts.setdefault(part[1], []).append(shape)
    return FileTensors(shapes, parts)


def down_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The tensors that lead into a low rank, by name; their second dimension is the input width."""
    return {
        name: shape
        for name, shape in shapes.items()
        if name.endswith(MALFORMED_DOWN) or (part_of(name) or ("", ""))[1] == "lora_down"
    }


def has_name(shapes: Shapes, pattern: str) -> bool:
    """Whether a pattern is found in any tensor name."""
    found = re.compile(pattern).search
    return any(found(name) for name in shapes)
