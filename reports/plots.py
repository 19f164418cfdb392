"""The score plot: where every sample and every control lies against the threshold, as inline SVG."""

from __future__ import annotations

from markupsafe import Markup, escape

from reports.case import Case

_WIDTH, _HEIGHT = 720, 150
_LEFT, _RIGHT = 90, 700
_LOW, _HIGH = -0.3, 1.0


def _x(score: float) -> float:
    share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
    return _LEFT + share * (_RIGHT - _LEFT)


def _dots(scores: list[float], y: float, colour: str) -> str:
    # Neighbouring dots are spread over three heights so that they stay countable.
    return "".join(
        f'<circle cx="{_x(score):.1f}" cy="{y + (rank % 3 - 1) * 7:.1f}" r="4.5" fill="{colour}" fill-opacity="0.65"/>'
        for rank, score in enumerate(sorted(scores))
    )


def score_plot(case: Case, labels: dict[str, str]) -> Markup:
    """Inline SVG for a case.

    Args:
        labels: words for "samples", "controls", "mean", "threshold", "possible" and "title".
    """
    with_adapter = [sample.score for sample in case.samples if sample.score is not None]
    without = [sample.control_score for sample in case.samples if sample.control_score is not None]
    ticks = "".join(
        f'<line x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="18" y2="118" class="grid"/><text x="{_x(tick):.1f}" y="134" text-anchor="middle">{tick:.1f}</text>'
        for tick in (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    low, high = case.interval
    parts = [
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" class="plot"><title>{escape(labels["title"])}</title>',
        ticks,
        f'<text x="4" y="48">{escape(labels["samples"])}</text><text x="4" y="84">{escape(labels["controls"])}</text>',
        f'<text x="4" y="114">{escape(labels["mean"])}</text>',
        _dots(with_adapter, 44, "#b3261e"),
        _dots(without, 80, "#5f6b7a"),
        f'<line x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="110" y2="110" class="interval"/>',
        f'<circle cx="{_x(case.score):.1f}" cy="110" r="5.5" fill="#b3261e"/>',
        f'<line x1="{_x(case.threshold):.1f}" x2="{_x(case.threshold):.1f}" y1="14" y2="118" class="threshold"/>',
        f'<text x="{_x(case.threshold):.1f}" y="11" text-anchor="middle">{escape(labels["threshold"])} {case.threshold:.2f}</text>',
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704  every word from outside is escaped above
