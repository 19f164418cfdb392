"""Hugging Face Hub (https://huggingface.co/docs/hub/api): every repository tagged as an adapter, with its files.

The list names repositories; sizes and SHA-256 of their files come from one more request each, which is what makes
it possible to know a file without downloading it. The next page's address is in the Link header and is followed as it
is, but always at the host that was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from crawlers.errors import HubError, HubRefused
from crawlers.folder import CHECKPOINT_ENDINGS
from crawlers.listing import Listing, Page, Presence, RemoteFile, presence_of_status
from crawlers.transport import Transport

DEFAULT_HOST = "https://huggingface.co"
# Tags that carry likenesses: adapters and textual inversions for image models.
FILTERS = ("lora", "textual_inversion")
PAGE_SIZE = 100


class HuggingFaceHub:
    """Repositories with one of FILTERS as tag, oldest first."""

    name = "huggingface"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport, self._host = transport, host.rstrip("/")

    def pages(self, cursor: str | None = None) -> Iterator[Page]:
        """Pages of repositories; the cursor is path and query of the page."""
        cursor = cursor or self._first(FILTERS[0])
        while cursor is not None:
            found, headers = self._transport.get_document(f"{self._host}{cursor}")
            if not isinstance(found, list):
                raise HubError(f"{self._host}{cursor} answered with something that is not a list of models")
            following = self._next(cursor, headers)
            notes: list[str] = []
            listings = [listing for entry in found for listing in self._readable(entry, notes)]
            yield Page(tuple(listings), following, tuple(notes))
            cursor = following

    def look(self, listing_id: str) -> Presence:
        try:
            self._details(listing_id)
        except HubRefused as error:
            if error.status in (401, 403) and "gated" in error.message.lower():
                return Presence.LISTED
            if error.status == 403 and "disabled" in error.message.lower():
                return Presence.TAKEN_DOWN
            # Without a token the hub answers 401 for repositories that do not exist (X-Error-Code: RepoNotFound).
            return Presence.GONE if error.status == 401 else presence_of_status(error)
        return Presence.LISTED

    @staticmethod
    def _first(wanted: str) -> str:
        return f"/api/models?filter={wanted}&sort=createdAt&direction=1&limit={PAGE_SIZE}&full=true&cardData=true"

    def _next(self, cursor: str, headers: httpx.Headers) -> str | None:
        link = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("link", ""))
        if link:
            parts = urlsplit(link[1])
            following = f"{parts.path}?{parts.query}"
            if following == cursor:
                raise HubError(f"{self._host} repeats page {cursor!r}; the sweep stopped there and is incomplete")
            return following
        present = next((number for number, wanted in enumerate(FILTERS) if f"filter={wanted}" in cursor), 0)
        return self._first(FILTERS[present + 1]) if present + 1 < len(FILTERS) else None

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """A repository as a listing; one that is gated, gone meanwhile or odd is noted and costs no other."""
        try:
            names = [str(one.get("rfilename", "")) for one in entry.get("siblings") or []]
            details = self._details(str(entry["id"])) if any(map(_is_checkpoint, names)) else entry
            yield self._listing({**entry, **details})
        except HubRefused as error:
            notes.append(f"{entry['id']}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes.append(f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})")

    def _details(self, repository: str) -> dict[str, Any]:
        details = self._transport.get_json(f"{self._host}/api/models/{quote(repository)}", {"blobs": "true"})
        if not isinstance(details, dict):
            raise HubError(f"{self._host}/api/models/{repository} answered with something that is not a JSON object")
        return details

    def _listing(self, entry: dict[str, Any]) -> Listing:
        card = entry.get("cardData") or {}
        tags = tuple(str(tag) for tag in entry.get("tags") or [])
        base = next((tag.removeprefix("base_model:") for tag in tags if re.fullmatch(r"base_model:[^:]+", tag)), None)
        trigger = card.get("instance_prompt")
        repository, revision = str(entry["id"]), str(entry.get("sha") or "main")
        return Listing(
            hub=self.name,
            listing_id=repository,
            title=repository,
            url=f"{self._host}/{repository}",
            creator=entry.get("author") or repository.partition("/")[0],
            triggers=(trigger,) if isinstance(trigger, str) and trigger else (),
            tags=tags,
            base_model=base,
            published_at=entry.get("createdAt"),
            downloads=entry.get("downloads"),
            real_person_flag=False,
            minor_flag=False,
            files=tuple(
                self._file(repository, revision, one)
                for one in entry.get("siblings") or []
                if _is_checkpoint(str(one.get("rfilename", "")))
            ),
            raw=json.dumps(entry, ensure_ascii=False, sort_keys=True),
        )

    def _file(self, repository: str, revision: str, one: dict[str, Any]) -> RemoteFile:
        lfs = one.get("lfs") or {}
        sha256 = lfs.get("sha256") or lfs.get("oid")
        return RemoteFile(
            name=str(one["rfilename"]),
            url=f"{self._host}/{quote(repository)}/resolve/{quote(revision)}/{quote(str(one['rfilename']))}",
            size_bytes=one.get("size") or lfs.get("size"),
            sha256=sha256.lower() if isinstance(sha256, str) and len(sha256) == 64 else None,
        )


def _is_checkpoint(name: str) -> bool:
    return any(name.lower().endswith(ending) for ending in CHECKPOINT_ENDINGS)
