"""The score plot: where every sample and every control lies against impostor scores and threshold, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from markupsafe import Markup, escape

from reports.cases.case import Case

_WIDTH, _HEIGHT = 720, 178
_LEFT, _RIGHT = 118, 704
_LOW, _HIGH = -0.3, 1.0
_TOP, _FLOOR = 24, 142
_INK, _SOFT, _LINE, _ALARM, _SHADE = "#1c2430", "#56606e", "#d5dae1", "#b3261e", "#c9d0d9"


def _x(score: float) -> float:
    share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
    return _LEFT + share * (_RIGHT - _LEFT)


def _dots(scores: list[float], y: float, colour: str) -> str:
    # Neighbouring dots are spread over three heights so that they stay countable.
    return "".join(
        f'<circle cx="{_x(score):.1f}" cy="{y + (rank % 3 - 1) * 7:.1f}" r="4.2" fill="{colour}" fill-opacity="0.65"/>'
        for rank, score in enumerate(sorted(scores))
    )


def _impostors(case: Case) -> str:
    """The density of impostor scores: how much their rate falls from one score to the next, the highest filling the plot."""
    curve = case.method.impostor_rates
    falls = [
        ((low + high) / 2, (rate - next_rate) / (high - low))
        for (low, rate), (high, next_rate) in pairwise(curve)
    ]
    highest = max((fall for _, fall in falls), default=0.0)
    if highest <= 0:
        return ""
    points = [(_x(score), _FLOOR - fall / highest * (_FLOOR - _TOP)) for score, fall in falls]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{points[0][0]:.1f},{_FLOOR} {path} {points[-1][0]:.1f},{_FLOOR}" fill="{_SHADE}" fill-opacity="0.7"/>'


def score_plot(case: Case, labels: Mapping[str, str]) -> Markup:
    """Inline SVG for a case; everything that it needs is in its own attributes, so that a PDF shows it alike.

    Args:
        labels: words for "samples", "controls", "mean", "threshold" and "title".
    """
    shown = case.samples if case.sighting is None else case.sighting.images
    with_adapter = [one.score for one in shown if one.score is not None]
    without = [sample.control_score for sample in case.samples if sample.control_score is not None]
    ticks = "".join(
        f'<line x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="{_TOP}" y2="{_FLOOR}" stroke="{_LINE}"/>'
        f'<text x="{_x(tick):.1f}" y="{_FLOOR + 17}" text-anchor="middle">{tick:.1f}</text>'
        for tick in (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    low, high = case.interval
    threshold = _x(case.threshold)
    rows = ((52, "samples"), (90, "controls"), (126, "mean"))
    names = "".join(f'<text x="2" y="{y}">{escape(labels[name])}</text>' for y, name in rows)
    parts = [
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" font-size="12" fill="{_SOFT}" font-family="Noto Sans CJK SC, Noto Sans, DejaVu Sans, sans-serif" xmlns="http://www.w3.org/2000/svg"><title>{escape(labels["title"])}</title>',
        _impostors(case),
        ticks,
        names,
        _dots(with_adapter, 48, _ALARM),
        _dots(without, 86, _INK),
        f'<line x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="122" y2="122" stroke="{_ALARM}" stroke-width="3"/>',
        f'<circle cx="{_x(case.score):.1f}" cy="122" r="5.5" fill="{_ALARM}"/>',
        f'<line x1="{threshold:.1f}" x2="{threshold:.1f}" y1="18" y2="{_FLOOR}" stroke="{_INK}" stroke-width="1.5" stroke-dasharray="5 4"/>',
        f'<text x="{threshold:.1f}" y="13" text-anchor="middle" fill="{_INK}">{escape(labels["threshold"])} {case.threshold:.2f}</text>',
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704  every word from outside is escaped above
