"""The words of a checkpoint: triggers, candidates for triggers, and registered minors' names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.words import PERSON_WORDS
from scanner.sampling.prompt_safety import says_minor, usable_triggers
from scanner.sampling.trigger_search import candidate_words
from scanner.triage.header import Triage
from scanner.triage.minors import NamedMinor, RegisteredMinors, words_about

_MOST_EXAMPLES, _LEAST_SHARE = 40, 0.6
_EXAMPLES_ASKED, _LONGEST_PROMPT = 2, 2_000
# Other files in angle brackets, weights of words, brackets, and breaks.
_SYNTAX = re.compile(r"<[^<>]*>|:\s?-?\d{0,4}\.?\d{1,4}|[()\[\]{}|\\]|\bBREAK\b")
# Words of prompts for portraits of clothed adults.
NEUTRAL_WORDS = frozenset(
    ["a", "an", "the", "of", "in", "on", "at", "with", "and", "by", "photo", "photograph",
     "portrait", "picture", "image", "selfie", "headshot", "close-up", "closeup", "person",
     "woman", "man", "lady", "guy", "adult", "actor", "actress", "face", "head", "looking",
     "camera", "viewer", "smiling", "smile", "serious", "neutral", "expression", "studio",
     "outdoor", "outdoors", "indoor", "indoors", "street", "office", "garden", "park", "city",
     "cafe", "home", "background", "light", "lighting", "natural", "soft", "daylight", "sunlight",
     "evening", "shirt", "t-shirt", "jacket", "sweater", "suit", "coat", "scarf", "hat", "glasses",
     "plain", "white", "black", "blue", "red", "green", "yellow", "grey", "gray", "brown",
     "blonde", "blond", "dark", "long", "short", "curly", "straight", "hair", "beard", "wearing",
     "sitting", "seated", "standing", "walking", "detailed", "realistic", "photorealistic", "film",
     "grain", "bokeh", "35mm", "50mm", "85mm", "dslr", "sharp", "focus", "high", "quality", "8k",
     "4k", "hd", "masterpiece", "best"]
)  # fmt: skip


def words_of(
    crawl: CrawlStore, listing: Listing, file: RemoteFile, triage: Triage
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the known triggers and, if there are none, candidates for the trigger search.

    Triggers come from the listing, the header and the creator's example prompts, of which two are
    asked too, those parts of them that are neutral.
    """
    known = [*listing.triggers, *triage.triggers]
    prompts = _prompts_of(crawl, listing)
    if not known:
        known = _words_of_examples(prompts)
    triggers = usable_triggers(known)
    triggers = tuple(dict.fromkeys([*triggers, *_examples(prompts, triggers)]))
    if triggers:
        return triggers, ()
    return (), candidate_words(
        [listing.title, file.name, str(triage.training.get("output_name") or "")]
    )


def without_minors(minors: RegisteredMinors, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that do not name a registered minor.

    Other words are not allowed in a prompt even after a hold was lifted.
    """
    return tuple(word for word in words if minors.matcher.named_in([word]) is None)


def _prompts_of(crawl: CrawlStore, listing: Listing) -> list[str]:
    """Return the creator's example prompts."""
    if listing.declared:  # its listing was written by the sender, so a hub has no examples for it
        return []
    raw = next((known.raw for known in crawl.newest(listing.hub, listing.listing_id)), "")
    try:
        found = islice((text for text in _prompts_in(json.loads(raw)) if text), _MOST_EXAMPLES)
        return [text[:_LONGEST_PROMPT] for text in found]
    except (ValueError, RecursionError):
        return []


def _examples(prompts: Sequence[str], triggers: Sequence[str]) -> tuple[str, ...]:
    """Return the neutral parts of example prompts that say more than a trigger in them.

    Only parts whose words are all triggers or neutral are among them, because free text can ask
    for anything. If one prompt says minor, none is asked.
    """
    if any(says_minor(prompt) for prompt in prompts):
        return ()
    known = {word for trigger in triggers for word in _spoken(trigger)}
    allowed = known | NEUTRAL_WORDS
    found = [
        ", ".join(part for part in _parts(prompt) if set(_spoken(part)) <= allowed)
        for prompt in prompts
    ]
    more = [
        text
        for text in dict.fromkeys(found)
        if known & (spoken := set(_spoken(text))) and not spoken <= known
    ]
    return tuple(text for one in more for text in usable_triggers([one]))[:_EXAMPLES_ASKED]


def _parts(prompt: str) -> list[str]:
    """Return the parts of a prompt between commas, without the syntax of other programs."""
    return [
        words for part in _SYNTAX.sub(" ", prompt).split(",") if (words := " ".join(part.split()))
    ]


def _spoken(text: str) -> list[str]:
    return text.lower().replace(",", " ").split()


def _words_of_examples(prompts: Sequence[str]) -> list[str]:
    """Return words at the beginning of most of the creator's example prompts."""
    first = Counter(
        part.strip() for prompt in prompts for part in dict.fromkeys(prompt.split(",")[:3])
    )
    return [
        part
        for part, count in first.most_common(3)
        if len(prompts) >= 3
        and count >= _LEAST_SHARE * len(prompts)
        and part.lower() not in PERSON_WORDS
    ]


def _prompts_in(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > 8:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "prompt" and isinstance(inner, str):
                yield inner
            else:
                yield from _prompts_in(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _prompts_in(inner, depth + 1)


def named_minor(
    minors: RegisteredMinors,
    crawl: CrawlStore,
    listing: Listing,
    file: RemoteFile,
    triage: Triage | None = None,
) -> NamedMinor | None:
    """Return the registered minor whom a file's listing or header names; None if they name none.

    Such a file is held (scanner.scanning.held_files). Names are compared as in
    scanner.triage.name_matching.

    Args:
        triage: triage of the file's header; None if it was not read yet.
    """
    texts = words_about(listing, file, triage)
    if triage is not None:
        texts["examples"] = list(words_of(crawl, listing, file, triage)[0])
    return minors.named_by(texts)
