"""Listings made from what the sender of a file declares about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crawlers.listing import Listing, RemoteFile, bare_listing
from scanner.web.queue.job import Job, JobRequest


def listing_of(upload: Job | JobRequest, listing_id: str, hub: str) -> Listing:
    """A listing of the gate for a file that is in the store of checkpoints."""
    sha256 = upload.sha256 or upload.source
    # This address is never requested: a file whose hash is in the store is read from there.
    file = RemoteFile(upload.name, f"https://{hub}.invalid/{sha256}", upload.size_bytes, sha256)
    listing = replace(
        bare_listing(hub, listing_id, upload.name, f"{hub}:{upload.name}", file), declared=True
    )
    return with_declared(listing, upload.declared or {})


def with_declared(listing: Listing, declared: Mapping[str, Any]) -> Listing:
    """A listing with the values that the sender declares; a minor's flag cannot be removed."""
    names = {"id": "listing_id"} | {
        name: name
        for name in ("title", "url", "creator", "base_model", "published_at", "downloads")
    }
    changes: dict[str, Any] = {
        field: declared[name] for name, field in names.items() if name in declared
    }
    changes |= {name: tuple(declared[name]) for name in ("triggers", "tags") if name in declared}
    return replace(
        listing,
        **changes,
        minor_flag=listing.minor_flag or bool(declared.get("minor")),
        real_person_flag=listing.real_person_flag or bool(declared.get("real_person")),
        declared=listing.declared or bool(declared),
    )
