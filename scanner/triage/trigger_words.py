"""The words of a checkpoint: triggers, candidates for triggers, and registered minors' names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.words import PERSON_WORDS
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.trigger_search import candidate_words
from scanner.triage.header import Triage
from scanner.triage.minors import NamedMinor, RegisteredMinors, words_about

_MOST_EXAMPLES, _LEAST_SHARE = 40, 0.6
_EXAMPLES_ASKED, _LONGEST_EXAMPLE = 2, 60
# Other files in angle brackets, weights of words, brackets, and breaks.
_SYNTAX = re.compile(r"<[^>]*>|:\s*-?\d*\.?\d+|[()\[\]{}|\\]|\bBREAK\b")


def words_of(
    crawl: CrawlStore, listing: Listing, file: RemoteFile, triage: Triage
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the known triggers and, if there are none, candidates for the trigger search.

    Triggers come from the listing, the header and the creator's example prompts, of which two are
    asked as they are, since users copy them.
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
        return [text for text in _prompts_in(json.loads(raw)) if text][:_MOST_EXAMPLES]
    except (ValueError, RecursionError):
        return []


def _examples(prompts: Sequence[str], triggers: Sequence[str]) -> tuple[str, ...]:
    """Return the beginnings of example prompts that say more than the triggers do."""
    known = {word for trigger in triggers for word in _spoken(trigger)}
    found = (beginning for prompt in prompts if (beginning := _beginning(prompt)))
    more = [text for text in dict.fromkeys(found) if not set(_spoken(text)) <= known]
    return tuple(text for one in more for text in usable_triggers([one]))[:_EXAMPLES_ASKED]


def _beginning(prompt: str) -> str:
    """Return the parts at the beginning of a prompt that fit into ours, without its syntax."""
    text = ""
    for part in _SYNTAX.sub(" ", prompt).split(","):
        longer = ", ".join(filter(None, (text, " ".join(part.split()))))
        if len(longer) > _LONGEST_EXAMPLE:
            break
        text = longer
    return text


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
