"""OFT and BOFT: outputs of W rotated in blocks, or by butterflies.

Sources: Qiu et al., NeurIPS 2023; Liu et al., ICLR 2024; kohya sd-scripts networks/oft.py and
oft_flux.py; LyCORIS modules/diag_oft.py and boft.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from scanner.adapters.formats.definition import (
    ALPHA,
    AdapterFormat,
    Arrays,
    FileTensors,
    KindRule,
    NamePattern,
    Parts,
    Projection,
    Shapes,
    Size,
    WeightChange,
    marked_by,
)

if TYPE_CHECKING:
    from torch import Tensor

    from scanner.adapters.formats.definition import Array, Delta

_NAMES = re.compile(r"\.(oft_diag|oft_R\.weight|oft_R\.[^.]+\.weight|oft_blocks(\.\d+)?)$")
_NUMBERED = "oft_blocks."


def _has_rotations(tensors: FileTensors) -> bool:
    return any(_NAMES.search(name) for name in tensors.shapes)


def _has_butterflies(tensors: FileTensors) -> bool:
    return any(len(shape) == 4 for shape in tensors.parts.get("oft_blocks", ()))


def _numbered_used(parts: AbstractSet[str]) -> AbstractSet[str] | None:
    """All numbered rotations if none is missing, else none of them."""
    rotations = {part for part in parts if part.startswith(_NUMBERED)}
    if not rotations:
        return None
    complete = rotations == {f"{_NUMBERED}{number}" for number in range(len(rotations))}
    return ALPHA | rotations if complete else ALPHA


def _rotations(blocks: Tensor, constraint: float) -> Tensor:
    """Cayley transform of skew-symmetric blocks, [..., b, b]."""
    import torch

    skew = blocks - blocks.transpose(-1, -2)
    size = float(skew.norm()) + 1e-8
    if constraint > 0 and size > constraint:
        skew = skew * (constraint / size)
    identity = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    rotations: Tensor = (identity + skew) @ torch.linalg.inv(identity - skew)
    return rotations


def _delta(parts: Parts, weight: Tensor) -> Tensor:
    """OFT (blocks on the diagonal, 3-d) and BOFT (butterflies, 4-d) rotate output channels."""
    import torch

    blocks = parts["oft_blocks"]
    constraint = float(parts["alpha"]) * len(weight) if "alpha" in parts else 0.0
    rotations = _rotations(blocks, constraint)
    if blocks.dim() == 3:
        count, side, _ = rotations.shape
        rows = weight.reshape(count, side, *weight.shape[1:])
        turned = torch.einsum("knm,kn...->km...", rotations, rows).reshape(weight.shape)
    else:
        turned = weight
        for stage, rotation in enumerate(rotations):
            turned = _butterfly(turned, rotation, stage)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(len(weight), *[1] * (weight.dim() - 1))
    return turned - weight


def _delta_of_fused(parts: Parts, weight: Tensor) -> Tensor:
    """Kohya's OFT for Flux.1: each part of a fused matrix has its own rotation and constraint."""
    import torch

    rows = 0
    changes: list[Tensor] = []
    for number in range(sum(part.startswith(_NUMBERED) for part in parts)):
        blocks = parts[f"{_NUMBERED}{number}"]
        own = weight[rows : rows + blocks.shape[0] * blocks.shape[1]]
        changes.append(_delta({**parts, "oft_blocks": blocks}, own))
        rows += len(own)
    return torch.cat(changes)


def _butterfly(weight: Tensor, rotation: Tensor, stage: int) -> Tensor:
    """One stage of BOFT: gather channels 2^stage half-blocks apart, rotate, put them back."""
    import torch

    side = rotation.shape[-1]
    stride = 2**stage * (side // 2)
    rest = weight.shape[1:]
    together = weight.reshape(-1, 2, stride, *rest).transpose(1, 2).reshape(-1, side, *rest)
    rotated = torch.einsum("bij,bj...->bi...", rotation, together)
    return rotated.reshape(-1, stride, 2, *rest).transpose(1, 2).reshape(weight.shape)


def _projected(delta: Delta) -> Callable[[Arrays, Projection], Array]:
    """Between signs, the rotation of an identity matrix in place of the weight."""

    def project(parts: Arrays, signs: Projection) -> Array:
        import torch

        outputs, _ = _size({name: part.shape for name, part in parts.items()}) or (0, None)
        columns = torch.from_numpy(signs.columns(outputs or 0).copy())
        turned = delta({name: torch.from_numpy(part) for name, part in parts.items()}, columns)
        between: Array = signs.rows(len(turned)) @ turned.numpy()
        return between

    return project


def _size(parts: Shapes) -> Size | None:
    rotations = [shape for part, shape in parts.items() if part.startswith("oft_blocks")]
    if not rotations or not all(len(shape) in (3, 4) for shape in rotations):
        return None
    return sum(shape[-3] * shape[-2] for shape in rotations), None


OFT = AdapterFormat(
    "OFT",
    endings=((".oft_blocks", "oft_blocks"), (".rescale", "rescale")),
    # kohya's OFT for Flux.1 rotates each part of a fused matrix separately (networks/oft_flux.py).
    patterns=(NamePattern(re.compile(r"^(?P<stem>.+)\.(?P<part>oft_blocks\.\d{1,3})$")),),
    kinds=(KindRule("boft", _has_butterflies), KindRule("oft", _has_rotations)),
    changes=(
        WeightChange("oft_blocks.0", _numbered_used, _delta_of_fused, _projected(_delta_of_fused)),
        WeightChange(
            "oft_blocks",
            marked_by("oft_blocks", used=ALPHA | {"oft_blocks", "rescale"}),
            _delta,
            _projected(_delta),
        ),
    ),
    size=_size,
)
