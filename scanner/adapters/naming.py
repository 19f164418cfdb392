"""The naming of an adapter's tensors, by the trainer or library that wrote the file.

Sources: kohya sd-scripts (networks/), LyCORIS, diffusers' converters
(loaders/lora_conversion_utils.py), PEFT, OneTrainer, ai-toolkit, XLabs x-flux, cloneofsimo/lora.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from scanner.adapters.formats.definition import Shapes
from scanner.adapters.kinds import UNKNOWN


def _any(pattern: str) -> Callable[[Shapes, Mapping[str, str]], bool]:
    compiled = re.compile(pattern)
    return lambda shapes, _: any(compiled.search(name) for name in shapes)


def _is_onetrainer(shapes: Shapes, metadata: Mapping[str, str]) -> bool:
    recorded = bool(shapes) and any(name.startswith("ot_") for name in metadata)
    return recorded or _any(r"^lora_transformer_(single_)?transformer_blocks_")(shapes, metadata)


def _is_ai_toolkit(shapes: Shapes, metadata: Mapping[str, str]) -> bool:
    return bool(shapes) and (
        "ai-toolkit" in metadata.get("software", "") or "training_info" in metadata
    )


def _is_bfl_control(shapes: Shapes, metadata: Mapping[str, str]) -> bool:
    scaled = _any(r"norm\.(query|key)_norm\.scale$")(shapes, metadata)
    return scaled and _any(r"\.lora_[AB]\.weight$")(shapes, metadata)


# The first rule that holds decides; the more specific ones come first.
_RULES: tuple[tuple[str, Callable[[Shapes, Mapping[str, str]], bool]], ...] = (
    ("malformed kohya", _any(r"^lora_unet_.*_lora_(down|up)\.weight$")),
    ("cloneofsimo", _any(r"^(unet|text_encoder):\d+:(up|down)$")),
    ("OneTrainer", _is_onetrainer),
    ("XLabs", _any(r"^(double|single)_blocks\.\d+\.processor\.\w+_lora[12]?\.(down|up)\.weight$")),
    ("ai-toolkit", _is_ai_toolkit),
    ("kohya", _any(r"^(lora_(unet|te|te1|te2|te3|prior_unet|llm_adapter)|oft_unet)_")),
    ("LyCORIS", _any(r"^lycoris_")),
    ("BFL control", _is_bfl_control),
    ("fal Kontext", _any(r"^base_model\.(model\.)?(double|single)_blocks\.")),
    ("PEFT", _any(r"^base_model\.model\.")),
    ("Comfy", _any(r"^diffusion_model\.")),
    ("diffusers 1", _any(r"\.processor\.to_\w+_lora\.(down|up)\.weight$")),
    ("diffusers 2", _any(r"\.lora\.(down|up)\.weight$|\.lora_linear_layer\.(down|up)\.weight$")),
    (
        "diffusers 3",
        _any(
            r"^(unet|transformer(_[12])?|text_encoder(_[23])?)\..*"
            r"\.(lora_[AB](\.[^.]+)?\.weight|lora_magnitude_vector.*)$"
        ),
    ),
    ("bare", _any(r"\.lora_([AB]|down|up)(\.[^.]+)?\.weight$|\.lora_magnitude_vector")),
)


def naming_of(shapes: Shapes, metadata: Mapping[str, str], family: str = UNKNOWN) -> str:
    """The naming of an adapter's tensors, or `unknown`.

    Args:
        family: of the base model. PEFT writes the same names as fal's Kontext trainer, which is for
            Flux.1 only.
    """
    naming = next((naming for naming, holds in _RULES if holds(shapes, metadata)), UNKNOWN)
    return "PEFT" if naming == "fal Kontext" and family != "Flux.1" else naming
