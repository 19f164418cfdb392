"""The words of a checkpoint: triggers that are told, words that may be triggers, and names of whom it may show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from crawlers.listing import Listing, RemoteFile
from crawlers.words import PERSON_WORDS
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.trigger_search import candidate_words
from scanner.triage.header import Triage
from scanner.triage.minors import Naming, words_about

if TYPE_CHECKING:
    from scanner.scanning.session import ScanSession

_MOST_EXAMPLES, _LEAST_SHARE = 40, 0.6


def words_of(
    scan_session: ScanSession, listing: Listing, file: RemoteFile, triage: Triage
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Triggers that listing, header and the creator's examples tell, and words to try where they tell none."""
    told = [*listing.triggers, *triage.triggers]
    if not told:
        told = _words_of_examples(scan_session, listing)
    triggers = usable_triggers(told)
    if triggers:
        return triggers, ()
    return (), candidate_words(
        [listing.title, file.name, str(triage.training.get("output_name") or "")]
    )


def without_minors(scan_session: ScanSession, words: tuple[str, ...]) -> tuple[str, ...]:
    """Words that may stand in a prompt: none that names a registered minor, also where a file of that name was let through."""
    return tuple(word for word in words if scan_session.minors.matcher.named_in([word]) is None)


def _words_of_examples(scan_session: ScanSession, listing: Listing) -> list[str]:
    """Words at the beginning of most of the creator's example prompts; only words, and only after the safety filter."""
    if listing.declared:  # whatever it calls itself, no hub's answer is about it
        return []
    raw = next((one.raw for one in scan_session.crawl.newest(listing.hub, listing.listing_id)), "")
    try:
        prompts = [text for text in _prompts_in(json.loads(raw)) if text][:_MOST_EXAMPLES]
    except (ValueError, RecursionError):
        return []
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
    scan_session: ScanSession, listing: Listing, file: RemoteFile, triage: Triage | None = None
) -> Naming | None:
    """The registered minor whom a file's listing or header names, and where; None for anybody else.

    Such a file is held (scanner.scanning.held_files). How names are compared: scanner.triage.name_matching.

    Args:
        triage: of the file's header, None before it was read.
    """
    texts = words_about(listing, file, triage)
    if triage is not None:
        texts["examples"] = list(words_of(scan_session, listing, file, triage)[0])
    return scan_session.minors.named_by(texts)
