"""Base models: which family needs which, where its weights come from, and loading them."""

from __future__ import annotations

import hashlib
import logging
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import BaseModelMissing, NotScannable

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

log = logging.getLogger(__name__)

MINIATURE_WEIGHTS = Path(__file__).parent / "miniature" / "weights"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model and how its family is sampled.

    Attributes:
        family: see design.md.
        location: folder, single file or hub id.
        reason: why this one was chosen, in words.
        pipeline: diffusers class name.
        size: width and height of a sample, pixels.
        checked_images: its images may be shown without a safety check.
    """

    family: str
    location: str
    reason: str
    pipeline: str
    licence: str
    size: int
    steps: int
    guidance: float
    checked_images: bool


def known_families() -> dict[str, dict[str, Any]]:
    """The registry, by family."""
    return tomllib.loads(resources.files("scanner").joinpath("base_models.toml").read_text("utf-8"))


def choose_base_model(family: str, override: str | None) -> BaseModel:
    """The base model for a family: the one the user names, else the family's default.

    Raises:
        NotScannable: no base model is known for this family.
    """
    registry = known_families()
    if family not in registry:
        known = ", ".join(registry)
        raise NotScannable(f"family not supported: {family}; families that can be sampled are {known}")
    entry = registry[family]
    if override is not None:
        location, reason = override, "named by the user"
    elif entry["source"] == "bundled":
        location, reason = str(MINIATURE_WEIGHTS / "base_model"), "the family's default, shipped with the program"
    else:
        location, reason = entry["repository"], "the family's default"
    return BaseModel(
        family=family,
        location=location,
        reason=reason,
        pipeline=entry["pipeline"],
        licence=entry["licence"],
        size=entry["size"],
        steps=entry["steps"],
        guidance=entry["guidance"],
        checked_images=entry["checked_images"],
    )


def load_pipeline(base: BaseModel, cache: Path, device: str) -> DiffusionPipeline:
    """The diffusers pipeline of a base model, on a device, ready to sample.

    Raises:
        BaseModelMissing: its files are not here and cannot be fetched, with how to bring them.
    """
    import diffusers
    import torch
    import transformers

    # Their bars would run across ours; loading takes seconds.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(diffusers, base.pipeline)
    path = Path(base.location).expanduser()
    dtype = torch.float32 if device == "cpu" else torch.float16
    try:
        if path.is_file():
            pipeline = kind.from_single_file(str(path), dtype=dtype, cache_dir=cache)
        else:
            pipeline = kind.from_pretrained(
                str(path) if path.is_dir() else base.location, dtype=dtype, cache_dir=cache, use_safetensors=True
            )
    except Exception as error:  # the hub's client, safetensors and torch each have error trees of their own
        first_line = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise BaseModelMissing(
            f"base model {base.location} for family {base.family} cannot be loaded: {first_line} -- without network, "
            f"bring its diffusers folder or single .safetensors file and pass it with --base-model, or put it in the cache that `portrait-scanner doctor` shows"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def hash_of_base_model(base: BaseModel, pipeline: DiffusionPipeline) -> str:
    """SHA-256 over the weights of every part, in the order of their names; lower-case hex."""
    path = Path(base.location).expanduser()
    digest = hashlib.sha256()
    if path.is_file():
        digest.update(path.read_bytes())
        return digest.hexdigest()
    for name in ("text_encoder", "text_encoder_2", "unet", "vae"):
        network = getattr(pipeline, name, None)
        for key, tensor in sorted(network.state_dict().items()) if network is not None else []:
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
