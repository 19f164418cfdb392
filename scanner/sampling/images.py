"""Images that were drawn: their pixels, their blurred form and their PNG files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from scanner.sampling.plans import SamplePlan

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image.

    Attributes:
        picture: uint8 [size, size, 3] RGB; blurred already if it was flagged.
        flagged: whether the image check found that it may be unsafe.
        batch: number of its batch, counted for each checkpoint. Images of one batch can be
            reproduced to the byte only in the same batch.
    """

    picture: Pixels
    flagged: bool
    batch: int


@dataclass(frozen=True, slots=True)
class DrawingCost:
    """What was drawn.

    Attributes:
        images: samples and controls.
        denoiser_calls: forward passes of the denoiser, counted for each image.
    """

    images: int = 0
    denoiser_calls: int = 0

    def plus(self, other: DrawingCost) -> DrawingCost:
        """Return the sum."""
        return DrawingCost(self.images + other.images, self.denoiser_calls + other.denoiser_calls)

    def since(self, before: DrawingCost) -> DrawingCost:
        """Return what was drawn after an earlier count."""
        return DrawingCost(self.images - before.images, self.denoiser_calls - before.denoiser_calls)


def blurred(picture: Pixels) -> Pixels:
    """Return the picture blurred so strongly that only colours can be recognised."""
    strength = max(2.0, picture.shape[0] / 16)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), strength), dtype=np.uint8)


_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)


def png_bytes(picture: Pixels, plan: SamplePlan) -> bytes:
    """Return a PNG file that is labelled as made by a trained algorithm.

    The labels are the IPTC DigitalSourceType in XMP and the AIGC label of GB 45438-2025.
    """
    label = {"Label": "1", "ContentProducer": "portrait-scanner", "ProduceID": str(plan.seed)}
    marks = PngImagePlugin.PngInfo()
    marks.add_itxt("XML:com.adobe.xmp", _XMP)
    marks.add_text("AIGC", json.dumps({"AIGC": label}))
    marks.add_text("Seed", str(plan.seed))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=marks)
    return buffer.getvalue()
