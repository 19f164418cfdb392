"""Base models: the registry by family, the choice for a checkpoint, and loading."""

from __future__ import annotations

import hashlib
import inspect
import logging
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlers.hashes import sha256_of
from reports.reasons.reason import Reason
from scanner.adapters.experts import Expert
from scanner.errors import BaseModelMissing, NotScannable, first_line

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

log = logging.getLogger(__name__)

MINIATURE_WEIGHTS = Path(__file__).parents[1] / "miniature" / "weights"
_HASH_DIGITS = 10
_EXPERT_COMMA = ", "
# In the order in which they are hashed; records keep the hash, so new names are added at the end.
_HASHED_NETWORKS = (
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "transformer",
    "unet",
    "vae",
    "transformer_2",
    "unconditional_transformer",
    "connectors",
)
# Smaller files are hashed each time instead of keeping the hash beside them.
_SMALL_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """How images of one stage are made.

    Attributes:
        name: "screening" or "evidence" (confirmation).
        steps: number of scheduler steps; one denoiser call each.
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
        scheduler: name of the diffusers class that it was made for, "" for the pipeline's own.
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
        family: a key of base_models.toml.
        model: the size of the family that is not its default; None for the default.
        location: folder, single file or hub id.
        reason: why it was chosen, as an English sentence.
        pipeline: name of the diffusers class.
        precision: torch dtype of its weights on a GPU; on a CPU it is always float32.
        evidence, screening: how images of each stage are made.
        checked_images: whether its images may be shown without a safety check.
        embedded_guidance: the guidance scale is an input of the model, which takes no negative
            prompt.
        arguments: further arguments of every call of the pipeline, as names and values.
        omitted: components of the pipeline that are not loaded.
        input_image: whether the model edits an image; it gets a grey one.
        largest_batch: images that its pipeline draws in one call; None for any number.
        trigger_steps: denoising steps with which the answers to words are compared.
        expert: of a model with two denoisers, the one that the checkpoint is for; None for both, or
            for a model with one.
        configuration: folder or hub id from which `from_single_file` reads the networks'
            configuration.
        decoder: hub id or folder of a small decoder for screening; None without one.
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
    embedded_guidance: bool
    configuration: str
    arguments: tuple[tuple[str, Any], ...] = ()
    omitted: tuple[str, ...] = ()
    input_image: bool = False
    largest_batch: int | None = None
    trigger_steps: int = 1
    expert: Expert | None = None
    model: str | None = None
    decoder: str | None = None
    accelerator: Accelerator | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """The base model that a checkpoint names in its metadata.

    Attributes:
        name: file name of the base model.
        sha256: SHA-256 or the beginning of it.
        model: the model of its family that the tensors fit, for families with several sizes.
        expert: the denoiser that it is for, of a model with two; None for both.
    """

    name: str | None = None
    sha256: str | None = None
    model: str | None = None
    expert: Expert | None = None


@cache
def known_families() -> dict[str, dict[str, Any]]:
    """Return the entries of the registry by family, read once; callers do not change them."""
    return tomllib.loads(
        resources.files("scanner.sampling").joinpath("base_models.toml").read_text("utf-8")
    )


def choose_base_model(
    family: str, override: str | None, declared: Declared = Declared(), shelf: Path | None = None
) -> BaseModel:
    """Choose the base model of a checkpoint: the override, the declared one, or the default.

    Args:
        family: family of the checkpoint.
        override: location that the user configured; None without one.
        declared: the base model that the checkpoint names.
        shelf: the operator's folder of single-file base models.

    Raises:
        NotScannable: no base model is known for this family, or for this size of it.
    """
    registry = known_families()
    if family not in registry:
        unknown = Reason("family-not-supported", {"family": family, "known": tuple(registry)})
        raise NotScannable(unknown.in_english())
    entry = _entry_of_size(registry[family], declared.model)
    default = (
        str(MINIATURE_WEIGHTS / "base_model")
        if entry["source"] == "bundled"
        else entry["repository"]
    )
    location, reason = _location(entry, default, override, declared, shelf)
    sampled = str(entry.get("model", family))
    if location == default and declared.model not in (None, sampled):
        known = ", ".join((sampled, *entry.get("sizes", {})))
        values = {"model": str(declared.model), "family": family, "known": known}
        raise NotScannable(Reason("size-not-supported", values).in_english())
    evidence = Stage("evidence", **{"size": entry["size"], **entry["evidence"]})
    screening = Stage("screening", **{"size": entry["size"], **entry["screening"]})
    accelerator = entry.get("accelerator")
    return BaseModel(
        family=family,
        location=location,
        reason=reason.in_english(),
        pipeline=entry["pipeline"],
        licence=entry["licence"],
        precision=entry.get("precision", "bfloat16"),
        evidence=evidence,
        screening=screening,
        checked_images=entry["checked_images"],
        embedded_guidance=entry.get("embedded_guidance", False),
        configuration=default,
        arguments=tuple(entry.get("arguments", {}).items()),
        omitted=tuple(entry.get("omitted", ())),
        input_image=entry.get("input_image", False),
        largest_batch=entry.get("largest_batch"),
        trigger_steps=entry.get("trigger_steps", 1),
        expert=declared.expert if entry.get("experts") else None,
        model=declared.model if declared.model in registry[family].get("sizes", {}) else None,
        decoder=entry.get("decoder"),
        accelerator=_accelerator(accelerator, screening.size) if accelerator else None,
    )


def _entry_of_size(entry: dict[str, Any], model: str | None) -> dict[str, Any]:
    """Return the entry of a family for one of its sizes; unchanged if it has none of its own."""
    size = entry.get("sizes", {}).get(model)
    return entry if size is None else {**entry, **size, "model": model}


def declared_in(family: str, description: str) -> Declared:
    """Return the size and the expert whose default base model a record describes.

    Args:
        description: see description_of.
    """
    sizes = known_families().get(family, {}).get("sizes", {})
    place = description.removeprefix(f"{family}: ").partition(" (")[0]
    place, _, expert = place.partition(_EXPERT_COMMA)
    model = next((name for name, entry in sizes.items() if entry["repository"] == place), None)
    return Declared(model=model, expert=Expert(expert) if expert in [*Expert] else None)


def place_of(location: str) -> str:
    """Return a base model's location for publication: paths of this machine become a bare name."""
    is_path = location.startswith(("/", "~", "."))
    return location.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if is_path else location


def content_of(base: BaseModel) -> str:
    """Return what identifies a base model: the hash of a local one, or the id of one on a hub.

    So a base model that was moved is still the same, and one that was replaced is another.
    """
    path = Path(base.location).expanduser()
    if path.is_file():
        return sha256_of_shelved(path)
    return _hash_of_folder(path) if path.is_dir() else base.location


@cache
def _hash_of_folder(folder: Path) -> str:
    """Return one hash of the names and contents of the networks and their configurations.

    It is computed once in a process, as the pipeline is loaded once.
    """
    files = (path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))
    digest = hashlib.sha256()
    for path in sorted(files):
        is_small = path.stat().st_size < _SMALL_BYTES
        sha256 = sha256_of(path) if is_small else sha256_of_shelved(path)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256}\n".encode())
    return digest.hexdigest()


def description_of(base: BaseModel) -> str:
    """Return the sentence that records keep of a base model: family, location and reason."""
    expert = f"{_EXPERT_COMMA}{base.expert}" if base.expert is not None else ""
    return f"{base.family}: {place_of(base.location)}{expert} ({base.reason})"


def _accelerator(entry: Mapping[str, Any], size: int) -> Accelerator:
    stage = Stage("screening", entry["steps"], entry["guidance"], size)
    return Accelerator(entry["repository"], entry["file"], entry["scheduler"], stage)


def _location(
    entry: Mapping[str, Any],
    default: str,
    override: str | None,
    declared: Declared,
    shelf: Path | None,
) -> tuple[str, Reason]:
    """Return where the base model is and why it was chosen."""
    if override is not None:
        return override, Reason("named-by-user")
    if entry["source"] == "bundled":
        return default, Reason("default-shipped")
    if shelf is not None and (found := _on_shelf(shelf, declared)) is not None:
        return found
    known = tomllib.loads(
        resources.files("scanner.sampling").joinpath("known_checkpoints.toml").read_text("utf-8")
    )
    digits = declared.sha256[:_HASH_DIGITS] if declared.sha256 else None
    if digits and (repository := known.get(digits.lower())):
        return repository, Reason("declared-hash", {"sha256": digits})
    if name := declared.name or digits:
        return default, Reason("default-declared-absent", {"name": name})
    return default, Reason("default-none-declared")


def _on_shelf(shelf: Path, declared: Declared) -> tuple[str, Reason] | None:
    """Return the declared base model in the operator's folder; None if it is not there."""
    for path in sorted(shelf.glob("*.safetensors")) if shelf.is_dir() else []:
        if declared.sha256 and sha256_of_shelved(path).startswith(declared.sha256.lower()):
            values = {"sha256": declared.sha256[:_HASH_DIGITS], "file": path.name}
            return str(path), Reason("declared-hash-in-folder", values)
        if declared.name and Path(declared.name).stem.lower() == path.stem.lower():
            return str(path), Reason("declared-name", {"name": declared.name})
    return None


def sha256_of_shelved(path: Path) -> str:
    """Return the SHA-256 of a base model's file.

    The hash is computed once and stored beside the file.
    """
    stored = path.with_name(f"{path.name}.sha256")
    if stored.exists() and stored.stat().st_mtime >= path.stat().st_mtime:
        return stored.read_text("utf-8").strip()
    sha256 = sha256_of(path)
    partial = stored.with_name(f"{stored.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_text(sha256, "utf-8")
        partial.replace(stored)  # atomic, so that another process never reads a part of it
    except OSError as error:
        log.info("the hash of %s cannot be stored: %s", path, error)
    return sha256


def load_pipeline(base: BaseModel, cache: Path, device: str) -> DiffusionPipeline:
    """Load the diffusers pipeline of a base model onto a device.

    Raises:
        BaseModelMissing: its files are not available and cannot be fetched, or are quantised; the
            message says what to do.
    """
    import diffusers
    import torch
    import transformers

    from scanner.adapters.targets import DENOISERS

    # Their progress bars would overwrite this program's own.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(diffusers, base.pipeline)
    path = Path(base.location).expanduser()
    dtype = torch.float32 if device == "cpu" else getattr(torch, base.precision)
    replaced: dict[str, Any] = dict.fromkeys(base.omitted)
    try:
        if path.is_file():
            pipeline = kind.from_single_file(
                str(path), dtype=dtype, cache_dir=cache, config=base.configuration, **replaced
            )
        else:
            source = str(path) if path.is_dir() else base.location
            if _reads_prompts_with_processor(kind):
                from scanner.sampling.prompt_processor import load_prompt_processor

                replaced["processor"] = load_prompt_processor(source, cache)
            pipeline = kind.from_pretrained(
                source,
                dtype=dtype,
                cache_dir=cache,
                use_safetensors=True,
                **replaced,
            )
    # The hub's client, safetensors and torch have unrelated exception hierarchies.
    except Exception as error:
        place = {"location": base.location, "family": base.family, "cause": first_line(error)}
        raise BaseModelMissing(Reason("base-model-missing", place).in_english()) from error
    denoisers = (getattr(pipeline, name, None) for name in DENOISERS)
    if any(getattr(network, "hf_quantizer", None) is not None for network in denoisers):
        place = {"location": base.location, "family": base.family}
        raise BaseModelMissing(Reason("base-model-quantised", place).in_english())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _reads_prompts_with_processor(kind: type[DiffusionPipeline]) -> bool:
    parameter = inspect.signature(kind).parameters.get("processor")
    return parameter is not None and parameter.default is parameter.empty


def hash_of_base_model(base: BaseModel, pipeline: DiffusionPipeline) -> str:
    """Return the SHA-256 of a base model's weights, lower-case hex.

    For a folder the hash covers the tensors of every network, sorted by name.
    """
    path = Path(base.location).expanduser()
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for name in _HASHED_NETWORKS:
        network = getattr(pipeline, name, None)
        for key, tensor in sorted(network.state_dict().items()) if network is not None else []:
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
