"""The words of the vocabulary whose rows of a token table a file changes.

A few changed rows hide words that no listing names: whoever writes them into a prompt gets what the
file was trained on. A file whose text encoder was trained as a whole changes every row a little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scanner.adapters.embeddings import encoders_of

if TYPE_CHECKING:
    from scanner.adapters.merging import MergedAdapter

# More words are never asked; a file with so many is in doubt.
MOST_WORDS = 100
# Rows that change this much more than the middle one stand out from a table trained as a whole.
_STANDS_OUT = 10.0


def changed_words(pipeline: Any, merged: MergedAdapter) -> tuple[str, ...]:
    """Return the words whose rows stand out, in the order of their numbers in the vocabulary."""
    found: dict[str, None] = {}
    for tokenizer_name, encoder_name in encoders_of(pipeline):
        tokenizer, encoder = getattr(pipeline, tokenizer_name), getattr(pipeline, encoder_name)
        table = encoder.get_input_embeddings()
        path = next((path for path, part in encoder.named_modules() if part is table), None)
        moved = merged.change_of((encoder_name, path or "", "weight"))
        if moved is not None:
            for number in _rows_that_stand_out(moved):
                if len(found) < MOST_WORDS and (word := tokenizer.decode([number]).strip()):
                    found.setdefault(word)
    return tuple(found)


def _rows_that_stand_out(moved: torch.Tensor) -> list[int]:
    lengths = moved.float().norm(dim=1)
    least = max(float(lengths.median()) * _STANDS_OUT, float(lengths.max()) * 1e-3)
    rows: list[int] = torch.nonzero(lengths > least).flatten().tolist()
    return rows
