"""Finding faces in captured images, which may show several people, small faces or long pages.

The detector first reads the whole image. A screenshot, and any image in which no face was found, is
read again in overlapping pieces of several sizes: every image is scaled to the detector's input, so
that a face in a long screenshot would be a few pixels large.
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
from face_index.faces.same_picture import MaskedPatch, Patch, masked_patch_of, patch_of

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Box = tuple[float, float, float, float]
_AT_ONCE = 16  # images in one run of the face reader on CPU
# One thread more than cores: while one holds the interpreter lock, the others' networks run.
_THREADS = (os.cpu_count() or 1) + 1
# Of three bytes each, in all threads together; a single image may be larger.
_MOST_PIXELS_AT_ONCE = 64_000_000
_OVERLAP = 0.25
_MOST_PIECES = 80
# Side of the smallest pieces relative to the detector's input: a face of a tenth of it is found.
_PIECE_TO_DETECTOR = 2
_CUT_MARGIN = 0.04  # of a square's side
_SAME_FACE = 0.35  # intersection over union
LONGEST_SIDE_PX = 6_000


@dataclass(frozen=True, slots=True)
class Captured(Generic[Key]):
    """An image in which faces are to be found.

    Attributes:
        pixels: Width times height, as known before it is opened.
        thorough: Read it in pieces in any case, as for a screenshot.
    """

    key: Key
    path: Path
    pixels: int
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class FoundFaces(Generic[Key]):
    """The faces of one image.

    Attributes:
        faces: Largest first; boxes in pixels of the upright image at its size.
        patches: One for each face of a thorough image, to find other faces from the same picture.
        masked_patches: One for each face, to find other faces from the same photograph, edited.
        problem: Why the image could not be opened.
    """

    key: Key
    faces: tuple[Face, ...]
    patches: tuple[Patch, ...] = ()
    masked_patches: tuple[MaskedPatch, ...] = ()
    problem: str | None = None


def faces_in(
    reader: FaceReader, images: Iterable[Captured[Key]], detector_side: int
) -> Iterator[FoundFaces[Key]]:
    """Yield the faces of each image, in the order of the images.

    Args:
        detector_side: Side of the detector's input in pixels; it sets the size of the pieces.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[tuple[int, Future[list[FoundFaces[Key]]]]] = deque()
        for batch in _batches(images):
            pixels = sum(image.pixels for image in batch)
            while waiting and (
                len(waiting) > _THREADS
                or pixels + sum(known for known, _ in waiting) > _MOST_PIXELS_AT_ONCE
            ):
                yield from waiting.popleft()[1].result()
            waiting.append(
                (pixels, pool.submit(_read, reader, batch, detector_side * _PIECE_TO_DETECTOR))
            )
        for _, found in waiting:
            yield from found.result()


def _batches(images: Iterable[Captured[Key]]) -> Iterator[list[Captured[Key]]]:
    """Yield groups of images that one thread opens and reads together."""
    batch: list[Captured[Key]] = []
    pixels = 0
    for image in images:
        if batch and (
            len(batch) >= _AT_ONCE or pixels + image.pixels > _MOST_PIXELS_AT_ONCE / _THREADS
        ):
            yield batch
            batch, pixels = [], 0
        batch.append(image)
        pixels += image.pixels
    if batch:
        yield batch


def _read(
    reader: FaceReader, batch: Sequence[Captured[Key]], piece_side: int
) -> list[FoundFaces[Key]]:
    """Open and read a few images in one thread.

    No thread waits for a slower one, and pixels are not handed from thread to thread.
    """
    images = [_open(captured) for captured in batch]
    faces = iter(
        reader.read_batch([_fitted(image) for image in images if isinstance(image, np.ndarray)])
    )
    results: list[FoundFaces[Key]] = []
    for captured, image in zip(batch, images, strict=True):
        if isinstance(image, str):
            results.append(FoundFaces(captured.key, (), problem=image))
            continue
        found = [_scaled(face, _scale_of(image)) for face in next(faces)]
        if captured.thorough or not found:
            found = _with_pieces(reader, image, found, piece_side)
        patches = tuple(patch_of(image, face) for face in found) if captured.thorough else ()
        masked_patches = tuple(masked_patch_of(image, face) for face in found)
        results.append(FoundFaces(captured.key, tuple(found), patches, masked_patches))
    return results


def _open(captured: Captured[Key]) -> Image | str:
    """Return pixels, uint8 [h, w, 3] RGB, upright; or why the image cannot be opened."""
    try:
        if captured.path.stat().st_size > MAX_BYTES:
            return f"larger than {MAX_BYTES / 1e6:.0f} MB"
        data = captured.path.read_bytes()
    except OSError as error:
        return f"a file that cannot be read: {error.strerror}"
    try:
        return pixels_of(data)
    except ImageRefused as refused:
        return f"no picture that can be opened: {refused}"
    except Exception:  # Pillow's plugins raise any kind of error for hostile files
        log.info("a damaged picture", exc_info=True)
        return f"a damaged {image_format(data[:HEAD_BYTES]) or 'image'}"


def pixels_of(data: bytes) -> Image:
    """Decode an image file for face detection, uint8 [h, w, 3], RGB, upright.

    Raises:
        ImageRefused: The format is not accepted, or the image is too large.
        Exception: Pillow's plugins raise any kind of error for damaged files.
    """
    with open_image(data) as picture:
        # Long images keep their width, since they are read in pieces.
        picture.thumbnail((LONGEST_SIDE_PX, 40 * LONGEST_SIDE_PX))
        ImageOps.exif_transpose(picture, in_place=True)
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _fitted(image: Image) -> Image:
    """Scale an image down to 2048 pixels; no detector uses more, and small images cost less."""
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
    """Find faces in overlapping pieces of an image, largest first.

    An image that is not larger than one piece has no pieces, and so no faces.
    """
    return _with_pieces(reader, image, (), detector_side * _PIECE_TO_DETECTOR)


def _with_pieces(reader: FaceReader, image: Image, faces: Sequence[Face], side: int) -> list[Face]:
    """Add the faces of overlapping squares of several sizes to the faces of the whole image.

    A face that is found several times is kept once, preferably one that no square cuts.

    Args:
        faces: Found in the whole image.
        side: Of the smallest squares. Each larger size is twice the one before, and all are scaled
            to the smallest.
    """
    squares = list(itertools.islice(_squares(image, side), _MOST_PIECES))
    known = [(face, (True, face.detector_score)) for face in faces]
    pieces = [_piece(image, square, side) for square in squares]
    for square, found in zip(squares, reader.read(pieces), strict=True):
        for face in found:
            moved = _moved(_scaled(face, square.side / side), square.left, square.top)
            rank = (not _is_cut(moved, square, image), moved.detector_score)
            overlaps = (_overlap(other.box, moved.box) for other, _ in known)
            same = next((at for at, share in enumerate(overlaps) if share > _SAME_FACE), None)
            if same is None:
                known.append((moved, rank))
            elif rank > known[same][1]:
                known[same] = (moved, rank)
    return sorted((face for face, _ in known), key=lambda face: -_area(face.box))


@dataclass(frozen=True, slots=True)
class _Square:
    left: int
    top: int
    side: int


def _squares(image: Image, smallest: int) -> Iterator[_Square]:
    """Yield squares that cover an image, the largest first.

    There are several sizes because a detector finds faces of some sizes only, and a screenshot may
    have any.
    """
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
                yield _Square(left, top, side)


def _is_cut(face: Face, square: _Square, image: Image) -> bool:
    """Whether a face touches the edge of its square; another square shows the whole face then."""
    high, wide = image.shape[:2]
    left, top, right, bottom = face.box
    margin = square.side * _CUT_MARGIN
    square_right, square_bottom = square.left + square.side, square.top + square.side
    return (
        (square.left > 0 and left < square.left + margin)
        or (square.top > 0 and top < square.top + margin)
        or (square_right < wide and right > square_right - margin)
        or (square_bottom < high and bottom > square_bottom - margin)
    )


def _piece(image: Image, square: _Square, side: int) -> Image:
    piece = image[square.top : square.top + square.side, square.left : square.left + square.side]
    if square.side == side:
        return np.ascontiguousarray(piece)
    scale = square.side / side
    size = (max(1, round(piece.shape[1] / scale)), max(1, round(piece.shape[0] / scale)))
    return np.asarray(Pillow.fromarray(piece).resize(size, Pillow.Resampling.BOX))


def _moved(face: Face, left: int, top: int) -> Face:
    x1, y1, x2, y2 = face.box
    shift = np.array([left, top], np.float32)
    return replace(
        face, box=(x1 + left, y1 + top, x2 + left, y2 + top), landmarks=face.landmarks + shift
    )


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(first: Box, second: Box) -> float:
    """Return the intersection over union."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    shared = _area((left, top, right, bottom))
    return float(shared / max(_area(first) + _area(second) - shared, 1e-9))
