"""Pictures in SVG drawings. Browsers load none from elsewhere, so only data: addresses count."""

from __future__ import annotations

from lxml import etree

from crawlers.captures.pages.resources import Resource

_MOST_BYTES = 100_000_000
_TAGS = frozenset({"image", "feimage", "img"})
_PLACES = frozenset({"href", "src"})


def pictures_in_drawing(drawing: Resource) -> list[str]:
    """The data: addresses of the pictures in a drawing; [] if it is none or cannot be read."""
    if not drawing.is_drawing or drawing.size_bytes > _MOST_BYTES:
        return []
    data = drawing.read()
    if b"data:" not in data:
        return []
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return []
    return [
        str(place)
        for element in (root.iter() if root is not None else ())
        if isinstance(element.tag, str) and _local(element.tag) in _TAGS
        for name, place in element.attrib.items()
        if _local(str(name)) in _PLACES and str(place).startswith("data:")
    ]


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2].lower()
