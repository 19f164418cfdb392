"""Learned words: textual inversion, and the tokens that some adapters contain.

A learned word is one or more rows of a text encoder's embedding table. Each row gets its own token.
The pipeline temporarily gets a copy of its tokenizer and a longer table; afterwards it gets its own
objects back. Every text encoder of the pipeline must get a table, and every tensor of the file must
be used. Sources: AUTOMATIC1111 textual_inversion (emb_params; clip_l and clip_g for SDXL),
diffusers loaders/textual_inversion.py, cloneofsimo/lora (tokens named <s1> in the file), kohya and
OneTrainer (bundle_emb).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from scanner.adapters.cuda_graphs import unrecorded
from scanner.adapters.embedding_names import (
    ONLY,
    competing_words,
    table_of,
    unused_tables,
    without_bookkeeping,
)
from scanner.errors import UnfaithfulLoad

Tables = dict[str, torch.Tensor]
"""The rows of one word, [vectors, width], by text encoder; see embedding_names."""

MOST_VECTORS = 64
# OpenAI's configurations have 2 as end-of-text token. For it transformers takes the highest token
# as the end of the text, which would be a new word.
_LEGACY_EOS = 2
# Names of encoders in files, by the beginning of the name of their class.
_KINDS = {
    "CLIP": "clip",
    "T5": "t5",
    "UMT5": "t5",
    "Qwen": "qwen",
    "Gemma": "gemma",
    "Llama": "llama",
}
_ENCODERS = (
    ("tokenizer", "text_encoder"),
    ("tokenizer_2", "text_encoder_2"),
    ("tokenizer_3", "text_encoder_3"),
)


def embeddings_in(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, Tables]:
    """The learned words of a textual inversion file by name, with their tables.

    Args:
        tensors: all tensors of the file.
        name: of the word if the file does not name it; usually the file's name.

    Raises:
        UnfaithfulLoad: a prompt could not use one of the tensors.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if several := competing_words(shapes):
        raise UnfaithfulLoad(
            f"the file holds {len(several)} learned words, {', '.join(several[:3])}; programs "
            "differ in which one they load"
        )
    if unused := unused_tables(shapes):
        raise UnfaithfulLoad(
            f"{len(unused)} of {len(tensors)} tensors are no input of a text encoder or a second "
            f"table for one, such as {unused[0]}; without them samples would not be faithful"
        )
    words: dict[str, Tables] = {}
    for key in without_bookkeeping(shapes):
        table = table_of(key)
        # diffusers names the tensor after the token.
        word, encoder = (key, ONLY) if table is None else (name, table[0])
        words.setdefault(word, {})[encoder] = rows_of(tensors[key])
    return words


def rows_of(tensor: torch.Tensor) -> torch.Tensor:
    """A table [vectors, width]; a single vector becomes a table of one row."""
    return tensor.reshape(-1, tensor.shape[-1])


@contextmanager
def words_added(pipeline: Any, embeddings: Mapping[str, Tables]) -> Iterator[dict[str, str]]:
    """Add words to a pipeline for the duration of a with-block.

    Yields the text to write in a prompt for each word.

    Raises:
        UnfaithfulLoad: a table fits no text encoder, has no row or too many, or a text encoder has
            no table.
    """
    if not embeddings:
        yield {}
        return
    before = {
        tokenizer: (getattr(pipeline, tokenizer), getattr(pipeline, encoder).get_input_embeddings())
        for tokenizer, encoder in encoders_of(pipeline)
    }
    legacy = [
        module
        for tokenizer, encoder in _ENCODERS
        if tokenizer in before
        for module in getattr(pipeline, encoder).modules()
        if getattr(module, "eos_token_id", None) == _LEGACY_EOS
    ]
    written: dict[str, str] = {}
    other_weights = ExitStack()
    try:
        for word, tables in embeddings.items():
            written[word] = _add(pipeline, word, tables)
        for tokenizer, encoder in _ENCODERS if written else ():
            if tokenizer in before:
                other_weights.enter_context(unrecorded(getattr(pipeline, encoder)))
        for module in legacy if written else []:
            module.eos_token_id = pipeline.tokenizer.eos_token_id
        yield written
    finally:
        other_weights.close()
        for module in legacy:
            module.eos_token_id = _LEGACY_EOS
        for tokenizer, encoder in _ENCODERS:
            if tokenizer in before:
                setattr(pipeline, tokenizer, before[tokenizer][0])
                getattr(pipeline, encoder).set_input_embeddings(before[tokenizer][1])


def _add(pipeline: Any, word: str, tables: Tables) -> str:
    counts = {len(table) for table in tables.values()}
    count = max(counts)
    if not 0 < count <= MOST_VECTORS:
        raise UnfaithfulLoad(
            f"the learned word {word!r} has {count} vectors; 1 to {MOST_VECTORS} can be used"
        )
    if len(counts) > 1:
        raise UnfaithfulLoad(
            f"the learned word {word!r} has tables of {sorted(counts)} vectors, not of equally many"
        )
    tokens = [f"{word}row{number}z" for number in range(count)]
    encoders = _encoders_of(pipeline, word, tables)
    for (tokenizer_name, encoder_name), table in encoders:
        tokenizer = copy.deepcopy(getattr(pipeline, tokenizer_name))
        if tokenizer.add_tokens(tokens) != count:
            raise UnfaithfulLoad(f"the learned word {word!r} cannot be added to the vocabulary")
        setattr(pipeline, tokenizer_name, tokenizer)
        encoder = getattr(pipeline, encoder_name)
        old = encoder.get_input_embeddings()
        # T5's table has more rows than its vocabulary has words.
        size = max(len(tokenizer), old.weight.shape[0])
        longer = torch.nn.Embedding(
            size, old.weight.shape[1], device=old.weight.device, dtype=old.weight.dtype
        )
        longer.requires_grad_(requires_grad=False)
        with torch.no_grad():
            longer.weight.zero_()
            longer.weight[: old.weight.shape[0]] = old.weight
            rows = tokenizer.convert_tokens_to_ids(tokens)
            longer.weight[rows[: len(table)]] = table.to(old.weight.device, old.weight.dtype)
        encoder.set_input_embeddings(longer)
    return " ".join(tokens)


def _encoders_of(
    pipeline: Any, word: str, tables: Tables
) -> list[tuple[tuple[str, str], torch.Tensor]]:
    """The tokenizer and text encoder of each table.

    Raises:
        UnfaithfulLoad: a table has no encoder of its kind and width, or shares it with another
            table, or an encoder has no table and would not know the word.
    """
    kinds = _encoder_kinds(pipeline)
    found: dict[tuple[str, str], torch.Tensor] = {}
    for encoder, table in tables.items():
        width = table.shape[-1]
        fits = [
            pair
            for pair, kind in kinds.items()
            if encoder in (kind, ONLY)
            and getattr(pipeline, pair[1]).get_input_embeddings().weight.shape[1] == width
        ]
        if not fits:
            raise UnfaithfulLoad(
                f"the learned word {word!r} has vectors of {width} values in {encoder}, which fit "
                "no text encoder"
            )
        if fits[0] in found:
            raise UnfaithfulLoad(
                f"the learned word {word!r} has {', '.join(tables)}, and {encoder} is a second "
                f"table for {kinds[fits[0]]}; which of them is meant is not known"
            )
        found[fits[0]] = table
    if without := [kind for pair, kind in kinds.items() if pair not in found]:
        raise UnfaithfulLoad(
            f"the learned word {word!r} has {', '.join(tables)} and no table for "
            f"{', '.join(without)}, which reads the prompt too; samples would not be faithful"
        )
    return list(found.items())


def _encoder_kinds(pipeline: Any) -> dict[tuple[str, str], str]:
    """The names that files give a pipeline's text encoders, by tokenizer and encoder."""
    kinds: dict[tuple[str, str], str] = {}
    clips = iter(("clip_l", "clip_g"))
    for pair in encoders_of(pipeline):
        model = type(getattr(pipeline, pair[1])).__name__
        kind = next((kind for start, kind in _KINDS.items() if model.startswith(start)), model)
        kinds[pair] = next(clips, model) if kind == "clip" else kind
    return kinds


def encoders_of(pipeline: Any) -> list[tuple[str, str]]:
    """Return the names of a pipeline's tokenizers, each with that of its text encoder."""
    return [
        pair
        for pair in _ENCODERS
        if all(getattr(pipeline, name, None) is not None for name in pair)
    ]
