"""What a module of this folder states about an adapter's algorithm.

The records are read without torch, so that headers are read fast. Functions that compute a change
import torch themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Array = np.ndarray[Any, np.dtype[np.float64]]

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by name, or of one module's tensors by part."""

Size = tuple[int | None, int | None]
"""Outputs and inputs of a module; None where the tensors do not determine the number."""

Parts = Mapping[str, "Tensor"]
"""The tensors of one module by part: lora_down, hada_w1_a, alpha, dora_scale, ..."""

Delta = Callable[[Parts, "Tensor"], "Tensor"]
"""Gives the change W' - W of a weight at full strength, in the precision of the weight."""

Arrays = Mapping[str, "Array"]
"""The same tensors as arrays of float64."""


class Projection(Protocol):
    """Random signs that a change is multiplied with from both sides; k of each, in float64."""

    def rows(self, count: int) -> Array:
        """The signs for a change with this number of outputs, [k, count]."""

    def columns(self, count: int) -> Array:
        """The signs for a change with this number of inputs, [count, k]."""


Project = Callable[[Arrays, Projection], "Array"]
"""Gives rows @ (W' - W) @ columns, [k, k], without the weight.

Spatial axes of a convolution are part of the inputs. Where the change depends on the weight, the
part that does not is projected; the format's function says which.
"""

ALPHA = frozenset({"alpha"})
SCALES = ALPHA | {"dora_scale"}
"""Parts that scale a change; only changes of low rank can be weight-decomposed (DoRA)."""


@dataclass(frozen=True, slots=True)
class FileTensors:
    """The tensors of a file, as the kind rules read them.

    Attributes:
        shapes: by name.
        parts: the shapes of all tensors that are one part of a module, by part.
    """

    shapes: Shapes
    parts: Mapping[str, list[tuple[int, ...]]]

    def has(self, *parts: str) -> bool:
        """Whether any tensor is one of these parts."""
        return any(part in self.parts for part in parts)


@dataclass(frozen=True, slots=True)
class KindRule:
    """A kind of file, and whether a file is of it."""

    kind: str
    holds: Callable[[FileTensors], bool]


@dataclass(frozen=True, slots=True)
class NamePattern:
    """Tensor names that no ending describes.

    Attributes:
        pattern: with the groups `stem`, the module's name, and `part`.
        parts: the part by the text of that group; a text that is missing is the part itself.
    """

    pattern: re.Pattern[str]
    parts: Mapping[str, str] = field(default_factory=dict)

    def part_of(self, name: str) -> tuple[str, str] | None:
        """The module's name and the part, None for another name."""
        match = self.pattern.match(name)
        return match and (match["stem"], self.parts.get(match["part"], match["part"]))


@dataclass(frozen=True, slots=True)
class WeightChange:
    """How one algorithm changes a weight.

    Attributes:
        mark: the part whose presence selects this algorithm.
        used: of a module's parts those that belong to the algorithm; None if the module is of
            another algorithm. Files with other parts are refused.
        delta: the change of a weight.
        project: the change between random signs, for fingerprints.
    """

    mark: str
    used: Callable[[AbstractSet[str]], AbstractSet[str] | None]
    delta: Delta
    project: Project


@dataclass(frozen=True, slots=True)
class BiasChange:
    """How one algorithm changes the bias beside a weight."""

    part: str
    delta: Callable[[Parts], Tensor]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What an algorithm does to the change that another one made.

    Attributes:
        mark: the part whose presence selects this algorithm.
        adjust: gives the final change from the parts, the weight and the first change.
    """

    mark: str
    adjust: Callable[[Parts, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class AdapterFormat:
    """Everything that the loader and triage know about one algorithm.

    Attributes:
        name: unique.
        endings: endings of tensor names and the part that each means.
        kinds: in the order in which they are tried.
        named_last: the kinds are tried after those of other formats, whose files often hold modules
            of this format too.
        patterns: names that no ending describes.
        weight_beside: an ending and a part. In a module that has a tensor with this ending, the
            plain weight is that part.
        changes: of weights, in the order in which the marks are tried.
        size: outputs and inputs of a module by the shapes of its parts; None if it has none of this
            format's parts.
        settings: parts that are single numbers and stay on the CPU.
    """

    name: str
    endings: tuple[tuple[str, str], ...]
    kinds: tuple[KindRule, ...] = ()
    named_last: bool = False
    patterns: tuple[NamePattern, ...] = ()
    weight_beside: tuple[str, str] | None = None
    changes: tuple[WeightChange, ...] = ()
    biases: tuple[BiasChange, ...] = ()
    adjustment: Adjustment | None = None
    size: Callable[[Shapes], Size | None] | None = None
    settings: frozenset[str] = frozenset()


def marked_by(
    *marks: str, used: AbstractSet[str]
) -> Callable[[AbstractSet[str]], AbstractSet[str] | None]:
    """The rule for an algorithm whose modules have any of the marks and only the used parts."""
    return lambda parts: used if parts & set(marks) else None


def kind_with(kind: str, *parts: str) -> KindRule:
    """The rule for a kind whose files have any of these parts."""
    return KindRule(kind, lambda tensors: tensors.has(*parts))


def dimension(parts: Shapes, part: str, axis: int) -> int | None:
    """One dimension of a part; None if the part is missing or has fewer dimensions."""
    shape = parts.get(part, ())
    return shape[axis] if len(shape) > axis else None
