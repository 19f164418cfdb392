"""All formats of adapters, and what follows from them.

A new format is a module of this folder and one entry of FORMATS.
"""

from __future__ import annotations

from scanner.adapters.formats.definition import AdapterFormat, Shapes, Size
from scanner.adapters.formats.difference import DIFFERENCE
from scanner.adapters.formats.dora import DORA
from scanner.adapters.formats.glora import GLORA
from scanner.adapters.formats.ia3 import IA3
from scanner.adapters.formats.loha import LOHA
from scanner.adapters.formats.lokr import LOKR
from scanner.adapters.formats.lora import LORA
from scanner.adapters.formats.oft import OFT

FORMATS: tuple[AdapterFormat, ...] = (
    DORA,
    LORA,
    LOHA,
    LOKR,
    OFT,
    IA3,
    GLORA,
    DIFFERENCE,
)
"""Of a module with parts of several formats, only the parts of the first are not left over."""


def _unique(values: list[str], what: str) -> None:
    if twice := {value for value in values if values.count(value) > 1}:
        raise ValueError(f"two adapter formats have the same {what}: {', '.join(sorted(twice))}")


ENDINGS = (
    (".alpha", "alpha"),
    *(ending for adapter in FORMATS for ending in adapter.endings),
)
"""Endings of tensor names and the part that each means."""

PATTERNS = tuple(pattern for adapter in FORMATS for pattern in adapter.patterns)
KIND_RULES = tuple(
    rule
    for adapter in sorted(FORMATS, key=lambda adapter: adapter.named_last)
    for rule in adapter.kinds
)
"""The first rule that holds names the kind of a file."""

ADAPTER_KINDS = tuple(rule.kind for rule in KIND_RULES)
SCANNABLE_KINDS = (*ADAPTER_KINDS, "textual-inversion", "checkpoint")
"""The kinds that can be loaded and sampled."""

WEIGHTS_BESIDE = tuple(
    adapter.weight_beside for adapter in FORMATS if adapter.weight_beside is not None
)
WEIGHT_CHANGES = tuple(change for adapter in FORMATS for change in adapter.changes)
BIAS_CHANGES = tuple(bias for adapter in reversed(FORMATS) for bias in adapter.biases)
"""The first one that a module has is used; a difference counts before the bias of a LoRA."""

ADJUSTMENTS = tuple(adapter.adjustment for adapter in FORMATS if adapter.adjustment is not None)
SETTINGS = frozenset({"alpha", "rslora"}).union(*(adapter.settings for adapter in FORMATS))
"""Parts that are single numbers, which stay on the CPU."""

_unique([adapter.name for adapter in FORMATS], "name")
_unique([ending for ending, _ in ENDINGS], "ending")
_unique([rule.kind for rule in KIND_RULES], "kind")
_unique([change.mark for change in WEIGHT_CHANGES], "mark")


def size_of(parts: Shapes) -> Size:
    """Outputs and inputs of a module by the shapes of its parts, as far as they determine them."""
    sizes = (adapter.size(parts) for adapter in FORMATS if adapter.size is not None)
    return next((size for size in sizes if size is not None), (None, None))
