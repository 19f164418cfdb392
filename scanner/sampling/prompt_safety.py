"""Words that are not allowed in a prompt.

Prompts ask for neutral portraits of clothed adults. A word that would change that is dropped, and
a checkpoint that names a minor is not sampled at all (scanner.triage.minors).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from crawlers.text_words import words_of_text
from crawlers.words import PERSON_WORDS

_AGES = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
_MINOR_WORDS = re.compile(
    r"\b(child|children|kids?|toddlers?|infants?|bab(y|ies)|minors?|underage|"
    r"pre-?teens?|teens?|teenage\w*|loli\w*|shota\w*|school ?(girl|boy|child|kid)\w*|"
    r"(middle|elementary|primary) school|kindergarten\w*|(little|young) (girl|boy)s?|"
    r"(\d|1[0-7])[- ]?(yo|y\W?o|yrs?|years?)\b([- ]?old)?|aged? (\d|1[0-7])|"
    rf"({_AGES}|sixteen|seventeen)[- ]years?[- ]old)\b|"
    r"幼女|萝莉|正太|儿童|小女孩|小男孩|未成年|소녀|소년|아동|ロリ|幼児",
    re.IGNORECASE,
)
_SEXUAL_WORDS = re.compile(
    r"\b(nud(e|es|ity|ism|ist)|naked|nsfw|porn\w*|sex\w*|erotic\w*|topless|lingerie|underwear|"
    r"panties|thong|bra|undress\w*|bikini|hentai|xxx|breasts?|boobs?|cleavage|nipples?|genital\w*|"
    r"penis|vagina\w*|blowjob\w*|orgasm\w*|fetish\w*|bondage|bdsm)\b|"
    r"裸|色情|性爱|脱衣",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s,;_|/+-]+")
# Signs of other programs' prompts; a trigger with one of the first kind is left out.
_NEVER_WRITTEN = re.compile(r"[\x00-\x1f<>\\]")
_SYNTAX = re.compile(r"[{}\[\]()|]+")
_LONGEST_TRIGGER = 60
# What trainers write behind the word for their subject.
_CLASS_WORDS = PERSON_WORDS | {"object", "style", "character", "concept"}
# More words than this are not looked at; a file with so many is in doubt in any case.
_MOST_WORDS = 200


def usable_triggers(words: Iterable[str]) -> tuple[str, ...]:
    """Return the triggers that are allowed in a prompt, in their order.

    A sexual word is left out of its trigger; whoever wants a trigger not to be asked for would
    write one beside it. A trigger that says minor is left out as a whole, as is one that another
    trigger repeats with a class word. At most 200 words are looked at.
    """
    allowed = [
        trigger
        for word in islice(words, _MOST_WORDS)
        if not says_minor(word)
        and not _NEVER_WRITTEN.search(word)
        and (trigger := _within_limits(_without_sexual_words(word)))
    ]
    spoken = {trigger: set(trigger.lower().split()) for trigger in allowed}
    return tuple(
        trigger
        for trigger, own in spoken.items()
        if not any(own < other and _adds_nothing(own, other) for other in spoken.values())
    )


def _adds_nothing(own: set[str], longer: set[str]) -> bool:
    """Whether a longer trigger is the same one with a class word, or the shorter only a class."""
    return longer - own <= _CLASS_WORDS or own <= _CLASS_WORDS


def _without_sexual_words(trigger: str) -> str:
    """Return a trigger without the words that are sexual, as people separate words."""
    if not _holds(_SEXUAL_WORDS, trigger):
        return trigger.strip()
    kept = [part for part in _SEPARATORS.split(trigger) if not _holds(_SEXUAL_WORDS, part)]
    text = " ".join(part for part in kept if part)
    return "" if _holds(_SEXUAL_WORDS, text) else text


def _within_limits(trigger: str) -> str:
    """Return a trigger without prompt syntax, as many of its words as are not too long."""
    text = ""
    for word in _SYNTAX.sub(" ", trigger).split():
        if len(text) + 1 + len(word) > _LONGEST_TRIGGER:
            break
        text = f"{text} {word}".strip()
    return text


def _holds(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a text contains such a word, also in file names such as "school_girl" or "KidV2"."""
    return bool(pattern.search(text) or pattern.search(words_of_text(text)))


def says_minor(text: str) -> bool:
    """Whether a text contains a word for a child or an age under 18.

    A sexual word between the words of a phrase does not hide it.
    """
    return _holds(_MINOR_WORDS, text) or _holds(_MINOR_WORDS, _without_sexual_words(text))
