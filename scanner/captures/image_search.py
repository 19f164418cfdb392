"""Search of a subject's images for registered people.

Faces are clustered, searched and decided like those of a checkpoint: the mean face of a cluster is
compared. A single image never gives more than `possible`. Face vectors are held in memory only and
are dropped with the subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from crawlers.captures.capture_rows import ImageRow
from crawlers.captures.capture_store import CaptureStore
from face_index.faces.capture_faces import Captured, faces_in
from face_index.faces.face import Face, FaceReader
from face_index.faces.packs import FacePack
from face_index.faces.same_picture import MaskedPatch, Patch, different_photographs, is_one_picture
from scanner.captures.subjects import Subject
from scanner.identification.clusters import Cluster
from scanner.identification.outcome import FINDINGS, Outcome
from scanner.identification.policy import CAPTURES, LEAST_IMAGES, Thresholds
from scanner.identification.search import search_clusters
from scanner.identification.snapshot import GallerySnapshot
from scanner.identification.verdict import Scored, decide

# Average linkage needs memory with the square of the number of faces.
MOST_FACES = 3_000
# Faces of one cluster from prints and screenshots; they are compared pairwise.
_MOST_FROM_SCREENSHOTS = 60


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """One image and its face closest to an identity.

    Attributes:
        faces: number of faces in it.
        box: of the closest face: left, top, right, bottom, pixels; None without a usable face.
        score: cosine of that face to the identity.
        in_mean: that face is one of those whose mean was compared.
    """

    image: ImageRow
    copies: int
    faces: int
    box: tuple[float, float, float, float] | None
    score: float | None
    in_mean: bool


@dataclass(frozen=True, slots=True)
class IdentityInImages:
    """One identity that a subject's images show or possibly show.

    Attributes:
        photographs: number of different photographs of the face; not counted beyond LEAST_IMAGES.
    """

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    images: tuple[ComparedImage, ...]
    photographs: int


@dataclass(frozen=True, slots=True)
class SubjectResult:
    """The result of searching a subject's images.

    Attributes:
        images: number of images that were read.
        faces: number of usable faces in them.
        with_face: number of images with a usable face.
        unread: number of images that could not be opened.
    """

    subject: Subject
    outcome: Outcome
    reason: str
    images: int
    faces: int
    with_face: int
    unread: int
    found: tuple[IdentityInImages, ...]


@dataclass(frozen=True, slots=True)
class _SubjectFace:
    """A usable face.

    Attributes:
        number: of its image.
        patch: around the face, if the image is a picture of a page; None for other images, whose
            copies were recognised before.
        masked_patch: distinguishes different photographs.
    """

    number: int
    face: Face
    patch: Patch | None
    masked_patch: MaskedPatch


@dataclass(slots=True)
class _SubjectFaces:
    """A subject's usable faces while they are gathered; in memory only."""

    subject: Subject
    faces: list[_SubjectFace] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    unread: int = 0

    def of_pictures(self) -> list[_SubjectFace]:
        """Faces of pictures, or those of prints and screenshots if there are no others.

        Prints and screenshots show the same pictures again.
        """
        return [face for face in self.faces if face.patch is None] or self.faces


def search_subjects(
    subjects: Iterable[Subject],
    captures: CaptureStore,
    reader: FaceReader,
    pack: FacePack,
    snapshot: GallerySnapshot,
) -> Iterator[SubjectResult]:
    """The result of each subject, in order; a batch may hold images of several subjects."""
    waiting: list[_SubjectFaces | None] = []

    def images() -> Iterator[Captured[tuple[int, int]]]:
        for subject in subjects:
            waiting.append(_SubjectFaces(subject))
            for number, image in enumerate(subject.images):
                path = captures.image_path(image.sha256)
                size = image.picture.width * image.picture.height
                thorough = image.sha256 in subject.thorough
                yield Captured((len(waiting) - 1, number), path, size, thorough)

    done = 0
    for seen in faces_in(reader, images(), max(pack.detection_size)):
        place, number = seen.key
        yield from _results(waiting, done, place, snapshot)
        done = place
        gathered = waiting[place]
        if gathered is None:
            raise AssertionError("only subjects before this one are dropped")
        gathered.unread += seen.problem is not None
        gathered.counts[number] = len(seen.faces)
        if len(gathered.faces) < MOST_FACES:
            patches = seen.patches or (None,) * len(seen.faces)
            gathered.faces += [
                _SubjectFace(number, face, patch, masked)
                for face, patch, masked in zip(
                    seen.faces, patches, seen.masked_patches, strict=True
                )
                if pack.bar.objection(face) is None
            ]
    yield from _results(waiting, done, len(waiting), snapshot)


def _results(
    waiting: list[_SubjectFaces | None], start: int, end: int, snapshot: GallerySnapshot
) -> Iterator[SubjectResult]:
    for number in range(start, end):
        gathered, waiting[number] = waiting[number], None  # its vectors are not needed any more
        if gathered is not None:
            yield _result(gathered, snapshot)


def _result(gathered: _SubjectFaces, snapshot: GallerySnapshot) -> SubjectResult:
    faces = gathered.faces
    best = _by_clusters(gathered, snapshot)
    for single in _by_single_images(gathered, snapshot):
        best.setdefault(single.identity_id, single)
    found = tuple(
        sorted(best.values(), key=lambda one: (one.outcome != Outcome.MATCH, -one.scored.score))
    )
    if found:
        outcome, reason = found[0].outcome, found[0].reason
    elif not faces:
        outcome, reason = Outcome.INCONCLUSIVE, "no image shows a usable face"
    else:
        outcome = Outcome.CLEAR
        reason = f"none of {len(faces)} faces is close to anybody registered"
    return SubjectResult(
        gathered.subject,
        outcome,
        reason,
        len(gathered.subject.images),
        len(faces),
        len({face.number for face in faces}),
        gathered.unread,
        found,
    )


def _by_clusters(gathered: _SubjectFaces, snapshot: GallerySnapshot) -> dict[str, IdentityInImages]:
    """Identities close to the mean of a cluster of at least LEAST_IMAGES different photographs.

    Copies were recognised before. Crops, mirror images and brightness changes of a photograph count
    once too.
    """
    faces = gathered.of_pictures()

    def independent(cluster: Cluster) -> Sequence[int]:
        chosen = _one_of_each_image(cluster, faces)
        chosen = _one_of_each_picture(chosen, faces)
        return chosen if _photographs([faces[member] for member in chosen]) >= LEAST_IMAGES else ()

    matches = search_clusters(
        [face.face.embedding for face in faces],
        snapshot,
        LEAST_IMAGES,
        CAPTURES,
        choose=independent,
        pictures=len({face.number for face in faces}),
        spread=snapshot.calibration.spread if snapshot.calibration else None,
    )
    found: dict[str, IdentityInImages] = {}
    for match in matches:
        thresholds = snapshot.thresholds_of(match.identity_id)
        scored = match.scored(snapshot, None)
        outcome, reason = decide(scored, thresholds)
        if outcome not in FINDINGS:
            continue
        in_mean = frozenset(faces[member].number for member in match.members)
        found[match.identity_id] = IdentityInImages(
            match.identity_id,
            outcome,
            f"{len(match.members)} different images show one face: {reason.in_english()}",
            scored,
            thresholds,
            _compared(gathered, snapshot, match.identity_id, in_mean),
            LEAST_IMAGES,
        )
    return found


def _photographs(faces: Sequence[_SubjectFace]) -> int:
    return different_photographs([face.masked_patch for face in faces], LEAST_IMAGES)


def _by_single_images(
    gathered: _SubjectFaces, snapshot: GallerySnapshot
) -> Iterator[IdentityInImages]:
    """Identities that a single image comes near, as `possible`.

    Where there are too few images to compare their mean, a score over the lower threshold is
    enough. With more images it must be over that of a match, since each of them might come near
    somebody by chance.
    """
    if not gathered.faces:
        return
    rows = np.stack([face.face.embedding for face in gathered.faces])
    best: dict[str, tuple[float, float | None]] = {}
    above: dict[str, set[int]] = {}
    are_few = len({face.number for face in gathered.faces}) < LEAST_IMAGES
    for place, candidates in enumerate(snapshot.gallery.search(rows)):
        for rank, candidate in enumerate(candidates):
            identity_id, score = candidate.identity_id, candidate.score
            thresholds = snapshot.thresholds_of(identity_id)
            if score < (thresholds.possible if are_few else thresholds.match):
                continue
            above.setdefault(identity_id, set()).add(place)
            if identity_id not in best or score > best[identity_id][0]:
                has_next = len(candidates) > 1 and rank < 2
                best[identity_id] = score, candidates[1 - rank].score if has_next else None
    pictures = len({face.number for face in gathered.faces})
    for identity_id, (score, runner_up) in best.items():
        places = sorted(above[identity_id])
        images = frozenset(gathered.faces[place].number for place in places)
        log10_lr = snapshot.log10_lr(score)
        scored = Scored(score, (-1.0, 1.0), None, runner_up, log10_lr, 1.0, 1 / pictures)
        thresholds = snapshot.thresholds_of(identity_id)
        subject = (
            "one image scores" if len(images) == 1 else f"the best of {len(images)} images scores"
        )
        yield IdentityInImages(
            identity_id,
            Outcome.POSSIBLE,
            f"{subject} {score:.2f} {_place(score, thresholds)}; "
            f"a match needs {LEAST_IMAGES} different pictures of one face",
            scored,
            thresholds,
            _compared(gathered, snapshot, identity_id, images),
            _photographs([gathered.faces[place] for place in places]),
        )


def _place(score: float, thresholds: Thresholds) -> str:
    if score >= thresholds.match:
        return f"over the threshold {thresholds.match:.2f}"
    return f"between {thresholds.possible:.2f} and the threshold {thresholds.match:.2f}"


def _one_of_each_picture(members: Sequence[int], faces: Sequence[_SubjectFace]) -> list[int]:
    """The faces without repeated pictures in prints and screenshots.

    An account's portrait, for example, is on each of its pages.
    """
    kept: list[int] = []
    for member in members:
        patch = faces[member].patch
        if patch is None or (
            len(kept) < _MOST_FROM_SCREENSHOTS
            and not any(
                is_one_picture(known, patch)
                for other in kept
                if (known := faces[other].patch) is not None
            )
        ):
            kept.append(member)
    return kept


def _one_of_each_image(cluster: Cluster, faces: Sequence[_SubjectFace]) -> list[int]:
    """The face closest to the cluster's mean in each image.

    Two faces in one image are not independent observations.
    """
    best: dict[int, int] = {}

    def closeness(member: int) -> float:
        return float(faces[member].face.embedding @ cluster.probe)

    for member in cluster.members:
        number = faces[member].number
        if number not in best or closeness(member) > closeness(best[number]):
            best[number] = member
    return sorted(best.values())


def _compared(
    gathered: _SubjectFaces,
    snapshot: GallerySnapshot,
    identity_id: str,
    in_mean: frozenset[int],
) -> tuple[ComparedImage, ...]:
    """Every image with the score of its closest face, those in the mean first, then by place."""
    closest: dict[int, tuple[float, Face]] = {}
    for member in gathered.faces:
        template = snapshot.gallery.vector_of(identity_id, member.face.embedding)
        score = float(member.face.embedding @ template)
        if member.number not in closest or score > closest[member.number][0]:
            closest[member.number] = (score, member.face)
    images = []
    for number, image in enumerate(gathered.subject.images):
        best = closest.get(number)
        images.append(
            ComparedImage(
                image,
                gathered.subject.copies.get(image.sha256, 1),
                gathered.counts.get(number, 0),
                best[1].box if best else None,
                best[0] if best else None,
                number in in_mean,
            )
        )
    return tuple(sorted(images, key=lambda image: not image.in_mean))
