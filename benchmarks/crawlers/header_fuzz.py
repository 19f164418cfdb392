"""Hostile input for the header parser: no crash, no hang, no read or allocation over the limit.

    python -m benchmarks.crawlers.header_fuzz [RUNS]

There are three kinds of input: coverage-guided mutations (atheris, RUNS of them), documents that
are nearly headers (hypothesis, a tenth of RUNS), and bombs of the largest size that is read, each
in its own process whose peak memory is printed.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from crawlers.checkpoints.header import DTYPE_BITS, MAX_HEADER_BYTES, parse_beginning, read_header
from crawlers.errors import UnreadableCheckpoint

RUNS = 1_000_000
SLOWEST_S = 1.0
LIMIT = MAX_HEADER_BYTES


class Bytes:
    """A checkpoint in memory that raises if more than the largest header is requested."""

    def __init__(self, data: bytes) -> None:
        self.data, self.bytes_read, self.size_bytes = data, 0, len(data)

    def read(self, start: int, length: int) -> bytes:
        if not 0 <= length <= MAX_HEADER_BYTES:
            raise AssertionError(f"{length:,} bytes were asked for")
        self.bytes_read += length
        return self.data[start : start + length]


def outcome(data: bytes) -> str:
    """The outcome for an input; only headers and this package's errors are accepted."""
    try:
        parse_beginning(data[8:], len(data))
    except UnreadableCheckpoint as error:
        str(error).encode()
    try:
        header = read_header(Bytes(data))
    except UnreadableCheckpoint as error:
        str(error).encode()
        return type(error).__name__
    sum(len(name) for name in header.shapes)
    return "header"


def framed(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


def valid(rng: random.Random) -> bytes:
    """A header as a trainer writes it, with its data."""
    place, document = 0, {}
    for number in range(rng.randint(0, 8)):
        dtype = rng.choice([name for name, bits in DTYPE_BITS.items() if bits >= 8])
        shape = [rng.randint(0, 6) for _ in range(rng.randint(0, 4))]
        size = DTYPE_BITS[dtype] // 8
        for one in shape:
            size *= one
        document[f"lora_unet_{number}.lora_down.weight"] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [place, place + size],
        }
        place += size
    document["__metadata__"] = {"ss_tag_frequency": '{"40_x": {"tag": 3}}', "é": '\\"'}
    return framed(json.dumps(document, ensure_ascii=rng.random() < 0.5).encode(), bytes(place))


def coverage_guided(runs: int) -> None:
    """Run atheris in its own process, because it ends the process in which it runs."""
    with tempfile.TemporaryDirectory() as folder:
        rng = random.Random(1)
        for number in range(200):
            Path(folder, f"seed-{number}").write_bytes(
                bytes([number % 2]) + valid(rng)[8 * (number % 2) :]
            )
        code = (
            "import sys, atheris\n"
            "with atheris.instrument_imports(include=['crawlers', 'json']):\n"
            "    from benchmarks.crawlers.header_fuzz import outcome, framed\n"
            "def one(data):\n"
            "    outcome(framed(data[1:]) if data[:1] == b'\\x01' else data[1:])\n"
            "atheris.Setup(sys.argv, one)\natheris.Fuzz()\n"
        )
        limits = [
            f"-runs={runs}",
            "-timeout=1",
            "-rss_limit_mb=600",
            "-malloc_limit_mb=64",
            "-max_len=70000",
            "-seed=7",
            f"-artifact_prefix={folder}/",
        ]
        done = subprocess.run(
            [sys.executable, "-c", code, *limits, folder],
            capture_output=True,
            text=True,
            check=False,
        )
    told = [
        line
        for line in done.stderr.splitlines()
        if line.startswith(("Done", "==", "ALARM")) or "DONE" in line
    ]
    print(f"atheris: ended with {done.returncode}; {'; '.join(told[-2:]) or done.stderr[-500:]}")
    if done.returncode:
        sys.exit(done.stderr[-3000:])


def nearly_headers(runs: int) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    counts: dict[str, int] = {}
    slowest = [0.0]
    size = st.integers(-1, 5) | st.integers(2**31, 2**64) | st.floats() | st.none() | st.booleans()
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from([*DTYPE_BITS, "F31", "", 3]),
            "shape": st.lists(size, max_size=5) | st.text(),
            "data_offsets": st.just([0, 0]) | st.lists(size, max_size=3),
        }
    )
    document = st.dictionaries(
        st.text(max_size=9), entry | st.none() | st.text() | st.lists(size), max_size=5
    )
    metadata = st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=4)

    @settings(
        max_examples=runs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        document,
        metadata | st.none(),
        st.just(0) | st.integers(-9, 9),
        st.binary(max_size=40),
        st.booleans(),
    )
    def one(tensors: dict, told: object, off: int, data: bytes, cut: bool) -> None:
        text = json.dumps(tensors if told is None else {**tensors, "__metadata__": told}).encode()
        whole = struct.pack("<Q", max(0, len(text) + off)) + text + data
        # Hypothesis keeps so many objects that a collection would take longer than any header.
        gc.disable()
        started = time.process_time()
        what = outcome(whole[: len(whole) // 2] if cut else whole)
        slowest[0] = max(slowest[0], time.process_time() - started)
        gc.enable()
        counts[what] = counts.get(what, 0) + 1

    one()
    total = sum(counts.values())
    print(f"hypothesis: {total:,} inputs, slowest {slowest[0] * 1000:.0f} ms, {counts}")
    if slowest[0] > SLOWEST_S:
        sys.exit("an input took longer than a second")


def _repeated(unit: bytes, start: bytes = b"{", end: bytes = b"}") -> bytes:
    return (start + unit * ((LIMIT - len(start) - len(end)) // len(unit)))[: LIMIT - len(end)] + end


BOMBS: dict[str, Callable[[], bytes]] = {
    "empty objects": lambda: _repeated(b'"":{},'),
    "empty strings": lambda: _repeated(b'"",', b'{"a":['),
    "nulls": lambda: _repeated(b"0,", b'{"a":['),
    "lists in lists": lambda: _repeated(b"[", b'{"a":', b""),
    "objects in objects": lambda: _repeated(b'{"a":', b'{"a":', b""),
    "one long string": lambda: b'{"__metadata__":{"a":"' + b"x" * (LIMIT - 30) + b'"}}',
    "one long string of wide characters": lambda: (
        b'{"__metadata__":{"a":"' + "𝕏".encode() * (LIMIT // 4 - 9) + b'"}}'
    ),
    "escapes": lambda: _repeated(b"\\u0041", b'{"__metadata__":{"a":"', b'"}}'),
    "backslashes": lambda: _repeated(b"\\\\", b'{"__metadata__":{"a":"', b'"}}'),
    "quotes in a string": lambda: _repeated(b'\\"', b'{"__metadata__":{"a":"', b'"}}'),
    "metadata entries": lambda: _repeated(b'"a":"",', b'{"__metadata__":{', b'"b":""}}'),
    "spaces": lambda: b"{" + b" " * (LIMIT - 2) + b"}",
    "digits": lambda: b'{"a":' + b"1" * (LIMIT - 10) + b"}",
    "twenty thousand tensors": lambda: json.dumps(
        {
            "t" * 700 + str(n): {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]}
            for n in range(20_000)
        }
    ).encode(),
}


def bomb(name: str) -> None:
    """Parse one bomb in this process."""
    text = BOMBS[name]()
    data = framed(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    what = outcome(data)
    took = time.perf_counter() - started
    grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"bomb {name}: {len(text) / 2**20:.1f} MiB, {what}, {took * 1000:.0f} ms, "
        f"{grew:.0f} MiB more memory"
    )
    if took > SLOWEST_S or grew > 16 * LIMIT / 2**20:
        sys.exit(f"{name}: over the limits")


def main() -> None:
    if len(sys.argv) > 2 and sys.argv[1] == "--bomb":
        bomb(sys.argv[2])
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    for name in BOMBS:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.crawlers.header_fuzz", "--bomb", name], check=True
        )
    coverage_guided(runs)
    nearly_headers(runs // 10)


if __name__ == "__main__":
    main()
