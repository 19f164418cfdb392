"""Tensors of a file that are not known; a file with such tensors is refused.

The loader would ignore them, and another program may draw with them.
"""

from __future__ import annotations

import re

from scanner.adapters.checkpoint_names import (
    SINGLE_FILE_FAMILIES,
    unknown_tensors_in,
    what_strangers_are,
)
from scanner.adapters.embedding_names import competing_words, unused_tables
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.formats.definition import Shapes
from scanner.adapters.formats.registry import ADAPTER_KINDS
from scanner.adapters.tensor_names import part_of

MOST_NAMED = 3
_MALFORMED = re.compile(r"^lora_unet_.*_lora_(down|up)\.weight$")
_PEFT_OFT = re.compile(r"\.oft_R(\.[^.]+)?\.weight$")
_CONTROL = re.compile(r"norm\.(query|key)_norm\.scale$")


def leftovers(shapes: Shapes, kind: str, family: str) -> tuple[str, ...]:
    """Names of the tensors that do not belong to a file of this kind, in the file's order.

    Args:
        kind: see kind_of.
        family: of the base model, which determines the tensor names of a full checkpoint.
    """
    if kind in ADAPTER_KINDS:
        found = set(parts_of_file(shapes).leftover)
    elif kind == "textual-inversion":
        found = set(unused_tables(shapes)) | set(competing_words(shapes))
    elif kind == "checkpoint" and family in SINGLE_FILE_FAMILIES:
        found = set(unknown_tensors_in(shapes, family))
    elif kind in ("checkpoint", "vae", "text-encoder"):
        found = {name for name in shapes if part_of(name) is not None}
    else:
        found = set()
    return tuple(name for name in shapes if name in found)


def leftover_problem(names: tuple[str, ...], kind: str) -> str | None:
    """Why a file with such tensors is not sampled, in a sentence; None without such tensors."""
    if not names:
        return None
    named = ", ".join(name[:120] for name in names[:MOST_NAMED])
    more = "" if len(names) <= MOST_NAMED else f" and {len(names) - MOST_NAMED} more"
    return f"nothing here explains the tensors {named}{more}: {_why(names, kind)}"


def _why(names: tuple[str, ...], kind: str) -> str:
    if kind == "checkpoint" and (reason := what_strangers_are(names)):
        return reason
    if kind == "textual-inversion" and not any(part_of(name) for name in names):
        return (
            "they are no input of a text encoder, a second table for one, or one of several words; "
            "programs differ in which of them they load"
        )
    if kind in ADAPTER_KINDS and all(_CONTROL.search(name) for name in names):
        return "this is a control LoRA, which needs an image to draw from and is not sampled"
    if all(_MALFORMED.search(name) for name in names):
        return "they have '_lora_' for '.lora_', and loaders find nothing in such a file"
    if all(_PEFT_OFT.search(name) for name in names):
        return "this is PEFT's own form of OFT, which is not sampled"
    return "another program may draw with what would be passed over here"
