"""ModelScope (https://modelscope.cn): repositories found by searches, with the hashes of their files.

Its open API shows 3,000 results of a search at most, so there are several; a file list is cut at 3,000 entries
without a word, which is noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from crawlers.errors import HubError, HubRefused
from crawlers.folder import CHECKPOINT_ENDINGS
from crawlers.listing import Listing, Page, Presence, RemoteFile, presence_of_status
from crawlers.transport import Transport

DEFAULT_HOST = "https://modelscope.cn"
SEARCHES = ("lora", "人像", "写真", "真人", "portrait", "SDXL", "FLUX", "Qwen-Image")
PAGE_SIZE, MOST_RESULTS, MOST_FILES = 100, 3_000, 3_000


class ModelScopeHub:
    """Repositories that the searches find; each is one listing with all its weights files."""

    name = "modelscope"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport, self._host = transport, host.rstrip("/")

    def pages(self, cursor: str | None = None) -> Iterator[Page]:
        """Pages of repositories; the cursor is number of the search and of its page."""
        search, page = (int(part) for part in (cursor or "0|1").split("|"))
        while True:
            words = SEARCHES[search]
            found = self._data(
                f"/openapi/v1/models?search={quote(words)}&page_number={page}&page_size={PAGE_SIZE}", "data"
            )
            notes: list[str] = []
            total = int(found.get("total_count") or 0)
            if page == 1 and total > MOST_RESULTS:
                notes.append(f"the search {words!r} finds {total:,} repositories, {MOST_RESULTS:,} can be seen")
            listings = [listing for entry in found.get("models") or [] for listing in self._readable(entry, notes)]
            more = page * PAGE_SIZE < min(total, MOST_RESULTS)
            search, page = (search, page + 1) if more else (search + 1, 1)
            done = search >= len(SEARCHES)
            yield Page(tuple(listings), None if done else f"{search}|{page}", tuple(notes))
            if done:
                return

    def look(self, listing_id: str) -> Presence:
        try:
            self._data(f"/openapi/v1/models/{quote(listing_id)}", "data")
        except HubRefused as error:
            return presence_of_status(error)
        return Presence.LISTED

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """A repository as a listing; one that is closed, gone meanwhile or odd is noted and costs no other."""
        try:
            yield self._listing(entry, notes)
        except HubRefused as error:
            notes.append(f"{entry.get('id')}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes.append(f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})")

    def _listing(self, entry: dict[str, Any], notes: list[str]) -> Listing:
        name = str(entry["id"])
        data = self._data(f"/api/v1/models/{quote(name)}/repo/files?Revision=master&Recursive=True", "Data")
        files = data.get("Files") or []
        if len(files) >= MOST_FILES:
            notes.append(f"{name} has {MOST_FILES:,} files or more; the hub names no others")
        tags = [*(entry.get("tags") or []), *(entry.get("tasks") or [])]
        return Listing(
            hub=self.name,
            listing_id=name,
            title=str(entry.get("display_name") or name),
            url=f"{self._host}/models/{name}",
            creator=name.partition("/")[0],
            triggers=(),
            tags=tuple(str(tag) for tag in tags),
            base_model=None,
            published_at=entry.get("created_at"),
            downloads=entry.get("downloads"),
            real_person_flag=False,
            minor_flag=False,
            files=tuple(self._file(name, one) for one in files if _is_checkpoint(one)),
            raw=json.dumps({"model": entry, "files": files}, ensure_ascii=False, sort_keys=True),
        )

    def _file(self, name: str, one: dict[str, Any]) -> RemoteFile:
        sha256 = str(one.get("Sha256") or "").lower()
        return RemoteFile(
            name=str(one["Path"]),
            url=f"{self._host}/api/v1/models/{quote(name)}/repo?Revision=master&FilePath={quote(one['Path'], safe='')}",
            size_bytes=one.get("Size"),
            sha256=sha256 if len(sha256) == 64 else None,
        )

    def _data(self, path: str, field: str) -> dict[str, Any]:
        """The payload of an answer; the hub tells some refusals in the body of a 200."""
        document = self._transport.get_json(f"{self._host}{path}")
        if not isinstance(document, dict):
            raise HubError(f"{self._host}{path} answered with something that is not a JSON object")
        told = {str(key).lower(): value for key, value in document.items()}
        if told.get("success") is False:
            code = told.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else 400
            raise HubRefused(f"{self._host}{path}", status, str(told.get("message"))[:300])
        payload = document.get(field)
        return payload if isinstance(payload, dict) else {}


def _is_checkpoint(one: dict[str, Any]) -> bool:
    name = str(one.get("Path", "")).lower()
    return one.get("Type") == "blob" and any(name.endswith(ending) for ending in CHECKPOINT_ENDINGS)
