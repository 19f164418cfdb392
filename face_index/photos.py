"""Opening image files that strangers made: a reason for each that cannot be opened, within stated limits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pillow_heif
from PIL import Image as Pillow
from PIL import ImageFile, ImageOps

from face_index.face import Image
from face_index.refusals import Refusal, Why

PHOTO_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"})
# Pillow knows formats that start other programs (EPS) or have had one hole after another: only these are tried.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "HEIF", "MPO")
MAX_PHOTO_BYTES = 64_000_000
MAX_PHOTO_PIXELS = 80_000_000
_PIXEL_LIMIT = f"{MAX_PHOTO_PIXELS / 1e6:.0f} megapixels"
# No detector looks at more than this; larger photos are made smaller, so that memory stays bounded.
LONGEST_SIDE_PX = 2048
# Of 64 bits. Drawn photos of one person differ by at least 4, recompressed, resized and brightened copies by 0 to 2.
MAX_BITS_BETWEEN_COPIES = 3

pillow_heif.register_heif_opener()


@dataclass(frozen=True, slots=True)
class Photo:
    """An opened photo.

    Attributes:
        name: file name.
        data: the file's bytes.
        pixels: uint8 [h, w, 3], RGB, upright, first frame.
        hashes: perceptual hashes of the picture and of its mirror image.
    """

    name: str
    data: bytes
    pixels: Image
    hashes: tuple[imagehash.ImageHash, imagehash.ImageHash]

    def is_copy_of(self, other: Photo) -> bool:
        """Whether both are the same picture, saved again, resized, brightened or mirrored."""
        return any(int(mine - other.hashes[0]) <= MAX_BITS_BETWEEN_COPIES for mine in self.hashes)


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """An image file's bytes that are on no disk."""

    name: str
    data: bytes


class PhotoRefused(Exception):
    """An image file cannot be opened; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def open_photo(path: Path | PhotoFile) -> Photo:
    """Read an image file, on disk or in memory.

    Raises:
        PhotoRefused: it is none, is broken, or is larger than the limits.
    """
    if isinstance(path, PhotoFile):
        if len(path.data) > MAX_PHOTO_BYTES:
            raise _too_large(f"{len(path.data) / 1e6:.0f} MB", f"{MAX_PHOTO_BYTES / 1e6:.0f} MB")
        return photo_from(path.name, path.data)
    try:
        if not path.is_file():  # a pipe would be waited for, a folder has no bytes
            raise PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": "no file" if path.exists() else "no such file"}))
        size = path.stat().st_size
        if size > MAX_PHOTO_BYTES:
            raise _too_large(f"{size / 1e6:.0f} MB", f"{MAX_PHOTO_BYTES / 1e6:.0f} MB")
        data = path.read_bytes()
    except OSError as error:
        raise PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": error.strerror or type(error).__name__})) from error
    return photo_from(path.name, data)


def photo_from(name: str, data: bytes) -> Photo:
    """Decode an image file's bytes; raises as `open_photo` does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF or palettes are no reason to refuse; bombs are, below
            with Pillow.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
                if picture.width * picture.height > MAX_PHOTO_PIXELS:
                    raise _too_large(f"{picture.width}x{picture.height}", _PIXEL_LIMIT)
                upright = _decoded(picture)
    except PhotoRefused:
        raise
    except Pillow.DecompressionBombError as error:
        raise _too_large(f"> {2 * (Pillow.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels", _PIXEL_LIMIT) from error
    except Exception as error:  # Pillow's plugins raise OSError, ValueError, SyntaxError, struct.error and more
        raise PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": type(error).__name__})) from error
    hashes = imagehash.phash(upright), imagehash.phash(ImageOps.mirror(upright))
    return Photo(name, data, np.asarray(upright), hashes)


def _decoded(picture: ImageFile.ImageFile) -> Pillow.Image:
    if picture.format == "JPEG":
        picture.draft("RGB", (LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I;16", "I;16B", "I", "F"):
        return _from_deep_grey(upright)
    if "A" in upright.getbands() or "transparency" in upright.info:
        background = Pillow.new("RGBA", upright.size, "white")
        return Pillow.alpha_composite(background, upright.convert("RGBA")).convert("RGB")
    return upright.convert("RGB")


def _from_deep_grey(picture: Pillow.Image) -> Pillow.Image:
    """16- and 32-bit grey scaled to 8 bits; Pillow's own conversion cuts everything above 255."""
    values = np.nan_to_num(np.asarray(picture, np.float64))
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Pillow.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")


def _too_large(found: str, limit: str) -> PhotoRefused:
    return PhotoRefused(Refusal(Why.TOO_LARGE, {"found": found, "limit": limit}))


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The image files among paths and directly in folders, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [item for item in inside if item.suffix.lower() in PHOTO_ENDINGS and not item.name.startswith(".")]
    return found
