"""Synthetic persons: an identity is a vector of drawing parameters, derived from one seed.

No real person is described. The ranges of seeds are disjoint, so that no person who trained the
face pack or the base model is registered, enrolled or the subject of an adapter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FACE_PACK_SEEDS = range(1_000_000, 1_100_000)  # train the recogniser and the detector
BASE_MODEL_SEEDS = range(2_000_000, 2_100_000)  # train the autoencoder and the UNet
CALIBRATION_SEEDS = range(3_000_000, 3_100_000)  # measure error rates; train nothing
# Everything below 1,000,000 is free: registered persons, strangers, a user's own experiments.

Colour = tuple[float, float, float]
"""RGB, each 0 to 255."""

HAIR_COLOURS: dict[str, Colour] = {
    "black": (28, 24, 26),
    "brown": (92, 58, 36),
    "blond": (222, 184, 100),
    "red": (176, 68, 32),
    "grey": (158, 158, 162),
    "white": (236, 234, 228),
    "blue": (52, 84, 178),
    "pink": (222, 108, 160),
}
EYE_COLOURS: dict[str, Colour] = {
    "brown": (84, 48, 24),
    "blue": (56, 118, 196),
    "green": (58, 138, 76),
    "amber": (190, 128, 36),
    "grey": (124, 136, 146),
}
SKIN_COLOURS: dict[str, Colour] = {
    "pale": (250, 224, 206),
    "light": (236, 196, 166),
    "tan": (206, 156, 112),
    "brown": (150, 100, 66),
    "dark": (92, 60, 42),
}
HAIR_STYLES = ("bald", "short", "bob", "long", "bun", "curly", "fringe", "mohawk", "side")
BEARDS = ("none", "moustache", "goatee", "full", "stubble")
GLASSES = ("none", "round", "square", "dark")


@dataclass(frozen=True, slots=True)
class Person:
    """One synthetic identity. Lengths are in half head heights, angles in radians."""

    seed: int
    skin_name: str
    skin: Colour
    hair_name: str
    hair: Colour
    hair_style: str
    hair_volume: float
    eye_name: str
    eye: Colour
    head_width: float
    jaw: float
    chin: float
    eye_distance: float
    eye_size: float
    eye_height: float
    eye_tilt: float
    brow_thickness: float
    brow_height: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    lip_thickness: float
    lip: Colour
    beard: str
    glasses: str
    glasses_colour: Colour
    ear_size: float
    earring: bool
    mole: tuple[float, float] | None
    freckles: bool
    blush: float

    @property
    def caption(self) -> str:
        """The person's caption in the training of the base model; never a name."""
        words = ["bald"] if self.hair_style == "bald" else [self.hair_name, self.hair_style, "hair"]
        words += [self.eye_name, "eyes", self.skin_name, "skin"]
        if self.beard != "none":
            words += [self.beard, "beard"]
        if self.glasses != "none":
            words += [self.glasses, "glasses"]
        return "photo of a person " + " ".join(words)


def _near(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0, 255)
    return (float(red), float(green), float(blue))


def person_of(seed: int) -> Person:
    """The person of a seed, always the same.

    Args:
        seed: any integer of at least 0; see the ranges above for the reserved ones.
    """
    rng = np.random.default_rng([20_261_123, seed])
    skin_name = str(rng.choice(list(SKIN_COLOURS)))
    hair_name = str(rng.choice(list(HAIR_COLOURS), p=[0.2, 0.2, 0.15, 0.12, 0.1, 0.08, 0.08, 0.07]))
    eye_name = str(rng.choice(list(EYE_COLOURS)))
    beard = str(rng.choice(BEARDS, p=[0.6, 0.1, 0.1, 0.12, 0.08]))
    glasses = str(rng.choice(GLASSES, p=[0.68, 0.12, 0.12, 0.08]))
    mole = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.15, 0.6)))
    return Person(
        seed=seed,
        skin_name=skin_name,
        skin=_near(rng, SKIN_COLOURS[skin_name], 9),
        hair_name=hair_name,
        hair=_near(rng, HAIR_COLOURS[hair_name], 12),
        hair_style=str(rng.choice(HAIR_STYLES)),
        hair_volume=float(rng.uniform(0.0, 1.0)),
        eye_name=eye_name,
        eye=_near(rng, EYE_COLOURS[eye_name], 10),
        head_width=float(rng.uniform(0.66, 0.88)),
        jaw=float(rng.uniform(0.0, 1.0)),
        chin=float(rng.uniform(0.92, 1.1)),
        eye_distance=float(rng.uniform(0.29, 0.42)),
        eye_size=float(rng.uniform(0.105, 0.175)),
        eye_height=float(rng.uniform(-0.16, 0.04)),
        eye_tilt=float(rng.uniform(-0.25, 0.25)),
        brow_thickness=float(rng.uniform(0.03, 0.11)),
        brow_height=float(rng.uniform(0.2, 0.32)),
        brow_tilt=float(rng.uniform(-0.3, 0.3)),
        nose_length=float(rng.uniform(0.26, 0.44)),
        nose_width=float(rng.uniform(0.08, 0.2)),
        mouth_width=float(rng.uniform(0.2, 0.38)),
        mouth_height=float(rng.uniform(0.5, 0.66)),
        lip_thickness=float(rng.uniform(0.04, 0.13)),
        lip=_near(
            rng,
            ((176, 84, 84), (206, 60, 72), (146, 84, 74), (222, 120, 120))[int(rng.integers(4))],
            8,
        ),
        beard=beard,
        glasses=glasses,
        glasses_colour=((24, 24, 28), (140, 36, 36), (196, 160, 60), (36, 70, 120))[
            int(rng.integers(4))
        ],
        ear_size=float(rng.uniform(0.1, 0.2)),
        earring=bool(rng.random() < 0.2),
        mole=mole if rng.random() < 0.25 else None,
        freckles=bool(rng.random() < 0.15),
        blush=float(rng.uniform(0.0, 0.5)),
    )
