"""Small copies of photos of several people, on which somebody can point at a face."""

from __future__ import annotations

from PIL import Image as Pillow

from face_index.faces.face import Image
from face_index.faces.photos import jpeg_address

_LONGEST_SIDE_PX = 640


def preview_of(pixels: Image) -> str:
    """A small copy of a photo as a data address; browsers cannot show every format."""
    return jpeg_address(Pillow.fromarray(pixels), _LONGEST_SIDE_PX)


def place_of(
    number: int, box: tuple[float, float, float, float], pixels: Image
) -> dict[str, float]:
    """A face's number and box, in percent of the photo's width and height."""
    high, wide = pixels.shape[:2]
    left, top, right, bottom = box
    return {
        "number": number,
        "left": 100 * left / wide,
        "top": 100 * top / high,
        "width": 100 * (right - left) / wide,
        "height": 100 * (bottom - top) / high,
    }
