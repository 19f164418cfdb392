"""Checks whether a listing that a notice asked to remove is still there."""

from __future__ import annotations

from dataclasses import dataclass

from crawlers.errors import CrawlError, HubRefused
from crawlers.http.transport import Transport
from reports.notices.drafting import addresses_in
from reports.notices.tracker import NoticeState, Tracked, all_tracked, record_event
from scanner.casework.service import CaseService

# What these mean is what hubs and RFC 7725 say: gone for good, gone, or kept back for legal reasons.
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
    """One notice after a look at its addresses.

    Attributes:
        found: "gone" if all of them are, "there" if one is, else why that could not be told.
        addresses: what was found at each.
    """

    notice_id: str
    found: str
    state: str
    addresses: tuple[tuple[str, str], ...]


def recheck_notices(service: CaseService, transport: Transport) -> list[Rechecked]:
    """Ask for the addresses of every notice that was sent, and note in the tracker what changed."""
    return [
        _recheck(service, transport, notice)
        for notice in all_tracked(service.case_store)
        if notice.state in _OPEN
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


def _recheck(service: CaseService, transport: Transport, one: Tracked) -> Rechecked:
    addresses = tuple((url, _found(transport, url)) for url in addresses_in(one.url)) or (
        (one.url, _NO_ADDRESS),
    )
    answers = [answer for _, answer in addresses]
    # Of several addresses a single one that still answers keeps the notice open.
    found = (
        "there"
        if "there" in answers
        else next((answer for answer in answers if answer != "gone"), "gone")
    )
    state = one.state
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
            service.case_store, one.notice_id, event, "recheck", service.clock(), note
        ).state
        service.note_notice(
            service.case_store.case(one.case_id),
            "notice-marked",
            "recheck",
            notice=one.notice_id,
            state=event,
        )
    return Rechecked(one.notice_id, found, state, addresses)
