"""Whether what a notice asked to remove is still there: the listing is asked for again, politely."""

from __future__ import annotations

from dataclasses import dataclass

from crawlers.errors import CrawlError, HubRefused
from crawlers.transport import Transport
from reports.notices.tracker import NoticeState, Tracked, all_tracked, record_event
from scanner.cases.desk import CaseDesk
from scanner.network import open_transport
from scanner.settings import Settings

# What these mean is what hubs and RFC 7725 say: gone for good, gone, or kept back for legal reasons.
_GONE = frozenset({404, 410, 451})
_OPEN = (NoticeState.SENT, NoticeState.ACKNOWLEDGED, NoticeState.REMOVED, NoticeState.REFUSED, NoticeState.REINSTATED)


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One notice after a look at its address. `found` is "there", "gone", or why that could not be told."""

    notice_id: str
    found: str
    state: str


def recheck_notices(settings: Settings) -> list[Rechecked]:
    """Ask for the address of every notice that was sent, and note in the tracker what changed."""
    desk = CaseDesk(settings)
    transport = open_transport(settings)
    try:
        return [
            _recheck(desk, one, _found(transport, one.url)) for one in all_tracked(desk.docket) if one.state in _OPEN
        ]
    finally:
        transport.close()
        desk.close()


def _found(transport: Transport, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        return "no address that can be asked for"
    try:
        transport.get(url)
    except HubRefused as error:
        return "gone" if error.status in _GONE else f"cannot be told: {error}"
    except CrawlError as error:
        return f"cannot be told: {error}"
    return "there"


def _recheck(desk: CaseDesk, one: Tracked, found: str) -> Rechecked:
    state = one.state
    event = None
    if found == "gone" and state != NoticeState.REMOVED:
        event = NoticeState.REMOVED
    elif found == "there" and state == NoticeState.REMOVED:
        event = NoticeState.REINSTATED
    if event:
        note = "the address no longer answers" if event == NoticeState.REMOVED else "the address answers again"
        state = record_event(desk.docket, one.notice_id, event, "recheck", desk.clock(), note).state
    return Rechecked(one.notice_id, found, state)
