"""ComfyUI's graph in the form in which it was run, and the nodes that led to the picture.

A graph holds every node of the drawing, so its presence does not mean that a node was used. The
nodes that were used are those from which inputs lead to the picture: to the nodes that save it, or
to the samplers if none does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_NODES = 5_000
_ON = ("on_true", "true", "tt_value", "if_true", "value_if_true")
_OFF = ("on_false", "false", "ff_value", "if_false", "value_if_false")
_SELECTORS = frozenset(
    ["select", "index", "input", "selected_index", "selected", "which", "choice", "switch",
     "select_input", "boolean", "bool", "cond", "condition"]
)  # fmt: skip
LOADED = frozenset(
    {"ckpt_name", "unet_name", "base_ckpt_name", "refiner_ckpt_name", "unet", "ckpt", "gguf_name"}
)
_FALSE = frozenset({"off", "false", "no", "disable", "disabled", "0"})
_NO_IMAGE = ("vae", "upscale_model")  # nodes reached only through these do not draw
_WORDS_OF_VALUES = (
    "value", "string", "text", "air", "lora_name", "ckpt_name", "unet_name", "model_name", "name",
    "lora", "model", "int", "float", "boolean",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        kind: the name of its class.
        inputs: values, and links to outputs of other nodes.
    """

    kind: str
    inputs: Mapping[str, Any]

    @property
    def word(self) -> str:
        return self.kind.lower()


@dataclass(frozen=True, slots=True)
class Link:
    """An input that the output of another node feeds."""

    name: str
    source: str
    slot: int


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes by their numbers."""

    nodes: Mapping[str, Node]

    def link(self, name: str, value: Any) -> Link | None:
        if (
            isinstance(value, list | tuple)
            and len(value) == 2
            and isinstance(value[0], str | int)
            and str(value[0]) in self.nodes
        ):
            return Link(name, str(value[0]), value[1] if isinstance(value[1], int) else 0)
        return None

    def links(self, number: str) -> list[Link]:
        return self.links_of(self.nodes[number])

    def links_of(self, node: Node) -> list[Link]:
        return [link for name, value in node.inputs.items() if (link := self.link(name, value))]

    def followed(self, number: str) -> list[Link]:
        """The links that a node really uses, because a switch uses only one of its inputs."""
        node = self.nodes[number]
        links = self.links(number)
        if any(
            is_false(self.value(name, node.inputs[name]))
            for name in ("switch", "enabled")
            if name in node.inputs
        ):
            # A disabled node that applies a stack of adapters uses none of them; a disabled part of
            # a stack passes on the others.
            is_part = any(name.lower().startswith("lora_name") for name in node.inputs)
            links = [link for link in links if is_part or "lora" not in link.name.lower()]
        switches = "switch" in node.word or _decides(links)
        return _chosen(self, number, links) if links and switches else links

    def used(self) -> dict[str, bool]:
        """The nodes that led to the picture; False for those that only led to a text encoder."""
        reached = dict.fromkeys(self.roots(), True)
        waiting = list(reached.items())
        while waiting:
            number, draws = waiting.pop(0)
            links = self.followed(number)
            encodes = any("clip" in link.name.lower() for link in links)
            for link in links:
                if link.name.lower() in _NO_IMAGE or (
                    link.name == "model"
                    and not self._passes_model(number, draws=draws, encodes=encodes)
                ):
                    continue
                through = draws and "clip" not in link.name.lower()
                if link.source not in reached or (through and not reached[link.source]):
                    reached[link.source] = through or reached.get(link.source, False)
                    waiting.append((link.source, through))
        return reached

    def _passes_model(self, number: str, *, draws: bool, encodes: bool) -> bool:
        """Whether the model input of a node contributes to the picture.

        A scheduler only asks the model for steps, the loader of a text encoder passes on the
        encoder, and a loader of a checkpoint has a model of its own.
        """
        asks = "scheduler" in self.nodes[number].word and not is_sampler(self, number)
        loads = any(isinstance(self.nodes[number].inputs.get(name), str) for name in LOADED)
        return not asks and not loads and (draws or not encodes)

    def roots(self) -> list[str]:
        """The nodes that output the picture."""
        consumed = {link.source for number in self.nodes for link in self.links(number)}
        samplers = [number for number in self.nodes if is_sampler(self, number)]
        ends = [number for number in self.nodes if number not in consumed]
        leading = [number for number in ends if self._leads_from(number, set(samplers))]
        saving = [number for number in leading if "save" in self.nodes[number].word] or [
            number
            for number in leading
            if any(
                word in self.nodes[number].word for word in ("preview", "image", "video", "output")
            )
        ]
        if saving or leading or samplers:
            return saving or leading or samplers
        return [number for number in ends if "load" not in self.nodes[number].word]

    def _leads_from(self, end: str, samplers: set[str]) -> bool:
        seen, waiting = {end}, [end]
        while waiting:
            number = waiting.pop()
            if number in samplers:
                return True
            fresh = [link.source for link in self.links(number) if link.source not in seen]
            seen.update(fresh)
            waiting += fresh
        return False

    def value(self, name: str, raw: Any, depth: int = 0) -> Any:
        """The value of an input, given directly or by another node."""
        link = self.link(name, raw)
        if link is None:
            return raw.get("content") if isinstance(raw, dict) and "content" in raw else raw
        if depth > 20:
            return None
        source = self.nodes[link.source]
        by_slot = _slots(source.inputs.get("resources_json"))
        if str(link.slot) in by_slot:
            return by_slot[str(link.slot)]
        linked = (key for key in source.inputs if self.link(key, source.inputs[key]))
        for key in dict.fromkeys((name, *_WORDS_OF_VALUES, *linked)):
            if key in source.inputs:
                found = self.value(key, source.inputs[key], depth + 1)
                if found is not None:
                    return found
        return None


def graph_of(document: Any) -> Graph | None:
    """The graph in a JSON document; None for any other document."""
    if not isinstance(document, dict):
        return None
    nodes = {
        str(number): Node(entry["class_type"], entry["inputs"])
        for number, entry in list(document.items())[:MOST_NODES]
        if isinstance(entry, dict)
        and isinstance(entry.get("class_type"), str)
        and isinstance(entry.get("inputs"), dict)
    }
    return Graph(nodes) if nodes else None


def is_false(value: Any) -> bool:
    """Whether the value of a switch means off."""
    return value is False or (isinstance(value, str) and value.strip().lower() in _FALSE)


def is_sampler(graph: Graph, number: str) -> bool:
    """Whether a node draws, which means that it uses a model and a prompt under any names."""
    node = graph.nodes[number]
    names = {link.name.lower() for link in graph.links(number)}
    is_pipe = any(word in node.word for word in ("pipe", "context"))
    if is_pipe and not any(word in node.word for word in ("sampler", "detailer")):
        return False
    if "sampler" in node.word and names:
        return True
    return ("model" in names and bool(names & {"positive", "conditioning"})) or "guider" in names


def samplers_in(graph: Graph, used: Mapping[str, Any]) -> Iterator[str]:
    """Yield the samplers that led to the picture, the first one to draw first."""
    yield from (number for number in reversed(list(used)) if is_sampler(graph, number))


def _decides(links: list[Link]) -> bool:
    names = {link.name.lower() for link in links}
    return bool(names & set(_ON)) and bool(names & set(_OFF))


def _chosen(graph: Graph, number: str, links: list[Link]) -> list[Link]:
    """The input that a switch selects, and the selecting input; all inputs if that is unknown."""
    inputs = graph.nodes[number].inputs
    selected = {
        name.lower(): graph.value(name, value)
        for name, value in inputs.items()
        if name.lower() in _SELECTORS
    }
    for value in selected.values():
        if isinstance(value, bool):
            ways, ending = (_ON, "_a") if value else (_OFF, "_b")
            found = [
                link
                for link in links
                if link.name.lower() in ways or link.name.lower().endswith(ending)
            ]
            if found:
                return found
        if isinstance(value, str | int) and str(value).isdigit():
            found = [link for link in links if _number_of(link.name) == int(value)]
            if found:
                return found
    others = [link for link in links if link.name.lower() not in _SELECTORS]
    if "(rgthree)" in graph.nodes[number].word and not selected:
        return others[:1]  # this kind of switch takes the first input that is connected
    return links


def _number_of(name: str) -> int | None:
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits else None


def _slots(resources: Any) -> Mapping[str, Any]:
    """The models that Civitai's selector outputs, by output."""
    try:
        found = json.loads(resources).get("bySlot") if isinstance(resources, str) else None
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
