"""The record of a case, whose SHA-256 the audit log holds."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from reports.verify.checks import Unsound


def canonical_record(case: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a case that its record covers.

    That is everything but the lines of the audit log, the status that follows from other fields,
    and working notes. Empty fields are left out, so that a field which a later version adds does
    not change the digest of an older case.
    """
    kept = {name: value for name, value in case.items() if name not in ("custody", "status")}
    kept["entries"] = [entry for entry in case.get("entries") or () if entry["kind"] != "note"]
    record: dict[str, Any] = _without_empty(kept)
    return record


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {name: _without_empty(field) for name, field in value.items()}
        return {
            name: field
            for name, field in inner.items()
            if field is not None and field not in ("", [], {})
        }
    if isinstance(value, list | tuple):
        return [_without_empty(entry) for entry in value]
    return value


def record_digest(case: dict[str, Any]) -> str:
    """Return the SHA-256 of a case's record."""
    return canonical_digest(canonical_record(case))


def canonical_digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record as JSON with sorted keys, no spaces, and UTF-8."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_recorded(case: dict[str, Any]) -> str:
    """Raise Unsound unless the newest digest in the audit log is that of the case."""
    recorded = [line for line in case["custody"] if "record_sha256" in line["details"]]
    newest = max(recorded, key=lambda line: int(line["details"]["record"]))
    if newest["details"]["record_sha256"] != record_digest(case):
        raise Unsound(
            f"entry {newest['number']} of the audit log names another record of this case"
        )
    return (
        f"as of {newest['at'][:19]} (entry {newest['number']}, hash {newest['sha256']}); "
        "what was decided later is not in here: "
        "ask the signer for the list of revocations (--revocations)"
    )
