"""The miniature world on disk: the places of its weights, and the records of world.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.sampling.base_models import MINIATURE_WEIGHTS

WORLD_JSON = Path(__file__).parent / "world.json"
BASE_MODEL = MINIATURE_WEIGHTS / "base_model"
FACE_PACK = MINIATURE_WEIGHTS / "face_pack"
ADAPTERS = MINIATURE_WEIGHTS / "adapters"


@dataclass(frozen=True, slots=True)
class RegisteredPerson:
    """A person that the demo registers: `name` in results, `seed` for drawing."""

    seed: int
    name: str


@dataclass(frozen=True, slots=True)
class WorldFile:
    """One file on the miniature hub.

    Attributes:
        file: name below the adapters folder.
        group: "registered", "stranger", "style", "object", "not-an-adapter", "malformed" or
            "pickle".
        person_seeds: the persons that it was trained on.
        title, triggers, tags, creator: fields of its listing.
    """

    file: str
    group: str
    person_seeds: tuple[int, ...]
    title: str
    triggers: tuple[str, ...]
    tags: tuple[str, ...]
    creator: str

    @property
    def path(self) -> Path:
        return ADAPTERS / self.file


@dataclass(frozen=True, slots=True)
class World:
    """Everything in world.json.

    Attributes:
        files: on the hub in Civitai's protocol.
        shared: on the hub in Hugging Face's protocol, in other formats than LoRA.
    """

    registered: tuple[RegisteredPerson, ...]
    files: tuple[WorldFile, ...]
    shared: tuple[WorldFile, ...]

    def name_of(self, seed: int) -> str | None:
        """The registered name of a person's seed, None for a stranger."""
        return next((person.name for person in self.registered if person.seed == seed), None)


def load_world(path: Path = WORLD_JSON) -> World:
    """The shipped world."""
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return World(
        registered=tuple(
            RegisteredPerson(entry["seed"], entry["name"]) for entry in document["registered"]
        ),
        files=tuple(map(_file, document["adapters"])),
        shared=tuple(map(_file, document["shared"])),
    )


def _file(entry: dict[str, Any]) -> WorldFile:
    several = {name: tuple(entry[name]) for name in ("person_seeds", "triggers", "tags")}
    return WorldFile(**{**entry, **several})
