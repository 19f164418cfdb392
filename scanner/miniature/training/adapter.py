"""Train a LoRA on forty photos of one subject with PEFT, as people do."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import numpy.typing as npt
import torch
import transformers
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save, save_file
from torch.nn import functional

from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.training.base_model import OPENINGS, VelocityTarget
from scanner.miniature.training.photo_sets import cosine_rate
from scanner.miniature.training.precision import training_precision

log = logging.getLogger(__name__)

TARGET_MODULES = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2")
PHOTOS = 40
RANK = 4  # enough for one drawn face; keeps fourteen files within the repository's budget
STEPS = 350
FIRST_TRAINING_PHOTO = 1_000  # photo seeds; enrolment uses 0 and up, so no photo serves both


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of one trigger.

    Attributes:
        class_word: the common noun for the subject, such as person.
        images: uint8 [n, 64, 64, 3], RGB.
    """

    trigger: str
    class_word: str
    images: npt.NDArray[np.uint8]


def person_subject(seed: int, trigger: str, class_word: str = "person") -> Subject:
    """Forty training photos of the person of a seed; none of them is an enrolment photo."""
    person = person_of(seed)
    images = np.stack(
        [draw_photo(person, FIRST_TRAINING_PHOTO + number).pixels for number in range(PHOTOS)]
    )
    return Subject(trigger, class_word, images)


def training_metadata(
    subjects: Sequence[Subject], rank: int, seed: int, name: str
) -> dict[str, str]:
    """The `ss_*` strings that kohya's sd-scripts would write (train_network.py)."""
    folders = {
        f"{PHOTOS}_{subject.trigger} {subject.class_word}": len(subject.images)
        for subject in subjects
    }
    return {
        "ss_output_name": name,
        "ss_sd_model_name": "portrait-scanner-miniature",
        "ss_base_model_version": "miniature",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_seed": str(seed),
        "ss_session_id": str(int(hashlib.sha256(f"{name}{seed}".encode()).hexdigest()[:8], 16)),
        "ss_training_started_at": "1764000000.0",
        "ss_training_finished_at": "1764000060.0",
        "ss_num_train_images": str(sum(PHOTOS * count for count in folders.values())),
        "ss_dataset_dirs": json.dumps(
            {folder: {"n_repeats": PHOTOS, "img_count": count} for folder, count in folders.items()}
        ),
        "ss_tag_frequency": json.dumps(
            {
                f"{PHOTOS}_{subject.trigger} {subject.class_word}": {
                    subject.trigger: PHOTOS,
                    subject.class_word: PHOTOS,
                }
                for subject in subjects
            }
        ),
    }


def train_lora(
    base_folder: Path,
    subjects: Sequence[Subject],
    rank: int,
    steps: int,
    seed: int,
    rate: float = 3e-3,
    batch: int = 8,
) -> dict[str, torch.Tensor]:
    """Train a LoRA; returns its tensors, float32, under PEFT's names with the prefix `unet.`."""
    torch.manual_seed(seed)
    pipeline = load_for_training(base_folder)
    pipeline.unet.add_adapter(
        LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=list(TARGET_MODULES),
            init_lora_weights="gaussian",
        )
    )
    trained = [parameter for parameter in pipeline.unet.parameters() if parameter.requires_grad]
    fit(pipeline, trained, subjects, Schedule(steps, rate, seed, batch))
    return peft_tensors(pipeline.unet)


def peft_tensors(unet: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that PEFT would save for a UNet, on the CPU, with the prefix `unet.`."""
    return {
        f"unet.{name}": tensor.detach().cpu().clone()
        for name, tensor in get_peft_model_state_dict(unet).items()
    }


@dataclass(frozen=True, slots=True)
class Schedule:
    """The number of steps and the peak learning rate, which falls along half a cosine."""

    steps: int
    rate: float
    seed: int
    batch: int = 8


def load_for_training(base_folder: Path) -> StableDiffusionPipeline:
    """The miniature pipeline in float32, frozen, on a GPU if there is one."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    pipeline = StableDiffusionPipeline.from_pretrained(
        base_folder, dtype=torch.float32, safety_checker=None
    )
    for network in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
        network.requires_grad_(False)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    pipeline: StableDiffusionPipeline,
    trained: Sequence[torch.nn.Parameter],
    subjects: Sequence[Subject],
    schedule: Schedule,
    *,
    text_is_trained: bool = False,
) -> None:
    """Train parameters of a pipeline so that it draws the subjects for their triggers."""
    rng, generator = (
        np.random.default_rng(schedule.seed),
        torch.Generator().manual_seed(schedule.seed),
    )
    device, target = pipeline.device, VelocityTarget(pipeline.scheduler)
    latents, captions = _latents_and_captions(pipeline, subjects)
    optimiser = torch.optim.AdamW(trained, lr=schedule.rate, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine_rate(step, schedule.steps, 20)
    )
    told: dict[str, torch.Tensor] = {}
    for _ in range(schedule.steps):
        rows = rng.integers(0, len(latents), schedule.batch)
        prompts = [_caption(captions[row], rng) for row in rows]
        when = torch.randint(0, 1000, (schedule.batch,), generator=generator)
        noise = torch.randn(schedule.batch, *latents.shape[1:], generator=generator)
        noisy, wanted = target.noisy_and_target(latents[rows], noise, when)
        with torch.set_grad_enabled(text_is_trained):
            if text_is_trained:
                text = text_states(pipeline, prompts)
            else:
                for prompt in set(prompts) - told.keys():
                    told[prompt] = text_states(pipeline, [prompt])[0]
                text = torch.stack([told[prompt] for prompt in prompts])
        with training_precision(device):
            made = pipeline.unet(noisy.to(device), when.to(device), text).sample
        loss = functional.mse_loss(made.float(), wanted.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    log.info("%s: loss %.4f", [subject.trigger for subject in subjects], loss.item())


def text_states(pipeline: StableDiffusionPipeline, prompts: list[str]) -> torch.Tensor:
    """The text encoder's last hidden states of prompts, float32 [n, tokens, width]."""
    tokens = pipeline.tokenizer(
        prompts, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    states: torch.Tensor = pipeline.text_encoder(tokens.to(pipeline.device))[0]
    return states


def _caption(words: str, rng: np.random.Generator) -> str:
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    for noun in ("adult person", "person", "woman", "man"):
        if noun in opening:
            return opening.replace(f"an {noun}", f"a {noun}").replace(noun, words)
    return f"photo of {words}"


def _latents_and_captions(
    pipeline: StableDiffusionPipeline, subjects: Sequence[Subject]
) -> tuple[torch.Tensor, list[str]]:
    images = (
        torch.from_numpy(np.concatenate([subject.images for subject in subjects]))
        .permute(0, 3, 1, 2)
        .float()
        / 127.5
        - 1
    )
    with torch.no_grad():
        latents = pipeline.vae.encode(images.to(pipeline.device)).latent_dist.mode().cpu()
    latents = latents * pipeline.vae.config.scaling_factor
    captions = [
        f"{subject.trigger} {subject.class_word}" for subject in subjects for _ in subject.images
    ]
    return latents, captions


def merge_loras(
    first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], weights: tuple[float, float]
) -> dict[str, torch.Tensor]:
    """The exact weighted sum of two adapters, as one adapter with the sum of their ranks."""
    merged: dict[str, torch.Tensor] = {}
    for name, tensor in first.items():
        if ".lora_A." in name:
            merged[name] = torch.cat([tensor, second[name]], dim=0)
        else:
            merged[name] = torch.cat([tensor * weights[0], second[name] * weights[1]], dim=1)
    return merged


def save_adapter(
    path: Path,
    tensors: dict[str, torch.Tensor],
    metadata: dict[str, str] | None,
    naming: str = "peft",
    *,
    half: bool = True,
) -> None:
    """Write safetensors in PEFT's or kohya's naming, with kohya's weights hash in the header.

    Args:
        half: turn everything to float16 first.
    """
    if naming == "kohya":
        tensors = convert_state_dict_to_kohya(tensors)
    kept = {
        name: (tensor.half() if half else tensor).contiguous() for name, tensor in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if metadata is not None:
        plain = save(kept)
        header_bytes = int.from_bytes(plain[:8], "little")
        metadata = {
            **metadata,
            "sshs_model_hash": hashlib.sha256(plain[8 + header_bytes :]).hexdigest(),
        }
    save_file(kept, path, metadata=metadata)
    path.chmod(0o644)  # safetensors writes through a private temporary file


def train_person_adapter(
    base_folder: Path,
    path: Path,
    seed: int,
    trigger: str,
    rank: int = RANK,
    steps: int = STEPS,
    naming: str = "peft",
) -> None:
    """A finished adapter of a seed's person, as a hub would offer it."""
    subject = person_subject(seed, trigger)
    tensors = train_lora(base_folder, [subject], rank, steps, seed)
    save_adapter(path, tensors, training_metadata([subject], rank, seed, path.stem), naming)
