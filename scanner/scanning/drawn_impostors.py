"""A calibration from invented adults: nobody's photo is needed, and the domain is that of scans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from face_index.faces.face import Prototypes, Vector
from face_index.gallery.calibration import Basis, Calibration, calibrate_impostors
from scanner.identification.clusters import clusters_of
from scanner.identification.faces import FaceFinder
from scanner.identification.search import probe_of
from scanner.progress import Progress
from scanner.sampling.base_models import description_of
from scanner.sampling.invented_adults import IMAGES_OF_AN_ADULT, draw_adults

if TYPE_CHECKING:
    from scanner.sampling.sampler import Sampler

_ADULTS_AT_ONCE = 16  # whose faces are read together


def calibrate_drawn(
    sampler: Sampler,
    finder: FaceFinder,
    count: int,
    templates: Sequence[tuple[str, Prototypes]],
    progress: Progress,
) -> Calibration:
    """Draw invented adults, and take them as impostors against each other and the gallery.

    Args:
        templates: of registered people.

    Raises:
        NoiseNotShared, NotScannable: the base model cannot draw them.
        CalibrationImpossible: it drew fewer than 35 persons.
    """
    probes = invented_probes(sampler, finder, count, progress)
    version = finder.reader.version
    empty = np.zeros((0, version.dimension), np.float32)
    others = np.stack([own[0] for _, own in templates]) if templates else empty
    source = f"{len(probes):,} adults invented by {description_of(sampler.base)}"
    if templates:
        source += f", and {len(templates):,} registered people"
    return calibrate_impostors(
        np.stack(probes) if probes else empty, others, version.sha256, Basis.DRAWN, source
    )


def invented_probes(
    sampler: Sampler, finder: FaceFinder, count: int, progress: Progress, first: int = 0
) -> list[Vector]:
    """Return the mean face of each invented adult, as a scan has it of a file.

    Adults whose images do not show one face are left out.
    """
    probes: list[Vector] = []
    drawn = draw_adults(sampler, first, count)
    done = 0
    progress.step(done, count, "drawing adults")
    while adults := list(islice(drawn, _ADULTS_AT_ONCE)):
        images = [image for adult in adults for image in adult]
        faces = finder.usable_faces(
            [image.picture for image in images], [image.flagged for image in images]
        )
        for start in range(0, len(images), IMAGES_OF_AN_ADULT):
            own = [face for face in faces[start : start + IMAGES_OF_AN_ADULT] if face is not None]
            # All but one must agree, since a mean of two would be another kind of probe.
            clusters = clusters_of([face.embedding for face in own], IMAGES_OF_AN_ADULT - 1)
            for cluster in clusters:
                members = [own[member] for member in cluster.members]
                weights = np.array([finder.weight(face) for face in members])
                probes.append(probe_of(np.stack([one.embedding for one in members]), weights))
        done += len(adults)
        progress.step(done, count, "drawing adults")
    return probes
