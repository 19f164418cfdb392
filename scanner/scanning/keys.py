"""The keys under which verdicts are stored: what a verdict depends on besides the bytes of the file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from face_index.faces.face import PackVersion
from scanner.errors import NotScannable
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import Questions
from scanner.sampling.base_models import place_of
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import MAX_TRIGGERS
from scanner.scanning.examiner import SamplingRequest
from scanner.versions import library_versions


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """What every verdict of a scan depends on besides the gallery."""

    pack: PackVersion
    index: str
    policy: Policy
    base_model: str | None
    image_check: str | None

    def search_key(self, snapshot: GallerySnapshot) -> str:
        """Name of the settings and of the gallery that is searched, as a SHA-256."""
        parts: dict[str, Any] = {
            "pack": asdict(self.pack),
            "gallery": snapshot.snapshot_id.partition(":")[2],
            "index": self.index,
            "thresholds": asdict(snapshot.thresholds),
            "budget": self.policy.key_parts(),
            "base_model": self.base_model,
            "image_check": self.image_check,
            # Another version may draw or see differently, so its verdicts do not count.
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Prompting:
    """What is asked of a checkpoint.

    Attributes:
        triggers: words that stand in prompts.
        candidates: words that the trigger search tries.
        base_model: as people read it; None if there is none.
        base_choice: where that lies and why it was chosen, or why there is none.
        problem: why nothing is asked at all; None if something is.
    """

    triggers: tuple[str, ...]
    candidates: tuple[str, ...]
    base_model: str | None
    base_choice: str
    problem: str | None

    def verdict_key(self, search_key: str) -> str:
        """Name of a verdict among those on the same bytes, as a SHA-256.

        Args:
            search_key: of settings and gallery (`SearchSetup.search_key`).
        """
        parts = f"{search_key} {self.triggers} {self.candidates} {self.base_choice}"
        if self.problem is not None:  # words of one listing can refuse what those of another do not
            parts += f" {self.problem}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def questions(self) -> Questions:
        """What rows and the gate's answers show of it."""
        asked, left_out = self.triggers[:MAX_TRIGGERS], self.triggers[MAX_TRIGGERS:]
        return Questions(asked, self.candidates, self.base_model, left_out)


def prompting_of(request: SamplingRequest, options: SamplerOptions) -> Prompting:
    """What a request asks of its checkpoint."""
    words = request.triggers, request.candidates
    try:
        base = options.base_for(request.family, request.declared)
    except NotScannable as error:
        return Prompting(*words, None, str(error), request.problem)
    named = f"{base.family}: {place_of(base.location)} ({base.reason})"
    return Prompting(*words, named, f"{base.location} {base.reason}", request.problem)
