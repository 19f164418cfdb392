"""Records for the names and sizes of a model's modules, and the rows that models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.adapters.formats.definition import Size

Modules = dict[str, Size]

Stacks = dict[str, tuple[int, Modules]]
"""The number of blocks and the modules of one block, by the name of the stack."""


COMMON = frozenset({"img_in", "txt_in", "x_embedder", "context_embedder"})


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The modules of one model.

    Attributes:
        family: as base_models.toml names it, if it is listed there.
        name: of the family, or of one of its sizes.
        stacks: the blocks of the model.
        outer: modules outside the blocks; only those that differ between models. A model without an
            entry for a module of COMMON may have that module in any size.
    """

    family: str
    name: str
    stacks: Mapping[str, tuple[int, Modules]]
    outer: Modules = field(default_factory=dict)


def square(width: int, *names: str) -> Modules:
    """Modules with equally many outputs and inputs."""
    return dict.fromkeys(names, (width, width))


def qkv(attention: str, width: int) -> Modules:
    """An attention's query, key, value and output."""
    return square(width, *(f"{attention}.to_{part}" for part in ("q", "k", "v", "out.0")))


def joint(width: int) -> Modules:
    """Joint attention over image and text; SimpleTuner fuses query, key and value."""
    added = square(
        width,
        *(f"attn.{part}" for part in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
    )
    return {**qkv("attn", width), **added, "attn.to_qkv": (3 * width, width)}


def feed(name: str, width: int, inner: int, gated: int = 1) -> Modules:
    """A feed-forward layer of two matrices.

    Args:
        gated: number of equal parts of the first matrix whose outputs are multiplied.
    """
    return {f"{name}.net.0.proj": (gated * inner, width), f"{name}.net.2": (width, inner)}
