"""Train the face pack's recogniser: ArcFace loss, 112x112 aligned crops in, 128 numbers out.

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
from scanner.miniature.training.precision import training_precision

log = logging.getLogger(__name__)

EMBEDDING_DIMENSION = 128
_TRAINING_CROP = 56  # the network halves its 112 pixels first, so training crops come halved
_MARGIN = 4


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


def aligned_crops(photos: PhotoSet) -> npt.NDArray[np.uint8]:
    """Crops aligned by the true landmarks, with a margin for later shifts: uint8 [n, 64, 64, 3]."""
    wanted = arcface_dst * (_TRAINING_CROP / 112) + _MARGIN
    side = _TRAINING_CROP + 2 * _MARGIN
    crops = []
    for pixels, landmarks in zip(photos.pixels, photos.landmarks, strict=True):
        transform = SimilarityTransform()
        transform.estimate(landmarks, wanted)
        crops.append(cv2.warpAffine(pixels, transform.params[:2], (side, side)))
    return np.stack(crops)


def _misaligned(crops: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crops as a slightly mistaken detector would cut them: landmarks off by about a pixel."""
    count, device = len(crops), crops.device
    turn = 0.04 * torch.randn(count, device=device, generator=generator)
    grow = 1 + 0.035 * torch.randn(count, device=device, generator=generator)
    shift = 0.03 * torch.randn(count, 2, device=device, generator=generator)
    inner = _TRAINING_CROP / (_TRAINING_CROP + 2 * _MARGIN)
    cosine, sine = inner * grow * torch.cos(turn), inner * grow * torch.sin(turn)
    matrix = torch.stack(
        [torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)],
        1,
    )
    grid = functional.affine_grid(
        matrix, [count, 3, _TRAINING_CROP, _TRAINING_CROP], align_corners=False
    )
    return functional.grid_sample(crops, grid, align_corners=False, padding_mode="border")


def _augment(crops: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(len(crops), *shape, device=crops.device, generator=generator)

    lit = crops * (1 + 0.12 * noise(1, 1, 1)) * (1 + 0.04 * noise(3, 1, 1)) + 8 * noise(1, 1, 1)
    lit = lit + 4 * noise(*crops.shape[1:])
    coarse = functional.interpolate(
        functional.interpolate(lit, 28, mode="area"), _TRAINING_CROP, mode="bilinear"
    )
    blurred = torch.rand(len(crops), 1, 1, 1, device=crops.device, generator=generator) < 0.2
    return (torch.where(blurred, coarse, lit).clamp(0, 255) - 127.5) / 127.5


def _margin_logits(
    embeddings: torch.Tensor,
    centres: torch.Tensor,
    labels: torch.Tensor,
    margin: float,
    scale: float = 32.0,
) -> torch.Tensor:
    cosine = functional.normalize(embeddings) @ functional.normalize(centres).T
    own = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    pushed = torch.cos(torch.acos(own) + margin)
    return scale * cosine.scatter(1, labels[:, None], pushed)


def train_recogniser(
    path: Path, clean: PhotoSet, redrawn: PhotoSet, steps: int, batch: int = 512
) -> None:
    """Train on clean and redrawn photos of the same persons, and export ONNX to `path`.

    On a GPU where there is one: its 12,000 steps take minutes there and most of a day on two cores.
    """
    torch.manual_seed(13)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng, generator = np.random.default_rng(13), torch.Generator(device).manual_seed(13)
    network = Recogniser().to(device)
    persons = int(clean.person_index.max()) + 1
    centres = nn.Parameter((torch.randn(persons, EMBEDDING_DIMENSION) * 0.1).to(device))
    optimiser = torch.optim.AdamW([*network.parameters(), centres], lr=3e-3, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine_rate(step, steps, 400)
    )
    both = torch.from_numpy(np.stack([aligned_crops(clean), aligned_crops(redrawn)])).to(device)
    person_index = torch.from_numpy(clean.person_index).to(device)
    for step, rows in enumerate(shuffled_batches(len(clean), batch, steps, rng)):
        picked = torch.from_numpy(rows).to(device)
        version = (torch.rand(len(rows), device=device, generator=generator) < 0.65).long()
        crops = _misaligned(both[version, picked].permute(0, 3, 1, 2).float(), generator)
        labels = person_index[picked]
        with training_precision(device):
            embeddings = network.embed_halved(_augment(crops, generator))
        margin = 0.35 * min(1.0, step / (0.4 * steps))
        loss = functional.cross_entropy(
            _margin_logits(embeddings.float(), centres, labels, margin), labels
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 1000 == 999:
            log.info("recogniser step %d loss %.3f", step + 1, loss.item())
    network.cpu()
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
