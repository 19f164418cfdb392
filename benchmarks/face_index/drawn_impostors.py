"""Whether thresholds hold the stated FPIR that were set without labelled photos.

    python -m benchmarks.face_index.drawn_impostors

Three calibrations are compared: of labelled photos (the shipped one), of invented adults
(`calibrate --drawn`), and of what scans have counted (`calibrate --scans`). These are simulated:
probes of persons who are in no gallery stand for files that show nobody, scores over the lower
threshold are missing, and one file in fifty shows a registered person whom the scan missed. FPIR is
measured with other persons, none of whom any calibration has seen, and with other invented adults.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.face_index.calibration import highest_scores, means, predicted
from benchmarks.face_index.population import FOLDER, load_population
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.calibration import Basis, Calibration, calibrate_impostors
from face_index.gallery.calibration_file import load_calibration
from face_index.gallery.metrics import rate
from face_index.gallery.score_histogram import BINS, ScoreHistogram, bins_of, calibrate_histograms
from scanner.identification.faces import FaceFinder
from scanner.miniature.world import FACE_PACK
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.sampler import Sampler
from scanner.scanning.drawn_impostors import invented_probes

MORE_ADULTS = 600
SIZES = (1_000, 10_000)
FPIR = 1e-3
FOLDS = 32


class Printed:
    def step(self, done: int, total: int | None, doing: str) -> None:
        if done % 160 == 0:
            print(f"  {doing}: {done} of {total}", flush=True)


def adults(first: int, count: int) -> np.ndarray:
    """Mean faces of invented adults, drawn once and kept in .training/ (git-ignored)."""
    path = FOLDER / f"adults-{first}-{count}.npy"
    if not path.exists():
        pack = find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})
        base = choose_base_model("Miniature", None)
        sampler = Sampler(base, Path(".training/cache"), "cpu", NothingUnsafe(), batch=32)
        started = time.monotonic()
        finder = FaceFinder(InsightFaceReader(pack), pack.bar)
        probes = np.stack(invented_probes(sampler, finder, count, Printed(), first))
        seconds = time.monotonic() - started
        print(
            f"{len(probes)} of {count} adults drawn as one person, {count / seconds:.1f} a second"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, probes)
    return np.asarray(np.load(path))


def scanned(gallery: np.ndarray, probes: np.ndarray, possible: float) -> Calibration:
    """The calibration of counts that scans would have added up."""
    rng = np.random.default_rng(0)
    below = int(bins_of(np.array([possible]))[0])
    folds = []
    for number in range(FOLDS):
        scores = probes[number::FOLDS] @ gallery.T
        shown = scores.max(axis=1) < possible  # the others are findings
        counts = np.bincount(bins_of(scores[shown].ravel()), minlength=BINS)
        missed = rng.uniform(0.3, possible, int(shown.sum()) // 50)
        counts += np.bincount(bins_of(missed), minlength=BINS)
        counts[below:] = 0
        folds.append([ScoreHistogram(below, counts)])
    return calibrate_histograms(folds, "benchmark", "simulated scans", len(probes))


def measured(
    name: str, calibration: Calibration, gallery: np.ndarray, probes: np.ndarray, mates: np.ndarray
) -> None:
    highest = highest_scores(
        gallery, probes, {size: np.zeros(len(gallery), np.float32) for size in SIZES}
    )
    for size in SIZES:
        threshold = calibration.threshold(size, FPIR)
        low, high = calibration.threshold_interval(size, FPIR)
        found = rate(int((highest[size] >= threshold).sum()), len(highest[size]))
        least, most = predicted(calibration, threshold, size, found.trials)
        inside = "inside" if least <= found.value <= most else "OUTSIDE"
        genuine = (gallery * mates).sum(axis=1)
        print(
            f"  {name:28} N {size:>6,}  threshold {threshold:.3f} ({low:.3f} to {high:.3f})  FPIR "
            f"{found.value:.3%} ({found.errors} of {found.trials:,})  interval {least:.3%} to "
            f"{most:.3%} {inside}  FNIR {(genuine < threshold).mean():.3%}"
            f"  {calibration.shortfall(size, FPIR) or ''}",
            flush=True,
        )


def main() -> None:
    registered = load_population("gallery")
    others = means(load_population("probes"), 0, 2, weighted=False)
    templates, mates = (
        means(registered, 0, 3, weighted=True),
        means(registered, 3, 4, weighted=False),
    )
    drawn = np.concatenate([adults(0, 2_500), adults(2_500, 600)])
    more = adults(100_000, MORE_ADULTS)
    by_photos = load_calibration(FACE_PACK / "calibration.json", registered.pack_sha256)
    assert by_photos is not None
    known, seen, unseen = templates[:1_000], others[:15_000], others[15_000:]
    none = templates[:0]
    found = {
        "labelled photos": by_photos,
        "drawn, nobody registered": calibrate_impostors(drawn, none, "", Basis.DRAWN, ""),
        "drawn, 1,000 registered": calibrate_impostors(drawn, known, "", Basis.DRAWN, ""),
        "drawn, 10,000 registered": calibrate_impostors(drawn, templates, "", Basis.DRAWN, ""),
        "scans, 1,000 registered": scanned(known, seen, by_photos.threshold(1_000, 0.01)),
        "scans, 10,000 registered": scanned(templates, seen, by_photos.threshold(10_000, 0.01)),
        "scans, uncalibrated": scanned(known, seen, 0.45),
    }
    for title, probes in (
        ("photographs of other persons", unseen),
        ("other invented adults", more),
    ):
        print(title)
        for name, calibration in found.items():
            measured(name, calibration, templates, probes, mates)


if __name__ == "__main__":
    main()
