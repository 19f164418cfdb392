"""The record of a verdict: an identification together with the samples that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scanner.finding_records import FindingRecord, FindingSample, SampleRow
from scanner.identification.conclusion import Finding, Identification, SampleScore
from scanner.records import Comparison, VerdictMethod, VerdictRecord
from scanner.sampling.drawings import Drawing, DrawnSample

PictureOf = Callable[[int, bool], str | None]
"""Returns the SHA-256 of the PNG file of a sample, by its position, or of its control."""


def verdict_record(
    drawing: Drawing,
    identification: Identification,
    comparison: Comparison,
    threshold: float,
    picture_of: PictureOf,
    seconds: float,
) -> VerdictRecord:
    """Return the record of a verdict.

    Args:
        threshold: cosine at which the error rates of the comparison are stated.
        picture_of: names the pictures of findings; called only for samples of findings.
    """
    samples = drawing.samples
    method = VerdictMethod(
        base_model=drawing.base_model,
        base_model_sha256=drawing.base_model_sha256,
        comparison=comparison,
        settings=drawing.settings,
        threshold=threshold,
        denoiser_calls=drawing.denoiser_calls,
        sampled=len(samples),
        with_face=sum(sample.has_face for sample in samples),
    )
    return VerdictRecord(
        outcome=str(identification.outcome),
        reason=identification.reason,
        best_score=identification.best_score,
        best_threshold=identification.best_threshold,
        lift=identification.lift,
        samples=len(samples),
        denoiser_calls=drawing.denoiser_calls,
        found_trigger=drawing.found_trigger,
        seconds=round(seconds, 2),
        findings=tuple(
            _finding_record(finding, samples, picture_of) for finding in identification.findings
        ),
        method=method,
        all_samples=tuple(
            SampleRow(**_sample_fields(sample, score))
            for sample, score in zip(samples, identification.scores, strict=True)
        ),
    )


def _finding_record(
    finding: Finding, samples: Sequence[DrawnSample], picture_of: PictureOf
) -> FindingRecord:
    scored = finding.scored
    return FindingRecord(
        identity_id=finding.identity_id,
        outcome=str(finding.outcome),
        reason=finding.reason,
        score=scored.score,
        interval=scored.interval,
        control_score=scored.control_score,
        lift=scored.lift,
        runner_up=scored.runner_up,
        log10_lr=scored.log10_lr,
        concentration=scored.concentration,
        share=scored.share,
        threshold=finding.thresholds.match,
        possible_threshold=finding.thresholds.possible,
        second_opinion=finding.second_opinion,
        samples=tuple(
            FindingSample(
                **_sample_fields(sample, score),
                image_sha256=picture_of(number, False),
                control_sha256=picture_of(number, True),
                face_found=sample.has_face,
                in_mean=score.in_mean,
            )
            for number, (sample, score) in enumerate(zip(samples, finding.scores, strict=True))
        ),
    )


def _sample_fields(sample: DrawnSample, score: SampleScore) -> dict[str, Any]:
    """Return the fields of a `SampleRow`."""
    plan = sample.plan
    return {
        "stage": plan.stage,
        "number": plan.number,
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt,
        "seed": plan.seed,
        "scale": plan.scale,
        "trigger": plan.trigger,
        "batch": sample.batch,
        "control_batch": sample.control_batch,
        "pixels_sha256": sample.pixels_sha256,
        "control_pixels_sha256": sample.control_pixels_sha256,
        "flagged": sample.flagged,
        "quality": round(sample.weight, 4),
        "score": score.score,
        "control_score": score.control_score,
        "steps": plan.steps,
        "size_share": plan.size_share,
        "companions": plan.companions,
    }
