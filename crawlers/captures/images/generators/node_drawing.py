"""The conversion of a ComfyUI drawing (`workflow`) to a graph, for files without a graph as run.

Muted nodes are left out, and bypassed nodes pass on their input of the same type, as in the front
end when it runs a drawing. A drawing holds the values of widgets by position only. The names are
known for common nodes; other values are recognised as names of model files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crawlers.captures.images.generators.node_graph import MOST_NODES, Graph, Node
from crawlers.values import objects_of

_MUTED, _BYPASSED = 2, 4
_DEEPEST = 8  # nested subgraphs
_STACKED = ("lora_name", "lora_wt", "model_str", "clip_str")
_SWITCHED = ("switch", "lora_name", "model_weight", "clip_weight")
_WIDGETS: dict[str, tuple[str, ...]] = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name",),
    "UnetLoaderGGUF": ("unet_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl"),
    "PrimitiveStringMultiline": ("value",),
    "PrimitiveString": ("value",),
    "Efficient Loader": (
        "ckpt_name", "vae_name", "clip_skip", "lora_name", "lora_model_strength",
        "lora_clip_strength", "positive", "negative",
    ),
    "Eff. Loader SDXL": (
        "base_ckpt_name", "base_clip_skip", "refiner_ckpt_name", "refiner_clip_skip",
        "positive_ascore", "negative_ascore", "vae_name", "positive", "negative",
    ),
    "LoRA Stacker": (
        "input_mode", "lora_count", *(f"{name}_{n}" for n in range(1, 51) for name in _STACKED),
    ),
    "CR LoRA Stack": tuple(f"{name}_{n}" for n in range(1, 4) for name in _SWITCHED),
}  # fmt: skip
_NOTES = ("Note", "MarkdownNote", "GetNode", "SetNode")
_MODEL_FILES = (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth")


def drawn_graph(document: Any) -> Graph | None:
    """Convert a drawing to a graph; None for any other document."""
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        return None
    nodes, links = _flat(document)
    if not nodes:
        return None
    active = {
        number: node
        for number, node in nodes.items()
        if node.get("mode") not in (_MUTED, _BYPASSED)
        and node["type"] not in _NOTES
        and "subgraph_outputs" not in node
    }
    everywhere = _everywhere(nodes, links)
    graph = {
        number: Node(node["type"], {**_widgets(node), **_inputs(number, nodes, links, everywhere)})
        for number, node in active.items()
    }
    return Graph(graph) if graph else None


def _flat(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, int]]]:
    """All nodes, and the origins of links, by number; numbers in subgraphs have a prefix."""
    nodes: dict[str, Any] = {}
    links: dict[str, tuple[str, int]] = {}
    definitions = document.get("definitions")
    inner = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {graph["id"]: graph for graph in objects_of(inner) if isinstance(graph.get("id"), str)}
    _put(document, "", known, nodes, links)
    return nodes, links


def _put(
    drawing: Mapping[str, Any],
    place: str,
    known: Mapping[str, Any],
    nodes: dict[str, Any],
    links: dict[str, tuple[str, int]],
) -> None:
    for link in drawing.get("links") or []:
        if isinstance(link, list) and len(link) >= 5:
            number, source, slot = link[:3]
        elif isinstance(link, dict) and "id" in link:
            number, source, slot = link["id"], link.get("origin_id"), link.get("origin_slot")
        else:
            continue
        origin = (f"{place}{source}", slot if isinstance(slot, int) else 0)
        links[f"{place}{number}"] = origin
    for node in objects_of(drawing.get("nodes")):
        if not isinstance(node.get("type"), str) or len(nodes) >= MOST_NODES:
            continue
        number = f"{place}{node.get('id')}"
        nodes[number] = {**node, "place": place}
        is_active = node.get("mode") not in (_MUTED, _BYPASSED)
        if node["type"] in known and place.count(":") < _DEEPEST and is_active:
            nodes[number]["subgraph_outputs"] = known[node["type"]].get("outputs")
            _put(known[node["type"]], f"{number}:", known, nodes, links)


def _inputs(
    number: str,
    nodes: Mapping[str, Any],
    links: Mapping[str, tuple[str, int]],
    everywhere: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    found = {}
    node = nodes[number]
    is_open = "everywhere" not in node["type"].lower()
    for entry in _slots(node, "inputs"):
        source = _source(nodes, links, node["place"], entry.get("link"), 0)
        if source is None and entry.get("link") is None and is_open:
            key = "name" if entry.get("type") == "CONDITIONING" else "type"
            source = everywhere.get(str(entry.get(key)))
        if source is not None and isinstance(entry.get("name"), str):
            found[entry["name"]] = list(source)
    return found


def _everywhere(
    nodes: Mapping[str, Any], links: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    """The sources that cg-use-everywhere gives to unconnected inputs, by type; prompts by name."""
    found: dict[str, tuple[str, int]] = {}
    for node in nodes.values():
        if "everywhere" not in node["type"].lower() or node.get("mode") in (_MUTED, _BYPASSED):
            continue
        prompts = (
            iter(("positive", "negative")) if node["type"].lower().startswith("prompts") else None
        )
        for entry in _slots(node, "inputs"):
            name = next(prompts, "") if prompts else str(entry.get("name"))
            if (source := _source(nodes, links, node["place"], entry.get("link"), 0)) is not None:
                found.setdefault(name, source)
    return found


def _source(
    nodes: Mapping[str, Any],
    links: Mapping[str, tuple[str, int]],
    place: str,
    link: Any,
    depth: int,
) -> tuple[str, int] | None:
    """The node that really feeds a link, and its output.

    Bypassed nodes, pairs of Set and Get nodes and the borders of subgraphs are followed.
    """
    if link is None or depth > 100 or (found := links.get(f"{place}{link}")) is None:
        return None
    number, slot = found
    if place and number == f"{place}-10":  # the node for the inputs of a subgraph
        outer = nodes[place[:-1]]
        return _source_of_slot(nodes, links, outer, slot, depth)
    node = nodes.get(number)
    if node is None or node.get("mode") == _MUTED:
        return None
    if node.get("mode") == _BYPASSED:
        return _source_of_bypassed(nodes, links, node, slot, depth)
    if node["type"] == "GetNode":
        wanted = node.get("widgets_values")
        setters = (
            other
            for other in nodes.values()
            if other["type"] == "SetNode" and other.get("widgets_values") == wanted
        )
        setter = next(setters, None)
        return _source_of_slot(nodes, links, setter, 0, depth) if setter else None
    outputs = node.get("subgraph_outputs")
    if outputs is None:
        return number, slot
    inner = _slots({"outputs": outputs}, "outputs")
    for inside in inner[slot].get("linkIds") or [] if slot < len(inner) else []:
        if (found := _source(nodes, links, f"{number}:", inside, depth + 1)) is not None:
            return found
    return None


def _source_of_slot(
    nodes: Mapping[str, Any],
    links: Mapping[str, tuple[str, int]],
    node: Mapping[str, Any],
    slot: int,
    depth: int,
) -> tuple[str, int] | None:
    """The node that feeds an input of this node."""
    entries = _slots(node, "inputs")
    if slot >= len(entries):
        return None
    return _source(nodes, links, node["place"], entries[slot].get("link"), depth + 1)


def _source_of_bypassed(
    nodes: Mapping[str, Any],
    links: Mapping[str, tuple[str, int]],
    node: Mapping[str, Any],
    slot: int,
    depth: int,
) -> tuple[str, int] | None:
    """The node that feeds the first connected input of the same type as this output."""
    outputs = _slots(node, "outputs")
    kind = outputs[slot].get("type") if slot < len(outputs) else None
    for entry in _slots(node, "inputs"):
        if entry.get("type") == kind and entry.get("link") is not None:
            return _source(nodes, links, node["place"], entry["link"], depth + 1)
    return None


def _slots(node: Mapping[str, Any], which: str) -> list[dict[str, Any]]:
    return objects_of(node.get(which))


def _widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return {str(name): value for name, value in values.items()}
    if not isinstance(values, list):
        return {}
    names = [
        entry["name"]
        for entry in _slots(node, "inputs")
        if isinstance(entry.get("widget"), dict) and isinstance(entry.get("name"), str)
    ]
    known = _WIDGETS.get(node["type"]) or (tuple(names) if len(names) == len(values) else None)
    if known:
        return dict(zip(known, values, strict=False))
    return dict(_guessed(node["type"].lower(), values))


def _guessed(kind: str, values: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield names for the widgets of unknown nodes, guessed from their values."""
    holds_text = any(word in kind for word in ("text", "prompt", "string", "primitive"))
    for place, value in enumerate(values, 1):
        if isinstance(value, dict) and "lora" in value:
            yield f"lora_{place}", value
        elif isinstance(value, str) and value.lower().endswith(_MODEL_FILES):
            if "lora" in kind:
                yield f"lora_name_{place}", value
                following = values[place] if place < len(values) else None
                if isinstance(following, int | float) and not isinstance(following, bool):
                    yield f"strength_{place}", following
            elif _loads_model(kind):
                yield "ckpt_name", value
        elif isinstance(value, str) and holds_text and any(map(str.isalnum, value)):
            yield f"text_{place}", value


def _loads_model(kind: str) -> bool:
    is_loader = any(word in kind for word in ("checkpoint", "unet", "diffusion", "loader"))
    return is_loader and not any(word in kind for word in ("vae", "clip", "control", "upscale"))
