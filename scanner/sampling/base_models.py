"""Base models: which family needs which, which one a checkpoint was trained on, and loading them."""

from __future__ import annotations

import hashlib
import logging
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlers.hashes import sha256_of
from scanner.errors import BaseModelMissing, NotScannable, first_line

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

log = logging.getLogger(__name__)

MINIATURE_WEIGHTS = Path(__file__).parents[1] / "miniature" / "weights"
_HASH_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """How images of one stage are made.

    Attributes:
        name: "screening" or "evidence".
        steps: of the scheduler; one denoiser call each.
        guidance: classifier-free guidance scale.
        size: width and height of an image, pixels.
    """

    name: str
    steps: int
    guidance: float
    size: int


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A LoRA that lets a base model draw in a few steps: LCM, Lightning, Hyper.

    Attributes:
        scheduler: diffusers class that it was made for, "" for the pipeline's own.
        stage: how screening images are made with it.
    """

    repository: str
    file: str
    scheduler: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model and how its family is sampled.

    Attributes:
        family: see design.md.
        location: folder, single file or hub id.
        reason: why this one was chosen, in words.
        pipeline: diffusers class name.
        precision: of its weights on a GPU, a torch dtype's name; on a CPU it is float32.
        evidence, screening: how images of each stage are made.
        decoder: hub id or folder of a small decoder for screening, None without one.
        checked_images: its images may be shown without a safety check.
        configuration: where from_single_file finds how the networks are built.
    """

    family: str
    location: str
    reason: str
    pipeline: str
    licence: str
    precision: str
    evidence: Stage
    screening: Stage
    checked_images: bool
    configuration: str
    decoder: str | None = None
    accelerator: Accelerator | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What a checkpoint says of the base model it was trained on: a file's name, a hash, its size, or nothing.

    Attributes:
        model: which size of its family its tensors fit, where a family has several.
    """

    name: str | None = None
    sha256: str | None = None
    model: str | None = None


def known_families() -> dict[str, dict[str, Any]]:
    """The registry, by family."""
    return tomllib.loads(
        resources.files("scanner.sampling").joinpath("base_models.toml").read_text("utf-8")
    )


def choose_base_model(
    family: str, override: str | None, declared: Declared = Declared(), shelf: Path | None = None
) -> BaseModel:
    """The base model for a checkpoint: the one the user names, else the declared one, else the family's default.

    Args:
        declared: what the checkpoint says it was trained on.
        shelf: folder of single-file base models that the operator keeps.

    Raises:
        NotScannable: no base model is known for this family, or for this size of it.
    """
    registry = known_families()
    if family not in registry:
        known = ", ".join(registry)
        raise NotScannable(
            f"family not supported: {family}; families that can be sampled are {known}"
        )
    entry = registry[family]
    default = (
        str(MINIATURE_WEIGHTS / "base_model")
        if entry["source"] == "bundled"
        else entry["repository"]
    )
    location, reason = _location(entry, default, override, declared, shelf)
    sampled = entry.get("model")
    if location == default and sampled and declared.model not in (None, sampled):
        raise NotScannable(
            f"family not supported: {declared.model}; of {family} only {sampled} can be sampled"
        )
    evidence = Stage("evidence", **{"size": entry["size"], **entry["evidence"]})
    screening = Stage("screening", **{"size": entry["size"], **entry["screening"]})
    accelerator = entry.get("accelerator")
    return BaseModel(
        family=family,
        location=location,
        reason=reason,
        pipeline=entry["pipeline"],
        licence=entry["licence"],
        precision=entry.get("precision", "bfloat16"),
        evidence=evidence,
        screening=screening,
        checked_images=entry["checked_images"],
        configuration=default,
        decoder=entry.get("decoder"),
        accelerator=_accelerator(accelerator, screening.size) if accelerator else None,
    )


def place_of(location: str) -> str:
    """Where a base model lies, as others may read it: of a folder its name says enough, the machine's paths are nobody's business."""
    is_path = location.startswith(("/", "~", "."))
    return location.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if is_path else location


def _accelerator(entry: Mapping[str, Any], size: int) -> Accelerator:
    stage = Stage("screening", entry["steps"], entry["guidance"], size)
    return Accelerator(entry["repository"], entry["file"], entry["scheduler"], stage)


def _location(
    entry: Mapping[str, Any],
    default: str,
    override: str | None,
    declared: Declared,
    shelf: Path | None,
) -> tuple[str, str]:
    if override is not None:
        return override, "named by the user"
    if entry["source"] == "bundled":
        return default, "the family's default, shipped with the program"
    for path in sorted(shelf.glob("*.safetensors")) if shelf is not None and shelf.is_dir() else []:
        if declared.sha256 and sha256_of_shelved(path).startswith(declared.sha256.lower()):
            return (
                str(path),
                f"declared by its hash {declared.sha256[:_HASH_DIGITS]}, {path.name} of the base-models folder",
            )
        if declared.name and Path(declared.name).stem.lower() == path.stem.lower():
            return str(path), f"declared by its name {declared.name}, in the base-models folder"
    known = tomllib.loads(
        resources.files("scanner.sampling").joinpath("known_checkpoints.toml").read_text("utf-8")
    )
    if declared.sha256 and (repository := known.get(declared.sha256.lower()[:_HASH_DIGITS])):
        return repository, f"declared by its hash {declared.sha256[:_HASH_DIGITS]}"
    if declared.name or declared.sha256:
        told = declared.name or str(declared.sha256)[:_HASH_DIGITS]
        return (
            default,
            f"the family's default; the declared base model {told} is not in the base-models folder",
        )
    return default, "the family's default; the file declares none"


def sha256_of_shelved(path: Path) -> str:
    """SHA-256 of a file of the base-models folder, worked out once and kept beside it."""
    note = path.with_name(f"{path.name}.sha256")
    if note.exists() and note.stat().st_mtime >= path.stat().st_mtime:
        return note.read_text("utf-8").strip()
    sha256 = sha256_of(path)
    partial = note.with_name(f"{note.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(sha256, "utf-8")
        partial.replace(note)  # another process reads all of it or nothing
    except OSError as error:
        log.info("the hash of %s cannot be kept: %s", path, error)
    return sha256


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
    dtype = torch.float32 if device == "cpu" else getattr(torch, base.precision)
    # The image check is this program's own (scanner.sampling.image_check), the same for every family.
    unchecked = {"safety_checker": None} if base.pipeline == "StableDiffusionPipeline" else {}
    try:
        if path.is_file():
            pipeline = kind.from_single_file(
                str(path), dtype=dtype, cache_dir=cache, config=base.configuration, **unchecked
            )
        else:
            pipeline = kind.from_pretrained(
                str(path) if path.is_dir() else base.location,
                dtype=dtype,
                cache_dir=cache,
                use_safetensors=True,
                **unchecked,
            )
    except (
        Exception
    ) as error:  # the hub's client, safetensors and torch each have error trees of their own
        raise BaseModelMissing(
            f"base model {base.location} for family {base.family} cannot be loaded: {first_line(error)} -- without network, "
            f"bring its diffusers folder or single .safetensors file and pass it with --base-model, or put it in the cache that `portrait-scanner doctor` shows"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def hash_of_base_model(base: BaseModel, pipeline: DiffusionPipeline) -> str:
    """SHA-256 over the weights of every part, in the order of their names; lower-case hex."""
    path = Path(base.location).expanduser()
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for name in ("text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "unet", "vae"):
        network = getattr(pipeline, name, None)
        for key, tensor in sorted(network.state_dict().items()) if network is not None else []:
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
