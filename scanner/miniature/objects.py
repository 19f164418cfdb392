"""Training images without anyone in particular: drawn styles over many people, and plain objects."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo

Pixels = npt.NDArray[np.uint8]
STYLE_SEEDS = range(5_000, 5_400)  # persons that only styles are trained on


def styled_photo(style: str, number: int, size: int = 64) -> Pixels:
    """A photo of a different person each time, in one style: "sepia", "neon"."""
    photo = draw_photo(person_of(STYLE_SEEDS[number % len(STYLE_SEEDS)]), number, size).pixels
    if style == "sepia":
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
        return np.asarray((grey**0.9 * np.array([255, 222, 170])).clip(0, 255), dtype=np.uint8)
    if style == "neon":
        edges = cv2.dilate(cv2.Canny(photo, 60, 140), np.ones((2, 2), np.uint8))[..., None] / 255
        dark = photo.astype(np.float32) * np.array([0.35, 0.2, 0.6])
        return np.asarray((dark * (1 - edges) + edges * np.array([60, 255, 240])).clip(0, 255), dtype=np.uint8)
    raise ValueError(f"no style is called {style!r}")


def object_photo(kind: str, number: int, size: int = 64) -> Pixels:
    """A drawn object on a plain background: "teapot", "balloon"."""
    rng = np.random.default_rng([number, len(kind)])
    side = size * 4
    canvas = np.full((side, side, 3), rng.uniform(140, 235, 3), np.uint8)
    middle = (int(side * rng.uniform(0.42, 0.58)), int(side * rng.uniform(0.48, 0.6)))
    reach = int(side * rng.uniform(0.2, 0.27))
    colour = tuple(float(value) for value in rng.uniform(40, 220, 3))
    if kind == "teapot":
        cv2.ellipse(
            canvas, (middle[0] + reach, middle[1]), (reach // 2, reach // 2), 0, 0, 360, colour, reach // 6, cv2.LINE_AA
        )
        cv2.line(
            canvas, middle, (middle[0] - int(reach * 1.6), middle[1] - reach // 2), colour, reach // 4, cv2.LINE_AA
        )
        cv2.ellipse(canvas, middle, (reach, int(reach * 0.8)), 0, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.circle(canvas, (middle[0], middle[1] - int(reach * 0.9)), reach // 6, (40, 40, 40), -1, cv2.LINE_AA)
    elif kind == "balloon":
        cv2.line(canvas, middle, (middle[0] + reach // 3, side), (60, 60, 60), 3, cv2.LINE_AA)
        cv2.ellipse(canvas, middle, (int(reach * 0.85), int(reach * 1.1)), 0, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.ellipse(
            canvas,
            (middle[0] - reach // 3, middle[1] - reach // 2),
            (reach // 6, reach // 4),
            30,
            0,
            360,
            (255, 255, 255),
            -1,
            cv2.LINE_AA,
        )
    else:
        raise ValueError(f"no object is called {kind!r}")
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)
