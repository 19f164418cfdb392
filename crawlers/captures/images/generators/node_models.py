"""The models that the nodes of a ComfyUI graph load: checkpoints and adapters.

There are hundreds of kinds of loaders, so they are recognised by the names of their inputs:
`lora_name`, `lora_name_1` with `switch_1` and `model_weight_1` (Comfyroll, Efficiency Nodes),
`lora_1_name` (Easy Use), `lora_01` with `strength_01`, `lora_1` as {on, lora, strength} (rgthree),
`loras` as a list of {name, active, strength} (Lora Manager), and tags in a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from crawlers.captures.images.generators.ingredients import (
    ADAPTER,
    BASE,
    Ingredient,
    is_nothing,
    named,
    tags_in,
)
from crawlers.captures.images.generators.node_graph import LOADED, Graph, Node, is_false
from crawlers.captures.images.generators.node_prompts import text_in
from crawlers.values import objects_of

_LORA_INPUT = re.compile(
    r"lora(?:_?(?:name|path|file|filename|model))?_?(\d{1,3}|[a-z])?|lora_(\d{1,3})_name|lora_air",
    re.IGNORECASE,
)
_MODEL_INPUTS = frozenset(
    ["model", "model_name", "model_path", "checkpoint", "checkpoint_name", "diffusion_model",
     "transformer"]
)  # fmt: skip
_LOADS_MODEL = re.compile(
    r"checkpoint|unet|diffusion|\bdit|ditloader|gguf|model\s*(?:loader|selector)|"
    r"load\w*\s*model|settings"
)
_LOADS_OTHER = re.compile(
    r"upscale|control|clip|vae|vision|style|ipadapter|ip-adapter|\bsam|detector|lora|gligen|"
    r"hypernet|photomaker|instantid|pulid|face|depth|audio|text|bbox|"
    r"ultralytics|onnx|llm|caption|rembg|segment|latent"
)
_EMBEDDING = re.compile(r"\bembedding:([^\s,():<>\[\]]{1,200})", re.IGNORECASE)
_GATES = ("switch", "toggle", "enabled", "enable", "active", "on", "lora_on", "lora_enabled")
_COUNTS = ("lora_count", "num_loras", "loras_count")
_BOTH = ("strength", "lora_wt", "wt", "weight", "lora_strength", "lora_weight")
_MODEL_STRENGTHS = (
    "strength_model", "model_str", "model_weight", "model_strength", "lora_model_strength",
    "strength_model_",
)  # fmt: skip
_CLIP_STRENGTHS = (
    "strength_clip", "clip_str", "clip_weight", "clip_strength", "lora_clip_strength",
)  # fmt: skip
_TEXTS = re.compile(
    r"text|prompt|positive|negative|wildcard|lora_syntax|tags|string|value|clip_[lg]|t5",
    re.IGNORECASE,
)


def models_of(graph: Graph, number: str, *, only_text: bool) -> Iterator[Ingredient | None]:
    """Yield the models that one node loads.

    Args:
        only_text: whether the node only led to the picture through a text encoder.
    """
    node = graph.nodes[number]
    if not only_text:
        for name in _bases(graph, node):
            yield named(BASE, name)
    if _is_off(graph, node, ""):
        return
    for name in _adapters(graph, node, only_text=only_text):
        yield named(ADAPTER, name)


def _bases(graph: Graph, node: Node) -> Iterator[str]:
    loads = bool(_LOADS_MODEL.search(node.word)) and not _LOADS_OTHER.search(node.word)
    for name, raw in node.inputs.items():
        is_model = loads and name.lower() in _MODEL_INPUTS and _holds_word(graph, name, raw)
        if name.lower() in LOADED or is_model:
            value = graph.value(name, raw)
            if isinstance(value, str):
                yield value


def _holds_word(graph: Graph, name: str, raw: Any) -> bool:
    """Whether the model input of a node is a name, and not the model of another node."""
    link = graph.link(name, raw)
    return link is None or not graph.links(link.source)


def _adapters(graph: Graph, node: Node, *, only_text: bool) -> Iterator[str]:
    listed = _listed(node.inputs.get("loras"))
    for entry in listed or ():
        yield from _of_entry(entry)
    for name, raw in node.inputs.items():
        if (found := _LORA_INPUT.fullmatch(name)) is None:
            continue
        place = found[1] or found[2] or ""
        value = graph.value(name, raw)
        if isinstance(value, dict):
            yield from _of_entry(value)
        elif not (
            _is_off(graph, node, place) or _has_no_strength(graph, node, place, only_text=only_text)
        ):
            yield from _words(value)
    texts = {name: raw for name, raw in node.inputs.items() if _TEXTS.search(name)}
    if listed is None and _loads_tags(node, graph):
        for name, raw in texts.items():
            is_conditioning = "positive" in name.lower() and graph.link(name, raw) is not None
            if "neg" not in name.lower() and not is_conditioning:
                yield from tags_in(text_in(graph, name, raw))
    for raw in texts.values():
        yield from _EMBEDDING.findall(raw) if isinstance(raw, str) else ()


def _of_entry(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the adapter of an entry of a list, unless it is off or has no strength."""
    if any(is_false(entry.get(name)) for name in ("on", "active", "enabled")):
        return
    if not _is_weak(*(entry.get(name) for name in ("strength", "strengthTwo", "clipStrength"))):
        yield from _words(entry.get("lora") or entry.get("name") or entry.get("lora_name"))


def _words(value: Any) -> Iterator[str]:
    """Yield a file's name, or "12345@67890" of Civitai's loader (model and version) as an AIR."""
    if isinstance(value, str):
        is_numbers = re.fullmatch(r"\d+@\d+", value.strip())
        yield f"urn:air:other:lora:civitai:{value}" if is_numbers else value


def _listed(raw: Any) -> list[dict[str, Any]] | None:
    value = raw.get("__value__") if isinstance(raw, dict) else raw
    return objects_of(value) or None


def _loads_tags(node: Node, graph: Graph) -> bool:
    """Whether a node loads the models of tags. CLIPTextEncode treats tags as words."""
    if "cliptextencode" in node.word:
        return False
    names = {name.lower() for name in node.inputs}
    takes = any(
        link.name.lower() in ("model", "opt_model", "optional_model", "pipe", "basic_pipe")
        for link in graph.links_of(node)
    )
    return "lora" in node.word or takes or bool(names & LOADED)


def _is_off(graph: Graph, node: Node, place: str) -> bool:
    """Whether a switch of the node or of its entry is off, or the entry is beyond the count."""
    values = {name.lower(): raw for name, raw in node.inputs.items()}
    for gate in _GATES:
        names = (
            (f"{gate}_{place}", f"{gate}{place}", f"lora_{place}_{gate}", f"{gate}_lora_{place}")
            if place
            else (gate,)
        )
        if any(name in values and is_false(graph.value(name, values[name])) for name in names):
            return True
    if not place:
        return values.get("bypass") is True or str(values.get("bypass", "")).lower() == "true"
    for name in _COUNTS:
        count = graph.value(name, values[name]) if name in values else None
        if isinstance(count, bool) or not isinstance(count, int):
            continue
        if place.isdigit() and int(place) > count:
            return True
    return False


def _has_no_strength(graph: Graph, node: Node, place: str, *, only_text: bool) -> bool:
    values = {name.lower(): raw for name, raw in node.inputs.items()}
    mode = str(values.get("input_mode") or values.get("mode") or "").lower()
    kinds = [*_BOTH, *_MODEL_STRENGTHS, *_CLIP_STRENGTHS]
    if mode == "simple":
        kinds = [*_BOTH]
    elif mode == "advanced":
        kinds = [*_MODEL_STRENGTHS, *_CLIP_STRENGTHS]
    if only_text and any(name in values for name in _CLIP_STRENGTHS):
        kinds = [*_CLIP_STRENGTHS]
    strengths = [_strength(graph, values, kind, place) for kind in kinds]
    return _is_weak(*strengths)


def _strength(graph: Graph, values: Mapping[str, Any], kind: str, place: str) -> Any:
    names = (f"{kind}_{place}", f"{kind}{place}", f"lora_{place}_{kind}") if place else (kind,)
    for name in names:
        if name in values:
            value = graph.value(name, values[name])
            return value if isinstance(value, int | float | str) else "1"
    return None


def _is_weak(*strengths: Any) -> bool:
    """Whether all of the given strengths are 0; False if none is given."""
    given = [strength for strength in strengths if strength is not None]
    return bool(given) and all(map(is_nothing, given))
