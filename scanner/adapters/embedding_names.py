"""The tables of learned words by name, and whose text encoders they are for.

A1111 calls its one table emb_params or string_to_param.*; for several encoders there is one each,
clip_l, clip_g, t5 and so on. OneTrainer adds a table for the encoder's output, with _out behind the
name (for SD it writes emp_params_out). Sources: AUTOMATIC1111 textual_inversion, ComfyUI sd1_clip.py,
OneTrainer modules/modelSaver.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

# The one table of a file that has one, for whichever encoder it fits.
ONLY = "emb_params"
_ENCODERS = ("clip_l", "clip_g", "t5", "llama", "qwen", "gemma")
_SPELLINGS = {
    **{name: name for name in _ENCODERS},
    "t5xxl": "t5",
    "emb_params": ONLY,
    "emp_params": ONLY,
}
_ORIGINAL = "string_to_param."
# What A1111 keeps beside its table and no image depends on.
_BOOKKEEPING = re.compile(r"^(?:step|string_to_token\.\*|sd_checkpoint(?:_name)?)$")
_OUTPUT = "_out"
# One word's tables by the number of the encoder, which does not tell what it is (diffusers' advanced training scripts).
_NUMBERED = re.compile(r"^text_encoders_\d$")
_BY_WIDTH = {64: "Miniature", 768: "SD1", 1024: "SD2"}
# By the encoders that a file has tables for, the likelier one first.
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
    """The encoder that a tensor is a table for, and whether the table is for the encoder's output.

    The encoder is ONLY where the name tells none. None for a tensor that is no table of this naming.
    """
    output = name.endswith(_OUTPUT)
    encoder = ONLY if name.startswith(_ORIGINAL) else _SPELLINGS.get(name.removesuffix(_OUTPUT))
    return None if encoder is None else (encoder, output)


def without_bookkeeping(shapes: Shapes) -> Shapes:
    """The tensors of a textual inversion that say anything of images."""
    return {
        name: shape
        for name, shape in shapes.items()
        if not (_BOOKKEEPING.match(name) and math.prod(shape) == 1)
    }


def unused_tables(shapes: Shapes) -> list[str]:
    """Names of tensors of a textual inversion that are no input of a text encoder, or a second one."""
    told = without_bookkeeping(shapes)
    tables = {name: table for name in told if (table := table_of(name)) is not None}
    # A table without an encoder's name is a second one where a named table has its width.
    named = {
        told[name][-1:]
        for name, (encoder, output) in tables.items()
        if encoder != ONLY and not output
    }
    unused, encoders = [], set[str]()
    for name, shape in told.items():
        encoder, output = tables.get(name, (name, bool(tables)))
        if output or encoder in encoders or not shape or (encoder == ONLY and shape[-1:] in named):
            unused.append(name)
        encoders.add(encoder)
    return unused


def competing_words(shapes: Shapes) -> list[str]:
    """Names of the learned words of a file that holds several, each under its own name.

    diffusers and AUTOMATIC1111 refuse such a file, and ComfyUI takes whichever comes first.
    """
    words = [
        name
        for name in without_bookkeeping(shapes)
        if table_of(name) is None and not _NUMBERED.match(name)
    ]
    return words if len(words) > 1 else []


def embedding_families(shapes: Shapes) -> tuple[str, ...]:
    """The families that a textual inversion has tables for, the likelier one first."""
    tables = without_bookkeeping(shapes)
    told = {table[0] for name in tables if (table := table_of(name)) is not None}
    if told - {ONLY}:
        return _BY_ENCODERS.get(frozenset(told), ())
    widths = {shape[-1] for shape in tables.values() if shape}
    if widths == {1280}:
        return _BY_ENCODERS[frozenset({"clip_g"})]
    return (
        tuple(_BY_WIDTH[width] for width in widths if width in _BY_WIDTH)
        if len(widths) == 1
        else ()
    )
