"""Matching of names in texts.

Texts are split into words by crawlers.text_words. In scripts with spaces between words a name
matches whole words:

- Its words match if they are adjacent, in their order or rotated ("Zhao Liying", "liying_zhao",
  "LiyingZhao").
- Joined to one word or with other breaks ("zhaoliying", "Zhao Li Ying") it matches if it has at
  least LEAST_JOINED letters. Shorter ones are often other names and words ("An Na" is not "Anna").
- Words of at least LEAST_APART letters each also match with other words between them ("Anna, by
  M. Schmidt").

In scripts without spaces a name of two or more characters matches anywhere in a text. A single
character, and a name written with spaces, must be separate words.
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
    """Finds which of many names a text contains.

    The cost of a text hardly depends on the number of names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spaced: dict[str, list[tuple[str, Words]]] = {}
        self._unspaced: dict[str, str] = {}
        self._lengths: set[int] = set()  # of names in scripts without spaces
        # By the longest word of a name.
        self._apart: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for name in names:
            for words in {spelling for part in _parts(name) for spelling in spellings_of(part)}:
                self._add(name, words)
        self._longest = max(map(len, self._spaced), default=0)

    def named_in(self, texts: Iterable[str]) -> str | None:
        """Return the first name in one of the texts, as it was given; None if there is none."""
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
            present = frozenset(words)
            for word in present:
                yield from (name for name, spelt in self._apart.get(word, ()) if spelt <= present)
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
    """Yield a name, and each part of a name in two scripts, such as "李安 (Li An)"."""
    words = words_in(hardened(name), humps=False, digits=True)
    if words:
        yield words
    for unspaced in (True, False):
        own = tuple(word for word in words if is_unspaced(word[0]) == unspaced)
        letters = sum(map(len, own))
        enough = letters >= _LEAST_UNSPACED if unspaced else len(own) > 1 or letters >= LEAST_JOINED
        if own and own != words and enough:
            yield own
