"""Words that are not allowed in a prompt.

Prompts ask for neutral portraits of clothed adults. A word that would change that is dropped, and
a checkpoint that names a minor is not sampled at all (scanner.triage.minors).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from crawlers.text_words import words_of_text

_MINOR_WORDS = re.compile(
    r"\b(child|children|kid|kids|toddler|infant|baby|minor|underage|preteen|loli\w*|shota\w*|"
    r"schoolgirl|schoolboy|little (girl|boy)|(\d|1[0-7])[- ]?(yo|y/o|years?[- ]old))\b|"
    r"幼女|萝莉|正太|儿童|小女孩|小男孩|未成年|소녀|소년|아동|ロリ|幼児",
    re.IGNORECASE,
)
_SEXUAL_WORDS = re.compile(
    r"\b(nude|naked|nsfw|porn\w*|sex\w*|topless|lingerie|undress\w*|bikini|hentai|xxx)\b|"
    r"裸|色情|性爱|脱衣",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s,;_|/+]+")
_TRIGGER_FORM = re.compile(r"[^\x00-\x1f<>\\{}\[\]()|]{1,60}")


def usable_triggers(words: Iterable[str]) -> tuple[str, ...]:
    """Return the triggers that are allowed in a prompt, in their order.

    A sexual word is left out of its trigger; whoever wants a trigger not to be asked for would
    write one beside it. A trigger that says minor is left out as a whole, as is one whose words are
    all in another, longer trigger.
    """
    allowed = [
        trigger
        for word in words
        if not _holds(_MINOR_WORDS, word)
        and (trigger := _without_sexual_words(word))
        and _TRIGGER_FORM.fullmatch(trigger)
        and not _holds(_SEXUAL_WORDS, trigger)
    ]
    return tuple(
        word
        for word in dict.fromkeys(allowed)
        if not any(_contains(other, word) for other in allowed)
    )


def _without_sexual_words(trigger: str) -> str:
    """Return a trigger without the words that are sexual, as people separate words."""
    if not _holds(_SEXUAL_WORDS, trigger):
        return trigger.strip()
    kept = [part for part in _SEPARATORS.split(trigger) if not _holds(_SEXUAL_WORDS, part)]
    return " ".join(part for part in kept if part)


def _contains(longer: str, word: str) -> bool:
    return set(word.lower().split()) < set(longer.lower().split())


def _holds(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a text contains such a word, also in file names such as "school_girl" or "KidV2"."""
    return bool(pattern.search(text) or pattern.search(words_of_text(text)))


def says_minor(text: str) -> bool:
    """Whether a text contains a word for a child or an age under 18."""
    return _holds(_MINOR_WORDS, text)
