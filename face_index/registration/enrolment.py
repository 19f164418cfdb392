"""Computing a template from a person's photos, and reasons for the photos that are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from face_index.faces.face import Face, FaceReader, Prototypes, unit
from face_index.faces.photos import PhotoFile, photo_from
from face_index.faces.quality import QualityBar
from face_index.faces.refusals import Refusal
from face_index.gallery.exact_gallery import Gallery
from face_index.gallery.templates import make_prototypes
from face_index.registration.grouping import UNCALIBRATED_ALIKE
from face_index.registration.photo_checks import (
    MIN_COSINE_TO_OTHERS,
    CheckedPhotos,
    choose_faces,
    give_copies_the_reason_of_their_original,
    open_photos,
    refuse_copies,
    refuse_other_people,
    refuse_several_people,
    refuse_sideways,
    suggest_picks,
)
from face_index.registration.photo_names import labels_of, picked_numbers
from face_index.registration.report import EnrolmentRefused, EnrolmentReport, PhotoVerdict

MIN_PHOTOS = 3
_OPEN_AT_ONCE = 16  # decoded photos in memory, up to 12 MB each
_QUALITY_MEASURES = (
    "detector_score",
    "eye_distance_px",
    "yaw",
    "pitch",
    "roll",
    "sharpness",
    "brightness",
    "clipped",
    "norm",
)


@dataclass(frozen=True, slots=True)
class Template:
    """A person's prototypes, and the photos from which they were computed.

    Attributes:
        photos: Bytes of the accepted image files.
    """

    prototypes: Prototypes
    report: EnrolmentReport
    photos: tuple[bytes, ...]


def make_template(
    reader: FaceReader,
    bar: QualityBar,
    photos: Sequence[Path | PhotoFile],
    needed: int = MIN_PHOTOS,
    picks: Mapping[str, int] | None = None,
    alike: float = UNCALIBRATED_ALIKE,
) -> Template:
    """Compute a template from photos of one person.

    Args:
        needed: How many photos must pass.
        picks: For photos of several people, by file name or path, the number of the face that
            counts; 1 is the largest.
        alike: Cosine from which on groups of photos may show one person
            (face_index.registration.grouping.alike_from).

    Raises:
        EnrolmentRefused: Fewer than `needed` photos passed, or they show several people; its
            report has a reason for each photo.
        PickRefused: A pick that fits no photo, or several.
    """
    checked, numbers = CheckedPhotos(labels_of(photos)), picked_numbers(picks or {}, photos)
    for start in range(0, len(photos), _OPEN_AT_ONCE):
        opened = open_photos(checked, start, photos[start : start + _OPEN_AT_ONCE])
        choose_faces(checked, opened, reader, bar, numbers, turn=True)
    refuse_sideways(checked)
    refuse_copies(checked)
    refuse_several_people(checked, alike)
    refuse_other_people(checked)
    suggest_picks(checked)
    give_copies_the_reason_of_their_original(checked)
    return _template_from(checked, needed)


def open_faces(
    reader: FaceReader, bar: QualityBar, photos: Sequence[Path | PhotoFile]
) -> list[Face | Refusal]:
    """Return the usable face of each photo, or why there is none; photos are not compared."""
    checked = CheckedPhotos(labels_of(photos))
    choose_faces(checked, open_photos(checked, 0, photos), reader, bar, {}, turn=False)
    return [checked.refusals.get(number) or checked.faces[number] for number in range(len(photos))]


def template_of_kept(
    reader: FaceReader, photos: Sequence[bytes], alike: float = UNCALIBRATED_ALIKE
) -> Prototypes | None:
    """Compute prototypes from photos that were accepted before with another pack.

    Photos of several people may be among them, in which somebody picked a face at the time. The
    photos with one face decide who the person is; from the others the face that looks like that
    person is added.

    Args:
        alike: As for `make_template`.

    Returns:
        None if the photos do not show for certain whose face it is.
    """
    opened = [photo_from(str(number), data) for number, data in enumerate(photos)]
    checked = CheckedPhotos([photo.name for photo in opened])
    for number, faces in enumerate(reader.read([photo.pixels for photo in opened])):
        if len(faces) == 1:
            checked.faces[number] = faces[0]
        elif faces:
            checked.crowds[number] = faces
    refuse_several_people(checked, alike)
    refuse_other_people(checked)
    theirs = [checked.faces[number] for number in checked.accepted()]
    if len(theirs) < 2 or (
        len(theirs) == 2 and theirs[0].embedding @ theirs[1].embedding < MIN_COSINE_TO_OTHERS
    ):
        return None  # of one photo, or of two that differ, nobody can say whose they are
    mean = unit(np.mean([face.embedding for face in theirs], axis=0))
    closest = [
        max(crowd, key=lambda face: float(face.embedding @ mean))
        for crowd in checked.crowds.values()
    ]
    theirs += [face for face in closest if face.embedding @ mean >= MIN_COSINE_TO_OTHERS]
    return make_prototypes(theirs)


def lookalikes(
    prototypes: Prototypes, gallery: Gallery, threshold: float
) -> list[tuple[str, float]]:
    """Return id and score of registered people who look like this person, closest first.

    Args:
        gallery: Of everyone stored, in the same pack.
        threshold: Cosine from which on two templates are taken for one person.
    """
    best: dict[str, float] = {}
    for candidates in gallery.search(prototypes):
        for candidate in candidates:
            if candidate.score >= threshold:
                best[candidate.identity_id] = max(
                    candidate.score, best.get(candidate.identity_id, -1.0)
                )
    return sorted(best.items(), key=lambda pair: -pair[1])


def _template_from(checked: CheckedPhotos, needed: int) -> Template:
    verdicts = tuple(
        PhotoVerdict(name, checked.refusals.get(number), _quality(checked.faces.get(number)))
        for number, name in enumerate(checked.names)
    )
    people = tuple(tuple(checked.names[number] for number in group) for group in checked.people)
    report = EnrolmentReport(verdicts, needed, people)
    accepted = sorted(checked.accepted())
    if len(accepted) < needed:
        raise EnrolmentRefused(report)
    prototypes = make_prototypes([checked.faces[number] for number in accepted])
    files = tuple(checked.photos[number].data for number in accepted)
    return Template(prototypes, report, files)


def _quality(face: Face | None) -> dict[str, float] | None:
    if face is None:
        return None
    return {name: round(float(getattr(face, name)), 3) for name in _QUALITY_MEASURES}
