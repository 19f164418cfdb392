"""What ComfyUI's graphs and drawings say of a picture."""

from __future__ import annotations

import json
from typing import Any

from crawlers.captures.images.generators.ingredients import BASE, Reading, joined
from crawlers.captures.images.generators.node_drawing import drawn_graph
from crawlers.captures.images.generators.node_graph import Graph, graph_of
from crawlers.captures.images.generators.node_models import models_of
from crawlers.captures.images.generators.node_prompts import prompt_of

NAME = "ComfyUI"


def read_graph(document: Any) -> Reading | None:
    """What a graph as it was run says; None for any other document."""
    graph = graph_of(document)
    if graph is None:
        return None
    found = _reading(graph)
    return Reading(
        NAME, found.prompt or _civitai_prompt(document), found.ingredients, found.problem
    )


def read_drawing(document: Any) -> Reading | None:
    """What a drawing says; None for any other document."""
    graph = drawn_graph(document)
    if graph is None:
        return None
    if any(graph.links(number) for number in graph.nodes):
        return _reading(graph)
    # Nothing is connected, so that nothing tells what was used; of several texts, which one was the prompt.
    texts = [
        text
        for node in graph.nodes.values()
        if "textencode" in node.word and isinstance(text := node.inputs.get("text"), str)
    ]
    models = [one for number in graph.nodes for one in models_of(graph, number, only_text=False)]
    return Reading(NAME, texts[0].strip() if len(texts) == 1 else None, joined(models))


def _reading(graph: Graph) -> Reading:
    used = graph.used()
    found = joined(
        one
        for number, draws in used.items()
        for one in models_of(graph, number, only_text=not draws)
    )
    models = tuple(sorted(found, key=lambda one: one.role != BASE))
    named = (
        []
        if models
        else joined(
            one for number in graph.nodes for one in models_of(graph, number, only_text=False)
        )
    )
    problem = (
        f"its graph names {len(named)} models, and none of them can be followed to the picture"
        if named
        else None
    )
    return Reading(NAME, prompt_of(graph, used), models, problem)


def _civitai_prompt(document: dict[str, Any]) -> str | None:
    """The prompt that Civitai's own generator writes beside its graph."""
    told = civitai_extra(document).get("prompt")
    return told.strip() or None if isinstance(told, str) else None


def civitai_extra(document: Any) -> dict[str, Any]:
    """What Civitai's generator writes beside its graph."""
    told = document.get("extraMetadata") if isinstance(document, dict) else None
    try:
        found = json.loads(told) if isinstance(told, str) else told
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
