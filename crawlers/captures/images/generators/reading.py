"""How a picture was generated: every text in it, shown to every reader, and what they understood put together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlers.captures.images.generators.comfyui import NAME as COMFYUI
from crawlers.captures.images.generators.comfyui import read_drawing, read_graph
from crawlers.captures.images.generators.documents import read_document, read_dream
from crawlers.captures.images.generators.embedded_texts import HIDDEN, EmbeddedTexts, prefixed
from crawlers.captures.images.generators.ingredients import (
    ADAPTER,
    Ingredient,
    Reading,
    joined,
    stem_of,
)
from crawlers.captures.images.generators.webui import read_webui

_MOST_CHARS = 200_000
_JOB = re.compile(
    r"\bJob ID:\s*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE
)
# What generators call their texts; elsewhere broken JSON is nobody's parameters.
_OWN = (
    "parameters",
    "prompt",
    "workflow",
    "invokeai_metadata",
    "sd-metadata",
    "generation_data",
    "UserComment",
    "Make",
    HIDDEN,
)
_DRAWING = 4
_INSIDE = ("prompt", "workflow", "parameters", "generation_data", "Comment")


@dataclass(frozen=True, slots=True)
class Generated:
    """How a picture was generated, as far as its texts say.

    Attributes:
        problems: texts that look like a generator's and cannot be read, in sentences.
        taken: names of EXIF's tags that hold parameters and nothing of a camera.
    """

    generator: str | None
    prompt: str | None
    ingredients: tuple[Ingredient, ...]
    problems: tuple[str, ...]
    taken: frozenset[str]


def generated(texts: EmbeddedTexts, comments: list[str], description: str) -> Generated:
    """What all texts of a picture say together.

    Args:
        comments: texts of XMP that may be parameters.
        description: what EXIF, XMP and PNG describe the picture with.
    """
    problems, taken = list(texts.problems), set()
    readings: list[tuple[int, Reading]] = []
    chunks = dict(texts.chunks)
    places = [
        *chunks.items(),
        *((name, text) for name, text in texts.exif.items()),
        *(("XMP", text) for text in comments),
    ]
    for place, text in places:
        found = list(_readings(place, text, chunks, problems))
        readings += found
        if place in texts.exif and (found or _is_json(text)):
            taken.add(place)
    if easy := read_document(chunks, chunks):  # Easy Diffusion has a chunk for each field
        readings.append((3, easy))
    if not readings and _JOB.search(description):
        return Generated(
            "Midjourney", description[:_MOST_CHARS].strip(), (), tuple(problems), frozenset(taken)
        )
    ranks = [rank for rank, _ in readings]
    if any(
        rank < _DRAWING for rank in ranks
    ):  # a drawing counts only where nothing tells what was run
        readings = [one for one in readings if one[0] < _DRAWING]
    problems += [one.problem for _, one in readings if one.problem]
    generator, prompt, ingredients = _together(
        [one for _, one in sorted(readings, key=lambda one: one[0])]
    )
    return Generated(
        generator, prompt, ingredients, tuple(dict.fromkeys(problems)), frozenset(taken)
    )


def _readings(
    place: str, text: str, chunks: dict[str, str], problems: list[str]
) -> Iterator[tuple[int, Reading]]:
    """What a text says, with how much it counts: documents of a generator, then graphs, texts, and drawings."""
    if len(text) < 2 or place == "invokeai_graph":
        return
    plain = prefixed(text).strip("\0 \n")
    if plain.startswith(("{", "[")):
        try:
            document = json.loads(plain, strict=False)
        except (ValueError, RecursionError) as error:
            if place in _OWN and plain.startswith("{") and (found := read_webui(text)) is None:
                problems.append(
                    f"its text {place} looks like a generator's parameters and cannot be read: {_why(error)}"
                )
                return
        else:
            yield from _of_document(document, chunks, 0)
            return
    if place == "Dream" and (found := read_dream(text)) is not None:
        yield 0, found
    elif (found := read_webui(text)) is not None:
        yield 2, found


def _of_document(
    document: Any, chunks: dict[str, str], depth: int
) -> Iterator[tuple[int, Reading]]:
    around = (
        {**chunks, **{name: value for name, value in document.items() if isinstance(value, str)}}
        if isinstance(document, dict)
        else chunks
    )
    if (found := read_document(document, around)) is not None:
        yield 0, found
    elif (found := read_graph(document)) is not None:
        yield 1, found
    elif (found := read_drawing(document)) is not None:
        yield _DRAWING, found
    elif isinstance(document, dict) and depth < 2:
        for name in _INSIDE:
            inner = document.get(name)
            if isinstance(inner, str) and inner.lstrip().startswith("{"):
                try:
                    inner = json.loads(inner, strict=False)
                except (ValueError, RecursionError):
                    continue
            if isinstance(inner, dict):
                yield from _of_document(inner, around, depth + 1)
            elif isinstance(inner, str) and (read := read_webui(inner)) is not None:
                yield 2, read


def _together(readings: list[Reading]) -> tuple[str | None, str | None, tuple[Ingredient, ...]]:
    """The first that says most; beside a graph stands a text with the hashes of its models, of the same run."""
    if not readings:
        return None, None, ()
    first = readings[0]
    others = [
        one for one in readings[1:] if one.generator == first.generator or _are_one_run(first, one)
    ]
    ingredients = list(first.ingredients)
    for other in others:
        known = {(one.role, stem_of(one.name)) for one in ingredients if one.name}
        adds = not ingredients or other.generator == first.generator
        ingredients += [
            one
            for one in other.ingredients
            if adds or (one.name and (one.role, stem_of(one.name)) in known) or one.role == ADAPTER
        ]
    prompt = next((one.prompt for one in [first, *others] if one.prompt), None)
    return first.generator, prompt[:_MOST_CHARS] if prompt else None, joined(ingredients)


def _are_one_run(first: Reading, other: Reading) -> bool:
    """Whether a text in the web UI's form was written by the nodes that saved a graph's picture."""
    return first.generator == COMFYUI and other.generator in (COMFYUI, "AUTOMATIC1111")


def _is_json(text: str) -> bool:
    return prefixed(text).startswith("{")


def _why(error: Exception) -> str:
    return (
        "it is nested too deeply"
        if isinstance(error, RecursionError)
        else f"it is no whole JSON ({error})"
    )
