"""The provenance that an image states: generator parameters, AI labels, camera.

All of it is what the file says, and anybody can write anything into a file; no detector guesses.
Sources: parameters of generators (crawlers.captures.images.generators); IPTC Digital Source Type
(cv.iptc.org/newscodes/digitalsourcetype); the metadata label of GB 45438-2025 (TC260, namespace
http://www.tc260.org.cn/ns/AIGC/1.0/); EXIF; C2PA (crawlers.captures.images.content_credentials).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from crawlers.captures.images.content_credentials import (
    Credentials,
    credentials_elsewhere,
    credentials_in,
)
from crawlers.captures.images.generators.embedded_texts import texts_of
from crawlers.captures.images.generators.ingredients import Ingredient
from crawlers.captures.images.generators.reading import generated
from crawlers.captures.images.image_formats import ImageRefused, open_image

_IPTC = re.compile(r"digitalsourcetype/(\w+)", re.IGNORECASE)
# The values of Label that GB 45438-2025 allows.
_LABELS = {
    "1": "1: made by AI / 属于",
    "2": "2: may be made by AI / 可能",
    "3": "3: suspected to be made by AI / 疑似",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of an image according to its file.

    Attributes:
        generator: the program, None if none is named.
        prompt: the prompt as written.
        ingredients: the models with which it was made.
        source_type: IPTC's word, e.g. trainedAlgorithmicMedia.
        label: the fields of the GB 45438 label by their names.
        camera: maker, model, time and software from EXIF, by name.
        credentials: the C2PA manifest, None without one.
        problems: sentences about parts that could not be read.
    """

    generator: str | None = None
    prompt: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    source_type: str | None = None
    label: dict[str, str] = field(default_factory=dict)
    camera: dict[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None
    problems: tuple[str, ...] = ()

    @property
    def says_ai(self) -> bool:
        """Whether any part of it says that a model made or changed the image."""
        trained = {
            "trainedAlgorithmicMedia",
            "compositeWithTrainedAlgorithmicMedia",
            "algorithmicMedia",
        }
        types = {self.source_type, *(self.credentials.source_types if self.credentials else ())}
        is_labelled = bool(self.label.get("Label"))
        return bool(self.generator or self.ingredients or is_labelled or trained & types)

    def statements(self) -> list[tuple[str, str]]:
        """The statements of the file as pairs of a subject and a text.

        Subjects are "generator", "base model", "adapter", "source type" (IPTC), "label" (GB 45438),
        "credentials" (C2PA), "credentials: signer", "credentials: program", "credentials: source
        type" (claims of the credentials), "camera" and "not read".
        """
        found = [("generator", self.generator)] if self.generator else []
        found += [(ingredient.role, ingredient.text) for ingredient in self.ingredients]
        if self.source_type:
            found.append(("source type", self.source_type))
        if self.label:
            words = (_LABELS.get(self.label.get("Label", "")), self.label.get("ContentProducer"))
            found.append(("label", ", ".join(filter(None, words))))
        if self.credentials:
            found += self.credentials.statements()
        if self.camera:
            found.append(("camera", ", ".join(self.camera.values())))
        return found + [("not read", problem) for problem in self.problems]


def provenance_of(data: bytes) -> Provenance:
    """Read the provenance from an image file; unreadable parts are listed in its problems."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(data) as picture:
                texts = texts_of(picture, data)
    except ImageRefused:
        return Provenance(credentials=credentials_in(data))
    except Exception as error:  # Pillow's plugins raise anything at damaged files
        problem = (
            f"the file cannot be opened ({type(error).__name__}: {str(error)[:120]}), "
            "so that nothing in it was looked at"
        )
        return Provenance(credentials=credentials_in(data), problems=(problem,))
    xmp, exif = texts.xmp, texts.exif
    descriptions = list(_xmp_values(xmp, "description"))
    comments = [*_xmp_values(xmp, "usercomment"), *_xmp_values(xmp, "parameters"), *descriptions]
    described = [
        texts.chunks.get("Description", ""),
        exif.get("ImageDescription", ""),
        *descriptions,
    ]
    found = generated(texts, comments, " ".join(filter(None, described)))
    camera = {name: text for name, text in exif.items() if name not in found.taken}
    return Provenance(
        generator=found.generator,
        prompt=found.prompt,
        ingredients=found.ingredients,
        source_type=_source_type(xmp),
        label=_label(xmp, texts.chunks, exif),
        camera=_camera(camera),
        credentials=_credentials(data, xmp),
        problems=found.problems,
    )


def _credentials(data: bytes, xmp: str) -> Credentials | None:
    if (found := credentials_in(data)) is not None:
        return found
    named = (credentials_elsewhere(address.strip()) for address in _xmp_values(xmp, "provenance"))
    return next((credentials for credentials in named if credentials is not None), None)


def _camera(exif: dict[str, str]) -> dict[str, str]:
    wanted = {
        "Make": "maker",
        "Model": "model",
        "DateTimeOriginal": "taken",
        "Software": "software",
        "LensModel": "lens",
    }
    found = {word: exif[name][:200] for name, word in wanted.items() if name in exif}
    return found if found.keys() & {"maker", "model", "taken"} else {}


def _source_type(xmp: str) -> str | None:
    found = _IPTC.search(" ".join(_xmp_values(xmp, "digitalsourcetype")))
    return found[1] if found else None


def _label(xmp: str, texts: dict[str, str], exif: dict[str, str]) -> dict[str, str]:
    """The AI label, which is JSON in a property of XMP; some producers use text chunks or EXIF."""
    for text in (
        *_xmp_values(xmp, "aigc"),
        texts.get("AIGC", ""),
        exif.get("UserComment", ""),
        exif.get("ImageDescription", ""),
    ):
        try:
            found = json.loads(text) if text.strip().startswith("{") else None
        except (ValueError, RecursionError):
            continue
        found = found.get("AIGC", found) if isinstance(found, dict) else None
        if isinstance(found, dict) and "Label" in found:
            return {str(name)[:40]: str(value)[:300] for name, value in found.items()}
    return {}


def _xmp_values(xmp: str, name: str) -> Iterator[str]:
    """Yield the values of properties with a local name, as attributes, elements or resources."""
    if not xmp:
        return
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False
    )
    try:
        root = etree.fromstring(xmp[xmp.find("<") :].encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return
    for element in root.iter() if root is not None else ():
        if not isinstance(element.tag, str):
            continue
        if _local(element.tag) == name:
            texts = [str(text) for text in element.itertext()]
            values = [str(value) for value in element.attrib.values()]
            yield " ".join([*texts, *values]).strip()
        for key, value in element.attrib.items():
            if _local(str(key)) == name:
                yield str(value)


def _local(tag: str) -> str:
    """A tag in lower case without its namespace or, in a broken packet, without its prefix."""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()
