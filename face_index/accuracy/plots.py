"""The plots of an accuracy report as SVG: scores, DET curve, reliability of likelihood ratios."""

from __future__ import annotations

import io
import warnings

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from face_index.accuracy.evaluation import Evaluation
from face_index.gallery.likelihood_ratio import reliability_of

_INK, _GENUINE, _IMPOSTOR = "#222222", "#1b6e4b", "#b04a2f"
_DET_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5)


def score_plot(evaluation: Evaluation, labels: dict[str, str]) -> str:
    """Draw histograms of genuine and impostor cosines."""
    figure, axes = _axes(labels["cosine"], labels["share"])
    edges = np.linspace(-0.6, 1, 81)
    for scores, colour, name in (
        (evaluation.impostor, _IMPOSTOR, labels["impostor"]),
        (evaluation.genuine, _GENUINE, labels["genuine"]),
    ):
        counts, _ = np.histogram(scores, edges)
        axes.stairs(
            counts / max(counts.sum(), 1), edges, fill=True, alpha=0.55, color=colour, label=name
        )
    axes.legend(frameon=False)
    return _svg(figure)


def det_plot(evaluation: Evaluation, labels: dict[str, str]) -> str:
    """Draw FNMR against FMR on normal deviate scales (ISO/IEC 19795-1; Martin et al. 1997)."""
    figure, axes = _axes(labels["fmr"], labels["fnmr"])
    _, false_match, false_non_match = evaluation.det()
    lowest = 0.5 / max(len(evaluation.impostor), len(evaluation.genuine))
    from scipy.stats import norm

    x, y = (norm.ppf(np.clip(rates, lowest, 0.999)) for rates in (false_match, false_non_match))
    axes.plot(x, y, color=_GENUINE, linewidth=1.8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(norm.ppf(_DET_TICKS), [f"{tick:g}" for tick in _DET_TICKS])
    axes.set_xlim(norm.ppf(1e-6), norm.ppf(0.5))
    axes.set_ylim(norm.ppf(1e-4), norm.ppf(0.5))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    return _svg(figure)


def reliability_plot(evaluation: Evaluation, labels: dict[str, str]) -> str | None:
    """Draw observed against stated likelihood ratios in bins; None if there are no ratios."""
    if evaluation.log10_lr is None:
        return None
    genuine, impostor = evaluation.log10_lr
    figure, axes = _axes(labels["stated_lr"], labels["observed_lr"])
    bins = reliability_of(genuine, impostor)
    stated, observed = [one.stated for one in bins], [one.observed for one in bins]
    low = [one.observed - one.low for one in bins]
    high = [one.high - one.observed for one in bins]
    limits = [min(stated + observed) - 0.5, max(stated + observed) + 0.5]
    axes.plot(limits, limits, color="#999999", linewidth=0.8, linestyle="--")
    axes.errorbar(
        stated, observed, yerr=[low, high], fmt="o", color=_GENUINE, markersize=4, linewidth=1
    )
    return _svg(figure)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    # Text stays text, so that it can be read aloud, copied, and shown in a Chinese font.
    with (
        rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "portrait-scanner",
                "font.family": "sans-serif",
                "text.color": _INK,
            }
        ),
        warnings.catch_warnings(),
    ):
        # Matplotlib's fonts lack Chinese glyphs; the fonts of the person who reads the file have
        # them.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
