"""Civitai's public REST API v1 (https://developer.civitai.com): every adapter version it lists.

The API's cursor drops one model a page when sorted by Newest (civitai/civitai issue 1372); sorted
by Oldest its last column ascends and nothing is lost, at the price of repeats, which readers remove.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from crawlers.errors import HubError, HubRefused
from crawlers.listing import Listing, Page, Presence, RemoteFile, presence_of_status
from crawlers.transport import Transport

log = logging.getLogger(__name__)

DEFAULT_HOST = "https://civitai.com"
LIKENESS_TYPES = ("LORA", "LoCon", "DoRA", "TextualInversion", "Checkpoint")
PAGE_SIZE = 100
MOST_REPEATS = 20
ENOUGH_TO_JUDGE_FILTERING = 1_000


class CivitaiHub:
    """All versions of all models of the types that can carry a likeness."""

    name = "civitai"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport = transport
        self._host = host.rstrip("/")
        transport.send_token_to(self._host)

    def pages(self, cursor: str | None = None) -> Iterator[Page]:
        repeats, seen, mature, asked = 0, 0, 0, set[str | None]()
        while True:
            asked.add(cursor)
            document = self._page(cursor)
            models = document.get("items") or []
            following = (document.get("metadata") or {}).get("nextCursor")
            following = None if following is None else str(following)
            notes: list[str] = []
            # An empty page with a cursor is not the end: the hub filters after paging.
            if not models and following is not None:
                notes.append(f"an empty page at cursor {cursor}")
            if following is not None and following in asked:
                repeats += 1
                notes.append(f"cursor {following} was repeated")
                if repeats > MOST_REPEATS:
                    raise HubError(
                        f"{self._host} repeats cursor {following!r}; the sweep stopped there and is incomplete"
                    )
                following = _stepped(following)
            seen += len(models)
            mature += sum((model.get("nsfwLevel") or 0) > 1 for model in models)
            if following is None and seen >= ENOUGH_TO_JUDGE_FILTERING and not mature:
                notes.append(
                    f"not one of {seen:,} models is rated above PG although all were asked for: "
                    "this network seems to be shown a filtered list"
                )
            listings = [listing for model in models for listing in self._readable(model, notes)]
            yield Page(tuple(listings), following, tuple(notes))
            if following is None:
                return
            cursor = following

    def _readable(self, model: dict[str, Any], notes: list[str]) -> Iterator[Listing]:
        """A model's versions; one that is not what the API promises is noted and costs no other."""
        try:
            for version in model.get("modelVersions") or []:
                yield self._listing(model, version)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes.append(f"model {str(model)[:60]} cannot be read ({type(error).__name__}: {error})")

    def look(self, listing_id: str) -> Presence:
        """Versions can be asked for one by one even when the hub lists them no more; flagged ones say so."""
        try:
            version = self._json(f"/api/v1/model-versions/{listing_id}", {})
        except HubRefused as error:
            return presence_of_status(error)
        model = version.get("model") or {}
        if model.get("poi"):
            return Presence.FLAGGED
        return {"Archived": Presence.ARCHIVED, "TakenDown": Presence.TAKEN_DOWN}.get(
            str(model.get("mode")), Presence.LISTED
        )

    def _page(self, cursor: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "types": list(LIKENESS_TYPES), "nsfw": "true", "sort": "Oldest", "limit": PAGE_SIZE,
        }  # fmt: skip
        return self._json("/api/v1/models", parameters if cursor is None else {**parameters, "cursor": cursor})

    def _json(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        document = self._transport.get_json(f"{self._host}{path}", parameters)
        if not isinstance(document, dict):
            raise HubError(f"{self._host}{path} answered with something that is not a JSON object")
        return document

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


def _stepped(cursor: str) -> str:
    """The cursor one model further, `lastVersionAt|modelId`: more models of one second than fit on a page."""
    columns = cursor.split("|")
    if not columns[-1].isdigit():
        raise HubError(f"cursor {cursor!r} is repeated and cannot be stepped over; the sweep is incomplete")
    return "|".join([*columns[:-1], str(int(columns[-1]) + 1)])
