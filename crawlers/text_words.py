"""Splitting a text in any script into words, for the comparison of names and forbidden words.

Texts are compared after NFKC and case folding, without accents, apostrophes and invisible
characters. As in file names, `_`, `-`, `.`, digits and a change from lower to upper case end a word
in the same way as a space.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
# Letters that Unicode does not decompose, and their replacements.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)
# The German and Scandinavian replacements.
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")

Words = tuple[str, ...]


def words_of_text(text: str) -> str:
    """Return the words of a text with and without breaks at capitals, for whole-word patterns."""
    normal = hardened(text)
    readings = (words_in(normal, humps=humps, digits=True) for humps in (False, True))
    return " | ".join(" ".join(words) for words in readings)


def readings_of(text: str) -> set[Words]:
    """Return the words of a text with and without breaks at capitals and digits.

    Umlauts are read in both spellings ("ü" as "u" and as "ue").
    """
    normal = hardened(text)
    read = {words_in(normal, humps=False, digits=True), words_in(normal, humps=True, digits=False)}
    tables = (_LETTERS,) if normal.isascii() else (_LETTERS, _SPELT_OUT)
    return {tuple(_bare(word, table) for word in words) for words in read for table in tables}


def spellings_of(words: Words) -> tuple[Words, ...]:
    """Return words in both spellings of umlauts."""
    return tuple(tuple(_bare(word, table) for word in words) for table in (_LETTERS, _SPELT_OUT))


def hardened(text: str) -> str:
    """Return a text after NFKC, without apostrophes and invisible characters."""
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


def words_in(text: str, *, humps: bool, digits: bool) -> Words:
    """Return the words of a hardened text, case folded.

    Args:
        humps: whether a change from lower to upper case ends a word.
        digits: whether digits belong to words.
    """
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
        return "unspaced" if is_unspaced(sign) else "spaced"
    return "spaced" if digits and category[0] == "N" else "gap"


@lru_cache(4096)
def is_unspaced(sign: str) -> bool:
    """Whether a character belongs to a script without spaces between words."""
    return unicodedata.name(sign, "").startswith(_UNSPACED)
