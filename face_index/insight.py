"""The face reader on InsightFace: the only module that imports it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from insightface.app import FaceAnalysis
from insightface.model_zoo.model_license import inspect_model_package_license
from insightface.utils.face_align import norm_crop
from insightface.utils.storage import ensure_available

from face_index.errors import PackMissing, PackUnusable
from face_index.face import Face, Image, PackVersion, unit
from face_index.packs import FacePack

log = logging.getLogger(__name__)
_RECOGNITION_BATCH = 64


class InsightFaceReader:
    """Detection, alignment and embedding by one face pack (face_index.face.FaceReader)."""

    def __init__(self, pack: FacePack, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        try:
            with redirect_stdout(StringIO()):
                self._app = FaceAnalysis(
                    name=str(pack.folder), allowed_modules=["detection", "recognition"], providers=list(providers)
                )
                self._app.prepare(ctx_id=0, det_thresh=pack.bar.min_detector_score, det_size=pack.detection_size)
            self._recogniser = self._app.models["recognition"]
        except Exception as error:  # InsightFace, onnx, protobuf and onnxruntime each raise errors of their own
            raise PackUnusable(
                f"{pack.folder} is not a face pack: it needs an SCRFD detector and an ArcFace recogniser as .onnx ({error})"
            ) from error
        self._version = PackVersion(pack.name, _hash_of_networks(pack.folder), int(self._recogniser.output_shape[1]))

    @property
    def version(self) -> PackVersion:
        return self._version

    def read(self, images: Sequence[Image]) -> list[list[Face]]:
        found, crops = [], []
        for image in images:
            bgr = np.ascontiguousarray(image[..., ::-1])
            boxes, landmarks = self._app.det_model.detect(bgr)
            order = np.argsort((boxes[:, 0] - boxes[:, 2]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")
            found.append([(boxes[row], landmarks[row]) for row in order])
            crops += [norm_crop(bgr, landmarks[row]) for row in order]
        embeddings = iter(self._embed(crops))
        pending = iter(crops)
        return [[_face(box, marks, next(pending), next(embeddings)) for box, marks in faces] for faces in found]

    def _embed(self, crops: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        rows: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(crops), _RECOGNITION_BATCH):
            rows += list(self._recogniser.get_feat(crops[start : start + _RECOGNITION_BATCH]))
        return rows


def _face(
    box: npt.NDArray[np.float32],
    landmarks: npt.NDArray[np.float32],
    crop: npt.NDArray[np.uint8],
    vector: npt.NDArray[np.float32],
) -> Face:
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    left, top, right, bottom, score = (float(value) for value in box)
    return Face(
        box=(left, top, right, bottom),
        landmarks=np.asarray(landmarks, dtype=np.float32),
        detector_score=score,
        sharpness=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        brightness=float(grey.mean()),
        embedding=unit(vector),
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
