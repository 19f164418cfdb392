"""Rank and alpha of an adapter, where they stand in the header and not beside the tensors.

Without them an adapter is merged at alpha / rank = 1, however strongly it was trained. diffusers and
SimpleTuner keep PEFT's configuration as JSON under lora_adapter_metadata, with the network's name
before each key; others write the same keys flat (transformer.lora_alpha), or plain ones (lora_alpha,
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
# A file has one denoiser, whatever its trainer calls it.
_DENOISERS = ("transformer", "unet", "diffusion_model")
NETWORKS = (*_DENOISERS, "text_encoder", "text_encoder_2", "text_encoder_3")
_DOCUMENTS = (
    "lora_adapter_metadata",
    "adapter_config",
    "peft_config",
    "lora_config",
    "adapter_metadata",
)
_ALPHAS, _RANKS = (
    ("lora_alpha", "network_alpha", "alpha"),
    ("r", "rank", "lora_rank", "network_dim"),
)
# What a document that is no configuration of an adapter may hold as well.
_CAPTIONS = frozenset({"alpha", "rank", "r"})
_PATTERNS = ("alpha_pattern", "rank_pattern")
_KEY = re.compile(
    rf"^(?:base_model\.model\.|model\.)*(?:(?P<network>{'|'.join(NETWORKS)})\.)?(?P<key>{'|'.join((*_ALPHAS, *_RANKS, *_PATTERNS, 'use_rslora'))})$"
)
_DEEPEST = 3


@dataclass(slots=True)
class ScaleTold:
    """What a header tells of the strength of one network's adapter.

    Attributes:
        alphas, ranks: every different number told, in the order of the header; more than one contradict each other.
        alpha_pattern, rank_pattern: numbers of single modules, by PEFT's pattern of their names.
        unusable: what stands where an alpha belongs and is no finite number over 0, or contradicts itself.
        rank_stabilised: the change is divided by the root of the rank; None where nothing is told.
    """

    alphas: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    rank_pattern: dict[str, float] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    rank_stabilised: bool | None = None


def scales_told(metadata: Mapping[str, str]) -> dict[str, ScaleTold]:
    """What a header tells, by network: DENOISER, a text encoder, or WHOLE_FILE where it names none.

    A rank that is no finite number over 0 is passed over; such an alpha is kept as unusable.
    """
    scales: dict[str, ScaleTold] = {}
    for name, value in metadata.items():
        setting = name in _DOCUMENTS or _KEY.match(name)
        told = _parsed(value) if setting or _is_configuration(name, value) else None
        for network, key, inner in _settings(name, told, WHOLE_FILE):
            if setting or key not in _CAPTIONS:
                _keep(scales.setdefault(network, ScaleTold()), key, inner)
    return scales


def _is_configuration(name: str, value: str) -> bool:
    """Whether an entry under another name holds PEFT's words.

    OneTrainer's is passed over: it works alpha into the tensors.
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
        return {"true": True, "false": False}.get(
            text.strip().lower(), text
        )  # as Python writes them


def _settings(
    name: str, value: Any, network: str, depth: int = 0
) -> Iterator[tuple[str, str, Any]]:
    """Network, key and value of every setting in a header's entry."""
    if match := _KEY.match(name):
        named = match["network"] or network
        yield DENOISER if named in _DENOISERS else named, match["key"], value
    elif isinstance(value, dict) and depth < _DEEPEST:
        # A configuration for each network, or for each of PEFT's adapter names.
        for inner_name, inner in value.items():
            yield from _settings(
                str(inner_name), inner, name if name in NETWORKS else network, depth + 1
            )


def _keep(scale: ScaleTold, key: str, value: Any) -> None:
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
        for name, one in value.items():
            found = _number(one)
            if found is None or kept.setdefault(str(name), found) != found:
                scale.unusable.append(f"{key} {_shown(name)}: {_shown(one)}")


def _keep_alpha(scale: ScaleTold, key: str, value: Any, number: float | None) -> None:
    if number is None and not _is_nothing(value):
        scale.unusable.append(f"{key} {_shown(value)}")
    elif number is not None and number not in scale.alphas:
        scale.alphas.append(number)


def _is_nothing(value: Any) -> bool:
    """Whether a trainer left a key without a value."""
    return value is None or (
        isinstance(value, str) and value.strip().lower() in ("", "none", "null")
    )


def _shown(value: Any) -> str:
    return str(value)[:40]


def _number(value: Any) -> float | None:
    try:
        number = (
            float(value)
            if isinstance(value, int | float | str) and not isinstance(value, bool)
            else math.nan
        )
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def told_for_file(metadata: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Rank and alpha that are told of the denoiser, else of the whole file; None where two contradict."""
    scales = scales_told(metadata)
    found = [scales[network] for network in (DENOISER, WHOLE_FILE) if network in scales]
    ranks = next((one.ranks for one in found if one.ranks), [])
    alphas = next((one.alphas for one in found if one.alphas), [])
    return next(iter(ranks), None), alphas[0] if len(alphas) == 1 else None
