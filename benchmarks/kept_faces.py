"""Kept faces searched in a second, beside the bare face network and bare FAISS.

Miniature adapters of people are drawn once, and their samples are copied under new hashes until
the sample store has as many sealed faces of screening as asked for. Then everybody who is
registered is searched in them, as a retrosearch does it: faces are unsealed, unpacked, embedded and
compared. Only files in which nobody came near are copied; the others need all their faces, and
`python -m benchmarks.retrosearch` has both kinds. The bare network embeds faces from memory, and
bare FAISS searches vectors. The three take turns, in rounds.

Run: python -m benchmarks.kept_faces [--faces 1000000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from benchmarks.retrosearch import REGISTERED, copy_of, draw, register, remembering
from face_index.faces.face import Vector
from scanner.factories import open_scan_session
from scanner.miniature.albums import FREE_SEEDS
from scanner.sampling import sample_store
from scanner.sampling.images import Pixels
from scanner.sampling.sample_store import KeptDrawing
from scanner.scanning.retrosearch import FILES_AT_ONCE
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

ROUNDS = 5
BARE_FACES = 40_000


def fill(session: ScanSession, shown: Sequence[KeptDrawing], wanted: int) -> tuple[list[str], int]:
    """Store copies until there are enough faces of screening; return their keys and that number."""
    store = session.kept.store
    faces = {kept.sampling_key: store.patches(kept.sampling_key) or {} for kept in shown}
    of_screening = {
        kept.sampling_key: len(store.patches(kept.sampling_key, only_screening=True) or {})
        for kept in shown
    }
    keys: list[str] = []
    stored = 0
    while stored < wanted:
        kept = shown[len(keys) % len(shown)]
        copied = copy_of(kept, len(keys))
        store.keep(copied, faces[kept.sampling_key], {})
        keys.append(copied.sampling_key)
        stored += of_screening[kept.sampling_key]
    return keys, stored


def search(session: ScanSession, keys: Sequence[str]) -> float:
    """Search everybody in the faces of these files; return the seconds."""
    snapshot = session.take_snapshot()
    began = time.monotonic()
    for start in range(0, len(keys), FILES_AT_ONCE):
        session.kept.decisions(keys[start : start + FILES_AT_ONCE], snapshot)
    return time.monotonic() - began


def embed(
    session: ScanSession, patches: Sequence[Pixels], count: int
) -> tuple[float, list[Vector]]:
    """Embed this many faces from memory; return the seconds and the vectors of a part."""
    part = [patches[number % len(patches)] for number in range(2_000)]
    vectors: list[Vector] = []
    began = time.monotonic()
    for _ in range(max(1, count // len(part))):
        vectors = session.faces.reader.embed(part)
    return time.monotonic() - began, vectors


def search_bare(index: faiss.Index, probes: np.ndarray, count: int) -> float:
    """Search this many vectors in FAISS; return the seconds."""
    began = time.monotonic()
    for _ in range(max(1, count // len(probes))):
        index.search(probes, 5)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    wanted = parser.parse_args().faces
    home, uploads = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    settings = Settings(home=home, face_pack="miniature", device="cpu")
    sample_store.strip_bytes = remembering(sample_store.strip_bytes)
    with open_scan_session(settings) as session:
        register(session, FREE_SEEDS[:REGISTERED])
        people_files, _, _ = draw(session, uploads)
        shown = [kept for kept in people_files if not kept.drawing.confirmation]
        patches = [
            patch
            for kept in shown
            for patch in (session.kept.store.patches(kept.sampling_key) or {}).values()
        ]
        began = time.monotonic()
        keys, stored = fill(session, shown, wanted)
        size = settings.samples_path.stat().st_size / 1e9
        print(
            f"{stored:,} faces of screening in {len(keys):,} files, {size:.1f} GB, stored in "
            f"{time.monotonic() - began:.0f} s; {REGISTERED} people"
        )
        embed(session, patches, 1)
        per_round = -(-len(keys) // ROUNDS)
        seconds: list[tuple[float, float, float]] = []
        count, bare_count = stored // ROUNDS, min(stored // ROUNDS, BARE_FACES)
        for start in range(0, len(keys), per_round):
            searching = search(session, keys[start : start + per_round])
            embedding, vectors = embed(session, patches, bare_count)
            probes = np.stack(vectors)
            index = faiss.IndexFlatIP(probes.shape[1])
            index.add(probes[:REGISTERED])
            seconds.append((searching, embedding, search_bare(index, probes, bare_count)))
        ours_s, network_s, bare_s = map(statistics.median, zip(*seconds, strict=True))
        ours, network, bare = count / ours_s, bare_count / network_s, bare_count / bare_s
        print(
            f"faces a second, median of {len(seconds)} rounds: ours {ours:,.0f}, bare network "
            f"{network:,.0f}, bare FAISS {bare:,.0f}; network and FAISS alone take "
            f"{(1 / network + 1 / bare) * ours:.0%} of our time"
        )
    shutil.rmtree(home)
    shutil.rmtree(uploads)


if __name__ == "__main__":
    main()
