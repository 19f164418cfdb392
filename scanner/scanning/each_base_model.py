"""Examining a file on every base model that it may belong to.

If the tensors of a file fit several models and no word says which one, a merge into the wrong model
has little effect. The file is drawn on each of them, and the one on which it shows somebody
decides. Where one of them cannot be drawn on, the others can only tell whom the file shows, and
never that it shows nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from reports.reasons.reason import Reason
from scanner.errors import BaseModelMissing
from scanner.identification.outcome import Outcome
from scanner.records import VerdictRecord
from scanner.sampling.base_models import Declared, description_of
from scanner.scanning.observations import KnownSamples
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.worker_answer import SamplerSource, WorkerAnswer

Identify = Callable[[SamplingRequest, KnownSamples | None], WorkerAnswer]
_FOUND = (Outcome.MATCH, Outcome.POSSIBLE)
_STRONGEST = (*_FOUND, Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.CLEAR)


def identify_on_each(
    identify: Identify, source: SamplerSource, request: SamplingRequest, known: KnownSamples | None
) -> WorkerAnswer:
    """Return the answer of the base model that decides.

    Args:
        identify: examines a request for one base model.
        known: samples that were drawn before; they go on on their own base model.

    Raises:
        BaseModelMissing: none of the base models is on this machine.
    """
    answers: list[WorkerAnswer] = []
    missing: list[BaseModelMissing] = []
    for family, declared in request.alternatives:
        if any(answer.verdict.outcome == Outcome.MATCH for answer in answers):
            break
        one = replace(request, family=family, declared=declared, alternatives=())
        is_known = known is not None and known.drawing.base_model == description_of(
            source.base_for(family, declared)
        )
        try:
            answers.append(identify(one, known if is_known else None))
        except BaseModelMissing as error:
            missing.append(error)
    if not answers:
        raise missing[0]
    best = min(answers, key=_order)
    names = tuple(dict.fromkeys(_name(one) for one in request.alternatives))
    if missing and best.verdict.outcome not in _FOUND:
        values: dict[str, str | tuple[str, ...]] = {"families": names, "cause": str(missing[0])}
        failed = Reason("not-on-each-model", values).in_english()
        verdict = VerdictRecord(str(Outcome.FAILED), failed, seconds=_seconds(answers))
        return WorkerAnswer(verdict, best.snapshot_id)
    if sum(map(_draws_one_face, answers)) > 1:
        # Whoever registers later may be in any of them, and only one can be kept.
        best = replace(best, drawing=None, patches={}, impostors=None)
    told = Reason("drawn-on-each-model", {"families": names}).in_english()
    reason = "; ".join(filter(None, (best.verdict.reason, told)))
    return replace(best, verdict=replace(best.verdict, reason=reason, seconds=_seconds(answers)))


def _name(alternative: tuple[str, Declared]) -> str:
    family, declared = alternative
    return declared.model or family


def _order(answer: WorkerAnswer) -> tuple[int, bool, float]:
    """The strongest finding first; of those of nobody the one that draws a face again and again.

    An adapter for another model often spoils its pictures, which says nothing.
    """
    outcome = Outcome(answer.verdict.outcome)
    best = max((finding.score for finding in answer.verdict.findings), default=0.0)
    is_drawn = _draws_one_face(answer) and outcome not in _FOUND
    return _STRONGEST.index(outcome) if not is_drawn else len(_FOUND), not is_drawn, -best


def _draws_one_face(answer: WorkerAnswer) -> bool:
    return answer.drawing is not None and answer.drawing.draws_one_face


def _seconds(answers: Sequence[WorkerAnswer]) -> float:
    return round(sum(answer.verdict.seconds for answer in answers), 2)
