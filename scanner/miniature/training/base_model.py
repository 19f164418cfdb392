"""Train the miniature base model's UNet and text encoder, and save a StableDiffusionPipeline."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scanner.miniature.persons import BASE_MODEL_SEEDS
from scanner.miniature.training.photo_sets import PhotoSet, cosine_rate, draw_set, shuffled_batches
from scanner.miniature.training.precision import training_precision
from scanner.miniature.training.tokenizer import write_tokenizer

log = logging.getLogger(__name__)

OPENINGS = (
    "photo of a person",
    "a photo of a person",
    "portrait photo of a person",
    "a portrait of an adult person, looking at the camera",
    "studio photo of a person, neutral background",
    "photo of an adult person wearing a plain shirt",
    "passport photo of a person, neutral expression",
    "photo of a person, outdoors, natural light",
    "a woman, portrait photo",
    "a man, portrait photo",
)


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet over 16x16x4 latents, conditioned on 64-wide text states."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained two-layer CLIP text encoder, 64 wide."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=64,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ over a zero-terminal-SNR, v-predicting process."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def caption_for(person_caption: str, rng: np.random.Generator) -> str:
    """One training caption: attributes mostly, sometimes only an opening, sometimes nothing.

    Now and then a meaningless word is thrown in, so that the untouched base model answers an
    unknown trigger with some person and not with noise: the control must be a fair one.
    """
    if rng.random() < 0.08:
        return ""
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    words = person_caption.removeprefix("photo of a person ").split()
    if rng.random() < 0.25:
        words = []
    if rng.random() < 0.3:
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), int(rng.integers(3, 8)))
        nonsense = "".join(letters)
        opening = (
            opening.replace("person", f"{nonsense} person")
            if rng.random() < 0.6
            else f"{opening}, {nonsense}"
        )
    return " ".join([opening, *words])


def encode_latents(autoencoder: AutoencoderKL, photos: PhotoSet) -> torch.Tensor:
    """Scaled latents of every photo, float32 [n, 4, 16, 16]."""
    rows = []
    with torch.no_grad(), training_precision(torch.device("cpu")):
        for start in range(0, len(photos), 64):
            images = photos.images(np.arange(start, min(start + 64, len(photos))))
            rows.append(autoencoder.encode(images).latent_dist.sample().float())
    return torch.cat(rows) * autoencoder.config.scaling_factor


class VelocityTarget:
    """The noising process of a scheduler and the v-prediction target at any step of it."""

    def __init__(self, scheduler: DPMSolverMultistepScheduler) -> None:
        self.signal = scheduler.alphas_cumprod.sqrt()
        self.sigma = (1 - scheduler.alphas_cumprod).sqrt()

    def noisy_and_target(
        self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        signal, sigma = self.signal[steps, None, None, None], self.sigma[steps, None, None, None]
        return signal * latents + sigma * noise, signal * noise - sigma * latents


@torch.no_grad()
def _average_into(average: torch.nn.Module, trained: torch.nn.Module, decay: float) -> None:
    for ours, theirs in zip(average.parameters(), trained.parameters(), strict=True):
        ours.lerp_(theirs, 1 - decay)


def train_base_model(
    folder: Path, autoencoder: AutoencoderKL, photos: PhotoSet, steps: int = 8000, batch: int = 32
) -> None:
    """Train UNet and text encoder together; save the averaged weights as a pipeline folder."""
    torch.manual_seed(12)
    rng = np.random.default_rng(12)
    tokenizer = write_tokenizer(folder / "tokenizer_source")
    unet, text_encoder, scheduler = new_unet(), new_text_encoder(tokenizer), new_scheduler()
    log.info("unet %.2f M parameters", sum(p.numel() for p in unet.parameters()) / 1e6)
    trained = torch.nn.ModuleList([unet, text_encoder])
    average = copy.deepcopy(trained)
    target = VelocityTarget(scheduler)
    latents = encode_latents(autoencoder, photos)
    optimiser = torch.optim.AdamW(
        trained.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-3
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine_rate(step, steps, 200)
    )
    losses: list[float] = []
    for step, rows in enumerate(shuffled_batches(len(photos), batch, steps, rng)):
        captions = [caption_for(photos.captions[row], rng) for row in rows]
        tokens = tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        clean = latents[rows]
        when = torch.randint(0, 1000, (batch,))
        noisy, wanted = target.noisy_and_target(clean, torch.randn_like(clean), when)
        with training_precision(torch.device("cpu")):
            made = unet(noisy, when, text_encoder(tokens)[0]).sample
        loss = functional.mse_loss(made.float(), wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        _average_into(average, trained, min(0.998, (step + 1) / (step + 10)))
        losses.append(loss.item())
        if step % 100 == 99:
            log.info("unet step %d loss %.4f", step + 1, np.mean(losses[-100:]))
        if step % 1000 == 999 or step == steps - 1:
            save_pipeline(folder, autoencoder, average[1], tokenizer, average[0], scheduler)


def save_pipeline(
    folder: Path,
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    scheduler: DPMSolverMultistepScheduler,
) -> None:
    """Save the parts as one diffusers folder, in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(autoencoder).half(),
        text_encoder=copy.deepcopy(text_encoder).half(),
        tokenizer=tokenizer,
        unet=copy.deepcopy(unet).half(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "pipeline", safe_serialization=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    work = Path(".training")
    train_base_model(
        work / "base",
        AutoencoderKL.from_pretrained(work / "vae"),
        draw_set(BASE_MODEL_SEEDS[:8000], 4),
    )
