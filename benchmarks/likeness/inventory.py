"""The files of LikenessBench: trained ones and those derived from them, with the people they show.

The two splits share no person: all tuning was done on `development`; figures are those of
`held-out`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scanner.miniature.objects import OBJECTS, STYLES
from scanner.miniature.training.formats import Form

Split = Literal["development", "held-out"]
Part = Literal["single", "weak", "merged", "altered", "stranger", "style", "object"]
SPLITS: tuple[Split, ...] = ("development", "held-out")
_FIRST_SEED = {"development": 20_000, "held-out": 30_000}

FORMS: tuple[Form, ...] = (
    Form("lora", "kohya", 4),
    Form("lora", "peft", 8),
    Form("lora", "kohya", 16),
    Form("lora", "peft", 32, rate=2e-3),
    Form("lora", "kohya", 2, rate=4e-3),
    Form("lora", "diffusers 1", 8),
    Form("lora", "diffusers 2", 8),
    Form("lora", "raw peft", 6),
    Form("locon", rank=8),
    Form("locon", rank=8, options={"use_tucker": True}),
    Form("locon", rank=8, options={"dora_wd": True}),
    Form("dora", "peft", 8),
    Form("loha", rank=8),
    Form("loha", rank=4),
    Form("lokr", rank=4, options={"factor": 4}),
    Form("lokr", rank=16, options={"full_matrix": True}),
    Form("glora", rank=8),
    Form("diag-oft", rank=8, rate=6e-3),
    Form("full", rate=4e-4),
    Form("checkpoint", rate=3e-4),
)
WEAK_FORMS: tuple[Form, ...] = (
    Form("lora", "kohya", 1),
    Form("ia3", rank=1, rate=1e-2),
    Form("boft", rank=4, rate=6e-3),
    Form("textual-inversion", rank=4, rate=1e-2),
)
STRANGER_FORMS = FORMS[:17]


@dataclass(frozen=True, slots=True)
class Trained:
    """A file that is trained on one person, one style or one kind of object.

    Attributes:
        person: seed, None for styles and objects.
        subject: name of the style or object, or the person's trigger.
    """

    name: str
    part: Part
    form: Form
    seed: int
    person: int | None
    subject: str
    trigger: str
    steps: int


@dataclass(frozen=True, slots=True)
class Derived:
    """A file made from trained ones without training.

    Attributes:
        change: "scrubbed", "fp8", "noise", "pruned", "half strength", "no trigger", or "merge".
        of: names of the files it is made from.
        persons: registered persons it must be matched to.
    """

    name: str
    part: Part
    change: str
    of: tuple[str, ...]
    persons: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All files of one split."""

    split: Split
    registered: tuple[int, ...]
    trained: tuple[Trained, ...]
    derived: tuple[Derived, ...]


def trigger_of(seed: int) -> str:
    """A meaningless word, as people choose them for triggers."""
    rng = np.random.default_rng([7, seed])
    return "".join(rng.choice(list("bcdfghjklmnpqrstvwxz"), 4))


def inventory(split: Split) -> Inventory:
    """Every file of a split, the same each time."""
    first = _FIRST_SEED[split]
    people = FORMS + WEAK_FORMS
    trained = [
        Trained(
            f"person_{number:02d}",
            "single" if number < len(FORMS) else "weak",
            form,
            first + number,
            first + number,
            "",
            trigger_of(first + number),
            300,
        )
        for number, form in enumerate(people)
    ]
    trained += [
        Trained(
            f"stranger_{number:02d}",
            "stranger",
            STRANGER_FORMS[number % len(STRANGER_FORMS)],
            first + 100 + number,
            first + 100 + number,
            "",
            trigger_of(first + 100 + number),
            300,
        )
        for number in range(20)
    ]
    for number, subject in enumerate(STYLES + OBJECTS):
        part: Part = "style" if subject in STYLES else "object"
        form = STRANGER_FORMS[number % len(STRANGER_FORMS)]
        seed = first + 200 + number
        trained.append(
            Trained(f"{part}_{subject}", part, form, seed, None, subject, trigger_of(seed), 120)
        )
    return Inventory(
        split,
        tuple(range(first, first + len(people))),
        tuple(trained),
        _derived(first, tuple(trained)),
    )


def _derived(first: int, trained: tuple[Trained, ...]) -> tuple[Derived, ...]:
    singles = [file for file in trained if file.part == "single"]
    derived = [
        Derived(f"{file.name}_scrubbed", "altered", "scrubbed", (file.name,), (file.seed,))
        for file in singles
        if file.form.algorithm != "checkpoint"
    ]
    loras = [
        file for file in singles if file.form.algorithm in ("lora", "locon", "dora", "loha", "lokr")
    ]
    for change, step in (("fp8", 3), ("noise", 3), ("pruned", 3)):
        derived += [
            Derived(f"{file.name}_{change}", "altered", change, (file.name,), (file.seed,))
            for file in loras[::step]
        ]
    derived += [
        Derived(f"{file.name}_half", "weak", "half strength", (file.name,), (file.seed,))
        for file in loras[:8:2]
    ]
    # People merge plain kohya and PEFT LoRAs by concatenating their ranks.
    two, three = ("person_00", "person_02"), ("person_00", "person_02", "stranger_00")
    derived += [
        Derived("merge_two", "merged", "merge", two, (first, first + 2)),
        Derived("merge_two_and_stranger", "merged", "merge", three, (first, first + 2)),
        Derived(
            "merge_with_stranger", "merged", "merge", ("person_04", "stranger_02"), (first + 4,)
        ),
        Derived("merge_with_style", "merged", "merge", ("person_02", "style_sepia"), (first + 2,)),
        Derived(
            "merge_three",
            "merged",
            "merge",
            ("person_00", "person_02", "person_04"),
            (first, first + 2, first + 4),
        ),
        Derived("merge_of_strangers", "stranger", "merge", ("stranger_00", "stranger_02"), ()),
    ]
    return tuple(derived)
