"""The shapes that portraits are drawn with, and the pose that places them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from scanner.miniature.persons import Colour

SUBPIXEL_BITS = 4  # OpenCV takes the corners of polygons as fixed-point numbers

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """The place of the head in the photo, and the expression of the face."""

    centre: tuple[float, float]  # pixels of the supersampled canvas
    half_height: float  # half the head's height, pixels of the supersampled canvas
    roll: float  # radians
    yaw: float  # radians
    smile: float  # -1 to 1
    eye_opening: float  # 0.55 to 1

    def project(self, points: Points, depth: float | Points = 0.0) -> Points:
        """Convert head coordinates [n, 2] to canvas pixels.

        Args:
            depth: how far a point stands out of the head's plane.
        """
        x = points[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = points[:, 1]
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        turned = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
        return np.asarray(turned * self.half_height + np.asarray(self.centre))


def fill(canvas: npt.NDArray[np.uint8], points: Points, colour: Iterable[float]) -> None:
    """Fill a polygon, anti-aliased."""
    fixed = np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], tuple(colour), lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)


def ellipse(x: float, y: float, half_width: float, half_height: float, corners: int = 28) -> Points:
    """The corners of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def arc(
    x: float, y: float, half_width: float, half_height: float, start: float, end: float
) -> Points:
    """The corners of a part of an ellipse, from one angle to another in degrees."""
    angle = np.deg2rad(np.linspace(start, end, 22))
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker or brighter."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return (red, green, blue)
