"""Nominal and measured error rates of the stopping rule, on simulated checkpoints.

The true score of every checkpoint is exactly the threshold, where a wrong stop is most likely. The
benchmark counts how often the repeated confidence interval lies wholly above or below the true
score at any look. An ordinary 95 % interval at every look is counted for comparison.

Run: python -m benchmarks.sequential
     python -m benchmarks.sequential levels    computes the levels, with other seeds
"""

from __future__ import annotations

import json
import sys

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from scipy.stats import t as student

from face_index.gallery.spread import jackknifed_angle
from scanner.identification.policy import CONFIRMATION, SCREENING, Schedule

Floats = npt.NDArray[np.floating]
CHECKPOINTS, PART = 40_000, 2_000


def simulated(
    rng: np.random.Generator, count: int, samples: int, dimension: int
) -> tuple[Floats, Floats, Floats]:
    """Return sample vectors of many checkpoints, the template and the true scores.

    The template is the first axis. Concentration, true score and the inequality of the samples are
    drawn for each checkpoint, from ranges that include those seen on the miniature world.
    """
    true = rng.uniform(0.3, 0.9, count)
    concentration = rng.uniform(0.6, 0.93, count)
    spread = np.sqrt(1 / concentration**2 - 1)
    centre = np.zeros((count, 1, dimension))
    centre[:, 0, 0], centre[:, 0, 1] = true, np.sqrt(1 - true**2)
    unequal = np.exp(rng.uniform(0, 0.3, (count, 1, 1)) * rng.normal(size=(count, samples, 1)))
    wide = rng.normal(size=(count, samples, dimension)) / np.sqrt(dimension)
    # Pose and light move all samples of a checkpoint along a few directions.
    few = rng.normal(size=(count, samples, 8)) @ (
        rng.normal(size=(count, 8, dimension)) / np.sqrt(8 * dimension)
    )
    vectors = centre + spread[:, None, None] * unequal * (np.sqrt(0.7) * wide + np.sqrt(0.3) * few)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    # The scatter is symmetrical, so the mean of endless samples scores the cosine of the centre.
    template = np.zeros(dimension)
    template[0] = 1
    return vectors, template, true


def stops(
    schedule: Schedule, seed: int, count: int, levels: list[float]
) -> dict[float, tuple[int, int]]:
    """For each level, count the checkpoints whose interval excludes the true score.

    Returns:
        The counts of intervals that lie wholly above and wholly below the true score.
    """
    rng = np.random.default_rng(seed)
    found = {level: np.zeros(2, int) for level in levels}
    for _ in range(count // PART):
        dimension = int(rng.choice([128, 512]))
        vectors, template, true = simulated(
            rng, PART, schedule.per_look * schedule.looks, dimension
        )
        angle = np.arccos(true)
        decided = {level: np.zeros(PART, int) for level in levels}
        for look in range(1, schedule.looks + 1):
            samples = schedule.per_look * look
            middle, error = jackknifed_angle(vectors[:, :samples], template, np.ones(samples))
            for level, state in decided.items():
                reach = student.ppf(1 - level / 2, samples - 1) * error
                state[(state == 0) & (middle + reach < angle)] = 1
                state[(state == 0) & (middle - reach > angle)] = -1
        for level, state in decided.items():
            found[level] += [np.sum(state == 1), np.sum(state == -1)]
    return {level: (int(above), int(below)) for level, (above, below) in found.items()}


def work_out_level(schedule: Schedule) -> float:
    levels = [round(level, 4) for level in np.arange(0.014, 0.06, 0.0005)]
    counts = stops(schedule, 1, 200_000, levels)
    return min(levels, key=lambda level: abs(sum(counts[level]) / 200_000 - 0.05))


def main() -> int:
    if sys.argv[1:] == ["levels"]:
        for name, schedule in (("screening", SCREENING), ("evidence", CONFIRMATION)):
            print(name, schedule.per_look, schedule.looks, work_out_level(schedule), flush=True)
        return 0
    record, agreed = {}, True
    print(
        f"{'schedule':12} {'looks':>12} {'rule':18} {'nominal':>8} {'measured':>9} "
        f"{'95 % interval':>18} {'above':>7} {'below':>7}"
    )
    for name, schedule in (("screening", SCREENING), ("evidence", CONFIRMATION)):
        counts = stops(schedule, 20_261_124, CHECKPOINTS, [schedule.level, 0.05])
        for rule, level in (("repeated interval", schedule.level), ("plain interval", 0.05)):
            above, below = counts[level]
            measured = binomtest(above + below, CHECKPOINTS)
            interval = measured.proportion_ci(0.95)
            print(
                f"{name:12} {f'{schedule.looks} of {schedule.per_look}':>12} {rule:18} "
                f"{0.05:8.3f} {measured.statistic:9.4f} "
                f"{f'{interval.low:.4f} to {interval.high:.4f}':>18} "
                f"{above / CHECKPOINTS:7.4f} {below / CHECKPOINTS:7.4f}"
            )
            record[f"{name}, {rule}"] = {
                "measured": measured.statistic,
                "interval": [interval.low, interval.high],
            }
            if rule == "repeated interval":
                agreed &= bool(interval.low <= 0.05 <= interval.high)
    print(json.dumps({"checkpoints each": CHECKPOINTS, "agree": agreed, **record}))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
