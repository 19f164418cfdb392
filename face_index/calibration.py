"""From impostor scores to a threshold that holds a stated false positive identification rate.

The upper tail of impostor scores is fitted with a generalised Pareto distribution (peaks over
threshold: Pickands 1975; for biometric scores e.g. Scheirer et al., Meta-Recognition, TPAMI 2011).
A search is a false positive if any of N templates scores above t, so FPIR(N, t) = 1 - (1 - FMR(t))^N
(ISO/IEC 19795-1), and the threshold rises with the gallery.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import genpareto

# Without a calibration no rate can be promised. This cosine lies above every different-person pair
# seen with two small real packs (0.64), and such verdicts never go beyond `possible`.
UNCALIBRATED_THRESHOLD = 0.68


@dataclass(frozen=True, slots=True)
class Calibration:
    """Tail of the impostor scores of one pack.

    Attributes:
        pack_sha256: the networks it was measured with.
        tail_start: cosine above which the tail is modelled.
        tail_share: share of impostor comparisons above `tail_start`, 0 to 1.
        shape, scale: of the generalised Pareto distribution of the excess.
        comparisons: impostor comparisons behind it.
        source: what was compared, in words.
    """

    pack_sha256: str
    tail_start: float
    tail_share: float
    shape: float
    scale: float
    comparisons: int
    source: str

    def false_match_rate(self, threshold: float) -> float:
        """FMR at a cosine at or above `tail_start`."""
        excess = max(0.0, threshold - self.tail_start)
        return float(self.tail_share * genpareto.sf(excess, self.shape, scale=self.scale))

    def threshold(self, gallery_size: int, fpir: float) -> float:
        """The cosine at which FPIR over a gallery of that size is `fpir`."""
        false_match_rate = -np.expm1(np.log1p(-fpir) / max(gallery_size, 1))
        if false_match_rate >= self.tail_share:
            return self.tail_start
        excess = genpareto.isf(false_match_rate / self.tail_share, self.shape, scale=self.scale)
        return float(min(self.tail_start + excess, 1.0))


def fit_calibration(
    scores: npt.NDArray[np.floating], pack_sha256: str, source: str, tail_share: float = 0.002
) -> Calibration:
    """Fit the tail of impostor scores, float [n]."""
    start = float(np.quantile(scores, 1 - tail_share))
    excess = scores[scores > start] - start
    shape, _, scale = genpareto.fit(excess, floc=0)
    return Calibration(pack_sha256, start, len(excess) / len(scores), float(shape), float(scale), len(scores), source)


def load_calibration(folder: Path, pack_sha256: str) -> Calibration | None:
    """The calibration beside a pack, None if there is none or it belongs to other networks."""
    path = folder / "calibration.json"
    if not path.exists():
        return None
    calibration = Calibration(**json.loads(path.read_text("utf-8")))
    return calibration if calibration.pack_sha256 == pack_sha256 else None


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json into a pack's folder."""
    (folder / "calibration.json").write_text(json.dumps(asdict(calibration), indent=2) + "\n", "utf-8")
