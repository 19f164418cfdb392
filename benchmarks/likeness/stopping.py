"""Compare early decisions of the stopping rule with those of the whole budget.

`python -m benchmarks.likeness.stopping`: every trained adapter of a person in the held-out split
gets the whole budget of evidence samples. Then the program computes when the rule would have
stopped, what it would have decided, and whether its interval contains the score of three times as
many further samples.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from scipy.stats import binomtest

from benchmarks.likeness.build import folder_of
from benchmarks.likeness.gallery import templates_of
from benchmarks.likeness.inventory import Trained, inventory
from face_index.faces.face import unit
from scanner.errors import NotScannable
from scanner.factories import open_identifier
from scanner.identification.faces import FaceFinder
from scanner.identification.intervals import estimate
from scanner.identification.policy import CONFIRMATION, Policy
from scanner.records import Question
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.observations import ObservedSample, SampleObserver
from scanner.settings import Settings
from scanner.triage.header import triage_file

FURTHER = 72


def samples_of(
    identifier: CheckpointIdentifier, trained: Trained, path: Path
) -> list[ObservedSample]:
    triage = triage_file(path)
    sampler = identifier.sampler_for(choose_base_model(triage.family, None))
    observer = SampleObserver(sampler, FaceFinder(identifier.reader, identifier.pack.bar))
    trigger = f"{trained.trigger} person"
    with sampler.adapter(path, triage.kind):
        plans = plan_samples(
            PlanBasis(str(triage.sha256)),
            "evidence",
            [Question(trigger)],
            CONFIRMATION.per_look * CONFIRMATION.looks + FURTHER,
        )
        return observer.observe(plans)


def looked_at(
    samples: list[ObservedSample], template: Any, possible: float, match: float
) -> dict[str, Any] | None:
    """When the rule stops, its decision, and whether decision and interval were right."""
    whole = samples[: CONFIRMATION.per_look * CONFIRMATION.looks]
    further = [sample.face.embedding for sample in samples[len(whole) :] if sample.face is not None]
    stopped: dict[str, Any] | None = None
    for look in range(1, CONFIRMATION.looks + 1):
        faces = [
            sample for sample in whole[: look * CONFIRMATION.per_look] if sample.face is not None
        ]
        if len(faces) < 4 or len(further) < 20:
            continue
        rows = np.stack([sample.face.embedding for sample in faces if sample.face is not None])
        score = estimate(
            rows, template, CONFIRMATION, np.array([sample.weight for sample in faces])
        )
        side = (
            "above"
            if score.interval[0] >= match
            else "below"
            if score.interval[1] < possible
            else "between"
        )
        truth = float(unit(np.mean(further, axis=0)) @ template)
        if stopped is None and (side != "between" or look == CONFIRMATION.looks):
            stopped = {
                "look": look,
                "early": side,
                "covers": score.interval[0] <= truth <= score.interval[1],
                "truth": truth,
            }
        if stopped is not None and look == CONFIRMATION.looks:
            stopped["true side"] = (
                "above" if truth >= match else "below" if truth < possible else "between"
            )
    return stopped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=int, default=1_000)
    options = parser.parse_args()
    whole, folder = inventory("held-out"), folder_of("held-out")
    templates = templates_of(whole.registered, options.gallery)
    settings = Settings(home=Path(".bench/home"), face_pack="miniature", device="cpu")
    identifier = open_identifier(settings, Policy(), templates, 1)
    found = []
    people = [
        trained
        for trained in whole.trained
        if trained.person is not None and trained.form.algorithm != "textual-inversion"
    ]
    for trained in track(people, "whole budgets"):
        try:
            samples = samples_of(identifier, trained, folder / f"{trained.name}.safetensors")
        except NotScannable as error:
            print(trained.name, error)
            continue
        vectors = [sample.face.embedding for sample in samples if sample.face is not None]
        if not vectors:
            continue
        probe = unit(np.mean(vectors, axis=0))
        closest = identifier.snapshot.closest(probe)[0].identity_id
        limits = identifier.snapshot.thresholds_of(closest)
        decision = looked_at(
            samples,
            identifier.snapshot.gallery.vector_of(closest, probe),
            limits.possible,
            limits.match,
        )
        if decision is not None:
            found.append({"name": trained.name, **decision})
    wrong = [
        decision["name"]
        for decision in found
        if decision["early"] != decision["true side"]
        and "between" not in (decision["early"], decision["true side"])
    ]
    covered = sum(decision["covers"] for decision in found)
    interval = binomtest(covered, len(found)).proportion_ci(0.95)
    looks = np.mean([decision["look"] for decision in found])
    print(
        f"{len(found)} adapters of people; stopped after {looks:.2f} of {CONFIRMATION.looks} looks"
    )
    print(f"decided on the wrong side: {len(wrong)} {wrong}")
    print(
        f"repeated intervals that hold the score of {FURTHER} further samples: {covered} of "
        f"{len(found)} (nominal 95 %; 95 % interval {interval.low:.2f} to {interval.high:.2f})"
    )
    print(
        json.dumps(
            {"adapters": len(found), "wrong": wrong, "covered": covered, "each": found},
            default=float,
        )
    )


if __name__ == "__main__":
    main()
