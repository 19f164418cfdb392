"""Merges worked out by hand in float64, and the comparison of a loaded file with them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from scanner.adapters.loading import loaded_into
from scanner.adapters.targets import networks_of

RANK = 3


def digest(pipeline: Any) -> str:
    found = hashlib.sha256()
    for name, network in sorted(networks_of(pipeline).items()):
        for key, tensor in sorted(network.state_dict().items()):
            found.update(f"{name}.{key}".encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def weight_of(pipeline: Any, place: str) -> torch.Tensor:
    network, _, path = place.partition(":")
    return getattr(pipeline, network).get_submodule(path).weight.data  # type: ignore[no-any-return]


def pair(out: int, inner: int, seed: int, *kernel: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(RANK, inner, *kernel, generator=generator)
    return down, torch.randn(out, RANK, *([1] * len(kernel)), generator=generator)


def delta_of(down: torch.Tensor, up: torch.Tensor, alpha: float = RANK) -> torch.Tensor:
    product = up.double().flatten(1) @ down.double().flatten(1) * (alpha / RANK)
    return product.reshape(len(up), *down.shape[1:])


def check_merge(
    path: Path,
    pipeline: Any,
    tensors: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    *,
    kind: str = "lora",
    scale: float = 1.0,
    metadata: dict[str, str] | None = None,
    route: str = "merged",
) -> None:
    """Load tensors into a pipeline, compare every weight, and check that all are restored.

    Args:
        path: where the file is written.
        expected: by "network:module path", the change of its weight in float64.
    """
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata
    )
    before = digest(pipeline)
    originals = {place: weight_of(pipeline, place).double().clone() for place in expected}
    with loaded_into(pipeline, path, kind, "any", "") as loaded:
        assert loaded.route == route
        assert loaded.changes.module_count == len(expected)
        loaded.changes.set_scale(scale)
        for place, delta in expected.items():
            got = weight_of(pipeline, place).double() - originals[place]
            torch.testing.assert_close(got, scale * delta.reshape(got.shape), atol=2e-6, rtol=1e-5)
        loaded.changes.set_scale(None)
        assert digest(pipeline) == before
        loaded.changes.set_scale(scale)
    assert digest(pipeline) == before
