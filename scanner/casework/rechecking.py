"""Checks whether a listing that a notice asked to remove is still there."""

from __future__ import annotations

from dataclasses import dataclass

from crawlers.errors import CrawlError, HubRefused
from crawlers.http.transport import Transport
from reports.cases.notice_list import NoticeState
from reports.notices.drafting import addresses_in
from reports.notices.tracker import Tracked, notice_page, record_event
from scanner.casework.service import CaseService

# Not found, gone for good, or unavailable for legal reasons (RFC 9110, RFC 7725).
_GONE = frozenset({404, 410, 451})
_NO_ADDRESS = "no address that can be asked for"
_OPEN = (
    NoticeState.SENT,
    NoticeState.ACKNOWLEDGED,
    NoticeState.REMOVED,
    NoticeState.REFUSED,
    NoticeState.REINSTATED,
)


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The result of checking the addresses of one notice.

    Attributes:
        found: "gone" if all of them are gone, "there" if one is there, else why it is unknown.
        addresses: each address with its own result.
    """

    notice_id: str
    found: str
    state: str
    addresses: tuple[tuple[str, str], ...]


def recheck_notices(service: CaseService, transport: Transport) -> list[Rechecked]:
    """Request the addresses of every notice that was sent, and record changes in the tracker."""
    return [
        _recheck(service, transport, notice) for notice in notice_page(service.case_store, _OPEN)
    ]


def _found(transport: Transport, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return _NO_ADDRESS
    try:
        transport.get(url)
    except HubRefused as error:
        return "gone" if error.status in _GONE else f"cannot be told: {error}"
    except CrawlError as error:
        return f"cannot be told: {error}"
    return "there"


def _recheck(service: CaseService, transport: Transport, notice: Tracked) -> Rechecked:
    addresses = tuple((url, _found(transport, url)) for url in addresses_in(notice.url)) or (
        (notice.url, _NO_ADDRESS),
    )
    answers = [answer for _, answer in addresses]
    # One address that still answers keeps the notice open.
    found = (
        "there"
        if "there" in answers
        else next((answer for answer in answers if answer != "gone"), "gone")
    )
    state = notice.state
    event = None
    if found == "gone" and state != NoticeState.REMOVED:
        event = NoticeState.REMOVED
    elif found == "there" and state == NoticeState.REMOVED:
        event = NoticeState.REINSTATED
    if event:
        note = (
            "no address answers any more"
            if event == NoticeState.REMOVED
            else "an address answers again"
        )
        state = record_event(
            service.case_store, notice.notice_id, event, "recheck", service.clock(), note
        ).state
        service.note_notice(
            service.case_store.case(notice.case_id),
            "notice-marked",
            "recheck",
            notice=notice.notice_id,
            state=event,
        )
    return Rechecked(notice.notice_id, found, state, addresses)
