"""Face detection in batches with the detector network of an InsightFace pack.

InsightFace 2.1 detects one image at a time, and most exports fix the batch size to one. The graph
nearly always accepts larger batches, so its batch dimension is changed, and the outputs are
compared with runs of one image. A network whose outputs differ is run one image at a time.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from face_index.faces.face import Image

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]


class ScrfdDetector(Protocol):
    """The attributes of insightface.model_zoo.scrfd.SCRFD that are used."""

    model_file: str
    session: Any
    fmc: int
    use_kps: bool
    det_thresh: float
    input_mean: float
    input_std: float
    input_name: str
    output_names: list[str]
    _feat_stride_fpn: list[int]
    _num_anchors: int

    def detect(self, img: Image) -> tuple[Floats, Floats]: ...
    def nms(self, dets: Floats) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces of one image, largest first.

    Attributes:
        boxes: float32 [n, 5]: left, top, right, bottom in pixels, detector score 0 to 1.
        landmarks: float32 [n, 5, 2], pixels.
    """

    boxes: Floats
    landmarks: Floats


NOTHING = Detections(np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32))


class Layout(StrEnum):
    """How the flat outputs of a network are arranged for several images."""

    WHOLE_IMAGES = "whole images"  # all cells of the first image, then the second
    INTERLEAVED = "interleaved"  # SCRFD's own export: each cell of every image in turn
    ONE_AT_A_TIME = "one at a time"


class BatchDetector:
    """Runs an SCRFD detector over batches; boxes and landmarks equal those of its own `detect`.

    Args:
        detector: InsightFace's detector, prepared.
        input_size: Width and height of the network's input, pixels.
        batch: Images in one run.
        options: Of the onnxruntime session that is opened for batches.
    """

    def __init__(
        self,
        detector: ScrfdDetector,
        input_size: tuple[int, int],
        batch: int,
        options: onnxruntime.SessionOptions,
    ) -> None:
        self._detector = detector
        self._width, self._height = input_size
        self._anchors = {
            stride: self._anchor_points(stride)
            for stride in detector._feat_stride_fpn  # noqa: SLF001
        }
        self._batch = batch
        self._session = _session_of_batches(
            detector, (batch, 3, self._height, self._width), options
        )
        self.layout = self._find_layout()

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return the faces of images, uint8 [h, w, 3] BGR. Several threads may call this."""
        if self.layout == Layout.ONE_AT_A_TIME or len(images) == 1:
            return [self._detect_one(image) for image in images]
        found: list[Detections] = []
        for start in range(0, len(images), self._batch):
            fitted = [self._fit(image) for image in images[start : start + self._batch]]
            outputs = self._run([canvas for canvas, _ in fitted])
            found += self._decode(outputs, [scale for _, scale in fitted])
        return found

    def _detect_one(self, image: Image) -> Detections:
        high, wide = image.shape[:2]
        if min(self._height / high, self._width / wide) * min(high, wide) < 1:
            return NOTHING  # thinner than a pixel of the input, which InsightFace cannot resize
        return _largest_first(*self._detector.detect(image))

    def _fit(self, image: Image) -> tuple[Image, float]:
        """Scale an image into the upper left of a black canvas of the network's size.

        InsightFace does the same. The scale is returned as well.
        """
        high, wide = image.shape[:2]
        if high / wide > self._height / self._width:
            new_high, new_wide = self._height, int(self._height / (high / wide))
        else:
            new_wide, new_high = self._width, int(self._width * (high / wide))
        new_high, new_wide = max(new_high, 1), max(new_wide, 1)
        canvas = np.zeros((self._height, self._width, 3), np.uint8)
        canvas[:new_high, :new_wide] = cv2.resize(image, (new_wide, new_high))
        return canvas, new_high / high

    def _run(self, canvases: list[Image]) -> list[Floats]:
        """Return outputs as float32 [images, cells, values] each; a short batch is padded."""
        mean = self._detector.input_mean
        full = canvases + canvases[-1:] * (self._batch - len(canvases))
        blob = cv2.dnn.blobFromImages(
            full, 1 / self._detector.input_std, None, (mean, mean, mean), swapRB=True
        )
        assert self._session is not None  # noqa: S101  no session means one image at a time
        raw = self._session.run(self._detector.output_names, {self._detector.input_name: blob})
        return [self._by_image(output)[: len(canvases)] for output in raw]

    def _by_image(self, output: Floats) -> Floats:
        if output.ndim == 3:
            return output
        if self.layout == Layout.WHOLE_IMAGES:
            return output.reshape(self._batch, -1, output.shape[1])
        anchors = self._detector._num_anchors  # noqa: SLF001
        cells = output.reshape(-1, self._batch, anchors, output.shape[1]).swapaxes(0, 1)
        return cells.reshape(self._batch, -1, output.shape[1])

    def _decode(self, outputs: list[Floats], scales: list[float]) -> list[Detections]:
        levels = self._detector.fmc
        numbers, boxes, marks = [], [], []
        for level, (stride, anchors) in enumerate(self._anchors.items()):
            scores = outputs[level][..., 0]
            rows = np.nonzero(scores >= self._detector.det_thresh)
            points = anchors[rows[1]]
            sides = outputs[level + levels][rows] * stride
            numbers.append(rows[0])
            boxes.append(
                np.hstack([points - sides[:, :2], points + sides[:, 2:], scores[rows][:, None]])
            )
            marks.append(
                points[:, None] + (outputs[level + 2 * levels][rows] * stride).reshape(-1, 5, 2)
            )
        number, found, points = (np.concatenate(parts) for parts in (numbers, boxes, marks))
        order = np.lexsort((-found[:, 4], number))
        number, found, points = number[order], found[order], points[order]
        # In single precision as in InsightFace, since the last digit decides which of two equal
        # boxes stays.
        scale = np.asarray(scales, np.float32)[number]
        found[:, :4] /= scale[:, None]
        points = points / scale[:, None, None]
        ends = np.searchsorted(number, np.arange(len(scales) + 1))
        return [self._merge(found[a:b], points[a:b]) for a, b in itertools.pairwise(ends)]

    def _merge(self, boxes: Floats, marks: Floats) -> Detections:
        if len(boxes) > 1:
            keep = self._detector.nms(boxes)
            boxes, marks = boxes[keep], marks[keep]
        return _largest_first(boxes, marks)

    def _anchor_points(self, stride: int) -> Floats:
        down, across = np.mgrid[: self._height // stride, : self._width // stride]
        centres = np.stack([across, down], axis=-1).reshape(-1, 2).astype(np.float32) * stride
        return np.repeat(centres, self._detector._num_anchors, axis=0)  # noqa: SLF001

    def _find_layout(self) -> Layout:
        """Find the layout with which a run of several images equals a run of each image."""
        if self._session is None or not self._detector.use_kps:
            return Layout.ONE_AT_A_TIME
        rng = np.random.default_rng(0)
        canvases = list(
            rng.integers(0, 255, (min(self._batch, 3), self._height, self._width, 3), np.uint8)
        )
        canvases[-1][:] = 90
        for layout in (Layout.WHOLE_IMAGES, Layout.INTERLEAVED):
            self.layout = layout
            try:
                together = self._run(canvases)
                alone = [self._run([canvas]) for canvas in canvases]
            except Exception as error:  # onnxruntime's errors for shapes have no common class
                return _one_at_a_time(f"its network refuses a batch: {error}", error)
            if all(
                np.allclose(output[number], single[0], atol=1e-3)
                for number, outputs in enumerate(alone)
                for output, single in zip(together, outputs, strict=True)
            ):
                return layout
        return _one_at_a_time("what it finds in a batch differs from what it finds in each image")


def _one_at_a_time(why: str, error: Exception | None = None) -> Layout:
    """Log why images are read one at a time; without the message the machine would seem slow."""
    log.warning(
        "faces are looked for in one image at a time, since the detector takes no batch: %s", why
    )
    log.info("where it was refused", exc_info=error)
    return Layout.ONE_AT_A_TIME


def _largest_first(boxes: Floats, landmarks: Floats) -> Detections:
    if len(boxes) < 2:
        return Detections(boxes, landmarks)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-area, kind="stable")
    return Detections(boxes[order], landmarks[order])


def _session_of_batches(
    detector: ScrfdDetector, shape: tuple[int, ...], options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession | None:
    """Open a session of the same network for inputs of exactly this shape; None if it fails.

    The shape is fixed, as InsightFace fixes it for one image. With an open batch dimension
    onnxruntime picks other kernels, whose last bit decides differently between two cells of equal
    score.
    """
    try:
        model = onnx.load(str(Path(detector.model_file)))
        for dimension, size in zip(
            model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True
        ):
            dimension.ClearField("dim_param")
            dimension.dim_value = size
        for number, output in enumerate(model.graph.output):
            for axis, dimension in enumerate(output.type.tensor_type.shape.dim[:-1]):
                dimension.ClearField("dim_value")
                dimension.dim_param = f"axis_{number}_{axis}"
        # Shapes inferred for a batch of one would contradict the new one.
        del model.graph.value_info[:]
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=detector.session.get_providers()
        )
    except Exception as error:  # onnx, protobuf and onnxruntime have no common error class
        _one_at_a_time(f"its network cannot be opened for one: {error}", error)
        return None
