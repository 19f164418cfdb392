"""The gallery that uses FAISS, exact by default. No other module imports faiss.

Vectors are stored in blocks, each an IndexIDMap2 over a flat index. Searching the blocks one after
another costs as much as searching one large index. Adding to or removing from a block moves at most
that block, where one index of a million vectors would copy all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from face_index.errors import UnknownIdentity
from face_index.faces.face import PackVersion, Prototypes, Vector
from face_index.gallery.exact_gallery import MOST_PROTOTYPES, Candidate, must_fit

# Measured at 512 dimensions: a block of this size takes 134 MB, and moving it takes about 20 ms.
BLOCK_ROWS = 65_536
# A search with fewer multiplications runs in its own thread. FAISS's other threads spin for a while
# after they finish, which takes a fifth of the machine from face networks that run beside many
# small searches (benchmarks/captures.py).
_SINGLE_THREAD_BELOW = 100_000_000
_THREADS = faiss.omp_get_max_threads()


class IndexKind(StrEnum):
    """The kind of index that is searched."""

    EXACT = "exact"  # float32, misses nobody
    HALF = "half"  # float16, half the memory; scores differ by less than 1e-3
    APPROXIMATE = "approximate"  # inverted lists; the recall is measured at each build


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Search with a number of threads.

    The number is one of OpenMP for the whole calling thread, and torch would draw with it too: more
    slowly, and with other last bits than before the search.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class FaissGallery:
    """Searches templates by identity in blocks of vectors.

    Args:
        version: Face pack of the templates.
        templates: Identity id and float32 [p, d].
        kind: EXACT or HALF.
    """

    def __init__(
        self,
        version: PackVersion,
        templates: Iterable[tuple[str, Prototypes]],
        kind: IndexKind = IndexKind.EXACT,
    ) -> None:
        self.version, self.kind = version, kind
        # By number; the id of a vector is number * MOST_PROTOTYPES + prototype.
        self._ids: list[str | None] = []
        self._numbers: dict[str, int] = {}
        self._blocks: list[Any] = []
        self._block_of: list[int] = []  # by number
        self._largest_template = 1
        pending = iter(templates)
        while chunk := list(islice(pending, BLOCK_ROWS // MOST_PROTOTYPES)):
            self._add_all(chunk)

    def __len__(self) -> int:
        return len(self._numbers)

    def search(self, probes: Prototypes, count: int = 5) -> list[list[Candidate]]:
        if not self._numbers:
            return [[] for _ in probes]
        # The closest `wanted` vectors hold at least `count` identities, even if each has the most
        # prototypes.
        wanted = count * self._largest_template
        scores, rows = self._closest(np.ascontiguousarray(probes, np.float32), wanted)
        return [self._identities(*line, count) for line in zip(scores, rows, strict=True)]

    def vector_of(self, identity_id: str, near: Vector) -> Vector:
        if identity_id not in self._numbers:
            raise UnknownIdentity(identity_id)
        prototypes = self._prototypes(self._numbers[identity_id])
        return np.asarray(prototypes[int(np.argmax(prototypes @ near))])

    def add(self, identity_id: str, prototypes: Prototypes) -> None:
        self.remove(identity_id)
        self._add_all([(identity_id, prototypes)])

    def remove(self, identity_id: str) -> None:
        number = self._numbers.pop(identity_id, None)
        if number is not None:
            block = self._blocks[self._block_of[number]]
            rows = np.arange(number * MOST_PROTOTYPES, (number + 1) * MOST_PROTOTYPES)
            block.remove_ids(rows)
            self._ids[number] = None

    def _add_all(self, templates: list[tuple[str, Prototypes]]) -> None:
        for _, prototypes in templates:
            must_fit(self.version, prototypes)
        vectors = np.concatenate([prototypes for _, prototypes in templates]).astype(
            np.float32, copy=False
        )
        place = self._block_with_room(len(vectors))
        rows: list[int] = []
        for identity_id, prototypes in templates:
            number = len(self._ids)
            self._ids.append(identity_id)
            self._block_of.append(place)
            self._numbers[identity_id] = number
            self._largest_template = max(self._largest_template, len(prototypes))
            rows += range(number * MOST_PROTOTYPES, number * MOST_PROTOTYPES + len(prototypes))
        self._blocks[place].add_with_ids(vectors, np.asarray(rows, np.int64))

    def _block_with_room(self, rows: int) -> int:
        for place, block in enumerate(self._blocks):
            if block.ntotal + rows <= BLOCK_ROWS:
                return place
        self._blocks.append(faiss.IndexIDMap2(self._flat_index()))
        return len(self._blocks) - 1

    def _flat_index(self) -> Any:
        dimension = self.version.dimension
        if self.kind == IndexKind.HALF:
            return faiss.IndexScalarQuantizer(
                dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
        return faiss.IndexFlatIP(dimension)

    def _closest(
        self, probes: Prototypes, wanted: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        work = len(probes) * sum(block.ntotal for block in self._blocks) * self.version.dimension
        with _threads(1 if work < _SINGLE_THREAD_BELOW else _THREADS):
            found = [
                block.search(probes, min(wanted, block.ntotal))
                for block in self._blocks
                if block.ntotal
            ]
        scores, rows = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        best = np.argsort(-scores, axis=1, kind="stable")[:, :wanted]
        return np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)

    def _identities(
        self, scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], count: int
    ) -> list[Candidate]:
        best: dict[str, float] = {}
        for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
            identity_id = self._ids[row // MOST_PROTOTYPES] if row >= 0 else None
            if identity_id is not None and identity_id not in best:
                best[identity_id] = score
                if len(best) == count:
                    break
        return [Candidate(identity_id, score) for identity_id, score in best.items()]

    def _prototypes(self, number: int) -> Prototypes:
        block = self._blocks[self._block_of[number]]
        found = []
        for row in range(number * MOST_PROTOTYPES, (number + 1) * MOST_PROTOTYPES):
            try:
                found.append(block.reconstruct(row))
            except RuntimeError:  # FAISS raises this for an unknown id
                break
        return np.asarray(found, np.float32)


class ApproximateGallery(FaissGallery):
    """Searches inverted lists; as many lists are probed as the wanted recall needs.

    Attributes:
        recall: Measured when the index was built: the share of probes for which it finds the same
            nearest vector as an exhaustive search. The probes are stored vectors with noise, as a
            second photo of the person would have.
        lists: How many inverted lists there are.
        probed_lists: How many of them a search probes.
    """

    def __init__(
        self,
        version: PackVersion,
        templates: Iterable[tuple[str, Prototypes]],
        wanted_recall: float = 0.999,
    ) -> None:
        self._templates = list(templates)
        count = sum(len(prototypes) for _, prototypes in self._templates)
        self.lists = max(1, int(np.sqrt(count)))
        self.probed_lists = 1
        super().__init__(version, self._templates, IndexKind.APPROXIMATE)
        self.recall = self._tune_recall(wanted_recall) if self._templates else 1.0
        del self._templates

    def _block_with_room(self, rows: int) -> int:  # noqa: ARG002  one block has room for all
        if not self._blocks:
            quantizer = faiss.IndexFlatIP(self.version.dimension)
            index = faiss.IndexIVFFlat(
                quantizer, self.version.dimension, self.lists, faiss.METRIC_INNER_PRODUCT
            )
            sample = np.concatenate(
                [prototypes for _, prototypes in self._templates[: 64 * self.lists]]
            )
            index.train(np.ascontiguousarray(sample, np.float32))
            index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
            self._blocks.append(index)
        return 0

    def _tune_recall(self, wanted: float) -> float:
        index, rng = self._blocks[0], np.random.default_rng(0)
        picked = rng.permutation(len(self._templates))[:500]
        probes = np.stack([self._templates[row][1][0] for row in picked])
        # Two photos of one person score about 0.75 with small real packs (25 public photographs).
        probes = probes + rng.normal(0, 0.88 / np.sqrt(probes.shape[1]), probes.shape)
        probes = np.ascontiguousarray(
            probes / np.linalg.norm(probes, axis=1, keepdims=True), np.float32
        )
        index.nprobe = self.lists
        _, truth = index.search(probes, 1)
        while True:
            index.nprobe = self.probed_lists
            _, found = index.search(probes, 1)
            recall = float((found == truth).mean())
            if recall >= wanted or self.probed_lists >= self.lists:
                return recall
            self.probed_lists = min(self.lists, self.probed_lists * 2)
