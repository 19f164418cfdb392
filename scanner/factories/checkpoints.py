"""Opening the checkpoint store and the acquisition of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.clock import Clock

if TYPE_CHECKING:
    from crawlers.checkpoints.checkpoint_store import CheckpointStore
    from crawlers.hubs.registry import HubRegistry
    from crawlers.sweeps.acquisition import Acquisition
    from crawlers.sweeps.crawl_store import CrawlStore
    from scanner.settings import Settings


def open_checkpoints(settings: Settings) -> CheckpointStore:
    """The checkpoint store, which keeps what cases cite whatever the size budget."""
    from crawlers.checkpoints.checkpoint_store import CheckpointStore
    from reports.cases.case_store import CaseStore

    def cited() -> frozenset[str]:
        case_store = CaseStore(settings.cases_path, settings.evidence_path)
        try:
            return case_store.cited_checkpoints()
        finally:
            case_store.close()

    budget_bytes = int(settings.checkpoint_budget_gb * 1e9)
    return CheckpointStore(settings.checkpoints_path, budget_bytes, cited)


def open_acquisition(
    settings: Settings, crawl: CrawlStore, hubs: HubRegistry, clock: Clock
) -> Acquisition:
    """The acquisition of listed files."""
    from crawlers.sweeps.acquisition import Acquisition

    return Acquisition(crawl, open_checkpoints(settings), hubs, clock)
