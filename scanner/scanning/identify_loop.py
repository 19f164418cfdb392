"""The loop that draws samples of one checkpoint until the verdict is decided.

Screening asks every checkpoint the same questions, whoever is registered. Candidates get samples at
full quality (confirmation, stored as stage "evidence"), and controls if these still come near.
Vectors exist only inside the loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reports.reasons.reason import Reason
from scanner.errors import RefusedToSample
from scanner.identification.conclusion import Identification
from scanner.identification.faces import FaceFinder
from scanner.identification.identify import draws_one_face, identify
from scanner.identification.impostor_counts import impostor_counts
from scanner.identification.policy import Policy
from scanner.identification.samples import CheckpointFaces, MoreControls, MoreSamples
from scanner.identification.second_opinion import with_second_opinions
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import ImpostorCounts
from scanner.sampling.base_models import description_of
from scanner.sampling.drawings import Drawing
from scanner.sampling.image_generator import ImageGenerator
from scanner.sampling.images import DrawingCost, Pixels
from scanner.sampling.plans import PlanBasis, plan_samples, steps_near
from scanner.sampling.prompt_safety import says_minor
from scanner.sampling.sample_store import Place
from scanner.scanning.observations import KnownSamples, ObservedSample, SampleObserver, faces_of
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.screening import Screener, Screening, changed_prompts, prompt_words
from scanner.triage.name_matching import NameMatcher


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """What a checkpoint draws and whom that shows, with the pictures in memory.

    Attributes:
        observed: all samples, in the order of `drawing.samples`.
        cost: of what was drawn now.
        kept_since: when the samples were drawn from which these go on; None if all were drawn now.
        impostors: counts of the scores of a file that shows nobody; None if it shows somebody.
    """

    drawing: Drawing
    identification: Identification
    observed: tuple[ObservedSample, ...] = field(repr=False)
    cost: DrawingCost
    kept_since: datetime | None
    impostors: ImpostorCounts | None

    def patches(self) -> dict[Place, Pixels]:
        """Return the aligned faces of a file that draws one face again and again; else nothing."""
        if not self.drawing.draws_one_face:
            return {}
        return {
            (number, is_control): patch
            for number, sample in enumerate(self.observed)
            for is_control, patch in sample.patches.items()
        }


@dataclass(slots=True)
class _Progress:
    """The samples of one checkpoint so far; in memory only.

    Attributes:
        earlier_calls: denoiser calls of the samples that were drawn before.
    """

    screening: Screening
    confirmation: list[ObservedSample] = field(default_factory=list)
    earlier_calls: int = 0

    @property
    def samples(self) -> list[ObservedSample]:
        """All samples, those of screening first."""
        return [*self.screening.samples, *self.confirmation]

    @property
    def faces(self) -> CheckpointFaces:
        """The faces in them."""
        screening = self.screening
        return faces_of(screening.rounds, self.confirmation, screening.doubts)


class IdentifyLoop:
    """Examines checkpoints: draws samples, searches their faces, and decides."""

    def __init__(
        self, sampler: ImageGenerator, finder: FaceFinder, snapshot: GallerySnapshot, policy: Policy
    ) -> None:
        finder.reader.version.must_be(snapshot.gallery.version)
        self._sampler, self._observer = sampler, SampleObserver(sampler, finder)
        self._snapshot, self._policy = snapshot, policy

    def identify(
        self,
        request: SamplingRequest,
        known: KnownSamples | None = None,
    ) -> CheckpointResult:
        """Sample a checkpoint and decide.

        Args:
            known: the samples that were drawn before. Only what they lack is drawn, unless they
                were drawn in another way than this sampler draws.

        Raises:
            NotScannable: it cannot be sampled faithfully.
        """
        before = self._sampler.cost
        batches = known.batches if known is not None else 0
        kept_since = None
        basis = self._basis(request)
        with self._sampler.adapter(
            request.path, request.kind, batches=batches, companions=request.companions
        ) as loaded:
            vectors = sum(len(tokens.split()) for tokens in loaded.words.values())
            _must_name_no_minor(loaded.changed_words, request.minor_names)
            learned = [*prompt_words(loaded.words, vectors), *changed_prompts(loaded.changed_words)]
            words = list(dict.fromkeys([*learned, *request.triggers]))
            decided = None
            if known is not None and self._draws_alike(known.drawing, loaded.route):
                progress = _continued(basis, known)
                decided = self._decide(progress)
                kept_since = known.drawn_at
            if decided is None:
                kept_since = None
                answering = self._sampler.answering_words()
                _must_name_no_minor(answering, request.minor_names)
                progress = _Progress(Screening(basis, [*words], request.candidates, answering))
                screener = Screener(self._sampler, self._observer, self._policy, loaded)
                screener.screen(progress.screening)
                decided = self._decide(progress)
            if decided is None:
                raise AssertionError("samples that were just drawn have their pictures")
            cost = self._sampler.cost.since(before)
            drawing = self._drawing(progress, cost, loaded.route)
        if (second := self._snapshot.second) is not None:
            patches = [sample.patches.get(False) for sample in progress.samples]
            decided = with_second_opinions(decided, patches, second)
        impostors = None
        if not decided.findings:
            impostors = impostor_counts(progress.faces, self._snapshot, self._policy)
        observed = tuple(progress.samples)
        return CheckpointResult(drawing, decided, observed, cost, kept_since, impostors)

    def _basis(self, request: SamplingRequest) -> PlanBasis:
        settings: dict[str, Any] = self._sampler.settings
        is_accelerated = settings["screening_accelerator"] is not None
        # An accelerator was trained for one number of steps.
        screening = settings["screening_steps"]
        steps = {
            "screening": (screening,) if is_accelerated else steps_near(screening),
            "evidence": steps_near(settings["steps"]),
        }
        return PlanBasis(request.sha256, request.installation, steps)

    def _draws_alike(self, drawing: Drawing, route: str) -> bool:
        """Whether this sampler draws in the way in which a drawing was made."""
        same_base = drawing.base_model_sha256 == self._sampler.base_sha256
        return same_base and drawing.settings == self._settings(route)

    def _decide(self, progress: _Progress) -> Identification | None:
        """Decide; None if pictures of a finding cannot be drawn again as they were."""
        decided = self._confirm(progress)
        if decided.findings and not self._draw_missing_pictures(progress):
            return None
        return decided

    def _draw_missing_pictures(self, progress: _Progress) -> bool:
        """Draw the pictures of confirmation again that no case keeps.

        The result is False if other pictures came out.
        """
        samples = progress.confirmation
        return all(self._draw_again(samples, is_control=control) for control in (False, True))

    def _draw_again(self, samples: list[ObservedSample], *, is_control: bool) -> bool:
        """Put pictures into the place of those that samples lack, whole batches at a time."""
        by_batch: dict[int, list[int]] = defaultdict(list)
        for place, sample in enumerate(samples):
            batch = sample.batch(is_control=is_control)
            if batch is not None:
                by_batch[batch].append(place)
        for _, places in sorted(by_batch.items()):
            drawn = [samples[place] for place in places]
            if not any(sample.lacks_picture(is_control=is_control) for sample in drawn):
                continue
            plans = [sample.drawn.plan for sample in drawn]
            images = self._sampler.together(plans, with_adapter=not is_control)
            for place, image in zip(places, images, strict=True):
                again = samples[place].with_image(image, is_control=is_control)
                if again is None:
                    return False
                samples[place] = again
        return True

    def _confirm(self, progress: _Progress) -> Identification:
        """Draw the samples of confirmation and the controls that the decision asks for."""
        samples = progress.confirmation
        while True:
            decided = identify(progress.faces, self._snapshot, self._policy)
            if isinstance(decided, MoreSamples):
                planned = [sample.drawn.plan for sample in samples]
                basis, question = progress.screening.basis, decided.question
                plans = plan_samples(basis, "evidence", [question], decided.count, planned)
                samples += self._observer.observe(plans)
            elif isinstance(decided, MoreControls):
                lacking = [samples[place] for place in decided.samples]
                drawn = self._observer.with_controls(lacking)
                for place, sample in zip(decided.samples, drawn, strict=True):
                    samples[place] = sample
            else:
                return decided

    def _drawing(self, progress: _Progress, cost: DrawingCost, route: str) -> Drawing:
        """Return the record of everything that was drawn."""
        return Drawing(
            tuple(
                tuple(sample.drawn for sample in samples) for samples in progress.screening.rounds
            ),
            tuple(sample.drawn for sample in progress.confirmation),
            progress.screening.found_trigger,
            progress.earlier_calls + cost.denoiser_calls,
            draws_one_face(progress.faces.screening, self._policy),
            description_of(self._sampler.base),
            self._sampler.base_sha256,
            self._settings(route),
            tuple(progress.screening.doubts),
        )

    def _settings(self, route: str) -> dict[str, object]:
        return {**self._sampler.settings, "loaded_by": route}


def _must_name_no_minor(words: Sequence[str], names: NameMatcher) -> None:
    """Check words that only the weights tell.

    Raises:
        RefusedToSample: they name a registered minor, alone or together, or say minor.
    """
    texts = [" ".join(words), *words]
    if any(map(says_minor, texts)) or names.named_in(texts) is not None:
        raise RefusedToSample(Reason("words-name-minor").in_english())


def _continued(basis: PlanBasis, known: KnownSamples) -> _Progress:
    """Return the samples that were drawn before, of which screening is complete."""
    drawing = known.drawing
    screening = Screening(
        basis, [], (), (), known.screening, drawing.found_trigger, list(drawing.doubts)
    )
    return _Progress(screening, known.confirmation, drawing.denoiser_calls)
