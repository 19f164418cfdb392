"""The case as CASE/UCO JSON-LD (caseontology.org), for tools of digital forensics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reports.cases.case import Case

Node = dict[str, Any]
"""A JSON-LD node."""

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
    """JSON-LD of the checkpoint, every image, the tool, the people, and the actions between them.

    Ids are derived from what they name, so that the same case gives the same graph.
    """
    nodes = _Nodes(case)
    tool, people, weights, images = nodes.tool(), nodes.people(), nodes.weights(), nodes.images()
    record = nodes.provenance(images)
    actions = nodes.actions(tool, people, weights, record)
    everything = [tool, *people.values(), weights, *images, record, *actions]
    return {"@context": _CONTEXT, "@graph": [nodes.investigation(everything), *everything]}


class _Nodes:
    """Makes the nodes of one case."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def tool(self) -> Node:
        return {
            "@id": self._id("tool", "portrait-scanner"),
            "@type": "uco-tool:Tool",
            "uco-core:name": "portrait-scanner",
            "uco-tool:version": str(self._case.method.versions.get("portrait-scanner", "")),
        }

    def people(self) -> dict[str, Node]:
        """The operator and the reviewers, by name."""
        environment = self._case.environment
        names = [environment.operator if environment else ""]
        names += [entry.actor for entry in self._case.entries if entry.kind == "review"]
        return {
            name: {
                "@id": self._id("person", name),
                "@type": "uco-identity:Person",
                "uco-core:name": name,
            }
            for name in dict.fromkeys(names)
            if name
        }

    def weights(self) -> Node:
        checkpoint = self._case.checkpoint
        return self._file("checkpoint", checkpoint.file, checkpoint.sha256, checkpoint.size_bytes)

    def images(self) -> list[Node]:
        digests = dict.fromkeys(
            digest
            for sample in self._case.samples
            for digest in (sample.image_sha256, sample.control_sha256)
            if digest
        )
        nodes = [self._file("image", f"samples/{digest}.png", digest) for digest in digests]
        captured = self._case.sighting.images if self._case.sighting else ()
        return nodes + [
            self._file("image", f"captured/{image.sha256}", image.sha256) for image in captured
        ]

    def provenance(self, images: Sequence[Node]) -> Node:
        file = self._case.checkpoint.file
        return {
            "@id": self._id("provenance", "samples"),
            "@type": "case-investigation:ProvenanceRecord",
            "uco-core:description": f"Captured images of {file}"
            if self._case.sighting
            else f"Samples of {file} and their controls",
            "uco-core:object": [{"@id": node["@id"]} for node in images],
        }

    def actions(
        self, tool: Node, people: dict[str, Node], weights: Node, record: Node
    ) -> list[Node]:
        """Sampling or comparison by the operator, then every review."""
        case = self._case
        first = self._action(
            "sampling", "comparison" if case.sighting else "sampling", case.opened_at
        )
        actions = [{**first, **_done_with(tool, weights), "uco-action:result": _reference(record)}]
        if case.environment:
            actions[0]["uco-action:performer"] = _reference(people[case.environment.operator])
        for entry in case.entries:
            if entry.kind == "review":
                what = f"review: {entry.details['decision']}"
                action = self._action(str(entry.number), what, entry.at)
                performer = {"uco-action:performer": _reference(people[entry.actor])}
                actions.append({**action, **_done_with(tool, weights), **performer})
        return actions

    def investigation(self, nodes: Sequence[Node]) -> Node:
        return {
            "@id": self._id("investigation", self._case.case_id),
            "@type": "case-investigation:Investigation",
            "uco-core:name": f"portrait-scanner case {self._case.case_id}",
            "uco-core:object": [_reference(node) for node in nodes],
        }

    def _action(self, name: str, what: str, at: str) -> Node:
        return {
            "@id": self._id("action", name),
            "@type": "case-investigation:InvestigativeAction",
            "uco-core:name": what,
            "uco-action:startTime": {"@type": "xsd:dateTime", "@value": at},
        }

    def _file(self, kind: str, name: str, sha256: str, size: int | None = None) -> Node:
        facet: Node = {
            "@id": self._id("file-facet", name),
            "@type": "uco-observable:FileFacet",
            "uco-observable:fileName": name,
        }
        if size is not None:
            facet["uco-observable:sizeInBytes"] = {"@type": "xsd:integer", "@value": str(size)}
        digest = {
            "@id": self._id("hash", name),
            "@type": "uco-types:Hash",
            "uco-types:hashMethod": "SHA256",
            "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": sha256},
        }
        content = {
            "@id": self._id("content-facet", name),
            "@type": "uco-observable:ContentDataFacet",
            "uco-observable:hash": digest,
        }
        return {
            "@id": self._id(kind, sha256),
            "@type": "uco-observable:File",
            "uco-core:hasFacet": [facet, content],
        }

    def _id(self, kind: str, name: str) -> str:
        return f"kb:{kind}-{uuid5(NAMESPACE_URL, f'{self._case.case_id} {kind} {name}')}"


def _done_with(tool: Node, weights: Node) -> Node:
    return {"uco-action:instrument": _reference(tool), "uco-action:object": _reference(weights)}


def _reference(node: Node) -> Node:
    return {"@id": node["@id"]}
