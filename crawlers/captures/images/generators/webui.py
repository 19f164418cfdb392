"""Parameters in the format of AUTOMATIC1111's web UI, which many programs use.

The text holds a prompt of any number of lines, lines from "Negative prompt:" on, and one line of
settings, `Steps: 20, Sampler: Euler a, ...`. Values with commas or colons are quoted as JSON (see
modules/infotext_utils.py there). Tools of uploaders put everything into one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crawlers.captures.images.generators.ingredients import (
    ADAPTER,
    BASE,
    Ingredient,
    Parameters,
    civitai_resource,
    hashes_of,
    is_nothing,
    joined,
    named,
    role_of,
    stem_of,
    tags_in,
)

_KNOWN = frozenset([
    "steps", "sampler", "cfg scale", "seed", "size", "model", "model hash", "schedule type",
    "scheduler", "clip skip", "version", "distilled cfg scale", "lora hashes", "hashes",
    "civitai resources", "civitai metadata", "ensd", "denoising strength", "vae hash", "vae",
    "guidance scale", "resolution", "base model", "cfg",
])  # fmt: skip
_LOOKED_UP = frozenset([
    "app", "lyco hashes", "ti hashes", "hypernet", "hypernet hash", "hypernet strength",
    "used embeddings", "refiner", "hires checkpoint",
])  # fmt: skip
_FEWEST_KNOWN = 3
_LABEL = re.compile(r"\s*parameters\s*:\s*", re.IGNORECASE)
_START = re.compile(r"Steps:\s*\d+", re.IGNORECASE)
_NEGATIVE_LINE = re.compile(r"^\s*Negative prompt[:：]", re.MULTILINE | re.IGNORECASE)
_NEGATIVE_INLINE = re.compile(r"Negative prompt[:：]", re.IGNORECASE)
_KEY = re.compile(r"\s*([A-Za-z][\w \-/+().'&|#]{0,60}?)\s*:\s*")
_NEXT_KEY = re.compile(r",\s*(?=[A-Za-z][\w \-/+().'&|#]{0,60}?\s*:(?:\s|$|[\"{\[]))")
_BETWEEN = " \t\r\n.,;"
_IN_BRACKETS = re.compile(r"(.*?)\s*\[([0-9a-fA-F]{4,64})\]")
_IN_PARENTHESES = re.compile(r"(.*?)\(([0-9a-fA-F]{8,64})\)")
_LISTS = ("lora hashes", "lyco hashes", "ti hashes")
_MOST_STARTS = 20
_MOST_CHARS = 200_000  # of one line of settings
_DECODER = json.JSONDecoder(strict=False)
_MORE_PROMPTS = re.compile(
    r"(?:hires prompt|adetailer prompt(?: \w+)?|regional prompt)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Parts:
    prompt: str
    settings: dict[str, Any]


def read_webui(text: str) -> Parameters | None:
    """Read a text in this format; None for any other text."""
    parts = _parts(text)
    if parts is None:
        return None
    settings = parts.settings
    adapters, unused = _adapters(parts)
    resources = list(_resources(settings))
    models = [*_models(settings), *(model for model in resources if model.role == BASE)]
    others = [
        adapter
        for adapter in (*adapters, *resources)
        if adapter is not None and adapter.role == ADAPTER
    ]
    used = [
        adapter
        for adapter in others
        if adapter.name is None or adapter.listing or stem_of(adapter.name) not in unused
    ]
    return Parameters(_program(settings), parts.prompt or None, joined([*_one_base(models), *used]))


def _one_base(models: list[Ingredient | None]) -> list[Ingredient | None]:
    """Combine a checkpoint's file with its page, which may have another name.

    They are combined only if there is one of each.
    """
    present = [model for model in models if model is not None]
    pages = [model for model in present if model.listing]
    files = [model for model in present if not model.listing]
    if len(pages) == 1 and len(files) == 1:
        file, page = files[0], pages[0]
        name, digest = file.name or page.name, file.digest or page.digest
        return [Ingredient(BASE, name, digest, file.other_hash, page.listing)]
    return [*models]


def _parts(text: str) -> _Parts | None:
    label = _LABEL.match(text)
    text = text[label.end() :] if label else text
    text = text.replace("\r\n", "\n")
    start, settings = _settings(text)
    if start is None:
        return None
    before = text[:start]
    # The prompt itself may contain these words. At the beginning of a line they are the label.
    negative = _NEGATIVE_LINE.search(before)
    if negative is None and (inline := _NEGATIVE_INLINE.search(before)) is not None:
        return _Parts(before[: inline.start()].strip().rstrip(_BETWEEN), settings)
    prompt = before[: negative.start()] if negative else before
    prompt = prompt.strip()
    is_own_line = start == 0 or before.endswith("\n")
    return _Parts(prompt if is_own_line else prompt.rstrip(_BETWEEN), settings)


def _settings(text: str) -> tuple[int | None, dict[str, Any]]:
    """The offset of the settings and their values: the last such line, else a part of a line."""
    lines = list(re.finditer(r"^[^\n]+$", text, re.MULTILINE))[-_MOST_STARTS:]
    for line in reversed(lines):
        if _START.match(line[0].lstrip()) and _is_enough(settings := _settings_of(line[0])):
            return line.start(), settings
    starts = [found for found in _START.finditer(text) if _goes_on(text, found.end())]
    for found in starts[:_MOST_STARTS]:
        if _is_enough(settings := _settings_of(text[found.start() :].partition("\n")[0])):
            return found.start(), settings
    if lines and _is_enough(settings := _settings_of(lines[-1][0])):
        return lines[-1].start(), settings
    return None, {}


def _settings_of(line: str) -> dict[str, Any]:
    return dict(_pairs(line[:_MOST_CHARS]))


def _goes_on(text: str, place: int) -> bool:
    """Whether another setting follows, so that this is no prompt with the word steps."""
    key = _KEY.match(text, place + 1) if text[place : place + 1] == "," else None
    return key is not None and key[1].lower() in _KNOWN - {"steps"}


def _is_enough(settings: dict[str, Any]) -> bool:
    return (
        len(settings.keys() & _KNOWN) >= _FEWEST_KNOWN
        or "civitai resources" in settings
        or "civitai metadata" in settings
    )


def _pairs(line: str) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a line; known keys in lower case, repeated keys only once."""
    seen: set[str] = set()
    place = 0
    while (key := _KEY.match(line, place)) is not None:
        value, place = _value(line, key.end())
        lowered = key[1].lower()
        is_known = lowered in _KNOWN | _LOOKED_UP or lowered.startswith("addnet")
        name = lowered if is_known else key[1]
        if name not in seen:
            seen.add(name)
            yield name, value
        following = _NEXT_KEY.match(line, place)
        if following is None:
            following = _NEXT_KEY.search(line, place)
            if following is None:
                return
        place = following.end()


def _value(line: str, place: int) -> tuple[Any, int]:
    if line[place : place + 1] in ('"', "{", "["):
        try:
            return _DECODER.raw_decode(line, place)
        except (ValueError, RecursionError):
            closing = {'"': '"', "{": "}", "[": "]"}[line[place]]
            end = line.find(closing, place + 1)
            if end > 0 and line[end + 1 : end + 2] in ("", ","):
                return line[place + 1 : end], end + 1
    following = _NEXT_KEY.search(line, place)
    end = following.start() if following else len(line)
    return line[place:end].strip(), end


def _program(settings: dict[str, Any]) -> str:
    """The program: AUTOMATIC1111, whose format it is, unless another one names itself."""
    version, app = str(settings.get("version", "")), str(settings.get("app", ""))
    for program in ("Fooocus", "ComfyUI", "SD.Next", "Draw Things"):
        if version.startswith(program) or app.startswith(program):
            return program
    return "AUTOMATIC1111"


def _models(settings: dict[str, Any]) -> Iterator[Ingredient | None]:
    hashes = _named_hashes(settings)
    yield named(BASE, settings.get("model"), settings.get("model hash") or hashes.get("model"))
    for key in ("refiner", "hires checkpoint"):
        if isinstance(settings.get(key), str) and "use same" not in settings[key].lower():
            found = _IN_BRACKETS.fullmatch(settings[key].strip())
            yield named(BASE, found[1] if found else settings[key], found[2] if found else None)


def _named_hashes(settings: dict[str, Any]) -> dict[str, Any]:
    """The field Hashes of Civitai's extension: hashes by "kind:name"."""
    hashes = settings.get("hashes")
    return hashes if isinstance(hashes, dict) else {}


def _adapters(parts: _Parts) -> tuple[list[Ingredient | None], set[str]]:
    """The adapters in tags and lists of hashes, and the names of adapters with strength 0."""
    settings = parts.settings
    prompts = [
        parts.prompt,
        *(
            value
            for key, value in settings.items()
            if _MORE_PROMPTS.fullmatch(key) and isinstance(value, str)
        ),
    ]
    tagged = [name for prompt in prompts for name in tags_in(prompt)]
    found = [named(ADAPTER, name) for name in tagged]
    for name, digest in _named_hashes(settings).items():
        kind, _, bare = str(name).partition(":")
        if bare and role_of(kind) == ADAPTER:
            found.append(named(ADAPTER, bare, digest))
    for key in _LISTS:
        listed = [*_listed(settings.get(key)), *_behind(settings, key)]
        found += [named(ADAPTER, name, digest) for name, digest in listed]
    found += _others(settings)
    written = {
        stem_of(name.split(":")[0].strip()) for prompt in prompts for name in _all_tags(prompt)
    }
    return found, written - {stem_of(name) for name in tagged}


def _all_tags(prompt: str) -> list[str]:
    return re.findall(
        r"<\s*(?:lora|lyco|lycoris|hypernet)\s*:\s*([^<>\n]{1,400})>", prompt, re.IGNORECASE
    )


def _listed(value: Any) -> Iterator[tuple[str, str | None]]:
    """Yield the pairs of `NAME: HASH, NAME: HASH`, given as a text or as parsed JSON."""
    if isinstance(value, dict):
        yield from ((str(name), text) for name, text in value.items() if isinstance(text, str))
        return
    for part in value.split(",") if isinstance(value, str) else ():
        name, colon, digest = part.strip().rpartition(":")
        if colon and name.strip():
            yield name.strip(), digest.strip()


def _behind(settings: dict[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """Yield the rest of an unquoted list, whose pairs of name and hash look like settings."""
    names = list(settings)
    for name in names[names.index(key) + 1 :] if key in settings else ():
        value = settings[name]
        if name in _KNOWN or name.endswith("hash") or not isinstance(value, str):
            return
        if hashes_of(value)[0] is None:
            return
        yield name, value


def _others(settings: dict[str, Any]) -> Iterator[Ingredient | None]:
    """Yield hypernetworks, adapters of Additional Networks, and embeddings of old versions."""
    hypernet = settings.get("hypernet")
    if isinstance(hypernet, str) and not is_nothing(settings.get("hypernet strength")):
        yield named(ADAPTER, hypernet, settings.get("hypernet hash"))
    if str(settings.get("addnet enabled", "")).lower() == "true":
        for number in range(1, 11):
            model = settings.get(f"addnet model {number}")
            weights = [settings.get(f"addnet weight{which} {number}") for which in ("", " a", " b")]
            given = [weight for weight in weights if weight is not None]
            if isinstance(model, str) and not (given and all(map(is_nothing, given))):
                found = _IN_PARENTHESES.fullmatch(model.strip())
                yield named(ADAPTER, found[1] if found else model, found[2] if found else None)
    embeddings = settings.get("used embeddings")
    for part in embeddings.split(",") if isinstance(embeddings, str) else ():
        found = _IN_BRACKETS.fullmatch(part.strip())
        yield named(ADAPTER, found[1] if found else part)


def _resources(settings: dict[str, Any]) -> Iterator[Ingredient]:
    """Yield the models that Civitai names by the numbers of their pages.

    Its metadata repeat the list without names.
    """
    resources = settings.get("civitai resources")
    entries = resources if isinstance(resources, list) else []

    known = {found.listing for entry in entries if (found := civitai_resource(entry))}
    metadata = settings.get("civitai metadata")
    more = metadata.get("resources") if isinstance(metadata, dict) else None
    for entry in entries:
        if (found := civitai_resource(entry)) is not None:
            yield found
    for entry in more if isinstance(more, list) else []:
        if (found := civitai_resource(entry)) is not None and found.listing not in known:
            yield found
