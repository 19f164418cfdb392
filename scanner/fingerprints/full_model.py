"""The change of a full checkpoint against its base model, where that is on this machine.

The projections of both are subtracted module by module, which is the projection of the change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crawlers.checkpoints.header import FileSource, Header, read_header
from crawlers.errors import UnreadableCheckpoint
from scanner.adapters.checkpoint_names import SINGLE_FILE_FAMILIES, UNET_PREFIX
from scanner.adapters.families import family_of
from scanner.adapters.formats.difference import DIFFERENCE
from scanner.errors import NoFingerprint
from scanner.fingerprints.fingerprint import FileFacts, Fingerprint, TensorReader
from scanner.fingerprints.module_names import Network, modules_of
from scanner.fingerprints.signs import SIDE, ModuleSigns
from scanner.fingerprints.sketch import VERSION, sketch_of

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

BaseOf = Callable[[str], Path | None]
"""The file with the denoiser of a family's base model; None if it is not on this machine."""

_LEAST_SHARED = 0.95


def fingerprint_of_checkpoint(path: Path, base_of: BaseOf) -> Fingerprint:
    """The fingerprint of a full checkpoint's denoiser against its base model.

    Norms and biases are left out.

    Raises:
        NoFingerprint: the base model is not here, or is of another shape.
    """
    header = _header(path)
    family = family_of(header.shapes)
    base = base_of(family) if family in SINGLE_FILE_FAMILIES else None
    if base is None:
        raise NoFingerprint(
            f"the base model of a full checkpoint of {family} is not on this machine"
        )
    reader = TensorReader(FileSource(path), header)
    own = _projections(reader, header, family)
    others = _base_projections(base, base.stat().st_mtime_ns, family)
    shared = own.keys() & others.keys()
    if len(shared) < _LEAST_SHARED * max(len(own), len(others), 1):
        raise NoFingerprint(f"it has other modules than the base model of {family}")
    total: Array = sum(
        (own[name] - others[name] for name in sorted(shared)), np.zeros((SIDE, SIDE))
    )
    sketch = sketch_of(total)
    if sketch is None:
        raise NoFingerprint("it is the base model, or is damaged")
    facts = FileFacts(
        "checkpoint",
        reader.dtype,
        None,
        len(shared),
        hashlib.sha256("\n".join(sorted(header.tensors)).encode()).hexdigest()[:16],
        reader.zeros,
        None,
    )
    return Fingerprint(VERSION, family, {Network.DENOISER: sketch}, facts)


def _header(path: Path) -> Header:
    try:
        return read_header(FileSource(path))
    except (UnreadableCheckpoint, OSError) as error:
        raise NoFingerprint(f"the file cannot be read: {error}") from error


@lru_cache(maxsize=2)
def _base_projections(path: Path, _modified: int, family: str) -> Mapping[str, Array]:
    header = _header(path)
    return _projections(TensorReader(FileSource(path), header), header, family)


def _projections(reader: TensorReader, header: Header, family: str) -> dict[str, Array]:
    """Each module's weight between its signs, by the module's name."""
    is_whole = any(name.startswith(UNET_PREFIX) for name in header.tensors)
    weights = {
        name.removesuffix(".weight"): name
        for name, entry in header.tensors.items()
        if name.endswith(".weight")
        and len(entry.shape) > 1
        and (not is_whole or name.startswith(UNET_PREFIX))
    }
    [project] = [change.project for change in DIFFERENCE.changes if change.mark == "diff"]
    found: dict[str, Array] = {}
    for stem, module in modules_of(weights, family).items():
        if module.network == Network.DENOISER:
            signs = ModuleSigns(VERSION, module)
            between = project({"diff": reader.read(weights[stem])}, signs)
            found[module.ranges[0].name] = signs.folded(between)
    return found
