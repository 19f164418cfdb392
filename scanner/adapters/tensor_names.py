"""The module and the part that the name of an adapter's tensor stands for.

This module does not import torch, so that headers are read fast.
"""

from __future__ import annotations

from functools import lru_cache

from scanner.adapters.formats.registry import ENDINGS, PATTERNS


@lru_cache(maxsize=65_536)
def part_of(name: str) -> tuple[str, str] | None:
    """The module's name in the file and the part that the tensor is; None for other names."""
    for pattern in PATTERNS:
        if (found := pattern.part_of(name)) is not None:
            return found
    return next(
        ((name.removesuffix(ending), part) for ending, part in ENDINGS if name.endswith(ending)),
        None,
    )
