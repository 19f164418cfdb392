"""Opening image files from strangers, within limits, with a reason for each that is refused."""

from __future__ import annotations

import base64
import io
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile, ImageOps

from face_index.faces.face import Image
from face_index.faces.image_formats import (
    HEAD_BYTES,
    MAX_BYTES,
    ImageRefused,
    Kind,
    image_format,
    kind_of,
    open_image,
)
from face_index.faces.refusals import Refusal, Why

# No detector uses more than this; larger photos are scaled down, so that memory stays bounded.
LONGEST_SIDE_PX = 2048
# Of 64 bits. Drawn photos of one person differ in at least 4; copies that were recompressed,
# resized or brightened differ in 0 to 2.
MAX_BITS_BETWEEN_COPIES = 3


@dataclass(frozen=True, slots=True)
class Photo:
    """An opened photo.

    Attributes:
        name: File name.
        data: The file's bytes.
        pixels: uint8 [h, w, 3], RGB, upright; of an animation the first frame that is not blank.
        hashes: Perceptual hashes of the picture and of its mirror image.
    """

    name: str
    data: bytes
    pixels: Image
    hashes: tuple[imagehash.ImageHash, imagehash.ImageHash]

    def is_copy_of(self, other: Photo) -> bool:
        """Whether both are the same picture, saved again, resized, brightened or mirrored."""
        return any(int(each - other.hashes[0]) <= MAX_BITS_BETWEEN_COPIES for each in self.hashes)


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """An image file in memory."""

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
        PhotoRefused: The file is not an image, is damaged, or is larger than the limits.
    """
    if isinstance(path, PhotoFile):
        return photo_from(path.name, path.data)
    try:
        if not path.is_file():  # a pipe would be waited for, a folder has no bytes
            problem = (
                "a folder" if path.is_dir() else "no file" if path.exists() else "no such file"
            )
            raise PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": problem}))
        size = path.stat().st_size
        if size > MAX_BYTES and (kind := _kind_at(path)) in (Kind.IMAGE, Kind.UNKNOWN):
            raise _refused(ImageRefused(kind, f"{size / 1e6:.0f} MB", f"{MAX_BYTES / 1e6:.0f} MB"))
        data = path.read_bytes() if size <= MAX_BYTES else _head_of(path)
    except OSError as error:
        raise PhotoRefused(
            Refusal(Why.NOT_AN_IMAGE, {"problem": error.strerror or type(error).__name__})
        ) from error
    return photo_from(path.name, data)


def photo_from(name: str, data: bytes) -> Photo:
    """Decode an image file's bytes.

    Raises:
        PhotoRefused: As for `open_photo`.
    """
    try:
        with open_image(data) as picture:
            upright = _decoded(picture)
    except ImageRefused as refused:
        raise _refused(refused) from refused
    except Exception as error:  # Pillow's plugins raise many kinds of errors for damaged files
        problem = f"damaged {image_format(data[:HEAD_BYTES])}"
        raise PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": problem})) from error
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
    """Scale 16- and 32-bit grey to 8 bits; Pillow's own conversion clips values above 255."""
    values = np.nan_to_num(np.asarray(picture, np.float64))
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Pillow.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")


def _refused(refused: ImageRefused) -> PhotoRefused:
    if refused.limit:
        return PhotoRefused(
            Refusal(Why.TOO_LARGE, {"found": refused.found, "limit": refused.limit})
        )
    return PhotoRefused(Refusal(Why.NOT_AN_IMAGE, {"problem": str(refused.kind)}))


def jpeg_address(picture: Pillow.Image, longest_side_px: int) -> str:
    """Return a small copy of an RGB picture as a data address, which every browser can show."""
    small = picture.copy()
    small.thumbnail((longest_side_px, longest_side_px))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Return the given files, and everything directly in the given folders that is not hidden.

    Folders in these folders are included. `open_photo` refuses what is not a photo, and says what
    it is.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(child for child in path.iterdir() if not _is_hidden(child))
        else:
            found.append(path)
    return found


def hidden_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files that `files_in` leaves out because their names begin with a dot."""
    return sorted(
        child for path in paths if path.is_dir() for child in path.iterdir() if _is_hidden(child)
    )


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files of `files_in` that are images by their content or by their name."""
    return [path for path in files_in(paths) if _claims_to_be_an_image(path) or _is_image(path)]


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _claims_to_be_an_image(path: Path) -> bool:
    media_type, _ = mimetypes.guess_type(path.name, strict=False)
    return media_type is not None and media_type.startswith("image/")


def _is_image(path: Path) -> bool:
    try:
        return path.is_file() and _kind_at(path) == Kind.IMAGE
    except OSError:
        return False


def _kind_at(path: Path) -> Kind:
    return kind_of(_head_of(path))


def _head_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)
