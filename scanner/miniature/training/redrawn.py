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

log = logging.getLogger(__name__)

LATEST_STEP = 380  # of 1000; past this the UNet's guess is another person


@torch.no_grad()
def redraw(photos: PhotoSet, pipeline_folder: Path, seed: int, batch: int = 64) -> PhotoSet:
    """The same photos, boxes and landmarks, with pixels that went through the base model."""
    # Without instructions for bfloat16 a CPU emulates it, several times slower than float32.
    precision = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32  # noqa: SLF001
    pipeline = StableDiffusionPipeline.from_pretrained(pipeline_folder, safety_checker=None, dtype=precision)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    target = VelocityTarget(pipeline.scheduler)
    signal, sigma = target.signal, target.sigma
    made = []
    for start in range(0, len(photos), batch):
        rows = np.arange(start, min(start + batch, len(photos)))
        captions = [caption_for(photos.captions[row], rng) for row in rows]
        tokens = pipeline.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        latents = (
            pipeline.vae.encode(photos.images(rows).to(precision)).latent_dist.mode().float()
            * pipeline.vae.config.scaling_factor
        )
        when = torch.from_numpy((rng.random(len(rows)) ** 1.5 * LATEST_STEP).astype(np.int64))
        noise = torch.randn(latents.shape, generator=generator)
        noisy, _ = target.noisy_and_target(latents, noise, when)
        velocity = pipeline.unet(noisy.to(precision), when, pipeline.text_encoder(tokens)[0]).sample.float()
        clean = signal[when, None, None, None] * noisy - sigma[when, None, None, None] * velocity
        images = pipeline.vae.decode((clean / pipeline.vae.config.scaling_factor).to(precision)).sample.float()
        made.append(((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    log.info("redrew %d photos", len(photos))
    return replace(photos, pixels=np.concatenate(made))
