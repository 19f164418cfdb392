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

NETWORKS = ("transformer", "unet", "text_encoder", "text_encoder_2", "text_encoder_3")
WHOLE_FILE = ""
_DOCUMENTS = ("lora_adapter_metadata", "adapter_config", "peft_config", "lora_config", "adapter_metadata")
_ALPHAS, _RANKS = ("lora_alpha", "network_alpha", "alpha"), ("r", "rank", "lora_rank", "network_dim")
# What a document that is no configuration of an adapter may hold as well.
_CAPTIONS = frozenset({"alpha", "rank", "r"})
_PATTERNS = ("alpha_pattern", "rank_pattern")
_KEY = re.compile(
    rf"^(?:(?P<network>{'|'.join(NETWORKS)})\.)?(?P<key>{'|'.join((*_ALPHAS, *_RANKS, *_PATTERNS, 'use_rslora'))})$"
)
_DEEPEST = 3


@dataclass(slots=True)
class ScaleTold:
    """What a header tells of the strength of one network's adapter.

    Attributes:
        alphas, ranks: every different number told, in the order of the header; more than one contradict each other.
        alpha_pattern: alphas of single modules, by the end of their names.
        own_ranks: single modules have other ranks.
        rank_stabilised: the change is divided by the root of the rank.
    """

    alphas: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    own_ranks: bool = False
    rank_stabilised: bool = False


def scales_told(metadata: Mapping[str, str]) -> dict[str, ScaleTold]:
    """What a header tells, by network; WHOLE_FILE where it names none.

    Anything but finite numbers over 0 is passed over.
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
    return value.lstrip().startswith("{") and '"lora_alpha"' in value and not name.startswith(("ss_", "ot_"))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip().lower() == "true"  # as Python writes it


def _settings(name: str, value: Any, network: str, depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Network, key and value of every setting in a header's entry."""
    if match := _KEY.match(name):
        yield match["network"] or network, match["key"], value
    elif isinstance(value, dict) and depth < _DEEPEST:
        # A configuration for each network, or for each of PEFT's adapter names.
        for inner_name, inner in value.items():
            yield from _settings(str(inner_name), inner, name if name in NETWORKS else network, depth + 1)


def _keep(scale: ScaleTold, key: str, value: Any) -> None:
    number = _number(value)
    if key in _ALPHAS and number is not None and number not in scale.alphas:
        scale.alphas.append(number)
    elif key in _RANKS and number is not None and number not in scale.ranks:
        scale.ranks.append(number)
    elif key == "use_rslora":
        scale.rank_stabilised |= value is True
    elif key in _PATTERNS and isinstance(value, dict):
        numbers = {str(name): found for name, one in value.items() if (found := _number(one)) is not None}
        if key == "alpha_pattern":
            scale.alpha_pattern |= numbers
        else:
            scale.own_ranks |= bool(numbers)


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def told_for_file(metadata: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Rank and alpha that are told of the file, else of its denoiser, else of a text encoder."""
    scales = scales_told(metadata)
    found = [scales[network] for network in (WHOLE_FILE, *NETWORKS) if network in scales]
    rank = next((one.ranks[0] for one in found if one.ranks), None)
    return rank, next((one.alphas[0] for one in found if one.alphas), None)
