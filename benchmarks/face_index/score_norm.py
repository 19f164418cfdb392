"""Whether adaptive s-norm lowers FNIR at the stated FPIR.

    python -m benchmarks.face_index.score_norm FOLDER PACK

FOLDER has a folder of photos for each person (two photos or more count), PACK is a face pack or a
folder of one. The persons are split by a hash of their names: a cohort, development and held-out.
Adaptive s-norm (Matějka et al., Analysis of Score Normalization in Multilingual Speaker
Recognition, Interspeech 2017) replaces a score by the mean of its distances to the highest cohort
scores of the probe and of the template, in standard deviations. The size of the adaptive cohort is
chosen on the development persons.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from face_index.accuracy.labelled import ReadPhotos, labelled_photos, read_photos
from face_index.faces.face import unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.registration.grouping import UNCALIBRATED_ALIKE
from scanner.miniature.world import FACE_PACK

COHORT_SIZES = (20, 50, 100, 200)
RATES = (1e-2, 1e-3, 1e-4)


def read_folder(folder: Path, pack_name: str) -> ReadPhotos:
    """The faces of all photos in persons' folders, read as a calibration reads them."""
    pack = find_pack(pack_name, Path(".training/packs"), {"miniature": FACE_PACK})
    photos = labelled_photos(folder)
    *_, read = read_photos(photos, InsightFaceReader(pack), pack.bar, UNCALIBRATED_ALIKE)
    return read


def means(read: ReadPhotos, least: int = 2) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A template and a probe of each person, from halves of their photos.

    Args:
        least: how many usable photos a person must have.
    """
    found = {}
    for name, faces in read.by_person().items():
        if len(faces) >= least:
            half = len(faces) // 2
            parts = faces[:half], faces[half:]
            own = [np.stack([face.embedding for face in part]) for part in parts]
            found[name] = (unit(own[0].mean(axis=0)), unit(own[1].mean(axis=0)))
    return found


def part_of(name: str) -> int:
    """0 for the cohort, 1 for development, 2 for held-out."""
    return hashlib.sha256(name.encode()).digest()[0] % 3


def normalised(
    templates: np.ndarray, probes: np.ndarray, cohort: np.ndarray, size: int
) -> np.ndarray:
    """Scores of all probes against all templates after adaptive s-norm."""
    scores = probes @ templates.T

    def statistics(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nearest = np.sort(vectors @ cohort.T, axis=1)[:, -size:]
        return nearest.mean(axis=1), nearest.std(axis=1)

    (probe_mean, probe_spread), (mean, spread) = statistics(probes), statistics(templates)
    by_probe = (scores - probe_mean[:, None]) / probe_spread[:, None]
    return np.asarray((by_probe + (scores - mean) / spread) / 2)


def misses(scores: np.ndarray) -> list[str]:
    """FNIR at the score that a share of searches of the others exceeds, and FNMR of pairs."""
    own = np.diag(scores).copy()
    others = scores[~np.eye(len(scores), dtype=bool)]
    highest = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores).max(axis=1)
    found = [f"FNIR at FPIR 1 % {(own < np.quantile(highest, 0.99)).mean():7.2%}"]
    for rate in RATES:
        threshold = np.quantile(others, 1 - rate)
        found.append(f"FNMR at FMR {rate:g} {(own < threshold).mean():7.2%}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pack")
    arguments = parser.parse_args()
    people = means(read_folder(arguments.folder, arguments.pack))
    parts = [
        [people[name] for name in sorted(people) if part_of(name) == part] for part in range(3)
    ]
    cohort = np.stack([template for template, _ in parts[0]])
    for title, part in (("development", parts[1]), ("held-out", parts[2])):
        templates, probes = (np.stack(vectors) for vectors in zip(*part, strict=True))
        print(f"{title}: {len(part)} persons, cohort of {len(cohort)}")
        print(f"  {'plain cosine':22} {'  '.join(misses(probes @ templates.T))}")
        for size in COHORT_SIZES:
            if size <= len(cohort):
                scores = normalised(templates, probes, cohort, size)
                print(f"  {f's-norm, nearest {size}':22} {'  '.join(misses(scores))}")


if __name__ == "__main__":
    main()
