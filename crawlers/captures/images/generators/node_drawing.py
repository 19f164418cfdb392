"""The drawing of a ComfyUI graph (`workflow`), where a file has no graph as it was run: turned into one.

Muted nodes are left out, and bypassed ones pass on their input of the same type, as the front end does when it
runs a drawing. A drawing names the values of widgets by their place only; those of common nodes are known,
others are told by being names of model files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crawlers.captures.images.generators.node_graph import MOST_NODES, Graph, Node

_MUTED, _BYPASSED = 2, 4
_DEEPEST = 8  # subgraphs in one another
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
        "ckpt_name",
        "vae_name",
        "clip_skip",
        "lora_name",
        "lora_model_strength",
        "lora_clip_strength",
        "positive",
        "negative",
    ),
    "Eff. Loader SDXL": (
        "base_ckpt_name",
        "base_clip_skip",
        "refiner_ckpt_name",
        "refiner_clip_skip",
        "positive_ascore",
        "negative_ascore",
        "vae_name",
        "positive",
        "negative",
    ),
    "LoRA Stacker": (
        "input_mode",
        "lora_count",
        *(f"{name}_{n}" for n in range(1, 51) for name in _STACKED),
    ),
    "CR LoRA Stack": tuple(f"{name}_{n}" for n in range(1, 4) for name in _SWITCHED),
}
_NOTES = ("Note", "MarkdownNote", "GetNode", "SetNode")
_MODEL_FILES = (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth")


def drawn_graph(document: Any) -> Graph | None:
    """The graph that a drawing shows; None for any other document."""
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
    """Nodes, and where each link begins, by number; what lies in a subgraph has the number of its place in front."""
    nodes: dict[str, Any] = {}
    links: dict[str, tuple[str, int]] = {}
    definitions = document.get("definitions")
    inner = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {
        one["id"]: one
        for one in inner or []
        if isinstance(one, dict) and isinstance(one.get("id"), str)
    }
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
            links[f"{place}{link[0]}"] = (
                f"{place}{link[1]}",
                link[2] if isinstance(link[2], int) else 0,
            )
        elif isinstance(link, dict) and "id" in link:
            slot = link.get("origin_slot")
            links[f"{place}{link['id']}"] = (
                f"{place}{link.get('origin_id')}",
                slot if isinstance(slot, int) else 0,
            )
    for node in drawing.get("nodes") or []:
        if (
            not isinstance(node, dict)
            or not isinstance(node.get("type"), str)
            or len(nodes) >= MOST_NODES
        ):
            continue
        number = f"{place}{node.get('id')}"
        nodes[number] = {**node, "place": place}
        if (
            node["type"] in known
            and place.count(":") < _DEEPEST
            and node.get("mode") not in (_MUTED, _BYPASSED)
        ):
            nodes[number]["subgraph_outputs"] = known[node["type"]].get("outputs")
            _put(known[node["type"]], f"{number}:", known, nodes, links)


def _inputs(
    number: str,
    nodes: Mapping[str, Any],
    links: Mapping[str, tuple[str, int]],
    everywhere: Mapping[str, tuple[str, int]],
) -> dict[str, Any]:
    found = {}
    for entry in _slots(nodes[number], "inputs"):
        source = _source(nodes, links, nodes[number]["place"], entry.get("link"), 0)
        if (
            source is None
            and entry.get("link") is None
            and "everywhere" not in nodes[number]["type"].lower()
        ):
            source = (
                everywhere.get(str(entry.get("name")))
                if entry.get("type") == "CONDITIONING"
                else everywhere.get(str(entry.get("type")))
            )
        if source is not None and isinstance(entry.get("name"), str):
            found[entry["name"]] = list(source)
    return found


def _everywhere(
    nodes: Mapping[str, Any], links: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    """What cg-use-everywhere gives to inputs that nothing is connected to: by their type, prompts by their names."""
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
    """The node that really feeds a link: behind bypassed ones, pairs of Set and Get, and the edges of subgraphs."""
    if link is None or depth > 100 or (found := links.get(f"{place}{link}")) is None:
        return None
    number, slot = found
    if place and number == f"{place}-10":  # the edge by which a subgraph's inputs come in
        outer = nodes[place[:-1]]
        entries = _slots(outer, "inputs")
        return (
            _source(nodes, links, outer["place"], entries[slot].get("link"), depth + 1)
            if slot < len(entries)
            else None
        )
    node = nodes.get(number)
    if node is None or node.get("mode") == _MUTED:
        return None
    if node.get("mode") == _BYPASSED:
        outputs = _slots(node, "outputs")
        kind = outputs[slot].get("type") if slot < len(outputs) else None
        passed = next(
            (
                one
                for one in _slots(node, "inputs")
                if one.get("type") == kind and one.get("link") is not None
            ),
            None,
        )
        return _source(nodes, links, place, passed.get("link"), depth + 1) if passed else None
    if node["type"] == "GetNode":
        wanted = node.get("widgets_values")
        setter = next(
            (
                one
                for one in nodes.values()
                if one["type"] == "SetNode" and one.get("widgets_values") == wanted
            ),
            None,
        )
        entries = _slots(setter, "inputs") if setter else []
        return (
            _source(nodes, links, setter["place"], entries[0].get("link"), depth + 1)
            if setter and entries
            else None
        )
    outputs = node.get("subgraph_outputs")
    if outputs is None:
        return number, slot
    inner = _slots({"outputs": outputs}, "outputs")
    for one in inner[slot].get("linkIds") or [] if slot < len(inner) else []:
        if (found := _source(nodes, links, f"{number}:", one, depth + 1)) is not None:
            return found
    return None


def _slots(node: Mapping[str, Any] | None, which: str) -> list[dict[str, Any]]:
    told = node.get(which) if node else None
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return {str(name): value for name, value in values.items()}
    if not isinstance(values, list):
        return {}
    names = [
        one["name"]
        for one in _slots(node, "inputs")
        if isinstance(one.get("widget"), dict) and isinstance(one.get("name"), str)
    ]
    known = _WIDGETS.get(node["type"]) or (tuple(names) if len(names) == len(values) else None)
    if known:
        return dict(zip(known, values, strict=False))
    return dict(_guessed(node["type"].lower(), values))


def _guessed(kind: str, values: list[Any]) -> Iterator[tuple[str, Any]]:
    """Names for widgets of nodes that are not known, by what their values are."""
    for place, value in enumerate(values, 1):
        if isinstance(value, dict) and "lora" in value:
            yield f"lora_{place}", value
        elif isinstance(value, str) and value.lower().endswith(_MODEL_FILES):
            if "lora" in kind:
                yield f"lora_name_{place}", value
                following = values[place] if place < len(values) else None
                if isinstance(following, int | float) and not isinstance(following, bool):
                    yield f"strength_{place}", following
            elif any(
                word in kind for word in ("checkpoint", "unet", "diffusion", "loader")
            ) and not any(word in kind for word in ("vae", "clip", "control", "upscale")):
                yield "ckpt_name", value
        elif (
            isinstance(value, str)
            and any(sign.isalnum() for sign in value)
            and any(word in kind for word in ("text", "prompt", "string", "primitive"))
        ):
            yield f"text_{place}", value
