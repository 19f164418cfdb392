"""The face reader that uses InsightFace. No other module imports that library."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from insightface.app import FaceAnalysis
from insightface.model_zoo import get_model
from insightface.model_zoo.model_license import inspect_model_package_license
from insightface.utils.storage import ensure_available

from face_index.errors import PackMissing, PackUnusable
from face_index.faces.alignment import aligned_crop, crop_matrices, head_poses
from face_index.faces.detection import BatchDetector, Layout
from face_index.faces.face import Face, Image, PackVersion, Vector, unit
from face_index.faces.packs import DetectorKind, FacePack
from face_index.faces.yunet import YuNetDetector

log = logging.getLogger(__name__)
# Measured on two cores: of batches of 4, 8, 16 and 32 with 2 to 4 threads, none was faster than 16
# with 3 threads.
_CPU_BATCH = 16
_CUDA_BATCH = 64
# Activations need about 400 bytes for each pixel of network input: this allows 64 images at 128x128
# or 10 at 640x640.
_PIXELS_PER_RUN = {_CPU_BATCH: 1_000_000, _CUDA_BATCH: 4_200_000}
_LEVELS = np.arange(256, dtype=np.float32)


class InsightFaceReader:
    """Detects, aligns and embeds faces with one face pack (face_index.faces.face.FaceReader).

    On CPU a few threads share the images, and each runs single-threaded networks over small
    batches. This was measured faster than one network that uses all cores for each run
    (benchmarks/face_index/embedding.py). On CUDA there is one thread and batches are large.
    """

    def __init__(
        self, pack: FacePack, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        cuda = "CUDAExecutionProvider" in providers
        batch = _batch_size(pack, _CUDA_BATCH if cuda else _CPU_BATCH)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 0 if cuda else 1
        try:
            with redirect_stdout(StringIO()):
                self._recogniser, self._detector = _networks(pack, list(providers), batch, options)
        # InsightFace, OpenCV, onnx, protobuf and onnxruntime have no common error class.
        except Exception as error:
            raise PackUnusable(
                f"{pack.folder} is not a face pack: it needs a detector (SCRFD, or YuNet with a "
                f"pack.toml) and an ArcFace recogniser as .onnx ({error})"
            ) from error
        # One thread more than cores: while one holds the interpreter lock, the others' networks
        # run.
        self._batch, self._threads = batch, 1 if cuda else (os.cpu_count() or 1) + 1
        if not cuda:
            # OpenCV's own threads compete with these: without this line benchmarks/captures.py
            # takes 7 % longer.
            cv2.setNumThreads(1)
        dimension = int(self._recogniser.output_shape[1])
        self._detector_side = max(pack.detection_size)
        self._version = PackVersion(pack.name, pack.networks_sha256(), dimension, pack.version)

    @property
    def version(self) -> PackVersion:
        return self._version

    @property
    def detector_side(self) -> int:
        return self._detector_side

    @property
    def detection_layout(self) -> Layout:
        """How the outputs of this pack's detector are arranged for a batch."""
        return self._detector.layout

    def read(self, images: Sequence[Image]) -> list[list[Face]]:
        size = max(1, min(self._batch, math.ceil(len(images) / self._threads)))
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        if len(batches) <= 1:
            return [faces for batch in batches for faces in self.read_batch(batch)]
        with ThreadPoolExecutor(self._threads) as pool:
            return [faces for batch in pool.map(self.read_batch, batches) for faces in batch]

    def embed(self, patches: Sequence[Image]) -> list[Vector]:
        bgr = [cv2.cvtColor(patch, cv2.COLOR_RGB2BGR) for patch in patches]
        batches = [bgr[start : start + self._batch] for start in range(0, len(bgr), self._batch)]
        if len(batches) <= 1:
            return [unit(row) for batch in batches for row in self._embed(batch)]
        with ThreadPoolExecutor(self._threads) as pool:
            return [unit(row) for rows in pool.map(self._embed, batches) for row in rows]

    def read_batch(self, images: Sequence[Image]) -> list[list[Face]]:
        if not images:
            return []
        bgr = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images]
        found = self._detector.detect(bgr)
        marks = np.concatenate([faces.landmarks for faces in found])
        boxes = np.concatenate([faces.boxes for faces in found])
        sources = [image for image, faces in zip(bgr, found, strict=True) for _ in faces.boxes]
        crops = [
            aligned_crop(image, matrix)
            for image, matrix in zip(sources, crop_matrices(marks), strict=True)
        ]
        faces = map(_face, boxes, marks, head_poses(marks), crops, self._embed(crops))
        return [list(islice(faces, len(detections.boxes))) for detections in found]

    def _embed(self, crops: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        rows: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(crops), self._batch):
            rows += list(self._recogniser.get_feat(crops[start : start + self._batch]))
        return rows


def _networks(
    pack: FacePack, providers: list[str], batch: int, options: onnxruntime.SessionOptions
) -> tuple[Any, BatchDetector | YuNetDetector]:
    """Open the recogniser and the detector of a pack."""
    if pack.detector is None or pack.recogniser is None:
        app = FaceAnalysis(
            name=str(pack.folder),
            allowed_modules=["detection", "recognition"],
            providers=providers,
            sess_options=options,
        )
        score = pack.bar.min_detector_score
        app.prepare(ctx_id=0, det_thresh=score, det_size=pack.detection_size)
        recogniser, detector = app.models["recognition"], app.det_model
    else:
        recogniser = get_model(str(pack.recogniser.file), providers=providers, sess_options=options)
        recogniser.prepare(ctx_id=0)
        if pack.detector.kind == DetectorKind.YUNET:
            side = max(pack.detection_size)
            return recogniser, YuNetDetector(pack.detector.file, side, pack.bar.min_detector_score)
        detector = get_model(str(pack.detector.file), providers=providers, sess_options=options)
        detector.prepare(0, input_size=pack.detection_size, det_thresh=pack.bar.min_detector_score)
    return recogniser, BatchDetector(detector, pack.detection_size, batch, options)


def _batch_size(pack: FacePack, largest: int) -> int:
    width, height = pack.detection_size
    return max(2, min(largest, _PIXELS_PER_RUN[largest] // (width * height)))


def _face(
    box: npt.NDArray[np.float32],
    landmarks: npt.NDArray[np.float32],
    pose: npt.NDArray[np.float64],
    crop: npt.NDArray[np.uint8],
    vector: npt.NDArray[np.float32],
) -> Face:
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    levels = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    left, top, right, bottom, score = box.tolist()
    yaw, pitch, roll = pose.tolist()
    return Face(
        box=(left, top, right, bottom),
        landmarks=landmarks,
        detector_score=score,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        sharpness=float(edges[0, 0] ** 2),
        brightness=float(levels @ _LEVELS) / grey.size,
        clipped=float(levels[:2].sum() + levels[254:].sum()) / grey.size,
        embedding=unit(vector),
        norm=float(np.linalg.norm(vector)),
    )


def licence_of(folder: Path) -> tuple[str, str]:
    """Return what InsightFace finds in a pack's signed licence: the grant and a sentence."""
    inspection = inspect_model_package_license(folder)
    return inspection.grant or "none", inspection.message


def fetch_pack(name: str, root: Path) -> Path:
    """Return the folder of one of InsightFace's packs; InsightFace downloads it if it is missing.

    Raises:
        PackMissing: The pack is missing and cannot be downloaded.
    """
    folder = root / "models" / name
    if folder.is_dir() and not any(folder.glob("*.onnx")):
        folder.rmdir()  # InsightFace takes an empty folder for a finished download
    try:
        with redirect_stdout(StringIO()):
            return Path(ensure_available("models", name, root=str(root)))
    except Exception as error:  # errors of requests, zipfile and the system all mean the same
        raise PackMissing(
            f"face pack {name} is not on this machine and could not be downloaded "
            f"({type(error).__name__}). Bring {name}.zip from InsightFace's model zoo and unpack "
            f"its .onnx files into {folder}, or pass --face-pack with a folder that holds a pack"
        ) from error
