"""The face reader on InsightFace: the only module that imports it."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from insightface.app import FaceAnalysis
from insightface.model_zoo.model_license import inspect_model_package_license
from insightface.utils.storage import ensure_available

from face_index.errors import PackMissing, PackUnusable
from face_index.faces.alignment import aligned_crop, crop_matrices, head_poses
from face_index.faces.detection import BatchDetector, Layout
from face_index.faces.face import Face, Image, PackVersion, unit
from face_index.faces.packs import FacePack

log = logging.getLogger(__name__)
# Of 4, 8, 16 and 32, with 2 to 4 threads on two cores, 16 with 3 was as fast as any.
_CPU_BATCH = 16
_CUDA_BATCH = 64
# Activations need about 400 bytes a pixel of network input: 64 images at 128x128, 10 at 640x640.
_PIXELS_PER_RUN = {_CPU_BATCH: 1_000_000, _CUDA_BATCH: 4_200_000}
_LEVELS = np.arange(256, dtype=np.float32)


class InsightFaceReader:
    """Detection, alignment and embedding by one face pack (face_index.faces.face.FaceReader).

    On CPU the images are shared out among a few threads, each running networks of one thread over small batches:
    measured faster than one network that spreads each run over all cores (benchmarks/face_index/embedding.py).
    On CUDA batches are large and there is one thread.
    """

    def __init__(
        self, pack: FacePack, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        cuda = "CUDAExecutionProvider" in providers
        batch = _CUDA_BATCH if cuda else _CPU_BATCH
        batch = max(
            2,
            min(batch, _PIXELS_PER_RUN[batch] // (pack.detection_size[0] * pack.detection_size[1])),
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 0 if cuda else 1
        try:
            with redirect_stdout(StringIO()):
                self._app = FaceAnalysis(
                    name=str(pack.folder),
                    allowed_modules=["detection", "recognition"],
                    providers=list(providers),
                    sess_options=options,
                )
                self._app.prepare(
                    ctx_id=0, det_thresh=pack.bar.min_detector_score, det_size=pack.detection_size
                )
            self._recogniser = self._app.models["recognition"]
            self._detector = BatchDetector(self._app.det_model, pack.detection_size, batch, options)
        except (
            Exception
        ) as error:  # InsightFace, onnx, protobuf and onnxruntime each raise errors of their own
            raise PackUnusable(
                f"{pack.folder} is not a face pack: it needs an SCRFD detector and an ArcFace recogniser as .onnx ({error})"
            ) from error
        # One thread more than cores: while one holds Python, the others' networks run.
        self._batch, self._threads = batch, 1 if cuda else (os.cpu_count() or 1) + 1
        if not cuda:
            cv2.setNumThreads(
                1
            )  # OpenCV's own threads would only get in their way: 7 % of benchmarks/captures.py
        dimension = int(self._recogniser.output_shape[1])
        self._detector_side = max(pack.detection_size)
        self._version = PackVersion(
            pack.name, _hash_of_networks(pack.folder), dimension, pack.version
        )

    @property
    def version(self) -> PackVersion:
        return self._version

    @property
    def detector_side(self) -> int:
        return self._detector_side

    @property
    def detection_layout(self) -> Layout:
        """How this pack's detector takes batches."""
        return self._detector.layout

    def read(self, images: Sequence[Image]) -> list[list[Face]]:
        size = max(1, min(self._batch, math.ceil(len(images) / self._threads)))
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        if len(batches) <= 1:
            return [faces for batch in batches for faces in self.read_batch(batch)]
        with ThreadPoolExecutor(self._threads) as pool:
            return [faces for batch in pool.map(self.read_batch, batches) for faces in batch]

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


def _hash_of_networks(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.onnx")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def licence_of(folder: Path) -> tuple[str, str]:
    """InsightFace's own reading of a pack's signed licence: the grant and a sentence about it."""
    inspection = inspect_model_package_license(folder)
    return inspection.grant or "none", inspection.message


def fetch_pack(name: str, root: Path) -> Path:
    """The folder of one of InsightFace's own packs, downloaded by its own code if it is not there.

    Raises:
        PackMissing: it is not there and cannot be fetched from here.
    """
    folder = root / "models" / name
    if folder.is_dir() and not any(folder.glob("*.onnx")):
        folder.rmdir()  # InsightFace takes an empty folder for a finished download
    try:
        with redirect_stdout(StringIO()):
            return Path(ensure_available("models", name, root=str(root)))
    except Exception as error:  # requests, zipfile and OS errors alike mean that it is not here
        raise PackMissing(
            f"face pack {name} is not on this machine and could not be downloaded ({type(error).__name__}). "
            f"Bring {name}.zip from InsightFace's model zoo and unpack its .onnx files into {folder}, "
            "or pass --face-pack with a folder that holds a pack"
        ) from error
