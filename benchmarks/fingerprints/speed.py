"""How long a fingerprint and a search take, beside bare FAISS.

`python -m benchmarks.fingerprints.speed [--files N ...]`. The adapter has the names and shapes of
an SDXL LoRA of rank 32 by kohya's sd-scripts, with random numbers; it is fingerprinted in a process
with one thread. The store is filled with random sketches.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import save_file

RANK = 32
_MIB = 2**20


def sdxl_modules() -> Iterator[tuple[str, int, int]]:
    """Name, outputs and inputs of every linear layer that sd-scripts trains by default."""
    blocks = [
        *((f"down_blocks_1_attentions_{layer}", 640, 2) for layer in range(2)),
        *((f"down_blocks_2_attentions_{layer}", 1280, 10) for layer in range(2)),
        ("mid_block_attentions_0", 1280, 10),
        *((f"up_blocks_0_attentions_{layer}", 1280, 10) for layer in range(3)),
        *((f"up_blocks_1_attentions_{layer}", 640, 2) for layer in range(3)),
    ]
    for block, width, depth in blocks:
        yield f"lora_unet_{block}_proj_in", width, width
        yield f"lora_unet_{block}_proj_out", width, width
        for number in range(depth):
            start = f"lora_unet_{block}_transformer_blocks_{number}"
            for attention, inputs in (("attn1", width), ("attn2", 2048)):
                yield f"{start}_{attention}_to_q", width, width
                yield f"{start}_{attention}_to_k", width, inputs
                yield f"{start}_{attention}_to_v", width, inputs
                yield f"{start}_{attention}_to_out_0", width, width
            yield f"{start}_ff_net_0_proj", 8 * width, width
            yield f"{start}_ff_net_2", width, 4 * width
    for encoder, width, depth in (("te1", 768, 12), ("te2", 1280, 32)):
        for number in range(depth):
            start = f"lora_{encoder}_text_model_encoder_layers_{number}"
            for layer in ("q", "k", "v", "out"):
                yield f"{start}_self_attn_{layer}_proj", width, width
            yield f"{start}_mlp_fc1", 4 * width, width
            yield f"{start}_mlp_fc2", width, 4 * width


def write_sdxl(path: Path) -> int:
    """Write the adapter; return its bytes."""
    rng = np.random.default_rng(32)
    tensors: dict[str, np.ndarray] = {}
    for stem, outputs, inputs in sdxl_modules():
        tensors[f"{stem}.lora_up.weight"] = (rng.standard_normal((outputs, RANK)) * 0.01).astype(
            "f2"
        )
        tensors[f"{stem}.lora_down.weight"] = (rng.standard_normal((RANK, inputs)) * 0.01).astype(
            "f2"
        )
        tensors[f"{stem}.alpha"] = np.array(16, "f2")
    save_file(tensors, path, {"ss_base_model_version": "sdxl_base_v1-0"})
    return path.stat().st_size


def fingerprint_once(path: Path) -> None:
    """Fingerprint a file twice and print seconds of the second time, and the process's memory."""
    from scanner.fingerprints.fingerprint import fingerprint_of

    fingerprint_of(path)
    started = time.perf_counter()
    fingerprint_of(path)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{seconds:.2f} s, at most {peak:.0f} MiB of memory in the whole process")


def fill(path: Path, files: int) -> np.ndarray:
    """A store of random fingerprints; the sketches that were put into it."""
    from scanner.clock import utc_now
    from scanner.fingerprints.fingerprint import FileFacts, Fingerprint
    from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
    from scanner.fingerprints.module_names import Network
    from scanner.fingerprints.sketch import NUMBERS, VERSION, Sketch

    rng = np.random.default_rng(7)
    store = FingerprintStore(path)
    facts = FileFacts("lora", "F16", 32, 722, "0" * 16, 0.0, None)
    known = KnownFile("first", None, "first", Fingerprint(VERSION, "SDXL", {}, facts))
    sketch = Sketch(rng.standard_normal(NUMBERS).astype("f2"), 1.0)
    store.add(
        replace(known, fingerprint=Fingerprint(VERSION, "SDXL", {Network.DENOISER: sketch}, facts)),
        utc_now(),
    )
    # Rows like the first one, written at once.
    db = store._db
    with db.conn:
        for start in range(1, files, 20_000):
            count = min(20_000, files - start)
            numbers = rng.standard_normal((count, NUMBERS), np.float32)
            numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
            rows = numbers.astype("<f2")
            db.conn.executemany(
                "insert into fingerprints (sha256, name, version, family, facts, made_at, "
                "denoiser, denoiser_length) select ?, name, version, family, facts, made_at, ?, 1 "
                "from fingerprints where sha256 = 'first'",
                [(f"{start + number:064x}", row.tobytes()) for number, row in enumerate(rows)],
            )
    store.close()
    return sketch.direction()


def median_ms(call: Callable[[], object], times: int) -> float:
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1000


def measure_search(folder: Path, files: int) -> None:
    import faiss

    from scanner.fingerprints.fingerprint import FileFacts, Fingerprint
    from scanner.fingerprints.fingerprint_store import FingerprintStore, KnownFile
    from scanner.fingerprints.module_names import Network
    from scanner.fingerprints.relatives import StoreSearch, relatives_of
    from scanner.fingerprints.sketch import NUMBERS, VERSION, Sketch

    started = time.perf_counter()
    fill(folder / "fingerprints.db", files)
    print(f"{files:,} fingerprints stored in {time.perf_counter() - started:.0f} s, "
          f"{(folder / 'fingerprints.db').stat().st_size / files:,.0f} bytes each")  # fmt: skip
    store = FingerprintStore(folder / "fingerprints.db")
    search = StoreSearch(store)
    rng = np.random.default_rng(9)
    facts = FileFacts("lora", "F16", 32, 722, "1" * 16, 0.0, None)
    sketch = Sketch(rng.standard_normal(NUMBERS).astype("f2"), 1.0)
    unknown = KnownFile(
        "new", None, "new", Fingerprint(VERSION, "SDXL", {Network.DENOISER: sketch}, facts)
    )
    started = time.perf_counter()
    search.size("SDXL", Network.DENOISER)
    print(f"index built from the store in {time.perf_counter() - started:.1f} s")
    copy = next(iter(store.numbered([files // 2]).values()))
    copy = replace(copy, sha256="copy")
    bare = faiss.IndexFlatIP(NUMBERS)
    for _, numbers in store.sketches("SDXL", Network.DENOISER, 0):
        wide = numbers.astype(np.float32)
        bare.add(wide / np.linalg.norm(wide, axis=1, keepdims=True))
    direction = sketch.direction()[None]
    times = 30 if files <= 200_000 else 10
    rounds = [
        (
            median_ms(lambda: relatives_of(unknown, search), times),
            median_ms(lambda: bare.search(direction, 200), times),
            median_ms(lambda: relatives_of(copy, search), times),
        )
        for _ in range(3)
    ]
    ours, plain, copied = np.median(np.array(rounds), axis=0)
    print(
        f"one unrelated file: {ours:.1f} ms, bare exact FAISS {plain:.1f} ms, "
        f"ratio {ours / plain:.2f}; one copy: {copied:.1f} ms; {os.cpu_count()} cores"
    )
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--fingerprint", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fingerprint is not None:
        fingerprint_once(options.fingerprint)
        return
    with TemporaryDirectory() as name:
        path = Path(name) / "sdxl.safetensors"
        print(f"an SDXL adapter of rank {RANK}, {write_sdxl(path) / _MIB:.0f} MiB:", flush=True)
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [
            sys.executable,
            "-m",
            "benchmarks.fingerprints.speed",
            "--fingerprint",
            str(path),
        ]
        subprocess.run(command, env={**os.environ, **one}, check=True)
        path.unlink()
    for files in options.files:
        with TemporaryDirectory() as name:
            measure_search(Path(name), files)


if __name__ == "__main__":
    main()
