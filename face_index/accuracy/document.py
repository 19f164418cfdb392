"""The accuracy report as one self-contained HTML file in English or Chinese, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from face_index.accuracy.evaluation import Evaluation
from face_index.accuracy.extremes import NO_LOOKS, Looks, name_of
from face_index.accuracy.labels import LABELS
from face_index.accuracy.plots import det_plot, reliability_plot, score_plot
from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
from face_index.faces.refusals import Why
from face_index.gallery.metrics import Rate


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report states besides the figures.

    Attributes:
        source: The photos or pairs, in words or as the last part of a path.
        made_at: UTC.
        versions: Of program and libraries.
    """

    pack: FacePack
    version: PackVersion
    source: str
    made_at: datetime
    versions: dict[str, str]


def accuracy_document(
    evaluation: Evaluation, facts: ReportFacts, looks: Looks = NO_LOOKS
) -> dict[str, Any]:
    """Return the content of the report as JSON values."""
    return {
        "format": "portrait-scanner accuracy report 1",
        "terms": "ISO/IEC 19795-1",
        "made_at": facts.made_at.isoformat(),
        "source": facts.source,
        "face_pack": {
            "name": facts.pack.name,
            "version": facts.version.version,
            "sha256": facts.version.sha256,
            "licence": facts.pack.licence,
            "commercial": facts.pack.commercial,
        },
        "versions": facts.versions,
        **evaluation.to_document(),
        "closest_impostors": [one.to_document() for one in looks.impostors],
        "farthest_photos": [one.to_document() for one in looks.genuine],
    }


def accuracy_report(
    evaluation: Evaluation, facts: ReportFacts, looks: Looks = NO_LOOKS, language: str = "en"
) -> str:
    """Return the report as HTML.

    Args:
        looks: Pairs at which somebody should look.
        language: "en" or "zh-CN".
    """
    labels = LABELS[language]
    environment = Environment(
        loader=PackageLoader("face_index", "accuracy"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["rate"] = _rate
    environment.filters["figure"] = _figure
    plots = {
        "scores": score_plot(evaluation, labels),
        "det": det_plot(evaluation, labels),
        "reliability": reliability_plot(evaluation, labels),
    }
    return environment.get_template("report.html").render(
        evaluation=evaluation,
        facts=facts,
        looks=[(labels["closest"], looks.impostors), (labels["farthest"], looks.genuine)],
        pictures=looks.pictures,
        name_of=name_of,
        labels=labels,
        language=language,
        # Markup is safe for these, since this program writes the SVG.
        plots={name: Markup(plot) if plot else None for name, plot in plots.items()},  # noqa: S704
        failures={labels[f"why-{Why(why)}"]: count for why, count in evaluation.failures.items()},
    )


def _figure(value: float) -> str:
    return f"{value * 100:.3g} %"


def _rate(rate: Rate) -> str:
    if not rate.trials:
        return "-"
    interval = f"({_figure(rate.low)} - {_figure(rate.high)})"
    return f"{_figure(rate.value)} {interval}; {rate.errors:,} / {rate.trials:,}"
