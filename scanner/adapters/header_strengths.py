"""How strongly a header says to merge each module: one rule, for merging and for what is told before it.

A module's own alpha counts first, then what the header tells of its network, then of the whole
file; a pattern of its name counts before the number for all. What cannot be put in this order is
refused. kohya's ss_network_alpha is a record of the training and no loader's setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from crawlers.checkpoints.adapter_scale import DENOISER, WHOLE_FILE, ScaleTold, scales_told
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.module_patterns import ModulePatterns
from scanner.adapters.tensor_names import part_of
from scanner.errors import UnfaithfulLoad

_ENCODER = re.compile(
    r"(?:^|\.)text_encoder(?:_(?P<number>[23]))?[.:]|^(?:lora|lycoris)_te(?P<kohya>[123]?)_"
)


@dataclass(frozen=True, slots=True)
class StrengthTold:
    """What a header tells of one module.

    Attributes:
        alpha: None where the module has its own, or the header tells none.
        rank_stabilised: the change is divided by the root of the rank.
    """

    alpha: float | None
    rank_stabilised: bool


@dataclass(frozen=True, slots=True)
class _Level:
    """What a header tells of one network, or of the whole file, with its patterns ready to compare."""

    told: ScaleTold
    alphas: ModulePatterns
    ranks: ModulePatterns


def strengths_told(
    ranks: Mapping[str, int], own_alphas: AbstractSet[str], metadata: Mapping[str, str]
) -> dict[str, StrengthTold]:
    """What a header tells of each low-rank module.

    Args:
        ranks: by the module's name in the file.
        own_alphas: names of modules that have an alpha beside their tensors.

    Raises:
        UnfaithfulLoad: the header contradicts itself or the tensors, so that the strength cannot be known.
    """
    scales = scales_told(metadata)
    levels = {
        network: _level(scale, ranks.keys() - own_alphas) for network, scale in scales.items()
    }
    strengths: dict[str, StrengthTold] = {}
    unmatched: dict[str, set[int]] = {}
    for stem, rank in ranks.items() if levels else ():
        networks = [network for network in (_network_of(stem), WHOLE_FILE) if network in levels]
        here = [levels[network] for network in networks]
        alpha = None if stem in own_alphas else _alpha_of(stem, here)
        stabilised = next(
            (one.told.rank_stabilised for one in here if one.told.rank_stabilised is not None),
            False,
        )
        strengths[stem] = StrengthTold(alpha, stabilised)
        if alpha is not None and not _has_pattern_rank(stem, rank, here):
            network = next((one for one in networks if scales[one].ranks), WHOLE_FILE)
            unmatched.setdefault(network, set()).add(rank)
    for network, found in unmatched.items():
        told = scales[network].ranks if network in scales else []
        if told and not found & set(told):
            raise UnfaithfulLoad(
                f"the header tells rank {told[0]:g} and the tensors have rank {min(found)}: its alpha was "
                "meant for another size, so the strength is not known"
            )
    return strengths


def alpha_told(
    shapes: Shapes, metadata: Mapping[str, str], recorded: float | None
) -> tuple[float | None, str | None]:
    """The alpha that a file is merged with, as far as its header tells, and what is to be known of it.

    Args:
        recorded: what the record of the training says, which kohya's loaders do not read.
    """
    ranks: dict[str, int] = {}
    own: set[str] = set()
    for name, shape in shapes.items():
        stem, what = part_of(name) or ("", "")
        if what == "lora_down" and shape:
            ranks[stem] = shape[0]
        elif what == "alpha":
            own.add(stem)
    if not ranks:
        return recorded, None
    try:
        strengths = strengths_told(ranks, own, metadata)
    except UnfaithfulLoad as error:
        return None, str(error)
    named = [stem for stem in ranks if _network_of(stem) == DENOISER] or list(ranks)
    told = {stem: strengths[stem].alpha if stem in strengths else None for stem in named}
    numbers = sorted({alpha for alpha in told.values() if alpha is not None})
    if len(numbers) == 1 and None not in told.values():
        return numbers[0], None
    if numbers:
        return (
            None,
            f"the modules have different alphas, such as {numbers[0]:g}; each is merged with its own",
        )
    if own & ranks.keys():
        header = next(
            (alpha for scale in scales_told(metadata).values() for alpha in scale.alphas), None
        )
        kohya = "ss_network_alpha" in metadata
        if header is None or (kohya and header == recorded):
            return recorded, None
        note = f"the header tells alpha {header:g}; the alphas beside the tensors count before it"
        return (recorded if kohya else None), note
    if (
        recorded is None
        or {ranks[stem] for stem in named} == {recorded}
        or "ss_network_alpha" not in metadata
    ):
        return (recorded if "ss_network_alpha" in metadata else None), None
    return None, (
        f"the training's record tells alpha {recorded:g}, and no tensor brings it; loaders merge such a "
        "file with an alpha of its rank"
    )


def _level(scale: ScaleTold, open_stems: AbstractSet[str]) -> _Level:
    needed = bool(open_stems)  # Patterns say nothing of modules with their own alpha.
    return _Level(
        scale,
        ModulePatterns(scale.alpha_pattern if needed else {}),
        ModulePatterns(scale.rank_pattern if needed else {}),
    )


def _network_of(stem: str) -> str:
    if match := _ENCODER.search(stem):
        number = match["number"] or match["kohya"]
        return "text_encoder" if number in (None, "", "1") else f"text_encoder_{number}"
    return DENOISER


def _alpha_of(stem: str, levels: list[_Level]) -> float | None:
    """The alpha of a module, by the levels that can tell of it, the narrower first."""
    wider: float | None = None
    for level in levels:
        if wider is None and level.told.unusable:
            raise UnfaithfulLoad(
                f"the header tells {level.told.unusable[0]}, which is no single finite number over 0; "
                "the strength is not known"
            )
        alpha = level.alphas.number_of(stem)
        if alpha is not None:
            if wider is not None and wider != alpha:
                raise UnfaithfulLoad(_contradiction(wider, alpha))
            return alpha
        if wider is None and level.told.alphas:
            if len(level.told.alphas) > 1:
                low, *_, high = sorted(level.told.alphas)
                raise UnfaithfulLoad(_contradiction(low, high))
            wider = level.told.alphas[0]
    return wider


def _contradiction(one: float, other: float) -> str:
    return f"the header tells alpha {one:g} and alpha {other:g}; the strength is not known"


def _has_pattern_rank(stem: str, rank: int, levels: list[_Level]) -> bool:
    for level in levels:
        told = level.ranks.number_of(stem)
        if told is not None:
            if told != rank:
                raise UnfaithfulLoad(
                    f"the header tells rank {told:g} for {stem[:80]}, whose tensors have rank {rank}; "
                    "the strength is not known"
                )
            return True
    return False
