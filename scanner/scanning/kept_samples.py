"""Identification from kept samples: whom a checkpoint shows, without drawing anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from face_index.faces.face import Vector
from scanner.identification.comparison import comparison_of
from scanner.identification.conclusion import Identification, outcome_of_nobody
from scanner.identification.faces import FaceTools
from scanner.identification.identify import comes_near, identify
from scanner.identification.impostor_counts import impostor_counts
from scanner.identification.outcome import Outcome
from scanner.identification.policy import Policy
from scanner.identification.second_opinion import with_second_opinions
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import VerdictRecord
from scanner.sampling.drawings import Drawing
from scanner.sampling.images import Pixels
from scanner.sampling.plans import SamplePlan
from scanner.sampling.sample_store import KeptDrawing, Place, SampleStore
from scanner.scanning.impostor_store import ImpostorStore
from scanner.scanning.key import Key
from scanner.scanning.observations import KnownSamples, ObservedSample
from scanner.scanning.verdict_records import verdict_record
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.versions import library_versions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decision:
    """What kept samples of a checkpoint tell.

    Attributes:
        findings: identity and outcome of each.
    """

    sha256: str
    outcome: Outcome
    findings: frozenset[tuple[str, str]]


class KeptSamples:
    """Searches what checkpoints drew before.

    Args:
        faces: opens the face pack; called when it is first needed.
        impostors: counts the scores of files that show nobody.
    """

    def __init__(
        self,
        store: SampleStore,
        faces: Callable[[], FaceTools],
        policy: Policy,
        impostors: ImpostorStore,
    ) -> None:
        self.store, self._faces, self._policy = store, faces, policy
        self._impostors = impostors

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

    def decide(
        self, sampling_key: str, snapshot: GallerySnapshot
    ) -> VerdictRecord | KnownSamples | None:
        """Decide from kept samples, or return the samples if they do not suffice.

        They do not suffice if somebody comes so near that samples of confirmation or controls are
        needed, or if pictures of these are not stored; a worker then draws what they lack. The
        result is None if the samples or their faces are not kept, or if another face pack read
        them.
        """
        for kept, known in self._known([sampling_key]):
            return self._decided(kept, known, snapshot) or known
        return None

    def may_show_somebody(self, sha256: str, snapshot: GallerySnapshot) -> bool:
        """Whether kept samples of a file show somebody, or more are needed to tell."""
        for _, known in self._known(self.store.sampling_keys_of(sha256)):
            decided = identify(known.faces, snapshot, self._policy)
            if not isinstance(decided, Identification) or decided.findings:
                return True
        return False

    def decisions(
        self, sampling_keys: Sequence[str], snapshot: GallerySnapshot
    ) -> dict[str, Decision]:
        """Decide about several checkpoints, by sampling key.

        Those that must be drawn are left out. Only the faces of screening are read of checkpoints
        in which nobody comes near, which are nearly all.
        """
        decided: dict[str, Decision] = {}
        for kept, known in self._known(sampling_keys, only_screening=True):
            if not comes_near(known.faces, snapshot, self._policy):
                usable_faces = sum(sample.has_face for sample in kept.drawing.samples)
                outcome = outcome_of_nobody(
                    usable_faces, kept.drawing.doubts, snapshot, self._policy
                )
                decided[kept.sampling_key] = Decision(kept.sha256, outcome, frozenset())
                continue
            verdict = self.decide(kept.sampling_key, snapshot)
            if isinstance(verdict, VerdictRecord):
                found = ((finding.identity_id, finding.outcome) for finding in verdict.findings)
                decided[kept.sampling_key] = Decision(
                    kept.sha256, Outcome(verdict.outcome), frozenset(found)
                )
        return decided

    def _known(
        self, sampling_keys: Sequence[str], *, only_screening: bool = False
    ) -> Iterator[tuple[KeptDrawing, KnownSamples]]:
        """Yield drawings with their samples; those whose faces are gone are left out.

        The faces of all are embedded together, so that the networks use all cores.
        """
        reader = self._faces().reader
        drawings = (self.store.drawing(sampling_key) for sampling_key in sampling_keys)
        read: list[tuple[KeptDrawing, dict[Place, Pixels]]] = []
        for kept in drawings:
            if kept is None or kept.pack_sha256 != reader.version.sha256:
                continue
            patches: dict[Place, Pixels] | None = {}
            if kept.drawing.draws_one_face:
                patches = self._patches(kept, only_screening=only_screening)
            if patches is not None:
                read.append((kept, patches))
        vectors = iter(reader.embed([patch for _, own in read for patch in own.values()]))
        for kept, patches in read:
            yield kept, _known_samples(kept, patches, {place: next(vectors) for place in patches})

    def _patches(self, kept: KeptDrawing, *, only_screening: bool) -> dict[Place, Pixels] | None:
        """Return the faces of a drawing; None unless all that there were can be read."""
        patches = self.store.patches(kept.sampling_key, only_screening=only_screening)
        expected = kept.drawing.places(only_screening=only_screening)
        return patches if patches is not None and patches.keys() == expected else None

    def _decided(
        self,
        kept: KeptDrawing,
        known: KnownSamples,
        snapshot: GallerySnapshot,
    ) -> VerdictRecord | None:
        started = time.monotonic()
        tools = self._faces()
        version, threshold = tools.reader.version, snapshot.thresholds.match
        decided = identify(known.faces, snapshot, self._policy)
        if not isinstance(decided, Identification):
            return None
        if decided.findings and known.lacks_pictures:
            return None
        if not decided.findings:
            self._count(kept.sha256, known, snapshot)
        if snapshot.second is not None:
            patches = [sample.patches.get(False) for sample in known.observed]
            decided = with_second_opinions(decided, patches, snapshot.second)
        return verdict_record(
            kept.drawing,
            decided,
            comparison_of(tools.pack, version, snapshot, threshold),
            threshold,
            lambda number, is_control: kept.pictures.get((number, is_control)),
            time.monotonic() - started,
        )

    def _count(self, sha256: str, known: KnownSamples, snapshot: GallerySnapshot) -> None:
        """Count the scores of a file that shows nobody, unless they were counted before."""
        pack_sha256 = self._faces().reader.version.sha256
        if self._impostors.is_counted(pack_sha256, sha256):
            return  # comparing with everybody again would only be thrown away
        counts = impostor_counts(known.faces, snapshot, self._policy)
        if counts is not None:
            self._impostors.add(pack_sha256, sha256, counts)


def _known_samples(
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
    """Whether an earlier drawing of the same screening has pictures that another one lacks."""
    same = earlier.screening == drawing.screening
    return same and not _pictures_of(earlier) <= _pictures_of(drawing)


def _pictures_of(drawing: Drawing) -> set[tuple[SamplePlan, bool]]:
    """Return which samples of confirmation and which controls were drawn."""
    return {
        (sample.plan, is_control)
        for sample in drawing.confirmation
        for is_control, batch in ((False, sample.batch), (True, sample.control_batch))
        if batch is not None
    }


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
