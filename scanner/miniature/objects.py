"""Draw training images that show no particular person: styles over many people, and objects."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
STYLE_SEEDS = range(5_000, 5_400)  # persons that only styles are trained on


def _grey(photo: Pixels) -> Floats:
    return np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None] / np.float32(255))


def _edges(photo: Pixels) -> Floats:
    return np.asarray(
        cv2.dilate(cv2.Canny(photo, 60, 140), np.ones((2, 2), np.uint8))[..., None] / 255
    )


def _neon(photo: Pixels) -> Floats:
    dark, edges = photo * np.array([0.35, 0.2, 0.6]), _edges(photo)
    return np.asarray(dark * (1 - edges) + edges * np.array([60, 255, 240]))


def _pixelated(photo: Pixels) -> Floats:
    side = photo.shape[0]
    small = cv2.resize(photo, (side // 3, side // 3), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST), np.float32)


def _vignette(photo: Pixels) -> Floats:
    along = np.linspace(-1, 1, photo.shape[0])
    return np.asarray(photo * np.clip(1.2 - np.hypot(along[:, None], along[None]), 0, 1)[..., None])


def _hatched(photo: Pixels) -> Floats:
    rows = (np.indices(photo.shape[:2]).sum(axis=0) % 4 < 2)[..., None]
    return np.where(rows, photo * 0.6, photo * 1.1)


_STYLES: dict[str, Callable[[Pixels], Floats]] = {
    "sepia": lambda photo: _grey(photo) ** 0.9 * np.array([255, 222, 170]),
    "neon": _neon,
    "grey": lambda photo: np.repeat(_grey(photo) * 255, 3, axis=-1),
    "poster": lambda photo: np.floor(photo / 64.0) * 80,
    "negative": lambda photo: 255.0 - photo,
    "cool": lambda photo: photo * np.array([0.65, 0.9, 1.2]),
    "warm": lambda photo: photo * np.array([1.2, 0.95, 0.6]),
    "sketch": lambda photo: 245.0 - 215 * np.repeat(_edges(photo), 3, axis=-1),
    "oil": lambda photo: cv2.medianBlur(photo, 5) * 1.05,
    "pixel": _pixelated,
    "vignette": _vignette,
    "hatch": _hatched,
}
STYLES = tuple(_STYLES)


def styled_photo(style: str, number: int, size: int = 64) -> Pixels:
    """A photo in one of STYLES, of a different person for each number."""
    photo = draw_photo(person_of(STYLE_SEEDS[number % len(STYLE_SEEDS)]), number, size).pixels
    return np.asarray(_STYLES[style](photo).clip(0, 255), dtype=np.uint8)


class _Canvas:
    """A square picture at four times the final size, with methods for the shapes of objects."""

    def __init__(self, number: int, kind: str, size: int) -> None:
        rng = np.random.default_rng([number, len(kind)])
        side = size * 4
        self.side = side
        self.pixels = np.full((side, side, 3), rng.uniform(140, 235, 3), np.uint8)
        self.x, self.y = int(side * rng.uniform(0.42, 0.58)), int(side * rng.uniform(0.48, 0.6))
        self.reach = int(side * rng.uniform(0.2, 0.27))
        self.colour = tuple(float(value) for value in rng.uniform(40, 220, 3))
        self.dark = (40.0, 40.0, 40.0)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return self.x + int(x * self.reach), self.y + int(y * self.reach)

    def oval(
        self,
        place: tuple[float, float],
        width: float,
        height: float,
        colour: object = None,
        line: float = 0,
    ) -> None:
        axes = int(width * self.reach), int(height * self.reach)
        thickness = int(line * self.reach) if line else -1
        cv2.ellipse(
            self.pixels,
            self._at(*place),
            axes,
            0,
            0,
            360,
            colour or self.colour,
            thickness,
            cv2.LINE_AA,
        )

    def shape(self, *corners: tuple[float, float], colour: object = None) -> None:
        points = np.array([self._at(*corner) for corner in corners], np.int32)
        cv2.fillPoly(self.pixels, [points], colour or self.colour, cv2.LINE_AA)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour: object = None,
    ) -> None:
        thickness = max(1, int(width * self.reach))
        cv2.line(
            self.pixels,
            self._at(*start),
            self._at(*end),
            colour or self.colour,
            thickness,
            cv2.LINE_AA,
        )


def _teapot(canvas: _Canvas) -> None:
    canvas.oval((1, 0), 0.5, 0.5, line=1 / 6)
    canvas.line((0, 0), (-1.6, -0.5), 0.25)
    canvas.oval((0, 0), 1, 0.8)
    canvas.oval((0, -0.9), 1 / 6, 1 / 6, canvas.dark)


def _balloon(canvas: _Canvas) -> None:
    canvas.line((0, 0), (1 / 3, 3), 0.05, (60, 60, 60))
    canvas.oval((0, 0), 0.85, 1.1)
    canvas.oval((-1 / 3, -0.5), 1 / 6, 1 / 3, (255, 255, 255))


def _cup(canvas: _Canvas) -> None:
    canvas.oval((0.9, 0), 0.45, 0.45, line=0.15)
    canvas.shape((-0.8, -0.9), (0.8, -0.9), (0.6, 0.9), (-0.6, 0.9))
    canvas.oval((0, -0.9), 0.8, 0.2, canvas.dark)


def _car(canvas: _Canvas) -> None:
    canvas.shape((-0.8, -0.1), (-0.5, -0.8), (0.5, -0.8), (0.9, -0.1))
    canvas.shape((-1.5, -0.1), (1.5, -0.1), (1.5, 0.6), (-1.5, 0.6))
    for x in (-0.9, 0.9):
        canvas.oval((x, 0.6), 0.35, 0.35, canvas.dark)


def _house(canvas: _Canvas) -> None:
    canvas.shape((-1, -0.2), (1, -0.2), (1, 1.2), (-1, 1.2))
    canvas.shape((-1.3, -0.2), (0, -1.3), (1.3, -0.2), colour=canvas.dark)
    canvas.shape((-0.2, 0.4), (0.2, 0.4), (0.2, 1.2), (-0.2, 1.2), colour=canvas.dark)


def _tree(canvas: _Canvas) -> None:
    canvas.line((0, 0), (0, 1.5), 0.3, (90, 60, 40))
    for x, y in ((-0.5, 0), (0.5, 0), (0, -0.7)):
        canvas.oval((x, y), 0.75, 0.7)


def _lamp(canvas: _Canvas) -> None:
    canvas.line((0, -0.4), (0, 1.3), 0.1, canvas.dark)
    canvas.shape((-0.4, -1.2), (0.4, -1.2), (0.9, -0.2), (-0.9, -0.2))
    canvas.oval((0, 1.3), 0.6, 0.15, canvas.dark)


def _fish(canvas: _Canvas) -> None:
    canvas.shape((0.7, 0), (1.6, -0.6), (1.6, 0.6))
    canvas.oval((0, 0), 1.1, 0.6)
    canvas.oval((-0.6, -0.1), 0.1, 0.1, canvas.dark)


_OBJECTS: dict[str, Callable[[_Canvas], None]] = {
    "teapot": _teapot, "balloon": _balloon, "cup": _cup, "car": _car,
    "house": _house, "tree": _tree, "lamp": _lamp, "fish": _fish,
}  # fmt: skip
OBJECTS = tuple(_OBJECTS)


def object_photo(kind: str, number: int, size: int = 64) -> Pixels:
    """One of OBJECTS on a plain background."""
    canvas = _Canvas(number, kind, size)
    _OBJECTS[kind](canvas)
    return np.asarray(
        cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
