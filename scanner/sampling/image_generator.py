"""What draws images of one base model: a sampler on this machine or on another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scanner.adapters.companion import Companion
from scanner.sampling.base_models import BaseModel
from scanner.sampling.images import DrawingCost, DrawnImage
from scanner.sampling.plans import SamplePlan


class LoadedFile(Protocol):
    """A checkpoint that was loaded completely.

    Attributes:
        route: how it was loaded (`scanner.adapters.loading.Loaded`).
        words: by learned word, the text to write in a prompt.
        changed_words: words of the vocabulary that the file gives another meaning.
        companions: SHA-256 of the companions that can be loaded beside it.
    """

    @property
    def route(self) -> str: ...
    @property
    def words(self) -> Mapping[str, str]: ...
    @property
    def changed_words(self) -> tuple[str, ...]: ...
    @property
    def companions(self) -> tuple[str, ...]: ...


class ImageGenerator(Protocol):
    """One base model, into which one checkpoint at a time is loaded.

    `scanner.sampling.sampler.Sampler` documents the members.
    """

    @property
    def base(self) -> BaseModel: ...
    @property
    def base_sha256(self) -> str | None: ...
    @property
    def cost(self) -> DrawingCost: ...
    @property
    def settings(self) -> dict[str, object]: ...

    def adapter(
        self, path: Path, kind: str, *, batches: int = 0, companions: Sequence[Companion] = ()
    ) -> AbstractContextManager[LoadedFile]: ...

    def generate(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]: ...

    def together(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]: ...

    def one_step(
        self, plans: Sequence[SamplePlan], *, with_adapter: bool
    ) -> npt.NDArray[np.float32]: ...

    def answering_words(self) -> tuple[str, ...]: ...
