"""Whom captured images show: an account's images are judged together, as an adapter's samples are, and loose ones alone.

Images of one account over time are dependent evidence on one question, so their faces are clustered and the mean face of a
cluster is what is compared. One image alone never makes more than `possible`. Vectors live in memory only, and those of
faces that match nobody are dropped with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from crawlers.captures.capture_store import Captures, ImageRow, PageRow
from crawlers.captures.images.pictures import copies_among
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.pages.page import Format
from face_index.faces.capture_faces import Captured, faces_in
from face_index.faces.face import Face, FaceReader, unit
from face_index.faces.packs import FacePack
from face_index.faces.same_picture import (
    MaskedPatch,
    Patch,
    different_photographs,
    is_one_picture,
)
from scanner.identification.clusters import clusters_of
from scanner.identification.intervals import Schedule, estimate
from scanner.identification.snapshot import Watch
from scanner.identification.verdict import Outcome, Scored, Thresholds, decide

# Distinct images that must show one face before an account is said to show anybody; never one.
LEAST_IMAGES = 3
# An account is looked at whole, once: an ordinary 95 % interval.
_ONCE = Schedule(LEAST_IMAGES, 1, 0.05)
# Average linkage needs memory with the square of the faces.
MOST_FACES = 3_000
# Of one group in prints and screenshots alone, each of which is compared with each.
_MOST_FROM_SCREENSHOTS = 60


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged as one: an account's images, or those of one capture that names no account.

    Attributes:
        key: the same for the same account or capture.
        name: as people read it.
        account: platform and account; None for a capture of its own.
        pages: by their id.
        images: distinct ones, the first of each picture that comes more than once.
        copies: how often each of them comes, by SHA-256.
        places: ids of the pages that show each of them or a copy, by SHA-256.
        thorough: SHA-256 of images that are pictures of pages.
    """

    key: str
    name: str
    account: tuple[str, str] | None
    pages: dict[str, PageRow]
    images: tuple[ImageRow, ...]
    copies: dict[str, int]
    places: dict[str, tuple[str, ...]]
    thorough: frozenset[str]

    @property
    def version(self) -> str:
        """Changes when images come or go."""
        return hashlib.sha256("".join(sorted(self.copies)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SeenImage:
    """One image and its closest face to an identity.

    Attributes:
        faces: how many it shows.
        box: of the closest of them to the identity: left, top, right, bottom, pixels; None without a usable face.
        score: its cosine to the identity.
        in_mean: that face is one of those whose mean was compared.
    """

    image: ImageRow
    copies: int
    faces: int
    box: tuple[float, float, float, float] | None
    score: float | None
    in_mean: bool


@dataclass(frozen=True, slots=True)
class SightedIdentity:
    """One identity that a subject's images show or possibly show.

    Attributes:
        photographs: how many different ones show the face; not counted beyond LEAST_IMAGES.
    """

    identity_id: str
    outcome: Outcome
    reason: str
    scored: Scored
    thresholds: Thresholds
    images: tuple[SeenImage, ...]
    photographs: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """The verdict on a subject.

    Attributes:
        images, faces: looked at, and usable ones found in them.
        with_face: images that show a usable face.
        unread: images that could not be opened.
    """

    subject: Subject
    outcome: Outcome
    reason: str
    images: int
    faces: int
    with_face: int
    unread: int
    found: tuple[SightedIdentity, ...]


@dataclass(slots=True)
class _Faces:
    """A subject's usable faces while they are being gathered; in memory only.

    Attributes:
        faces: each with the number of its image.
        patches: of each face; None in an image that is a picture of its own, whose copies were told apart before.
        looks: of each face.
    """

    subject: Subject
    faces: list[tuple[int, Face]] = field(default_factory=list)
    patches: list[Patch | None] = field(default_factory=list)
    looks: list[MaskedPatch] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    unread: int = 0


def subjects_of(captures: Captures, capture_id: str | None = None) -> Iterator[Subject]:
    """Everything that was taken in, by account where pages name one; only what one capture has a part in, where it is named."""
    groups: dict[str, tuple[str, tuple[str, str] | None, list[PageRow]]] = {}
    pages_there = captures.pages()
    formats = {capture.capture_id: capture for capture in captures.all()}
    for page in pages_there:
        if page.capture_id not in formats:
            continue  # removed meanwhile
        key, name, account = subject_of(page, formats[page.capture_id].name)
        groups.setdefault(key, (name, account, []))[2].append(page)
    for key, (name, account, pages) in groups.items():
        if capture_id is not None and all(page.capture_id != capture_id for page in pages):
            continue
        rows = [(image, page) for page in pages for image in captures.images(page.page_id)]
        own = [
            (image, page) for image, page in rows if image.belongs and image.picture.problem is None
        ]
        groups_of = copies_among([image.picture.pdq for image, _ in own])
        firsts: dict[int, ImageRow] = {}
        copies: dict[str, int] = {}
        places: dict[str, dict[str, None]] = {}
        by_hash: dict[str, int] = {}
        for number, (image, page) in enumerate(own):
            first = by_hash.setdefault(image.sha256, groups_of[number])
            firsts.setdefault(first, own[first][0])
            copies[own[first][0].sha256] = copies.get(own[first][0].sha256, 0) + 1
            places.setdefault(own[first][0].sha256, {})[page.page_id] = None
        whole = {Format.IMAGE, Format.PDF, Format.TABLE}
        thorough = frozenset(
            image.sha256 for image, page in own if formats[page.capture_id].format in whole
        )
        if firsts:
            yield Subject(
                key,
                name,
                account,
                {page.page_id: page for page in pages},
                tuple(firsts.values()),
                copies,
                {sha256: tuple(found) for sha256, found in places.items()},
                thorough,
            )


def subject_of(page: PageRow, file: str) -> tuple[str, str, tuple[str, str] | None]:
    """What a page's images are judged with, and how people read it: a hub's listing is a question of its own."""
    facts, account = page.facts, page.account
    if facts.kind == PageKind.MODEL and facts.item_id:
        return (
            f"listing {facts.platform} {facts.item_id}",
            f"{facts.title} · {facts.platform}",
            None,
        )
    if account:
        return (
            f"account {account[0]} {account[1]}",
            f"{facts.account_name or account[1]} · {account[0]}",
            account,
        )
    return f"capture {page.capture_id}", file, None


def judge(
    subjects: Iterable[Subject],
    captures: Captures,
    reader: FaceReader,
    pack: FacePack,
    watch: Watch,
) -> Iterator[Sighting]:
    """The verdict on each subject, in their order; images of several are read together, since readers like batches."""
    waiting: list[_Faces | None] = []

    def images() -> Iterator[Captured[tuple[int, int]]]:
        for subject in subjects:
            waiting.append(_Faces(subject))
            for number, image in enumerate(subject.images):
                path, size = (
                    captures.image_path(image.sha256),
                    image.picture.width * image.picture.height,
                )
                yield Captured(
                    (len(waiting) - 1, number), path, size, image.sha256 in subject.thorough
                )

    done = 0
    for seen in faces_in(reader, images(), max(pack.detection_size)):
        place, number = seen.key
        yield from _judged_and_dropped(waiting, done, place, watch)
        done = place
        gathered = waiting[place]
        assert gathered is not None  # noqa: S101  only those before are dropped
        gathered.unread += seen.problem is not None
        gathered.counts[number] = len(seen.faces)
        if len(gathered.faces) < MOST_FACES:
            patches = seen.patches or (None,) * len(seen.faces)
            known = zip(seen.faces, patches, seen.masked_patches, strict=True)
            usable = [one for one in known if pack.bar.objection(one[0]) is None]
            gathered.faces += [(number, face) for face, _, _ in usable]
            gathered.patches += [patch for _, patch, _ in usable]
            gathered.looks += [look for _, _, look in usable]
    yield from _judged_and_dropped(waiting, done, len(waiting), watch)


def _judged_and_dropped(
    waiting: list[_Faces | None], start: int, end: int, watch: Watch
) -> Iterator[Sighting]:
    for number in range(start, end):
        gathered, waiting[number] = waiting[number], None  # its vectors are not needed any more
        if gathered is not None:
            yield _judged(gathered, watch)


def _judged(gathered: _Faces, watch: Watch) -> Sighting:
    subject, faces = gathered.subject, gathered.faces
    best = _by_clusters(gathered, watch)
    for single in _by_single_images(gathered, watch):
        best.setdefault(single.identity_id, single)
    found = tuple(
        sorted(best.values(), key=lambda one: (one.outcome != Outcome.MATCH, -one.scored.score))
    )
    if found:
        outcome, reason = found[0].outcome, found[0].reason
    elif not faces:
        outcome, reason = Outcome.INCONCLUSIVE, "no image shows a usable face"
    else:
        outcome, reason = (
            Outcome.CLEAR,
            f"none of {len(faces)} faces is close to anybody registered",
        )
    with_face = len({number for number, _ in faces})
    return Sighting(
        subject, outcome, reason, len(subject.images), len(faces), with_face, gathered.unread, found
    )


def _by_clusters(gathered: _Faces, watch: Watch) -> dict[str, SightedIdentity]:
    """Who comes up in at least three different images: the mean of each group of like faces, compared.

    Copies were told apart before; one photograph that was cut, mirrored or lit anew is one as well.
    """
    faces, patches, looks = _own_faces(gathered)
    vectors = [face.embedding for _, face in faces]
    best: dict[str, SightedIdentity] = {}
    for cluster in clusters_of(vectors, LEAST_IMAGES):
        chosen = _one_of_each_picture(
            _one_of_each_image(cluster.members, faces, cluster.probe), patches
        )
        if len(chosen) < LEAST_IMAGES or _photographs(looks, chosen) < LEAST_IMAGES:
            continue
        rows = np.stack([vectors[member] for member in chosen])
        probe = unit(rows.mean(axis=0))
        closest = watch.closest(probe)
        if not closest:
            continue
        identity_id = closest[0].identity_id
        thresholds = watch.thresholds_of(identity_id)
        measured = estimate(rows, watch.gallery.vector_of(identity_id, probe), _ONCE)
        scored = Scored(
            measured.score, measured.interval, None, closest[1].score if len(closest) > 1 else None, watch.log10_lr(measured.score),
            cluster.concentration, len(chosen) / max(1, len({number for number, _ in faces})),
        )  # fmt: skip
        outcome, reason = decide(scored, thresholds)
        if outcome in (Outcome.MATCH, Outcome.POSSIBLE) and (
            identity_id not in best or scored.score > best[identity_id].scored.score
        ):
            seen = _seen(
                gathered, watch, identity_id, frozenset(faces[member][0] for member in chosen)
            )
            told = f"{len(chosen)} different images show one face: {reason}"
            best[identity_id] = SightedIdentity(
                identity_id, outcome, told, scored, thresholds, seen, LEAST_IMAGES
            )
    return best


def _own_faces(
    gathered: _Faces,
) -> tuple[list[tuple[int, Face]], list[Patch | None], list[MaskedPatch]]:
    """Faces of pictures; prints and screenshots show the same pictures again, so beside them they count for nothing."""
    own = [place for place, patch in enumerate(gathered.patches) if patch is None] or range(
        len(gathered.faces)
    )
    return (
        [gathered.faces[place] for place in own],
        [gathered.patches[place] for place in own],
        [gathered.looks[place] for place in own],
    )


def _photographs(looks: Sequence[MaskedPatch], places: Sequence[int]) -> int:
    return different_photographs([looks[place] for place in places], LEAST_IMAGES)


def _by_single_images(gathered: _Faces, watch: Watch) -> Iterator[SightedIdentity]:
    """Whoever one image alone comes close to, beyond the threshold for a match; a person must look."""
    if not gathered.faces:
        return
    rows = np.stack([face.embedding for _, face in gathered.faces])
    best: dict[str, tuple[float, float | None]] = {}
    above: dict[str, set[int]] = {}
    for place, candidates in enumerate(watch.gallery.search(rows)):
        for rank, candidate in enumerate(candidates):
            if candidate.score < watch.thresholds_of(candidate.identity_id).match:
                continue
            above.setdefault(candidate.identity_id, set()).add(place)
            if (
                candidate.identity_id not in best
                or candidate.score > best[candidate.identity_id][0]
            ):
                runner_up = candidates[1 - rank].score if len(candidates) > 1 and rank < 2 else None
                best[candidate.identity_id] = (candidate.score, runner_up)
    for identity_id, (score, runner_up) in best.items():
        images = frozenset(gathered.faces[one][0] for one in above[identity_id])
        scored = Scored(
            score,
            (-1.0, 1.0),
            None,
            runner_up,
            watch.log10_lr(score),
            1.0,
            1 / len({one for one, _ in gathered.faces}),
        )
        thresholds = watch.thresholds_of(identity_id)
        told = (
            "one image scores" if len(images) == 1 else f"the best of {len(images)} images scores"
        )
        reason = f"{told} {score:.2f} over the threshold {thresholds.match:.2f}; a match needs {LEAST_IMAGES} different pictures of one face"
        seen = _seen(gathered, watch, identity_id, images)
        photographs = _photographs(gathered.looks, sorted(above[identity_id]))
        yield SightedIdentity(
            identity_id, Outcome.POSSIBLE, reason, scored, thresholds, seen, photographs
        )


def _one_of_each_picture(members: Sequence[int], patches: Sequence[Patch | None]) -> list[int]:
    """Of prints and screenshots those that show different pictures: an account's portrait is on each of its pages."""
    kept: list[int] = []
    for member in members:
        patch = patches[member]
        if patch is None or (
            len(kept) < _MOST_FROM_SCREENSHOTS
            and not any(
                is_one_picture(known, patch)
                for other in kept
                if (known := patches[other]) is not None
            )
        ):
            kept.append(member)
    return kept


def _one_of_each_image(
    members: Sequence[int], faces: Sequence[tuple[int, Face]], probe: np.ndarray
) -> list[int]:
    """Of each image the face closest to the cluster's middle: two faces of one image are not two people's word."""
    best: dict[int, int] = {}
    for member in members:
        number, face = faces[member]
        if number not in best or face.embedding @ probe > faces[best[number]][1].embedding @ probe:
            best[number] = member
    return sorted(best.values())


def _seen(
    gathered: _Faces, watch: Watch, identity_id: str, in_mean: frozenset[int]
) -> tuple[SeenImage, ...]:
    """Every image with the score of its closest face, those in the mean first, then by place."""
    closest: dict[int, tuple[float, Face]] = {}
    for number, face in gathered.faces:
        score = float(face.embedding @ watch.gallery.vector_of(identity_id, face.embedding))
        if number not in closest or score > closest[number][0]:
            closest[number] = (score, face)
    rows = []
    for number, image in enumerate(gathered.subject.images):
        best = closest.get(number)
        copies = gathered.subject.copies.get(image.sha256, 1)
        rows.append(
            SeenImage(
                image,
                copies,
                gathered.counts.get(number, 0),
                best[1].box if best else None,
                best[0] if best else None,
                number in in_mean,
            )
        )
    return tuple(sorted(rows, key=lambda row: not row.in_mean))
