"""Matching of names in texts: whole words in scripts with spaces between words, any part of a text in others.

Words are compared as crawlers.text_words reads them. A name of several words counts where they stand beside each other in their order or turned ("Zhao Liying",
"liying_zhao", "LiyingZhao"). Written as one word or with other breaks it counts from LEAST_JOINED letters on
("zhaoliying", "Zhao Li Ying"), because shorter ones are other names and words ("An Na" is not "Anna"). Words of at least
LEAST_APART letters also count with others between them ("Anna, by M. Schmidt"). In scripts without spaces a name of two
or more signs counts wherever it stands; one sign alone, and a name spelt apart, must be words of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crawlers.text_words import (
    Words,
    hardened,
    is_unspaced,
    readings_of,
    spellings_of,
    words_in,
)

LEAST_JOINED = 6
LEAST_APART = 4
_LEAST_UNSPACED = 2


class NameMatcher:
    """Finds which of many names a text holds; what a text costs hardly depends on how many names there are."""

    def __init__(self, names: Iterable[str]) -> None:
        self._spaced: dict[str, list[tuple[str, Words]]] = {}
        self._unspaced: dict[str, str] = {}
        self._lengths: set[int] = set()  # of names in scripts without spaces
        self._apart: dict[
            str, list[tuple[str, frozenset[str]]]
        ] = {}  # by the longest of a name's words
        for name in names:
            for words in {spelling for part in _parts(name) for spelling in spellings_of(part)}:
                self._add(name, words)
        self._longest = max(map(len, self._spaced), default=0)

    def named_in(self, texts: Iterable[str]) -> str | None:
        """The first name that one of the texts holds, as it was given; None if they name nobody."""
        if not self._spaced:
            return None
        return next((name for text in texts for name in self._found(text)), None)

    def _add(self, name: str, words: Words) -> None:
        for turn in range(len(words)):
            turned = words[turn:] + words[:turn]
            whole = "".join(turned)
            self._spaced.setdefault(whole, []).append((name, turned))
            if len(whole) >= _LEAST_UNSPACED and all(map(is_unspaced, whole)):
                self._unspaced.setdefault(whole, name)
                self._lengths.add(len(whole))
        if len(words) > 1 and min(map(len, words)) >= LEAST_APART:
            self._apart.setdefault(max(words, key=len), []).append((name, frozenset(words)))

    def _found(self, text: str) -> Iterator[str]:
        for words in readings_of(text):
            yield from self._as_words(words)
            there = frozenset(words)
            for word in there:
                yield from (name for name, spelt in self._apart.get(word, ()) if spelt <= there)
                if self._lengths and is_unspaced(word[0]):
                    yield from self._inside(word)

    def _as_words(self, words: Words) -> Iterator[str]:
        for start in range(len(words)):
            joined = ""
            for end in range(start, len(words)):
                joined += words[end]
                if len(joined) > self._longest:
                    break
                for name, spelt in self._spaced.get(joined, ()):
                    if (
                        words[start : end + 1] == spelt
                        or len(joined) >= LEAST_JOINED
                        or is_unspaced(joined[0])
                    ):
                        yield name

    def _inside(self, word: str) -> Iterator[str]:
        for length in self._lengths:
            for start in range(len(word) - length + 1):
                if (name := self._unspaced.get(word[start : start + length])) is not None:
                    yield name


def _parts(name: str) -> Iterator[Words]:
    """A name, and each of its spellings where it is given in two scripts: "李安 (Li An)" is either."""
    words = words_in(hardened(name), humps=False, digits=True)
    if words:
        yield words
    for unspaced in (True, False):
        own = tuple(word for word in words if is_unspaced(word[0]) == unspaced)
        letters = sum(map(len, own))
        enough = letters >= _LEAST_UNSPACED if unspaced else len(own) > 1 or letters >= LEAST_JOINED
        if own and own != words and enough:
            yield own
