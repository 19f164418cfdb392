"""Face detection with YuNet (Wu, Peng & Yu 2023) through OpenCV's own `FaceDetectorYN`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from face_index.faces.detection import NOTHING, Detections, Layout
from face_index.faces.face import Image

_NMS_THRESHOLD = 0.3  # OpenCV's default
_MOST_FACES = 5_000


class YuNetDetector:
    """Finds faces with a YuNet network; several threads may call it.

    Args:
        file: The network as OpenCV's model zoo publishes it.
        longest_side: Images are scaled so that their longer side has this many pixels.
        min_score: The least detector score, 0 to 1.
    """

    layout = Layout.ONE_AT_A_TIME

    def __init__(self, file: Path, longest_side: int, min_score: float) -> None:
        self._file, self._side, self._min_score = file, longest_side, min_score
        self._own = threading.local()
        self._detector()  # a file that is no YuNet is noticed at once

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the faces of images, uint8 [h, w, 3] BGR."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        high, wide = image.shape[:2]
        scale = self._side / max(high, wide)
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        if min(size) < 8:
            return NOTHING  # thinner than a cell of the network
        detector = self._detector()
        detector.setInputSize(size)
        _, rows = detector.detect(cv2.resize(image, size))
        if rows is None:
            return NOTHING
        # Left, top, width, height; eyes, nose and corners of the mouth, the left ones in the image
        # first; score.
        found = np.asarray(rows, np.float32)
        stretch = np.array([wide / size[0], high / size[1]], np.float32)
        corners = np.hstack([found[:, :2], found[:, :2] + found[:, 2:4]]) * np.tile(stretch, 2)
        landmarks = found[:, 4:14].reshape(-1, 5, 2) * stretch
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        boxes = np.hstack([corners, found[:, 14:15]])
        return Detections(boxes[order], landmarks[order])

    def _detector(self) -> cv2.FaceDetectorYN:
        # OpenCV's detector keeps the size of its input and is not safe for several threads.
        detector: cv2.FaceDetectorYN | None = getattr(self._own, "detector", None)
        if detector is None:
            size = (self._side, self._side)
            with _errors_only():
                detector = cv2.FaceDetectorYN.create(
                    str(self._file), "", size, self._min_score, _NMS_THRESHOLD, _MOST_FACES
                )
            self._own.detector = detector
        return detector


@contextmanager
def _errors_only() -> Iterator[None]:
    """Keep OpenCV 5 from warning that it opens the network for the CPU."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
