"""Sessions and services of a home, opened as commands open them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scanner.casework.service import CaseService
from scanner.clock import Clock, utc_now
from scanner.factories import (
    open_capture_search,
    open_case_service,
    open_identifier,
    open_scan_session,
)
from scanner.identification.policy import Policy
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

__all__ = ["Session", "judge_captures", "open_identifier", "open_service", "open_session"]


class Session(ScanSession):
    """A scan session that remembers its settings."""

    settings: Settings


def open_session(
    settings: Settings, clock: Clock = utc_now, policy: Policy | None = None
) -> Session:
    session = open_scan_session(settings, clock, policy)
    session.__class__ = Session
    session.settings = settings
    return session


def open_service(settings: Settings, clock: Clock = utc_now) -> CaseService:
    return open_case_service(settings, clock)


def judge_captures(
    session: Session, step: Callable[[str], None] = lambda _: None, asker: str | None = None
) -> Iterator[CaptureVerdict]:
    """Search the captures of a session's home."""
    return open_capture_search(session.settings, session).run(step, asker)
