"""A page about a calibration that is published: what it rests on, and what it bears."""

from __future__ import annotations

from face_index.accuracy.evaluation import Evaluation
from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
from face_index.gallery.calibration import Calibration

_SIZES = (20, 100, 1_000, 10_000, 100_000)
_RATES = (0.01, 0.001)


def calibration_page(
    calibration: Calibration, evaluation: Evaluation, pack: FacePack, version: PackVersion
) -> str:
    """Return the page as Markdown; it has no names and no photos."""
    compared, unusable = f"{calibration.comparisons:,}", sum(evaluation.failures.values())
    persons = f"{calibration.subjects:,} persons with four or more usable photos"
    lines = [
        f"# Calibration of the face pack {pack.name} {version.version}".rstrip(),
        "",
        f"- networks, SHA-256: `{version.sha256}`",
        f"- licence: {pack.licence}",
        f"- population: {calibration.source} ({calibration.basis})",
        f"- comparisons of different persons: {compared} among {persons}",
        f"- photos: {evaluation.photos:,}, without a usable face: {unusable:,}",
        f"- groups in which thresholds hold: {', '.join(calibration.groups) or 'none known'}",
        f"- marks made by hand: {_marks(calibration)}",
        "",
        "## Thresholds (cosine), with 95 % intervals over the choice of persons",
        "",
        f"| persons in the gallery | {' | '.join(f'FPIR {rate:.1%}' for rate in _RATES)} |",
        f"|---|{'---|' * len(_RATES)}",
    ]
    lines += [
        f"| {size:,} | {' | '.join(_threshold(calibration, size, rate) for rate in _RATES)} |"
        for size in _SIZES
    ]
    lines += ["", *_largest(calibration), "", *_ratios(calibration), ""]
    return "\n".join(lines)


def _marks(calibration: Calibration) -> str:
    if not calibration.marks:
        return "none were needed"
    counted = ", ".join(f"{count} {mark}" for mark, count in calibration.marks.items())
    return f"{counted} (file with SHA-256 `{calibration.marks_sha256}`)"


def _threshold(calibration: Calibration, size: int, fpir: float) -> str:
    low, high = calibration.threshold_interval(size, fpir)
    text = f"{calibration.threshold(size, fpir):.3f} ({low:.3f} to {high:.3f})"
    return text if calibration.shortfall(size, fpir) is None else f"{text}, for `possible` only"


def _largest(calibration: Calibration) -> list[str]:
    return [
        f"FPIR {rate:.1%} is borne for galleries of up to "
        f"{calibration.largest_gallery(rate):,} persons (three comparisons for one error)."
        for rate in _RATES
    ]


def _ratios(calibration: Calibration) -> list[str]:
    ratio = calibration.likelihood_ratio
    if ratio is None:
        return ["There are no likelihood ratios."]
    held_out = f"Cllr {ratio.cllr:.4f} on comparisons left out of the fit"
    lowest, highest = ratio.bounds
    bounds = f"log10 LR from {lowest:.1f} to {highest:.1f}"
    return [
        f"Likelihood ratios: {held_out}, at best {ratio.cllr_min:.4f}; {bounds}.",
        "",
        "| stated log10 LR | observed | genuine | impostor |",
        "|---|---|---|---|",
        *(
            f"| {one.stated:.1f} | {one.observed:.1f} ({one.low:.1f} to {one.high:.1f}) "
            f"| {one.genuine:,} | {one.impostor:,} |"
            for one in ratio.reliability
        ),
    ]
