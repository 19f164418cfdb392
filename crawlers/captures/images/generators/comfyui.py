"""Generation parameters from ComfyUI's graphs and drawings."""

from __future__ import annotations

import json
from typing import Any

from crawlers.captures.images.generators.ingredients import BASE, Ingredient, Parameters, joined
from crawlers.captures.images.generators.node_drawing import drawn_graph
from crawlers.captures.images.generators.node_graph import Graph, graph_of
from crawlers.captures.images.generators.node_models import models_of
from crawlers.captures.images.generators.node_prompts import prompt_of

NAME = "ComfyUI"


def read_graph(document: Any) -> Parameters | None:
    """Read a graph as it was run; None for any other document."""
    graph = graph_of(document)
    if graph is None:
        return None
    found = _reading(graph)
    return Parameters(
        NAME, found.prompt or _civitai_prompt(document), found.ingredients, found.problem
    )


def read_drawing(document: Any) -> Parameters | None:
    """Read a drawing; None for any other document."""
    graph = drawn_graph(document)
    if graph is None:
        return None
    if any(graph.links(number) for number in graph.nodes):
        return _reading(graph)
    # Nothing is connected, so it is unknown what was used and which of several texts is the prompt.
    texts = [
        text
        for node in graph.nodes.values()
        if "textencode" in node.word and isinstance(text := node.inputs.get("text"), str)
    ]
    models = _all_models(graph)
    return Parameters(NAME, texts[0].strip() if len(texts) == 1 else None, models)


def _all_models(graph: Graph) -> tuple[Ingredient, ...]:
    return joined(
        model for number in graph.nodes for model in models_of(graph, number, only_text=False)
    )


def _reading(graph: Graph) -> Parameters:
    used = graph.used()
    found = joined(
        model
        for number, draws in used.items()
        for model in models_of(graph, number, only_text=not draws)
    )
    models = tuple(sorted(found, key=lambda model: model.role != BASE))
    named = () if models else _all_models(graph)
    problem = (
        f"its graph names {len(named)} models, and none of them can be followed to the picture"
        if named
        else None
    )
    return Parameters(NAME, prompt_of(graph, used), models, problem)


def _civitai_prompt(document: dict[str, Any]) -> str | None:
    """The prompt that Civitai's own generator writes next to its graph."""
    prompt = civitai_extra(document).get("prompt")
    return prompt.strip() or None if isinstance(prompt, str) else None


def civitai_extra(document: Any) -> dict[str, Any]:
    """The further metadata that Civitai's generator writes next to its graph."""
    extra = document.get("extraMetadata") if isinstance(document, dict) else None
    try:
        found = json.loads(extra) if isinstance(extra, str) else extra
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
