"""Evidence pictures as data URIs for pages and reports: as they are, blurred or grey."""

from __future__ import annotations

import base64
import io
from typing import Any

from markupsafe import Markup
from PIL import Image, ImageFilter, ImageOps

from reports.cases.case_store import CaseStore


def picture_uri(
    case_store: CaseStore, sha256: str, pixels: int, *, blurred: bool = False, grey: bool = False
) -> Markup:
    """A kept picture as a JPEG data URI, its longer side at most `pixels`.

    Args:
        blurred: beyond recognition.
        grey: without colour, which makes looking at many of them less straining.

    Raises:
        EvidenceAltered: the stored file is not what the case names.
    """
    with Image.open(io.BytesIO(case_store.kept(sha256, "png")), formats=["PNG"]) as image:
        return _uri(image.convert("RGB"), pixels, blurred=blurred, grey=grey)


def pixels_uri(picture: Any, pixels: int) -> Markup:
    """Pixels, uint8 [h, w, 3] RGB, as a JPEG data URI, the longer side at most `pixels`."""
    return _uri(Image.fromarray(picture), pixels, blurred=False, grey=False)


def _uri(small: Image.Image, pixels: int, *, blurred: bool, grey: bool) -> Markup:
    if max(small.size) > pixels:
        small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    if blurred:
        small = small.filter(ImageFilter.GaussianBlur(max(small.size) / 12))
    if grey:
        small = ImageOps.grayscale(small)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return Markup("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())  # noqa: S704  base64 only
