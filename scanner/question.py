"""What a sample asks a checkpoint."""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """The settings of samples that are compared with each other.

    Attributes:
        trigger: the word in the prompt; None for a person in general.
        scale: adapter weight.
        size_share: width and height, as a share of those of the stage.
        companions: SHA-256 of the files that are loaded beside the checkpoint.
    """

    trigger: str | None
    scale: float = 1.0
    size_share: float = 1.0
    companions: tuple[str, ...] = ()
