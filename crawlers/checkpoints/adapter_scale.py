"""Rank and alpha of an adapter, if they are in the header and not among the tensors.

Without them an adapter is merged at alpha / rank = 1, however strongly it was trained. diffusers
and SimpleTuner keep PEFT's configuration as JSON under lora_adapter_metadata, with the network's
name before each key. Others write the same keys flat (transformer.lora_alpha) or plain (lora_alpha,
network_alpha, alpha). Sources: diffusers loaders/lora_base.py, PEFT LoraConfig, SimpleTuner and
LightX2V adapters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WHOLE_FILE, DENOISER = "", "denoiser"
# A file has one denoiser, whatever name its trainer uses.
_DENOISERS = ("transformer", "unet", "diffusion_model")
NETWORKS = (*_DENOISERS, "text_encoder", "text_encoder_2", "text_encoder_3")
_DOCUMENTS = (
    "lora_adapter_metadata",
    "adapter_config",
    "peft_config",
    "lora_config",
    "adapter_metadata",
)
_ALPHAS = ("lora_alpha", "network_alpha", "alpha")
_RANKS = ("r", "rank", "lora_rank", "network_dim")
# Words that other documents than the configuration of an adapter may hold as well.
_CAPTIONS = frozenset({"alpha", "rank", "r"})
_PATTERNS = ("alpha_pattern", "rank_pattern")
_KEY = re.compile(
    r"^(?:base_model\.model\.|model\.)*"
    rf"(?:(?P<network>{'|'.join(NETWORKS)})\.)?"
    rf"(?P<key>{'|'.join((*_ALPHAS, *_RANKS, *_PATTERNS, 'use_rslora'))})$"
)
_DEEPEST = 3


@dataclass(slots=True)
class HeaderScale:
    """The strength of one network's adapter according to the header.

    Attributes:
        alphas, ranks: every different number in the order of the header; more than one are a
            contradiction.
        alpha_pattern, rank_pattern: numbers of single modules, by PEFT's patterns of their names.
        unusable: values of alpha that are not finite numbers over 0, and contradictory values.
        rank_stabilised: whether the change is divided by the root of the rank; None if unknown.
    """

    alphas: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    rank_pattern: dict[str, float] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    rank_stabilised: bool | None = None


def scales_in(metadata: Mapping[str, str]) -> dict[str, HeaderScale]:
    """The scales in a header, by network: DENOISER, a text encoder, or WHOLE_FILE if unnamed.

    A rank that is no finite number over 0 is ignored; such an alpha is kept as unusable.
    """
    scales: dict[str, HeaderScale] = {}
    for name, value in metadata.items():
        setting = name in _DOCUMENTS or _KEY.match(name)
        parsed = _parsed(value) if setting or _is_configuration(name, value) else None
        for network, key, inner in _settings(name, parsed, WHOLE_FILE):
            if setting or key not in _CAPTIONS:
                _keep(scales.setdefault(network, HeaderScale()), key, inner)
    return scales


def _is_configuration(name: str, value: str) -> bool:
    """Whether an entry under another name holds a configuration of PEFT.

    OneTrainer's entries are ignored, because it multiplies alpha into the tensors.
    """
    return (
        value.lstrip().startswith("{")
        and '"lora_alpha"' in value
        and not name.startswith(("ss_", "ot_"))
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # Python writes booleans with a capital.
        return {"true": True, "false": False}.get(text.strip().lower(), text)


def _settings(
    name: str, value: Any, network: str, depth: int = 0
) -> Iterator[tuple[str, str, Any]]:
    """Yield network, key and value of every setting in an entry of the header."""
    if match := _KEY.match(name):
        named = match["network"] or network
        yield DENOISER if named in _DENOISERS else named, match["key"], value
    elif isinstance(value, dict) and depth < _DEEPEST:
        # The dictionary holds a configuration for each network, or for each adapter name of PEFT.
        for inner_name, inner in value.items():
            yield from _settings(
                str(inner_name), inner, name if name in NETWORKS else network, depth + 1
            )


def _keep(scale: HeaderScale, key: str, value: Any) -> None:
    number = _number(value)
    if key in _ALPHAS:
        _keep_alpha(scale, key, value, number)
    elif key in _RANKS and number is not None and number not in scale.ranks:
        scale.ranks.append(number)
    elif key == "use_rslora" and isinstance(value, bool):
        if scale.rank_stabilised is (not value):
            scale.unusable.append("use_rslora both ways")
        scale.rank_stabilised = value
    elif key in _PATTERNS and isinstance(value, dict):
        kept = scale.alpha_pattern if key == "alpha_pattern" else scale.rank_pattern
        for name, inner in value.items():
            found = _number(inner)
            if found is None or kept.setdefault(str(name), found) != found:
                scale.unusable.append(f"{key} {_shown(name)}: {_shown(inner)}")


def _keep_alpha(scale: HeaderScale, key: str, value: Any, number: float | None) -> None:
    if number is None and not _is_nothing(value):
        scale.unusable.append(f"{key} {_shown(value)}")
    elif number is not None and number not in scale.alphas:
        scale.alphas.append(number)


def _is_nothing(value: Any) -> bool:
    """Whether a trainer wrote a key without a value."""
    return value is None or (
        isinstance(value, str) and value.strip().lower() in ("", "none", "null")
    )


def _shown(value: Any) -> str:
    return str(value)[:40]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def rank_and_alpha_in(metadata: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Rank and alpha of the denoiser, else of the whole file; None for contradictory alphas."""
    scales = scales_in(metadata)
    found = [scales[network] for network in (DENOISER, WHOLE_FILE) if network in scales]
    ranks = next((scale.ranks for scale in found if scale.ranks), [])
    alphas = next((scale.alphas for scale in found if scale.alphas), [])
    return next(iter(ranks), None), alphas[0] if len(alphas) == 1 else None
