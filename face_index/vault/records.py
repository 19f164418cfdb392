"""The records that go into the vault when a person enrols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from face_index.consent import Consent
from face_index.faces.face import PackVersion, Prototypes


@dataclass(frozen=True, slots=True)
class Document:
    """A copy of a document that proves an identity or the right to act for somebody.

    It is kept sealed until an operator has decided about the enrolment.
    """

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What is known of a stored document without unsealing it."""

    document_id: str
    kind: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Submission:
    """An enrolment as it is submitted.

    Attributes:
        name: The name under which results list the person.
        consent: Signed today or earlier.
        prototypes: float32 [p, d], unit rows.
        version: The face pack that computed the prototypes.
        photos: Bytes of the accepted image files; empty if they are not to be kept.
        photo_count: Number of accepted photos, kept or not.
        submitted_by: The operator who submits; may not approve.
        born_on: Only used to know whether and until when a guardian is needed; not stored.
        reference: An agency's own number for the person.
        lookalikes: Identity ids and scores of registered people who look the same.
        documents: Copies of documents for the operator who decides.
        shares_name: Another person may have the name already.
    """

    name: str
    consent: Consent
    prototypes: Prototypes
    version: PackVersion
    photos: Sequence[bytes]
    photo_count: int
    submitted_by: str
    born_on: date | None = None
    reference: str | None = None
    lookalikes: Sequence[tuple[str, float]] = ()
    documents: Sequence[Document] = ()
    shares_name: bool = False
