"""A second opinion: the faces of a finding, compared by another face pack.

The other pack's recogniser reads the same aligned faces, so that both packs judge the same samples.
A match that it does not confirm is at most `possible`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from face_index.faces.face import unit
from reports.cases.method_record import SecondOpinion
from reports.reasons.reason import Reason
from scanner.identification.conclusion import Finding, Identification, strongest_first
from scanner.identification.outcome import Outcome
from scanner.identification.snapshot import SecondPack

Patch = npt.NDArray[np.uint8]


def with_second_opinions(
    identification: Identification, patches: Sequence[Patch | None], second: SecondPack
) -> Identification:
    """Return the identification after the other pack has compared the faces of each finding.

    Args:
        patches: the aligned face of each sample, in the order of `CheckpointFaces.all`; None
            without a face.
    """
    if not identification.findings:
        return identification
    findings = tuple(_judged(one, patches, second) for one in identification.findings)
    strongest = min(findings, key=strongest_first)
    return replace(
        identification, findings=findings, outcome=strongest.outcome, reason=strongest.reason
    )


def _judged(finding: Finding, patches: Sequence[Patch | None], second: SecondPack) -> Finding:
    opinion = _opinion(finding, patches, second)
    finding = replace(finding, second_opinion=opinion)
    if opinion.agrees:
        return finding
    reason = f"{finding.reason}; {_doubt(opinion).in_english()}"
    return replace(finding, outcome=Outcome.POSSIBLE, reason=reason)


def _doubt(opinion: SecondOpinion) -> Reason:
    pack = {"pack": opinion.face_pack}
    if opinion.score is None:
        return Reason("second-pack-has-no-template", pack)
    scores = {"score": opinion.score, "threshold": opinion.threshold}
    return Reason("second-pack-disagrees", {**pack, **scores})


def _opinion(
    finding: Finding, patches: Sequence[Patch | None], second: SecondPack
) -> SecondOpinion:
    version, snapshot = second.reader.version, second.snapshot
    thresholds = snapshot.thresholds_of(finding.identity_id)
    opinion = SecondOpinion(
        second.pack.name,
        version.sha256,
        None,
        thresholds.match,
        agrees=False,
        holds_rate=thresholds.shortfall is None,
    )
    own = [
        patch
        for patch, score in zip(patches, finding.scores, strict=True)
        if score.in_mean and patch is not None
    ]
    is_embedded = any(known == finding.identity_id for known, _ in snapshot.templates)
    if not own or not is_embedded:
        return opinion
    probe = unit(np.mean(second.reader.embed(own), axis=0))
    score = float(snapshot.gallery.vector_of(finding.identity_id, probe) @ probe)
    return replace(opinion, score=score, agrees=score >= thresholds.match)
