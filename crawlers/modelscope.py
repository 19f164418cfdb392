"""ModelScope (https://modelscope.cn): repositories found by searches, with the hashes of their files.

Its open API shows 3,000 results of a search at most, so there are several; a file list is cut at 3,000 entries
without a word, which is noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from crawlers.errors import HubError, HubRefused
from crawlers.folder import is_checkpoint
from crawlers.listing import Listing, Page, Presence, RemoteFile, Strand, hex_digest, presence_of_status
from crawlers.transport import Transport
from crawlers.values import ODD_SHAPES, count_of, objects_of, text_of, words_of

DEFAULT_HOST = "https://modelscope.cn"
SEARCHES = ("lora", "人像", "写真", "真人", "portrait", "SDXL", "FLUX", "Qwen-Image")
PAGE_SIZE, MOST_RESULTS, MOST_FILES = 100, 3_000, 3_000


class ModelScopeHub:
    """Repositories that the searches find; each is one listing with all its weights files.

    Args:
        words: searched in place of SEARCHES.
    """

    name = "modelscope"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST, words: Sequence[str] = ()) -> None:
        self._transport, self._host = transport, host.rstrip("/")
        self._words = tuple(words) or SEARCHES

    def strands(self, since: datetime | None = None) -> tuple[Strand, ...]:
        return tuple(Strand(words, since) for words in self._words)

    def pages(self, strand: Strand, cursor: str | None = None) -> Iterator[Page]:
        """Pages of repositories; the cursor is the page's number."""
        page = int(cursor or 1)
        order = "" if strand.since is None else "&sort=last_modified"
        while True:
            place = f"/openapi/v1/models?search={quote(strand.name)}&page_number={page}&page_size={PAGE_SIZE}{order}"
            found = self._data(place, "data")
            models = objects_of(found.get("models"))
            notes: list[str] = []
            total = count_of(found.get("total_count")) or 0
            if page == 1 and total > MOST_RESULTS:
                notes.append(f"the search {strand.name!r} finds {total:,} repositories, {MOST_RESULTS:,} can be seen")
            listings = [listing for entry in models for listing in self._readable(entry, notes)]
            more = page * PAGE_SIZE < min(total, MOST_RESULTS)
            if strand.since is not None and _are_older(models, strand.since):
                more = False
            page += 1
            yield Page(tuple(listings), str(page) if more else None, tuple(notes))
            if not more:
                return

    def complete(self, listing: Listing) -> Listing:
        """The same with its files, their sizes and hashes."""
        place = f"/api/v1/models/{quote(listing.listing_id)}/repo/files?Revision=master&Recursive=True"
        return self._listing(json.loads(listing.raw)["model"], objects_of(self._data(place, "Data").get("Files")))

    def look(self, listing_id: str) -> Presence:
        try:
            self._data(f"/openapi/v1/models/{quote(listing_id)}", "data")
        except HubRefused as error:
            return presence_of_status(error)
        return Presence.LISTED

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """A repository as a listing; one that is odd is noted and costs no other."""
        try:
            yield self._listing(entry, None)
        except ODD_SHAPES as error:
            notes.append(f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})")

    def _listing(self, entry: dict[str, Any], files: list[dict[str, Any]] | None) -> Listing:
        name = str(entry["id"])
        tags = (*words_of(entry.get("tags")), *words_of(entry.get("tasks")))
        return Listing(
            hub=self.name,
            listing_id=name,
            title=str(entry.get("display_name") or name),
            url=f"{self._host}/models/{name}",
            creator=name.partition("/")[0],
            triggers=(),
            tags=tags,
            base_model=None,
            published_at=text_of(entry.get("created_at")),
            downloads=count_of(entry.get("downloads")),
            real_person_flag=False,
            minor_flag=False,
            files=tuple(
                self._file(name, one)
                for one in files or []
                if one.get("Type") == "blob" and is_checkpoint(one.get("Path"))
            ),
            raw=json.dumps(
                {"model": entry, "files": files, "cut_off": len(files or []) >= MOST_FILES},
                ensure_ascii=False,
                sort_keys=True,
            ),
            revision=text_of(entry.get("last_modified") or entry.get("updated_at")),
            complete=files is not None,
        )

    def _file(self, name: str, one: dict[str, Any]) -> RemoteFile:
        return RemoteFile(
            name=str(one["Path"]),
            url=f"{self._host}/api/v1/models/{quote(name)}/repo?Revision=master&FilePath={quote(one['Path'], safe='')}",
            size_bytes=count_of(one.get("Size")),
            sha256=hex_digest(one.get("Sha256")),
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


def _are_older(models: list[dict[str, Any]], since: datetime) -> bool:
    """Whether a page in the order of changes, newest first, ends before `since`; any other order ends nothing."""
    try:
        moments = [datetime.fromisoformat(str(one.get("last_modified") or one.get("updated_at"))) for one in models]
        return bool(moments) and moments == sorted(moments, reverse=True) and moments[-1] < since
    except (ValueError, TypeError):
        return False
