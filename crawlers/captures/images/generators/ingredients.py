"""The models that a picture says it was made with, and the ways in which generators name them.

Hashes: AutoV1 is 8 digits of SHA-256 over 64 kB of a file, AutoV2 the first 10 digits of SHA-256 over all of
it, AutoV3 the first 12 over its tensors (Civitai's names for what AUTOMATIC1111 writes); SwarmUI writes all 64
digits over the tensors, InvokeAI BLAKE3 and others with the algorithm in front. AIR:
github.com/civitai/civitai/wiki/AIR-%E2%80%90-Uniform-Resource-Names-for-AI.
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
    """A model that the file says it was made with.

    Attributes:
        role: "base model" or "adapter".
        digest: 8 to 64 hexadecimal digits as the generator wrote them: the beginning of an AutoV1, AutoV2 or
            AutoV3 hash.
        other_hash: one of another algorithm, e.g. "blake3:" and its digits.
        listing: hub and number of the listing that it names, e.g. "civitai:67890".
    """

    role: str
    name: str | None
    digest: str | None = None
    other_hash: str | None = None
    listing: str | None = None

    @property
    def told(self) -> str:
        known = [
            self.digest,
            self.other_hash,
            self.listing if self.listing_in_name is None else None,
        ]
        beside = ", ".join(filter(None, known))
        return " ".join(filter(None, (self.name, beside and f"({beside})")))

    @property
    def listing_in_name(self) -> str | None:
        return (
            self.listing
            if self.name and self.listing and listing_of(self.name) == self.listing
            else None
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one text in a picture says of how it was generated.

    Attributes:
        problem: what of it could not be followed, in a sentence.
    """

    generator: str
    prompt: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    problem: str | None = None


def role_of(kind: Any) -> str | None:
    """Base model or adapter, by a generator's word for the kind of a model; None for VAEs, upscalers and the rest."""
    return _ROLES.get(kind.strip().lower().replace(" ", "")) if isinstance(kind, str) else None


def hashes_of(told: Any) -> tuple[str | None, str | None]:
    """The digest, and the hash of another algorithm, that a text is; None where it is none."""
    found = _HASH.fullmatch(told.strip().strip("\"'").lower()) if isinstance(told, str) else None
    if found is None:
        return None, None
    algorithm, digits = found[1], found[2]
    if is_of_nothing(digits):
        return None, None
    if algorithm is None or algorithm in _OURS:
        return (digits, None) if len(digits) <= 64 else (None, None)
    if algorithm == "random":  # InvokeAI's name for a file that it did not hash
        return None, None
    return (
        None,
        f"{algorithm.partition('_')[0] if algorithm.startswith('blake3') else algorithm}:{digits}",
    )


def named(
    role: str, name: Any, told_hash: Any = None, listing: str | None = None
) -> Ingredient | None:
    """An ingredient by what a generator wrote; None where that names nothing."""
    word = _word(name)
    digest, other = hashes_of(told_hash)
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
    return (
        f"huggingface:{item}" if source in ("huggingface", "hf") and item.count("/") == 1 else None
    )


def role_of_air(name: str) -> str | None:
    found = _AIR.fullmatch(name.strip())
    return role_of(found[2]) if found else None


def civitai_resource(resource: Any) -> Ingredient | None:
    """An entry of Civitai's lists of resources: by AIR, or by the number of the version."""
    if not isinstance(resource, dict) or is_nothing(
        resource.get("weight", resource.get("strength"))
    ):
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
    """Adapters that a prompt's tags load, `<lora:NAME:STRENGTH>`; those with no strength load nothing."""
    found = []
    for inside in _TAG.findall(text):
        name, *strengths = (part.strip() for part in inside.split(":"))
        if name and not (strengths and all(is_nothing(one) for one in strengths)):
            found.append(name)
    return list(dict.fromkeys(found))


def is_nothing(strength: Any) -> bool:
    """Whether a strength is the number 0, so that what it belongs to has no effect."""
    if isinstance(strength, bool) or not isinstance(strength, int | float | str):
        return False
    try:
        return float(strength) == 0
    except ValueError:
        return False


def stem_of(name: str) -> str:
    """A file's name without folders and ending; an AIR as it stands."""
    if _AIR.fullmatch(name.strip()):
        return name.strip()
    bare = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    ending = next((one for one in _ENDINGS if bare.lower().endswith(one)), "")
    return bare[: len(bare) - len(ending)]


def joined(found: Iterable[Ingredient | None]) -> tuple[Ingredient, ...]:
    """Each model once: what is said of one of the same name in several places is put together."""
    kept: list[Ingredient] = []
    for one in dict.fromkeys(found):
        if one is None:
            continue
        place = next((number for number, other in enumerate(kept) if _are_one(one, other)), None)
        if place is None:
            kept.append(one)
        else:
            other = kept[place]
            kept[place] = replace(
                other, name=other.name or one.name, digest=_longer(other.digest, one.digest),
                other_hash=other.other_hash or one.other_hash, listing=other.listing or one.listing,
            )  # fmt: skip
    return tuple(kept[:_MOST_INGREDIENTS])


def _are_one(one: Ingredient, other: Ingredient) -> bool:
    if one.role != other.role:
        return False
    if (
        one.digest
        and other.digest
        and not (one.digest.startswith(other.digest) or other.digest.startswith(one.digest))
    ):
        return False
    if one.listing and one.listing == other.listing:
        return True
    if one.name and other.name:
        return stem_of(one.name) == stem_of(other.name)
    return bool(one.digest and other.digest)


def _longer(one: str | None, other: str | None) -> str | None:
    return max((one or "", other or ""), key=len) or None


def _word(told: Any) -> str | None:
    if not isinstance(told, str | int) or isinstance(told, bool):
        return None
    word = str(told).strip()
    return None if word.lower() in ("", "none", "null", "undefined", "[none]") else word[:300]
