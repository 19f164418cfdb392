"""The score plot as inline SVG: samples, controls, the mean, the threshold and impostor scores."""

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
