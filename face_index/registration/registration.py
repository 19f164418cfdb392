"""Registering people: photos, consent and a look at who is registered already, into the vault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from face_index.consent import Consent, check_consent
from face_index.faces.face import FaceReader
from face_index.faces.photos import PhotoFile
from face_index.faces.quality import QualityBar
from face_index.gallery.calibration import UNCALIBRATED_THRESHOLD, Calibration
from face_index.gallery.faiss_gallery import FaissGallery
from face_index.identity import Identity
from face_index.registration.enrolment import (
    MIN_PHOTOS,
    EnrolmentReport,
    lookalikes,
    make_template,
    template_of_kept,
)
from face_index.registration.grouping import alike_from
from face_index.vault import Document, Submission, Vault

LOOKALIKE_FPIR = 0.001


@dataclass(frozen=True, slots=True)
class Request:
    """One person to register.

    Attributes:
        name: as results will call them.
        photos: image files, on disk or in memory.
        consent: signed.
        submitted_by: who brings it.
        born_on: only needed for someone under 18.
        reference: an agency's own number.
        keep_photos: sealed in the vault, so that another face pack can read them later.
        picks: for photos of several people, by file name or path, which face it is.
        documents: copies of papers for whoever decides.
        shares_name: take in a name that somebody registered has; whoever decides is told of it, whoever submits is not.
    """

    name: str
    photos: Sequence[Path | PhotoFile]
    consent: Consent
    submitted_by: str
    born_on: date | None = None
    reference: str | None = None
    keep_photos: bool = True
    picks: Mapping[str, int] = field(default_factory=dict)
    documents: Sequence[Document] = ()
    shares_name: bool = False


class Registrar:
    """Registers people one after another; knows everyone stored, to notice who comes twice."""

    def __init__(
        self, vault: Vault, reader: FaceReader, bar: QualityBar, calibration: Calibration | None
    ) -> None:
        self._vault, self._reader, self._bar, self._calibration = vault, reader, bar, calibration
        self._known = self._everyone()

    def register(self, request: Request, now: datetime) -> tuple[Identity, EnrolmentReport]:
        """Check, make a template, look for the same face under another name, and submit.

        Raises:
            ConsentMissing: the consent does not allow it.
            EnrolmentRefused: too few photos passed, or they show several people.
            PickRefused: a pick that fits no photo, or several.
            NameTaken: the name or reference is registered.
        """
        check_consent(request.consent, request.born_on, now.date())
        template = make_template(
            self._reader,
            self._bar,
            request.photos,
            MIN_PHOTOS,
            request.picks,
            alike_from(self._calibration),
        )
        if len(self._known) != self._vault.templates.count(self._reader.version):
            self._known = self._everyone()  # another process registered or erased someone
        same = lookalikes(template.prototypes, self._known, self._lookalike_threshold())
        identity = self._vault.enrolments.submit(
            Submission(
                name=request.name,
                consent=request.consent,
                prototypes=template.prototypes,
                version=self._reader.version,
                photos=template.photos if request.keep_photos else (),
                photo_count=template.report.accepted,
                submitted_by=request.submitted_by,
                born_on=request.born_on,
                reference=request.reference,
                lookalikes=same,
                documents=request.documents,
                shares_name=request.shares_name,
            ),
            now,
        )
        self._known.add(identity.identity_id, template.prototypes)
        return identity, template.report

    def _everyone(self) -> FaissGallery:
        return FaissGallery(self._reader.version, self._vault.templates.all(self._reader.version))

    def _lookalike_threshold(self) -> float:
        if self._calibration is None:
            return UNCALIBRATED_THRESHOLD
        return self._calibration.threshold(max(len(self._known), 1), LOOKALIKE_FPIR)


@dataclass(frozen=True, slots=True)
class ReembedResult:
    """What became of people whose template was another pack's."""

    embedded: tuple[str, ...]
    without_photos: tuple[str, ...]
    no_face: tuple[str, ...]


def reembed(
    vault: Vault,
    reader: FaceReader,
    actor: str,
    now: datetime,
    calibration: Calibration | None = None,
) -> ReembedResult:
    """Make everyone's template anew from kept photos with this pack; each person at once or not at all.

    Args:
        calibration: of this pack, None if it has none.
    """
    embedded, without, no_face = [], [], []
    for identity in vault.people.without_template(reader.version.sha256):
        if not identity.photos_kept:
            without.append(identity.name)
            continue
        prototypes = template_of_kept(
            reader, vault.photos.load(identity.identity_id), alike_from(calibration)
        )
        if prototypes is None:
            no_face.append(identity.name)
            continue
        vault.templates.replace(identity.identity_id, prototypes, reader.version, actor, now)
        embedded.append(identity.name)
    return ReembedResult(tuple(embedded), tuple(without), tuple(no_face))
