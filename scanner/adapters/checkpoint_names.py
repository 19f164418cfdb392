"""The tensor names of a whole Stable Diffusion model, and the tensors that no image depends on.

A loader reads the tensors that it knows from a checkpoint and ignores the others silently. Another
program may draw with the ignored ones: a person's adapter beside a clean model, or a second set of
its weights. So every name must belong to the model, or to the list of tensors that no image depends
on. Sources: CompVis/stable-diffusion (ldm/modules, models/diffusion/ddpm.py), sgm in
Stability-AI/generative-models, openai/CLIP, open_clip, transformers CLIPTextModel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from scanner.adapters.geometries.geometry import family_of_model

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "unknown"
# Families whose full checkpoints are sampled.
SINGLE_FILE_FAMILIES = ("Miniature", "SD1", "SD2", "SDXL")

_N = r"\d{1,2}"
_UNET = (
    rf"(?:time_embed\.[02]|label_emb\.0\.[02]|out\.[02]|input_blocks\.0\.0|(?:input_blocks\.{_N}|middle_block|output_blocks\.{_N})\.{_N}\."
    r"(?:in_layers\.[02]|emb_layers\.1|out_layers\.[03]|skip_connection|op|conv|norm|proj_in|proj_out"
    rf"|transformer_blocks\.{_N}\.(?:attn[12]\.to_(?:[qkv]|out\.0)|ff\.net\.(?:0\.proj|2)|norm[123])))\.(?:weight|bias)"
)
_RESNET = r"(?:norm[12]|conv[12]|nin_shortcut)"
_ATTENTION = r"(?:norm|q|k|v|proj_out)"
_VAE = (
    rf"(?:(?:en|de)coder\.(?:conv_in|conv_out|norm_out|mid\.block_[12]\.{_RESNET}|mid\.attn_1\.{_ATTENTION}"
    rf"|(?:down|up)\.\d\.(?:block\.\d\.{_RESNET}|attn\.\d\.{_ATTENTION}|(?:down|up)sample\.conv))"
    r"|(?:post_)?quant_conv)\.(?:weight|bias)"
)
_CLIP = (
    r"(?:text_model\.)?(?:embeddings\.(?:token|position)_embedding\.weight|(?:final_layer_norm"
    rf"|encoder\.layers\.{_N}\.(?:layer_norm[12]|mlp\.fc[12]|self_attn\.(?:[qkv]|out)_proj))\.(?:weight|bias))"
)
_OPEN_CLIP = (
    r"(?:positional_embedding|token_embedding\.weight|text_projection(?:\.weight)?|ln_final\.(?:weight|bias)"
    rf"|transformer\.resblocks\.{_N}\.(?:ln_[12]\.(?:weight|bias)|attn\.(?:in_proj_|out_proj\.)(?:weight|bias)"
    r"|mlp\.c_(?:fc|proj)\.(?:weight|bias)))"
)
UNET_PREFIX, VAE_PREFIX = "model.diffusion_model.", "first_stage_model."
_DENOISER = ((UNET_PREFIX, re.compile(_UNET)), (VAE_PREFIX, re.compile(_VAE)))
_SD1 = ("cond_stage_model.transformer.", re.compile(_CLIP))
_SD2 = ("cond_stage_model.model.", re.compile(_OPEN_CLIP))
_SDXL = (
    ("conditioner.embedders.0.transformer.", re.compile(_CLIP)),
    ("conditioner.embedders.1.model.", re.compile(_OPEN_CLIP)),
)
_NETWORKS = {
    "Miniature": (*_DENOISER, _SD1),
    "SD1": (*_DENOISER, _SD1),
    "SD2": (*_DENOISER, _SD2),
    "SDXL": (*_DENOISER, *_SDXL),
}

_SCHEDULE = (
    r"betas|logvar|lvlb_weights|scale_factor|(?:sqrt_|log_)?(?:recipm?1?_|one_minus_)?alphas_cumprod(?:_prev)?"
    r"|posterior_(?:variance|log_variance_clipped|mean_coef[12])"
)
_ENCODER = r"(?:cond_stage_model|conditioner\.embedders\.[01])\.(?:transformer\.|model\.)?"
# Tensors that no image depends on: name, largest count of numbers, and the program that writes it.
_HARMLESS: tuple[tuple[re.Pattern[str], int, str], ...] = tuple(
    (re.compile(pattern), most, source)
    for pattern, most, source in (
        (
            _SCHEDULE,
            1000,
            "the schedule of CompVis' DDPM.register_schedule, which every loader works out anew",
        ),
        (r"model_ema\.(?:decay|num_updates)", 1, "counters of CompVis' LitEma"),
        (r"denoiser\.(?:log_)?sigmas", 1000, "the schedule of sgm's DiscreteDenoiser"),
        (
            r"(?:global_step|epoch)",
            1,
            "PyTorch Lightning's counters, which converters of .ckpt files keep",
        ),
        (
            rf"{_ENCODER}(?:text_model\.)?embeddings\.position_ids",
            77,
            "the numbers 0 to 76 of transformers' CLIPTextEmbeddings",
        ),
        (
            rf"{_ENCODER}logit_scale",
            1,
            "CLIP's temperature, for comparing texts with images only; ComfyUI saves it too",
        ),
        (rf"{_ENCODER}attn_mask", 77 * 77, "open_clip's causal mask, the same for every text"),
        (
            r"(?:cond_stage_model|conditioner\.embedders\.0)\.(?:transformer\.)?(?:text_model\.)?text_projection(?:\.weight)?",
            768 * 768,
            "CLIP-L's projection, which SD1 and SDXL do not read; ComfyUI saves it too",
        ),
    )
)
_SECOND_WEIGHTS = re.compile(r"model_ema\.")
_QUANTISED = re.compile(
    r"^scaled_fp8$|\.(?:scale_weight|scale_input|weight_scale(?:_2)?|input_scale|comfy_quant"
    r"|(?:weight\.)?(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+)|qweight|wscales|qzeros)$"
)
_PREDICTION = frozenset({"v_pred", "ztsnr"})


def checkpoint_not_sampled(
    family: str, model: str | None = None, fits: Sequence[str] = ()
) -> str | None:
    """Why full checkpoints of a family, or of one of its sizes, are not sampled.

    None if they are sampled, or if the family is not known.

    Args:
        fits: the models that the checkpoint may be of, where there are several.
    """
    alone = [model or family] if family != UNKNOWN else []
    several = dict.fromkeys(family_of_model(name) for name in fits)
    names = list(several) if len(fits) > 1 else alone
    if (
        family in SINGLE_FILE_FAMILIES
        or not names
        or any(name in SINGLE_FILE_FAMILIES for name in names)
    ):
        return None
    sampled = ", ".join(SINGLE_FILE_FAMILIES)
    return f"full checkpoints of {' or '.join(names)} are not sampled; {sampled} are"


def is_harmless(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of a full checkpoint is one that no image depends on."""
    return any(
        math.prod(shape) <= most and pattern.fullmatch(name) for pattern, most, _ in _HARMLESS
    )


def unknown_tensors_in(shapes: Shapes, family: str) -> list[str]:
    """Names of a full checkpoint's tensors that neither its model has nor is_harmless accepts.

    Args:
        family: one of SINGLE_FILE_FAMILIES; other families have no list of names and are not
            sampled.
    """
    networks = _NETWORKS.get(family)
    if networks is None:
        return []
    strangers: list[str] = []
    seen: set[str] = set()
    for name, shape in shapes.items():
        own = any(
            name.startswith(prefix) and names.fullmatch(name, len(prefix))
            for prefix, names in networks
        )
        # Of two spellings of one tensor, programs read the first or the second.
        spelling = name.replace(".text_model.", ".").replace(
            "text_projection.weight", "text_projection"
        )
        if (not own and not is_harmless(name, shape)) or spelling in seen:
            strangers.append(name)
        seen.add(spelling)
    return strangers


def what_strangers_are(strangers: Sequence[str]) -> str:
    """Why a checkpoint with such tensors is not examined; "" if their names give no reason."""
    if all(_SECOND_WEIGHTS.match(name) for name in strangers):
        return (
            "they are a second set of the model's weights (EMA), which some programs draw with and "
            "this one does not"
        )
    if all(_QUANTISED.search(name) for name in strangers):
        return "they are scales of quantised weights, which are not read here"
    if _PREDICTION.issuperset(strangers):
        return "they say that the model predicts velocity, which is not sampled here"
    return ""
