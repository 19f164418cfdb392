"""Whether what a case names is in the bundle: pictures, captures, custody, weights and report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.verify.audit_log import check_logged
from reports.verify.case_record import check_recorded
from reports.verify.checks import Item, Unsound, checked
from reports.verify.files import STATEMENT, read_bytes, read_json, sha256_of


def reference_items(bundle: Path) -> Iterator[Item]:
    """Check what the case refers to, and the case against its custody."""
    try:
        case = read_json(bundle / "data/case.json")
        wanted = _named_files(bundle, case)
        # Bundles of early versions have no such line.
        recorded = any("record_sha256" in line["details"] for line in case["custody"])
    except Exception as error:
        problem = f"cannot be read: {type(error).__name__}: {error}"[:300]
        yield Item("data/case.json", False, problem)
        return
    yield checked("the case's pictures, header and weights", _check_files, bundle, wanted)
    yield checked("the case's captures", _check_captures, bundle, case)
    yield checked("custody, environment and counts are the case's", _check_facts, bundle, case)
    yield checked("report, case and seal belong together", _check_reports, bundle, case)
    if recorded:
        yield checked("the record is the one that the audit log names", check_recorded, case)
    yield checked("dates and decisions agree with the audit log", check_logged, case)


def _named_files(bundle: Path, case: dict[str, Any]) -> dict[str, str]:
    """Map the files that a case names to their SHA-256. The weights may be left out."""
    wanted = {
        f"data/samples/{digest}.png": digest
        for sample in case["samples"]
        for digest in (sample["image_sha256"], sample["control_sha256"])
        if digest
    }
    sighting = case.get("sighting") or {"images": [], "captures": []}
    for image in sighting["images"]:
        wanted[f"data/captured/{image['sha256']}"] = image["sha256"]
        if image["face_sha256"]:
            wanted[f"data/samples/{image['face_sha256']}.png"] = image["face_sha256"]
    wanted |= {
        f"data/captures/{capture['sha256']}": capture["sha256"] for capture in sighting["captures"]
    }
    if case["checkpoint"]["header_sha256"]:
        wanted["data/header.json"] = case["checkpoint"]["header_sha256"]
    weights = f"data/checkpoint/{case['checkpoint']['sha256']}.safetensors"
    if (bundle / weights).exists():
        wanted[weights] = case["checkpoint"]["sha256"]
    return wanted


def _check_files(bundle: Path, wanted: dict[str, str]) -> None:
    for name, digest in wanted.items():
        if not (bundle / name).is_file() or sha256_of(bundle / name) != digest:
            raise Unsound(f"{name} is not the file that the case names")
    for folder in ("samples", "checkpoint", "captured", "captures"):
        for path in (bundle / "data" / folder).glob("*"):
            if path.relative_to(bundle).as_posix() not in wanted:
                raise Unsound(f"the case names no {path.name}")


def _check_captures(bundle: Path, case: dict[str, Any]) -> None:
    wanted = sorted(
        (capture["url"], (capture["seen_at"] or case["opened_at"])[:19] + "Z", capture["sha256"])
        for capture in case["checkpoint"]["captures"]
    )
    archive = bundle / "data/listing.warc"
    if sorted(warc_records(read_bytes(archive)) if archive.exists() else []) != wanted:
        raise Unsound("the captures are not those that the case names")


def warc_records(data: bytes) -> list[tuple[str, str, str]]:
    """Return address, date and SHA-256 of the body of every record in an uncompressed WARC file.

    Raises:
        Unsound: the archive is damaged or holds records of another type.
    """
    records, position = [], 0
    while position < len(data):
        end = data.index(b"\r\n\r\n", position) + 4
        lines = data[position : end - 4].decode("utf-8").split("\r\n")
        if lines[0] != "WARC/1.1":
            raise Unsound("the archive is damaged")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        if headers["WARC-Type"] != "resource":
            raise Unsound(f"the archive holds a {headers['WARC-Type']} record")
        length = int(headers["Content-Length"])
        if (
            not 0 <= length <= len(data) - end - 4
            or data[end + length : end + length + 4] != b"\r\n\r\n"
        ):
            raise Unsound("the archive is damaged")
        digest = hashlib.sha256(data[end : end + length]).hexdigest()
        records.append((headers["WARC-Target-URI"], headers["WARC-Date"], digest))
        position = end + length + 4
    return records


def _check_facts(bundle: Path, case: dict[str, Any]) -> None:
    for name in ("custody", "environment"):
        path = bundle / f"data/{name}.json"
        if (path.exists() or name == "custody") and read_json(path) != case[name]:
            raise Unsound(f"{path.name} is not what the case says")
    method, samples = case["method"], case["samples"]
    if method["sampled"] not in (None, len(samples)) or method["with_face"] not in (
        None,
        sum(sample["face_found"] for sample in samples),
    ):
        raise Unsound("the case does not hold as many samples as it says were made")


def _check_reports(bundle: Path, case: dict[str, Any]) -> None:
    statement = read_json(bundle / STATEMENT)
    if statement["case_id"] != case["case_id"]:
        raise Unsound("the seal is that of another case")
    reports = sorted((bundle / "data").glob("report.*.html"))
    if not reports:
        raise Unsound("there is no report")
    for report in reports:
        text = read_bytes(report).decode("utf-8")
        for needed in (case["case_id"], case["checkpoint"]["sha256"], statement["key_sha256"]):
            if needed not in text:
                raise Unsound(f"{report.name} does not name {needed[:16]}…")
