"""Trains the face pack's recogniser: ArcFace loss, 112x112 aligned crops in, 128 numbers out.

Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019.
"""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from insightface.utils.face_align import arcface_dst
from skimage.transform import SimilarityTransform
from torch import nn
from torch.nn import functional

from scanner.miniature.training.photo_sets import PhotoSet, cosine_rate, shuffled_batches

log = logging.getLogger(__name__)

EMBEDDING_DIMENSION = 128
_TRAINING_CROP = 56  # the network halves its 112 pixels first, so training crops come halved


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.PReLU(channels_out),
    )


class Recogniser(nn.Module):
    """float32 [b, 3, 112, 112], RGB, (x - 127.5) / 127.5, to float32 [b, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.halve = nn.AvgPool2d(2)
        self.stages = nn.Sequential(
            _stage(3, 32, 2),
            _stage(32, 32, 1),
            _stage(32, 64, 2),
            _stage(64, 64, 1),
            _stage(64, 96, 2),
            _stage(96, 96, 1),
        )
        self.project = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(96 * 7 * 7, EMBEDDING_DIMENSION, bias=False),
            nn.BatchNorm1d(EMBEDDING_DIMENSION),
        )

    def embed_halved(self, crops: torch.Tensor) -> torch.Tensor:
        return self.project(self.stages(crops))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.embed_halved(self.halve(crops))


def training_crop(
    pixels: npt.NDArray[np.uint8], landmarks: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """An aligned crop as a slightly mistaken detector would cut it: landmarks off by about a pixel."""
    shifted = landmarks + rng.normal(0, 0.55, landmarks.shape) + rng.normal(0, 0.5, 2)
    transform = SimilarityTransform()
    transform.estimate(shifted, arcface_dst * (_TRAINING_CROP / 112))
    return np.asarray(cv2.warpAffine(pixels, transform.params[:2], (_TRAINING_CROP, _TRAINING_CROP)), dtype=np.uint8)


def _augment(crops: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    count = len(crops)
    gain = 1 + 0.12 * torch.randn(count, 1, 1, 1, generator=generator)
    tint = 1 + 0.04 * torch.randn(count, 3, 1, 1, generator=generator)
    lit = crops * gain * tint + 8 * torch.randn(count, 1, 1, 1, generator=generator)
    lit = lit + 4 * torch.randn(crops.shape, generator=generator)
    coarse = functional.interpolate(functional.interpolate(lit, 28, mode="area"), _TRAINING_CROP, mode="bilinear")
    blurred = torch.rand(count, 1, 1, 1, generator=generator) < 0.2
    return (torch.where(blurred, coarse, lit).clamp(0, 255) - 127.5) / 127.5


def _margin_logits(
    embeddings: torch.Tensor, centres: torch.Tensor, labels: torch.Tensor, margin: float, scale: float = 28.0
) -> torch.Tensor:
    cosine = functional.normalize(embeddings) @ functional.normalize(centres).T
    own = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    pushed = torch.cos(torch.acos(own) + margin)
    return scale * cosine.scatter(1, labels[:, None], pushed)


def train_recogniser(path: Path, clean: PhotoSet, redrawn: PhotoSet, steps: int = 3000, batch: int = 128) -> None:
    """Train on clean and redrawn photos of the same persons, and export ONNX to `path`."""
    torch.manual_seed(13)
    rng, generator = np.random.default_rng(13), torch.Generator().manual_seed(13)
    network = Recogniser()
    persons = int(clean.person_index.max()) + 1
    centres = nn.Parameter(torch.randn(persons, EMBEDDING_DIMENSION) * 0.1)
    optimiser = torch.optim.AdamW([*network.parameters(), centres], lr=3e-3, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine_rate(step, steps, 100))
    losses: list[float] = []
    for step, rows in enumerate(shuffled_batches(len(clean), batch, steps, rng)):
        use_redrawn = rng.random(len(rows)) < 0.65
        crops = np.stack(
            [
                training_crop((redrawn if again else clean).pixels[row], clean.landmarks[row], rng)
                for row, again in zip(rows, use_redrawn, strict=True)
            ]
        )
        inputs = _augment(torch.from_numpy(crops).permute(0, 3, 1, 2).float(), generator)
        labels = torch.from_numpy(clean.person_index[rows])
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = network.embed_halved(inputs)
        margin = 0.3 * min(1.0, step / (0.5 * steps))
        loss = functional.cross_entropy(_margin_logits(embeddings.float(), centres, labels, margin), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 200 == 199:
            log.info("recogniser step %d loss %.3f", step + 1, np.mean(losses[-200:]))
    network.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 112, 112),),
        str(path),
        dynamo=False,
        input_names=["input"],
        output_names=["embedding"],
        dynamic_axes={"input": {0: "batch"}, "embedding": {0: "batch"}},
    )
