"""Where an image says it comes from: its generator's parameters, its labels as made by AI, its camera.

All of it is what the file says, and anybody can write anything into a file; no detector guesses here. Sources: A1111 and
ComfyUI metadata through sd-parsers; IPTC Digital Source Type (cv.iptc.org/newscodes/digitalsourcetype); the metadata label
of GB 45438-2025 (TC260, namespace http://www.tc260.org.cn/ns/AIGC/1.0/); EXIF; C2PA (crawlers.saved.content_credentials).
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree
from PIL import ExifTags, Image, PngImagePlugin
from sd_parsers.parsers import MANAGED_PARSERS, AUTOMATIC1111Parser, FooocusParser

from crawlers.saved.content_credentials import Credentials, credentials_in
from crawlers.saved.image_formats import open_image

_IPTC = re.compile(r"digitalsourcetype/(\w+)", re.IGNORECASE)
# What GB 45438-2025 lets Label say.
_LABELS = {"1": "1: made by AI / 属于", "2": "2: may be made by AI / 可能", "3": "3: suspected to be made by AI / 疑似"}
_MIDJOURNEY = re.compile(r"(?:^|\s)--(?:v|ar|niji|stylize|chaos)\s|Job ID:\s*[0-9a-f-]{36}")
_LORA_TAG = re.compile(r"<(?:lora|lyco):([^:<>]{1,200})(?::[^<>]{0,60})?>")
_LORA_HASHES = re.compile(r'Lora hashes:\s*"([^"]{1,20000})"')
_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})")
_MOST_CHARS = 200_000
_CHARSET_BYTES = 8  # name of the charset before the text of a UserComment (Exif 3.0, 4.6.5)


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A model that the file says it was made with.

    Attributes:
        role: "base model" or "adapter".
        digest: 8 to 64 hexadecimal digits as the generator wrote them: the beginning of an AutoV1, AutoV2 or AutoV3 hash.
    """

    role: str
    name: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything an image says of where it comes from.

    Attributes:
        generator: the program, None if it names none.
        prompt: as written there.
        ingredients: models it was made with.
        source_type: IPTC's word, e.g. trainedAlgorithmicMedia.
        label: fields of the GB 45438 label, by their names there.
        camera: maker, model, time and software of EXIF, by name.
        credentials: C2PA's manifest, None without one.
    """

    generator: str | None = None
    prompt: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    source_type: str | None = None
    label: dict[str, str] = field(default_factory=dict)
    camera: dict[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None

    @property
    def says_ai(self) -> bool:
        """Whether anything in it says that a model made or changed the image."""
        trained = {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"}
        told = {self.source_type, *(self.credentials.source_types if self.credentials else ())}
        return bool(self.generator or self.ingredients or self.label.get("Label") or trained & told)

    def statements(self) -> list[tuple[str, str]]:
        """What the file says: what about, and what.

        What about is one of "generator", "base model", "adapter", "source type" (IPTC), "label" (GB 45438), "credentials" (C2PA),
        "credentials: program", "credentials: source type" and "camera".
        """
        told = [("generator", self.generator)] if self.generator else []
        told += [
            (one.role, " ".join(filter(None, (one.name, one.digest and f"({one.digest})")))) for one in self.ingredients
        ]
        if self.source_type:
            told.append(("source type", self.source_type))
        if self.label:
            told.append(
                (
                    "label",
                    ", ".join(
                        filter(None, (_LABELS.get(self.label.get("Label", ""), ""), self.label.get("ContentProducer")))
                    ),
                )
            )
        if self.credentials:
            told += self.credentials.statements()
        if self.camera:
            told.append(("camera", ", ".join(self.camera.values())))
        return told


def provenance_of(data: bytes) -> Provenance:
    """What an image file's bytes say; an empty record for one that says nothing or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(data) as picture:
                exif = _exif(picture)
                texts = dict(_texts(picture))
                generated = _generated(picture, texts)
    except (
        Exception
    ):  # Pillow's plugins and parsers of strangers' JSON raise anything; what cannot be read says nothing
        return Provenance(credentials=credentials_in(data))
    xmp = texts.pop("xmp", "")
    generator, prompt, ingredients = generated
    description = " ".join(
        [texts.get("Description", ""), exif.get("ImageDescription", ""), *_xmp_values(xmp, "description")]
    )
    if generator is None and _MIDJOURNEY.search(description):
        generator, prompt = "Midjourney", description[:_MOST_CHARS].strip()
    return Provenance(
        generator, prompt, ingredients, _source_type(xmp), _label(xmp, texts, exif), _camera(exif), credentials_in(data)
    )


def _generated(picture: Image.Image, texts: dict[str, str]) -> tuple[str | None, str | None, tuple[Ingredient, ...]]:
    graph = _graph(texts.get("prompt", ""))
    if graph[0] is not None:
        return graph
    found = _parsed(picture)
    if found is None:
        return None, None, ()
    prompt = str(found.full_prompt)[:_MOST_CHARS]
    models = [Ingredient("base model", _word(one.name), _digest(one.hash)) for one in _models(found)]
    ingredients = dict.fromkeys([*models, *_adapters(prompt, found.metadata, "\n".join(texts.values()))])
    return found.generator.value, prompt or None, tuple(ingredients)


def _parsed(picture: Image.Image) -> Any:
    """What the first parser of sd-parsers that understands the picture's parameters reads; None if none does.

    The parsers get the parameters and never the picture: ParserManager keeps the last picture's parameters by
    id(picture), and Python gives the id of a picture that was closed to the next one.
    """
    for parameters, parsers in _parameters(picture):
        for parser in parsers:
            with contextlib.suppress(Exception):  # a stranger's parameters make parsers raise anything
                return parser().parse(parameters)
    return None


def _parameters(picture: Image.Image) -> Iterator[tuple[dict[Any, Any], Sequence[Any]]]:
    """Where generators write parameters: a PNG's chunks, also behind its pixels; else EXIF's UserComment."""
    if isinstance(picture, PngImagePlugin.PngImageFile):
        yield dict(picture.info), MANAGED_PARSERS
        yield dict(picture.text), MANAGED_PARSERS
        return
    comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes) and len(comment) > _CHARSET_BYTES:
        text = comment[_CHARSET_BYTES:].decode("utf_16_be")
        yield {"parameters": text}, (FooocusParser, AUTOMATIC1111Parser)


def _graph(told: str) -> tuple[str | None, str | None, tuple[Ingredient, ...]]:
    """What ComfyUI's graph says; its drawing of the graph, which sd-parsers needs, is left out by its API."""
    try:
        nodes = list(json.loads(told).values()) if told.lstrip().startswith("{") else []
        inputs = [one["inputs"] for one in nodes if isinstance(one["class_type"], str)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None, ()
    if not inputs:
        return None, None, ()
    roles = {"ckpt_name": "base model", "unet_name": "base model", "lora_name": "adapter"}
    found = [
        Ingredient(role, _word(one[name]), None)
        for one in inputs for name, role in roles.items() if isinstance(one, dict) and isinstance(one.get(name), str)
    ]  # fmt: skip
    texts = [one["text"] for one in inputs if isinstance(one, dict) and isinstance(one.get("text"), str)]
    return "ComfyUI", (texts[0][:_MOST_CHARS] if texts else None), tuple(dict.fromkeys(found))


def _models(found: Any) -> Iterator[Any]:
    for sampler in found.samplers:
        if sampler.model and isinstance(sampler.model.name, str | None):
            yield sampler.model


def _adapters(prompt: str, metadata: dict[Any, Any], plain: str) -> Iterator[Ingredient]:
    """Adapters by name from the prompt's tags, with hashes where the generator wrote them."""
    digests: dict[str, str] = {}
    hashes = metadata.get("Hashes")
    for name, told in (hashes if isinstance(hashes, dict) else {}).items():
        kind, _, bare = str(name).partition(":")
        if kind.lower() in ("lora", "lyco", "embed") and bare and (digest := _digest(told)):
            digests[bare] = digest
    for group in _LORA_HASHES.findall(plain):
        for part in group.split(","):
            name, _, told = part.rpartition(":")
            if name.strip() and (digest := _digest(told)):
                digests[name.strip()] = digest
    for name in dict.fromkeys([*digests, *_LORA_TAG.findall(prompt)]):
        yield Ingredient("adapter", _word(name), digests.get(name))


def _texts(picture: Image.Image) -> Iterator[tuple[str, str]]:
    for name, value in picture.info.items():
        if isinstance(value, str):
            yield ("xmp" if name == "XML:com.adobe.xmp" else str(name)), value[:_MOST_CHARS]
        elif name in ("xmp", "XML:com.adobe.xmp") and isinstance(value, bytes):
            yield "xmp", value[:_MOST_CHARS].decode("utf-8", "replace")


def _exif(picture: Image.Image) -> dict[str, str]:
    found = picture.getexif()
    told = {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in found.items()}
    told |= {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in found.get_ifd(ExifTags.IFD.Exif).items()}
    return {name: text for name, value in told.items() if (text := _text(value))}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        for mark, encoding in ((b"UNICODE\0", "utf-16-be"), (b"ASCII\0\0\0", "ascii")):
            if value.startswith(mark):
                return value[8:].decode(encoding, "replace").strip("\0 ")[:_MOST_CHARS]
        return value.decode("utf-8", "replace").strip("\0 ")[:_MOST_CHARS]
    return str(value).strip("\0 ")[:_MOST_CHARS]


def _camera(exif: dict[str, str]) -> dict[str, str]:
    wanted = {
        "Make": "maker",
        "Model": "model",
        "DateTimeOriginal": "taken",
        "Software": "software",
        "LensModel": "lens",
    }
    told = {word: exif[name][:200] for name, word in wanted.items() if name in exif}
    return told if told.keys() & {"maker", "model", "taken"} else {}


def _source_type(xmp: str) -> str | None:
    found = _IPTC.search(" ".join(_xmp_values(xmp, "digitalsourcetype")))
    return found[1] if found else None


def _label(xmp: str, texts: dict[str, str], exif: dict[str, str]) -> dict[str, str]:
    """The label, which XMP holds as JSON in one property; some producers put the same JSON into text chunks or EXIF."""
    for told in (
        *_xmp_values(xmp, "aigc"),
        texts.get("AIGC", ""),
        exif.get("UserComment", ""),
        exif.get("ImageDescription", ""),
    ):
        try:
            found = json.loads(told) if told.strip().startswith("{") else None
        except (ValueError, RecursionError):
            continue
        found = found.get("AIGC", found) if isinstance(found, dict) else None
        if isinstance(found, dict) and "Label" in found:
            return {str(name)[:40]: str(value)[:300] for name, value in found.items()}
    return {}


def _xmp_values(xmp: str, name: str) -> Iterator[str]:
    """Values of properties with that local name, in whatever case, as attributes, elements or resources."""
    if not xmp:
        return
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(xmp[xmp.find("<") :].encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return
    for element in root.iter() if root is not None else ():
        if not isinstance(element.tag, str):
            continue
        if _local(element.tag) == name:
            yield " ".join(
                [*(str(text) for text in element.itertext()), *(str(value) for value in element.attrib.values())]
            ).strip()
        for key, value in element.attrib.items():
            if _local(str(key)) == name:
                yield str(value)


def _local(tag: str) -> str:
    """A tag without its namespace, also where a broken packet left the prefix in it."""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def _word(told: Any) -> str | None:
    return str(told).strip()[:300] or None if told else None


def _digest(told: Any) -> str | None:
    found = _HEX.fullmatch(str(told or "").strip())
    return found[1].lower() if found else None
