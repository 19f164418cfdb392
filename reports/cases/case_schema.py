"""The published JSON Schema of a case, made from the record itself."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from reports.cases.case import SCHEMA, Case
from reports.cases.review import CaseStatus

SCHEMA_FILE = "case-1.schema.json"

# Bundles name the schema by its hash, so its text stays as it was published, with the names that
# modules and classes had then.
_PUBLISHED_NAMES = {
    "crawlers.captures.images.provenance": "crawlers.saved.provenance",
    "crawlers.sweeps.events": "crawlers.events",
    "reports.cases.review": "reports.review",
    "HubAnswer": "Capture",
}


def case_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what `case_to_dict` returns; other fields are not allowed."""
    generated = json.dumps(TypeAdapter(Case).json_schema(mode="serialization"))
    for name, published in _PUBLISHED_NAMES.items():
        generated = generated.replace(name, published)
    schema: dict[str, Any] = json.loads(generated)
    for record in [schema, *schema["$defs"].values()]:
        record["description"] = _as_published(record["description"])
        record["additionalProperties"] = False
        record["required"] = sorted(record["properties"])
        for field in record["properties"].values():
            field.pop("default", None)
    for record in [schema, *schema["$defs"].values()]:
        for name, field in record["properties"].items():
            if name == "sha256" or name.endswith("_sha256"):
                for form in field.get("anyOf", [field]):
                    if form.get("type") == "string":
                        form["pattern"] = "^[0-9a-f]{64}$"
    schema["properties"]["schema"] = {"const": SCHEMA}
    schema["properties"]["outcome"]["enum"] = ["match", "possible"]
    schema["properties"]["status"]["enum"] = [str(status) for status in CaseStatus]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:portrait-scanner:case:1",
        **schema,
    }


def _as_published(docstring: str) -> str:
    """A docstring with every paragraph and every entry of a section on one line.

    The lines of the source are wrapped at 100 characters; those of the schema are not.
    """
    lines: list[str] = []
    for line in docstring.split("\n"):
        continues = line.startswith(" " * 8) or (
            bool(lines and lines[-1]) and bool(line) and not line.startswith(" ")
        )
        if continues and lines:
            lines[-1] = f"{lines[-1]} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def schema_text() -> str:
    """The schema as it is published in reports/schemas and lies in every bundle."""
    return json.dumps(case_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def published_schema() -> str:
    """The schema file that ships with the package."""
    return resources.files("reports").joinpath(f"schemas/{SCHEMA_FILE}").read_text("utf-8")
