"""Record a network's kernels once for each shape of input and replay them as one CUDA graph.

The GPU finishes a small U-Net at batch 4 faster than Python launches its two thousand kernels:
SD1.5 on an H200 waits for Python two thirds of the time (benchmarks/RESULTS.md). A replay launches
all kernels at once; they are the same kernels, so the numbers are the same to the bit. A graph
addresses weights by their memory, so scanner.adapters.merging writes new weights of a recorded
network into its existing tensors, and scanner.adapters.embeddings, which replaces a tensor, runs
the network unrecorded meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as trees

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Recording:
    """One graph, the tensors that it reads and the output that it writes."""

    graph: Any
    inputs: list[torch.Tensor]
    output: Any


class _Recorded:
    """Replaces a network's `forward`; the second call with each shape of input is recorded.

    A network that cannot be recorded, for example for lack of memory, runs normally from then on.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.forward = network.forward
        self.works = torch.cuda.is_available()
        self.originals: dict[torch.nn.Parameter, torch.Tensor] = {}
        self._seen: set[Any] = set()
        self._recordings: dict[Any, _Recording] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return self.forward(*args, **kwargs)
        leaves, structure = trees.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        key = (
            repr(structure),
            tuple(
                (leaf.shape, leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf
                for leaf in leaves
            ),
        )
        if not self.works or key not in self._seen:
            # This is also the warm-up that recording needs: libraries choose their kernels in it.
            self._seen.add(key)
            return self._launched(*args, **kwargs)
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(leaves, structure)
            except RuntimeError as error:
                log.warning("kernels cannot be recorded (%s); they are launched one by one", error)
                self._stop()
                return self.forward(*args, **kwargs)
        recording = self._recordings[key]
        torch._foreach_copy_(recording.inputs, tensors)
        recording.graph.replay()
        return trees.tree_map_only(torch.Tensor, torch.clone, recording.output)

    def _launched(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.forward(*args, **kwargs)
        except torch.OutOfMemoryError:
            if not self._recordings:
                raise
            log.warning(
                "out of memory: recorded kernels are given up, they are launched one by one"
            )
            self._stop()
        return self.forward(*args, **kwargs)

    def _stop(self) -> None:
        self.works = False
        self._seen.clear()
        self._recordings.clear()
        torch.cuda.empty_cache()

    def _record(self, leaves: list[Any], structure: Any) -> _Recording:
        with torch.inference_mode(mode=False):
            held = [
                leaf.to("cuda", copy=True) if isinstance(leaf, torch.Tensor) else leaf
                for leaf in leaves
            ]
        args, kwargs = trees.tree_unflatten(held, structure)
        graph = torch.cuda.CUDAGraph()
        pool = next((recording.graph.pool() for recording in self._recordings.values()), None)
        # The face detector may use the GPU from another thread meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = self.forward(*args, **kwargs)
        return _Recording(graph, [leaf for leaf in held if isinstance(leaf, torch.Tensor)], output)


def record(network: torch.nn.Module) -> None:
    """Record a network's kernels from now on; its weights must keep their memory."""
    if not is_recorded(network):
        network.forward = _Recorded(network)


def is_recorded(network: torch.nn.Module) -> bool:
    """Whether the network's weights must keep their memory."""
    return isinstance(network.forward, _Recorded)


def original_of(network: torch.nn.Module, parameter: torch.nn.Parameter) -> torch.Tensor:
    """A copy of a recorded network's weight as it was at the first request."""
    recorded = network.forward
    if not isinstance(recorded, _Recorded):
        raise TypeError("only a recorded network keeps copies of its weights")
    if parameter not in recorded.originals:
        recorded.originals[parameter] = parameter.detach().clone()
    return recorded.originals[parameter]


@contextmanager
def unrecorded(network: torch.nn.Module) -> Iterator[None]:
    """Run without recordings in a with-block, in which other tensors may be the weights."""
    recorded = network.forward
    if not isinstance(recorded, _Recorded):
        yield
        return
    network.forward = recorded.forward
    try:
        yield
    finally:
        network.forward = recorded
