"""Draw portrait photos of synthetic persons, with the place of the face.

Shapes are anti-aliased polygons at four times the size, averaged down, so that edges look like
those of a photo. Photos of a person differ in background, clothes, place, scale, roll, yaw,
expression, light, blur and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from scanner.miniature.drawing import (
    SUBPIXEL_BITS,
    Points,
    Pose,
    arc,
    ellipse,
    fill,
    shade,
)
from scanner.miniature.persons import HAIR_COLOURS, Colour, Person

SUPERSAMPLING = 4


@dataclass(frozen=True, slots=True)
class Photo:
    """One drawn photo.

    Attributes:
        pixels: uint8 [size, size, 3], RGB.
        box: left, top, right, bottom of the face, pixels.
        landmarks: float64 [5, 2], x and y in pixels: left eye, right eye, nose tip, left and
            right mouth corner, as seen in the image (InsightFace's order).
    """

    pixels: npt.NDArray[np.uint8]
    box: tuple[float, float, float, float]
    landmarks: Points


def _pose(rng: np.random.Generator, size: int) -> Pose:
    canvas = size * SUPERSAMPLING
    half_height = canvas * rng.uniform(0.26, 0.31)
    return Pose(
        centre=(
            canvas * (0.5 + rng.uniform(-0.05, 0.05)),
            canvas * (0.53 + rng.uniform(-0.035, 0.035)),
        ),
        half_height=half_height,
        roll=np.deg2rad(rng.uniform(-12, 12)),
        yaw=np.deg2rad(rng.uniform(-16, 16)),
        smile=float(rng.uniform(-0.35, 1.0)),
        eye_opening=float(rng.uniform(0.7, 1.0)),
    )


def head_outline(person: Person) -> Points:
    """The head's outline in head coordinates: a round skull, a jaw between pointed and square."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    power = np.where(sin > 0, 1.15 - 0.55 * person.jaw, 0.9)
    x = np.sign(cos) * np.abs(cos) ** power * person.head_width
    y = np.where(sin > 0, sin * person.chin, sin)
    return np.stack([x, y], axis=1)


def _hair_behind(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    width, volume = person.head_width, person.hair_volume
    dark = shade(person.hair, 0.82)
    shapes: list[Points] = []
    if person.hair_style == "long":
        shapes += [ellipse(0, -0.25, width + 0.2 + 0.12 * volume, 1.0)]
        edge = width + 0.14 + 0.14 * volume
        shapes += [np.array([[-edge, -0.3], [edge, -0.3], [edge + 0.05, 1.6], [-edge - 0.05, 1.6]])]
    elif person.hair_style == "bob":
        edge = width + 0.18 + 0.12 * volume
        shapes += [ellipse(0, -0.25, edge, 1.0)]
        shapes += [
            np.array([[-edge, -0.3], [edge, -0.3], [edge + 0.02, 0.72], [-edge - 0.02, 0.72]])
        ]
    elif person.hair_style == "bun":
        shapes += [ellipse(0, -1.2, 0.34 + 0.12 * volume, 0.32 + 0.1 * volume)]
    elif person.hair_style == "curly":
        reach = 0.24 + 0.12 * volume
        for turn in np.deg2rad(np.arange(150, 395, 22)):
            shapes += [ellipse(width * np.cos(turn) * 1.08, np.sin(turn) * 0.98, reach, reach, 16)]
    for shape in shapes:
        fill(canvas, pose.project(shape, -0.25), dark)


def _hair_in_front(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    width, volume, hair = person.head_width, person.hair_volume, person.hair
    top = arc(0, 0, width * 1.05, 1.06 + 0.06 * volume, 180, 360)
    line = -0.62 + 0.1 * volume
    match person.hair_style:
        case "bald":
            return
        case "short" | "bun":
            front = arc(0, -0.12, width * 0.92, -line + 0.02, 350, 190)
        case "bob" | "long":
            front = np.array([[width * 1.04, 0.15], [width * 0.8, -0.3], [0.06, line - 0.18]])
            front = np.vstack([front, front[::-1] * [-1, 1]])
        case "fringe":
            front = np.array(
                [
                    [width * 1.02, -0.1],
                    [width * 0.86, -0.36],
                    [-width * 0.86, -0.36],
                    [-width * 1.02, -0.1],
                ]
            )
        case "side":
            front = np.array(
                [[width, -0.05], [width * 0.9, -0.3], [-width * 0.55, line - 0.2], [-width, -0.1]]
            )
        case "curly":
            for turn in np.deg2rad(np.arange(205, 340, 22)):
                curl = ellipse(width * 0.9 * np.cos(turn), np.sin(turn) * 0.9, 0.22, 0.2, 16)
                fill(canvas, pose.project(curl, 0.05), hair)
            return
        case "mohawk":
            crest = np.array(
                [
                    [-0.2, -0.6],
                    [-0.24, -1.3 - 0.3 * volume],
                    [0.24, -1.3 - 0.3 * volume],
                    [0.2, -0.6],
                ]
            )
            fill(canvas, pose.project(crest, 0.1), hair)
            return
    fill(canvas, pose.project(np.vstack([top, front]), 0.0), hair)


def _beard(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    mouth, width = person.mouth_height, person.head_width
    if person.beard in ("full", "stubble"):
        blend = 1.0 if person.beard == "full" else 0.38
        colour = [
            blend * h + (1 - blend) * s for h, s in zip(person.hair, person.skin, strict=True)
        ]
        outline = head_outline(person)
        lower = outline[outline[:, 1] > 0.1]
        inner = arc(0, 0.12, width * 0.72, mouth - 0.3, 170, 10)
        fill(canvas, pose.project(np.vstack([lower, inner]), 0.15), colour)
    if person.beard == "goatee":
        fill(canvas, pose.project(ellipse(0, mouth + 0.28, 0.17, 0.24), 0.4), person.hair)
    if person.beard in ("moustache", "full", "goatee"):
        shape = np.array([[-0.3, mouth], [-0.2, mouth - 0.15], [0.2, mouth - 0.15], [0.3, mouth]])
        fill(canvas, pose.project(shape, 0.45), person.hair)


def _eye(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose, side: int) -> None:
    x, y, size = side * person.eye_distance, person.eye_height, person.eye_size
    height = size * 0.72 * pose.eye_opening
    white = ellipse(0, 0, size, height)
    tilt = -side * person.eye_tilt
    turned = white @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]]) + [
        x,
        y,
    ]
    fill(
        canvas,
        pose.project((turned - [x, y]) * [1.16, 1.25] + [x, y], 0.35),
        shade(person.skin, 0.5),
    )
    fill(canvas, pose.project(turned, 0.36), (244, 244, 240))
    iris = min(height * 0.98, size * 0.66)
    fill(canvas, pose.project(ellipse(x, y, size * 0.66, iris), 0.38), person.eye)
    fill(canvas, pose.project(ellipse(x, y, size * 0.28, iris * 0.45, 12), 0.38), (14, 12, 14))


def _brow(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose, side: int) -> None:
    x, y = side * person.eye_distance, person.eye_height - person.brow_height
    half, thick = person.eye_size * 1.35, person.brow_thickness
    lift = -side * person.brow_tilt * half
    shape = np.array(
        [
            [-half, -lift],
            [0, -thick],
            [half, lift],
            [half, lift + thick * 0.6],
            [0, thick * 0.3],
            [-half, -lift + thick * 0.6],
        ]
    )
    colour = shade(person.hair if person.hair_style != "bald" else HAIR_COLOURS["brown"], 0.7)
    fill(canvas, pose.project(shape + [x, y], 0.36), colour)


def _nose_and_mouth(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    tip, half = person.eye_height + person.nose_length, person.nose_width
    ridge = np.array(
        [
            [-0.03, person.eye_height + 0.04],
            [0.03, person.eye_height + 0.04],
            [half, tip],
            [0, tip + 0.06],
            [-half, tip],
        ]
    )
    fill(canvas, pose.project(ridge, np.array([0.3, 0.3, 0.5, 0.6, 0.5])), shade(person.skin, 0.86))
    fill(canvas, pose.project(ellipse(0, tip, half, 0.055, 16), 0.55), shade(person.skin, 0.7))
    x = np.linspace(-person.mouth_width, person.mouth_width, 9)
    bend = -pose.smile * 0.11 * (x / person.mouth_width) ** 2
    bow = person.lip_thickness * (1 - (x / person.mouth_width) ** 2)
    upper = np.stack([x, person.mouth_height + bend - bow], axis=1)
    lower = np.stack([x, person.mouth_height + bend + bow * 1.2], axis=1)
    fill(canvas, pose.project(np.vstack([upper, lower[::-1]]), 0.42), person.lip)
    line = np.stack([x, person.mouth_height + bend], axis=1)
    fill(
        canvas,
        pose.project(np.vstack([line, line[::-1] + [0, 0.03]]), 0.42),
        shade(person.lip, 0.45),
    )


def _marks(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    if person.blush > 0.2:
        colour = (min(255.0, person.skin[0] * 1.05), person.skin[1] * 0.84, person.skin[2] * 0.82)
        for side in (-1, 1):
            fill(canvas, pose.project(ellipse(side * 0.42, 0.34, 0.15, 0.1, 16), 0.3), colour)
    if person.freckles:
        for x, y in ((0.26, 0.2), (0.38, 0.27), (0.48, 0.19), (0.33, 0.36), (0.17, 0.3)):
            for side in (-1, 1):
                fill(
                    canvas,
                    pose.project(ellipse(side * x, y, 0.03, 0.03, 8), 0.35),
                    shade(person.skin, 0.6),
                )
    if person.mole is not None:
        fill(canvas, pose.project(ellipse(*person.mole, 0.055, 0.055, 12), 0.38), (46, 28, 22))


def _glasses(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose) -> None:
    if person.glasses == "none":
        return
    thickness = max(1, round(pose.half_height * 0.055))
    for side in (-1, 1):
        x, y, reach = side * person.eye_distance, person.eye_height + 0.02, 0.25
        if person.glasses == "square":
            rim = np.array(
                [
                    [x - reach, y - 0.19],
                    [x + reach, y - 0.19],
                    [x + reach, y + 0.21],
                    [x - reach, y + 0.21],
                ]
            )
        else:
            rim = ellipse(x, y, reach, 0.24)
        corners = pose.project(rim, 0.4)
        if person.glasses == "dark":
            fill(canvas, corners, shade(person.glasses_colour, 0.55))
        fixed = np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(
            canvas, [fixed], True, person.glasses_colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS
        )
    bridge = np.array(
        [
            [-person.eye_distance + 0.25, -0.02],
            [person.eye_distance - 0.25, -0.02],
            [person.eye_distance - 0.25, 0.04],
            [-person.eye_distance + 0.25, 0.04],
        ]
    )
    fill(canvas, pose.project(bridge + [0, person.eye_height], 0.45), person.glasses_colour)


def _background(rng: np.random.Generator, side: int) -> npt.NDArray[np.uint8]:
    grey = rng.uniform(70, 215, (2, 2, 1))
    corners = (grey + rng.normal(0, 22, (2, 2, 3)) + rng.normal(0, 14, 3)).astype(np.float32)
    return np.asarray(
        np.clip(cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR), 0, 255),
        dtype=np.uint8,
    )


def _light_and_lens(
    rng: np.random.Generator, pixels: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    size = pixels.shape[0]
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    direction = rng.uniform(0, 2 * np.pi)
    gain = rng.uniform(0.88, 1.06) * (
        1 + rng.uniform(0, 0.28) * (x * np.cos(direction) + y * np.sin(direction))
    )
    lit = pixels * gain[..., None] * rng.normal(1, 0.02, 3)
    blur = rng.uniform(0, 0.55)
    if blur > 0.2:
        lit = cv2.GaussianBlur(lit, (0, 0), blur)
    return np.asarray(
        np.clip(lit + rng.normal(0, rng.uniform(0, 2.5), lit.shape), 0, 255), dtype=np.uint8
    )


def _draw(canvas: npt.NDArray[np.uint8], person: Person, pose: Pose, clothes: Colour) -> None:
    _hair_behind(canvas, person, pose)
    shoulders = np.array(
        [[-1.9, 2.6], [-1.45, 1.5], [-0.4, 1.22], [0.4, 1.22], [1.45, 1.5], [1.9, 2.6]]
    )
    fill(canvas, pose.project(shoulders), clothes)
    neck = np.array([[-0.34, 0.6], [0.34, 0.6], [0.38, 1.35], [0, 1.5], [-0.38, 1.35]])
    fill(canvas, pose.project(neck), shade(person.skin, 0.84))
    for side in (-1, 1):
        ear = ellipse(
            side * person.head_width,
            person.eye_height + 0.15,
            person.ear_size,
            person.ear_size * 1.5,
            16,
        )
        fill(canvas, pose.project(ear, -0.05), shade(person.skin, 0.9))
        if person.earring:
            ring = ellipse(
                side * (person.head_width + 0.03), person.eye_height + 0.48, 0.075, 0.095, 12
            )
            fill(canvas, pose.project(ring, -0.05), (240, 206, 80))
    fill(canvas, pose.project(head_outline(person)), person.skin)
    _marks(canvas, person, pose)
    _beard(canvas, person, pose)
    for side in (-1, 1):
        _eye(canvas, person, pose, side)
        _brow(canvas, person, pose, side)
    _nose_and_mouth(canvas, person, pose)
    _hair_in_front(canvas, person, pose)
    _glasses(canvas, person, pose)


def draw_photo(person: Person, photo_seed: int, size: int = 64) -> Photo:
    """Draw one photo of a person.

    Args:
        person: the person to draw.
        photo_seed: determines, with the person, everything that changes between photos.
        size: width and height, pixels.
    """
    rng = np.random.default_rng([person.seed, photo_seed, 7])
    canvas = _background(rng, size * SUPERSAMPLING)
    pose = _pose(rng, size)
    clothes = tuple(rng.uniform(30, 230, 3))
    _draw(canvas, person, pose, clothes)
    pixels = np.asarray(
        cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    mouth = person.mouth_height - pose.smile * 0.11
    points = np.array(
        [
            [-person.eye_distance, person.eye_height],
            [person.eye_distance, person.eye_height],
            [0, person.eye_height + person.nose_length],
            [-person.mouth_width, mouth],
            [person.mouth_width, mouth],
        ]
    )
    landmarks = pose.project(points, np.array([0.36, 0.36, 0.55, 0.42, 0.42])) / SUPERSAMPLING
    outline = pose.project(head_outline(person)) / SUPERSAMPLING
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    return Photo(
        pixels=_light_and_lens(rng, pixels),
        box=(float(left), float(top), float(right), float(bottom)),
        landmarks=landmarks,
    )
