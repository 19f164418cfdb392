"""The words that a file answers to, read from its weights without drawing anything.

A file whose text encoder was trained on a word moves that word's states further than those of other
words. Every word of the vocabulary is encoded with the file and without it; a word's response is
how far that moves the keys and values of cross-attention at the end of the prompt. Words of several
tokens are found from a first or last token that stands out.

The search covers CLIP's byte-pair vocabulary. Files that leave the text encoders as they are move
the keys and values of all words alike (benchmarks/RESULTS.md), and full checkpoints are sums of
many trainings, so nothing is searched for either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scanner.adapters.embeddings import encoders_of

# So many candidates are returned at most.
MOST_WORDS = 20
# A word stands out if it responds this many times more than the middle word of the vocabulary, and
# a longer one if it responds this many times more than the middle one with its end.
STANDS_OUT, _LONGER_STANDS_OUT = 2.0, 1.3
# The tokens that are lengthened, the tokens that are tried with each, the words of a first token,
# and the tokens of a word.
_LENGTHENED, _TRIED, _WORDS_OF_A_START, _MOST_TOKENS = 6, 512, 2, 4
# Keys and values are projected to this many numbers, which keep distances within about 6 %
# (Johnson and Lindenstrauss 1984).
_PROJECTED = 256
_BATCH = 2048
# A file that moves a few words only has a middle response of nothing.
_LEAST_UNIT = 1e-6
_SPELLED = re.compile(r"[a-z0-9]+")
_END = "</w>"

Tokens = tuple[str, ...]
"""Tokens of one word, the last one with the mark of a word's end."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A CLIP text encoder and its tokenizer."""

    tokenizer: Any
    encoder: Any


def answering_words(pipeline: Any, apply: Callable[[bool], None]) -> tuple[str, ...]:
    """Return the words that stand out: single tokens, then longer words, the strongest first.

    Args:
        pipeline: a diffusers pipeline with an adapter loaded that changes a text encoder.
        apply: puts the checkpoint's weights in place (True) or the original ones (False).
    """
    parts = _clip_parts(pipeline)
    if not parts:
        return ()
    vocabulary = _Vocabulary(parts[0].tokenizer)
    responses = _Responses(pipeline, parts, apply, [(end,) for end in vocabulary.ends])
    ends = responses.usual
    starts = responses.ranked([(start,) for start in vocabulary.starts])
    longer: dict[Tokens, float] = {}
    for start in _standing_out(starts, _LENGTHENED):
        words = vocabulary.words([start], list(ends)[:_TRIED])
        longer |= dict(list(responses.ranked(words).items())[:_WORDS_OF_A_START])
    for end in _standing_out(ends, _LENGTHENED):
        longer |= _longer(end, list(starts)[:_TRIED], vocabulary, responses)
    strongest = dict(sorted(longer.items(), key=lambda pair: -pair[1]))
    found = [*_standing_out(ends, MOST_WORDS), *_standing_out(strongest, MOST_WORDS)]
    return tuple(vocabulary.spelled(tokens) for tokens in found[:MOST_WORDS])


def _standing_out(ranked: Mapping[Tokens, float], count: int) -> list[Tokens]:
    """Return the first words of a ranking that stand out."""
    return [tokens for tokens, response in ranked.items() if response >= STANDS_OUT][:count]


def _ranking(words: Sequence[Tokens], response: npt.NDArray[np.float32]) -> dict[Tokens, float]:
    return {words[place]: float(response[place]) for place in np.argsort(-response)}


def _longer(
    end: Tokens, starts: Sequence[Tokens], vocabulary: _Vocabulary, responses: _Responses
) -> dict[Tokens, float]:
    """Return the words with this end that respond more than other words with it do.

    A file may answer to the end alone, whatever stands before it.
    """
    found: dict[Tokens, float] = {}
    while len(end) < _MOST_TOKENS:
        words = vocabulary.words(starts, [end])
        if not words:
            break
        response = responses.of(words)
        best = int(np.argmax(response))
        if response[best] < _LONGER_STANDS_OUT * float(np.median(response)):
            break
        end = words[best]
        found[end] = float(response[best])
    return found


class _Vocabulary:
    """The tokens that can be a part of a word in letters and digits."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
        spelled = [one for one in tokens if _SPELLED.fullmatch(one.removesuffix(_END))]
        self.ends = [one for one in spelled if one.endswith(_END)]
        self.starts = [one for one in spelled if not one.endswith(_END)]

    def spelled(self, tokens: Tokens) -> str:
        """Return a word as it is written."""
        return "".join(tokens).removesuffix(_END)

    def words(self, starts: Sequence[Tokens], ends: Sequence[Tokens]) -> list[Tokens]:
        """Return the words of a start and an end that the tokenizer divides into their tokens."""
        return [
            word
            for start in starts
            for end in ends
            if tuple(self._tokenizer.tokenize(self.spelled(word := (*start, *end)))) == word
        ]


class _Responses:
    """Measures how far a file moves the keys and values of words.

    Args:
        usual: words whose middle response is 1.

    Attributes:
        usual: the response to each of them, the strongest first.
    """

    def __init__(
        self,
        pipeline: Any,
        parts: Sequence[_Part],
        apply: Callable[[bool], None],
        usual: Sequence[Tokens],
    ) -> None:
        self._parts, self._apply = parts, apply
        apply(True)
        self._projection = _projection(pipeline, parts).T
        before, moved = self._moved(usual)
        self._middle = before.median(dim=0).values
        self._width = (before - self._middle).norm(dim=1).median()
        relative = self._relative(before, moved)
        self._unit = max(float(np.median(relative)), _LEAST_UNIT)
        self.usual = _ranking(usual, relative / self._unit)

    def of(self, words: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        """Return the response to each word, float32 [n].

        Words that mean much to the base model move further with any change, so the movement is
        divided by the distance of the word from the middle of the vocabulary.
        """
        return self._relative(*self._moved(words)) / self._unit

    def ranked(self, words: Sequence[Tokens]) -> dict[Tokens, float]:
        """Return the response to each word, the strongest first."""
        return _ranking(words, self.of(words)) if words else {}

    def _moved(self, words: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Return keys and values without the file, and how far it moves those of each word."""
        self._apply(False)
        before = self._states(words) @ self._projection
        self._apply(True)
        return before, (self._states(words) @ self._projection - before).norm(dim=1)

    def _relative(self, before: Tensor, moved: Tensor) -> npt.NDArray[np.float32]:
        distance = (before - self._middle).norm(dim=1) + self._width
        relative: npt.NDArray[np.float32] = (moved / distance).cpu().numpy()
        return np.nan_to_num(relative)

    @torch.inference_mode()
    def _states(self, words: Sequence[Tokens]) -> Tensor:
        """Return the states at the end of the prompt, float32 [n, width of all encoders]."""
        states = torch.zeros(len(words), sum(map(_width, self._parts)))
        by_length: dict[int, list[int]] = {}
        for place, tokens in enumerate(words):
            by_length.setdefault(len(tokens), []).append(place)
        for places in by_length.values():
            for start in range(0, len(places), _BATCH):
                batch = places[start : start + _BATCH]
                found = [self._encoded(part, [words[one] for one in batch]) for part in self._parts]
                states[batch] = torch.cat(found, dim=1)
        return states

    def _encoded(self, part: _Part, words: Sequence[Tokens]) -> Tensor:
        """Return one encoder's states for words of one number of tokens."""
        tokenizer, encoder = part.tokenizer, part.encoder
        first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
        numbers = tokenizer.convert_tokens_to_ids
        rows = [[first, *numbers(list(tokens)), last] for tokens in words]
        made = encoder(
            torch.tensor(rows, device=encoder.device),
            output_hidden_states=len(self._parts) > 1,
        )
        # Pipelines with one encoder use its last states, those with two the last but one.
        used = made.hidden_states[-2] if len(self._parts) > 1 else made.last_hidden_state
        states: Tensor = used[:, -1].float().cpu()
        return states


def _width(part: _Part) -> int:
    width: int = part.encoder.config.hidden_size
    return width


def _clip_parts(pipeline: Any) -> list[_Part]:
    """Return the CLIP text encoders whose tokenizers have one vocabulary."""
    found: list[_Part] = []
    for tokenizer_name, encoder_name in encoders_of(pipeline):
        tokenizer, encoder = getattr(pipeline, tokenizer_name), getattr(pipeline, encoder_name)
        if not type(encoder).__name__.startswith("CLIPText"):
            continue
        if not found or found[0].tokenizer.get_vocab() == tokenizer.get_vocab():
            found.append(_Part(tokenizer, encoder))
    return found


def _projection(pipeline: Any, parts: Sequence[_Part]) -> Tensor:
    """Return a random projection of all keys and values, float32 [PROJECTED, width].

    Without cross-attention over these states it is the identity.
    """
    width = sum(map(_width, parts))
    projection = torch.zeros(_PROJECTED, width)
    generator = torch.Generator().manual_seed(0)
    denoiser = getattr(pipeline, "unet", None)
    layers = denoiser.named_modules() if denoiser is not None else ()
    found = False
    for path, layer in layers:
        weight: Any = getattr(layer, "weight", None)
        if path.endswith(("attn2.to_k", "attn2.to_v")) and weight.shape[1] == width:
            signs = torch.randn(_PROJECTED, len(weight), generator=generator)
            projection += signs @ weight.detach().float().cpu()
            found = True
    return projection / _PROJECTED**0.5 if found else torch.eye(width)
