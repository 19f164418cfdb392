"""Small copies of photos of several people, on which somebody can point at a face."""

from __future__ import annotations

import base64
import io

from PIL import Image as Pillow

from face_index.faces.face import Image

_LONGEST_SIDE_PX = 640


def preview_of(pixels: Image) -> str:
    """A small copy of a photo as a data address; browsers cannot show every format."""
    picture = Pillow.fromarray(pixels)
    picture.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


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
