"""Parameters as AUTOMATIC1111's web UI writes them, and every program that writes them in its way.

A prompt of any number of lines, lines from "Negative prompt:" on, and one line of settings, `Steps: 20,
Sampler: Euler a, ...`, whose values are quoted as JSON where they hold commas or colons
(modules/infotext_utils.py there). Uploaders' tools put all into one line.
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
    Reading,
    civitai_resource,
    hashes_of,
    is_nothing,
    joined,
    named,
    role_of,
    stem_of,
    tags_in,
)

_KNOWN = frozenset({
    "steps", "sampler", "cfg scale", "seed", "size", "model", "model hash", "schedule type", "scheduler", "clip skip",
    "version", "distilled cfg scale", "lora hashes", "hashes", "civitai resources", "civitai metadata", "ensd",
    "denoising strength", "vae hash", "vae", "guidance scale", "resolution", "base model", "cfg",
})  # fmt: skip
_LOOKED_UP = frozenset({
    "app", "lyco hashes", "ti hashes", "hypernet", "hypernet hash", "hypernet strength", "used embeddings", "refiner",
    "hires checkpoint",
})  # fmt: skip
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


def read_webui(text: str) -> Reading | None:
    """What a text in this form says; None for any other text."""
    parts = _parts(text)
    if parts is None:
        return None
    settings = parts.settings
    adapters, unused = _adapters(parts)
    resources = list(_resources(settings))
    models = [*_models(settings), *(one for one in resources if one.role == BASE)]
    others = [one for one in (*adapters, *resources) if one is not None and one.role == ADAPTER]
    used = [
        one for one in others if one.name is None or one.listing or stem_of(one.name) not in unused
    ]
    return Reading(_program(settings), parts.prompt or None, joined([*_one_base(models), *used]))


def _one_base(models: list[Ingredient | None]) -> list[Ingredient | None]:
    """A checkpoint named by its file and again by its page, under another name: one where there is one of each."""
    present = [one for one in models if one is not None]
    pages = [one for one in present if one.listing]
    files = [one for one in present if not one.listing]
    if len(pages) == 1 and len(files) == 1:
        file, page = files[0], pages[0]
        return [
            Ingredient(
                BASE,
                file.name or page.name,
                file.digest or page.digest,
                file.other_hash,
                page.listing,
            )
        ]
    return [*models]


def _parts(text: str) -> _Parts | None:
    label = _LABEL.match(text)
    text = text[label.end() :] if label else text
    text = text.replace("\r\n", "\n")
    start, settings = _settings(text)
    if start is None:
        return None
    before = text[:start]
    # A prompt may speak of a negative one; where a line begins with those words, that is the negative one.
    negative = _NEGATIVE_LINE.search(before)
    if negative is None and (inline := _NEGATIVE_INLINE.search(before)) is not None:
        return _Parts(before[: inline.start()].strip().rstrip(_BETWEEN), settings)
    prompt = before[: negative.start()] if negative else before
    return _Parts(
        prompt.strip() if start == 0 or before.endswith("\n") else prompt.strip().rstrip(_BETWEEN),
        settings,
    )


def _settings(text: str) -> tuple[int | None, dict[str, Any]]:
    """Where the settings begin, and what they say: the last line of settings, else the first place in a line."""
    lines = list(re.finditer(r"^[^\n]+$", text, re.MULTILINE))[-_MOST_STARTS:]
    for line in reversed(lines):
        if _START.match(line[0].lstrip()) and _is_enough(settings := _settings_of(line[0])):
            return line.start(), settings
    for found in [one for one in _START.finditer(text) if _goes_on(text, one.end())][:_MOST_STARTS]:
        if _is_enough(settings := _settings_of(text[found.start() :].partition("\n")[0])):
            return found.start(), settings
    if lines and _is_enough(settings := _settings_of(lines[-1][0])):
        return lines[-1].start(), settings
    return None, {}


def _settings_of(line: str) -> dict[str, Any]:
    return dict(_pairs(line[:_MOST_CHARS]))


def _goes_on(text: str, place: int) -> bool:
    """Whether another setting follows, and not more of a prompt that speaks of steps."""
    key = _KEY.match(text, place + 1) if text[place : place + 1] == "," else None
    return key is not None and key[1].lower() in _KNOWN - {"steps"}


def _is_enough(settings: dict[str, Any]) -> bool:
    return (
        len(settings.keys() & _KNOWN) >= _FEWEST_KNOWN
        or "civitai resources" in settings
        or "civitai metadata" in settings
    )


def _pairs(line: str) -> Iterator[tuple[str, Any]]:
    """Keys, those that are known in small letters, and values of a line; of a key that comes twice the first counts."""
    seen: set[str] = set()
    place = 0
    while (key := _KEY.match(line, place)) is not None:
        value, place = _value(line, key.end())
        name = (
            key[1].lower()
            if key[1].lower() in _KNOWN | _LOOKED_UP or key[1].lower().startswith("addnet")
            else key[1]
        )
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
    """AUTOMATIC1111, whose form it is, unless another program names itself."""
    version, app = str(settings.get("version", "")), str(settings.get("app", ""))
    for program in ("Fooocus", "ComfyUI", "SD.Next", "Draw Things"):
        if version.startswith(program) or app.startswith(program):
            return program
    return "AUTOMATIC1111"


def _models(settings: dict[str, Any]) -> Iterator[Ingredient | None]:
    hashes = _named_hashes(settings)
    name, told = settings.get("model"), settings.get("model hash")
    yield named(BASE, name, told or hashes.get("model"))
    for key in ("refiner", "hires checkpoint"):
        if isinstance(settings.get(key), str) and "use same" not in settings[key].lower():
            found = _IN_BRACKETS.fullmatch(settings[key].strip())
            yield named(BASE, found[1] if found else settings[key], found[2] if found else None)


def _named_hashes(settings: dict[str, Any]) -> dict[str, Any]:
    """The field Hashes of Civitai's extension: what kind, a colon and the name, with the hash."""
    hashes = settings.get("hashes")
    return hashes if isinstance(hashes, dict) else {}


def _adapters(parts: _Parts) -> tuple[list[Ingredient | None], set[str]]:
    """Adapters by the tags of the prompts and by the lists of hashes, and names of those that tags give no strength."""
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
    for name, told in _named_hashes(settings).items():
        kind, _, bare = str(name).partition(":")
        if bare and role_of(kind) == ADAPTER:
            found.append(named(ADAPTER, bare, told))
    for key in _LISTS:
        found += [
            named(ADAPTER, name, told)
            for name, told in [*_listed(settings.get(key)), *_behind(settings, key)]
        ]
    found += _others(settings)
    written = {
        stem_of(name.split(":")[0].strip()) for prompt in prompts for name in _all_tags(prompt)
    }
    return found, written - {stem_of(name) for name in tagged}


def _all_tags(prompt: str) -> list[str]:
    return re.findall(
        r"<\s*(?:lora|lyco|lycoris|hypernet)\s*:\s*([^<>\n]{1,400})>", prompt, re.IGNORECASE
    )


def _listed(told: Any) -> Iterator[tuple[str, str | None]]:
    """`NAME: HASH, NAME: HASH`, as one text or as what JSON made of it."""
    if isinstance(told, dict):
        yield from ((str(name), value) for name, value in told.items() if isinstance(value, str))
        return
    for part in told.split(",") if isinstance(told, str) else ():
        name, colon, value = part.strip().rpartition(":")
        if colon and name.strip():
            yield name.strip(), value.strip()


def _behind(settings: dict[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """More of a list that was not quoted: what follows it is a name and a hash each, and no setting."""
    names = list(settings)
    for name in names[names.index(key) + 1 :] if key in settings else ():
        if (
            name in _KNOWN
            or name.endswith("hash")
            or not isinstance(settings[name], str)
            or hashes_of(settings[name])[0] is None
        ):
            return
        yield name, settings[name]


def _others(settings: dict[str, Any]) -> Iterator[Ingredient | None]:
    """Hypernetworks, the extension Additional Networks, and embeddings of older versions."""
    if isinstance(settings.get("hypernet"), str) and not is_nothing(
        settings.get("hypernet strength")
    ):
        yield named(ADAPTER, settings["hypernet"], settings.get("hypernet hash"))
    if str(settings.get("addnet enabled", "")).lower() == "true":
        for number in range(1, 11):
            model = settings.get(f"addnet model {number}")
            weights = [settings.get(f"addnet weight{which} {number}") for which in ("", " a", " b")]
            told = [one for one in weights if one is not None]
            if isinstance(model, str) and not (told and all(map(is_nothing, told))):
                found = _IN_PARENTHESES.fullmatch(model.strip())
                yield named(ADAPTER, found[1] if found else model, found[2] if found else None)
    embeddings = settings.get("used embeddings")
    for part in embeddings.split(",") if isinstance(embeddings, str) else ():
        found = _IN_BRACKETS.fullmatch(part.strip())
        yield named(ADAPTER, found[1] if found else part)


def _resources(settings: dict[str, Any]) -> Iterator[Ingredient]:
    """What Civitai names by the numbers of its pages; its metadata repeat the list without names."""
    told = settings.get("civitai resources")
    entries = told if isinstance(told, list) else []
    known = {found.listing for entry in entries if (found := civitai_resource(entry))}
    metadata = settings.get("civitai metadata")
    more = metadata.get("resources") if isinstance(metadata, dict) else None
    for entry in entries:
        if (found := civitai_resource(entry)) is not None:
            yield found
    for entry in more if isinstance(more, list) else []:
        if (found := civitai_resource(entry)) is not None and found.listing not in known:
            yield found
