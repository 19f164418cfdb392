"""The expert that an adapter is for, of models that draw with two denoisers.

Wan 2.2 A14B draws the first, noisy steps with one transformer and the other steps with a second one
of the same shape. Adapters come in pairs, one file for each expert, and only words tell which is
which: the name of the file (ai-toolkit, musubi's users), the architecture in the header
(SimpleTuner), or the names of the tensors in a file for both (ai-toolkit). An adapter without such
a word is merged into both, as InvokeAI does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from scanner.adapters.formats.definition import Shapes
from scanner.adapters.kinds import has_name

WITH_EXPERTS = "Wan 2.2 14B"
TWIN_OF_EXPERTS = "Wan 14B"
# Without ASCII, "i" would match letters of other alphabets too.
_FLAGS = re.IGNORECASE | re.ASCII
_WORD = re.compile(r"(?<![a-z])(?P<expert>high|low)[ _-]?noise(?![a-z])", _FLAGS)
_FLAVOUR = re.compile(r"wan.*[-_](?P<expert>high|low)(?:/|$)", _FLAGS)


class Expert(StrEnum):
    """Which of the two denoisers an adapter changes."""

    HIGH_NOISE = "high noise"
    LOW_NOISE = "low noise"

    @property
    def other(self) -> Expert:
        """The other one of the two."""
        return Expert.LOW_NOISE if self is Expert.HIGH_NOISE else Expert.HIGH_NOISE


def expert_in_name(file_name: str) -> Expert | None:
    """Return the expert that the name of a file states; None if it states none or both."""
    found = {match["expert"].lower() for match in _WORD.finditer(file_name)}
    return Expert(f"{found.pop()} noise") if len(found) == 1 else None


def name_of_pair(file_name: str) -> str | None:
    """Return what the names of both files of a pair have in common; None for a single file."""
    if expert_in_name(file_name) is None:
        return None
    return _WORD.sub("", file_name).casefold()


def expert_in_header(metadata: Mapping[str, str]) -> Expert | None:
    """Return the expert that SimpleTuner's name of the architecture states, or None."""
    found = _FLAVOUR.match(metadata.get("modelspec.architecture", "")[:200])
    return Expert(f"{found['expert'].lower()} noise") if found else None


def names_experts(shapes: Shapes) -> bool:
    """Whether the names of the tensors state the expert."""
    return has_name(shapes, r"(^|\.)transformer_[12]\.")
