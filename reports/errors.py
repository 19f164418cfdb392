"""Everything that can go wrong between a case and a report.

ReportError
├── UnknownCase          no case of that id
└── EvidenceAltered      an image no longer has the bytes the case names
"""

from __future__ import annotations


class ReportError(Exception):
    """Root of the errors of this package."""


class UnknownCase(ReportError):
    """No case of that id."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"no case has the id {case_id!r}")
        self.case_id = case_id


class EvidenceAltered(ReportError):
    """An image no longer has the bytes that the case names."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is missing or was altered since the scan; scan the checkpoint again")
        self.path = path
