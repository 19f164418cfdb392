"""The case as CASE/UCO JSON-LD (caseontology.org), for tools of digital forensics."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reports.cases.case import Case

_CONTEXT = {
    "kb": "urn:portrait-scanner:",
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def case_graph(case: Case) -> dict[str, Any]:
    """JSON-LD: the checkpoint, every image, the tool, who ran it, and the actions that led from one to the other.

    Ids are made from what they name, so that the same case gives the same graph.
    """

    def identifier(kind: str, name: str) -> str:
        return f"kb:{kind}-{uuid5(NAMESPACE_URL, f'{case.case_id} {kind} {name}')}"

    def file(kind: str, name: str, sha256: str, size: int | None = None) -> dict[str, Any]:
        facet: dict[str, Any] = {
            "@id": identifier("file-facet", name), "@type": "uco-observable:FileFacet", "uco-observable:fileName": name,
        }  # fmt: skip
        if size is not None:
            facet["uco-observable:sizeInBytes"] = {"@type": "xsd:integer", "@value": str(size)}
        content = {
            "@id": identifier("content-facet", name), "@type": "uco-observable:ContentDataFacet",
            "uco-observable:hash": {
                "@id": identifier("hash", name), "@type": "uco-types:Hash",
                "uco-types:hashMethod": "SHA256",
                "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": sha256},
            },
        }  # fmt: skip
        return {
            "@id": identifier(kind, sha256),
            "@type": "uco-observable:File",
            "uco-core:hasFacet": [facet, content],
        }

    checkpoint = case.checkpoint
    weights = file("checkpoint", checkpoint.file, checkpoint.sha256, checkpoint.size_bytes)
    digests = dict.fromkeys(
        digest
        for sample in case.samples
        for digest in (sample.image_sha256, sample.control_sha256)
        if digest
    )
    images = [file("image", f"samples/{digest}.png", digest) for digest in digests]
    if case.sighting:
        images += [
            file("image", f"captured/{one.sha256}", one.sha256) for one in case.sighting.images
        ]
    tool = {
        "@id": identifier("tool", "portrait-scanner"), "@type": "uco-tool:Tool", "uco-core:name": "portrait-scanner",
        "uco-tool:version": str(case.method.versions.get("portrait-scanner", "")),
    }  # fmt: skip
    people = {
        name: {
            "@id": identifier("person", name),
            "@type": "uco-identity:Person",
            "uco-core:name": name,
        }
        for name in dict.fromkeys(
            [
                case.environment.operator if case.environment else "",
                *(entry.actor for entry in case.entries if entry.kind == "review"),
            ]
        )
        if name
    }
    references = [{"@id": node["@id"]} for node in images]
    record = {
        "@id": identifier("provenance", "samples"), "@type": "case-investigation:ProvenanceRecord",
        "uco-core:description": f"Captured images of {checkpoint.file}" if case.sighting else f"Samples of {checkpoint.file} and their controls",
        "uco-core:object": references,
    }  # fmt: skip
    actions = [
        _action(
            identifier("action", "sampling"),
            "comparison" if case.sighting else "sampling",
            case.opened_at,
            tool,
            weights,
            record,
        )
    ]
    if case.environment:
        actions[0]["uco-action:performer"] = {"@id": people[case.environment.operator]["@id"]}
    for entry in case.entries:
        if entry.kind == "review":
            action = _action(
                identifier("action", str(entry.number)),
                f"review: {entry.details['decision']}",
                entry.at,
                tool,
                weights,
                None,
            )
            actions.append({**action, "uco-action:performer": {"@id": people[entry.actor]["@id"]}})
    everything = [tool, *people.values(), weights, *images, record, *actions]
    investigation = {
        "@id": identifier("investigation", case.case_id), "@type": "case-investigation:Investigation",
        "uco-core:name": f"portrait-scanner case {case.case_id}",
        "uco-core:object": [{"@id": node["@id"]} for node in everything],
    }  # fmt: skip
    return {"@context": _CONTEXT, "@graph": [investigation, *everything]}


def _action(
    name: str,
    what: str,
    at: str,
    tool: dict[str, Any],
    weights: dict[str, Any],
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    action = {
        "@id": name, "@type": "case-investigation:InvestigativeAction", "uco-core:name": what,
        "uco-action:startTime": {"@type": "xsd:dateTime", "@value": at},
        "uco-action:instrument": {"@id": tool["@id"]}, "uco-action:object": {"@id": weights["@id"]},
    }  # fmt: skip
    return action if record is None else {**action, "uco-action:result": {"@id": record["@id"]}}
