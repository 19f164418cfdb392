"""The strength with which a header says to merge each module, for loading and for triage.

A module's own alpha counts first, then the header's value for its network, then the header's value
for the whole file; a pattern of module names counts before the number for all modules. Headers that
contradict this order are refused. kohya's ss_network_alpha records the training; no loader reads
it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from crawlers.checkpoints.adapter_scale import DENOISER, WHOLE_FILE, HeaderScale, scales_in
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.module_patterns import ModulePatterns
from scanner.adapters.tensor_names import part_of
from scanner.errors import UnfaithfulLoad

_ENCODER = re.compile(
    r"(?:^|\.)text_encoder(?:_(?P<number>[23]))?[.:]|^(?:lora|lycoris)_te(?P<kohya>[123]?)_"
)


@dataclass(frozen=True, slots=True)
class HeaderStrength:
    """The strength of one module by the header.

    Attributes:
        alpha: None if the module has its own, or the header states none.
        rank_stabilised: the change is divided by the root of the rank.
    """

    alpha: float | None
    rank_stabilised: bool


@dataclass(frozen=True, slots=True)
class _Level:
    """The values of a header for one network or for the whole file, with compiled patterns."""

    scale: HeaderScale
    alphas: ModulePatterns
    ranks: ModulePatterns


def strengths_in_header(
    ranks: Mapping[str, int], own_alphas: AbstractSet[str], metadata: Mapping[str, str]
) -> dict[str, HeaderStrength]:
    """The strength of each low-rank module by the header.

    Args:
        ranks: by the module's name in the file.
        own_alphas: names of modules that have a tensor for alpha.

    Raises:
        UnfaithfulLoad: the header contradicts itself or the tensors, so that the strength is not
            known.
    """
    scales = scales_in(metadata)
    levels = {
        network: _level(scale, ranks.keys() - own_alphas) for network, scale in scales.items()
    }
    strengths: dict[str, HeaderStrength] = {}
    unmatched: dict[str, set[int]] = {}
    for stem, rank in ranks.items() if levels else ():
        networks = [network for network in (_network_of(stem), WHOLE_FILE) if network in levels]
        applying = [levels[network] for network in networks]
        alpha = None if stem in own_alphas else _alpha_of(stem, applying)
        stabilised = next(
            (
                level.scale.rank_stabilised
                for level in applying
                if level.scale.rank_stabilised is not None
            ),
            False,
        )
        strengths[stem] = HeaderStrength(alpha, stabilised)
        if alpha is not None and not _has_pattern_rank(stem, rank, applying):
            network = next((network for network in networks if scales[network].ranks), WHOLE_FILE)
            unmatched.setdefault(network, set()).add(rank)
    for network, found in unmatched.items():
        stated = scales[network].ranks if network in scales else []
        if stated and not found & set(stated):
            raise UnfaithfulLoad(
                f"the header tells rank {stated[0]:g} and the tensors have rank {min(found)}: its "
                "alpha was meant for another size, so the strength is not known"
            )
    return strengths


def alpha_in_header(
    shapes: Shapes, metadata: Mapping[str, str], recorded: float | None
) -> tuple[float | None, str | None]:
    """The alpha that a file is merged with, as far as its header states it, and a remark about it.

    Args:
        recorded: alpha in the record of the training, which kohya's loaders do not read.
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
        strengths = strengths_in_header(ranks, own, metadata)
    except UnfaithfulLoad as error:
        return None, str(error)
    named = [stem for stem in ranks if _network_of(stem) == DENOISER] or list(ranks)
    alphas = [strengths[stem].alpha if stem in strengths else None for stem in named]
    numbers = sorted({alpha for alpha in alphas if alpha is not None})
    if len(numbers) == 1 and None not in alphas:
        return numbers[0], None
    if numbers:
        return None, (
            f"the modules have different alphas, such as {numbers[0]:g}; each is merged with its "
            "own"
        )
    if own & ranks.keys():
        header = next(
            (alpha for scale in scales_in(metadata).values() for alpha in scale.alphas), None
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
        f"the training's record tells alpha {recorded:g}, and no tensor brings it; loaders merge "
        "such a file with an alpha of its rank"
    )


def _level(scale: HeaderScale, open_stems: AbstractSet[str]) -> _Level:
    needed = bool(open_stems)  # Patterns do not apply to modules with their own alpha.
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
    """The alpha of a module by the levels that apply to it, the most specific level first."""
    wider: float | None = None
    for level in levels:
        if wider is None and level.scale.unusable:
            raise UnfaithfulLoad(
                f"the header tells {level.scale.unusable[0]}, which is no single finite number "
                "over 0; the strength is not known"
            )
        alpha = level.alphas.number_of(stem)
        if alpha is not None:
            if wider is not None and wider != alpha:
                raise UnfaithfulLoad(_contradiction(wider, alpha))
            return alpha
        if wider is None and level.scale.alphas:
            if len(level.scale.alphas) > 1:
                low, *_, high = sorted(level.scale.alphas)
                raise UnfaithfulLoad(_contradiction(low, high))
            wider = level.scale.alphas[0]
    return wider


def _contradiction(first: float, second: float) -> str:
    return f"the header tells alpha {first:g} and alpha {second:g}; the strength is not known"


def _has_pattern_rank(stem: str, rank: int, levels: list[_Level]) -> bool:
    for level in levels:
        stated = level.ranks.number_of(stem)
        if stated is not None:
            if stated != rank:
                raise UnfaithfulLoad(
                    f"the header tells rank {stated:g} for {stem[:80]}, whose tensors have rank "
                    f"{rank}; the strength is not known"
                )
            return True
    return False
