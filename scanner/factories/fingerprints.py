"""Opening the fingerprints of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from scanner.clock import Clock, utc_now

if TYPE_CHECKING:
    from scanner.casework.copies import RelatedFiles
    from scanner.fingerprints.fingerprint_store import FingerprintStore
    from scanner.fingerprints.fingerprinter import Fingerprinter
    from scanner.settings import Settings


def open_fingerprint_store(settings: Settings) -> FingerprintStore:
    """fingerprints.db."""
    from scanner.fingerprints.fingerprint_store import FingerprintStore

    return FingerprintStore(settings.fingerprints_path)


@contextmanager
def open_fingerprinter(settings: Settings, clock: Clock = utc_now) -> Iterator[Fingerprinter]:
    """What makes and keeps the fingerprints of files."""
    from scanner.fingerprints.fingerprinter import Fingerprinter

    with closing(open_fingerprint_store(settings)) as store:
        yield Fingerprinter(store, clock)


@contextmanager
def open_related_files(settings: Settings) -> Iterator[RelatedFiles]:
    """What finds related files with their listings and cases. Nothing is written."""
    from crawlers.sweeps.crawl_store import CrawlStore
    from reports.cases.case_store import CaseStore
    from scanner.casework.copies import RelatedFiles
    from scanner.fingerprints.relatives import StoreSearch

    with ExitStack() as stack:
        store = stack.enter_context(closing(open_fingerprint_store(settings)))
        crawl = stack.enter_context(closing(CrawlStore(settings.crawl_path)))
        case_store = stack.enter_context(
            closing(CaseStore(settings.cases_path, settings.evidence_path))
        )
        yield RelatedFiles(store, StoreSearch(store), crawl, case_store)
