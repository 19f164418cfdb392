"""Whether the dates and decisions of a case agree with its lines in the audit log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from reports.verify.checks import Unsound

LOG_TOLERANCE = timedelta(hours=1)  # between dates of a case and of the log, which share a clock


def check_logged(case: dict[str, Any]) -> None:
    """Raise Unsound if a case disagrees with the audit log."""
    recorded = any("record_sha256" in line["details"] for line in case["custody"])
    if (problem := disagreement(case, is_whole=recorded)) is not None:
        raise Unsound(problem)


def disagreement(case: dict[str, Any], *, is_whole: bool) -> str | None:
    """Return how a case's dates and decisions disagree with the audit log; None if they agree.

    Args:
        is_whole: the log has a line for every decision, so that a decision without one is forged.
    """
    opened = _parse_moment(case["opened_at"])
    lines = case["custody"]
    # A record that was logged when the case was opened cannot have changed since. Its dates are
    # not compared, because a clock that was set back is no forgery.
    recorded = any(
        line["event"] == "case-opened" and "record_sha256" in line["details"] for line in lines
    )
    for name, text in () if recorded else _earlier_dates(case):
        if text and _parse_moment(text) > opened + LOG_TOLERANCE:
            return (
                f"{name} is of {text[:19]}, after the case was opened at {case['opened_at'][:19]}"
            )
    for line in lines[:1]:
        if _parse_moment(line["at"]) < opened - LOG_TOLERANCE:
            return (
                f"the case says it was opened at {case['opened_at'][:19]}, "
                f"after the audit log knew of it at {line['at'][:19]}"
            )
    for line in (line for line in lines if line["event"] == "case-opened"):
        if _parse_moment(line["at"]) > opened + LOG_TOLERANCE:
            return (
                f"the case says it was opened at {case['opened_at'][:19]}, "
                f"the audit log says {line['at'][:19]}"
            )
        for field, value in (
            ("outcome", case["outcome"]),
            ("checkpoint", case["checkpoint"]["sha256"]),
        ):
            logged = line["details"].get(field, value)
            if logged != value:
                return f"the audit log knows another {field} of this case, {logged}"
    return _disagreement_of_decisions(case, is_whole=is_whole)


def _disagreement_of_decisions(case: dict[str, Any], *, is_whole: bool) -> str | None:
    reviews = [entry for entry in case["entries"] if entry["kind"] == "review"]
    logged = [
        line
        for line in case["custody"]
        if line["event"] == "case-reviewed" and "decision" in line["details"]
    ]
    newest = logged[-1]["number"] if logged else 0
    recorded = (line for line in case["custody"] if line["event"] == "case-recorded")
    if any(line["number"] > newest for line in recorded):
        return None  # a process ended before it logged the decision; the record was logged later
    if reviews and logged:
        review, line = reviews[-1], logged[-1]
        if review["details"]["decision"] != line["details"]["decision"]:
            return (
                f"the newest decision is {review['details']['decision']}, "
                f"the audit log says {line['details']['decision']}"
            )
        if abs(_parse_moment(review["at"]) - _parse_moment(line["at"])) > LOG_TOLERANCE:
            return (
                f"the newest decision is of {review['at'][:19]}, "
                f"the audit log says {line['at'][:19]}"
            )
    elif logged:
        return (
            f"the audit log knows a decision, {logged[-1]['details']['decision']}, "
            "that the case does not hold"
        )
    elif reviews and is_whole:
        return (
            f"the audit log knows nothing of the decision of {reviews[-1]['actor']} "
            f"at {reviews[-1]['at'][:19]}"
        )
    return None


def _earlier_dates(case: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield events that must precede the opening of the case: what they are, and their date."""
    if found := re.match(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-", case["scan_id"]):
        year, month, day, *time = found.groups()
        yield "the scan", f"{year}-{month}-{day}T{':'.join(time)}+00:00"
    yield "the look at the machine", (case.get("environment") or {}).get("checked_at")
    for capture in case["checkpoint"]["captures"]:
        yield "the hub's answer", capture["seen_at"]
    for capture in (case.get("sighting") or {"captures": []})["captures"]:
        yield f"the capture {capture['name']}", capture["taken_in_at"]


def _parse_moment(text: str) -> datetime:
    """Parse an ISO 8601 time; without an offset it is in UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
