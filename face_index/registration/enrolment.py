"""Computing a template from a person's photos, and reasons for the photos that are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from face_index.faces.face import Face, FaceReader, Image, Prototypes
from face_index.faces.photos import PhotoFile
from face_index.faces.quality import ANY_QUALITY, QualityBar
from face_index.faces.refusals import Refusal
from face_index.gallery.exact_gallery import Gallery
from face_index.gallery.templates import make_prototypes
from face_index.registration.grouping import UNCALIBRATED_ALIKE
from face_index.registration.photo_checks import (
    CheckedPhotos,
    choose_face_of_each,
    choose_person,
    find_faces,
    give_copies_the_reason_of_their_original,
    open_photos,
    refuse_copies,
    refuse_lost_picks,
)
from face_index.registration.photo_names import labels_of, picked_numbers
from face_index.registration.report import Choice, EnrolmentRefused, EnrolmentReport, PhotoVerdict

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


@dataclass(frozen=True, slots=True)
class PhotoCheck:
    """What one photo shows.

    Attributes:
        refusal: None if it has a usable face.
        pixels: Of the upright photo; None if it cannot be opened.
        faces: Number and box of each usable face, in pixels; 1 is the largest.
    """

    refusal: Refusal | None
    pixels: Image | None
    faces: tuple[tuple[int, tuple[float, float, float, float]], ...]


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
    _check(checked, reader, bar, photos, numbers, alike)
    return _template_from(checked, needed)


def labelled_faces(
    reader: FaceReader, bar: QualityBar, photos: Sequence[Path | PhotoFile], alike: float
) -> tuple[list[Face | Refusal], bool]:
    """Return the face of the labelled person in each photo, or why there is none.

    Whom the photos show is found as in an enrolment. A photo that is unlike the others counts all
    the same, with its most prominent face.

    Args:
        photos: Of one person.
        alike: As for `make_template`.

    Returns:
        The faces and refusals, and whether the photos seem to show several people.
    """
    checked = CheckedPhotos(labels_of(photos))
    _read(checked, reader, bar, photos, {}, turn=False)
    choose_face_of_each(checked, alike)
    faces = [
        checked.refusals.get(number) or checked.faces[number].face for number in range(len(photos))
    ]
    return faces, bool(checked.people)


def _check(
    checked: CheckedPhotos,
    reader: FaceReader,
    bar: QualityBar,
    photos: Sequence[Path | PhotoFile],
    picks: Mapping[int, int],
    alike: float,
) -> None:
    _read(checked, reader, bar, photos, picks, turn=True)
    choose_person(checked, alike)
    refuse_lost_picks(checked, picks)
    give_copies_the_reason_of_their_original(checked)


def _read(
    checked: CheckedPhotos,
    reader: FaceReader,
    bar: QualityBar,
    photos: Sequence[Path | PhotoFile],
    picks: Mapping[int, int],
    *,
    turn: bool,
) -> None:
    for start in range(0, len(photos), _OPEN_AT_ONCE):
        opened = open_photos(checked, start, photos[start : start + _OPEN_AT_ONCE])
        find_faces(checked, opened, reader, bar, picks, turn=turn)
    refuse_copies(checked)


def check_photo(reader: FaceReader, bar: QualityBar, path: Path | PhotoFile) -> PhotoCheck:
    """Check one photo before the others are known."""
    checked = CheckedPhotos(labels_of([path]))
    opened = open_photos(checked, 0, [path])
    find_faces(checked, opened, reader, bar, {}, turn=True)
    if not opened:
        return PhotoCheck(checked.refusals[0], None, ())
    upright = [candidate for candidate in checked.candidates if not candidate.degrees]
    faces = tuple((candidate.number, candidate.face.box) for candidate in upright)
    return PhotoCheck(checked.refusals.get(0), opened[0].pixels, faces)


def template_of_kept(
    reader: FaceReader, photos: Sequence[bytes], alike: float = UNCALIBRATED_ALIKE
) -> Prototypes | None:
    """Compute prototypes from photos that were accepted before with another pack.

    They are checked as for `make_template`, but nobody can be asked, and the quality does not
    count.

    Args:
        alike: As for `make_template`.

    Returns:
        None if the photos do not show for certain whose face it is: at least two that show nobody
        else must agree.
    """
    files = [PhotoFile(str(number), data) for number, data in enumerate(photos)]
    checked = CheckedPhotos([file.name for file in files])
    _check(checked, reader, ANY_QUALITY, files, {}, alike)
    theirs = [checked.faces[number].face for number in sorted(checked.faces)]
    alone = sum(checked.counts[number] == 1 for number in checked.faces)
    # Of a couple in every photo, somebody said at the time who was meant, and nobody can now.
    return make_prototypes(theirs) if alone > 1 else None


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
    verdicts = tuple(_verdict(checked, number, name) for number, name in enumerate(checked.names))
    people = tuple(tuple(checked.names[number] for number in group) for group in checked.people)
    report = EnrolmentReport(verdicts, needed, people)
    accepted = sorted(checked.faces)
    if len(accepted) < needed:
        raise EnrolmentRefused(report)
    prototypes = make_prototypes([checked.faces[number].face for number in accepted])
    files = tuple(checked.photos[number].data for number in accepted)
    return Template(prototypes, report, files)


def _verdict(checked: CheckedPhotos, number: int, name: str) -> PhotoVerdict:
    taken, refusal = checked.faces.get(number), checked.refusals.get(number)
    if taken is None or refusal is not None:
        return PhotoVerdict(name, refusal)
    face = taken.face
    quality = {name: round(float(getattr(face, name)), 3) for name in _QUALITY_MEASURES}
    left, top = (round(100 * share) for share in taken.place)
    choice = Choice(taken.number, checked.counts[number], left, top, taken.degrees)
    return PhotoVerdict(name, None, quality, choice)
