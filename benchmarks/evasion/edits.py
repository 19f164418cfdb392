"""Make the files of an evasion from trained sources and from files of LikenessBench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks.evasion.inventory import RARE_TOKENS, Evasion
from benchmarks.evasion.sources import EMBEDDINGS
from benchmarks.likeness.changes import merged
from scanner.miniature.training.adapter import load_for_training
from scanner.miniature.world import BASE_MODEL

Tensors = dict[str, torch.Tensor]
TOKEN_TABLE = "lora_te_text_model_embeddings_token_embedding"
# The name under which a user writes the word of a file with two learned words.
REAL, DECOY = "realword", "decoyword"


def files_of(evasion: Evasion, sources: Path, likeness: Path) -> list[Tensors]:
    """Return the tensors of an evasion's files.

    Args:
        sources: folder of the trained sources.
        likeness: folder of LikenessBench's files of the same split.
    """
    found = []
    for name in evasion.of:
        own = sources / f"{name}.safetensors"
        found.append(load_file(own if own.exists() else likeness / f"{name}.safetensors"))
    return _EDITS.get(evasion.kind, _as_they_are)(found)


def write(evasion: Evasion, folder: Path, sources: Path, likeness: Path) -> list[Path]:
    """Write the files of an evasion, without metadata, unless they are there; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    made: list[Tensors] | None = None
    count = 3 if evasion.kind == "over three files" else 1
    for number in range(count):
        path = folder / f"{evasion.name}_{number + 1}.safetensors"
        if not path.exists():
            made = made or files_of(evasion, sources, likeness)
            save_file({name: one.contiguous() for name, one in made[number].items()}, path)
        paths.append(path)
    return paths


def _as_they_are(found: list[Tensors]) -> list[Tensors]:
    return found


def _with_last_factor(found: list[Tensors], by: float) -> list[Tensors]:
    ends = ("lora_up.weight", "lora_B.weight")
    return [
        {name: tensor * by if name.endswith(ends) else tensor for name, tensor in one.items()}
        for one in found
    ]


def _with_alpha(found: list[Tensors], by: float) -> list[Tensors]:
    return [
        {name: tensor * by if name.endswith(".alpha") else tensor for name, tensor in one.items()}
        for one in found
    ]


def _beside_one_loud_module(found: list[Tensors]) -> list[Tensors]:
    """A tenth, and a large change of a weight in a direction in which no text lies."""
    [quiet] = _with_last_factor(found, 0.1)
    pipeline = load_for_training(BASE_MODEL)
    words = list(pipeline.tokenizer.get_vocab().values())
    tokens = torch.tensor(words[: len(words) // 8 * 8]).reshape(-1, 8)
    with torch.no_grad():
        states = pipeline.text_encoder(tokens)[0].reshape(-1, 64)
    least = torch.linalg.svd(states)[2][-1]
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    up = quiet[f"{stem}.lora_up.weight"]
    down = torch.zeros_like(quiet[f"{stem}.lora_down.weight"])
    down[0] = least
    loud = torch.zeros_like(up)
    loud[:, 0] = 40.0
    return [{**quiet, f"{stem}.lora_up.weight": loud, f"{stem}.lora_down.weight": down}]


def _over_three_files(found: list[Tensors]) -> list[Tensors]:
    person, first, second = found
    third = 1 / 3
    return [
        merged([person, first], [third, 1.0]),
        merged([person, first, second], [third, -1.0, 1.0]),
        merged([person, second], [third, -1.0]),
    ]


def _hidden_words(found: list[Tensors]) -> list[Tensors]:
    """The learned rows as changes of rare rows of the token table."""
    [words] = found
    pipeline = load_for_training(BASE_MODEL)
    table = pipeline.text_encoder.get_input_embeddings().weight
    rows = [pipeline.tokenizer(word).input_ids[1] for word in RARE_TOKENS]
    change = torch.zeros_like(table)
    change[rows] = words.pop(EMBEDDINGS) - table[rows]
    return [{**words, f"{TOKEN_TABLE}.diff": change.detach()}]


def _bundle(decoy_vectors: int) -> Callable[[list[Tensors]], list[Tensors]]:
    def bundled(found: list[Tensors]) -> list[Tensors]:
        """The adapter with a decoy's word before the person's."""
        [words] = found
        rows = words.pop(EMBEDDINGS)
        generator = torch.Generator().manual_seed(3)
        noise = torch.randn(decoy_vectors, rows.shape[1], generator=generator)
        return [
            {
                **words,
                f"bundle_emb.{DECOY}.string_to_param.*": noise * rows.std(),
                f"bundle_emb.{REAL}.string_to_param.*": rows,
            }
        ]

    return bundled


_EDITS: dict[str, Callable[[list[Tensors]], list[Tensors]]] = {
    "negated alpha": lambda found: _with_alpha(found, -1.0),
    "negated factor": lambda found: _with_last_factor(found, -1.0),
    "tenth alpha": lambda found: _with_alpha(found, 0.1),
    "tenth factor": lambda found: _with_last_factor(found, 0.1),
    "tenth beside one loud module": _beside_one_loud_module,
    "over three files": _over_three_files,
    "hidden words": _hidden_words,
    "decoy word of 64 vectors": _bundle(64),
    "decoy word before": _bundle(8),
}
