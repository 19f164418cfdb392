"""How likely a listing is to carry a real person's likeness, judged by words alone.

The score orders the work and is never a verdict. Signals add up as log-odds and become a score
between 0 and 1. The weights were set by hand to put likely files first. They were not fitted to
labelled hubs, so a score is no probability. docs/likeness.md lists every signal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crawlers.checkpoints.training_metadata import (
    dataset_folders,
    folder_words,
    person_tags,
    training_of,
)
from crawlers.listing import Listing
from crawlers.words import (
    NO_PERSON_WORDS,
    PERSON_WORDS,
    PHOTOGRAPHIC_BASES,
    REAL_PERSON_WORDS,
    named_in,
    personal_name,
)

# Log-odds without any signal: most adapters on the hubs show styles and fictional characters.
PRIOR_LOG_ODDS = -1.5
WEIGHTS = {
    "hub flag": 4.0,
    "training photos": 2.5,
    "real person word": 2.0,
    "person's class word": 1.5,
    "surname": 1.5,
    "number of photos": 1.0,
    "photographic base": 0.7,
    "capitalised words": 0.5,
    "face cropping": 0.5,
    "metadata removed": 0.5,
    "no person word": -2.0,
}
_CLASS_WORDS = PERSON_WORDS - REAL_PERSON_WORDS
FEWEST_PHOTOS, MOST_PHOTOS = 5, 300


@dataclass(frozen=True, slots=True)
class Likeness:
    """The likelihood of a likeness, and the reasons.

    Attributes:
        score: between 0 and 1; a higher score is processed earlier.
        signals: names from WEIGHTS and what was found, in the order of WEIGHTS.
    """

    score: float
    signals: tuple[tuple[str, str], ...]


def likeness_of(listing: Listing, metadata: Mapping[str, str] | None = None) -> Likeness:
    """The likeness score of a listing, and of the metadata of a checkpoint's header if given."""
    found = dict(_from_listing(listing))
    return _added_up(found if metadata is None else {**dict(_from_header(metadata)), **found})


def likeness_of_header(metadata: Mapping[str, str]) -> Likeness:
    """The likeness score of a checkpoint that is described by nothing but its header."""
    return _added_up(dict(_from_header(metadata)))


def _added_up(found: Mapping[str, str]) -> Likeness:
    log_odds = PRIOR_LOG_ODDS + sum(WEIGHTS[name] for name in found)
    signals = tuple((name, found[name]) for name in WEIGHTS if name in found)
    return Likeness(round(1 / (1 + math.exp(-log_odds)), 4), signals)


def _from_listing(listing: Listing) -> Iterator[tuple[str, str]]:
    words = (listing.title, *listing.tags)
    if listing.real_person_flag:
        yield "hub flag", "the hub says that it shows a real person"
    if listing.training_data:
        yield "training photos", listing.training_data[0].name
    yield from _first("real person word", named_in(words, REAL_PERSON_WORDS))
    yield from _first(
        "person's class word", named_in((*listing.triggers, *listing.tags), _CLASS_WORDS)
    )
    yield from _name(listing.title)
    if PHOTOGRAPHIC_BASES.search(listing.base_model or ""):
        yield "photographic base", listing.base_model or ""
    yield from _first("no person word", named_in(words, NO_PERSON_WORDS))


def _from_header(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    training = training_of(metadata)
    folders = [folder_words(folder) or folder for folder in dataset_folders(metadata)]
    yield from _first(
        "person's class word", [*named_in(folders, PERSON_WORDS), *person_tags(metadata)]
    )
    for folder in folders:
        yield from _name(folder)
    count = training["photo_count"]
    if count is not None and FEWEST_PHOTOS <= count <= MOST_PHOTOS:
        yield "number of photos", str(count)
    if PHOTOGRAPHIC_BASES.search(training["base_model"] or ""):
        yield "photographic base", training["base_model"]
    if metadata.get("ss_face_crop_aug_range", "None") not in ("", "None"):
        yield "face cropping", metadata["ss_face_crop_aug_range"][:40]
    if training["scrubbed"]:
        yield "metadata removed", "nothing but the least that loaders need is left"
    yield from _first("no person word", named_in(folders, NO_PERSON_WORDS))


def _name(title: str) -> Iterator[tuple[str, str]]:
    found = personal_name(title)
    if found:
        yield "surname" if found[1] else "capitalised words", found[0]


def _first(name: str, found: Sequence[str]) -> Iterator[tuple[str, str]]:
    if found:
        yield name, ", ".join(list(dict.fromkeys(found))[:5])
