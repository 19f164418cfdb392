"""The keys under which verdicts are stored, which cover all inputs besides the file's bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from face_index.faces.face import PackVersion
from scanner.errors import NotScannable
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import AskedWords
from scanner.sampling.base_models import description_of
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import MAX_TRIGGERS
from scanner.scanning.identifier import SamplingRequest
from scanner.versions import library_versions


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """The inputs that all verdicts of a scan share, besides the gallery."""

    pack: PackVersion
    index: str
    policy: Policy
    base_model: str | None
    image_check: str | None

    def search_key(self, snapshot: GallerySnapshot) -> str:
        """Return the key of the settings and the searched gallery, a SHA-256."""
        parts: dict[str, Any] = {
            "pack": asdict(self.pack),
            "gallery": snapshot.snapshot_id.partition(":")[2],
            "index": self.index,
            "thresholds": asdict(snapshot.thresholds),
            "budget": self.policy.key_parts(),
            "base_model": self.base_model,
            "image_check": self.image_check,
            # Another library version may give other images or vectors, so its verdicts do not hold.
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Prompting:
    """The words and the base model with which a checkpoint is sampled.

    Attributes:
        triggers: words in prompts.
        candidates: words that the trigger search tries.
        base_model: description of the base model for results; None if there is none.
        base_choice: location of the base model and why it was chosen, or why there is none.
        problem: why the checkpoint is not sampled at all; None if it is.
    """

    triggers: tuple[str, ...]
    candidates: tuple[str, ...]
    base_model: str | None
    base_choice: str
    problem: str | None

    def verdict_key(self, search_key: str) -> str:
        """Return the key of a verdict among those on the same bytes, a SHA-256.

        Args:
            search_key: key of settings and gallery (`SearchSetup.search_key`).
        """
        parts = f"{search_key} {self.triggers} {self.candidates} {self.base_choice}"
        # The words of one listing may forbid sampling while those of another listing do not.
        if self.problem is not None:
            parts += f" {self.problem}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def asked_words(self) -> AskedWords:
        """Return the part that result rows and answers of the API show."""
        asked, left_out = self.triggers[:MAX_TRIGGERS], self.triggers[MAX_TRIGGERS:]
        return AskedWords(asked, self.candidates, self.base_model, left_out)


def prompting_of(request: SamplingRequest, options: SamplerOptions) -> Prompting:
    """Return the words and the base model of a request."""
    words = request.triggers, request.candidates
    try:
        base = options.base_for(request.family, request.declared)
    except NotScannable as error:
        return Prompting(*words, None, str(error), request.problem)
    choice = f"{base.location} {base.reason}"
    return Prompting(*words, description_of(base), choice, request.problem)
