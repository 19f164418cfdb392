"""Where an image says it comes from: its generator's parameters, its labels as made by AI, its camera.

All of it is what the file says, and anybody can write anything into a file; no detector guesses here. Sources: parameters
of generators (crawlers.captures.images.generators); IPTC Digital Source Type (cv.iptc.org/newscodes/digitalsourcetype); the metadata label
of GB 45438-2025 (TC260, namespace http://www.tc260.org.cn/ns/AIGC/1.0/); EXIF; C2PA (crawlers.captures.images.content_credentials).
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
# What GB 45438-2025 lets Label say.
_LABELS = {
    "1": "1: made by AI / 属于",
    "2": "2: may be made by AI / 可能",
    "3": "3: suspected to be made by AI / 疑似",
}


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
        problems: what of it could not be read, in sentences.
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
        """Whether anything in it says that a model made or changed the image."""
        trained = {
            "trainedAlgorithmicMedia",
            "compositeWithTrainedAlgorithmicMedia",
            "algorithmicMedia",
        }
        told = {self.source_type, *(self.credentials.source_types if self.credentials else ())}
        return bool(self.generator or self.ingredients or self.label.get("Label") or trained & told)

    def statements(self) -> list[tuple[str, str]]:
        """What the file says: what about, and what.

        What about is one of "generator", "base model", "adapter", "source type" (IPTC), "label" (GB 45438), "credentials" (C2PA),
        "credentials: signer", "credentials: program", "credentials: source type" (as the credentials claim), "camera" and "not read".
        """
        told = [("generator", self.generator)] if self.generator else []
        told += [(one.role, one.told) for one in self.ingredients]
        if self.source_type:
            told.append(("source type", self.source_type))
        if self.label:
            told.append(
                (
                    "label",
                    ", ".join(
                        filter(
                            None,
                            (
                                _LABELS.get(self.label.get("Label", ""), ""),
                                self.label.get("ContentProducer"),
                            ),
                        )
                    ),
                )
            )
        if self.credentials:
            told += self.credentials.statements()
        if self.camera:
            told.append(("camera", ", ".join(self.camera.values())))
        return told + [("not read", problem) for problem in self.problems]


def provenance_of(data: bytes) -> Provenance:
    """What an image file's bytes say; what of it cannot be read is among its problems."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(data) as picture:
                texts = texts_of(picture, data)
    except ImageRefused:
        return Provenance(credentials=credentials_in(data))
    except Exception as error:  # Pillow's plugins raise anything at damaged files
        told = f"the file cannot be opened ({type(error).__name__}: {str(error)[:120]}), so that nothing in it was looked at"
        return Provenance(credentials=credentials_in(data), problems=(told,))
    xmp, exif = texts.xmp, texts.exif
    descriptions = list(_xmp_values(xmp, "description"))
    comments = [*_xmp_values(xmp, "usercomment"), *_xmp_values(xmp, "parameters"), *descriptions]
    described = [
        texts.chunks.get("Description", ""),
        exif.get("ImageDescription", ""),
        *descriptions,
    ]
    found = generated(texts, comments, " ".join(filter(None, described)))
    return Provenance(
        found.generator, found.prompt, found.ingredients, _source_type(xmp), _label(xmp, texts.chunks, exif),
        _camera({name: text for name, text in exif.items() if name not in found.taken}), _credentials(data, xmp), found.problems,
    )  # fmt: skip


def _credentials(data: bytes, xmp: str) -> Credentials | None:
    if (found := credentials_in(data)) is not None:
        return found
    named = (credentials_elsewhere(address.strip()) for address in _xmp_values(xmp, "provenance"))
    return next((one for one in named if one is not None), None)


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
            yield " ".join(
                [
                    *(str(text) for text in element.itertext()),
                    *(str(value) for value in element.attrib.values()),
                ]
            ).strip()
        for key, value in element.attrib.items():
            if _local(str(key)) == name:
                yield str(value)


def _local(tag: str) -> str:
    """A tag without its namespace, also where a broken packet left the prefix in it."""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()
