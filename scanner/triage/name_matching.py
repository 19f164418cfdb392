"""Whether a text names somebody: whole words in scripts that put spaces between words, anything inside in those that do not.

Names and texts are compared after NFKC and case folding, without accents, apostrophes and invisible signs. `_`, `-`, `.`,
digits and a change from small to capital letters end a word as a space does, because file names are written so.

A name of several words counts where they stand beside each other in their order or turned ("Zhao Liying",
"liying_zhao", "LiyingZhao"). Written as one word or with other breaks it counts from LEAST_JOINED letters on
("zhaoliying", "Zhao Li Ying"), because shorter ones are other names and words ("An Na" is not "Anna"). Words of at least
LEAST_APART letters also count with others between them ("Anna, by M. Schmidt"). In scripts without spaces a name of two
or more signs counts wherever it stands; one sign alone, and a name spelt apart, must be words of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

LEAST_JOINED = 6
LEAST_APART = 4
_LEAST_UNSPACED = 2
_UNSPACED = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "BOPOMOFO",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "IDEOGRAPHIC",
)
_APOSTROPHES = dict.fromkeys(map(ord, "'’ʼ‘`´ʻ"))
# Letters that Unicode does not decompose, and how they are written without them.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)
_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
)  # German and Nordic habit
_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")

Words = tuple[str, ...]


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
            for words in {spelling for part in _parts(name) for spelling in _spellings(part)}:
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
            if len(whole) >= _LEAST_UNSPACED and all(map(_is_unspaced, whole)):
                self._unspaced.setdefault(whole, name)
                self._lengths.add(len(whole))
        if len(words) > 1 and min(map(len, words)) >= LEAST_APART:
            self._apart.setdefault(max(words, key=len), []).append((name, frozenset(words)))

    def _found(self, text: str) -> Iterator[str]:
        for words in _readings(text):
            yield from self._as_words(words)
            there = frozenset(words)
            for word in there:
                yield from (name for name, spelt in self._apart.get(word, ()) if spelt <= there)
                if self._lengths and _is_unspaced(word[0]):
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
                        or _is_unspaced(joined[0])
                    ):
                        yield name

    def _inside(self, word: str) -> Iterator[str]:
        for length in self._lengths:
            for start in range(len(word) - length + 1):
                if (name := self._unspaced.get(word[start : start + length])) is not None:
                    yield name


def words_of_text(text: str) -> str:
    """The words of a text as names are compared, read with and without breaks at capitals, for patterns of whole words."""
    hard = _hardened(text)
    return " | ".join(" ".join(_words(hard, humps=humps, digits=True)) for humps in (False, True))


def _parts(name: str) -> Iterator[Words]:
    """A name, and each of its spellings where it is given in two scripts: "李安 (Li An)" is either."""
    words = _words(_hardened(name), humps=False, digits=True)
    if words:
        yield words
    for unspaced in (True, False):
        own = tuple(word for word in words if _is_unspaced(word[0]) == unspaced)
        letters = sum(map(len, own))
        enough = letters >= _LEAST_UNSPACED if unspaced else len(own) > 1 or letters >= LEAST_JOINED
        if own and own != words and enough:
            yield own


def _spellings(words: Words) -> Iterator[Words]:
    for table in (_LETTERS, _SPELT_OUT):
        yield tuple(_bare(word, table) for word in words)


def _readings(text: str) -> set[Words]:
    """The words of a text with and without breaks at capitals and digits, and with both spellings of umlauts."""
    hard = _hardened(text)
    read = {_words(hard, humps=False, digits=True), _words(hard, humps=True, digits=False)}
    tables = (_LETTERS,) if hard.isascii() else (_LETTERS, _SPELT_OUT)
    return {tuple(_bare(word, table) for word in words) for words in read for table in tables}


def _hardened(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    if plain.isascii():
        return plain
    return "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")


def _bare(word: str, table: dict[int, str]) -> str:
    if word.isascii():
        return word
    spelt = unicodedata.normalize("NFC", word).translate(table)
    stripped = _ACCENTS.sub("", unicodedata.normalize("NFKD", spelt)).translate(_LETTERS)
    return unicodedata.normalize("NFC", stripped)


def _words(text: str, *, humps: bool, digits: bool) -> Words:
    if humps:
        text = _HUMP.sub(" ", text)
    folded = text.casefold()
    if folded.isascii():
        return tuple(re.findall(r"[a-z0-9]+" if digits else r"[a-z]+", folded))
    words, last = [""], ""
    for sign in folded:
        kind = _kind(sign, digits)
        if kind == "mark":
            kind = last or "gap"
        if kind != last:
            words.append("")
        if kind != "gap":
            words[-1] += sign
        last = kind
    return tuple(word for word in words if word)


def _kind(sign: str, digits: bool) -> str:
    category = unicodedata.category(sign)
    if category[0] == "M":
        return "mark"
    if category[0] == "L" or sign == "々":
        return "unspaced" if _is_unspaced(sign) else "spaced"
    return "spaced" if digits and category[0] == "N" else "gap"


@lru_cache(4096)
def _is_unspaced(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith(_UNSPACED)
