"""Load a checkpoint into a diffusers pipeline, and check that it was loaded completely.

diffusers drops some tensors with a warning, ignores others without one, and accepts NaN silently
(measured on 0.42.1). This module requires that every tensor of a file is known, fits the weight
that it changes and is finite. Whether images change is checked later, on images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from reports.reasons.reason import Reason
from scanner.adapters.changed_words import changed_words
from scanner.adapters.checkpoint_names import checkpoint_not_sampled
from scanner.adapters.checkpoints import checkpoint_in_place
from scanner.adapters.companion import Companion
from scanner.adapters.embeddings import Tables, embeddings_in, words_added
from scanner.adapters.experts import Expert
from scanner.adapters.formats.lora import unpaired
from scanner.adapters.formats.registry import SCANNABLE_KINDS
from scanner.adapters.merging import Change, MergedAdapter, changes_of
from scanner.adapters.numbered import are_numbered, named
from scanner.adapters.reading import AdapterTensors, Tensors, anatomy_of, read_tensors
from scanner.adapters.targets import Target, in_experts, networks_of, target_names
from scanner.errors import NotScannable, UnfaithfulLoad

LEARNED_WORD = "learnedword"


class ScalableChange(Protocol):
    """A change of a pipeline whose strength can be set."""

    @property
    def module_count(self) -> int:
        """The number of modules or networks that it changes."""

    def set_scale(self, scale: float | None, *, accelerated: bool = False) -> None:
        """Set the strength; None is the pipeline without the change.

        Args:
            accelerated: add the accelerator, if there is one.
        """

    def restore(self) -> None:
        """Restore the pipeline to its original state."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that was loaded completely.

    Attributes:
        changes: its changes of the networks.
        route: how it was loaded: "merged", "embedding" or "checkpoint".
        words: by learned word, the text to write in a prompt.
        changed_words: words of the vocabulary that the file gives another meaning.
        changes_text: whether an adapter changes a text encoder.
        companions: SHA-256 of the companions that can be loaded beside it.
        together: the changes of the checkpoint and all these companions; None without any.
    """

    changes: ScalableChange
    route: str
    words: dict[str, str] = field(default_factory=dict)
    changed_words: tuple[str, ...] = ()
    changes_text: bool = False
    companions: tuple[str, ...] = ()
    together: ScalableChange | None = None

    def beside(self, companions: tuple[str, ...]) -> ScalableChange:
        """Return the changes of the checkpoint alone, or with all of its companions.

        Raises:
            NotScannable: one of the companions is not here or cannot be loaded.
        """
        if not companions:
            return self.changes
        if self.together is None or companions != self.companions:
            raise NotScannable(Reason("companions-missing").in_english())
        return self.together


def adapter_changes(pipeline: Any, path: Path, expert: Expert | None = None) -> list[Change]:
    """The changes of an adapter without learned words.

    Raises:
        UnfaithfulLoad: it cannot be loaded completely.
    """
    tensors, metadata = read_tensors(path, pipeline.device)
    return _changes(pipeline, tensors, anatomy_of(tensors, metadata), expert)


@contextmanager
def loaded_into(
    pipeline: Any,
    path: Path,
    kind: str,
    family: str,
    config: str,
    *,
    cache: Path | None = None,
    accelerator: MergedAdapter | None = None,
    companions: Sequence[Companion] = (),
    expert: Expert | None = None,
) -> Iterator[Loaded]:
    """A checkpoint in a pipeline for the duration of a with-block.

    Afterwards the pipeline is the same as before to the bit.

    Args:
        kind: as determined by triage.
        config: folder or hub id of the base model, for full checkpoints.
        cache: folder in which the hub's client keeps the base model's files.
        accelerator: its changes are added on request; full checkpoints do not use it.
        companions: adapters that may be loaded beside an adapter. Those that do not load are left
            out.
        expert: of a model with two denoisers, the one that the adapter is for; None for both.

    Raises:
        NotScannable: this kind cannot be sampled.
        UnfaithfulLoad: the checkpoint cannot be loaded completely.
    """
    if kind not in SCANNABLE_KINDS:
        raise NotScannable(
            f"sampling {kind} files is not supported; nothing can be said about this file"
        )
    with ExitStack() as stack:
        if kind == "checkpoint":
            if reason := checkpoint_not_sampled(family):
                raise NotScannable(reason)
            model = stack.enter_context(checkpoint_in_place(pipeline, path, family, config, cache))
            yield Loaded(model, "checkpoint")
            return
        if kind == "textual-inversion":
            yield stack.enter_context(_embedding_in_place(pipeline, path, accelerator))
            return
        tensors, metadata = read_tensors(path, pipeline.device)
        anatomy = anatomy_of(tensors, metadata)
        changes = _changes(pipeline, tensors, anatomy, expert)
        words = stack.enter_context(words_added(pipeline, _renamed(anatomy.embeddings)))
        merged = stack.enter_context(_merged(pipeline, changes, accelerator))
        # Merge once, so that tensors that do not fit are reported before anything is sampled.
        merged.set_scale(1.0, accelerated=True)
        merged.restore()
        changed = changed_words(pipeline, merged)
        in_text = any(network.startswith("text_encoder") for network in merged.networks)
        other = expert.other if expert is not None else None
        beside = _changes_of_companions(pipeline, companions, other)
        together = stack.enter_context(_summed(pipeline, changes, beside, accelerator))
        names = tuple(beside) if together is not None else ()
        yield Loaded(merged, "merged", words, changed, in_text, names, together)


@contextmanager
def _embedding_in_place(
    pipeline: Any, path: Path, accelerator: MergedAdapter | None
) -> Iterator[Loaded]:
    tensors, _ = read_tensors(path, pipeline.device)
    _must_be_floating(tensors)
    named = _renamed(embeddings_in(tensors, path.stem))
    with words_added(pipeline, named) as words, _merged(pipeline, [], accelerator) as merged:
        yield Loaded(merged, "embedding", words)


@contextmanager
def _summed(
    pipeline: Any,
    changes: Sequence[Change],
    beside: Mapping[str, Sequence[Change]],
    accelerator: MergedAdapter | None,
) -> Iterator[MergedAdapter | None]:
    """The sum of an adapter and its companions; None without any, or if it is not finite."""
    if not beside:
        yield None
        return
    everything = [change for more in (changes, *beside.values()) for change in more]
    with _merged(pipeline, everything, accelerator) as together:
        is_finite = True
        try:
            together.set_scale(1.0, accelerated=True)
        except UnfaithfulLoad:
            is_finite = False
        together.restore()
        yield together if is_finite else None


def _changes_of_companions(
    pipeline: Any, companions: Sequence[Companion], expert: Expert | None
) -> dict[str, list[Change]]:
    """Return the changes of the companions that load, by SHA-256, in the order of the hashes."""
    found: dict[str, list[Change]] = {}
    for companion in sorted(companions, key=lambda one: one.sha256):
        # What is wrong with a companion is told where the companion itself is scanned.
        with suppress(NotScannable, OSError):
            own = companion.expert or expert
            changes = adapter_changes(pipeline, companion.path, own)
            with _merged(pipeline, changes, None) as tried:
                tried.set_scale(1.0)
            found[companion.sha256] = changes
    return found


@contextmanager
def _merged(
    pipeline: Any, changes: Sequence[Change], accelerator: MergedAdapter | None
) -> Iterator[MergedAdapter]:
    merged = MergedAdapter(pipeline, changes, accelerator)
    try:
        yield merged
    finally:
        merged.restore()


def _renamed(embeddings: Mapping[str, Tables]) -> dict[str, Tables]:
    """Learned words under names of this program; names from a file are never put into a prompt."""
    return {
        f"{LEARNED_WORD}{number}": tables
        for number, tables in enumerate(embeddings.values(), start=1)
    }


def _changes(
    pipeline: Any, tensors: Tensors, anatomy: AdapterTensors, expert: Expert | None
) -> list[Change]:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if alone := unpaired(shapes):
        raise UnfaithfulLoad(
            f"{len(alone)} adapter tensors lack their other half, such as {alone[0]}; the file is "
            "damaged"
        )
    if anatomy.leftover:
        raise UnfaithfulLoad(
            f"{len(anatomy.leftover)} tensors are those of no known adapter, such as "
            f"{anatomy.leftover[0]}; samples would not be faithful"
        )
    if not anatomy.modules:
        raise UnfaithfulLoad("the file holds no adapter module")
    _must_be_floating(tensors)
    targets = target_names(pipeline)
    numbered = named(anatomy.modules, *_paths(pipeline)) if are_numbered(anatomy.modules) else {}
    strange = [stem for stem in anatomy.modules if numbered.get(stem, stem) not in targets]
    if strange:
        raise UnfaithfulLoad(
            f"{len(strange)} of the file's {len(anatomy.modules)} modules are not in the base "
            f"model, such as {strange[0]}"
        )
    networks = networks_of(pipeline)
    meant = [
        (stem, target)
        for stem in anatomy.modules
        for target in in_experts(targets[numbered.get(stem, stem)], stem, networks, expert)
    ]
    _must_mean_each_once(meant)
    return [
        change
        for stem, target in meant
        for change in changes_of(stem, anatomy.modules[stem], target)
    ]


def _must_be_floating(tensors: Tensors) -> None:
    """Check that no tensor holds whole numbers, but for single ones such as alpha.

    Raises:
        UnfaithfulLoad: a tensor does.
    """
    whole = [
        name
        for name, tensor in tensors.items()
        if tensor.numel() > 1 and not tensor.is_floating_point()
    ]
    if whole:
        values: dict[str, int | str] = {"count": len(whole), "example": whole[0]}
        raise UnfaithfulLoad(Reason("whole-numbers", values).in_english())


def _must_mean_each_once(meant: Iterable[tuple[str, Target]]) -> None:
    """Check that no module of the pipeline has two names in the file.

    This program would add both changes; other loaders use the name that they know, or the last.

    Raises:
        UnfaithfulLoad: a module has two names.
    """
    seen: dict[tuple[str, str], dict[int | None, str]] = {}
    for stem, target in meant:
        for piece in target.pieces:
            others = seen.setdefault((piece.network, piece.path), {})
            if others and (piece.part is None or None in others or piece.part in others):
                other = next(iter(others.values()))
                raise UnfaithfulLoad(
                    f"{other} and {stem} are two names of one module; programs differ in which of "
                    "them they load"
                )
            others[piece.part] = stem


def _paths(pipeline: Any) -> tuple[list[str], list[str]]:
    networks = networks_of(pipeline)
    return tuple(
        [path for path, _ in networks[name].named_modules()] if name in networks else []
        for name in ("unet", "text_encoder")
    )  # type: ignore[return-value]
