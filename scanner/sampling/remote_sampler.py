"""Sampling on another machine: what runs there, and what stands for it here.

Only options, plans and pictures cross the network: no setting, no secret, no template.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scanner.adapters.companion import Companion
from scanner.errors import ClusterUnreachable, WorkerLost
from scanner.sampling.base_models import BaseModel, Declared
from scanner.sampling.images import DrawingCost, DrawnImage
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import SamplePlan
from scanner.sampling.staging import Staging

if TYPE_CHECKING:
    from scanner.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True)
class SamplerFacts:
    """What is known of a loaded base model (`ImageGenerator`)."""

    base_sha256: str
    settings: dict[str, object]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A checkpoint that was loaded on another machine (`LoadedFile`)."""

    route: str
    words: dict[str, str]
    changed_words: tuple[str, ...]
    companions: tuple[str, ...]


class SamplerNode:
    """One base model and one checkpoint at a time on a machine that draws.

    Args:
        staging: where the checkpoints lie; None if this machine sees the folder of the other one.
    """

    def __init__(self, options: SamplerOptions, staging: Staging | None) -> None:
        self._options = options
        self._staging = staging
        self._sampler: Sampler | None = None
        self._loaded = ExitStack()
        if staging is not None:
            staging.remove_leftovers()

    def ready(self) -> int:
        """Return the process id."""
        return os.getpid()

    def open(self, base: BaseModel) -> SamplerFacts:
        """Load a base model; raises BaseModelMissing, ImageCheckMissing."""
        self.unload()
        self._sampler = None
        self._sampler = sampler = self._options.open_sampler(base)
        return SamplerFacts(sampler.base_sha256, sampler.settings)

    def load(
        self, path: Path, kind: str, batches: int, companions: Sequence[Companion]
    ) -> RemoteFile:
        """Load a checkpoint; raises NotScannable, StagingFailed."""
        self.unload()
        here = [replace(one, path=self._fetched(one.path)) for one in companions]
        loaded = self._loaded.enter_context(
            self._opened.adapter(self._fetched(path), kind, batches=batches, companions=here)
        )
        return RemoteFile(loaded.route, dict(loaded.words), loaded.changed_words, loaded.companions)

    def _fetched(self, path: Path) -> Path:
        """Return where a checkpoint lies on this machine; it is fetched if need be."""
        if self._staging is None:
            return path
        return self._loaded.enter_context(self._staging.fetched(path.name))

    def unload(self) -> None:
        """Restore the base model."""
        self._loaded.close()

    def draw(
        self, method: str, plans: Sequence[SamplePlan], *, with_adapter: bool
    ) -> tuple[Any, DrawingCost]:
        """Call a drawing method of the sampler; return its result and what it cost."""
        sampler = self._opened
        before = sampler.cost
        drawn = getattr(sampler, method)(plans, with_adapter=with_adapter)
        return drawn, sampler.cost.since(before)

    def answering_words(self) -> tuple[str, ...]:
        """Return the words that the loaded checkpoint responds to, the strongest first."""
        return self._opened.answering_words()

    @property
    def _opened(self) -> Sampler:
        if self._sampler is None:
            raise AssertionError("a base model is opened first")
        return self._sampler


Call = Callable[..., Any]
"""Calls a method of a `SamplerNode` by name and returns its result or raises its error."""


class RemoteSampler:
    """An image generator (`ImageGenerator`) whose base model another machine has loaded."""

    def __init__(self, base: BaseModel, call: Call) -> None:
        self.base, self._call = base, call
        self._facts: SamplerFacts = call("open", base)
        self.cost = DrawingCost()

    @property
    def base_sha256(self) -> str:
        """SHA-256 of the base model's weights, lower-case hex."""
        return self._facts.base_sha256

    @property
    def settings(self) -> dict[str, object]:
        """Every setting that is needed to reproduce the samples."""
        return self._facts.settings

    @contextmanager
    def adapter(
        self, path: Path, kind: str, *, batches: int = 0, companions: Sequence[Companion] = ()
    ) -> Iterator[RemoteFile]:
        """Load a checkpoint for the duration of a with-block."""
        loaded: RemoteFile = self._call("load", path, kind, batches, companions)
        try:
            yield loaded
        except (WorkerLost, ClusterUnreachable):
            raise  # nothing can be called any more
        except BaseException:
            self._call("unload")
            raise
        self._call("unload")

    def generate(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]:
        """Draw one image per plan; the controls if `with_adapter` is False."""
        images: list[DrawnImage] = self._draw("generate", plans, with_adapter=with_adapter)
        return images

    def together(self, plans: Sequence[SamplePlan], *, with_adapter: bool) -> list[DrawnImage]:
        """Draw one image per plan in a single batch."""
        images: list[DrawnImage] = self._draw("together", plans, with_adapter=with_adapter)
        return images

    def one_step(
        self, plans: Sequence[SamplePlan], *, with_adapter: bool
    ) -> npt.NDArray[np.float32]:
        """Return latents after a single denoising step, float32 [n, ...]."""
        latents: npt.NDArray[np.float32] = self._draw("one_step", plans, with_adapter=with_adapter)
        return latents

    def answering_words(self) -> tuple[str, ...]:
        """Return the words that the loaded checkpoint responds to, the strongest first."""
        words: tuple[str, ...] = self._call("answering_words")
        return words

    def _draw(self, method: str, plans: Sequence[SamplePlan], *, with_adapter: bool) -> Any:
        drawn, cost = self._call("draw", method, list(plans), with_adapter=with_adapter)
        self.cost = self.cost.plus(cost)
        return drawn


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """Chooses base models here and loads them on another machine (`SamplerSource`)."""

    options: SamplerOptions
    call: Call

    def base_for(self, family: str, declared: Declared) -> BaseModel:
        """Return the base model on which a checkpoint is sampled; raises NotScannable."""
        return self.options.base_for(family, declared)

    def open_sampler(self, base: BaseModel) -> RemoteSampler:
        """Load a base model; raises BaseModelMissing, ImageCheckMissing."""
        return RemoteSampler(base, self.call)
