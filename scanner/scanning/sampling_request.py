"""What a worker is asked to do with one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scanner.adapters.companion import Companion
from scanner.sampling.base_models import Declared
from scanner.triage.name_matching import NameMatcher


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """A checkpoint to sample and identify.

    Attributes:
        path: path of the file; a worker on another machine must have access to the same folder.
        triggers: words that are allowed in prompts.
        candidates: words that the trigger search tries if no trigger is known.
        problem: why it cannot be sampled, found by triage; None if it can.
        only_load: load the file and do not sample it, so that a file that cannot be loaded fails in
            the same way as others.
        companions: files that users may load beside it.
        installation: id of the installation, from which prompts and seeds follow.
        alternatives: the families and sizes on each of which it is drawn, because its tensors fit
            all of them; empty if one is settled.
        minor_names: finds the names of registered minors, which no prompt may hold.
    """

    path: Path
    sha256: str
    kind: str
    family: str
    triggers: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    declared: Declared = field(default_factory=Declared)
    problem: str | None = None
    only_load: bool = False
    companions: tuple[Companion, ...] = ()
    installation: str = ""
    alternatives: tuple[tuple[str, Declared], ...] = ()
    minor_names: NameMatcher = field(default=NameMatcher(()), compare=False, repr=False)
