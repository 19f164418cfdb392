"""The family that a header or a listing names, in the words of trainers and hubs.

People type or copy these words, so they may decide only between families that the tensors fit. If
they contradict the tensors, the file is refused. Unknown words are ignored. Sources for headers:
kohya sd-scripts library/sai_model_spec.py, musubi-tuner, ai-toolkit, OneTrainer and SimpleTuner;
for hubs: Civitai's list of base models and Hugging Face ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SDXL = ("SDXL", "SSD-1B")
# The first pattern that matches the beginning of a name decides. In names, every sequence of
# characters other than letters and digits is replaced by one hyphen.
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (rf"(?:{pattern})(?![a-z])", families)
    for pattern, families in (
        (r"miniature", ("Miniature",)),
        (r"(sd|stable-diffusion)-?v?-?3-?m(edium)?", ("SD3 Medium",)),
        (r"(sd|stable-diffusion)-?v?-?3-?5-?m(edium)?", ("SD3.5 Medium",)),
        (r"(sd|stable-diffusion)-?v?-?3-?5-?l(arge)?", ("SD3.5 Large",)),
        (r"(sd|stable-diffusion)-?v?-?3-?5", ("SD3.5 Medium", "SD3.5 Large")),
        (r"(sd|stable-diffusion)-?v?-?3", ("SD3",)),
        (r"(sd-?xl|stable-diffusion-xl)-?(v?1-?0?-)?refiner", ("SDXL refiner",)),
        (r"sd-?xl|stable-diffusion-xl|playground-v2", _SDXL),
        (r"(sd|stable-diffusion)-?v?-?1(-?[456])?-inpaint(ing)?", ("SD1 inpainting",)),
        (r"(sd|stable-diffusion)-?v?-?1(-?[456])?", ("SD1",)),
        (r"(sd|stable-diffusion)-?v?-?2(-?[01])?", ("SD2",)),
        (r"pony-?(diffusion-?)?v-?7", ("AuraFlow",)),
        (r"pony(-?diffusion)?|illustrious|noob-?ai", ("SDXL",)),
        (r"ssd-?1b", ("SSD-1B",)),
        (r"(segmind-)?vega", ("Vega",)),
        (r"kolors|kwai-kolors", ("Kolors",)),
        (r"stable-video-diffusion|svd", ("SVD",)),
        (r"stable-cascade|wuerstchen", ("Stable Cascade",)),
        (r"flux-?2-?klein-?(base-?)?4-?b", ("Flux.2 Klein 4B",)),
        (r"flux-?2-?klein-?(base-?)?9-?b", ("Flux.2 Klein 9B",)),
        (r"flux-?2-?klein", ("Flux.2 Klein 4B", "Flux.2 Klein 9B")),
        (r"flux-?2-?d(ev)?", ("Flux.2 dev",)),
        (r"flux-?2", ("Flux.2",)),
        (r"flux-?3", ("Flux.3",)),
        (r"flux-?1?-?(d-)?fill|flux-fill", ("Flux.1 Fill",)),
        (r"flux-?1?-?(canny|depth)", ("Flux.1 control",)),
        (r"flux-?1?-?(d(ev)?-?)?kontext", ("Flux.1 Kontext",)),
        (r"flux-?1?-?lite", ("Flex.1",)),
        (r"flux-?1|flux-(dev|schnell|krea|kontext|fill)", ("Flux.1",)),
        # The bare word does not decide: trainers write it for every model with Flux.1's blocks.
        (
            r"flux(-?(lora|base|pro|model|fp8|bf16|nf4|gguf))?$",
            ("Flux.1", "Flux.2", "Chroma", "Flex.1", "Flux.3"),
        ),
        (r"flex-?[12]", ("Flex.1",)),
        (r"chroma-?1?-radiance", ("Chroma Radiance",)),
        (r"chroma(-?[12])?", ("Chroma",)),
        (r"qwen-image-?(v?2-?1)|qwen-2-1", ("Qwen-Image-2.1",)),
        (r"qwen-image-?v?2", ("Qwen-Image", "Qwen-Image-2.1")),
        (r"qwen-?image-?layered", ("Qwen-Image-Layered",)),
        (r"qwen-?image-?edit", ("Qwen-Image-Edit",)),
        (r"qwen-?image|qwen$", ("Qwen-Image",)),
        (r"mage-?flow", ("MageFlow",)),
        (r"z-?image-?base", ("Z-Image Base",)),
        (r"z-?image-?(omni|edit)", ("Z-Image Omni",)),
        (r"z-?image(turbo)?", ("Z-Image",)),
        (r"lumina-?(image)?-?2?", ("Lumina2",)),
        (r"krea-?2", ("Krea2",)),
        (r"ideogram-?4?", ("Ideogram 4",)),
        (r"ernie(-?image)?", ("Ernie-Image",)),
        (r"anima", ("Anima",)),
        (r"hidream-?o1", ("HiDream-O1",)),
        (r"hidream", ("HiDream",)),
        (r"aura-?flow", ("AuraFlow",)),
        (r"hunyuan-?image-?3", ("HunyuanImage 3",)),
        (r"hunyuan-?image", ("HunyuanImage",)),
        (r"hunyuan-?video-?1-?5|hv-?1-?5", ("HunyuanVideo 1.5",)),
        (r"hunyuan-?video-?i2v", ("HunyuanVideo I2V",)),
        (r"hunyuan-?video|framepack", ("HunyuanVideo", "HunyuanVideo 1.5")),
        (r"hunyuan-?(dit|1)", ("HunyuanDiT",)),
        (r"wan-?(video-?)?(2-?[12]-?)?(t2v-?|vace-?)?1-?3-?b", ("Wan 1.3B", "Wan VACE 1.3B")),
        (r"wan-?(video-?)?2-?2-?([it]2v-?)?a?14-?b", ("Wan 2.2 14B",)),
        (r"wan-?[it]2v-?14b-2-2", ("Wan 2.2 14B",)),  # SimpleTuner's flavours
        (
            r"wan-?(video-?)?(2-?[12]-?)?([it]2v-?|vace-?|flf2v-?)?a?14-?b",
            ("Wan 14B", "Wan 14B image", "Wan VACE 14B"),
        ),
        (r"wan-?(video-?)?2-?2-?(ti2v-?)?5-?b", ("Wan 5B",)),
        # Wan 2.5 and later are services without published weights.
        (r"wan(?!-?(video-?)?(2-?[5-9]|[3-9]))-?(video)?(-?2(-?[12])?)?", ("Wan",)),
        (r"ltx-?v?(ideo)?-?2", ("LTX-2",)),
        (r"ltx-?v(ideo)?", ("LTX-Video",)),
        (r"pixart", ("PixArt",)),
        (r"sana", ("Sana",)),
        (r"cogvideo-?x", ("CogVideoX",)),
        (r"cogview-?4", ("CogView4",)),
        (r"glm-?image", ("GLM-Image",)),
        (r"mochi", ("Mochi",)),
        (r"kandinsky-?5", ("Kandinsky 5",)),
        (r"omnigen-?2", ("OmniGen2",)),
        (r"ovis-?image", ("Ovis",)),
        (r"longcat-?image", ("LongCat",)),
        (r"fibo", ("Fibo",)),
        (r"bria", ("Bria",)),
        (r"boogu", ("Boogu",)),
        (r"minimax-?h3", ("MiniMax H3",)),
    )
)
_COMPILED = tuple((re.compile(pattern), families) for pattern, families in _FAMILIES)
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Declaration:
    """A statement about the base model that a file was trained on.

    Attributes:
        source: the header's key, or "the listing".
        text: the words of the statement.
        families: the families, or sizes of a family, that the words can mean.
    """

    source: str
    text: str
    families: tuple[str, ...]


def families_named(text: str) -> tuple[str, ...]:
    """The families, or sizes of a family, that a base model's name means; none if it is unknown."""
    plain = re.sub(r"[^a-z0-9]+", "-", text[:_MOST_CHARACTERS].lower()).strip("-")
    return next((families for pattern, families in _COMPILED if pattern.match(plain)), ())


def declared_in_header(metadata: Mapping[str, str]) -> list[Declaration]:
    """Every statement of a header about the family."""
    found = [
        Declaration(key, text[:60], families)
        for key in ("ss_base_model_version", "modelspec.architecture")
        if (text := metadata.get(key, "")) and (families := _families_of_parts(text, key))
    ]
    trained = _model_type(metadata.get("ot_config", ""))
    named = families_named(trained)
    found += [Declaration("ot_config", trained[:60], named)] if named else []
    if module := re.fullmatch(
        r"networks\.(?:lora|loha|lokr|oft)_(\w+)", metadata.get("ss_network_module", "")
    ):
        # kohya trains Chroma, and others Flex.1, with the modules for Flux.1.
        families = (
            ("Flux.1", "Chroma", "Flex.1") if module[1] == "flux" else families_named(module[1])
        )
        found += [Declaration("ss_network_module", module[0][:60], families)] if families else []
    return found


def _families_of_parts(text: str, key: str) -> tuple[str, ...]:
    """The families that a name with slashes means.

    In a hub's id and in a path the name stands last, after its owner. In the model specification it
    stands first, before the type of the file: flux-1-dev/lora.
    """
    parts = [part for part in re.split(r"[/\\]", text[:_MOST_CHARACTERS]) if part.strip()]
    ordered = parts[::-1] if key == "ss_base_model_version" else [*parts[:1], *parts[:0:-1]]
    return next((families for part in ordered if (families := families_named(part))), ())


def declared_by_listing(base_model: str | None) -> Declaration | None:
    """The statement of a listing about the base model, None if it names no known family."""
    # In a hub's id the owner's name stands before the slash.
    families = families_named((base_model or "").rpartition("/")[2])
    return Declaration("the listing", str(base_model)[:60], families) if families else None


def _model_type(text: str) -> str:
    try:
        config = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return ""
    model_type = config.get("model_type") if isinstance(config, dict) else None
    return model_type if isinstance(model_type, str) else ""
