"""The prompt of a ComfyUI graph: the texts that reach the samplers' positive inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from crawlers.captures.images.generators.node_graph import Graph, Link, Node, samplers_in

_MOST_CHARS = 200_000
_DEEPEST = 200
_TEXT_INPUT = re.compile(
    r"(?:base_|refiner_|opt_|input_|output_|user_|populated_|conditioning\.|lora_)?"
    r"(?:text|prompt|positive|positive_prompt|text_positive|prompt_positive|positive_text|string|"
    r"value|multiline|content|clip_l|clip_g|t5xxl|t5|llama|qwen\w*|"
    r"prefix|suffix|prepend|append|any|line)(?:_?(?:[a-h]|g|l|\d{1,3}))?",
    re.IGNORECASE,
)
_NO_TEXT = re.compile(
    r"model\w*|clip|clip_vision\w*|vae\w*|image\w*|pixels|mask\w*|samples|latent\w*|"
    r"control_?net\w*|style_model|seed|noise\w*|sigmas|sampler|steps|cfg|width|height|batch_size|"
    r"denoise|guidance|strength\w*|upscale_model|lora_stack|bbox\w*|segm\w*|sam_\w*|"
    r"start_percent|end_percent|start_image|end_image|audio|video|image_embeds",
    re.IGNORECASE,
)
_SAMPLER_INPUTS = re.compile(
    r"positive\w*|conditioning\w*|cond\d?|guider|text_embeds|prompt\w*|\w*pipe|sdxl_tuple|ctx|"
    r"context|base_ctx|script",
    re.IGNORECASE,
)
_TWO_OUTPUTS = re.compile(
    r"controlnet\w*apply|controlnetapply|apply\w*controlnet|inpaintmodelconditioning"
)
_SHOWS = ("showtext", "show text", "showany", "previewany", "preview any", "display")
# The texts that these nodes generate are not in the graph, and their instructions are no prompts.
_MAKES_TEXT = re.compile(
    r"llm|ollama|gpt|gemini|llava|florence|joy.?caption|caption|interrogat|tagger|qwen.?vl|"
    r"translat|prompt.?(?:generat|enhanc|upsampl)"
)
_SEPARATORS = ("delimiter", "separator", "sep", "join_with")


def prompt_of(graph: Graph, used: Mapping[str, Any]) -> str | None:
    """The positive prompt; different prompts of several samplers are joined by line breaks."""
    texts: list[str] = []
    for number in samplers_in(graph, used):
        text = _joined(list(_of_sampler(graph, number)), "\n")
        if text and text not in texts:
            texts.append(text)
    return "\n".join(texts)[:_MOST_CHARS] or None


def text_in(graph: Graph, name: str, value: Any) -> str:
    """The text of an input, given directly or by other nodes."""
    link = graph.link(name, value)
    return _text(graph, link, frozenset()) if link else value if isinstance(value, str) else ""


def _of_sampler(graph: Graph, number: str) -> Iterator[str]:
    for name, value in graph.nodes[number].inputs.items():
        link = graph.link(name, value)
        if _is_negative(name):
            continue
        if link is not None and _SAMPLER_INPUTS.fullmatch(name):
            yield _text(graph, link, frozenset({number}))
        elif isinstance(value, str) and name.lower() in ("positive", "positive_prompt", "prompt"):
            yield value.strip()


def _text(graph: Graph, link: Link, seen: frozenset[str]) -> str:
    """The text of one output of a node."""
    node = graph.nodes[link.source]
    makes_text = _MAKES_TEXT.search(node.word) and "encode" not in node.word
    if link.source in seen or len(seen) > _DEEPEST or "zeroout" in node.word or makes_text:
        return ""
    seen = seen | {link.source}
    # The second output of these nodes is their negative conditioning.
    turned = link.slot == 1 and bool(
        _TWO_OUTPUTS.search(node.word.replace(" ", "").replace("_", ""))
    )
    followed = {link.name for link in graph.followed(link.source)}
    parts: list[str] = []
    own: list[str] = []
    for name, value in _inputs(node):
        if _is_negative(name) != turned:
            continue
        inner = graph.link(name, value)
        if inner is not None and name in followed and not _NO_TEXT.fullmatch(name):
            parts.append(_text(graph, inner, seen))
        elif isinstance(value, str) and _TEXT_INPUT.fullmatch(name):
            own.append(value.strip())
            parts.append("" if any(word in node.word for word in _SHOWS) else value.strip())
    # A node that shows a text holds that of an earlier run, which counts if there is no other.
    return _joined(parts, _separator(node)) or _joined(own[-1:], "")


def _inputs(node: Node) -> list[tuple[str, Any]]:
    """The inputs of a node; of wildcards only the resulting text."""
    if isinstance(node.inputs.get("populated_text"), str) and node.inputs["populated_text"].strip():
        return [(name, value) for name, value in node.inputs.items() if name == "populated_text"]
    return list(node.inputs.items())


def _separator(node: Node) -> str:
    for name in _SEPARATORS:
        if isinstance(node.inputs.get(name), str):
            return str(node.inputs[name]).replace("\\n", "\n")
    return ", "


def _joined(parts: list[str], separator: str) -> str:
    return separator.join(dict.fromkeys(part for part in parts if part))[:_MOST_CHARS]


def _is_negative(name: str) -> bool:
    return "neg" in name.lower()
