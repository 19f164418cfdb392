"""Search, change and start-up of the gallery compared with FAISS alone.

    python -m benchmarks.face_index.gallery

The vectors are random unit vectors with 512 values: only their number and length affect the time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import faiss
import numpy as np

from face_index.faces.face import PackVersion
from face_index.gallery.faiss_gallery import ApproximateGallery, FaissGallery, IndexKind

DIMENSION, PROBES, ROUNDS = 512, 256, 5
VERSION = PackVersion("random", "00" * 32, DIMENSION)


def unit_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(count: int) -> None:
    vectors, probes = unit_rows(count, 1), unit_rows(PROBES, 2)
    bare = faiss.IndexFlatIP(DIMENSION)
    bare.add(vectors)
    started = time.perf_counter()
    gallery = FaissGallery(
        VERSION, ((f"{row:08x}", vectors[row : row + 1]) for row in range(count))
    )
    built = time.perf_counter() - started
    ours, plain = [], []
    for _ in range(ROUNDS):
        plain.append(timed(partial(bare.search, probes, 5)))
        ours.append(timed(partial(gallery.search, probes, 5)))
    scores, rows = bare.search(probes, 5)
    found = gallery.search(probes, 5)
    same = all(
        [candidate.identity_id for candidate in line] == [f"{row:08x}" for row in truth]
        for line, truth in zip(found, rows, strict=True)
    )
    gap = max(
        abs(candidate.score - score)
        for line, truth in zip(found, scores, strict=True)
        for candidate, score in zip(line, truth, strict=True)
    )
    ratio = statistics.median(ours) / statistics.median(plain)
    print(
        f"{count:>9,} identities: search of {PROBES} probes {statistics.median(ours) * 1000:.0f} "
        "ms, bare FAISS Flat "
        f"{statistics.median(plain) * 1000:.0f} ms, ratio {ratio:.3f}; same identities: {same}, "
        f"largest score gap {gap:.1e}; built in {built:.1f} s"
    )
    change(gallery, vectors)
    single = [timed(lambda row=row: gallery.search(probes[row : row + 1], 5)) for row in range(9)]
    print(f"{'':>9} one probe: {statistics.median(single) * 1000:.1f} ms")
    if count <= 100_000:
        started = time.perf_counter()
        approximate = ApproximateGallery(
            VERSION, [(f"{row:08x}", vectors[row : row + 1]) for row in range(count)]
        )
        took = time.perf_counter() - started
        fast = statistics.median(
            timed(lambda: approximate.search(probes, 5)) for _ in range(ROUNDS)
        )
        print(
            f"{'':>9} approximate, by choice: recall {approximate.recall:.4f} measured on the "
            f"spot, {approximate.probed_lists} of "
            f"{approximate.lists} lists, {fast * 1000:.0f} ms, built in {took:.1f} s"
        )
    half = FaissGallery(
        VERSION,
        ((f"{row:08x}", vectors[row : row + 1]) for row in range(min(count, 100_000))),
        IndexKind.HALF,
    )
    del bare
    print(
        f"{'':>9} half precision on {len(half):,}: "
        f"{timed(lambda: half.search(probes, 5)) * 1000:.0f} ms"
    )


def change(gallery: FaissGallery, vectors: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    removed, added = [], []
    for row in rng.integers(0, len(vectors), 20):
        name = f"{row:08x}"
        removed.append(timed(lambda name=name: gallery.remove(name)))
        added.append(timed(lambda name=name, row=row: gallery.add(name, vectors[row : row + 1])))
    print(
        f"{'':>9} remove one: median {statistics.median(removed) * 1000:.1f} ms, worst "
        f"{max(removed) * 1000:.1f} ms; "
        f"add one: median {statistics.median(added) * 1000:.1f} ms, worst {max(added) * 1000:.1f} "
        "ms"
    )


if __name__ == "__main__":
    for size in [int(argument) for argument in sys.argv[1:]] or [1_000, 100_000, 1_000_000]:
        compare(size)
