"""The fingerprint of a weights file, made from its bytes on a CPU without a model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from crawlers.checkpoints.header import (
    ByteSource,
    FileSource,
    Header,
    TensorEntry,
    read_header,
)
from crawlers.errors import UnreadableCheckpoint
from scanner.adapters.families import family_by_tensors
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.formats.registry import ADAPTER_KINDS, WEIGHT_CHANGES
from scanner.adapters.header_strengths import strengths_in_header
from scanner.adapters.kinds import UNKNOWN, kind_of
from scanner.errors import NoFingerprint, UnfaithfulLoad
from scanner.fingerprints.module_names import NamedModule, Network, is_of_model, modules_of
from scanner.fingerprints.signs import FACTOR_ROWS, SIDE, ModuleSigns
from scanner.fingerprints.sketch import VERSION, Sketch, sketch_of

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

_MOST_SESSION_ID = 40
_MOST_NUMBERS = 2**28  # of one tensor; the largest of a model has a fifth of it
# Of each algorithm with low ranks, a factor that starts at random.
_FIRST_FACTORS = ("lora_down", "hada_w1_b", "lokr_w1", "lokr_w1_b", "b2")
_DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
}


# What numpy and torch raise for tensors that do not fit each other.
_UNFIT = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    ZeroDivisionError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What tells how a copy was made, from a file's header and tensors.

    Attributes:
        kind: see scanner.adapters.kinds.
        dtype: that most numbers have.
        rank: the highest of any module; None without a low rank.
        modules: number of modules whose weights change.
        names_hash: digest of the sorted tensor names.
        zeros: share of exact zeros among the numbers of matrices, 0 to 1.
        session_id: of the training, by its record in the header.
    """

    kind: str
    dtype: str
    rank: int | None
    modules: int
    names_hash: str
    zeros: float
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The sketches of a file's change of weights.

    Attributes:
        version: of the sketches.
        family: of the base model, by the tensors alone.
        sketches: by network that the file changes.
        start: sketch of the factors that trainers fill with random numbers first. Training hardly
            moves them, so trainings from one seed have them in common. None without such factors.
    """

    version: int
    family: str
    sketches: Mapping[Network, Sketch]
    facts: FileFacts
    start: Sketch | None = None


CHECKPOINT = "checkpoint"


def kind_of_file(path: Path) -> str:
    """The kind of a file by its tensors; "unknown" for what is no safetensors file."""
    try:
        return kind_of(read_header(FileSource(path)).shapes)
    except (UnreadableCheckpoint, OSError):
        return UNKNOWN


def fingerprint_of(path: Path) -> Fingerprint:
    """The fingerprint of a file on disk; see fingerprint_from."""
    try:
        return fingerprint_from(FileSource(path))
    except OSError as error:
        raise NoFingerprint(f"the file cannot be read: {error.strerror}") from error


def fingerprint_from(source: ByteSource) -> Fingerprint:
    """The fingerprint of a file from its bytes, which are read module by module.

    Biases are left out. What of a change depends on the base model's weights is left out as well:
    the length that DoRA learns and the first product of GLoRA. OFT and IA3 are sketched as the
    rotations and factors that they are, so they are compared with their own kind only.

    Raises:
        NoFingerprint: the file cannot be read, is no adapter, or changes no weight.
    """
    try:
        header = read_header(source)
    except UnreadableCheckpoint as error:
        raise NoFingerprint(f"the file cannot be read: {error}") from error
    kind = kind_of(header.shapes)
    if kind not in ADAPTER_KINDS:
        raise NoFingerprint(f"a {kind} file has no change of weights to compare")
    finding = family_by_tensors(header.shapes)
    family = finding.family
    modules = parts_of_file(header.tensors).modules
    alphas = _alphas(modules, header)
    named = modules_of(modules, family, finding.fits)
    reader = TensorReader(source, header)
    totals = {network: np.zeros((SIDE, SIDE)) for network in Network}
    start, changed = np.zeros((FACTOR_ROWS, SIDE)), 0
    with np.errstate(all="ignore"):  # what overflows is not finite, which is refused below
        for stem, parts in modules.items():
            if not is_of_model(named[stem], family):
                continue  # whatever it holds, the model has no such module
            projected = _projected(reader, parts, alphas.get(stem, {}), named[stem])
            if projected is not None:
                totals[named[stem].network] += projected[0]
                start += projected[1]
                changed += 1
    if not all(np.isfinite(total).all() for total in (start, *totals.values())):
        raise NoFingerprint("the file holds NaN or infinity; it is damaged")
    found = {network: sketch_of(total) for network, total in totals.items()}
    sketches = {network: sketch for network, sketch in found.items() if sketch is not None}
    if not sketches:
        raise NoFingerprint("the file changes no weight")
    facts = FileFacts(
        kind,
        reader.dtype,
        _rank(modules, header.shapes),
        changed,
        hashlib.sha256("\n".join(sorted(header.tensors)).encode()).hexdigest()[:16],
        reader.zeros,
        (header.metadata.get("ss_session_id") or "")[:_MOST_SESSION_ID] or None,
    )
    return Fingerprint(VERSION, family, sketches, facts, sketch_of(start))


def _projected(
    reader: TensorReader, names: Mapping[str, str], alphas: Mapping[str, float], named: NamedModule
) -> tuple[Array, Array] | None:
    """The change of a module between its signs, and its first factor; None if no weight changes.

    They are [SIDE, SIDE] and [FACTOR_ROWS, SIDE]; the factor is zeros where there is none.
    """
    change = next((change for change in WEIGHT_CHANGES if change.mark in names), None)
    if change is None:
        return None
    signs = ModuleSigns(VERSION, named)
    parts: dict[str, Array] = {}
    try:
        parts |= {part: reader.read(name) for part, name in names.items()}
        parts |= {part: np.array(number) for part, number in alphas.items()}
        if not all(array.size for array in parts.values()):
            raise ValueError("a tensor without numbers")
        between = signs.folded(change.project(parts, signs))
        factor = next((parts[part] for part in _FIRST_FACTORS if part in parts), None)
        if factor is None or factor.ndim < 2:
            return between, np.zeros((FACTOR_ROWS, SIDE))
        return between, signs.of_factor(factor)
    except _UNFIT as error:
        shapes = {part: array.shape for part, array in parts.items()}
        raise NoFingerprint(f"tensors of shapes {shapes} are no change of a weight") from error


def _alphas(
    modules: Mapping[str, Mapping[str, str]], header: Header
) -> dict[str, dict[str, float]]:
    """Alpha and rank-stabilised scaling by the header, of modules without their own alpha."""
    ranks = {
        stem: header.tensors[parts["lora_down"]].shape[0]
        for stem, parts in modules.items()
        if "lora_down" in parts and header.tensors[parts["lora_down"]].shape
    }
    own = {stem for stem in ranks if "alpha" in modules[stem]}
    try:
        strengths = strengths_in_header(ranks, own, header.metadata)
    except UnfaithfulLoad:
        return {}  # the strength is not known; a direction does not depend on it
    found: dict[str, dict[str, float]] = {}
    for stem, strength in strengths.items():
        numbers = {"alpha": strength.alpha} if strength.alpha is not None else {}
        if strength.rank_stabilised:
            numbers["rslora"] = 1.0
        found[stem] = numbers
    return found


def _rank(
    modules: Mapping[str, Mapping[str, str]], shapes: Mapping[str, tuple[int, ...]]
) -> int | None:
    ranked = ("lora_down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b", "b2")
    ranks = [
        shapes[parts[part]][0]
        for parts in modules.values()
        for part in ranked
        if part in parts and shapes[parts[part]]
    ]
    return max(ranks, default=None)


class TensorReader:
    """Reads tensors one at a time, in float64, and counts what it reads."""

    def __init__(self, source: ByteSource, header: Header) -> None:
        self._source, self._header = source, header
        self._zeros = self._numbers = 0

    @property
    def zeros(self) -> float:
        """The share of zeros among the numbers of matrices that were read."""
        return self._zeros / self._numbers if self._numbers else 0.0

    @property
    def dtype(self) -> str:
        """The dtype that most numbers of the file have."""
        counts: Counter[str] = Counter()
        for entry in self._header.tensors.values():
            counts[entry.dtype] += entry.end - entry.begin
        return counts.most_common(1)[0][0]

    def read(self, name: str) -> Array:
        """A tensor of the file.

        Raises:
            NoFingerprint: it cannot be read, or has numbers of a precision that is not known.
        """
        entry = self._header.tensors[name]
        wide: Array = self._numbers_of(name, entry).astype(np.float64).reshape(entry.shape)
        if len(entry.shape) > 1:
            self._zeros += int(np.count_nonzero(wide == 0))
            self._numbers += wide.size
        return wide

    def _numbers_of(self, name: str, entry: TensorEntry) -> np.ndarray[Any, Any]:
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            raise NoFingerprint(f"numbers of precision {entry.dtype} cannot be read: {name[:80]}")
        count = (entry.end - entry.begin) // np.dtype(dtype).itemsize
        if count > _MOST_NUMBERS:
            raise NoFingerprint(f"{name[:80]} has {count:,} numbers, more than any model's")
        data = self._source.read(
            8 + self._header.header_bytes + entry.begin, entry.end - entry.begin
        )
        if len(data) != entry.end - entry.begin:
            raise NoFingerprint("the file became shorter while it was read")
        return np.frombuffer(data, dtype)
