"""What identification knows of a checkpoint's samples. Vectors exist in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from face_index.faces.face import Vector
from scanner.records import Question


@dataclass(frozen=True, slots=True)
class SampleFace:
    """The largest usable face of one sample and that of its control.

    Attributes:
        question: what the sample was drawn with.
        is_usable: whether the sample shows a usable face.
        vector: of that face; None without one, and for kept samples of files that do not draw one
            face again and again, of which no picture is kept.
        weight: weight of the face in a mean, 0 to 1; 0 without a face.
        has_control: whether a control was drawn.
        control: vector of the control's face; None without a control or a face.
    """

    question: Question
    is_usable: bool
    vector: Vector | None = field(default=None, repr=False)
    weight: float = 0.0
    has_control: bool = False
    control: Vector | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CheckpointFaces:
    """The faces of all samples of one checkpoint, in the order in which they were drawn.

    Attributes:
        screening: the rounds of screening.
        confirmation: samples of confirmation.
        doubts: why nobody found does not mean that the file shows nobody, as English sentences.
    """

    screening: tuple[tuple[SampleFace, ...], ...]
    confirmation: tuple[SampleFace, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[SampleFace, ...]:
        """All samples, those of screening first."""
        return (*self.screened(len(self.screening)), *self.confirmation)

    def screened(self, rounds: int) -> tuple[SampleFace, ...]:
        """Return the samples of the first rounds of screening."""
        return tuple(face for each in self.screening[:rounds] for face in each)


@dataclass(frozen=True, slots=True)
class MoreSamples:
    """Samples of confirmation that a decision needs and that were not drawn yet.

    Attributes:
        count: number of further samples of this question.
    """

    question: Question
    count: int


@dataclass(frozen=True, slots=True)
class MoreControls:
    """Controls that a decision needs and that were not drawn yet.

    Attributes:
        samples: positions in `CheckpointFaces.confirmation`.
    """

    samples: tuple[int, ...]


def usable(faces: Sequence[SampleFace]) -> list[int]:
    """Return the positions of the samples with a usable face."""
    return [number for number, face in enumerate(faces) if face.is_usable]
