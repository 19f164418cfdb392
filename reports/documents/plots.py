"""Plots as inline SVG: the scores of a case, and the reliability of its likelihood ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from markupsafe import Markup, escape

from reports.cases.case import Case

_WIDTH, _HEIGHT = 720, 178
_LEFT, _RIGHT = 118, 704
_LOW, _HIGH = -0.3, 1.0
_TOP, _FLOOR = 24, 142
_INK, _SOFT, _LINE, _ALARM, _SHADE = "#1c2430", "#56606e", "#d5dae1", "#b3261e", "#c9d0d9"
_FONTS = "Noto Sans CJK SC, Noto Sans, DejaVu Sans, sans-serif"
_TICKS = (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Where the label of each row stands.
_ROWS = ((52, "samples"), (90, "controls"), (126, "mean"))


def score_plot(case: Case, labels: Mapping[str, str]) -> Markup:
    """Inline SVG for a case. All styles are attributes, so that a PDF shows the same.

    Args:
        labels: words for "samples", "controls", "mean", "threshold" and "title".
    """
    shown = case.samples if case.sighting is None else case.sighting.images
    scores = [one.score for one in shown if one.score is not None]
    controls = [sample.control_score for sample in case.samples if sample.control_score is not None]
    parts = [
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" ',
        f'font-size="12" fill="{_SOFT}" font-family="{_FONTS}" ',
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(labels["title"])}</title>',
        _impostors(case),
        "".join(map(_tick, _TICKS)),
        "".join(f'<text x="2" y="{y}">{escape(labels[name])}</text>' for y, name in _ROWS),
        _dots(scores, 48, _ALARM),
        _dots(controls, 86, _INK),
        _mean(case),
        _threshold(case.threshold, labels["threshold"]),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704  every word from outside is escaped above


def _x(score: float) -> float:
    share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
    return _LEFT + share * (_RIGHT - _LEFT)


def _tick(score: float) -> str:
    x = f"{_x(score):.1f}"
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_FLOOR}" stroke="{_LINE}"/>'
        f'<text x="{x}" y="{_FLOOR + 17}" text-anchor="middle">{score:.1f}</text>'
    )


def _dots(scores: list[float], y: float, colour: str) -> str:
    # Neighbouring dots are spread over three heights so that they stay countable.
    return "".join(
        f'<circle cx="{_x(score):.1f}" cy="{y + (rank % 3 - 1) * 7:.1f}" r="4.2" '
        f'fill="{colour}" fill-opacity="0.65"/>'
        for rank, score in enumerate(sorted(scores))
    )


def _mean(case: Case) -> str:
    low, high = case.interval
    return (
        f'<line x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="122" y2="122" '
        f'stroke="{_ALARM}" stroke-width="3"/>'
        f'<circle cx="{_x(case.score):.1f}" cy="122" r="5.5" fill="{_ALARM}"/>'
    )


def _threshold(score: float, label: str) -> str:
    x = f"{_x(score):.1f}"
    return (
        f'<line x1="{x}" x2="{x}" y1="18" y2="{_FLOOR}" stroke="{_INK}" '
        'stroke-width="1.5" stroke-dasharray="5 4"/>'
        f'<text x="{x}" y="13" text-anchor="middle" fill="{_INK}">'
        f"{escape(label)} {score:.2f}</text>"
    )


def _impostors(case: Case) -> str:
    """The density of impostor scores, scaled so that its highest point fills the plot.

    The density between two scores is the fall of the false match rate from one to the other.
    """
    falls = [
        ((low + high) / 2, (rate - next_rate) / (high - low))
        for (low, rate), (high, next_rate) in pairwise(case.method.impostor_rates)
    ]
    highest = max((fall for _, fall in falls), default=0.0)
    if highest <= 0:
        return ""
    points = [(_x(score), _FLOOR - fall / highest * (_FLOOR - _TOP)) for score, fall in falls]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    first, last = f"{points[0][0]:.1f},{_FLOOR}", f"{points[-1][0]:.1f},{_FLOOR}"
    return f'<polygon points="{first} {path} {last}" fill="{_SHADE}" fill-opacity="0.7"/>'


_SIDE, _EDGE = 250, 34  # of the reliability plot, and the room of its labels


def reliability_plot(case: Case, labels: Mapping[str, str]) -> Markup | None:
    """Observed against stated likelihood ratios in bins, with the case's own ratio.

    A bin on the diagonal is right; above it, the ratio that is stated is too small.

    Args:
        labels: words for "title", "stated", "observed" and "here".

    Returns:
        None if the calibration has no likelihood ratios.
    """
    bins = case.method.reliability
    if not bins or case.log10_lr is None:
        return None
    numbers = [number for one in bins for number in one] + [case.log10_lr]
    low, high = math.floor(min(numbers)), math.ceil(max(numbers))
    scale = (_SIDE - 2 * _EDGE) / max(high - low, 1)

    def x(value: float) -> str:
        return f"{_EDGE + (value - low) * scale:.1f}"

    def y(value: float) -> str:
        return f"{_SIDE - _EDGE - (value - low) * scale:.1f}"

    step = max(1, (high - low) // 5)
    ticks = "".join(
        f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{y(low)}" y2="{y(high)}" stroke="{_LINE}"/>'
        f'<line x1="{x(low)}" x2="{x(high)}" y1="{y(tick)}" y2="{y(tick)}" stroke="{_LINE}"/>'
        f'<text x="{x(tick)}" y="{_SIDE - _EDGE + 14}" text-anchor="middle">{tick}</text>'
        f'<text x="{_EDGE - 5}" y="{y(tick)}" dy="4" text-anchor="end">{tick}</text>'
        for tick in range(low, high + 1, step)
    )
    points = "".join(
        f'<line x1="{x(stated)}" x2="{x(stated)}" y1="{y(least)}" y2="{y(most)}" stroke="{_INK}"/>'
        f'<circle cx="{x(stated)}" cy="{y(observed)}" r="4" fill="{_INK}"/>'
        for stated, observed, least, most in bins
    )
    own = x(case.log10_lr)
    return Markup(  # noqa: S704  every word from outside is escaped
        f'<svg role="img" viewBox="0 0 {_SIDE} {_SIDE}" width="{_SIDE}" height="{_SIDE}" '
        f'font-size="11" fill="{_SOFT}" font-family="{_FONTS}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(labels["title"])}</title>{ticks}'
        f'<line x1="{x(low)}" x2="{x(high)}" y1="{y(low)}" y2="{y(high)}" stroke="{_SOFT}" '
        f'stroke-dasharray="4 4"/>{points}'
        f'<line x1="{own}" x2="{own}" y1="{y(low)}" y2="{y(high)}" stroke="{_ALARM}" '
        f'stroke-width="1.5"/>'
        f'<text x="{own}" y="{_EDGE - 8}" text-anchor="middle" fill="{_ALARM}">'
        f"{escape(labels['here'])}</text>"
        f'<text x="{_SIDE / 2}" y="{_SIDE - 4}" text-anchor="middle">'
        f"{escape(labels['stated'])}</text>"
        f'<text x="4" y="{_EDGE - 8}">{escape(labels["observed"])}</text></svg>'
    )
