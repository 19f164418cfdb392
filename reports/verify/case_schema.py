"""The check of case.json against its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.verify.checks import Unsound
from reports.verify.files import read_json, sha256_of

# SHA-256 of the published schemas. The copy in a bundle must be one of them.
SCHEMAS = frozenset(
    {
        "05e0e9a9075fd83944b850ad08f7e0bad2bed15a03ae9a66c2c9c210692f9a02",
        "0cee86bb78bd130beff0249c197b14721cfad0ca8b74f9ff3bde34c0cdd497e8",
        "1dcb994b2d8921efb0d8a6f510f592ddcf27d16d1cf5b1fc4f7b69b26947ae8a",
        "24d68d5dcfbe8c423f4a9b1ac08d13ac3784521899b61e1313fc4239cc053760",
        "50e6c588a78108383ffdd94581283cc4827adfd6ef9a824e94bc9f6461093ab7",
        "f8012ef261f7218266b243ad76aa02887b2ff67d531af6994ca4e25fdf97d4b1",
    }
)
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def check_schema(bundle: Path) -> None:
    """Raise Unsound unless the schema is a published one and the case fits it."""
    if sha256_of(bundle / "data/case-1.schema.json") not in SCHEMAS:
        raise Unsound("the bundle's schema is not one that was published")
    schema = read_json(bundle / "data/case-1.schema.json")
    problem = next(_misfits(read_json(bundle / "data/case.json"), schema, schema, "case"), None)
    if problem:
        raise Unsound(problem)


def _misfits(
    value: Any, schema: dict[str, Any], whole: dict[str, Any], where: str
) -> Iterator[str]:
    """Yield what does not fit, for the part of JSON Schema 2020-12 that the schemas use.

    Args:
        whole: the schema with the definitions that `schema` refers to.
        where: the path of the value, for messages.
    """
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        if all(next(_misfits(value, form, whole, where), None) for form in schema["anyOf"]):
            yield f"{where} fits none of the forms allowed"
        return
    kind = schema.get("type")
    if kind and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        yield f"{where} is not of type {kind}"
        return
    if not _is_allowed(value, schema):
        yield f"{where} is not what it may be"
    if isinstance(value, dict):
        yield from _misfits_of_fields(value, schema, whole, where)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} entries"
        forms = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for number, (entry, form) in enumerate(zip(value, forms, strict=False)):
            yield from _misfits(entry, form, whole, f"{where}[{number}]")


def _is_allowed(value: Any, schema: dict[str, Any]) -> bool:
    return (
        ("const" not in schema or value == schema["const"])
        and ("enum" not in schema or value in schema["enum"])
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
    )


def _misfits_of_fields(
    value: dict[str, Any], schema: dict[str, Any], whole: dict[str, Any], where: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    required = schema.get("required", ())
    yield from (f"{where}.{name} is missing" for name in required if name not in value)
    if schema.get("additionalProperties", True) is False:
        unknown = (name for name in value if name not in known)
        yield from (f"{where}.{name} is not a field of a case" for name in unknown)
    for name in known.keys() & value.keys():
        yield from _misfits(value[name], known[name], whole, f"{where}.{name}")
