"""Face detectors beside each other, with one recogniser: photos with a usable face, and FNIR.

    python -m benchmarks.face_index.detectors FOLDER PACK PACK...

FOLDER has a folder of photos for each person. Each PACK is a folder with a pack.toml or in
InsightFace's layout; all should have the same recogniser. Only photos in which all find a usable
face are compared, so that FNIR shows what the landmarks are worth, and the others are counted.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.face_index.score_norm import means, misses, read_folder


def main() -> None:
    folder, packs = Path(sys.argv[1]), sys.argv[2:]
    read = {}
    for pack in packs:
        started = time.monotonic()
        read[pack] = read_folder(folder, pack)
        found, seconds = read[pack], time.monotonic() - started
        print(
            f"{Path(pack).name}: {len(found.faces) / found.photo_count:.2%} of "
            f"{found.photo_count:,} photos usable, {found.photo_count / seconds:.0f} a second; "
            f"refused: {found.failures}",
            flush=True,
        )
    common = set.intersection(*(set(one.faces) for one in read.values()))
    print(f"{len(common):,} photos are usable for all")
    for pack, one in read.items():
        shared = replace(one, faces={photo: one.faces[photo] for photo in common})
        templates, probes = (np.stack(kind) for kind in zip(*means(shared).values(), strict=True))
        print(f"  {Path(pack).name:20} {len(templates)} persons  "
              f"{'  '.join(misses(probes @ templates.T))}")  # fmt: skip


if __name__ == "__main__":
    main()
