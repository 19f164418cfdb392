"""Train the miniature base model's autoencoder (diffusers' AutoencoderKL, downsampling 4)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch.nn import functional

from scanner.miniature.persons import BASE_MODEL_SEEDS, CALIBRATION_SEEDS
from scanner.miniature.training.photo_sets import PhotoSet, cosine_rate, draw_set, shuffled_batches
from scanner.miniature.training.precision import training_precision

log = logging.getLogger(__name__)


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: 64x64x3 to 16x16x4 and back."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


@torch.no_grad()
def start_as_resampler(autoencoder: AutoencoderKL) -> None:
    """Initialise so that the untrained network already pools down and interpolates up.

    Residual branches start at zero, downsampling convolutions as averages, upsampling ones as
    smoothing: it saves about a thousand steps.
    """
    for module in autoencoder.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.zero_()
        elif isinstance(module, Downsample2D):
            torch.nn.init.dirac_(module.conv.weight)
            averaged = module.conv.weight[:, :, 1:2, 1:2] / 4
            module.conv.weight.zero_()
            module.conv.weight[:, :, :2, :2] = averaged
            module.conv.bias.zero_()
        elif isinstance(module, Upsample2D):
            torch.nn.init.dirac_(module.conv.weight)
            kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
            module.conv.weight.copy_(
                module.conv.weight[:, :, 1:2, 1:2] * kernel[:, None] * kernel[None, :]
            )
            module.conv.bias.zero_()


def _loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    def edges(images: torch.Tensor) -> list[torch.Tensor]:
        return [images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]]

    loss = functional.l1_loss(made, wanted)
    for ours, theirs in zip(edges(made), edges(wanted), strict=True):
        loss = loss + functional.l1_loss(ours, theirs)
    return loss + 0.5 * functional.l1_loss(
        functional.avg_pool2d(made, 4), functional.avg_pool2d(wanted, 4)
    )


def peak_signal_to_noise(autoencoder: AutoencoderKL, photos: PhotoSet) -> float:
    """Mean PSNR in dB over photos that went through the autoencoder."""
    with torch.no_grad():
        images = photos.images(np.arange(len(photos)))
        made = autoencoder.decode(autoencoder.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    error = ((made - images) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())


def train_autoencoder(
    folder: Path, photos: PhotoSet, steps: int = 3000, batch: int = 8
) -> AutoencoderKL:
    """Train, set the scaling factor to 1/std of the latents, and save to `folder`."""
    torch.manual_seed(11)
    rng = np.random.default_rng(11)
    autoencoder = new_autoencoder()
    start_as_resampler(autoencoder)
    held_out = draw_set(CALIBRATION_SEEDS[:64], 2)
    optimiser = torch.optim.AdamW(
        autoencoder.parameters(), lr=2.5e-3, betas=(0.9, 0.98), weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine_rate(step, steps))
    for step, rows in enumerate(shuffled_batches(len(photos), batch, steps, rng)):
        images = photos.images(rows)
        with training_precision(torch.device("cpu")):
            posterior = autoencoder.encode(images).latent_dist
            made = autoencoder.decode(posterior.sample()).sample
        loss = _loss(made.float(), images) + 2e-6 * posterior.kl().float().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            log.info(
                "autoencoder step %d loss %.4f psnr %.2f dB",
                step + 1,
                loss.item(),
                peak_signal_to_noise(autoencoder, held_out),
            )
    with torch.no_grad():
        latents = autoencoder.encode(
            photos.images(rng.integers(0, len(photos), 512))
        ).latent_dist.mode()
    autoencoder.register_to_config(scaling_factor=float(1 / latents.std()))
    log.info(
        "latent mean %s std %s",
        latents.mean(dim=(0, 2, 3)).tolist(),
        latents.std(dim=(0, 2, 3)).tolist(),
    )
    autoencoder.save_pretrained(folder)
    return autoencoder


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train_autoencoder(Path(".training/vae"), draw_set(BASE_MODEL_SEEDS[:4000], 8))
