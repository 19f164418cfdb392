"""Photos of drawn persons as files, to enrol them and to measure with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from scanner.miniature.persons import CALIBRATION_SEEDS, person_of
from scanner.miniature.portraits import draw_photo

# Persons that trained nothing and that no calibration or benchmark uses.
FREE_SEEDS = CALIBRATION_SEEDS[95_000:]


def draw_photos(seed: int, count: int, folder: Path, first: int = 0) -> list[Path]:
    """Draw photos of a seed's person as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(first, first + count):
        path = folder / f"{seed}-{number:04d}.png"
        Image.fromarray(draw_photo(person_of(seed), number).pixels).save(path)
        paths.append(path)
    return paths


def draw_people(folder: Path, count: int, photos: int) -> Iterator[int]:
    """Draw people who trained nothing, a folder for each, with people.csv and groups.csv.

    Yields each seed.
    """
    seeds = FREE_SEEDS[:count]
    folder.mkdir(parents=True, exist_ok=True)
    people, groups = ["name,photos,reference\n"], ["person,group\n"]
    for seed in seeds:
        draw_photos(seed, photos, folder / f"drawn-{seed}")
        people.append(f"drawn-{seed},drawn-{seed},{seed}\n")
        groups.append(f"drawn-{seed},{person_of(seed).skin_name} skin\n")
        yield seed
    (folder / "people.csv").write_text("".join(people), "utf-8")
    (folder / "groups.csv").write_text("".join(groups), "utf-8")
