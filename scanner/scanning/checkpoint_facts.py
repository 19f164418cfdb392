"""The facts about a file and its listing that a case keeps: header, timeline, the hub's answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawlers.checkpoints.archives import is_archive
from crawlers.checkpoints.checkpoint_store import CheckpointStore
from crawlers.checkpoints.header import MAX_HEADER_BYTES
from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.sweeps.history import history_of
from reports.cases.case_store import CaseStore
from reports.cases.checkpoint_record import CheckpointRecord, HubAnswer, TimelineEvent
from scanner.triage.header import Triage


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Collects the facts about checkpoints; stores headers and hubs' answers with the evidence."""

    crawl: CrawlStore
    checkpoints: CheckpointStore
    case_store: CaseStore

    def record(self, listing: Listing, file: RemoteFile, triage: Triage) -> CheckpointRecord:
        """Return the record of a file that a case keeps."""
        history = history_of(self.crawl, listing.hub, listing.listing_id)
        return CheckpointRecord(
            file=file.name,
            sha256=triage.sha256 or "",
            weights_hash=triage.weights_hash,
            size_bytes=triage.size_bytes or 0,
            kind=triage.kind,
            family=triage.family,
            triggers=tuple(dict.fromkeys([*listing.triggers, *triage.triggers])),
            training=triage.training,
            signals=triage.signals,
            hub=listing.hub,
            listing_url=listing.url,
            title=listing.title,
            creator=listing.creator,
            published_at=listing.published_at,
            downloads=listing.downloads,
            listing_id=listing.listing_id,
            declared_base_model=_declared(triage.training.get("base_model"), listing.base_model),
            header_sha256=self._header(file, triage.sha256),
            timeline=_timeline(listing, history),
            captures=self._hub_answer(listing, history),
        )

    def _header(self, file: RemoteFile, sha256: str | None) -> str | None:
        """Return the SHA-256 of the file's header text; None if the file was deleted."""
        path = self.checkpoints.path_of(sha256) if sha256 else None
        if path is None and not file.url.startswith(("http://", "https://")):
            path = Path(file.url)
        if path is None or not path.is_file() or is_archive(path):
            return None
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(min(length, MAX_HEADER_BYTES))
        return self.case_store.keep(text, "header") if text.startswith(b"{") else None

    def _hub_answer(
        self, listing: Listing, history: dict[str, Any] | None
    ) -> tuple[HubAnswer, ...]:
        """Return the hub's newest answer, unchanged; empty for files without a listing."""
        if not history or not history["raw"]:
            return ()
        sha256 = self.case_store.keep(history["raw"].encode(), "capture")
        return (HubAnswer(listing.url, history["versions"][-1]["first_seen"], sha256),)


def _declared(header: str | None, hub: str | None) -> str | None:
    """Return the base model that header and hub name."""
    named = [f"{name} ({source})" for name, source in ((header, "header"), (hub, "hub")) if name]
    return ", ".join(named) or None


def _timeline(listing: Listing, history: dict[str, Any] | None) -> tuple[TimelineEvent, ...]:
    events = [TimelineEvent(listing.published_at, "published")] if listing.published_at else []
    if history:
        events += [
            TimelineEvent(version["first_seen"], "seen", version["title"], version["downloads"])
            for version in history["versions"]
        ]
        events += [
            TimelineEvent(event["at"], event["kind"], _details(event["details"]))
            for event in history["events"]
        ]
    return tuple(sorted(events, key=lambda event: event.at))


def _details(details: dict[str, Any] | None) -> str:
    return json.dumps(details, ensure_ascii=False) if details else ""
