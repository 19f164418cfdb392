"""Registering people: photos are checked, compared with registered people, and stored."""

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
    lookalikes,
    make_template,
    template_of_kept,
)
from face_index.registration.grouping import alike_from
from face_index.registration.report import EnrolmentReport
from face_index.vault import Document, Submission, Vault

LOOKALIKE_FPIR = 0.001


@dataclass(frozen=True, slots=True)
class Request:
    """One person to register.

    Attributes:
        name: The name under which results list the person. photos: Image files, on disk or in
        memory. consent: Signed. submitted_by: The operator who submits. born_on: Only needed for a
        person under 18. reference: An agency's own number. keep_photos: Keep the photos, sealed, so
        that another face pack can read them later. picks: For photos of several people, by file
        name or path, the number of the face that counts. documents: Copies of documents for the
        operator who decides. shares_name: Accept the name of a person who is registered already.
        The operator who
            decides is informed of it, the one who submits is not.
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
    """Registers people one after another.

    It keeps the templates of everyone stored in memory, to find people who register twice.
    """

    def __init__(
        self, vault: Vault, reader: FaceReader, bar: QualityBar, calibration: Calibration | None
    ) -> None:
        self._vault, self._reader, self._bar, self._calibration = vault, reader, bar, calibration
        self._known = self._everyone()

    def register(self, request: Request, now: datetime) -> tuple[Identity, EnrolmentReport]:
        """Check the request, compute a template, search for the same face, and submit.

        Raises:
            ConsentMissing: The consent does not allow it.
            EnrolmentRefused: Too few photos passed, or they show several people.
            PickRefused: A pick that fits no photo, or several.
            NameTaken: The name or reference is registered.
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
            self._known = self._everyone()  # another process registered or erased a person
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
    """The people whose template came from another pack, by name and result."""

    embedded: tuple[str, ...]
    without_photos: tuple[str, ...]
    no_face: tuple[str, ...]


def reembed(
    vault: Vault,
    reader: FaceReader,
    actor: str,
    now: datetime,
    calibration: Calibration | None = None,
    *,
    keep_others: bool = False,
) -> ReembedResult:
    """Compute everyone's template again from kept photos with this pack.

    Each person's template is replaced in one transaction.

    Args:
        calibration: Of this pack, None if it has none.
        keep_others: Keep the templates of other packs, for second opinions.
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
        vault.templates.replace(
            identity.identity_id, prototypes, reader.version, actor, now, keep_others=keep_others
        )
        embedded.append(identity.name)
    return ReembedResult(tuple(embedded), tuple(without), tuple(no_face))
