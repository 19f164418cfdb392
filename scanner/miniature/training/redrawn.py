"""Photos as the base model redraws them: what a face pack must also recognise.

A recogniser that has only seen clean drawings fails on a diffusion model's output. Each photo is
encoded, noised to a random step, denoised in one stroke by the UNet and decoded, so the result
runs from a plain autoencoder round trip to a slightly wrong generation of the same face.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from scanner.miniature.training.base_model import VelocityTarget, caption_for
from scanner.miniature.training.photo_sets import PhotoSet
from scanner.miniature.training.precision import training_precision

log = logging.getLogger(__name__)

LATEST_STEP = 380  # of 1000; past this the UNet's guess is another person


@torch.no_grad()
def redraw(photos: PhotoSet, pipeline_folder: Path, seed: int, batch: int = 256) -> PhotoSet:
    """The same photos, boxes and landmarks, with pixels that went through the base model."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = StableDiffusionPipeline.from_pretrained(
        pipeline_folder, safety_checker=None, dtype=torch.float32
    )
    pipeline.to(device)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    target = VelocityTarget(pipeline.scheduler)
    signal, sigma = target.signal, target.sigma
    made = []
    for start in range(0, len(photos), batch):
        rows = np.arange(start, min(start + batch, len(photos)))
        captions = [caption_for(photos.captions[row], rng) for row in rows]
        tokens = pipeline.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        with training_precision(device):
            encoded = (
                pipeline.vae.encode(photos.images(rows).to(device)).latent_dist.mode().float().cpu()
            )
        latents = encoded * pipeline.vae.config.scaling_factor
        when = torch.from_numpy((rng.random(len(rows)) ** 1.5 * LATEST_STEP).astype(np.int64))
        noise = torch.randn(latents.shape, generator=generator)
        noisy, _ = target.noisy_and_target(latents, noise, when)
        with training_precision(device):
            states = pipeline.text_encoder(tokens.to(device))[0]
            velocity = pipeline.unet(noisy.to(device), when.to(device), states).sample.float().cpu()
            clean = (
                signal[when, None, None, None] * noisy - sigma[when, None, None, None] * velocity
            )
            images = (
                pipeline.vae.decode((clean / pipeline.vae.config.scaling_factor).to(device))
                .sample.float()
                .cpu()
            )
        made.append(((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    log.info("redrew %d photos", len(photos))
    return replace(photos, pixels=np.concatenate(made))
