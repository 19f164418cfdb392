"""The loop that draws samples of one checkpoint until the verdict is decided.

Screening asks every checkpoint the same questions, whoever is registered. Candidates get full
samples with controls (confirmation, stored as stage "evidence"). Vectors exist only inside the
loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reports.reasons.reason import Reason
from scanner.errors import NotScannable
from scanner.identification.conclusion import Identification
from scanner.identification.faces import FaceFinder
from scanner.identification.identify import count_clusters, draws_one_face, identify
from scanner.identification.policy import Policy
from scanner.identification.samples import CheckpointFaces, MoreSamples, SampleFace
from scanner.identification.snapshot import GallerySnapshot
from scanner.sampling.base_models import description_of
from scanner.sampling.draw import require_effect
from scanner.sampling.drawings import Drawing
from scanner.sampling.plans import MAX_TRIGGERS, SCREENING_SCALES, SamplePlan, plan_samples
from scanner.sampling.sample_store import Place
from scanner.sampling.sampler import Pixels, Sampler
from scanner.sampling.trigger_search import find_trigger
from scanner.scanning.observations import ObservedSample, SampleObserver


def prompt_words(words: Iterable[str]) -> list[str | None]:
    """Return triggers for the learned words of a file: all words together, then each alone.

    Several words may have been learned for one subject and must then be written together.

    Raises:
        NotScannable: there are more words than prompts; any of them may stand for a person.
    """
    single = list(words)
    triggers: list[str | None] = [" ".join(single), *single] if len(single) > 1 else [*single]
    if len(triggers) > MAX_TRIGGERS:
        limits = {"words": len(single), "most": MAX_TRIGGERS - 1}
        raise NotScannable(Reason("too-many-words", limits).in_english())
    return triggers


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """What a checkpoint draws and whom that shows, with the pictures in memory.

    Attributes:
        observed: all samples, in the order of `drawing.samples`.
    """

    drawing: Drawing
    identification: Identification
    observed: tuple[ObservedSample, ...] = field(repr=False)

    def patches(self) -> dict[Place, Pixels]:
        """Return the aligned faces of a file that draws one face again and again; else nothing."""
        if not self.drawing.draws_one_face:
            return {}
        return {
            (number, is_control): patch
            for number, sample in enumerate(self.observed)
            for is_control, patch in sample.patches().items()
        }


@dataclass(slots=True)
class _Progress:
    """The samples of one checkpoint so far; in memory only.

    Attributes:
        triggers: known triggers of the file.
        candidates: words that the trigger search may try.
    """

    sha256: str
    triggers: list[str | None]
    candidates: Sequence[str]
    screening: list[list[ObservedSample]] = field(default_factory=list)
    confirmation: list[ObservedSample] = field(default_factory=list)
    found_trigger: str | None = None

    @property
    def screening_faces(self) -> tuple[tuple[SampleFace, ...], ...]:
        return tuple(
            tuple(sample.as_sample_face() for sample in samples) for samples in self.screening
        )

    @property
    def faces(self) -> CheckpointFaces:
        confirmation = tuple(sample.as_sample_face() for sample in self.confirmation)
        return CheckpointFaces(self.screening_faces, confirmation)


class IdentifyLoop:
    """Examines checkpoints: draws samples, searches their faces, and decides."""

    def __init__(
        self, sampler: Sampler, finder: FaceFinder, snapshot: GallerySnapshot, policy: Policy
    ) -> None:
        finder.reader.version.must_be(snapshot.gallery.version)
        self._sampler, self._observer = sampler, SampleObserver(sampler, finder)
        self._snapshot, self._policy = snapshot, policy

    def identify(
        self,
        path: Path,
        sha256: str,
        kind: str,
        triggers: Sequence[str],
        candidates: Sequence[str] = (),
    ) -> CheckpointResult:
        """Sample a checkpoint and decide.

        Args:
            triggers: known triggers.
            candidates: possible triggers; tried if no trigger is known and no face is found without
                one.

        Raises:
            NotScannable: it cannot be sampled faithfully.
        """
        before = self._sampler.denoiser_calls
        with self._sampler.adapter(path, kind) as loaded:
            known = [*prompt_words(loaded.words), *triggers][:MAX_TRIGGERS]
            progress = _Progress(sha256, known, candidates)
            self._screen(progress)
            identification = self._confirm(progress)
            drawing = self._drawing(progress, before, loaded.route)
        screened = (sample for samples in progress.screening for sample in samples)
        return CheckpointResult(drawing, identification, (*screened, *progress.confirmation))

    def _screen(self, progress: _Progress) -> None:
        """Draw cheap samples: by trigger, without it, and weaker if few faces were usable.

        The questions depend on the file alone, so that a person who registers later can be searched
        in what was drawn.
        """
        for turn, scale in enumerate(SCREENING_SCALES):
            if turn < len(progress.screening):
                continue  # the round was drawn ahead
            drawn = [sample for samples in progress.screening for sample in samples]
            faces = sum(sample.face is not None for sample in drawn)
            if turn == len(SCREENING_SCALES) - 1 and faces >= self._policy.min_faces:
                break
            plans = self._screening_plans(
                progress, self._triggers_of(progress, turn), len(drawn), scale
            )
            if turn == 0:
                require_effect(self._sampler, plans[0])
            next_plans = self._next_plans(progress, turn, len(plans))
            observed = self._observer.observe([*plans, *next_plans], with_controls=False)
            progress.screening.append(observed[: len(plans)])
            if next_plans:
                progress.screening.append(observed[len(plans) :])

    def _screening_plans(
        self, progress: _Progress, triggers: list[str | None], first: int, scale: float
    ) -> list[SamplePlan]:
        count = self._policy.screening
        return plan_samples(progress.sha256, "screening", triggers, count, first, scale)

    def _next_plans(self, progress: _Progress, turn: int, first: int) -> list[SamplePlan]:
        """Return the plans of the second round, if they are known already and drawn ahead."""
        known = bool(progress.triggers) or not progress.candidates
        if turn or not known or not self._sampler.draws_ahead:
            return []
        return self._screening_plans(progress, [None], first, SCREENING_SCALES[1])

    def _triggers_of(self, progress: _Progress, turn: int) -> list[str | None]:
        """Return the triggers of one round of screening.

        The first and the third round use the known triggers, the second none. Without a known
        trigger and without a cluster in the first round, the second and third use the word that the
        trigger search finds.
        """
        if turn == 1 and progress.triggers:
            return [None]
        if turn == 1 and progress.candidates:
            [first] = progress.screening_faces
            if count_clusters(first, self._policy) == 0:
                progress.found_trigger = find_trigger(
                    self._sampler, progress.sha256, progress.candidates
                )
        if progress.found_trigger is not None:
            return [progress.found_trigger]
        return progress.triggers or [None]

    def _confirm(self, progress: _Progress) -> Identification:
        """Draw the samples of confirmation that the decision asks for."""
        while True:
            decided = identify(progress.faces, self._snapshot, self._policy)
            if not isinstance(decided, MoreSamples):
                return decided
            plans = plan_samples(
                progress.sha256,
                "evidence",
                [decided.trigger],
                decided.count,
                len(progress.confirmation),
                decided.scale,
            )
            progress.confirmation += self._observer.observe(
                plans, with_controls=decided.with_controls
            )

    def _drawing(self, progress: _Progress, before: int, route: str) -> Drawing:
        """Return the record of everything that was drawn."""
        return Drawing(
            tuple(
                tuple(sample.as_drawn_sample() for sample in samples)
                for samples in progress.screening
            ),
            tuple(sample.as_drawn_sample() for sample in progress.confirmation),
            progress.found_trigger,
            self._sampler.denoiser_calls - before,
            draws_one_face(progress.screening_faces, self._policy),
            description_of(self._sampler.base),
            self._sampler.base_sha256,
            {**self._sampler.settings, "loaded_by": route},
        )
