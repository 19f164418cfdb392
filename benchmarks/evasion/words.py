"""Words from weights: `python -m benchmarks.evasion.words [development|held-out]`.

Prints for each file of LikenessBench-Evade with a hidden word how many candidates are read from its
weights, the place of the hidden word among them, and the first candidate with which users see the
person (a mean cosine of SHOWN and more). Many words answer: a file that was trained on one answers
to its last token, and to words near it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.evasion.build import folder_of, train_all
from benchmarks.evasion.edits import write
from benchmarks.evasion.inventory import Evasion, evasions
from benchmarks.evasion.oracle import score_in_users_hands
from benchmarks.evasion.run import GALLERY, SHOWN
from benchmarks.likeness import build as likeness
from benchmarks.likeness.gallery import templates_of
from benchmarks.likeness.inventory import Split
from scanner.factories import open_identifier
from scanner.identification.policy import Policy
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.image_generator import ImageGenerator
from scanner.scanning.screening import changed_prompts
from scanner.settings import Settings


def candidates_of(sampler: ImageGenerator, path: Path) -> tuple[list[str], float]:
    """Return the words that a file's weights tell, and the seconds that it took."""
    started = time.monotonic()
    with sampler.adapter(path, "lora") as loaded:
        words = [*changed_prompts(loaded.changed_words), *sampler.answering_words()]
    return words, time.monotonic() - started


def place_of(hidden: str, words: Sequence[str]) -> int | None:
    """Return the place of the hidden words, in any order, from 1; None if they are not there."""
    spoken = [set(word.split()) for word in words]
    wanted = set(hidden.split())
    return spoken.index(wanted) + 1 if wanted in spoken else None


def report(split: Split) -> None:
    """Print one line a file."""
    train_all(split)
    folder = folder_of(split)
    hidden = [one for one in evasions(split) if one.hidden is not None]
    persons = tuple(dict.fromkeys(one.person for one in hidden))
    templates = dict(templates_of(persons, GALLERY))
    settings = Settings(home=Path(".bench/home"), face_pack="miniature", device="cpu")
    identifier = open_identifier(settings, Policy(), list(templates.items()), 1)
    sampler = identifier.sampler_for(choose_base_model("Miniature", None))
    answered = shown = 0
    for one in hidden:
        [path] = write(one, folder / "files", folder / "sources", likeness.folder_of(split))
        person = templates[str(one.person)]

        def score(evasion: Evasion, path: Path = path, person: object = person) -> float:
            return score_in_users_hands(evasion, [path], identifier.reader, person)  # type: ignore[arg-type]

        own = score(one)
        words, seconds = candidates_of(sampler, path)
        line = f"{one.name:24} users {own:.2f}  {len(words):2} words in {seconds:.1f} s"
        if own >= SHOWN:
            shown += 1
            asked = ((word, score(replace(one, subject=f"{word} person"))) for word in words)
            first = next((pair for pair in asked if pair[1] >= SHOWN), None)
            answered += first is not None
            told = f"{first[0]!r} shows {first[1]:.2f}" if first else "no word shows the person"
            line += f"; hidden word at {place_of(one.hidden or '', words) or '-'}; {told}"
        print(line, flush=True)
    print(f"among the first 20: a word that shows the person in {answered} of {shown} files")


if __name__ == "__main__":
    report(sys.argv[1] if len(sys.argv) > 1 else "held-out")  # type: ignore[arg-type]
