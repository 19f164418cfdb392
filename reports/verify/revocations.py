"""The signer's list of cases about which something was decided after a bundle was made."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.verify.checks import Item, Unsound, checked
from reports.verify.files import STATEMENT, read_json
from reports.verify.seal import check_signature

REVOCATIONS = "portrait-scanner revocations 1"


def revocations_text(revocations: dict[str, Any]) -> bytes:
    """Return the bytes of a list of revocations that its signature covers."""
    unsigned = {name: value for name, value in revocations.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def revocation_items(bundle: Path, revocations: Path) -> Iterator[Item]:
    """Check that no later decision on the list takes the bundle back."""
    yield checked("no later decision takes it back", _check_not_revoked, bundle, revocations)


def _check_not_revoked(bundle: Path, path: Path) -> str:
    revocations, statement = read_json(path), read_json(bundle / STATEMENT)
    if not isinstance(revocations, dict) or revocations.get("format") != REVOCATIONS:
        raise Unsound(f"{path.name} is no list of revocations")
    key = base64.b64decode(revocations["public_key"], validate=True)
    if hashlib.sha256(key).hexdigest() != statement["key_sha256"]:
        raise Unsound(f"{path.name} was signed with another key than this bundle")
    signature = base64.b64decode(revocations["signature"], validate=True)
    check_signature(key, signature, revocations_text(revocations), path.name)
    case: dict[str, Any] = {"case_id": None, "custody": [], "status": ""}
    if "case_id" in statement:
        case = read_json(bundle / "data/case.json")
    issued = revocations["issued_at"][:19]
    newest = max((line["number"] for line in case["custody"]), default=0)
    for revocation in revocations["cases"]:
        if revocation["case_id"] == case["case_id"] and revocation["entry"] > newest:
            if revocation["status"] not in (case["status"], "confirmed", "second-review"):
                raise Unsound(
                    f"the case is {revocation['status']} since {revocation['as_of'][:19]} "
                    f"(entry {revocation['entry']} of the audit log)"
                )
            return (
                f"the case went on at {revocation['as_of'][:19]} and is {revocation['status']}: "
                "ask the signer for its newest evidence"
            )
    return (
        f"nothing newer than this bundle is on the list of {issued}; "
        "compare that with the newest list of the signer"
    )
