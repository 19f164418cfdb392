"""The models with which a picture was made, and the ways in which generators name them.

Hashes: AutoV1 is 8 digits of SHA-256 over 64 kB of a file, AutoV2 the first 10 digits of SHA-256
over all of it, AutoV3 the first 12 over its tensors (Civitai's names for what AUTOMATIC1111
writes). SwarmUI writes all 64 digits over the tensors, InvokeAI BLAKE3 and others with a prefix for
the algorithm. AIR: github.com/civitai/civitai/wiki/AIR-%E2%80%90-Uniform-Resource-Names-for-AI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from crawlers.hashes import is_of_nothing

BASE, ADAPTER = "base model", "adapter"
_MOST_INGREDIENTS = 200
_HASH = re.compile(r"(?:([a-z][a-z0-9_-]{2,20})\s*:\s*)?(?:0x)?([0-9a-f]{8,128})")
_OURS = frozenset({"sha256", "sha-256", "autov1", "autov2", "autov3"})
_AIR = re.compile(
    r"(?:urn:)?air:([\w.-]*):([\w.-]+):([\w.-]+):([^@\s?]+?)(?:@([\w.-]+?))?(?:[:?].*|\.[a-z]+)?",
    re.IGNORECASE,
)
_TAG = re.compile(r"<\s*(?:lora|lyco|lycoris|hypernet)\s*:\s*([^<>\n]{1,400})>", re.IGNORECASE)
_ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
_ROLES = dict.fromkeys(
    ("checkpoint", "model", "diffusionmodel", "diffusion_models", "unet", "base", "refiner"), BASE
)
_ROLES |= dict.fromkeys(
    ("lora", "loras", "lycoris", "lyco", "locon", "loha", "lokr", "dora"), ADAPTER
)
_ROLES |= dict.fromkeys(
    ("embed", "embedding", "embeddings", "textualinversion", "hypernet", "hypernetwork"), ADAPTER
)


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A model with which a picture was made, according to its file.

    Attributes:
        role: "base model" or "adapter".
        digest: 8 to 64 hexadecimal digits as the generator wrote them: the beginning of an AutoV1,
            AutoV2 or AutoV3 hash.
        other_hash: a hash of another algorithm, e.g. "blake3:" and its digits.
        listing: hub and number of the listing that it names, e.g. "civitai:67890".
    """

    role: str
    name: str | None
    digest: str | None = None
    other_hash: str | None = None
    listing: str | None = None

    @property
    def text(self) -> str:
        """The name with hashes and listing in parentheses."""
        listing = None if self._is_listing_in_name else self.listing
        beside = ", ".join(filter(None, (self.digest, self.other_hash, listing)))
        return " ".join(filter(None, (self.name, beside and f"({beside})")))

    @property
    def _is_listing_in_name(self) -> bool:
        return bool(self.name and self.listing and listing_of(self.name) == self.listing)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The generation parameters in one text of a picture.

    Attributes:
        problem: a sentence about a part that could not be interpreted.
    """

    generator: str
    prompt: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    problem: str | None = None


def role_of(kind: Any) -> str | None:
    """The role for a generator's word for a kind of model; None for VAEs, upscalers and others."""
    return _ROLES.get(kind.strip().lower().replace(" ", "")) if isinstance(kind, str) else None


def hashes_of(text: Any) -> tuple[str | None, str | None]:
    """A text as a digest and as a hash of another algorithm; None for what it is not."""
    found = _HASH.fullmatch(text.strip().strip("\"'").lower()) if isinstance(text, str) else None
    if found is None:
        return None, None
    algorithm, digits = found[1], found[2]
    if is_of_nothing(digits):
        return None, None
    if algorithm is None or algorithm in _OURS:
        return (digits, None) if len(digits) <= 64 else (None, None)
    if algorithm == "random":  # InvokeAI's word for a file that it did not hash
        return None, None
    if algorithm.startswith("blake3"):
        algorithm = algorithm.partition("_")[0]
    return None, f"{algorithm}:{digits}"


def named(
    role: str, name: Any, hash_text: Any = None, listing: str | None = None
) -> Ingredient | None:
    """An ingredient from the words of a generator; None if they name nothing."""
    word = _word(name)
    digest, other = hashes_of(hash_text)
    if word is None and digest is None and other is None and listing is None:
        return None
    return Ingredient(role, word, digest, other, listing or (listing_of(word) if word else None))


def listing_of(name: str) -> str | None:
    """Hub and number of the listing that an AIR names."""
    found = _AIR.fullmatch(name.strip())
    if found is None:
        return None
    source, item, version = found[3].lower(), found[4], found[5]
    if source == "civitai":
        return f"civitai:{version}" if version and version.isdigit() else None
    is_repository = source in ("huggingface", "hf") and item.count("/") == 1
    return f"huggingface:{item}" if is_repository else None


def role_of_air(name: str) -> str | None:
    found = _AIR.fullmatch(name.strip())
    return role_of(found[2]) if found else None


def civitai_resource(resource: Any) -> Ingredient | None:
    """An entry of Civitai's lists of resources, by AIR or by the number of the version."""
    if not isinstance(resource, dict):
        return None
    if is_nothing(resource.get("weight", resource.get("strength"))):
        return None
    air, version = resource.get("air"), resource.get("modelVersionId")
    if isinstance(air, str) and (role := role_of_air(air)):
        return named(role, resource.get("modelName") or air, resource.get("hash"), listing_of(air))
    role = role_of(resource.get("type"))
    is_number = isinstance(version, int) and not isinstance(version, bool) and version > 0
    if role is None or not (is_number or resource.get("modelName")):
        return None
    return named(
        role,
        resource.get("modelName"),
        resource.get("hash"),
        f"civitai:{version}" if is_number else None,
    )


def tags_in(text: str) -> list[str]:
    """Adapters in a prompt's tags, `<lora:NAME:STRENGTH>`, without those of strength 0."""
    found = []
    for inside in _TAG.findall(text):
        name, *strengths = (part.strip() for part in inside.split(":"))
        if name and not (strengths and all(map(is_nothing, strengths))):
            found.append(name)
    return list(dict.fromkeys(found))


def is_nothing(strength: Any) -> bool:
    """Whether a strength is the number 0, so that the adapter has no effect."""
    if isinstance(strength, bool) or not isinstance(strength, int | float | str):
        return False
    try:
        return float(strength) == 0
    except ValueError:
        return False


def stem_of(name: str) -> str:
    """A file's name without folders and ending; an AIR is left unchanged."""
    if _AIR.fullmatch(name.strip()):
        return name.strip()
    bare = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    ending = next((ending for ending in _ENDINGS if bare.lower().endswith(ending)), "")
    return bare[: len(bare) - len(ending)]


def joined(found: Iterable[Ingredient | None]) -> tuple[Ingredient, ...]:
    """Combine ingredients, so that each model occurs once with everything known about it."""
    kept: list[Ingredient] = []
    for new in dict.fromkeys(found):
        if new is None:
            continue
        place = next((number for number, old in enumerate(kept) if _are_same(new, old)), None)
        if place is None:
            kept.append(new)
        else:
            old = kept[place]
            kept[place] = replace(
                old,
                name=old.name or new.name,
                digest=_longer(old.digest, new.digest),
                other_hash=old.other_hash or new.other_hash,
                listing=old.listing or new.listing,
            )
    return tuple(kept[:_MOST_INGREDIENTS])


def _are_same(first: Ingredient, second: Ingredient) -> bool:
    if first.role != second.role:
        return False
    digests = sorted(filter(None, (first.digest, second.digest)), key=len)
    if len(digests) == 2 and not digests[1].startswith(digests[0]):
        return False
    if first.listing and first.listing == second.listing:
        return True
    if first.name and second.name:
        return stem_of(first.name) == stem_of(second.name)
    return len(digests) == 2


def _longer(first: str | None, second: str | None) -> str | None:
    return max((first or "", second or ""), key=len) or None


def _word(value: Any) -> str | None:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    word = str(value).strip()

    return None if word.lower() in ("", "none", "null", "undefined", "[none]") else word[:300]
