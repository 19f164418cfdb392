"""Identification from kept samples: whom a checkpoint shows, without drawing anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from face_index.faces.face import Vector
from scanner.identification.comparison import comparison_of
from scanner.identification.conclusion import Identification
from scanner.identification.faces import FaceTools
from scanner.identification.identify import identify
from scanner.identification.policy import Policy
from scanner.identification.samples import CheckpointFaces, MoreSamples, SampleFace
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import Comparison, VerdictRecord
from scanner.sampling.drawings import DrawnSample
from scanner.sampling.sample_store import KeptDrawing, Place, SampleStore
from scanner.scanning.identifier import WorkerAnswer
from scanner.scanning.key import Key
from scanner.scanning.verdict_records import verdict_record
from scanner.versions import library_versions


class KeptSamples:
    """Searches what checkpoints drew before.

    Args:
        faces: opens the face pack; called when it is first needed.
    """

    def __init__(self, store: SampleStore, faces: Callable[[], FaceTools], policy: Policy) -> None:
        self.store, self._faces, self._policy = store, faces, policy

    def keep(self, sampling_key: Key, sha256: str, answer: WorkerAnswer, now: datetime) -> None:
        """Keep what a worker has drawn; nothing of a checkpoint that could not be sampled."""
        if answer.drawing is None:
            return
        kept = KeptDrawing(
            sampling_key.digest,
            sha256,
            sampling_key.parts,
            answer.drawing,
            self._faces().reader.version.sha256,
            now,
            _pictures(answer.verdict),
        )
        self.store.keep(kept, answer.patches, library_versions())

    def verdict(self, sampling_key: str, snapshot: GallerySnapshot) -> VerdictRecord | None:
        """Decide from kept samples; None if the checkpoint must be drawn.

        That is so if its samples or their faces are not kept, if another face pack read them, if
        somebody comes so near that samples of confirmation are needed, or if the pictures of a
        finding are not stored.
        """
        return self.verdicts([sampling_key], snapshot).get(sampling_key)

    def verdicts(
        self, sampling_keys: Sequence[str], snapshot: GallerySnapshot
    ) -> dict[str, VerdictRecord]:
        """Decide about several checkpoints at once; those that must be drawn are left out."""
        tools = self._faces()
        version = tools.reader.version
        comparison = comparison_of(tools.pack, version, snapshot, snapshot.thresholds.match)
        found = (self.store.drawing(sampling_key) for sampling_key in sampling_keys)
        kept = [one for one in found if one is not None and one.pack_sha256 == version.sha256]
        decided: dict[str, VerdictRecord] = {}
        for one, vectors in self._with_vectors(kept):
            verdict = self._decide(one, vectors, snapshot, comparison)
            if verdict is not None:
                decided[one.sampling_key] = verdict
        return decided

    def _with_vectors(
        self, kept: Sequence[KeptDrawing]
    ) -> Iterator[tuple[KeptDrawing, dict[Place, Vector]]]:
        """Yield drawings with the vectors of their faces; those whose faces are gone are left out.

        The faces of all are embedded together, so that the networks use all cores.
        """
        patches = {
            one.sampling_key: self.store.patches(one.sampling_key)
            if one.drawing.draws_one_face
            else {}
            for one in kept
        }
        pictures = [patch for own in patches.values() if own for patch in own.values()]
        vectors = iter(self._faces().reader.embed(pictures))
        for one in kept:
            own = patches[one.sampling_key]
            if own is not None:
                yield one, {place: next(vectors) for place in own}

    def _decide(
        self,
        kept: KeptDrawing,
        vectors: Mapping[Place, Vector],
        snapshot: GallerySnapshot,
        comparison: Comparison,
    ) -> VerdictRecord | None:
        started = time.monotonic()
        decided = identify(_faces_of(kept, vectors), snapshot, self._policy)
        if isinstance(decided, MoreSamples) or not _has_pictures(kept, decided):
            return None
        return verdict_record(
            kept.drawing,
            decided,
            comparison,
            snapshot.thresholds.match,
            lambda number, is_control: kept.pictures.get((number, is_control)),
            time.monotonic() - started,
        )


def _faces_of(kept: KeptDrawing, vectors: Mapping[Place, Vector]) -> CheckpointFaces:
    """Return the faces as they were when they were drawn."""

    def face(number: int, sample: DrawnSample) -> SampleFace:
        return SampleFace(
            sample.plan.trigger,
            sample.plan.scale,
            sample.has_face,
            vectors.get((number, False)),
            sample.weight,
            vectors.get((number, True)),
        )

    faces = [face(number, sample) for number, sample in enumerate(kept.drawing.samples)]
    rounds, start = [], 0
    for samples in kept.drawing.screening:
        rounds.append(tuple(faces[start : start + len(samples)]))
        start += len(samples)
    return CheckpointFaces(tuple(rounds), tuple(faces[start:]))


def _has_pictures(kept: KeptDrawing, decided: Identification) -> bool:
    """Whether every picture that a finding would show is stored with a case."""
    if not decided.findings:
        return True
    needed = {(number, False) for number in range(len(kept.drawing.samples))}
    needed |= {
        (number, True)
        for number, sample in enumerate(kept.drawing.samples)
        if sample.control_pixels_sha256 is not None
    }
    return needed <= kept.pictures.keys()


def _pictures(verdict: VerdictRecord) -> dict[Place, str]:
    """Return the pictures that the findings of a verdict name, by place."""
    found: dict[Place, str] = {}
    for finding in verdict.findings[:1]:
        for number, sample in enumerate(finding.samples):
            if sample.image_sha256 is not None:
                found[number, False] = sample.image_sha256
            if sample.control_sha256 is not None:
                found[number, True] = sample.control_sha256
    return found
