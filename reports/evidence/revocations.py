"""The signed list of revocations: cases that changed after their evidence was given out.

A bundle cannot be called back. `verify --revocations` compares it with its signer's newest list.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from reports.cases.case import Case, case_to_dict
from reports.evidence.sealing import Sign
from reports.verify.case_record import record_digest
from reports.verify.revocations import REVOCATIONS, revocations_text


@dataclass(frozen=True, slots=True)
class Revocation:
    """The present status of a case; it names nobody.

    Attributes:
        status: a CaseStatus.
        as_of: time of the audit log's newest line about the case, UTC.
        entry: number of that line; a bundle whose newest line is older was made before it.
        record_sha256: of the present record of the case.
    """

    case_id: str
    status: str
    as_of: str
    entry: int
    record_sha256: str


def revocation_of(case: Case) -> Revocation:
    """The item of a list for a case that has lines of custody."""
    newest = case.custody[-1]
    return Revocation(
        case.case_id, case.status, newest.at, newest.number, record_digest(case_to_dict(case))
    )


def revocation_list(
    cases: Iterable[Revocation], log_end: tuple[int, str], sign: Sign, now: datetime
) -> dict[str, Any]:
    """The signed list as a JSON document.

    Args:
        log_end: number and hash of the audit log's newest entry.
    """
    document: dict[str, Any] = {
        "format": REVOCATIONS,
        "statement": (
            "Something was decided or added about these cases after their evidence was given out."
        ),
        "issued_at": now.isoformat(timespec="seconds"),
        "chain": {"entry": log_end[0], "sha256": log_end[1]},
        "cases": [asdict(case) for case in cases],
        "public_key": base64.b64encode(sign(b"")[1]).decode(),
    }
    signature = base64.b64encode(sign(revocations_text(document))[0]).decode()
    return {**document, "signature": signature}
