"""Parameters that generators write as a JSON document of their own, each told by the fields that only it has.

SwarmUI: docs/Image Metadata Format.md there. InvokeAI: invokeai/app/invocations/metadata.py (names and hashes
of models changed with version 4), and what it wrote before. Fooocus: modules/meta_parser.py; NovelAI, Draw
Things, Easy Diffusion and Tensor.Art as they are written today.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crawlers.captures.images.generators.ingredients import (
    ADAPTER,
    BASE,
    Ingredient,
    Reading,
    is_nothing,
    joined,
    named,
    role_of,
)

_MOST_LORAS = 200
_NAME_AND_WEIGHT = re.compile(r"(.+?)\s*:\s*(-?[\d.]+)")
_NOVELAI_SOURCE = re.compile(r"(.+?)\s+([0-9A-F]{8})")
_MOST_CHARS = 200_000
Document = Mapping[str, Any]


def read_document(document: Any, texts: Mapping[str, str]) -> Reading | None:
    """What a JSON document says; None for one of no generator that is known.

    Args:
        texts: the others of the picture, by where they stand.
    """
    if not isinstance(document, dict):
        return None
    for knows, read in _READERS:
        if knows(document, texts):
            return read(document, texts)
    return None


def read_dream(text: str) -> Reading | None:
    """InvokeAI's oldest form: the command that was typed, `"prompt [negative]" -s 50 -S 1`."""
    found = re.match(r'\s*(?:dream>\s*)?"(.*?)"\s+-\w', text, re.DOTALL)
    return Reading("InvokeAI", _without_brackets(found[1])) if found else None


def _swarm(document: Document, _: Mapping[str, str]) -> Reading:
    told = _object(document.get("sui_image_params"))
    return Reading("SwarmUI", _prompt(told.get("prompt")), joined(_swarm_models(document, told)))


def _swarm_models(document: Document, told: Document) -> Iterator[Ingredient | None]:
    models = [
        one for one in _objects(document.get("sui_models")) if isinstance(one.get("name"), str)
    ]
    hashes = {_swarm_name(one["name"]): one.get("hash") for one in models}
    for key in ("model", "refinermodel", "videomodel"):
        yield named(BASE, told.get(key), hashes.get(_swarm_name(told.get(key))))
    names = _texts_of(told.get("loras"))[:_MOST_LORAS]
    strengths = [_texts_of(told.get("loraweights")), _texts_of(told.get("loratencweights"))]
    for place, name in enumerate(names):
        own = [one[place] for one in strengths if place < len(one)]
        if not (own and all(map(is_nothing, own))):
            yield named(ADAPTER, name, hashes.get(_swarm_name(name)))
    for one in models:  # adapters that the prompt's tags load are here only
        is_other = one.get("param") == "loras" and _swarm_name(one["name"]) not in map(
            _swarm_name, names
        )
        if is_other and not is_nothing(one.get("weight")):
            yield named(ADAPTER, one["name"], one.get("hash"))
    extra = _object(document.get("sui_extra_data"))
    for name in _texts_of(extra.get("used_embeddings") or told.get("used_embeddings")):
        yield named(ADAPTER, name, hashes.get(_swarm_name(name)))


def _swarm_name(name: Any) -> str:
    return str(name).replace("\\", "/").removesuffix(".safetensors").lower()


def _invoke(document: Document, _: Mapping[str, str]) -> Reading:
    models = [_invoke_model(BASE, document.get(key)) for key in ("model", "refiner_model")]
    loras = [
        _invoke_model(ADAPTER, one.get("model") or one.get("lora") or one.get("model_name"))
        for one in _weighty(document.get("loras"))
    ]
    return Reading("InvokeAI", _prompt(document.get("positive_prompt")), joined([*models, *loras]))


def _invoke_model(role: str, model: Any) -> Ingredient | None:
    if isinstance(model, str):
        return named(role, model)
    told = _object(model)
    return named(role, told.get("name") or told.get("model_name"), told.get("hash"))


def _old_invoke(document: Document, _: Mapping[str, str]) -> Reading:
    image = _object(document.get("image"))
    told = image.get("prompt")
    prompts = [one.get("prompt") for one in _objects(told)] if isinstance(told, list) else [told]
    texts = [_without_brackets(one) for one in prompts if isinstance(one, str)]
    model = named(BASE, document.get("model_weights"), document.get("model_hash"))
    return Reading("InvokeAI", "\n".join(filter(None, texts)) or None, joined([model]))


def _fooocus(document: Document, _: Mapping[str, str]) -> Reading:
    """Its own scheme, and the labels of its older log."""
    told = {str(name).lower().replace(" ", "_"): value for name, value in document.items()}
    base = told.get("base_model_name") or told.get("base_model")
    found = [
        named(BASE, base, told.get("base_model_hash")),
        named(BASE, told.get("refiner_model"), told.get("refiner_model_hash")),
    ]
    loras = told.get("loras")
    for entry in loras[:_MOST_LORAS] if isinstance(loras, list) else []:
        found += _fooocus_lora(entry)
    for name, value in told.items():
        pair = (
            _NAME_AND_WEIGHT.fullmatch(value.strip())
            if re.fullmatch(r"lora_(?:combined_)?\d+", name) and isinstance(value, str)
            else None
        )
        if pair and not is_nothing(pair[2]):
            found.append(named(ADAPTER, pair[1]))
    program = "RuinedFooocus" if told.get("software") == "RuinedFooocus" else "Fooocus"
    return Reading(program, _prompt(told.get("prompt")), joined(found))


def _fooocus_lora(entry: Any) -> Iterator[Ingredient | None]:
    """[name, weight, hash]; a fork writes [hash, "weight - name"]."""
    if not isinstance(entry, list | tuple) or len(entry) < 2:
        return
    other = (
        re.fullmatch(r"\s*(-?[\d.]+)\s*-\s*(.+)", entry[1]) if isinstance(entry[1], str) else None
    )
    if other is not None:
        if not is_nothing(other[1]):
            yield named(ADAPTER, other[2], entry[0])
    elif not is_nothing(entry[1]):
        yield named(ADAPTER, entry[0], entry[2] if len(entry) > 2 else None)


def _novelai(document: Document, texts: Mapping[str, str]) -> Reading:
    source = _NOVELAI_SOURCE.fullmatch(texts.get("Source", "").strip())
    v4 = _object(_object(document.get("v4_prompt")).get("caption")).get("base_caption")
    prompt = _prompt(document.get("prompt")) or _prompt(v4) or _prompt(texts.get("Description"))
    model = named(BASE, source[1], source[2]) if source else named(BASE, texts.get("Source"))
    return Reading("NovelAI", prompt, joined([model]))


def _draw_things(document: Document, _: Mapping[str, str]) -> Reading:
    later = _object(document.get("v2"))
    models = [named(BASE, document.get(key) or later.get(key)) for key in ("model", "refinerModel")]
    entries = [
        *_weighty(document.get("lora")),
        *_weighty(document.get("loras")),
        *_weighty(later.get("loras")),
    ]
    loras = [
        named(ADAPTER, one.get("model") or one.get("file") or one.get("name")) for one in entries
    ]
    return Reading("Draw Things", _prompt(document.get("c")), joined([*models, *loras]))


def _easy(document: Document, _: Mapping[str, str]) -> Reading:
    """Easy Diffusion, whose fields have one of two names; lists are JSON or one name alone."""
    found = [
        named(BASE, _easy_field(document, "use_stable_diffusion_model", "Stable Diffusion model"))
    ]
    names = _texts_of(_easy_field(document, "use_lora_model", "LoRA model"))
    weights = _texts_of(_easy_field(document, "lora_alpha", "LoRA alpha"))
    for place, name in enumerate(names[:_MOST_LORAS]):
        if not (place < len(weights) and is_nothing(weights[place])):
            found.append(named(ADAPTER, name))
    found += [
        named(ADAPTER, name)
        for name in _texts_of(_easy_field(document, "use_embeddings_model", "Embedding models"))
    ]
    return Reading(
        "Easy Diffusion", _prompt(_easy_field(document, "prompt", "Prompt")), joined(found)
    )


def _easy_field(document: Document, *names: str) -> Any:
    return next((document[name] for name in names if name in document), None)


def _tensor_art(document: Document, _: Mapping[str, str]) -> Reading:
    base = _object(document.get("baseModel"))
    found = [named(BASE, base.get("modelFileName") or base.get("label"), base.get("hash"))]
    for one in _objects(document.get("models"))[:_MOST_LORAS]:
        role = role_of(one.get("type")) or role_of(one.get("modelType"))
        if role is not None and not is_nothing(one.get("weight")):
            found.append(named(role, one.get("modelFileName") or one.get("label"), one.get("hash")))
    return Reading("Tensor.Art", _prompt(document.get("prompt")), joined(found))


_READERS: tuple[
    tuple[
        Callable[[Document, Mapping[str, str]], bool],
        Callable[[Document, Mapping[str, str]], Reading],
    ],
    ...,
] = (
    (lambda told, _: isinstance(told.get("sui_image_params"), dict), _swarm),
    (
        lambda told, _: (
            ("positive_prompt" in told or "generation_mode" in told)
            and ("app_version" in told or "model" in told)
        ),
        _invoke,
    ),
    (
        lambda told, _: (
            isinstance(told.get("image"), dict) and ("model_weights" in told or "app_id" in told)
        ),
        _old_invoke,
    ),
    (lambda told, _: _is_fooocus(told), _fooocus),
    (
        lambda told, texts: (
            "NovelAI" in texts.get("Software", "") or ("uc" in told and "v4_prompt" in told)
        ),
        _novelai,
    ),
    (
        lambda told, _: isinstance(told.get("c"), str) and ("uc" in told or "model" in told),
        _draw_things,
    ),
    (
        lambda told, _: "use_stable_diffusion_model" in told or "Stable Diffusion model" in told,
        _easy,
    ),
    (
        lambda told, _: (
            isinstance(told.get("baseModel"), dict)
            and ("models" in told or "negativePrompt" in told)
        ),
        _tensor_art,
    ),
)


def _is_fooocus(told: Document) -> bool:
    names = {str(name).lower().replace(" ", "_") for name in told}
    if "base_model" not in names and "base_model_name" not in names:
        return False
    version = str(told.get("version") or told.get("Version") or told.get("software") or "")
    return (
        "fooocus" in version.lower()
        or told.get("metadata_scheme") == "fooocus"
        or bool("prompt" in names and names & {"sharpness", "performance", "guidance_scale"})
    )


def _without_brackets(prompt: str) -> str | None:
    """InvokeAI's prompt without its negative parts, which stand in square brackets."""
    return re.sub(r"\s{2,}", " ", re.sub(r"\[[^\[\]]*\]", " ", prompt)).strip(" ,") or None


def _prompt(told: Any) -> str | None:
    return told.strip()[:_MOST_CHARS] or None if isinstance(told, str) else None


def _object(told: Any) -> Document:
    return told if isinstance(told, dict) else {}


def _objects(told: Any) -> list[Document]:
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _weighty(told: Any) -> list[Document]:
    """Entries of a list of adapters that have a strength, or none of their own."""
    return [
        one
        for one in _objects(told)[:_MOST_LORAS]
        if not is_nothing(one.get("weight", one.get("strength")))
    ]


def _texts_of(told: Any) -> list[str]:
    """A list, which some versions write as one text."""
    if isinstance(told, str) and told.lstrip().startswith("["):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            return []
    if isinstance(told, str):
        told = told.split(",")
    return [str(one).strip() for one in told if str(one).strip()] if isinstance(told, list) else []
