"""What a case keeps of the file and its listing: header, timeline, the hub's answer as it came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crawlers.checkpoints.archives import is_archive
from crawlers.checkpoints.header import MAX_HEADER_BYTES
from crawlers.listing import Listing, RemoteFile
from crawlers.sweeps.history import history_of
from reports.cases.checkpoint_record import Capture, CheckpointRecord, TimelineEvent
from scanner.scanning.session import ScanSession
from scanner.triage.header import Triage


def checkpoint_record(
    scan_session: ScanSession, listing: Listing, file: RemoteFile, triage: Triage
) -> CheckpointRecord:
    """The file as a case names it, with what the hub told and when; header and capture are kept with the evidence."""
    known = history_of(scan_session.crawl, listing.hub, listing.listing_id)
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
        header_sha256=_header(scan_session, file, triage.sha256),
        timeline=_timeline(listing, known),
        captures=_captures(scan_session, listing, known),
    )


def _declared(header: str | None, hub: str | None) -> str | None:
    """The base model as header and hub name it, where they differ both."""
    told = [f"{name} ({source})" for name, source in ((header, "header"), (hub, "hub")) if name]
    return ", ".join(told) or None


def _header(scan_session: ScanSession, file: RemoteFile, sha256: str | None) -> str | None:
    """SHA-256 of the file's header text, which is kept with the evidence; None if the file is not here any more."""
    path = scan_session.acquisition.checkpoints.path_of(sha256) if sha256 else None
    if path is None and not file.url.startswith(("http://", "https://")):
        path = Path(file.url)
    if path is None or not path.is_file() or is_archive(path):
        return None
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(min(length, MAX_HEADER_BYTES))
    return scan_session.case_store.keep(text, "header") if text.startswith(b"{") else None


def _timeline(listing: Listing, known: dict[str, Any] | None) -> tuple[TimelineEvent, ...]:
    events = [TimelineEvent(listing.published_at, "published")] if listing.published_at else []
    if known:
        events += [
            TimelineEvent(one["first_seen"], "seen", one["title"], one["downloads"])
            for one in known["versions"]
        ]
        events += [
            TimelineEvent(
                one["at"],
                one["kind"],
                json.dumps(one["details"], ensure_ascii=False) if one["details"] else "",
            )
            for one in known["events"]
        ]
    return tuple(sorted(events, key=lambda event: event.at))


def _captures(
    scan_session: ScanSession, listing: Listing, known: dict[str, Any] | None
) -> tuple[Capture, ...]:
    """The hub's newest answer as it came; none for files without a listing."""
    if not known or not known["raw"]:
        return ()
    sha256 = scan_session.case_store.keep(known["raw"].encode(), "capture")
    return (Capture(listing.url, known["versions"][-1]["first_seen"], sha256),)
