"""Learned words: textual inversion, and the tokens that some adapters bring along.

A learned word is one or more rows of a text encoder's embedding table. Each row gets a token of its own, the pipeline
is given a copy of its tokenizer and a longer table, and afterwards the very objects that were there before.
Sources: AUTOMATIC1111 textual_inversion (emb_params; clip_l and clip_g for SDXL), diffusers loaders/textual_inversion.py,
cloneofsimo/lora (tokens named <s1> in the file), kohya (bundle_emb).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from scanner.cuda_graphs import unrecorded
from scanner.errors import UnfaithfulLoad

MOST_VECTORS = 64
# OpenAI's configurations say 2, and transformers then takes the highest token for the end of the text: a new word.
_LEGACY_EOS = 2
_ENCODERS = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"), ("tokenizer_3", "text_encoder_3"))


def embeddings_in(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, list[torch.Tensor]]:
    """The learned words of a textual inversion file by name, a table for each text encoder in order.

    Args:
        tensors: as read; A1111 calls its table emb_params, SDXL has clip_l and clip_g, diffusers names the token.
        name: of the word where the file does not name it, as the file is called.
    """
    if "clip_l" in tensors or "clip_g" in tensors:
        return {name: [_rows(tensors[key]) for key in ("clip_l", "clip_g") if key in tensors]}
    for key in ("emb_params", "string_to_param.*"):
        if key in tensors:
            return {name: [_rows(tensors[key])]}
    return {key: [_rows(tensor)] for key, tensor in tensors.items()}


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


@contextmanager
def words_added(pipeline: Any, embeddings: Mapping[str, Sequence[torch.Tensor]]) -> Iterator[dict[str, str]]:
    """Teach a pipeline words for the duration of a with-block; gives the text to write for each word.

    Raises:
        UnfaithfulLoad: a table fits no text encoder, or has no row or too many.
    """
    if not embeddings:
        yield {}
        return
    before = {
        tokenizer: (getattr(pipeline, tokenizer), getattr(pipeline, encoder).get_input_embeddings())
        for tokenizer, encoder in _ENCODERS
        if getattr(pipeline, encoder, None) is not None and getattr(pipeline, tokenizer, None) is not None
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


def _add(pipeline: Any, word: str, tables: Sequence[torch.Tensor]) -> str:
    count = max(len(table) for table in tables)
    if not 0 < count <= MOST_VECTORS:
        raise UnfaithfulLoad(f"the learned word {word!r} has {count} vectors; 1 to {MOST_VECTORS} can be used")
    tokens = [f"{word}row{number}z" for number in range(count)]
    homes = _homes(pipeline, tables)
    if len(homes) < len(tables):
        widths = ", ".join(str(table.shape[-1]) for table in tables)
        raise UnfaithfulLoad(f"the learned word {word!r} has vectors of {widths} values, which fit no text encoder")
    for (tokenizer_name, encoder_name), table in homes:
        tokenizer = copy.deepcopy(getattr(pipeline, tokenizer_name))
        if tokenizer.add_tokens(tokens) != count:
            raise UnfaithfulLoad(f"the learned word {word!r} cannot be added to the vocabulary")
        setattr(pipeline, tokenizer_name, tokenizer)
        encoder = getattr(pipeline, encoder_name)
        old = encoder.get_input_embeddings()
        size = max(len(tokenizer), old.weight.shape[0])  # T5's table has more rows than its vocabulary words
        longer = torch.nn.Embedding(size, old.weight.shape[1], device=old.weight.device, dtype=old.weight.dtype)
        longer.requires_grad_(requires_grad=False)
        with torch.no_grad():
            longer.weight.zero_()
            longer.weight[: old.weight.shape[0]] = old.weight
            rows = tokenizer.convert_tokens_to_ids(tokens)
            longer.weight[rows[: len(table)]] = table.to(old.weight.device, old.weight.dtype)
        encoder.set_input_embeddings(longer)
    return " ".join(tokens)


def _homes(pipeline: Any, tables: Sequence[torch.Tensor]) -> list[tuple[tuple[str, str], torch.Tensor]]:
    """The text encoder of each table: the first whose width fits and that has none yet."""
    homes: list[tuple[tuple[str, str], torch.Tensor]] = []
    for table in tables:
        for pair in _ENCODERS:
            encoder = getattr(pipeline, pair[1], None)
            if encoder is None or any(pair == taken for taken, _ in homes):
                continue
            if encoder.get_input_embeddings().weight.shape[1] == table.shape[-1]:
                homes.append((pair, table))
                break
    return homes
