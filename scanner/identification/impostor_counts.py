"""Counts of the scores of files that show nobody. No vector and no identity is in them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from face_index.gallery.score_histogram import bins_of
from scanner.identification.clusters import clusters_of
from scanner.identification.policy import Policy
from scanner.identification.samples import CheckpointFaces
from scanner.identification.search import probe_of
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import ImpostorCounts


def impostor_counts(
    faces: CheckpointFaces, snapshot: GallerySnapshot, policy: Policy
) -> ImpostorCounts | None:
    """Count the scores of the clusters of a file in which nobody was found.

    Scores over the lowest threshold at which anybody would be `possible` are left out: with files
    that have findings such scores are missing, so the calibration assumes that all of them are.

    Returns:
        None if no sample shows a face again, if nobody is registered, or if the index is
        approximate and does not give all scores.
    """
    if len(snapshot.gallery) == 0 or snapshot.recall < 1:
        return None
    screened = [face for face in faces.screened(len(faces.screening)) if face.vector is not None]
    vectors = [face.vector for face in screened if face.vector is not None]
    clusters = clusters_of(vectors, policy.screening_cluster)
    if not clusters:
        return None
    probes = np.stack(
        [
            probe_of(
                np.stack([vectors[member] for member in cluster.members]),
                np.array([screened[member].weight for member in cluster.members]),
            )
            for cluster in clusters
        ]
    )
    found = snapshot.gallery.search(probes, len(snapshot.gallery))
    scores = np.array([candidate.score for own in found for candidate in own])
    below = int(bins_of(np.array([snapshot.lowest_possible()]))[0])
    bins = bins_of(scores)
    counts = Counter(bins[bins < below].tolist())
    return ImpostorCounts(below, len(clusters), dict(sorted(counts.items())))
