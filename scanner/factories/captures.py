"""Opening captures: the intake and the search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.clock import Clock, utc_now
from scanner.factories.cases import authorities_of
from scanner.factories.vaults import open_vault

if TYPE_CHECKING:
    from crawlers.captures.pages.page import Limits
    from scanner.captures.filing import CaptureSearch
    from scanner.captures.intake import Intake
    from scanner.scanning.session import ScanSession
    from scanner.settings import Settings


def open_intake(settings: Settings, clock: Clock = utc_now, limits: Limits | None = None) -> Intake:
    """The intake of captures."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.captures.intake import Intake

    return Intake(
        open_vault(settings),
        CrawlStore(settings.crawl_path),
        settings.captures_path,
        operator=settings.operator,
        authorities=authorities_of(settings),
        clock=clock,
        limits=limits,
    )


def open_capture_search(settings: Settings, session: ScanSession) -> CaptureSearch:
    """The search of captures with the stores and the gallery of a scan session."""
    from crawlers.captures.capture_store import CaptureStore
    from scanner.captures.filing import CaptureSearch

    snapshot = session.take_snapshot()
    return CaptureSearch(
        captures=CaptureStore(session.crawl, settings.captures_path),
        crawl=session.crawl,
        verdicts=session.scan_store.captures,
        filing=session.filing,
        pack=session.faces.pack,
        reader=session.faces.reader,
        snapshot=snapshot,
        search_key=session.search_key(snapshot).digest,
        searches_per_day=settings.searches_per_day,
    )
