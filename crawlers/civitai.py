"""Civitai's public REST API v1 (https://developer.civitai.com): every adapter version it lists.

The API's cursor drops one model a page when sorted by Newest (civitai/civitai issue 1372); sorted
by Oldest its last column ascends and nothing is lost, at the price of repeats, which are removed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from crawlers.errors import HubError
from crawlers.listing import Listing, RemoteFile
from crawlers.transport import Transport

log = logging.getLogger(__name__)

DEFAULT_HOST = "https://civitai.com"
LIKENESS_TYPES = ("LORA", "LoCon", "DoRA", "TextualInversion", "Checkpoint")
PAGE_SIZE = 100


class CivitaiHub:
    """All versions of all models of the types that can carry a likeness."""

    name = "civitai"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport = transport
        self._host = host.rstrip("/")

    def listings(self) -> Iterator[Listing]:
        seen_versions: set[int] = set()
        for model in self._models():
            for version in model.get("modelVersions") or []:
                if version["id"] not in seen_versions:
                    seen_versions.add(version["id"])
                    yield self._listing(model, version)

    def _models(self) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        seen_cursors: set[str] = set()
        while True:
            parameters: dict[str, Any] = {
                "types": list(LIKENESS_TYPES),
                "nsfw": "true",
                "sort": "Oldest",
                "limit": PAGE_SIZE,
            }
            if cursor is not None:
                parameters["cursor"] = cursor
            page = self._page(parameters)
            # An empty page with a cursor is not the end: the hub filters after paging.
            yield from page.get("items") or []
            cursor = (page.get("metadata") or {}).get("nextCursor")
            if cursor is None:
                return
            cursor = str(cursor)
            if cursor in seen_cursors:
                raise HubError(f"{self._host} repeats cursor {cursor!r}; the sweep stopped there and is incomplete")
            seen_cursors.add(cursor)

    def _page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        response = self._transport.get(f"{self._host}/api/v1/models", parameters)
        try:
            page = json.loads(response.content)
        except ValueError as error:
            raise HubError(f"{response.url} did not answer with JSON") from error
        if not isinstance(page, dict):
            raise HubError(f"{response.url} answered with something that is not a page of models")
        return page

    def _listing(self, model: dict[str, Any], version: dict[str, Any]) -> Listing:
        stats = version.get("stats") or {}
        return Listing(
            hub=self.name,
            listing_id=str(version["id"]),
            title=f"{model.get('name', '')} - {version.get('name', '')}",
            url=f"{self._host}/models/{model['id']}?modelVersionId={version['id']}",
            creator=(model.get("creator") or {}).get("username"),
            triggers=tuple(str(word) for word in version.get("trainedWords") or []),
            tags=tuple(str(tag) for tag in model.get("tags") or []),
            base_model=version.get("baseModel"),
            published_at=version.get("publishedAt"),
            downloads=stats.get("downloadCount"),
            real_person_flag=bool(model.get("poi")),
            minor_flag=bool(model.get("minor")),
            files=tuple(
                self._file(entry)
                for entry in version.get("files") or []
                if entry.get("type") in (None, "Model", "Pruned Model")
            ),
            raw=json.dumps(
                {"model": {**model, "modelVersions": []}, "version": version}, ensure_ascii=False, sort_keys=True
            ),
        )

    def _file(self, entry: dict[str, Any]) -> RemoteFile:
        size = entry.get("sizeKB")
        sha256 = (entry.get("hashes") or {}).get("SHA256")
        return RemoteFile(
            name=str(entry.get("name", "")),
            url=self._own_url(str(entry.get("downloadUrl", ""))),
            size_bytes=None if size is None else round(float(size) * 1024),
            sha256=sha256.lower() if isinstance(sha256, str) and len(sha256) == 64 else None,
        )

    def _own_url(self, url: str) -> str:
        # Captures show scheme-less links and links to sister hosts: keep path and query, use our host.
        parts = urlsplit(url)
        return urljoin(self._host + "/", parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else ""))
