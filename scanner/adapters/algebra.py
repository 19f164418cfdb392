"""What each kind of adapter does to one weight, as plain tensor algebra.

Every function gives the whole change of a weight at full strength, W' - W, in the weight's own precision; at another
strength s the weight becomes W + s (W' - W). Sources: kohya sd-scripts networks/lora.py and oft.py; LyCORIS
modules/ (Yeh et al., ICLR 2024); DoRA (Liu et al., ICML 2024); IA3 (Liu et al., NeurIPS 2022); OFT (Qiu et al.,
NeurIPS 2023); BOFT (Liu et al., ICLR 2024); GLoRA (Chavan et al., 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from scanner.errors import UnfaithfulLoad

Tensor = torch.Tensor
Parts = Mapping[str, Tensor]
"""The tensors of one module by what they are: lora_down, hada_w1_a, alpha, dora_scale, ..."""


@dataclass(frozen=True, slots=True)
class Factors:
    """A change that is nothing but a product, scale * up @ down.

    Attributes:
        up: [out, rank], in the file's precision.
        down: [rank, in], the spatial axes of a convolution flattened into `in`.
    """

    up: Tensor
    down: Tensor
    scale: float

    def fit(self, weight: Tensor) -> bool:
        """Whether the product has the weight's shape."""
        flat = (len(weight), weight.numel() // max(len(weight), 1))
        return (
            weight.dim() > 1
            and self.up.shape[1] == len(self.down)
            and (len(self.up), self.down.shape[1]) == flat
        )


def factors_of(parts: Parts) -> Factors | None:
    """The factors of a LoRA; None where there is more to the change."""
    if not parts.keys() >= {"lora_down", "lora_up"} or parts.keys() & {"lora_mid", "dora_scale"}:
        return None
    up, down = parts["lora_up"], parts["lora_down"]
    if (
        min(up.dim(), down.dim()) < 2
        or not len(down)
        or parts.get("alpha", up[:1, :1]).numel() != 1
    ):
        return None
    return Factors(up.flatten(1), down.flatten(1), scale_of(parts, "lora_down"))


def change_of_weight(parts: Parts, weight: Tensor) -> Tensor:
    """The change W' - W of one weight.

    Args:
        parts: every tensor that the file holds for it, in the weight's precision and on its device.
        weight: [out, in] or [out, in, height, width].

    Raises:
        UnfaithfulLoad: the parts belong to no known algorithm, or do not fit the weight.
    """
    for mark, change in _ALGORITHMS.items():
        if mark in parts:
            try:
                delta = change(parts, weight)
                if "dora_scale" in parts:
                    delta = _weight_decomposed(parts["dora_scale"], weight, delta)
            except (RuntimeError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
                shapes = {name: tuple(part.shape) for name, part in parts.items()}
                raise UnfaithfulLoad(
                    f"tensors of shapes {shapes} do not fit a weight of shape {tuple(weight.shape)}"
                ) from error
            if delta.shape != weight.shape:
                raise UnfaithfulLoad(
                    f"a change of shape {tuple(delta.shape)} does not fit a weight of shape {tuple(weight.shape)}"
                )
            return delta
    raise UnfaithfulLoad(f"no known adapter algorithm has the tensors {', '.join(sorted(parts))}")


def change_of_bias(parts: Parts) -> Tensor | None:
    """The change of the bias beside a weight, None if the parts hold none."""
    for name in ("diff_b", "b_norm", "lora_bias"):
        if name in parts:
            return (
                parts[name] * scale_of(parts, "lora_down") if name == "lora_bias" else parts[name]
            )
    return None


def changes_weight(parts: Parts) -> bool:
    """Whether there is more among the parts than a bias."""
    return any(mark in parts for mark in _ALGORITHMS)


def scale_of(parts: Parts, ranked: str, axis: int = 0) -> float:
    """Alpha / rank; alpha is the rank where it is missing or 0."""
    if ranked not in parts:
        return 1.0
    rank = parts[ranked].shape[axis]
    alpha = float(parts["alpha"]) if "alpha" in parts else 0.0
    return (alpha or rank) / (math.sqrt(rank) if "rslora" in parts else rank)


def _tucker(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """[i, j, ...] x [i, p] x [j, r] -> [p, r, ...]."""
    return torch.einsum("ij...,ip,jr->pr...", core, left, right)


def _low_rank(parts: Parts, weight: Tensor) -> Tensor:
    up, down = parts["lora_up"].flatten(1), parts["lora_down"]
    scale = scale_of(parts, "lora_down")
    if "lora_mid" in parts:
        return _tucker(parts["lora_mid"], up.T, down.flatten(1)) * scale
    return (up @ down.flatten(1)).reshape(weight.shape) * scale


def _hadamard(parts: Parts, weight: Tensor) -> Tensor:
    halves = []
    for number in ("1", "2"):
        left, right = parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"]
        core = parts.get(f"hada_t{number}")
        halves.append(left @ right if core is None else _tucker(core, left, right))
    return (halves[0] * halves[1]).reshape(weight.shape) * scale_of(parts, "hada_w1_b")


def _kronecker(parts: Parts, weight: Tensor) -> Tensor:
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = _tucker(parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"].flatten(1)
        second = second.reshape(len(second), *parts["lokr_w2_b"].shape[1:])
    # Only a factor that is itself of low rank has a rank to divide by (LyCORIS sets the scale to 1 else).
    ranked = "lokr_w2_b" if "lokr_w2_b" in parts else "lokr_w1_b"
    first = first.reshape(*first.shape, *[1] * (second.dim() - 2))
    return torch.kron(first, second.contiguous()).reshape(weight.shape) * scale_of(parts, ranked)


def _generalised(parts: Parts, weight: Tensor) -> Tensor:
    """GLoRA: (W a1 a2 + b1 b2) scale, the products along the input channels."""
    a1, a2, b1, b2 = (parts[name] for name in ("a1", "a2", "b1", "b2"))
    if len(b1) != len(weight) and len(b2) == len(weight):
        # LyCORIS before 2.0 named the factors of both products the other way round.
        a1, a2, b1, b2 = a2, a1, b2, b1
    if "bm" in parts:
        added = _tucker(parts["bm"], b1.flatten(1).T, b2.flatten(1))
    else:
        added = (b1.flatten(1) @ b2.flatten(1)).reshape(weight.shape)
    turned = torch.einsum("oi...,ij,jk->ok...", weight, a1.flatten(1), a2.flatten(1))
    return (turned + added) * scale_of({**parts, "b2": b2}, "b2")


def _scaled_inputs_or_outputs(parts: Parts, weight: Tensor) -> Tensor:
    """IA3: every input or output channel by a factor 1 + w."""
    axis = 1 if float(parts["on_input"]) else 0
    shape = [1] * weight.dim()
    shape[axis] = weight.shape[axis]
    return weight * parts["ia3"].reshape(shape)


def _rotations(blocks: Tensor, constraint: float) -> Tensor:
    """Cayley transform of skew-symmetric blocks, [..., b, b]."""
    skew = blocks - blocks.transpose(-1, -2)
    size = float(skew.norm()) + 1e-8
    if constraint > 0 and size > constraint:
        skew = skew * (constraint / size)
    identity = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    rotations: Tensor = (identity + skew) @ torch.linalg.inv(identity - skew)
    return rotations


def _orthogonal(parts: Parts, weight: Tensor) -> Tensor:
    """OFT (blocks on the diagonal, 3-d) and BOFT (butterflies, 4-d): output channels rotated among each other."""
    blocks = parts["oft_blocks"]
    constraint = float(parts["alpha"]) * len(weight) if "alpha" in parts else 0.0
    rotations = _rotations(blocks, constraint)
    if blocks.dim() == 3:
        count, side, _ = rotations.shape
        turned = torch.einsum(
            "knm,kn...->km...", rotations, weight.reshape(count, side, *weight.shape[1:])
        )
        turned = turned.reshape(weight.shape)
    else:
        turned = weight
        for stage, rotation in enumerate(rotations):
            turned = _butterfly(turned, rotation, stage)
    if "rescale" in parts:
        turned = turned * parts["rescale"].reshape(len(weight), *[1] * (weight.dim() - 1))
    return turned - weight


def _orthogonal_parts(parts: Parts, weight: Tensor) -> Tensor:
    """OFT of a fused matrix, as kohya trains it: each of its parts is rotated by itself, within a constraint of its own."""
    rows = 0
    changes: list[Tensor] = []
    for number in range(sum(what.startswith("oft_blocks.") for what in parts)):
        blocks = parts[f"oft_blocks.{number}"]
        own = weight[rows : rows + blocks.shape[0] * blocks.shape[1]]
        changes.append(_orthogonal({**parts, "oft_blocks": blocks}, own))
        rows += len(own)
    return torch.cat(changes)


def _butterfly(weight: Tensor, rotation: Tensor, stage: int) -> Tensor:
    """One stage of BOFT: channels 2^stage half-blocks apart are brought together, rotated, and put back."""
    side = rotation.shape[-1]
    stride = 2**stage * (side // 2)
    rest = weight.shape[1:]
    together = weight.reshape(-1, 2, stride, *rest).transpose(1, 2).reshape(-1, side, *rest)
    rotated = torch.einsum("bij,bj...->bi...", rotation, together)
    return rotated.reshape(-1, stride, 2, *rest).transpose(1, 2).reshape(weight.shape)


def _difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["diff"].reshape(weight.shape)


def _norm_difference(parts: Parts, weight: Tensor) -> Tensor:
    return parts["w_norm"].reshape(weight.shape)


def _weight_decomposed(magnitude: Tensor, weight: Tensor, delta: Tensor) -> Tensor:
    """DoRA: the direction of W + delta at a learned length for each output (or, in older files, each input)."""
    merged = weight + delta
    if magnitude.dim() > 1 and magnitude.shape[0] == 1 and magnitude.shape[1] == weight.shape[1]:
        lengths = (
            merged.transpose(0, 1).flatten(1).norm(dim=1).reshape(1, -1, *[1] * (weight.dim() - 2))
        )
        wanted = magnitude.reshape(lengths.shape)
    else:
        lengths = merged.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
        wanted = magnitude.reshape(lengths.shape)
    gain: Tensor = wanted / (lengths + torch.finfo(weight.dtype).eps)
    return merged * gain - weight


_ALGORITHMS: dict[str, Callable[[Parts, Tensor], Tensor]] = {
    "lora_down": _low_rank,
    "hada_w1_b": _hadamard,
    "lokr_w1": _kronecker,
    "lokr_w1_a": _kronecker,
    "a1": _generalised,
    "ia3": _scaled_inputs_or_outputs,
    "oft_blocks": _orthogonal,
    "oft_blocks.0": _orthogonal_parts,
    "diff": _difference,
    "w_norm": _norm_difference,
}
