"""What is asked of a checkpoint: the words that stand in prompts and the base model. A verdict holds for these alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from scanner.errors import NotScannable
from scanner.sampling.base_models import choose_base_model, place_of
from scanner.sampling.plans import MAX_TRIGGERS
from scanner.scanning.judging import Task
from scanner.settings import Settings


@dataclass(frozen=True, slots=True)
class Questions:
    """What a verdict depends on besides the bytes, the gallery and the settings.

    Attributes:
        triggers: words that stand in prompts.
        candidates: words that are tried where no trigger is known.
        base_model: what it is drawn with, as people read it; None if there is none.
        base_choice: where that lies and why it was chosen, or why there is none.
        problem: why nothing is asked at all; None if something is.
    """

    triggers: tuple[str, ...]
    candidates: tuple[str, ...]
    base_model: str | None
    base_choice: str
    problem: str | None

    def key(self, fingerprint: str) -> str:
        """Names a verdict among those on the same bytes, as a hash.

        Args:
            fingerprint: of settings and the gallery that is searched (`ScanSession.fingerprint_of`).
        """
        parts = f"{fingerprint} {self.triggers} {self.candidates} {self.base_choice}"
        if self.problem is not None:  # one listing's words can refuse what another's do not
            parts += f" {self.problem}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def as_record(self) -> dict[str, Any]:
        """What rows and the gate's answers say of it, as JSON values."""
        asked, left = self.triggers[:MAX_TRIGGERS], self.triggers[MAX_TRIGGERS:]
        told = {
            "triggers": list(asked),
            "words_tried": list(self.candidates),
            "base_model": self.base_model,
        }
        return {**told, "triggers_left_out": list(left)} if left else told


def questions_of(task: Task, settings: Settings) -> Questions:
    """What a task asks."""
    try:
        base = choose_base_model(
            task.family, settings.base_model, task.declared, settings.base_models_path
        )
    except NotScannable as error:
        return Questions(task.triggers, task.candidates, None, str(error), task.problem)
    named = f"{base.family}: {place_of(base.location)} ({base.reason})"
    return Questions(
        task.triggers, task.candidates, named, f"{base.location} {base.reason}", task.problem
    )
