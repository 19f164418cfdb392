"""Error rates of a face pack on labelled photos.

Verification, identification, likelihood ratios and differences between groups are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from face_index.accuracy.label_checks import LabelsInDoubt, doubts_about, pairs_left_out
from face_index.accuracy.labelled import Pair, ReadPhotos, cosines
from face_index.accuracy.marks import Marks
from face_index.accuracy.verification_scores import VerificationScores, all_pairs
from face_index.errors import CalibrationImpossible
from face_index.faces.face import Face, unit
from face_index.gallery.calibration import Calibration, calibrate, tails_of_groups
from face_index.gallery.metrics import (
    Rate,
    cllr,
    det_curve,
    differential,
    equal_error_rate,
    minimal_cllr,
    rate_over_subjects,
)
from face_index.gallery.spread import spread_of
from face_index.gallery.templates import make_prototypes

Floats = npt.NDArray[np.floating]
NO_MARKS = Marks()
STATED_FMR = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STATED_FPIR = (1e-2, 1e-3, 1e-4)
_LEAST_IMPOSTORS_OF_A_GROUP = 100
PHOTOS_OF_A_PERSON = 4
_IMAGES_FOR_SPREAD = 6  # of fewer the jackknife overestimates it


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Error rates at one threshold.

    Attributes:
        stated: The FMR or FPIR that the threshold should hold.
        threshold: Cosine.
        false_positive: Measured FMR or FPIR.
        false_negative: Measured FNMR or FNIR.
    """

    stated: float
    threshold: float
    false_positive: Rate
    false_negative: Rate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measured figures; a figure that could not be measured is None or empty.

    Attributes:
        subjects, photos: How many persons and photos there were.
        failures: Photos without a usable face, by reason.
        genuine, impostor: Verification scores, cosines; not part of the JSON report.
        equal_error_rate: Of single photos.
        verification: FMR and FNMR of single photos against single photos, with thresholds from
            these scores.
        identification: FPIR and FNIR of several photos against templates, with thresholds from
            other persons.
        gallery_size: Of those searches.
        log10_lr: log10 LRs of held-out genuine and impostor scores.
        cllr, cllr_min: Of those, bits.
        groups: FMR and FNMR of each group at one common threshold; None without labels of groups,
            empty unless two groups have enough comparisons.
        differentials: Worst over best group for FMR and FNMR, with the groups' names.
    """

    subjects: int
    photos: int
    failures: dict[str, int]
    genuine: Floats
    impostor: Floats
    equal_error_rate: float | None
    verification: tuple[OperatingPoint, ...]
    identification: tuple[OperatingPoint, ...] = ()
    gallery_size: int = 0
    log10_lr: tuple[Floats, Floats] | None = None
    cllr: float | None = None
    cllr_min: float | None = None
    groups: dict[str, dict[str, Rate]] | None = None
    differentials: dict[str, tuple[float, str, str] | None] | None = None

    def det(self) -> tuple[Floats, Floats, Floats]:
        """Return thresholds, FMR and FNMR of single photos."""
        return det_curve(self.genuine, self.impostor)

    def to_document(self) -> dict[str, Any]:
        """Return JSON values without single scores, which are biometric data of the persons."""
        hidden = {"genuine", "impostor", "log10_lr"}
        document = {name: value for name, value in asdict(self).items() if name not in hidden}
        document["genuine_comparisons"], document["impostor_comparisons"] = (
            len(self.genuine),
            len(self.impostor),
        )
        document["failure_to_acquire_rate"] = sum(self.failures.values()) / max(self.photos, 1)
        thresholds, false_match, false_non_match = self.det()
        document["det"] = {
            "threshold": thresholds.tolist(),
            "fmr": false_match.tolist(),
            "fnmr": false_non_match.tolist(),
        }
        return document


def evaluate_people(read: ReadPhotos, pack_sha256: str, seed: int = 0) -> Evaluation:
    """Measure error rates on photos sorted by person.

    Single photos are compared with single photos. If at least 70 persons have four usable photos,
    thresholds and likelihood ratios are fitted to one half of them and measured on the other half.

    Raises:
        CalibrationImpossible: Fewer than two persons have a usable photo, or none has two.
    """
    people = read.by_person()
    if not people:
        raise CalibrationImpossible("no photo has a usable face")
    scores = all_pairs(people, {photo.person: photo.group for photo in read.faces})
    if not len(scores.genuine) or not len(scores.impostor):
        raise CalibrationImpossible(
            f"{len(people)} persons have a usable photo; two photos of at least one person and "
            "two persons are needed"
        )
    rng = np.random.default_rng(seed)
    held_out = _held_out(people, pack_sha256, rng)
    return _evaluation(len(people), read, scores, rng, **held_out)


def evaluate_pairs(pairs: Sequence[Pair], read: ReadPhotos, seed: int = 0) -> Evaluation:
    """Measure error rates on given pairs.

    A photo without a usable face counts as failure to acquire, and its pair is left out.
    """
    usable = [pair for pair in pairs if pair.first in read.faces and pair.second in read.faces]
    names = {
        name: number
        for number, name in enumerate(
            sorted({p.person for one in usable for p in (one.first, one.second)})
        )
    }
    kinds = {}
    for genuine in (True, False):
        chosen = [pair for pair in usable if pair.genuine == genuine]
        kinds[genuine] = (
            cosines(
                [read.faces[pair.first] for pair in chosen],
                [read.faces[pair.second] for pair in chosen],
            ),
            np.array([names[pair.first.person] for pair in chosen], np.int64),
            [pair.first.group for pair in chosen],
        )
    if not len(kinds[True][0]) or not len(kinds[False][0]):
        raise CalibrationImpossible(
            "pairs of one person and pairs of two are needed, with usable faces in them"
        )
    scores = VerificationScores(
        kinds[True][0],
        kinds[True][1],
        kinds[False][0],
        kinds[False][1],
        kinds[True][2],
        kinds[False][2],
        len(names),
    )
    return _evaluation(len(names), read, scores, np.random.default_rng(seed))


def calibration_of(
    read: ReadPhotos, pack_sha256: str, source: str, marks: Marks = NO_MARKS
) -> Calibration:
    """Compute a calibration from everyone with at least four usable photos.

    Half of the photos make the template, half the probe.

    Raises:
        LabelsInDoubt: Labels may be wrong, and nobody has marked them.
        CalibrationImpossible: There are too few persons.
    """
    people = read.by_person()
    names = [name for name, faces in people.items() if len(faces) >= PHOTOS_OF_A_PERSON]
    templates, probes = _templates_and_probes(people)
    if len(names) >= 2 and (doubts := doubts_about(names, templates, probes, read, marks)):
        raise LabelsInDoubt(doubts)
    left_out = pairs_left_out(names, marks)
    spread = spread_of(
        (np.stack([face.embedding for face in faces[len(faces) // 2 :]]), template)
        for faces, template in zip((people[name] for name in names), templates, strict=True)
        if len(faces) - len(faces) // 2 >= _IMAGES_FOR_SPREAD
    )
    found = calibrate(templates, probes, pack_sha256, source, left_out=left_out, spread=spread)
    labels = {photo.person: photo.group for photo in read.faces}
    groups = tails_of_groups(templates, probes, [labels[name] for name in names], left_out)
    return replace(found, groups=groups, marks=marks.counts(), marks_sha256=marks.sha256)


def _evaluation(
    subjects: int,
    read: ReadPhotos,
    scores: VerificationScores,
    rng: np.random.Generator,
    **held_out: Any,
) -> Evaluation:
    groups = _by_group(scores, rng)
    return Evaluation(
        subjects=subjects,
        photos=read.photo_count,
        failures=read.failures,
        genuine=scores.genuine,
        impostor=scores.impostor,
        equal_error_rate=equal_error_rate(scores.genuine, scores.impostor),
        verification=tuple(
            _verification_point(scores, stated, rng)
            for stated in STATED_FMR
            if stated * len(scores.impostor) >= 3
        ),
        groups=groups,
        differentials=None
        if groups is None
        else {
            kind: differential({name: rates[kind] for name, rates in groups.items()})
            for kind in ("fmr", "fnmr")
        },
        **held_out,
    )


def _verification_point(
    scores: VerificationScores, stated: float, rng: np.random.Generator
) -> OperatingPoint:
    threshold = float(np.quantile(scores.impostor, 1 - stated, method="higher"))
    false_match = _rate(scores.impostor >= threshold, scores.impostor_persons, scores.persons, rng)
    false_non_match = _rate(scores.genuine < threshold, scores.genuine_persons, scores.persons, rng)
    return OperatingPoint(stated, threshold, false_match, false_non_match)


def _rate(
    wrong: npt.NDArray[np.bool_],
    persons: npt.NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
) -> Rate:
    errors = np.bincount(persons, weights=wrong, minlength=count).astype(float)
    return rate_over_subjects(errors, np.bincount(persons, minlength=count).astype(float), rng)


def _by_group(
    scores: VerificationScores, rng: np.random.Generator
) -> dict[str, dict[str, Rate]] | None:
    names = sorted({name for name in scores.genuine_groups if name})
    if not names:
        return None
    threshold = float(np.quantile(scores.impostor, 1 - 1e-3, method="higher"))
    genuine_groups, impostor_groups = (
        np.array(scores.genuine_groups),
        np.array(scores.impostor_groups),
    )
    found = {}
    for name in names:
        same, other = genuine_groups == name, impostor_groups == name
        if other.sum() >= _LEAST_IMPOSTORS_OF_A_GROUP:
            found[name] = {
                "fmr": _rate(
                    scores.impostor[other] >= threshold,
                    scores.impostor_persons[other],
                    scores.persons,
                    rng,
                ),
                "fnmr": _rate(
                    scores.genuine[same] < threshold,
                    scores.genuine_persons[same],
                    scores.persons,
                    rng,
                ),
            }
    return found if len(found) > 1 else {}


def _templates_and_probes(people: dict[str, list[Face]]) -> tuple[Floats, Floats]:
    enough = [faces for faces in people.values() if len(faces) >= PHOTOS_OF_A_PERSON]
    templates = [make_prototypes(faces[: len(faces) // 2])[0] for faces in enough]
    probes = [
        unit(np.mean([face.embedding for face in faces[len(faces) // 2 :]], axis=0))
        for faces in enough
    ]
    if not enough:
        return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
    return np.stack(templates), np.stack(probes)


def _held_out(
    people: dict[str, list[Face]], pack_sha256: str, rng: np.random.Generator
) -> dict[str, Any]:
    templates, probes = _templates_and_probes(people)
    half = len(templates) // 2
    if half < 35:
        return {}
    order = rng.permutation(len(templates))
    fitted = calibrate(
        templates[order[:half]], probes[order[:half]], pack_sha256, "one half of the persons", 0
    )
    scores = probes[order[half:]] @ templates[order[half:]].T
    return {**_identification(scores, fitted, rng), **_likelihood_ratios(scores, fitted, rng)}


def _identification(
    scores: Floats, fitted: Calibration, rng: np.random.Generator
) -> dict[str, Any]:
    size = len(scores) - 1
    own = np.diag(scores).copy()
    others = scores.copy()
    np.fill_diagonal(others, -1)
    highest, one = others.max(axis=1), np.ones(len(scores))
    points = []
    for stated in STATED_FPIR:
        threshold = fitted.threshold(size, stated)
        missed = (own < threshold) | (own < highest)
        points.append(
            OperatingPoint(
                stated,
                threshold,
                rate_over_subjects((highest >= threshold).astype(float), one, rng),
                rate_over_subjects(missed.astype(float), one, rng),
            )
        )
    return {"identification": tuple(points), "gallery_size": size}


def _likelihood_ratios(
    scores: Floats, fitted: Calibration, rng: np.random.Generator
) -> dict[str, Any]:
    ratio = fitted.likelihood_ratio
    if ratio is None:
        return {}
    impostor = rng.permutation(scores[~np.eye(len(scores), dtype=bool)])[:200_000]
    genuine_lr, impostor_lr = ratio.log10_of(np.diag(scores)), ratio.log10_of(impostor)
    return {
        "log10_lr": (genuine_lr, impostor_lr),
        "cllr": cllr(genuine_lr, impostor_lr),
        "cllr_min": minimal_cllr(genuine_lr, impostor_lr),
    }
