"""Accuracy figures in the terms of ISO/IEC 19795-1, with intervals that resample persons.

Scores of one person are dependent, so intervals do not treat them as independent trials. The
library lir (Netherlands Forensic Institute) gives the same Cllr and minimal Cllr, and a test
compares them. It is not used, because it needs fourteen more packages for these two functions,
scikit-learn, Optuna and SQLAlchemy among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured proportion with its 95 % interval.

    Attributes:
        value: 0 to 1.
        low, high: 95 % interval.
        errors, trials: The counts.
    """

    value: float
    low: float
    high: float
    errors: int
    trials: int


def rate(errors: int, trials: int) -> Rate:
    """Return a proportion of independent trials with the Clopper-Pearson interval."""
    if trials == 0:
        return Rate(float("nan"), 0.0, 1.0, 0, 0)
    from scipy.stats import binomtest

    interval = binomtest(errors, trials).proportion_ci(0.95, method="exact")
    return Rate(errors / trials, float(interval.low), float(interval.high), errors, trials)


def rate_over_subjects(
    errors: Floats, trials: Floats, rng: np.random.Generator, rounds: int = 1000
) -> Rate:
    """Return a proportion of trials that are grouped by person; the interval resamples persons.

    If there is no error, the interval is that of as many independent trials as there are persons.

    Args:
        errors, trials: Counts for each person, float [persons].
    """
    total, count = float(trials.sum()), float(errors.sum())
    if count == 0 or total == 0:
        plain = rate(0, int((trials > 0).sum()))
        return Rate(0.0 if total else float("nan"), plain.low, plain.high, 0, int(total))
    picks = rng.multinomial(len(errors), np.full(len(errors), 1 / len(errors)), size=rounds)
    rates = (picks @ errors) / np.maximum(picks @ trials, 1)
    low, high = np.quantile(rates, [0.025, 0.975])
    return Rate(count / total, float(low), float(high), int(count), int(total))


def cllr(genuine: Floats, impostor: Floats) -> float:
    """Return the cost of log-likelihood-ratio in bits.

    See Brümmer & du Preez, Computer Speech & Language 2006.

    Args:
        genuine, impostor: log10 LRs, float [n].
    """
    to_bits = np.log2(10)
    cost = (
        np.logaddexp2(0, -np.asarray(genuine, np.float64) * to_bits).mean()
        + np.logaddexp2(0, np.asarray(impostor, np.float64) * to_bits).mean()
    ) / 2
    return float(cost)


def minimal_cllr(genuine: Floats, impostor: Floats) -> float:
    """Return Cllr after the best monotone map of the same values (pool adjacent violators)."""
    values = np.concatenate([genuine, impostor]).astype(np.float64)
    same = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    order = np.argsort(values, kind="stable")
    weights = np.where(same == 1, 1 / len(genuine), 1 / len(impostor))[order]
    # Equal values must get equal odds, whatever their order.
    _, group = np.unique(values[order], return_inverse=True)
    weight_sums = np.bincount(group, weights)
    means = np.bincount(group, weights * same[order]) / weight_sums
    from scipy.optimize import isotonic_regression

    posterior = isotonic_regression(means, weights=weight_sums).x[group]
    with np.errstate(divide="ignore"):
        log10 = np.log10(posterior) - np.log10(1 - posterior)
    sorted_same = same[order] == 1
    return cllr(log10[sorted_same], log10[~sorted_same])


def equal_error_rate(genuine: Floats, impostor: Floats) -> float:
    """Return the rate at which FMR and FNMR are equal, 0 to 1."""
    thresholds, false_match, false_non_match = det_curve(genuine, impostor)
    del thresholds
    crossing = int(np.argmin(np.abs(false_match - false_non_match)))
    return float((false_match[crossing] + false_non_match[crossing]) / 2)


def det_curve(
    genuine: Floats, impostor: Floats, points: int = 400
) -> tuple[Floats, Floats, Floats]:
    """Return thresholds with their FMR and FNMR; there are more points where impostors are rare."""
    shares = np.concatenate(
        [np.linspace(0, 0.99, points // 2), 1 - np.logspace(-2, -7, points // 2)]
    )
    thresholds = np.unique(
        np.concatenate(
            [np.quantile(impostor, shares), np.quantile(genuine, np.linspace(0, 1, 100))]
        )
    )
    ordered_impostor, ordered_genuine = np.sort(impostor), np.sort(genuine)
    false_match = 1 - np.searchsorted(ordered_impostor, thresholds, side="left") / len(impostor)
    false_non_match = np.searchsorted(ordered_genuine, thresholds, side="left") / len(genuine)
    return thresholds, false_match, false_non_match


def differential(rates: dict[str, Rate]) -> tuple[float, str, str] | None:
    """Return the ratio of the largest to the smallest rate, and the names of the two groups.

    NIST IR 8429 lists it among measures of demographic differentials.

    Returns:
        Ratio, worst group, best group; None if a group has no error, since the ratio is undefined
        then.
    """
    if len(rates) < 2 or any(not one.errors for one in rates.values()):
        return None
    by_rate: Callable[[str], float] = lambda group: rates[group].value  # noqa: E731  used twice
    worst, best = max(rates, key=by_rate), min(rates, key=by_rate)
    return rates[worst].value / rates[best].value, worst, best
