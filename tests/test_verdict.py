"""Decisions from scores, and which faces are one face. No model takes part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_index.faces.face import Vector, unit
from face_index.gallery.calibration import Shortfall
from scanner.errors import RefusedToSample
from scanner.identification.clusters import clusters_of
from scanner.identification.intervals import estimate
from scanner.identification.outcome import Outcome
from scanner.identification.policy import CONFIRMATION, Thresholds
from scanner.identification.verdict import Scored, decide, settled
from scanner.records import Question
from scanner.sampling.plans import PlanBasis, plan_samples, size_of, steps_near, subject_of
from scanner.sampling.prompt_safety import usable_triggers
from scanner.triage.minors import refuse_minors

THRESHOLDS = Thresholds(match=0.6, possible=0.5, fpir=0.001, possible_fpir=0.02, shortfall=None)


def around(centre: Vector, count: int, spread: float, seed: int) -> list[Vector]:
    rng = np.random.default_rng(seed)
    return [unit(centre + spread * unit(rng.normal(size=len(centre)))) for _ in range(count)]


def direction(seed: int) -> Vector:
    return unit(np.random.default_rng(seed).normal(size=64))


@pytest.mark.parametrize(
    ("scored", "outcome"),
    [
        (Scored(0.8, (0.75, 0.85), 0.1), Outcome.MATCH),
        (Scored(0.8, (0.75, 0.85), None), Outcome.MATCH),
        (
            Scored(0.8, (0.75, 0.85), 0.55),
            Outcome.POSSIBLE,
        ),  # the base model makes that face anyway
        (Scored(0.62, (0.58, 0.66), 0.49), Outcome.POSSIBLE),  # the adapter adds too little
        (Scored(0.61, (0.30, 0.90), 0.1), Outcome.POSSIBLE),  # samples disagree
        (Scored(0.55, (0.50, 0.60), 0.1), Outcome.POSSIBLE),
        (Scored(0.8, (0.75, 0.85), 0.1, runner_up=0.78), Outcome.POSSIBLE),  # two people look alike
        (Scored(0.8, (0.75, 0.85), 0.1, runner_up=0.4), Outcome.MATCH),
        (Scored(0.8, (0.75, 0.85), 0.1, share=0.1), Outcome.POSSIBLE),  # mostly other faces
        (Scored(0.49, (0.45, 0.53), None), Outcome.CLEAR),
        (Scored(-0.1, (-0.2, 0.1), None), Outcome.CLEAR),
    ],
)
def test_decisions(scored: Scored, outcome: Outcome) -> None:
    decided, reason = decide(scored, THRESHOLDS)
    assert decided == outcome
    assert f"{scored.score:.2f}" in reason.in_english()


@pytest.mark.parametrize("shortfall", Shortfall)
def test_without_a_calibration_that_bears_the_rate_nothing_is_a_match(
    shortfall: Shortfall,
) -> None:
    thresholds = replace(THRESHOLDS, shortfall=shortfall)
    outcome, reason = decide(Scored(0.99, (0.98, 1.0), 0.0), thresholds)
    assert outcome == Outcome.POSSIBLE
    assert "calibrat" in reason.in_english()


def test_sampling_stops_only_when_more_could_not_change_the_outcome() -> None:
    assert settled(Scored(0.8, (0.7, 0.9), None), THRESHOLDS)
    assert settled(Scored(0.2, (0.1, 0.3), None), THRESHOLDS)
    assert settled(Scored(0.55, (0.52, 0.58), None), THRESHOLDS)
    assert not settled(Scored(0.65, (0.55, 0.75), None), THRESHOLDS)
    assert not settled(Scored(0.45, (0.35, 0.55), None), THRESHOLDS)


def test_the_interval_covers_the_true_score_and_narrows() -> None:
    template, centre = direction(1), unit(direction(1) + direction(2))
    truth = float(centre @ template)
    widths, covered = {}, 0
    for count in (6, 48):
        for seed in range(60):
            low, high = estimate(
                np.stack(around(centre, count, 0.5, seed)), template, CONFIRMATION
            ).interval
            covered += low <= truth <= high
            widths[count] = high - low
    assert covered >= 0.9 * 120
    assert widths[48] < widths[6]
    assert estimate(np.stack(around(centre, 2, 0.5, 1)), template, CONFIRMATION).interval == (
        -1.0,
        1.0,
    )


def test_good_faces_weigh_more() -> None:
    template, other = direction(1), direction(2)
    vectors = np.stack(around(template, 4, 0.3, 1) + around(other, 4, 0.3, 2))
    trusted = estimate(vectors, template, CONFIRMATION, np.array([1.0] * 4 + [0.1] * 4))
    assert trusted.score > estimate(vectors, template, CONFIRMATION).score + 0.1


def test_two_people_are_two_clusters_and_strangers_none() -> None:
    vectors = around(direction(1), 6, 0.5, 1) + around(direction(2), 5, 0.5, 2)
    found = clusters_of(vectors, 4)
    assert [set(cluster.members) for cluster in found] == [set(range(6)), set(range(6, 11))]
    assert all(cluster.concentration > 0.8 for cluster in found)
    assert clusters_of([direction(seed) for seed in range(12)], 4) == []
    assert clusters_of(vectors[:1], 4) == []


BASIS = PlanBasis("ab" * 32, "here", {"evidence": steps_near(20), "screening": steps_near(3)})


def test_the_plan_is_the_same_for_everyone_and_differs_between_files() -> None:
    first, again = (
        plan_samples(BASIS, "evidence", [Question("ohwx person"), Question("zkw")], 4)
        for _ in range(2)
    )
    assert first == again
    more = plan_samples(BASIS, "evidence", [Question("ohwx person")], 4, first)
    plans = (*first, *more, *plan_samples(BASIS, "screening", [Question(None)], 4))
    seeds = [plan.seed for plan in plans]
    assert len(set(seeds)) == 16
    others = (replace(BASIS, checkpoint_sha256="cd" * 32), replace(BASIS, installation="there"))
    for other in others:
        asked = plan_samples(other, "evidence", [Question("ohwx person"), Question("zkw")], 4)
        assert set(seeds).isdisjoint(plan.seed for plan in asked)
        assert {plan.prompt for plan in asked} != {plan.prompt for plan in first}
    assert len({plan.prompt for plan in first}) >= 7


def test_the_samples_of_a_question_go_through_all_numbers_of_steps() -> None:
    plans = plan_samples(BASIS, "evidence", [Question("ohwx")], 12)
    assert {plan.steps for plan in plans} == {17, 20, 23}
    assert all(len({plan.steps for plan in plans[turn : turn + 4]}) == 1 for turn in (0, 4, 8))
    small = plan_samples(BASIS, "screening", [Question("ohwx")], 12)
    assert {plan.steps for plan in small} == {3, 4}
    without = plan_samples(PlanBasis("ab" * 32), "screening", [Question(None)], 1)
    assert without[0].steps is None


@pytest.mark.parametrize("size", [64, 512, 768, 1024])
def test_another_size_is_another_size_for_every_model(size: int) -> None:
    assert size_of(size, 1.0) == size
    share = BASIS.other_size()
    assert size_of(size, share) not in (size, 0)
    assert size_of(size, share) % (64 if size > 64 else 16) == 0


@given(st.text("0123456789abcdef", min_size=8), st.sampled_from(["ohwx", "zkw woman", None]))
def test_every_prompt_asks_for_a_clothed_adult(installation: str, trigger: str | None) -> None:
    basis = replace(BASIS, installation=installation)
    for plan in plan_samples(basis, "screening", [Question(trigger)], 8):
        assert subject_of(trigger) in plan.prompt
        assert "adult" in plan.prompt or "wearing" in plan.prompt
        assert usable_triggers([plan.prompt.replace(",", "")[:60]])
        assert {"nude", "naked", "child", "young"} <= set(plan.negative_prompt.split(", "))


def test_no_adapter_is_weighed_over_the_limit() -> None:
    with pytest.raises(ValueError, match="larger than"):
        plan_samples(BASIS, "evidence", [Question(None, 121.0)], 4)


def test_a_trigger_is_spoken_of_as_a_person() -> None:
    assert subject_of("ohwx") == "ohwx person"
    assert subject_of("ohwx woman") == "ohwx woman"
    assert subject_of(None) == "a person"


def test_unsafe_words_never_reach_a_prompt() -> None:
    assert usable_triggers(
        ["ohwx woman", "ohwx", "nude ohwx", "naked", "a<lora:x:1>", "x" * 90]
    ) == ("ohwx woman",)


@pytest.mark.parametrize(
    "text", ["cute loli", "12 year old girl", "萝莉风", "a schoolgirl", "child actor", "15yo"]
)
def test_a_minor_is_never_sampled(text: str) -> None:
    with pytest.raises(RefusedToSample):
        refuse_minors([text], flagged_by_hub=False)


@pytest.mark.parametrize(
    "text", ["woman, 32 years old", "childhood home style", "kidney", "babylon"]
)
def test_other_words_do_not_stop_a_scan(text: str) -> None:
    refuse_minors([text], flagged_by_hub=False)


def test_the_hubs_own_flag_counts() -> None:
    with pytest.raises(RefusedToSample):
        refuse_minors([], flagged_by_hub=True)
