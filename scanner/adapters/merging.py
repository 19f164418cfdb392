"""Replace the weights of a pipeline by merged ones, and restore the originals.

Originals are never overwritten: a parameter is pointed at another tensor and later back again, so
that restoring is exact to the bit and costs nothing. Networks with CUDA graphs are an exception:
the graphs address weights by their memory, so the originals are copied, overwritten and copied
back, which is as exact and takes a few milliseconds on such a card. A merged weight is
W + s (W' - W), computed in float32 (float64 for float64) and rounded once to the pipeline's
precision. bfloat16 has 8 bits: rounding to nearest would lose every change under a 512th of its
weight, which is much of a weak adapter. So bfloat16 is rounded stochastically (Gupta et al., 2015),
with the same seed each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from scanner.adapters.algebra import (
    Factors,
    change_of_bias,
    change_of_weight,
    changes_bias,
    changes_weight,
    factors_of,
)
from scanner.adapters.cuda_graphs import is_recorded, original_of
from scanner.adapters.formats.definition import Size
from scanner.adapters.formats.registry import SETTINGS, size_of
from scanner.adapters.reading import Tensors, all_finite
from scanner.adapters.targets import Target, networks_of
from scanner.errors import UnfaithfulLoad

Tensor = torch.Tensor
Place = tuple[str, str, str]
"""Network, module path, parameter name."""


# Weights of one shape are changed in batches of this many numbers, 4 bytes each.
_BATCH_NUMBERS = 2**26


@dataclass(frozen=True, slots=True)
class Change:
    """A change W' - W of rows of one or more parameters.

    Attributes:
        places: for each parameter the index of the changed part, None for all rows, and the number
            of equal parts that its rows are divided into.
        delta: gives the change of the stacked rows, which it gets in computing precision.
        factors: of a change that is only a product; one kernel then changes several weights.
    """

    places: tuple[tuple[Place, int | None, int], ...]
    delta: Callable[[Tensor], Tensor]
    factors: Factors | None = None


def changes_of(name: str, parts: Tensors, target: Target) -> list[Change]:
    """The changes that one module of a file makes."""

    def places(parameter: str) -> tuple[tuple[Place, int | None, int], ...]:
        return tuple(
            ((piece.network, piece.path, parameter), piece.part, piece.parts)
            for piece in target.pieces
        )

    def converted(like: Tensor) -> Tensors:
        # Single numbers such as alpha stay on the CPU, where reading them does not wait for a
        # device.
        return {
            name: part.to("cpu" if name in SETTINGS else like.device).to(like.dtype)
            for name, part in parts.items()
        }

    size = size_of({part: tuple(tensor.shape) for part, tensor in parts.items()})

    def weight_delta(weight: Tensor) -> Tensor:
        if not _has_size(weight, size):
            shapes = ", ".join(str(tuple(part.shape)) for part in parts.values() if part.dim())
            raise UnfaithfulLoad(
                f"tensors of shapes {shapes} do not fit a weight of shape {tuple(weight.shape)}"
            )
        return change_of_weight(converted(weight), weight)

    changes = []
    if changes_weight(parts):
        changes.append(Change(places("weight"), weight_delta, factors_of(parts)))
    if changes_bias(parts):

        def bias_delta(bias: Tensor) -> Tensor:
            change = change_of_bias(converted(bias))
            if change is None or change.numel() != bias.numel():
                raise UnfaithfulLoad(f"{name} changes a bias of another size")
            return change.reshape(bias.shape)

        changes.append(Change(places("bias"), bias_delta))
    if not changes:
        raise UnfaithfulLoad(
            f"{name} holds only {', '.join(sorted(parts))}: no known adapter has just that"
        )
    return changes


def _has_size(weight: Tensor, size: Size) -> bool:
    """Whether a weight has these outputs and inputs, where they are known.

    The inputs of a convolution may be counted with its kernel.
    """
    outputs, inputs = size
    found = (weight.shape[1], weight[0].numel()) if weight.dim() > 1 else (0,)
    return outputs in (None, len(weight)) and (inputs is None or inputs in found)


class MergedAdapter:
    """Changes of a pipeline's parameters that can be scaled and removed again."""

    def __init__(
        self, pipeline: Any, changes: Iterable[Change], accelerator: MergedAdapter | None = None
    ) -> None:
        self._networks: Mapping[str, torch.nn.Module] = networks_of(pipeline)
        self.changes, self._accelerator = list(changes), accelerator
        places = dict.fromkeys(
            place for change in (*self.changes, *self._quick) for place, _, _ in change.places
        )
        self.module_count = len(
            {place[:2] for change in self.changes for place, _, _ in change.places}
        )
        self._parameters = {place: self._parameter(place) for place in places}
        # Parameters of recorded networks keep their memory.
        self._held = {place for place in places if is_recorded(self._networks[place[0]])}
        self._originals = {
            place: original_of(self._networks[place[0]], parameter)
            if place in self._held
            else parameter.data
            for place, parameter in self._parameters.items()
        }
        self._merged: dict[Place, Tensor] = {}
        self._state: tuple[float, bool] = (0.0, False)
        self._bare = True

    @property
    def _quick(self) -> list[Change]:
        return self._accelerator.changes if self._accelerator else []

    def set_scale(self, scale: float | None, *, accelerated: bool = False) -> None:
        """Set the strength of the changes; None switches them off, for the control.

        Args:
            accelerated: add the accelerator's changes, always at strength 1.
        """
        state = (scale or 0.0, accelerated and bool(self._quick))
        if state == self._state and not self._bare:
            return
        self.restore()
        if not state[0]:
            if state[1] and self._accelerator:
                # Larger models, which are not recorded, do not fit into memory with both merged.
                self.forget()
                self._accelerator.set_scale(1.0)
            return
        if self._accelerator:
            self._accelerator.forget()
        if state != self._state:
            self._merged = self._merge(*state)
            self._state = state
        self._bare = False
        self._put(self._merged)

    @property
    def networks(self) -> set[str]:
        """The names of the networks that the changes are in."""
        return {place[0] for change in self.changes for place, _, _ in change.places}

    def change_of(self, place: Place) -> Tensor | None:
        """Return what was last merged into a parameter, W' - W; None if it is not changed."""
        merged = self._merged.get(place)
        return None if merged is None else merged - self._originals[place]

    def restore(self) -> None:
        """Restore the original weights."""
        if not self._bare:
            self._put(self._originals)
            self._bare = True
        if self._accelerator:
            self._accelerator.restore()

    def forget(self) -> None:
        """Free the merged weights, except those of recorded networks, which are small."""
        if not self._held:
            self._merged, self._state = {}, (0.0, False)

    @torch.no_grad()
    def _put(self, tensors: Mapping[Place, Tensor]) -> None:
        for place in tensors.keys() - self._held:
            self._parameters[place].data = tensors[place]
        if held := list(tensors.keys() & self._held):
            torch._foreach_copy_(
                [self._parameters[place].data for place in held], [tensors[place] for place in held]
            )

    def _parameter(self, place: Place) -> torch.nn.Parameter:
        network, path, name = place
        parameter = getattr(self._networks[network].get_submodule(path), name, None)
        if parameter is None:
            raise UnfaithfulLoad(f"the file changes the {name} of {network}.{path}, which has none")
        return parameter  # type: ignore[no-any-return]

    @torch.no_grad()
    def _merge(self, scale: float, accelerated: bool) -> dict[Place, Tensor]:
        weighed = [(change, scale) for change in self.changes]
        weighed += [(change, 1.0) for change in self._quick if accelerated]
        chance: dict[torch.device, torch.Generator] = {}
        products = self._products(weighed)
        rest = [
            (change, strength)
            for change, strength in weighed
            if change.places[0][0] not in products
        ]
        merged = self._one_by_one(rest, chance)
        for places, tensors in self._together(products, chance):
            merged |= zip(places, tensors, strict=True)
        for place, good in zip(merged, all_finite(list(merged.values())), strict=True):
            if not good:
                raise UnfaithfulLoad(f"the change of {'.'.join(place)} is not finite")
        return merged

    def _one_by_one(
        self, weighed: list[tuple[Change, float]], chance: dict[torch.device, torch.Generator]
    ) -> dict[Place, Tensor]:
        merged: dict[Place, Tensor] = {}
        to_come = Counter(place for change, _ in weighed for place, _, _ in change.places)
        for change, strength in weighed:
            precision = _computing(self._originals[change.places[0][0]])
            rows = [
                _part(self._originals[place], part, parts).to(precision, copy=True)
                for place, part, parts in change.places
            ]
            delta = change.delta(torch.cat(rows) if len(rows) > 1 else rows[0])
            changes = torch.split(delta, [len(row) for row in rows])
            for (place, part, parts), own, changed in zip(
                change.places, rows, changes, strict=True
            ):
                if place not in merged:
                    merged[place] = (
                        own if part is None else self._originals[place].to(precision, copy=True)
                    )
                _part(merged[place], part, parts).add_(changed, alpha=strength)
                to_come[place] -= 1
                if not to_come[place]:
                    # All changes of a parameter are added in computing precision and rounded once.
                    # It is rounded as soon as the last is added, because of the size of Flux in
                    # float32.
                    merged[place] = _rounded(merged[place], self._originals[place].dtype, chance)
        return merged

    def _products(
        self, weighed: list[tuple[Change, float]]
    ) -> dict[Place, list[tuple[Factors, float]]]:
        """The parameters that only products change, and only as a whole."""
        products: dict[Place, list[tuple[Factors, float]]] = {}
        others: set[Place] = set()
        for change, strength in weighed:
            place, part, _ = change.places[0]
            original, factors = self._originals[place], change.factors
            if (
                factors is None
                or len(change.places) > 1
                or part is not None
                or not factors.fit(original)
            ):
                others |= {place for place, _, _ in change.places}
            else:
                products.setdefault(place, []).append((factors, strength))
        return {place: found for place, found in products.items() if place not in others}

    def _together(
        self,
        products: Mapping[Place, list[tuple[Factors, float]]],
        chance: dict[torch.device, torch.Generator],
    ) -> Iterator[tuple[list[Place], Iterable[Tensor]]]:
        """Merge parameters of one shape that products of the same shapes change, in batches.

        Launching a kernel for each step of each weight took ten times as long as the computation
        (SDXL on an H200).
        """
        alike: dict[Any, list[Place]] = {}
        for place, found in products.items():
            original = self._originals[place]
            shapes = tuple(
                (
                    factors.up.shape,
                    factors.up.dtype,
                    factors.down.dtype,
                    factors.scale * strength,
                )
                for factors, strength in found
            )
            alike.setdefault((original.shape, original.dtype, original.device, shapes), []).append(
                place
            )
        for (shape, dtype, device, shapes), places in alike.items():
            count = max(1, _BATCH_NUMBERS // shape.numel())
            for first in range(0, len(places), count):
                some = places[first : first + count]
                precision = _computing(self._originals[some[0]])
                changed = torch.stack([self._originals[place].flatten(1) for place in some]).to(
                    precision
                )
                for number, (_, _, _, strength) in enumerate(shapes):
                    batch = [products[place][number][0] for place in some]
                    up = torch.stack([factors.up.to(device) for factors in batch]).to(precision)
                    down = torch.stack([factors.down.to(device) for factors in batch]).to(precision)
                    changed.baddbmm_(up, down, alpha=strength)
                yield some, _rounded(changed, dtype, chance).reshape(len(some), *shape).unbind()


def _computing(original: Tensor) -> torch.dtype:
    return torch.float64 if original.dtype == torch.float64 else torch.float32


def _rounded(
    exact: Tensor, dtype: torch.dtype, chance: dict[torch.device, torch.Generator]
) -> Tensor:
    if dtype != torch.bfloat16 or exact.dtype != torch.float32:
        return exact.to(dtype)
    if exact.device not in chance:
        chance[exact.device] = torch.Generator(exact.device).manual_seed(0)
    # bfloat16 is the upper half of float32: adding a random number below 2^16 to the lower half
    # rounds up with the right probability.
    lower = torch.randint(
        0x10000, exact.shape, dtype=torch.int32, device=exact.device, generator=chance[exact.device]
    )
    return lower.add_(exact.view(torch.int32)).bitwise_and_(-0x10000).view(torch.float32).to(dtype)


def _part(tensor: Tensor, part: int | None, parts: int) -> Tensor:
    return tensor if part is None else tensor.chunk(parts)[part]
