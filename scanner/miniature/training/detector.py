"""Train the face pack's detector in SCRFD's output form, which InsightFace decodes.

Guo et al., Sample and Computation Redistribution for Efficient Face Detection, ICLR 2022. Nine
outputs: scores, box distances and landmark offsets for strides 8, 16 and 32, two anchors a cell of
which the second is never used. Anchors stand at cell corners, distances count in strides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from scanner.miniature.training.photo_sets import PhotoSet, cosine_rate, shuffled_batches
from scanner.miniature.training.precision import training_precision

log = logging.getLogger(__name__)

STRIDES = (8, 16, 32)
INPUT_SIZE = 128  # pixels; FaceAnalysis.prepare(det_size=(128, 128))
# Each face size belongs to one stride only, so its landmarks come from one well-trained head.
FACE_WIDTHS = ((0.0, 34.0), (34.0, 100.0), (100.0, 1e9))


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class Detector(nn.Module):
    """float32 [b, 3, h, w], RGB, (x - 127.5) / 128, to SCRFD's nine outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 24, 2), _block(24, 48, 2), _block(48, 48, 1))
        self.levels = nn.ModuleList(
            [
                nn.Sequential(_block(48, 64, 2), _block(64, 64, 1)),
                nn.Sequential(_block(64, 96, 2), _block(96, 96, 1), _block(96, 96, 1)),
                nn.Sequential(_block(96, 96, 2), _block(96, 96, 1)),
            ]
        )
        self.laterals = nn.ModuleList(
            [nn.Conv2d(64, 64, 1), nn.Conv2d(96, 64, 1), nn.Conv2d(96, 64, 1)]
        )
        self.heads = nn.ModuleList(
            [
                nn.Sequential(_block(64, 96, 1), _block(96, 96, 1), nn.Conv2d(96, 15, 1))
                for _ in STRIDES
            ]
        )

    def raw(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Per stride [b, 15, h, w]: score logit, 4 distances, 10 landmark offsets, in strides."""
        features, maps = self.stem(images), []
        for level in self.levels:
            features = level(features)
            maps.append(features)
        above, outputs = None, []
        for lateral, head, features in zip(
            reversed(self.laterals), reversed(self.heads), reversed(maps), strict=True
        ):
            merged = lateral(features)
            if above is not None:
                merged = merged + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = merged
            outputs.append(head(merged))
        return outputs[::-1]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores, boxes, landmarks = [], [], []
        for output in self.raw(images):
            cells = output.permute(0, 2, 3, 1).reshape(-1, 15)
            unused = torch.zeros_like(cells)
            both = torch.stack(
                [torch.cat([cells[:, :1].sigmoid(), cells[:, 1:]], 1), unused], 1
            ).reshape(-1, 15)
            scores.append(both[:, :1])
            boxes.append(both[:, 1:5])
            landmarks.append(both[:, 5:])
        return (*scores, *boxes, *landmarks)


@dataclass(frozen=True, slots=True)
class Scene:
    """One training image of INPUT_SIZE with at most one face, in its pixels."""

    pixels: npt.NDArray[np.uint8]
    box: npt.NDArray[np.float32] | None
    landmarks: npt.NDArray[np.float32] | None


def compose_scene(photos: PhotoSet, row: int, rng: np.random.Generator) -> Scene:
    """A photo scaled and shifted into the detector's input; one in twelve shows no face at all."""
    if rng.random() < 1 / 12:
        noise = rng.uniform(0, 255, (int(rng.integers(2, 10)), int(rng.integers(2, 10)), 3)).astype(
            np.uint8
        )
        return Scene(
            cv2.resize(noise, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_CUBIC), None, None
        )
    zoom = (INPUT_SIZE / photos.pixels.shape[1]) * (
        1.0 if rng.random() < 0.5 else rng.uniform(0.4, 1.25)
    )
    spare = INPUT_SIZE - photos.pixels.shape[1] * zoom
    left, top = (
        (rng.uniform(min(0, spare), max(0, spare), 2) if rng.random() < 0.7 else np.zeros(2))
        if spare
        else rng.normal(0, 4, 2)
    )
    matrix = np.array([[zoom, 0, left + zoom / 2 - 0.5], [0, zoom, top + zoom / 2 - 0.5]])
    pixels = cv2.warpAffine(
        photos.pixels[row], matrix, (INPUT_SIZE, INPUT_SIZE), flags=cv2.INTER_LINEAR
    )
    shift = np.array([left, top], np.float32)
    box = photos.boxes[row].reshape(2, 2) * zoom + shift
    if box.min() < -8 or box.max() > INPUT_SIZE + 8:
        return compose_scene(photos, row, rng)
    return Scene(
        pixels,
        box.reshape(4).astype(np.float32),
        (photos.landmarks[row] * zoom + shift).astype(np.float32),
    )


def _targets(scene: Scene, stride: int, widths: tuple[float, float]) -> npt.NDArray[np.float32]:
    """[16, h, w]: 1 face / 0 none / -1 ignored, then the 15 values a head should give."""
    side = INPUT_SIZE // stride
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32) * stride
    target = np.zeros((side, side, 16), np.float32)
    if scene.box is None or scene.landmarks is None:
        return target.transpose(2, 0, 1)
    width = scene.box[2] - scene.box[0]
    distance = np.linalg.norm(grid - scene.box.reshape(2, 2).mean(0), axis=-1) / stride
    if widths[0] <= width < widths[1]:
        target[..., 0] = np.where(distance < 0.9, 1.0, np.where(distance < 1.6, -1.0, 0.0))
    else:
        target[..., 0] = np.where(
            distance < 1.6, -1.0 if widths[0] * 0.8 <= width < widths[1] * 1.25 else 0.0, 0.0
        )
    target[..., 2:4] = (grid - scene.box[:2]) / stride
    target[..., 4:6] = (scene.box[2:] - grid) / stride
    target[..., 6:] = ((scene.landmarks[None, None] - grid[:, :, None]) / stride).reshape(
        side, side, 10
    )
    return target.transpose(2, 0, 1)


def _loss(outputs: list[torch.Tensor], targets: list[torch.Tensor]) -> torch.Tensor:
    loss = torch.zeros(())
    for output, target, stride in zip(outputs, targets, STRIDES, strict=True):
        kind, logit = target[:, 0], output[:, 0]
        known = kind >= 0
        weight = torch.where(kind > 0, 6.0, 1.0)
        scores = functional.binary_cross_entropy_with_logits(
            logit, kind.clamp(min=0), weight, reduction="none"
        )
        loss = loss + scores[known].sum() / len(logit)
        faces = kind > 0
        if faces.any():
            error = (output[:, 1:] - target[:, 2:]).abs().permute(0, 2, 3, 1)[faces]
            # In pixels, so that every stride's landmarks weigh the same.
            loss = loss + stride * (0.15 * error[:, :4].mean() + 0.8 * error[:, 4:].mean())
    return loss


def train_detector(
    path: Path, clean: PhotoSet, redrawn: PhotoSet, steps: int = 4000, batch: int = 32
) -> None:
    """Train on clean and redrawn photos, and export ONNX to `path`."""
    torch.manual_seed(14)
    rng = np.random.default_rng(14)
    network = Detector()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine_rate(step, steps, 100)
    )
    losses: list[float] = []
    for step, rows in enumerate(shuffled_batches(len(clean), batch, steps, rng)):
        scenes = [
            compose_scene(redrawn if rng.random() < 0.5 else clean, int(row), rng) for row in rows
        ]
        gain = torch.from_numpy(rng.uniform(0.75, 1.2, (batch, 1, 1, 1))).float()
        pixels = (
            torch.from_numpy(np.stack([scene.pixels for scene in scenes]))
            .permute(0, 3, 1, 2)
            .float()
        )
        images = ((pixels * gain).clamp(0, 255) - 127.5) / 128
        targets = [
            torch.from_numpy(np.stack([_targets(scene, stride, widths) for scene in scenes]))
            for stride, widths in zip(STRIDES, FACE_WIDTHS, strict=True)
        ]
        with training_precision(torch.device("cpu")):
            outputs = network.raw(images)
        loss = _loss([output.float() for output in outputs], targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 250 == 249:
            log.info("detector step %d loss %.3f", step + 1, np.mean(losses[-250:]))
    network.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE),),
        str(path),
        dynamo=False,
        input_names=["input"],
        output_names=names,
        dynamic_axes={"input": {2: "height", 3: "width"}},
    )
