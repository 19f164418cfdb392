"""The detection error trade-off of a run: FNIR against FPIR over all thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

if TYPE_CHECKING:
    from benchmarks.likeness.run import Row


def draw_det(rows: list[Row], path: Path, threshold: float) -> None:
    """Write the curve as a PNG.

    FNIR is that of files of one person, FPIR that of files that show nobody registered.
    """
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    genuine = np.array(
        [
            row.best_score if row.best_score is not None else -1.0
            for row in rows
            if row.part in ("single", "altered")
        ]
    )
    impostor = np.array(
        [row.best_score if row.best_score is not None else -1.0 for row in rows if not row.persons]
    )
    if not len(genuine) or not len(impostor):
        return
    cuts = np.linspace(-0.2, 1, 400)
    fnir = [(genuine < cut).mean() for cut in cuts]
    fpir = [(impostor >= cut).mean() for cut in cuts]
    figure, axis = plt.subplots(figsize=(5, 4.2))
    axis.step(fpir, fnir, where="post", color="#1f5aa6")
    nearest = int(np.argmin(np.abs(cuts - threshold)))
    axis.plot(
        fpir[nearest], fnir[nearest], "o", color="#b3261e", label=f"threshold {threshold:.2f}"
    )
    axis.set(
        xlabel=f"false positive identification rate ({len(impostor)} files)",
        ylabel=f"false negative identification rate ({len(genuine)} files)",
        xlim=(-0.01, 0.5),
        ylim=(-0.01, 0.5),
        title="LikenessBench, DET",
    )
    axis.legend()
    axis.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
