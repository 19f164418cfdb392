"""Generator parameters in JSON documents, recognised by fields that only one generator has.

SwarmUI: its docs/Image Metadata Format.md. InvokeAI: invokeai/app/invocations/metadata.py (names
and hashes of models changed with version 4), and its older formats. Fooocus:
modules/meta_parser.py. NovelAI, Draw Things, Easy Diffusion and Tensor.Art: their present output.
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
    Parameters,
    is_nothing,
    joined,
    named,
    role_of,
)
from crawlers.values import object_of, objects_of

_MOST_LORAS = 200
_NAME_AND_WEIGHT = re.compile(r"(.+?)\s*:\s*(-?[\d.]+)")
_NOVELAI_SOURCE = re.compile(r"(.+?)\s+([0-9A-F]{8})")
_MOST_CHARS = 200_000
Document = Mapping[str, Any]


def read_document(document: Any, texts: Mapping[str, str]) -> Parameters | None:
    """Read a JSON document; None if it is of no known generator.

    Args:
        texts: the other texts of the picture, by where they are stored.
    """
    if not isinstance(document, dict):
        return None
    for knows, read in _READERS:
        if knows(document, texts):
            return read(document, texts)
    return None


def read_dream(text: str) -> Parameters | None:
    """Read InvokeAI's oldest format, the typed command: `"prompt [negative]" -s 50 -S 1`."""
    found = re.match(r'\s*(?:dream>\s*)?"(.*?)"\s+-\w', text, re.DOTALL)
    return Parameters("InvokeAI", _without_brackets(found[1])) if found else None


def _swarm(document: Document, _: Mapping[str, str]) -> Parameters:
    parameters = object_of(document.get("sui_image_params"))
    models = joined(_swarm_models(document, parameters))
    return Parameters("SwarmUI", _prompt(parameters.get("prompt")), models)


def _swarm_models(document: Document, parameters: Document) -> Iterator[Ingredient | None]:
    models = [
        model
        for model in objects_of(document.get("sui_models"))
        if isinstance(model.get("name"), str)
    ]
    hashes = {_swarm_name(model["name"]): model.get("hash") for model in models}
    for key in ("model", "refinermodel", "videomodel"):
        name = parameters.get(key)
        yield named(BASE, name, hashes.get(_swarm_name(name)))
    names = _texts_of(parameters.get("loras"))[:_MOST_LORAS]
    strengths = [_texts_of(parameters.get(key)) for key in ("loraweights", "loratencweights")]
    for place, name in enumerate(names):
        own = [weights[place] for weights in strengths if place < len(weights)]
        if not (own and all(map(is_nothing, own))):
            yield named(ADAPTER, name, hashes.get(_swarm_name(name)))
    known = {_swarm_name(name) for name in names}
    for model in models:  # adapters loaded by tags of the prompt are listed only here
        is_other = model.get("param") == "loras" and _swarm_name(model["name"]) not in known
        if is_other and not is_nothing(model.get("weight")):
            yield named(ADAPTER, model["name"], model.get("hash"))
    extra = object_of(document.get("sui_extra_data"))
    for name in _texts_of(extra.get("used_embeddings") or parameters.get("used_embeddings")):
        yield named(ADAPTER, name, hashes.get(_swarm_name(name)))


def _swarm_name(name: Any) -> str:
    return str(name).replace("\\", "/").removesuffix(".safetensors").lower()


def _invoke(document: Document, _: Mapping[str, str]) -> Parameters:
    models = [_invoke_model(BASE, document.get(key)) for key in ("model", "refiner_model")]
    loras = [
        _invoke_model(ADAPTER, lora.get("model") or lora.get("lora") or lora.get("model_name"))
        for lora in _weighty(document.get("loras"))
    ]
    return Parameters(
        "InvokeAI", _prompt(document.get("positive_prompt")), joined([*models, *loras])
    )


def _invoke_model(role: str, model: Any) -> Ingredient | None:
    if isinstance(model, str):
        return named(role, model)
    fields = object_of(model)
    return named(role, fields.get("name") or fields.get("model_name"), fields.get("hash"))


def _old_invoke(document: Document, _: Mapping[str, str]) -> Parameters:
    entry = object_of(document.get("image")).get("prompt")
    prompts = (
        [part.get("prompt") for part in objects_of(entry)] if isinstance(entry, list) else [entry]
    )
    texts = [_without_brackets(prompt) for prompt in prompts if isinstance(prompt, str)]
    model = named(BASE, document.get("model_weights"), document.get("model_hash"))
    return Parameters("InvokeAI", "\n".join(filter(None, texts)) or None, joined([model]))


def _fooocus(document: Document, _: Mapping[str, str]) -> Parameters:
    """Read Fooocus' own scheme, or the labels of its older log."""
    fields = {str(name).lower().replace(" ", "_"): value for name, value in document.items()}
    base = fields.get("base_model_name") or fields.get("base_model")
    found = [
        named(BASE, base, fields.get("base_model_hash")),
        named(BASE, fields.get("refiner_model"), fields.get("refiner_model_hash")),
    ]
    loras = fields.get("loras")
    for entry in loras[:_MOST_LORAS] if isinstance(loras, list) else []:
        found += _fooocus_lora(entry)
    for name, value in fields.items():
        if re.fullmatch(r"lora_(?:combined_)?\d+", name) and isinstance(value, str):
            pair = _NAME_AND_WEIGHT.fullmatch(value.strip())
            if pair and not is_nothing(pair[2]):
                found.append(named(ADAPTER, pair[1]))
    program = "RuinedFooocus" if fields.get("software") == "RuinedFooocus" else "Fooocus"
    return Parameters(program, _prompt(fields.get("prompt")), joined(found))


def _fooocus_lora(entry: Any) -> Iterator[Ingredient | None]:
    """Read [name, weight, hash], or [hash, "weight - name"] of a fork."""
    if not isinstance(entry, list | tuple) or len(entry) < 2:
        return
    pattern = r"\s*(-?[\d.]+)\s*-\s*(.+)"
    other = re.fullmatch(pattern, entry[1]) if isinstance(entry[1], str) else None
    if other is not None:
        if not is_nothing(other[1]):
            yield named(ADAPTER, other[2], entry[0])
    elif not is_nothing(entry[1]):
        yield named(ADAPTER, entry[0], entry[2] if len(entry) > 2 else None)


def _novelai(document: Document, texts: Mapping[str, str]) -> Parameters:
    source = _NOVELAI_SOURCE.fullmatch(texts.get("Source", "").strip())
    v4 = object_of(object_of(document.get("v4_prompt")).get("caption")).get("base_caption")
    prompt = _prompt(document.get("prompt")) or _prompt(v4) or _prompt(texts.get("Description"))
    model = named(BASE, source[1], source[2]) if source else named(BASE, texts.get("Source"))
    return Parameters("NovelAI", prompt, joined([model]))


def _draw_things(document: Document, _: Mapping[str, str]) -> Parameters:
    later = object_of(document.get("v2"))
    models = [named(BASE, document.get(key) or later.get(key)) for key in ("model", "refinerModel")]
    entries = [
        *_weighty(document.get("lora")),
        *_weighty(document.get("loras")),
        *_weighty(later.get("loras")),
    ]
    loras = [
        named(ADAPTER, entry.get("model") or entry.get("file") or entry.get("name"))
        for entry in entries
    ]
    return Parameters("Draw Things", _prompt(document.get("c")), joined([*models, *loras]))


def _easy(document: Document, _: Mapping[str, str]) -> Parameters:
    """Read Easy Diffusion, whose fields have one of two names; lists are JSON or a single name."""
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
    return Parameters(
        "Easy Diffusion", _prompt(_easy_field(document, "prompt", "Prompt")), joined(found)
    )


def _easy_field(document: Document, *names: str) -> Any:
    return next((document[name] for name in names if name in document), None)


def _tensor_art(document: Document, _: Mapping[str, str]) -> Parameters:
    base = object_of(document.get("baseModel"))
    found = [named(BASE, base.get("modelFileName") or base.get("label"), base.get("hash"))]
    for model in objects_of(document.get("models"))[:_MOST_LORAS]:
        role = role_of(model.get("type")) or role_of(model.get("modelType"))
        if role is not None and not is_nothing(model.get("weight")):
            name = model.get("modelFileName") or model.get("label")
            found.append(named(role, name, model.get("hash")))
    return Parameters("Tensor.Art", _prompt(document.get("prompt")), joined(found))


def _is_swarm(document: Document, _: Mapping[str, str]) -> bool:
    return isinstance(document.get("sui_image_params"), dict)


def _is_invoke(document: Document, _: Mapping[str, str]) -> bool:
    has_prompt = "positive_prompt" in document or "generation_mode" in document
    return has_prompt and ("app_version" in document or "model" in document)


def _is_old_invoke(document: Document, _: Mapping[str, str]) -> bool:
    has_image = isinstance(document.get("image"), dict)
    return has_image and ("model_weights" in document or "app_id" in document)


def _is_fooocus(document: Document, _: Mapping[str, str]) -> bool:
    names = {str(name).lower().replace(" ", "_") for name in document}
    if "base_model" not in names and "base_model_name" not in names:
        return False
    version = document.get("version") or document.get("Version") or document.get("software")
    return (
        "fooocus" in str(version or "").lower()
        or document.get("metadata_scheme") == "fooocus"
        or bool("prompt" in names and names & {"sharpness", "performance", "guidance_scale"})
    )


def _is_novelai(document: Document, texts: Mapping[str, str]) -> bool:
    return "NovelAI" in texts.get("Software", "") or ("uc" in document and "v4_prompt" in document)


def _is_draw_things(document: Document, _: Mapping[str, str]) -> bool:
    return isinstance(document.get("c"), str) and ("uc" in document or "model" in document)


def _is_easy(document: Document, _: Mapping[str, str]) -> bool:
    return "use_stable_diffusion_model" in document or "Stable Diffusion model" in document


def _is_tensor_art(document: Document, _: Mapping[str, str]) -> bool:
    has_base = isinstance(document.get("baseModel"), dict)
    return has_base and ("models" in document or "negativePrompt" in document)


_READERS: tuple[
    tuple[
        Callable[[Document, Mapping[str, str]], bool],
        Callable[[Document, Mapping[str, str]], Parameters],
    ],
    ...,
] = (
    (_is_swarm, _swarm),
    (_is_invoke, _invoke),
    (_is_old_invoke, _old_invoke),
    (_is_fooocus, _fooocus),
    (_is_novelai, _novelai),
    (_is_draw_things, _draw_things),
    (_is_easy, _easy),
    (_is_tensor_art, _tensor_art),
)


def _without_brackets(prompt: str) -> str | None:
    """InvokeAI's prompt without its negative parts, which are in square brackets."""
    return re.sub(r"\s{2,}", " ", re.sub(r"\[[^\[\]]*\]", " ", prompt)).strip(" ,") or None


def _prompt(value: Any) -> str | None:
    return value.strip()[:_MOST_CHARS] or None if isinstance(value, str) else None


def _weighty(value: Any) -> list[Document]:
    """The entries of a list of adapters, without those of strength 0."""
    return [
        entry
        for entry in objects_of(value)[:_MOST_LORAS]
        if not is_nothing(entry.get("weight", entry.get("strength")))
    ]


def _texts_of(value: Any) -> list[str]:
    """The texts of a list, which some versions write as one text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return []
    return [str(item).strip() for item in value if str(item).strip()]
