"""The keys under which samples and verdicts are stored, with the parts that they consist of.

The sampling key covers what makes a checkpoint's samples: the file, the base model, the words and
how images are made. The identification key adds what the faces were compared with. Library versions
are no part of either: a sample that an older version drew is still what the file draws. They are
recorded beside the samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from face_index.faces.face import PackVersion
from scanner.errors import NotScannable
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot, SecondPack
from scanner.records import AskedWords
from scanner.sampling.base_models import BaseModel, content_of, description_of
from scanner.sampling.options import SamplerOptions
from scanner.sampling.plans import MAX_TRIGGERS, PLAN_VERSION
from scanner.scanning.key import Key
from scanner.scanning.sampling_request import SamplingRequest


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """The inputs that all verdicts of a scan share, besides the gallery."""

    pack: PackVersion
    index: str
    policy: Policy
    base_model: str | None
    image_check: str | None

    def settings_key(self) -> Key:
        """Return the key of the settings with which samples are drawn and faces are read."""
        return Key(
            {
                "pack": asdict(self.pack),
                "plan": {"version": PLAN_VERSION, **self.policy.screening_parts()},
                "base_model": self.base_model,
                "image_check": self.image_check,
            }
        )

    def search_key(self, snapshot: GallerySnapshot, minors: Iterable[str]) -> Key:
        """Return the key of the settings and the searched gallery.

        Args:
            minors: ids of the minors by whose names files are held.
        """
        second = snapshot.second
        # Without a second pack the key is that of earlier versions.
        opinion = {} if second is None else {"second_pack": _searched_by(second)}
        return Key(
            {
                **opinion,
                "pack": asdict(self.pack),
                "gallery": snapshot.snapshot_id.partition(":")[2],
                "index": self.index,
                "thresholds": asdict(snapshot.thresholds),
                "policy": self.policy.key_parts(),
                "base_model": self.base_model,
                "image_check": self.image_check,
                "minors": sorted(minors),
            }
        )


def _searched_by(second: SecondPack) -> dict[str, Any]:
    """Return the parts of a key that say how a second face pack judges."""
    return {
        "pack": asdict(second.reader.version),
        "gallery": second.snapshot.snapshot_id.partition(":")[2],
        "thresholds": asdict(second.snapshot.thresholds),
    }


@dataclass(frozen=True, slots=True)
class Prompting:
    """The words and the base model with which a checkpoint is sampled.

    Attributes:
        triggers: words in prompts.
        candidates: words that the trigger search tries.
        base_model: description of the base model for results; None if there is none.
        sampling_key: key of the samples.
    """

    triggers: tuple[str, ...]
    candidates: tuple[str, ...]
    base_model: str | None
    sampling_key: Key

    def identification_key(self, search_key: Key) -> Key:
        """Return the key of a verdict among those on the same bytes.

        Args:
            search_key: key of settings and gallery (`SearchSetup.search_key`).
        """
        shared = {
            name: value
            for name, value in search_key.parts.items()
            # The first two are parts of the sampling key, and a held file has no verdict.
            if name not in ("base_model", "image_check", "minors")
        }
        return Key({"sampling_key": self.sampling_key.digest, **shared})

    def asked_words(self) -> AskedWords:
        """Return the part that result rows and answers of the API show."""
        asked, left_out = self.triggers[:MAX_TRIGGERS], self.triggers[MAX_TRIGGERS:]
        return AskedWords(asked, self.candidates, self.base_model, left_out)


def prompting_of(request: SamplingRequest, options: SamplerOptions, policy: Policy) -> Prompting:
    """Return the words and the base model of a request, with the key of its samples."""
    parts: dict[str, Any] = {
        "file": request.sha256,
        "triggers": list(request.triggers),
        "candidates": list(request.candidates),
        "plan": {"version": PLAN_VERSION, **policy.screening_parts()},
        "image_check": options.image_check,
    }
    if request.installation:
        parts["installation"] = request.installation
    if request.companions:
        parts["companions"] = [one.sha256 for one in request.companions]
    # The words of one listing may forbid sampling while those of another listing do not.
    if request.problem is not None:
        parts["problem"] = request.problem
    base_model = None
    try:
        bases = [
            options.base_for(family, declared)
            for family, declared in request.alternatives or ((request.family, request.declared),)
        ]
    except NotScannable as error:
        parts["base_model"] = str(error)
    else:
        base_model = " / ".join(map(description_of, bases))
        contents, samplers = [*map(content_of, bases)], [*map(_sampler_parts, bases)]
        several = len(bases) > 1
        parts["base_model"] = contents if several else contents[0]
        parts["sampler"] = samplers if several else samplers[0]
    return Prompting(request.triggers, request.candidates, base_model, Key(parts))


def _sampler_parts(base: BaseModel) -> dict[str, Any]:
    """Return how images of a base model are made.

    Parts that most base models do not have are left out, so that their keys stay the same.
    """
    special: dict[str, Any] = {"arguments": dict(base.arguments), "expert": base.expert}
    return {
        **{name: value for name, value in special.items() if value},
        "pipeline": base.pipeline,
        "precision": base.precision,
        "evidence": asdict(base.evidence),
        "screening": asdict(base.screening),
        "decoder": base.decoder,
        "accelerator": asdict(base.accelerator) if base.accelerator else None,
    }
