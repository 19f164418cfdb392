"""Full checkpoints: a file that holds a whole model takes the place of the base model's networks, and leaves again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from scanner.adapters.targets import networks_of
from scanner.errors import UnfaithfulLoad, first_line

log = logging.getLogger(__name__)

SINGLE_FILE_FAMILIES = ("Miniature", "SD1", "SD2", "SDXL")
# Buffers and heads that originals keep and diffusers' pipelines do not.
_NOT_NEEDED = (
    "alphas_cumprod", "betas", "sqrt_", "log_one_minus", "posterior_", "logvar", "model_ema.", "cond_stage_model.logit_scale",
    "denoiser.sigmas", "lvlb_weights", "position_ids", "logit_scale", "text_projection", "conditioner.embedders.0.logit_scale",
)  # fmt: skip


class WholeModel:
    """A checkpoint's networks that can stand in a pipeline in place of the base model's."""

    def __init__(self, pipeline: Any, networks: dict[str, torch.nn.Module]) -> None:
        self._pipeline, self._networks = pipeline, networks
        self._originals = {name: getattr(pipeline, name) for name in networks}

    @property
    def module_count(self) -> int:
        """How many networks are replaced."""
        return len(self._networks)

    def set_scale(self, scale: float | None, *, accelerated: bool = False) -> None:  # noqa: ARG002  goes without
        """Stand in for the base model; None for the base model itself. There is nothing between the two."""
        for name, network in (self._originals if scale is None else self._networks).items():
            setattr(self._pipeline, name, network)

    def restore(self) -> None:
        """Put the base model's own networks back."""
        self.set_scale(None)


def whole_model(pipeline: Any, path: Path, config: str, cache: Path | None) -> WholeModel:
    """Load a single-file checkpoint beside a pipeline of its family.

    Args:
        config: folder or hub id of the base model, whose configurations say how the networks are built.
        cache: where the hub's client keeps its files.

    Raises:
        UnfaithfulLoad: diffusers cannot build it, or left weights of the networks unfilled.
    """
    first = next(iter(networks_of(pipeline).values()))
    device, dtype = first.device, first.dtype
    try:
        loaded = type(pipeline).from_single_file(
            str(path), config=config, dtype=dtype, safety_checker=None, cache_dir=cache, local_files_only=True
        )
    except Exception as error:  # diffusers, safetensors and torch each have error trees of their own
        log.info("%s", path.name, exc_info=True)
        raise UnfaithfulLoad(f"diffusers cannot load this checkpoint: {first_line(error)}") from error
    networks = {
        name: network if network.device == device else network.to(device)
        for name in (*networks_of(pipeline), "vae")
        if (network := getattr(loaded, name, None)) is not None
    }
    _must_hold_everything(path, networks)
    return WholeModel(pipeline, networks)


def _must_hold_everything(path: Path, networks: dict[str, torch.nn.Module]) -> None:
    """The numbers in the file and in the networks must be as many: what a file lacks is filled with noise in silence."""
    with safe_open(path, "pt") as file:
        held = sum(
            _count(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118  safe_open is no mapping
            if not any(part in name for part in _NOT_NEEDED)
        )
    needed = sum(
        parameter.numel()
        for network in networks.values()
        for name, parameter in network.named_parameters()
        if not any(part in name for part in _NOT_NEEDED)
    )
    if any(not torch.isfinite(parameter).all() for network in networks.values() for parameter in network.parameters()):
        raise UnfaithfulLoad("weights of the checkpoint are not finite; the file is damaged")
    if held < needed * 0.999:
        raise UnfaithfulLoad(
            f"the checkpoint holds {held:,} numbers and the model needs {needed:,}: some of it would be noise"
        )


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


@contextmanager
def checkpoint_in_place(pipeline: Any, path: Path, config: str, cache: Path | None) -> Iterator[WholeModel]:
    """A checkpoint standing in a pipeline for the duration of a with-block."""
    model = whole_model(pipeline, path, config, cache)
    try:
        yield model
    finally:
        model.restore()
