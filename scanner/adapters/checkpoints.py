"""Full checkpoints: the networks of a whole model replace those of the base model for a while."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import safe_open

from scanner.adapters.checkpoint_names import UNET_PREFIX, VAE_PREFIX, is_harmless
from scanner.adapters.leftovers import leftover_problem, leftovers
from scanner.adapters.targets import networks_of
from scanner.errors import UnfaithfulLoad, first_line

log = logging.getLogger(__name__)

# Heads that only the file or only the pipeline may have.
_HEADS = ("text_projection", "logit_scale", "position_ids")
_NETWORKS = (("unet", UNET_PREFIX), ("vae", VAE_PREFIX))


class WholeModel:
    """The networks of a checkpoint, which can replace those of the base model in a pipeline."""

    def __init__(self, pipeline: Any, networks: dict[str, torch.nn.Module]) -> None:
        self._pipeline, self._networks = pipeline, networks
        self._originals = {name: getattr(pipeline, name) for name in networks}

    @property
    def module_count(self) -> int:
        """How many networks are replaced."""
        return len(self._networks)

    def set_scale(self, scale: float | None, *, accelerated: bool = False) -> None:  # noqa: ARG002  full checkpoints are never accelerated
        """Use the checkpoint's networks, or those of the base model if the scale is None."""
        for name, network in (self._originals if scale is None else self._networks).items():
            setattr(self._pipeline, name, network)

    def restore(self) -> None:
        """Use the base model's networks again."""
        self.set_scale(None)


def whole_model(
    pipeline: Any, path: Path, family: str, config: str, cache: Path | None
) -> WholeModel:
    """Load a single-file checkpoint beside a pipeline of its family.

    Args:
        family: one of SINGLE_FILE_FAMILIES.
        config: folder or hub id of the base model, which has the configurations of the networks.
        cache: folder in which the hub's client keeps its files.

    Raises:
        UnfaithfulLoad: diffusers cannot build it, or did not fill or use all weights.
    """
    first = next(iter(networks_of(pipeline).values()))
    device, dtype = first.device, first.dtype
    try:
        with _named_safetensors(path) as named:
            loaded = type(pipeline).from_single_file(
                str(named),
                config=config,
                dtype=dtype,
                safety_checker=None,
                cache_dir=cache,
                local_files_only=True,
            )
    except (
        Exception
    ) as error:  # diffusers, safetensors and torch each have error trees of their own
        log.info("%s", path.name, exc_info=True)
        raise UnfaithfulLoad(
            f"diffusers cannot load this checkpoint: {first_line(error)}"
        ) from error
    networks = {
        name: network if network.device == device else network.to(device)
        for name in (*networks_of(pipeline), "vae")
        if (network := getattr(loaded, name, None)) is not None
    }
    _must_hold_everything(path, family, networks)
    return WholeModel(pipeline, networks)


@contextmanager
def _named_safetensors(path: Path) -> Iterator[Path]:
    """Yield a path of the same file that ends in .safetensors.

    diffusers goes by the end of the name, and files of the checkpoint store have none.
    """
    if path.suffix == ".safetensors":
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / "checkpoint.safetensors"
        link.symlink_to(path.resolve())
        yield link


def _must_hold_everything(path: Path, family: str, networks: dict[str, torch.nn.Module]) -> None:
    """Check that the file holds exactly as many numbers as the networks.

    diffusers fills missing weights with noise and ignores additional ones, both silently.
    """
    with safe_open(path, "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  no mapping
    if problem := leftover_problem(leftovers(shapes, "checkpoint", family), "checkpoint"):
        raise UnfaithfulLoad(problem)
    if any(
        not torch.isfinite(parameter).all()
        for network in networks.values()
        for parameter in network.parameters()
    ):
        raise UnfaithfulLoad("weights of the checkpoint are not finite; the file is damaged")
    for network, prefix in _NETWORKS:
        held = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefix))
        _must_be_as_many(held, _needed(networks[network]) if network in networks else 0, network)
    held = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not is_harmless(name, shape) and not _is_head(name)
    )
    needed = sum(map(_needed, networks.values()))
    # A text encoder's last layer may be left out by a pipeline that reads the one before it (SD2).
    if held < needed * 0.999:
        _must_be_as_many(held, needed, "model")


def _must_be_as_many(held: int, needed: int, what: str) -> None:
    if held != needed:
        consequence = (
            "some of it would be noise" if held < needed else "some of it would be passed over"
        )
        raise UnfaithfulLoad(
            f"the checkpoint holds {held:,} numbers of the {what}, which has {needed:,}: "
            f"{consequence}"
        )


def _is_head(name: str) -> bool:
    return any(head in name for head in _HEADS)


def _needed(network: torch.nn.Module) -> int:
    return sum(
        parameter.numel() for name, parameter in network.named_parameters() if not _is_head(name)
    )


@contextmanager
def checkpoint_in_place(
    pipeline: Any, path: Path, family: str, config: str, cache: Path | None
) -> Iterator[WholeModel]:
    """A checkpoint in place of a pipeline's networks for the duration of a with-block."""
    model = whole_model(pipeline, path, family, config, cache)
    try:
        yield model
    finally:
        model.restore()
