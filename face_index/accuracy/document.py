"""The accuracy report: one self-contained HTML file in English or Chinese, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from face_index.accuracy.evaluation import Evaluation
from face_index.accuracy.labels import LABELS
from face_index.accuracy.plots import det_plot, reliability_plot, score_plot
from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
from face_index.faces.refusals import Why
from face_index.gallery.metrics import Rate


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says besides the figures.

    Attributes:
        source: the photos or pairs, in words or as a path's last part.
        made_at: UTC.
        versions: of program and libraries.
    """

    pack: FacePack
    version: PackVersion
    source: str
    made_at: datetime
    versions: dict[str, str]


def accuracy_document(evaluation: Evaluation, facts: ReportFacts) -> dict[str, Any]:
    """Everything in the report as JSON values."""
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
    }


def accuracy_report(evaluation: Evaluation, facts: ReportFacts, language: str = "en") -> str:
    """The HTML file.

    Args:
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
        labels=labels,
        language=language,
        plots={name: Markup(plot) if plot else None for name, plot in plots.items()},  # noqa: S704  our own SVG
        failures={labels[f"why-{Why(why)}"]: count for why, count in evaluation.failures.items()},
    )


def _figure(value: float) -> str:
    return f"{value * 100:.3g} %"


def _rate(one: Rate) -> str:
    if not one.trials:
        return "-"
    return f"{_figure(one.value)} ({_figure(one.low)} - {_figure(one.high)}); {one.errors:,} / {one.trials:,}"
