"""Changed weights put in place of a pipeline's own, and the very same originals put back.

Originals are never written to: a parameter is pointed at another tensor and later back again, so that restoring is
exact to the bit and costs nothing. A merged weight is W + s (W' - W), worked out in float32 (float64 for float64) and
rounded once to the pipeline's precision. bfloat16 has 8 bits: rounded to the nearest, every change under a 512th of its
weight would vanish, which is much of a weak adapter; so it is rounded up or down by chance in proportion (stochastic
rounding, Gupta et al., 2015), with the same chances each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from scanner.adapters.algebra import change_of_bias, change_of_weight, changes_weight
from scanner.adapters.reading import Tensors, all_finite, answers
from scanner.adapters.targets import Target, networks_of
from scanner.errors import UnfaithfulLoad

Tensor = torch.Tensor
Place = tuple[str, str, str]
"""Network, module path, parameter name."""


_NUMBERS = frozenset({"alpha", "rslora", "on_input"})


@dataclass(frozen=True, slots=True)
class Change:
    """A change W' - W of the rows of one or more parameters that lie above each other.

    Attributes:
        places: parameters, each with its part of how many equal parts of its rows.
        delta: gives the change for the current rows, stacked; called with them in computing precision.
    """

    places: tuple[tuple[Place, int | None, int], ...]
    delta: Callable[[Tensor], Tensor]


def changes_of(name: str, parts: Tensors, target: Target) -> list[Change]:
    """The changes that one module of a file makes."""

    def places(parameter: str) -> tuple[tuple[Place, int | None, int], ...]:
        return tuple(((one.network, one.path, parameter), one.part, one.parts) for one in target.pieces)

    def converted(like: Tensor) -> Tensors:
        # Numbers such as alpha stay where they can be read without waiting for a device.
        return {
            what: part.to("cpu" if what in _NUMBERS else like.device).to(like.dtype) for what, part in parts.items()
        }

    changes = []
    if changes_weight(parts):
        changes.append(Change(places("weight"), lambda weight: change_of_weight(converted(weight), weight)))
    if any(what in parts for what in ("diff_b", "b_norm", "lora_bias")):

        def bias_delta(bias: Tensor) -> Tensor:
            change = change_of_bias(converted(bias))
            if change is None or change.numel() != bias.numel():
                raise UnfaithfulLoad(f"{name} changes a bias of another size")
            return change.reshape(bias.shape)

        changes.append(Change(places("bias"), bias_delta))
    if not changes:
        raise UnfaithfulLoad(f"{name} holds only {', '.join(sorted(parts))}: no known adapter has just that")
    return changes


class MergedAdapter:
    """Changes of a pipeline's parameters that can be weighed, switched off and taken out again."""

    def __init__(self, pipeline: Any, changes: Iterable[Change], accelerator: Iterable[Change] = ()) -> None:
        self._networks: Mapping[str, torch.nn.Module] = networks_of(pipeline)
        self._changes, self._accelerator = list(changes), list(accelerator)
        self.module_count = len({place[:2] for change in self._changes for place, _, _ in change.places})
        touched = {place for change in (*self._changes, *self._accelerator) for place, _, _ in change.places}
        self._parameters = {place: self._parameter(place) for place in touched}
        self._originals = {place: parameter.data for place, parameter in self._parameters.items()}
        self._merged: dict[Place, Tensor] = {}
        self._state: tuple[float, bool] = (0.0, False)

    def set_scale(self, scale: float | None, *, accelerated: bool = False) -> None:
        """Weigh the changes; None switches them off, which is the control. The accelerator has a strength of its own."""
        state = (scale or 0.0, accelerated and bool(self._accelerator))
        if state == (0.0, False):
            self.restore()
            return
        if state != self._state:
            self.restore()
            self._merged = self._merge(*state)
            self._state = state
        for place, tensor in self._merged.items():
            self._parameters[place].data = tensor

    def restore(self) -> None:
        """Put the very tensors back that were there before."""
        for place, tensor in self._originals.items():
            self._parameters[place].data = tensor

    def _parameter(self, place: Place) -> torch.nn.Parameter:
        network, path, name = place
        parameter = getattr(self._networks[network].get_submodule(path), name, None)
        if parameter is None:
            raise UnfaithfulLoad(f"the file changes the {name} of {network}.{path}, which has none")
        return parameter  # type: ignore[no-any-return]

    @torch.no_grad()
    def _merge(self, scale: float, accelerated: bool) -> dict[Place, Tensor]:
        merged: dict[Place, Tensor] = {}
        finite: list[Tensor] = []
        weighed = [(change, scale) for change in self._changes if scale]
        weighed += [(change, 1.0) for change in self._accelerator if accelerated]
        chance: dict[torch.device, torch.Generator] = {}
        to_come = Counter(place for change, _ in weighed for place, _, _ in change.places)
        for change, strength in weighed:
            first = self._originals[change.places[0][0]]
            precision = torch.float64 if first.dtype == torch.float64 else torch.float32
            rows = [_part(self._originals[place], part, parts).to(precision) for place, part, parts in change.places]
            stacked = torch.cat(rows) if len(rows) > 1 else rows[0]
            delta = change.delta(stacked)
            finite.append(all_finite(delta))
            changes = torch.split(delta, [len(row) for row in rows])
            for (place, part, parts), changed in zip(change.places, changes, strict=True):
                self._add(merged, place, (part, parts), strength * changed)
                to_come[place] -= 1
                if not to_come[place]:
                    # Several changes of one parameter add up in computing precision before the one rounding; it is
                    # rounded as soon as they have, or Flux would need twice its own size once more.
                    merged[place] = _rounded(merged[place], self._originals[place].dtype, chance)
        for (change, _), good in zip(weighed, answers(finite), strict=True):
            if not good:
                raise UnfaithfulLoad(f"the change of {'.'.join(change.places[0][0])} is not finite")
        return merged

    def _add(self, merged: dict[Place, Tensor], place: Place, which: tuple[int | None, int], change: Tensor) -> None:
        if place not in merged:
            merged[place] = self._originals[place].to(change.dtype, copy=True)
        _part(merged[place], *which).add_(change)


def _rounded(exact: Tensor, dtype: torch.dtype, chance: dict[torch.device, torch.Generator]) -> Tensor:
    if dtype != torch.bfloat16 or exact.dtype != torch.float32:
        return exact.to(dtype)
    if exact.device not in chance:
        chance[exact.device] = torch.Generator(exact.device).manual_seed(0)
    # bfloat16 is the upper half of float32: a number below 2^16 added to the lower half carries over by chance.
    lower = torch.randint(0x10000, exact.shape, dtype=torch.int32, device=exact.device, generator=chance[exact.device])
    return lower.add_(exact.view(torch.int32)).bitwise_and_(-0x10000).view(torch.float32).to(dtype)


def _part(tensor: Tensor, part: int | None, parts: int) -> Tensor:
    return tensor if part is None else tensor.chunk(parts)[part]
