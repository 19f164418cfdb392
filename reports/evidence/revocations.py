"""The list of revocations: about which cases something was decided after their evidence was given out, signed.

A bundle cannot be called back; `verify --revocations` holds it against the newest list of whoever signed it.
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
    """Where a case stands by now; names nobody.

    Attributes:
        status: a CaseStatus.
        as_of: when the audit log's newest line about the case was written, UTC.
        entry: that line's number; a bundle with an older newest line does not know of it.
        record_sha256: of the case's record now.
    """

    case_id: str
    status: str
    as_of: str
    entry: int
    record_sha256: str


def revocation_of(case: Case) -> Revocation:
    """What a list says of a case that has lines of custody."""
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
    told: dict[str, Any] = {
        "format": REVOCATIONS,
        "statement": "Something was decided or added about these cases after their evidence was given out.",
        "issued_at": now.isoformat(timespec="seconds"),
        "chain": {"entry": log_end[0], "sha256": log_end[1]},
        "cases": [asdict(one) for one in cases],
        "public_key": base64.b64encode(sign(b"")[1]).decode(),
    }
    return {**told, "signature": base64.b64encode(sign(revocations_text(told))[0]).decode()}
