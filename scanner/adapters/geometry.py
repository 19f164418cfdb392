"""What a model's modules are called and how large they are: the parts of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.adapters.formats.definition import Size

Modules = dict[str, Size]

Stacks = dict[str, tuple[int, Modules]]
"""By the name of a stack, how many blocks it has and the modules of one."""


COMMON = frozenset({"img_in", "txt_in", "x_embedder", "context_embedder"})


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The modules of one model.

    Attributes:
        family: as base_models.toml names it, if it is there.
        name: the family's, or what tells it from the family's other sizes.
        stacks: how many blocks lie above each other under each name, and the modules of one block.
        outer: modules outside the blocks; only those that tell models apart. A model without an entry for one of
            COMMON may have it all the same, of any size.
    """

    family: str
    name: str
    stacks: Mapping[str, tuple[int, Modules]]
    outer: Modules = field(default_factory=dict)


def square(width: int, *names: str) -> Modules:
    """Modules with as many outputs as inputs."""
    return dict.fromkeys(names, (width, width))


def qkv(attention: str, width: int) -> Modules:
    """An attention's query, key, value and output."""
    return square(width, *(f"{attention}.to_{part}" for part in ("q", "k", "v", "out.0")))


def joint(width: int) -> Modules:
    """Attention over image and text; SimpleTuner fuses query, key and value."""
    added = square(
        width,
        *(f"attn.{part}" for part in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
    )
    return {**qkv("attn", width), **added, "attn.to_qkv": (3 * width, width)}


def feed(name: str, width: int, inner: int, gated: int = 1) -> Modules:
    """A feed-forward layer of two matrices; `gated` of the first are multiplied with each other."""
    return {f"{name}.net.0.proj": (gated * inner, width), f"{name}.net.2": (width, inner)}
