"""Three ways to state likelihood ratios, on persons whom none of them has seen.

    python -m benchmarks.face_index.likelihood_ratios FOLDER PACK [LEAST_PHOTOS]

FOLDER and PACK are as for benchmarks.face_index.score_norm. Compared are ours (the fitted tail of
impostor scores), logistic regression of Fisher's z (Brümmer & du Preez 2006; what this program used
before) and pool adjacent violators, each fitted to the development persons. Cllr and the ratios in
bins of the score are those of the held-out persons.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression, minimize

from benchmarks.face_index.score_norm import means, part_of, read_folder
from face_index.gallery.impostors import ImpostorScores, row_products
from face_index.gallery.likelihood_ratio import fit_likelihood_ratio
from face_index.gallery.metrics import cllr, minimal_cllr
from face_index.gallery.tail import fisher_z_of, fit_tail

EDGES = (-1.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
Stated = Callable[[np.ndarray], np.ndarray]


def logistic(genuine: np.ndarray, impostor: np.ndarray) -> Stated:
    same, other = fisher_z_of(genuine), fisher_z_of(impostor)

    def cost(line: np.ndarray) -> float:
        lost = np.logaddexp(0, -(line[0] * same + line[1])).mean()
        return float(lost + np.logaddexp(0, line[0] * other + line[1]).mean() + 1e-4 * line[0] ** 2)

    slope, offset = minimize(cost, np.array([5.0, -2.0]), method="Nelder-Mead").x / np.log(10)
    lowest, highest = -np.log10(len(genuine) + 1), np.log10(len(impostor) + 1)
    return lambda scores: np.clip(slope * fisher_z_of(scores) + offset, lowest, highest)


def adjacent_violators(genuine: np.ndarray, impostor: np.ndarray) -> Stated:
    scores = np.concatenate([genuine, impostor])
    is_same = np.repeat([1.0, 0.0], [len(genuine), len(impostor)])
    weights = np.where(is_same == 1, 1 / len(genuine), 1 / len(impostor))
    order = np.argsort(scores)
    posterior = isotonic_regression(is_same[order], weights=weights[order]).x
    with np.errstate(divide="ignore"):
        ratios = np.log10(posterior) - np.log10(1 - posterior)
    ratios = np.clip(ratios, -np.log10(len(genuine) + 1), np.log10(len(impostor) + 1))
    return lambda found: np.interp(found, scores[order], ratios)


def main() -> None:
    least = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    people = means(read_folder(Path(sys.argv[1]), sys.argv[2]), least)
    vectors = [
        [np.stack(kind) for kind in zip(*own, strict=True)]
        for own in (
            [people[name] for name in sorted(people) if part_of(name) != 2],
            [people[name] for name in sorted(people) if part_of(name) == 2],
        )
    ]
    rng = np.random.default_rng(0)
    fitted, held_out = (ImpostorScores(templates, probes) for templates, probes in vectors)
    genuine, impostor = row_products(*vectors[0]), fitted.sample(200_000, rng)
    ways: dict[str, Stated] = {
        "ours": fit_likelihood_ratio(fitted, fit_tail(fitted), rng).log10_of,
        "logistic": logistic(genuine, impostor),
        "PAV": adjacent_violators(genuine, impostor),
    }
    same, other = row_products(*vectors[1]), held_out.sample(1_000_000, rng)
    print(f"fitted to {fitted.persons} persons, tried on {held_out.persons}")
    for name, stated in ways.items():
        of_same, of_other = stated(same), stated(other)
        print(f"  {name:9} Cllr {cllr(of_same, of_other):.4f}, at best "
              f"{minimal_cllr(of_same, of_other):.4f}")  # fmt: skip
    for low, high in pairwise(EDGES):
        inside = [scores[(scores >= low) & (scores < high)] for scores in (same, other)]
        # Half a count each, so that a bin without impostors gives a bound.
        shares = [(len(of) + 0.5) / (len(all_of) + 1)
                  for of, all_of in zip(inside, (same, other), strict=True)]  # fmt: skip
        observed = np.log10(shares[0]) - np.log10(shares[1])
        means_of = {
            name: np.mean([stated(of).mean() for of in inside if len(of)])
            for name, stated in ways.items()
            if any(map(len, inside))
        }
        told = "  ".join(f"{name} {mean:5.1f}" for name, mean in means_of.items())
        print(f"  {low:4.1f} to {high:3.1f}: {len(inside[0]):5} {len(inside[1]):7}  observed "
              f"{observed:5.1f}{' ' if len(inside[1]) else '+'}  {told}")  # fmt: skip


if __name__ == "__main__":
    main()
