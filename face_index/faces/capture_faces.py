"""Faces in captured images: several in one, small ones, long screenshots; read in batches, in the order they come.

An image is looked at whole. A screenshot, and any image in which nothing was found, is looked at again in overlapping
pieces of several sizes, since a detector sees an image of any size at its own: a face in a long screenshot is a few pixels then.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from face_index.faces.face import Face, FaceReader, Image
from face_index.faces.image_formats import (
    HEAD_BYTES,
    MAX_BYTES,
    ImageRefused,
    image_format,
    open_image,
)
from face_index.faces.same_picture import Look, Patch, look_of, patch_of

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
_AT_ONCE = 16  # what the face reader takes in one run on CPU
_THREADS = (os.cpu_count() or 1) + 1  # while one holds Python, the others' networks run
_MOST_PIXELS_AT_ONCE = (
    64_000_000  # of three bytes each, in all threads; one image may be larger by itself
)
_OVERLAP = 0.25
_MOST_PIECES = 80
# A piece is this much larger than what the detector sees: a face of a tenth of it is still found.
_PIECE_TO_DETECTOR = 2
_CUT = 0.04  # of a square's side
_SAME_FACE = 0.35  # intersection over union
LONGEST_SIDE_PX = 6_000


@dataclass(frozen=True, slots=True)
class Captured(Generic[Key]):
    """An image to look for faces in.

    Attributes:
        pixels: width times height, as known before it is opened.
        thorough: a screenshot: pieces are looked at in any case.
    """

    key: Key
    path: Path
    pixels: int
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Seen(Generic[Key]):
    """What was found in one image.

    Attributes:
        faces: largest first; boxes in pixels of the image as it is, upright.
        patches: of a thorough image, one for each face: what tells whether another one shows the same picture.
        looks: one for each face: what tells whether another was cut from the same photograph.
        problem: why the image could not be opened.
    """

    key: Key
    faces: tuple[Face, ...]
    patches: tuple[Patch, ...] = ()
    looks: tuple[Look, ...] = ()
    problem: str | None = None


def faces_in(
    reader: FaceReader, images: Iterable[Captured[Key]], detector_side: int
) -> Iterator[Seen[Key]]:
    """The faces of each image, in the order of the images.

    Args:
        detector_side: pixels of the detector's input; pieces are measured by it.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[tuple[int, Future[list[Seen[Key]]]]] = deque()
        for batch in _batches(images):
            pixels = sum(one.pixels for one in batch)
            while waiting and (
                len(waiting) > _THREADS
                or pixels + sum(known for known, _ in waiting) > _MOST_PIXELS_AT_ONCE
            ):
                yield from waiting.popleft()[1].result()
            waiting.append(
                (pixels, pool.submit(_look, reader, batch, detector_side * _PIECE_TO_DETECTOR))
            )
        for _, looked in waiting:
            yield from looked.result()


def _batches(images: Iterable[Captured[Key]]) -> Iterator[list[Captured[Key]]]:
    """Images that one thread opens and looks at together."""
    batch: list[Captured[Key]] = []
    pixels = 0
    for one in images:
        if batch and (
            len(batch) >= _AT_ONCE or pixels + one.pixels > _MOST_PIXELS_AT_ONCE / _THREADS
        ):
            yield batch
            batch, pixels = [], 0
        batch.append(one)
        pixels += one.pixels
    if batch:
        yield batch


def _look(reader: FaceReader, batch: Sequence[Captured[Key]], piece_side: int) -> list[Seen[Key]]:
    """Open and look at a few images in one thread, so that nothing waits for a slower one and pixels stay where they are."""
    images = [_open(one) for one in batch]
    faces = iter(
        reader.read_batch([_fitted(image) for image in images if isinstance(image, np.ndarray)])
    )
    seen: list[Seen[Key]] = []
    for one, image in zip(batch, images, strict=True):
        if isinstance(image, str):
            seen.append(Seen(one.key, (), problem=image))
            continue
        found = [_scaled(face, _scale_of(image)) for face in next(faces)]
        if one.thorough or not found:
            found = _with_pieces(reader, image, found, piece_side)
        patches = tuple(patch_of(image, face) for face in found) if one.thorough else ()
        seen.append(
            Seen(one.key, tuple(found), patches, tuple(look_of(image, face) for face in found))
        )
    return seen


def _open(one: Captured[Key]) -> Image | str:
    """Pixels, uint8 [h, w, 3] RGB upright; why there are none otherwise."""
    try:
        if one.path.stat().st_size > MAX_BYTES:
            return f"larger than {MAX_BYTES / 1e6:.0f} MB"
        data = one.path.read_bytes()
    except OSError as error:
        return f"a file that cannot be read: {error.strerror}"
    try:
        return pixels_of(data)
    except ImageRefused as refused:
        return f"no picture that can be opened: {refused}"
    except Exception:  # Pillow's plugins raise anything at hostile files
        log.info("a damaged picture", exc_info=True)
        return f"a damaged {image_format(data[:HEAD_BYTES]) or 'image'}"


def pixels_of(data: bytes) -> Image:
    """An image file's pixels as faces are looked for in them, uint8 [h, w, 3], RGB, upright.

    Raises:
        ImageRefused: it is none that is opened, or too large.
        Exception: whatever Pillow's plugins raise at damaged files.
    """
    with open_image(data) as picture:
        picture.thumbnail((LONGEST_SIDE_PX, 40 * LONGEST_SIDE_PX))  # long ones are cut, not shrunk
        ImageOps.exif_transpose(picture, in_place=True)
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _fitted(image: Image) -> Image:
    """No detector looks at more than this; smaller images cost less on their way."""
    scale = _scale_of(image)
    if scale == 1.0:
        return image
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR))


def _scale_of(image: Image) -> float:
    return float(max(1.0, max(image.shape[:2]) / 2048))


def _scaled(face: Face, scale: float) -> Face:
    if scale == 1.0:
        return face
    left, top, right, bottom = (side * scale for side in face.box)
    return replace(
        face, box=(left, top, right, bottom), landmarks=face.landmarks * np.float32(scale)
    )


def faces_in_pieces(reader: FaceReader, image: Image, detector_side: int) -> list[Face]:
    """The faces that overlapping pieces of one image show, largest first; none where it is no larger than one piece."""
    return _with_pieces(reader, image, (), detector_side * _PIECE_TO_DETECTOR)


def _with_pieces(reader: FaceReader, image: Image, faces: Sequence[Face], side: int) -> list[Face]:
    """The faces found in the whole, and those of overlapping squares of several sizes, each face once.

    Args:
        side: of the smallest squares; each larger size is twice the one before, and is looked at as small as that.
    """
    places = list(itertools.islice(_places(image, side), _MOST_PIECES))
    known = [(face, (True, face.detector_score)) for face in faces]
    for place, found in zip(
        places, reader.read([_piece(image, place, side) for place in places]), strict=True
    ):
        for face in found:
            moved = _moved(_scaled(face, place.side / side), place.left, place.top)
            rank = (not _is_cut(moved, place, image), moved.detector_score)
            twin = next(
                (
                    number
                    for number, (one, _) in enumerate(known)
                    if _overlap(one.box, moved.box) > _SAME_FACE
                ),
                None,
            )
            if twin is None:
                known.append((moved, rank))
            elif rank > known[twin][1]:
                known[twin] = (moved, rank)
    return sorted((face for face, _ in known), key=lambda face: -_area(face.box))


@dataclass(frozen=True, slots=True)
class _Place:
    left: int
    top: int
    side: int


def _places(image: Image, smallest: int) -> Iterator[_Place]:
    """Squares that cover an image, the largest first: a detector knows faces of some sizes only, and a screenshot has any."""
    high, wide = image.shape[:2]
    sides = list(
        itertools.takewhile(
            lambda side: side < max(high, wide), (smallest << level for level in range(12))
        )
    )
    for side in reversed(sides):
        step = round(side * (1 - _OVERLAP))
        for top in range(0, max(1, high - round(side * _OVERLAP)), step):
            for left in range(0, max(1, wide - round(side * _OVERLAP)), step):
                yield _Place(left, top, side)


def _is_cut(face: Face, place: _Place, image: Image) -> bool:
    """Whether a face ends where its square does: a neighbour, or a larger square, shows the whole of it."""
    high, wide = image.shape[:2]
    left, top, right, bottom = face.box
    near = place.side * _CUT
    return (
        (place.left > 0 and left < place.left + near)
        or (place.top > 0 and top < place.top + near)
        or (place.left + place.side < wide and right > place.left + place.side - near)
        or (place.top + place.side < high and bottom > place.top + place.side - near)
    )


def _piece(image: Image, place: _Place, side: int) -> Image:
    piece = image[place.top : place.top + place.side, place.left : place.left + place.side]
    if place.side == side:
        return np.ascontiguousarray(piece)
    scale = place.side / side
    size = (max(1, round(piece.shape[1] / scale)), max(1, round(piece.shape[0] / scale)))
    return np.asarray(Pillow.fromarray(piece).resize(size, Pillow.Resampling.BOX))


def _moved(face: Face, left: int, top: int) -> Face:
    a, b, c, d = face.box
    shift = np.array([left, top], np.float32)
    return replace(
        face, box=(a + left, b + top, c + left, d + top), landmarks=face.landmarks + shift
    )


def _area(box: tuple[float, float, float, float]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    shared = _area(
        (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    )
    return float(shared / max(_area(one) + _area(other) - shared, 1e-9))
