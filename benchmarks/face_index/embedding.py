"""Embedding throughput of batches compared with one FaceAnalysis.get call for each image.

    python -m benchmarks.face_index.embedding [PACK_FOLDER PHOTO...]

The photos are 500 miniature ones, or the given ones with the given pack. Both figures and the
largest difference between the vectors are printed.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from PIL import Image

from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from scanner.miniature.persons import CALIBRATION_SEEDS, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

COUNT = 500
ROUNDS = 7


def plain_way(pack: FacePack) -> Callable[[Sequence[np.ndarray]], list[list[np.ndarray]]]:
    """InsightFace as its own examples use it: default sessions, one call per image."""
    app = FaceAnalysis(name=str(pack.folder), allowed_modules=["detection", "recognition"])
    app.prepare(ctx_id=0, det_thresh=pack.bar.min_detector_score, det_size=pack.detection_size)

    def read(images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        found = [app.get(np.ascontiguousarray(image[..., ::-1])) for image in images]
        for faces in found:
            faces.sort(
                key=lambda face: -(face.bbox[2] - face.bbox[0]) * (face.bbox[3] - face.bbox[1])
            )
        return [[face.normed_embedding for face in faces] for faces in found]

    return read


def networks_alone(reader: InsightFaceReader, images: int, faces: int) -> float:
    """Return the seconds that the runs of the two networks take alone, in the same threads."""
    detector, recogniser, batch = reader._detector, reader._recogniser, reader._batch
    size = (batch, 3, detector._height, detector._width)
    blob, crops = np.zeros(size, np.float32), np.zeros((batch, 3, 112, 112), np.float32)

    def run(_: int) -> None:
        detector._session.run(None, {detector._detector.input_name: blob})
        for _ in range(max(1, round(faces / images))):
            recogniser.session.run(None, {recogniser.input_name: crops})

    started = time.perf_counter()
    with ThreadPoolExecutor(reader._threads) as pool:
        list(pool.map(run, range(-(-images // batch))))
    return time.perf_counter() - started


def main(pack: FacePack, images: Sequence[np.ndarray], rounds: int) -> None:
    reader, plain = InsightFaceReader(pack), plain_way(pack)
    ours_s, plain_s = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        wanted = plain(images)
        plain_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        found = reader.read(images)
        ours_s.append(time.perf_counter() - started)
    assert [len(faces) for faces in found] == [len(faces) for faces in wanted]
    gap = max(
        float(np.abs(face.embedding - vector).max())
        for faces, vectors in zip(found, wanted, strict=True)
        for face, vector in zip(faces, vectors, strict=True)
    )
    ratios = [one / other for one, other in zip(plain_s, ours_s, strict=True)]
    faces = sum(len(one) for one in found)
    print(
        f"{pack.name}: {len(images)} images, {faces} faces; ours "
        f"{len(images) / statistics.median(ours_s):.0f} images/s, "
        f"FaceAnalysis.get {len(images) / statistics.median(plain_s):.0f} images/s; ratio median "
        f"{statistics.median(ratios):.2f} (lowest {min(ratios):.2f}, highest {max(ratios):.2f} of "
        f"{rounds} rounds); "
        f"largest difference of any vector's value {gap:.1e}"
    )
    alone_s = statistics.median(networks_alone(reader, len(images), faces) for _ in range(rounds))
    print(
        f"the networks alone take {alone_s / statistics.median(ours_s):.0%} of our time; with "
        "nothing around them the "
        f"ratio would be {statistics.median(plain_s) / alone_s:.2f}"
    )
    print(
        f"{os.cpu_count()} cores, onnxruntime {onnxruntime.__version__}, detector takes "
        f"{reader.detection_layout}"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        photos = [np.asarray(Image.open(path).convert("RGB")) for path in sys.argv[2:]]
        main(find_pack(sys.argv[1], Path("unused"), {}), photos, 3)
    else:
        drawn = [draw_photo(person_of(seed), 0).pixels for seed in CALIBRATION_SEEDS[:COUNT]]
        main(find_pack("miniature", Path("unused"), {"miniature": FACE_PACK}), drawn, ROUNDS)
