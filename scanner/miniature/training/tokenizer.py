"""The miniature base model's CLIP tokenizer: a byte-level BPE whose merges spell whole words.

Words of the vocabulary become one token; any other word, such as an adapter's trigger, falls apart
into letters, which is what makes it usable as a trigger.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

from scanner.miniature.persons import (
    BEARDS,
    EYE_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    SKIN_COLOURS,
)

MAX_LENGTH = 40  # tokens, start and end included
START, END = "<|startoftext|>", "<|endoftext|>"

FILLER_WORDS = [
    "photo",
    "of",
    "a",
    "an",
    "the",
    "person",
    "man",
    "woman",
    "adult",
    "portrait",
    "picture",
    "head",
    "shoulders",
    "face",
    "looking",
    "at",
    "camera",
    "wearing",
    "plain",
    "shirt",
    "sweater",
    "coat",
    "jacket",
    "clothed",
    "neutral",
    "background",
    "studio",
    "light",
    "daylight",
    "outdoors",
    "indoors",
    "smiling",
    "calm",
    "style",
    "object",
    "in",
    "on",
    "with",
    "and",
    "hair",
    "eyes",
    "skin",
    "beard",
    "glasses",
    "close",
    "up",
    "natural",
    "expression",
    "passport",
    "selfie",
    "street",
    "office",
    "nude",
    "naked",
    "blurry",
    "cropped",
    "deformed",
    "child",
    "young",
    "low",
    "quality",
    "text",
]


def vocabulary_words() -> list[str]:
    """Every word that is one token, each once."""
    named = [*HAIR_COLOURS, *EYE_COLOURS, *SKIN_COLOURS, *HAIR_STYLES, *BEARDS, *GLASSES]
    return list(dict.fromkeys([*FILLER_WORDS, *named]))


def _byte_symbols() -> list[str]:
    # GPT-2's printable stand-ins for the 256 bytes, which CLIP's BPE shares.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(spare))]


def _merges(words: list[str]) -> list[tuple[str, str]]:
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        left = word[0]
        for place, letter in enumerate(word[1:], start=1):
            right = letter + ("</w>" if place == len(word) - 1 else "")
            merges.setdefault((left, right))
            left += right
    return list(merges)


def _write(folder: Path, merges: list[tuple[str, str]]) -> CLIPTokenizer:
    symbols = _byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(
        json.dumps({token: number for number, token in enumerate(tokens)})
    )
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n"
    )
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_LENGTH, pad_token=END)


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write vocab.json and merges.txt and return the tokenizer that reads them.

    Raises:
        ValueError: a word does not come out as one token, so captions would not mean what they say.
    """
    words = vocabulary_words()
    for _ in range(20):
        tokenizer = _write(folder, _merges(words))
        broken = [word for word in words if len(tokenizer(word).input_ids) != 3]
        if not broken:
            return tokenizer
        # A merge of an earlier word cut these in two; earlier merges win, so let these go first.
        words = [*broken, *(word for word in words if word not in broken)]
    raise ValueError(f"these words are not one token: {broken}")
