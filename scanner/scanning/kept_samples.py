"""Identification from kept samples: whom a checkpoint shows, without drawing anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from face_index.faces.face import Vector
from scanner.identification.comparison import comparison_of
from scanner.identification.faces import FaceTools
from scanner.identification.identify import identify
from scanner.identification.policy import Policy
from scanner.identification.samples import MoreSamples
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import Comparison, VerdictRecord
from scanner.sampling.drawings import Drawing
from scanner.sampling.images import Pixels
from scanner.sampling.sample_store import KeptDrawing, Place, SampleStore
from scanner.scanning.identifier import WorkerAnswer
from scanner.scanning.key import Key
from scanner.scanning.observations import KnownSamples, ObservedSample
from scanner.scanning.verdict_records import verdict_record
from scanner.versions import library_versions

T = TypeVar("T")


class KeptSamples:
    """Searches what checkpoints drew before.

    Args:
        faces: opens the face pack; called when it is first needed.
    """

    def __init__(self, store: SampleStore, faces: Callable[[], FaceTools], policy: Policy) -> None:
        self.store, self._faces, self._policy = store, faces, policy

    def keep(self, sampling_key: Key, sha256: str, answer: WorkerAnswer, now: datetime) -> None:
        """Keep what a worker has drawn; nothing of a checkpoint that could not be sampled.

        Samples that go on from kept ones keep the time of these, so that no face is kept for longer
        than it may be. If the kept faces were destroyed meanwhile, none are kept.
        """
        if answer.drawing is None:
            return
        name, since = sampling_key.digest, answer.kept_since
        earlier = self.store.drawing(name) if since is not None else None
        if earlier is not None and _is_longer(earlier.drawing, answer.drawing):
            return  # another search went on from the same samples
        patches = answer.patches
        if since is not None and not self.store.has_patches(name):
            patches = {}
        kept = KeptDrawing(
            name,
            sha256,
            sampling_key.parts,
            answer.drawing,
            self._faces().reader.version.sha256,
            since or now,
            (earlier.pictures if earlier else {}) | _pictures(answer.verdict),
        )
        self.store.keep(kept, patches, library_versions())

    def samples(self, sampling_key: str) -> KnownSamples | None:
        """Return kept samples with their faces, for a worker that draws what they lack.

        The result is None if they or their faces are not kept, or if another face pack read them.
        """
        kept = self.store.drawing(sampling_key)
        if kept is None or kept.pack_sha256 != self._faces().reader.version.sha256:
            return None
        patches = self.store.patches(sampling_key)
        if patches is None:
            return None
        vectors = self._faces().reader.embed(list(patches.values()))
        return _known(kept, patches, dict(zip(patches, vectors, strict=True)))

    def comes_near(self, sha256: str, snapshot: GallerySnapshot) -> bool:
        """Whether kept samples of a file show somebody, or come so near that more are needed."""
        for kept in self.store.drawings_of(sha256):
            known = self.samples(kept.sampling_key)
            if known is not None:
                decided = identify(known.faces, snapshot, self._policy)
                if isinstance(decided, MoreSamples) or decided.findings:
                    return True
        return False

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
        known = _known(kept, {}, vectors)
        decided = identify(known.faces, snapshot, self._policy)
        if isinstance(decided, MoreSamples) or (decided.findings and known.lacks_pictures):
            return None
        return verdict_record(
            kept.drawing,
            decided,
            comparison,
            snapshot.thresholds.match,
            lambda number, is_control: kept.pictures.get((number, is_control)),
            time.monotonic() - started,
        )


def _known(
    kept: KeptDrawing, patches: Mapping[Place, Pixels], vectors: Mapping[Place, Vector]
) -> KnownSamples:
    """Return kept samples as they were observed when they were drawn, without their images."""
    observed = tuple(
        ObservedSample(
            drawn,
            _of_sample(vectors, number),
            _of_sample(patches, number),
            pictures=_of_sample(kept.pictures, number),
        )
        for number, drawn in enumerate(kept.drawing.samples)
    )
    return KnownSamples(kept.drawing, observed, kept.drawn_at)


def _is_longer(earlier: Drawing, drawing: Drawing) -> bool:
    """Whether an earlier drawing of the same screening has samples that another one lacks."""
    same = earlier.screening == drawing.screening
    return same and not set(earlier.confirmation) <= set(drawing.confirmation)


def _of_sample(values: Mapping[Place, T], number: int) -> dict[bool, T]:
    return {
        is_control: values[number, is_control]
        for is_control in (False, True)
        if (number, is_control) in values
    }


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
