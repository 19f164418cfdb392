"""Names of the tables of learned words, and the text encoders that they belong to.

A1111 calls its only table emb_params or string_to_param.*; models with several encoders have a
table for each: clip_l, clip_g, t5 and so on. OneTrainer adds a table for the encoder's output,
whose name ends in _out (emp_params_out for SD). Sources: AUTOMATIC1111 textual_inversion, ComfyUI
sd1_clip.py, OneTrainer modules/modelSaver.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

# The table of a file that has only one, for the encoder that it fits.
ONLY = "emb_params"
_ENCODERS = ("clip_l", "clip_g", "t5", "llama", "qwen", "gemma")
_SPELLINGS = {
    **{name: name for name in _ENCODERS},
    "t5xxl": "t5",
    "emb_params": ONLY,
    "emp_params": ONLY,
}
_ORIGINAL = "string_to_param."
# Tensors that A1111 writes beside its table and that no image depends on.
_BOOKKEEPING = re.compile(r"^(?:step|string_to_token\.\*|sd_checkpoint(?:_name)?)$")
_OUTPUT = "_out"
# Tables of one word by the number of the encoder, which does not say which encoder it is
# (diffusers' advanced training scripts).
_NUMBERED = re.compile(r"^text_encoders_\d$")
_BY_WIDTH = {64: "Miniature", 768: "SD1", 1024: "SD2"}
# By the encoders that a file has tables for, the likeliest family first.
_BY_ENCODERS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset({"clip_l"}): ("SD1", "SDXL", "Flux.1"),
    frozenset({"clip_g"}): ("Stable Cascade", "SDXL"),
    frozenset({"t5"}): ("Flux.1", "SD3", "Chroma", "PixArt"),
    frozenset({"clip_l", "clip_g"}): ("SDXL",),
    frozenset({"clip_l", "t5"}): ("Flux.1",),
    frozenset({"clip_l", "clip_g", "t5"}): ("SD3",),
    frozenset({"clip_l", "clip_g", "t5", "llama"}): ("HiDream",),
    frozenset({"clip_l", "llama"}): ("HunyuanVideo",),
    frozenset({"qwen"}): ("Qwen-Image",),
}


def table_of(name: str) -> tuple[str, bool] | None:
    """The encoder that a tensor is a table for, and whether it is for the encoder's output.

    The encoder is ONLY if the name does not state it. None for a tensor with another name.
    """
    output = name.endswith(_OUTPUT)
    encoder = ONLY if name.startswith(_ORIGINAL) else _SPELLINGS.get(name.removesuffix(_OUTPUT))
    return None if encoder is None else (encoder, output)


def without_bookkeeping(shapes: Shapes) -> Shapes:
    """The tensors of a textual inversion that images depend on."""
    return {
        name: shape
        for name, shape in shapes.items()
        if not (_BOOKKEEPING.match(name) and math.prod(shape) == 1)
    }


def unused_tables(shapes: Shapes) -> list[str]:
    """Names of a textual inversion's tensors that no text encoder reads, or second tables."""
    relevant = without_bookkeeping(shapes)
    tables = {name: table for name in relevant if (table := table_of(name)) is not None}
    # A table without an encoder's name is a second one if a named table has its width.
    named = {
        relevant[name][-1:]
        for name, (encoder, output) in tables.items()
        if encoder != ONLY and not output
    }
    unused, encoders = [], set[str]()
    for name, shape in relevant.items():
        encoder, output = tables.get(name, (name, bool(tables)))
        if output or encoder in encoders or not shape or (encoder == ONLY and shape[-1:] in named):
            unused.append(name)
        encoders.add(encoder)
    return unused


def competing_words(shapes: Shapes) -> list[str]:
    """The learned words of a file that holds several, each under its own name.

    diffusers and AUTOMATIC1111 refuse such a file, and ComfyUI loads only the first.
    """
    words = [
        name
        for name in without_bookkeeping(shapes)
        if table_of(name) is None and not _NUMBERED.match(name)
    ]
    return words if len(words) > 1 else []


def embedding_families(shapes: Shapes) -> tuple[str, ...]:
    """The families that a textual inversion has tables for, the likeliest first."""
    tables = without_bookkeeping(shapes)
    encoders = {table[0] for name in tables if (table := table_of(name)) is not None}
    if encoders - {ONLY}:
        return _BY_ENCODERS.get(frozenset(encoders), ())
    widths = {shape[-1] for shape in tables.values() if shape}
    if widths == {1280}:
        return _BY_ENCODERS[frozenset({"clip_g"})]
    return (
        tuple(_BY_WIDTH[width] for width in widths if width in _BY_WIDTH)
        if len(widths) == 1
        else ()
    )
