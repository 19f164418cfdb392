"""The evidence bundle: a signed and timestamped BagIt folder (RFC 8493), verifiable offline.

The same case gives the same payload, byte for byte; only the bagging date, its signature and the
timestamps differ.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reports.cases.case import Case, case_to_dict
from reports.cases.case_schema import SCHEMA_FILE, published_schema
from reports.cases.case_store import CaseStore
from reports.cases.checkpoint_record import HubAnswer
from reports.documents.case_report import as_of, case_html, case_pdf
from reports.errors import BundleExists, EvidenceAltered, UnreadableBundle
from reports.evidence.interchange import case_graph
from reports.evidence.sealing import Sign, json_text, write_seal
from reports.evidence.timestamping import Authority, write_timestamps
from reports.verify.bundle import verify


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What goes into a bundle besides the case.

    Attributes:
        languages: of the reports; each becomes an HTML file and a PDF.
        checkpoint: the weights file, if it is to be included.
        captures: the sealed originals that a case of captured images names, by SHA-256.
        pdf: also write PDFs.
        log_end: number and hash of the audit log's newest entry.
    """

    languages: Sequence[str] = ("en", "zh-CN")
    checkpoint: Path | None = None
    captures: Mapping[str, Path] = field(default_factory=dict)
    pdf: bool = True
    log_end: tuple[int, str] | None = None


def write_bundle(
    case: Case,
    case_store: CaseStore,
    folder: Path,
    request: BundleRequest,
    sign: Sign,
    authorities: Sequence[Authority],
    now: datetime,
) -> Path:
    """Write and seal a bundle; returns its folder.

    Raises:
        BundleExists: the folder is there already; nothing was changed.
        EvidenceAltered: stored evidence is not what the case names; nothing is left behind.
        UnreadableBundle: what was written does not verify, as for a case with NaN for a number.
        PdfUnavailable: a PDF is wanted, and Pango or a font for the language is not installed.
    """
    if folder.exists():
        raise BundleExists(str(folder))
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        key = hashlib.sha256(sign(b"")[1]).hexdigest()
        _write_payload(case, case_store, partial, request, key)
        facts: dict[str, Any] = {
            "statement": "These tag manifests seal the evidence on this case.",
            "case_id": case.case_id,
            "as_of": as_of(case),
        }
        if request.log_end:
            facts["chain"] = {"entry": request.log_end[0], "sha256": request.log_end[1]}
        version = case.method.versions.get("portrait-scanner", "")
        info = {
            "Bag-Software-Agent": f"portrait-scanner {version}",
            "External-Identifier": case.case_id,
            "External-Description": "Evidence on one case and one registered likeness",
        }
        write_seal(partial, facts, info, sign, now)
        write_timestamps(partial, authorities, sign, now)
        if damaged := [item for item in verify(partial) if not item.ok]:
            raise UnreadableBundle(
                f"the evidence would not verify: {damaged[0].item}: {damaged[0].problem}"
            )
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _write_payload(
    case: Case, case_store: CaseStore, folder: Path, request: BundleRequest, key: str
) -> None:
    def put(name: str, data: bytes | str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    put("case.json", json_text(case_to_dict(case)))
    put(SCHEMA_FILE, published_schema())
    put("case.jsonld", json_text(case_graph(case)))
    if case.environment:
        put("environment.json", json_text(case_to_dict(case)["environment"]))
    put("custody.json", json_text(case_to_dict(case)["custody"]))
    for name, data in _kept(case, case_store):
        put(name, data)
    for capture in case.sighting.captures if case.sighting else ():
        _put_original(folder, capture.sha256, request.captures[capture.sha256])
    if request.checkpoint:
        if _sha256(request.checkpoint) != case.checkpoint.sha256:
            raise EvidenceAltered(str(request.checkpoint))
        (folder / "checkpoint").mkdir()
        shutil.copyfile(
            request.checkpoint, folder / "checkpoint" / f"{case.checkpoint.sha256}.safetensors"
        )
    for language in request.languages:
        html = case_html(case, case_store, language, fingerprint=key)
        put(f"report.{language}.html", html)
        if request.pdf:
            put(f"report.{language}.pdf", case_pdf(html, case, language))


def _kept(case: Case, case_store: CaseStore) -> Iterator[tuple[str, bytes]]:
    """The stored files of a case: pictures, captured images, header, the hub's answers."""
    for sample in case.samples:
        for sha256 in filter(None, (sample.image_sha256, sample.control_sha256)):
            yield f"samples/{sha256}.png", case_store.kept(sha256)
    for image in case.sighting.images if case.sighting else ():
        yield f"captured/{image.sha256}", case_store.kept(image.sha256, "captured")
        if image.face_sha256:
            yield f"samples/{image.face_sha256}.png", case_store.kept(image.face_sha256)
    if case.checkpoint.header_sha256:
        yield "header.json", case_store.kept(case.checkpoint.header_sha256, "header")
    if case.checkpoint.captures:
        yield "listing.warc", _warc(case, case_store)


def _put_original(folder: Path, sha256: str, original: Path) -> None:
    if not original.is_file() or _sha256(original) != sha256:
        raise EvidenceAltered(str(original))
    (folder / "captures").mkdir(exist_ok=True)
    shutil.copyfile(original, folder / "captures" / sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _warc(case: Case, case_store: CaseStore) -> bytes:
    """The hub's answers as WARC 1.1 resource records; the crawler keeps no response headers."""
    from warcio.warcwriter import WARCWriter

    stream = BytesIO()
    writer = WARCWriter(stream, gzip=False, warc_version="WARC/1.1")
    for capture in case.checkpoint.captures:
        body = case_store.kept(capture.sha256, "capture")
        moment = (capture.seen_at or case.opened_at)[:19] + "Z"
        headers = {"WARC-Record-ID": f"<urn:uuid:{_record_id(capture)}>", "WARC-Date": moment}
        writer.write_record(
            writer.create_warc_record(
                capture.url,
                "resource",
                payload=BytesIO(body),
                length=len(body),
                warc_content_type="application/json" if body[:1] in b"{[" else "text/plain",
                warc_headers_dict=headers,
            )
        )
    return stream.getvalue()


def _record_id(capture: HubAnswer) -> str:
    return str(uuid5(NAMESPACE_URL, f"{capture.url} {capture.seen_at} {capture.sha256}"))
