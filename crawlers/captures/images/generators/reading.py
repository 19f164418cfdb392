"""The generation of a picture: every reader sees every text, and the results are combined."""

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
    Parameters,
    joined,
    stem_of,
)
from crawlers.captures.images.generators.webui import read_webui

_MOST_CHARS = 200_000
_JOB = re.compile(
    r"\bJob ID:\s*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE
)
# The names under which generators store texts. Broken JSON under other names is ignored.
_OWN = (
    "parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "generation_data",
    "UserComment", "Make", HIDDEN,
)  # fmt: skip
_DOCUMENT, _GRAPH, _TEXT, _FIELDS, _DRAWING = range(5)  # ranks, the most reliable first
_INSIDE = ("prompt", "workflow", "parameters", "generation_data", "Comment")


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation of a picture according to its texts.

    Attributes:
        problems: sentences about texts that look like parameters but cannot be read.
        taken: names of EXIF tags that hold parameters and no facts about a camera.
    """

    generator: str | None
    prompt: str | None
    ingredients: tuple[Ingredient, ...]
    problems: tuple[str, ...]
    taken: frozenset[str]


def generated(texts: EmbeddedTexts, comments: list[str], description: str) -> Generation:
    """Combine the parameters in all texts of a picture.

    Args:
        comments: texts of XMP that may be parameters.
        description: the descriptions of the picture in EXIF, XMP and PNG.
    """
    problems, taken = list(texts.problems), set()
    readings: list[tuple[int, Parameters]] = []
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
        readings.append((_FIELDS, easy))
    if not readings and _JOB.search(description):
        prompt = description[:_MOST_CHARS].strip()
        return Generation("Midjourney", prompt, (), tuple(problems), frozenset(taken))
    if any(rank < _DRAWING for rank, _ in readings):
        # A drawing only counts if no text says what was run.
        readings = [(rank, found) for rank, found in readings if rank < _DRAWING]
    problems += [found.problem for _, found in readings if found.problem]
    readings.sort(key=lambda ranked: ranked[0])
    generator, prompt_found, ingredients = _together([found for _, found in readings])
    return Generation(
        generator, prompt_found, ingredients, tuple(dict.fromkeys(problems)), frozenset(taken)
    )


def _readings(
    place: str, text: str, chunks: dict[str, str], problems: list[str]
) -> Iterator[tuple[int, Parameters]]:
    """Yield the parameters in a text with their rank."""
    if len(text) < 2 or place == "invokeai_graph":
        return
    plain = prefixed(text).strip("\0 \n")
    if plain.startswith(("{", "[")):
        try:
            document = json.loads(plain, strict=False)
        except (ValueError, RecursionError) as error:
            if place in _OWN and plain.startswith("{") and (found := read_webui(text)) is None:
                problems.append(
                    f"its text {place} looks like a generator's parameters and cannot be read: "
                    f"{_why(error)}"
                )
                return
        else:
            yield from _of_document(document, chunks, 0)
            return
    if place == "Dream" and (found := read_dream(text)) is not None:
        yield _DOCUMENT, found
    elif (found := read_webui(text)) is not None:
        yield _TEXT, found


def _of_document(
    document: Any, chunks: dict[str, str], depth: int
) -> Iterator[tuple[int, Parameters]]:
    around = chunks
    if isinstance(document, dict):
        texts = {name: value for name, value in document.items() if isinstance(value, str)}
        around = {**chunks, **texts}
    if (found := read_document(document, around)) is not None:
        yield _DOCUMENT, found
    elif (found := read_graph(document)) is not None:
        yield _GRAPH, found
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
                yield _TEXT, read


def _together(readings: list[Parameters]) -> tuple[str | None, str | None, tuple[Ingredient, ...]]:
    """The most reliable reading, completed by others of the same run.

    Next to a graph there may be a text of the same run with the hashes of its models.
    """
    if not readings:
        return None, None, ()
    first = readings[0]
    others = [
        other
        for other in readings[1:]
        if other.generator == first.generator or _are_same_run(first, other)
    ]
    ingredients = list(first.ingredients)
    for other in others:
        known = {(model.role, stem_of(model.name)) for model in ingredients if model.name}
        adds = not ingredients or other.generator == first.generator
        ingredients += [
            model
            for model in other.ingredients
            if adds
            or model.role == ADAPTER
            or (model.name and (model.role, stem_of(model.name)) in known)
        ]
    prompt = next((found.prompt for found in [first, *others] if found.prompt), None)
    return first.generator, prompt[:_MOST_CHARS] if prompt else None, joined(ingredients)


def _are_same_run(first: Parameters, other: Parameters) -> bool:
    """Whether a text in the web UI's format was written by nodes that saved a graph's picture."""
    return first.generator == COMFYUI and other.generator in (COMFYUI, "AUTOMATIC1111")


def _is_json(text: str) -> bool:
    return prefixed(text).startswith("{")


def _why(error: Exception) -> str:
    return (
        "it is nested too deeply"
        if isinstance(error, RecursionError)
        else f"it is no whole JSON ({error})"
    )
