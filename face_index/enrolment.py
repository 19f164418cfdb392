"""From a person's photos to a template, refusing what would make it wrong and saying why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from face_index.errors import EnrolmentRefused
from face_index.face import Face, FaceReader, Image, Vector, unit
from face_index.quality import QualityBar

PHOTO_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
MIN_PHOTOS = 3
# A photo whose face lies this far from the mean of the others is taken to be someone else. Real
# same-person pairs of one small pack had a cosine of at least 0.46 (25 public photographs).
MIN_COSINE_TO_OTHERS = 0.4
MAX_PHOTO_PIXELS = 80_000_000


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """What became of one photo: `reason` is None if it was accepted."""

    name: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class EnrolmentReport:
    """What became of every photo."""

    photos: tuple[PhotoVerdict, ...]
    needed: int

    @property
    def accepted(self) -> int:
        return sum(verdict.reason is None for verdict in self.photos)


@dataclass(frozen=True, slots=True)
class Template:
    """A person's reference vector and what it was made from."""

    vector: Vector
    report: EnrolmentReport
    photos: tuple[Path, ...]


def open_photo(path: Path) -> Image:
    """An image file as uint8 [h, w, 3] RGB, upright. Raises OSError or ValueError if it is none."""
    with Pillow.open(path) as picture:
        if picture.width * picture.height > MAX_PHOTO_PIXELS:
            raise ValueError(f"{picture.width}x{picture.height} pixels are more than we agree to open")
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The image files among paths and directly in folders, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [item for item in inside if item.suffix.lower() in PHOTO_ENDINGS]
    return found


def make_template(reader: FaceReader, bar: QualityBar, photos: Sequence[Path], needed: int = MIN_PHOTOS) -> Template:
    """A template from photos of one person.

    Raises:
        EnrolmentRefused: fewer than `needed` photos passed; its report has a reason for each.
    """
    reasons: dict[Path, str | None] = {}
    faces: dict[Path, Face] = {}
    for path in photos:
        face, reasons[path] = _only_face(reader, bar, path)
        if face is not None:
            faces[path] = face
    for path, reason in _strangers(faces).items():
        reasons[path] = reason
        del faces[path]
    report = EnrolmentReport(tuple(PhotoVerdict(path.name, reasons[path]) for path in photos), needed)
    if report.accepted < needed:
        raise EnrolmentRefused(report)
    mean = unit(np.mean([face.embedding for face in faces.values()], axis=0))
    return Template(mean, report, tuple(faces))


def _only_face(reader: FaceReader, bar: QualityBar, path: Path) -> tuple[Face | None, str | None]:
    try:
        image = open_photo(path)
    except (OSError, ValueError, Pillow.DecompressionBombError) as error:
        return None, f"not a readable image ({type(error).__name__}); save it again as JPEG or PNG"
    faces = reader.read([image])[0]
    if not faces:
        return None, "no face was found; use a photo in which the face is clearly visible"
    if len(faces) > 1:
        return None, f"{len(faces)} faces were found; use a photo of one person, or crop it"
    objection = bar.objection(faces[0])
    return (None, objection) if objection else (faces[0], None)


def _strangers(faces: dict[Path, Face]) -> dict[Path, str]:
    """Leave-one-out: photos whose face does not look like the rest, worst first, one at a time."""
    left, found = dict(faces), {}
    while len(left) > 2:
        total = np.sum([face.embedding for face in left.values()], axis=0)
        cosine = {path: float(unit(total - face.embedding) @ face.embedding) for path, face in left.items()}
        worst = min(cosine, key=lambda path: cosine[path])
        if cosine[worst] >= MIN_COSINE_TO_OTHERS:
            break
        found[worst] = (
            f"does not look like the same person as the others (cosine {cosine[worst]:.2f}); remove it or check who it shows"
        )
        del left[worst]
    return found
