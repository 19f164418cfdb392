"""ModelScope (https://modelscope.cn): repositories found by searches, with hashes of their files.

Its open API shows at most 3,000 results of a search, so several searches are made. `total_count`
tells where a search ends. Files are read from every branch and tag of a repository (see
crawlers.hubs.modelscope_files).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from crawlers.errors import HubError, HubRefused
from crawlers.http.transport import Transport
from crawlers.hubs.description import HubDescription
from crawlers.hubs.folder import is_checkpoint
from crawlers.hubs.modelscope_files import RepositoryFiles, files_of
from crawlers.hubs.repeated_requests import Doubt, request_until_plausible
from crawlers.listing import (
    Listing,
    Page,
    Partition,
    Presence,
    RemoteFile,
    hex_digest,
    presence_of_status,
)
from crawlers.values import ODD_SHAPES, count_of, objects_of, text_of, words_of

DEFAULT_HOST = "https://modelscope.cn"
SEARCHES = ("lora", "人像", "写真", "真人", "portrait", "SDXL", "FLUX", "Qwen-Image")
PAGE_SIZE, MOST_RESULTS = 100, 3_000


class ModelScopeHub:
    """Repositories found by searches; each is one listing with all its weights files.

    Args:
        words: search words that replace SEARCHES.
    """

    name = "modelscope"

    def __init__(
        self, transport: Transport, host: str = DEFAULT_HOST, words: Sequence[str] = ()
    ) -> None:
        self._transport, self._host = transport, host.rstrip("/")
        self._words = tuple(words) or SEARCHES

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        return tuple(Partition(words, since) for words in self._words)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of repositories; the cursor is the number of the page."""
        page, most = int(cursor or 1), 0
        order = "" if partition.since is None else "&sort=last_modified"
        while True:
            place = (
                f"/openapi/v1/models?search={quote(partition.name)}"
                f"&page_number={page}&page_size={PAGE_SIZE}{order}"
            )
            found, gap = self._plausible(place, page, most)
            models, size = objects_of(found.get("models")), _size_of(found)
            notes: list[str] = []
            # The number may shrink during the sweep, and now and then the hub sends a wrong one.
            most = max(most, count_of(found.get("total_count")) or 0)
            if page == 1 and most > MOST_RESULTS:
                notes.append(
                    f"the search {partition.name!r} finds {most:,} repositories, "
                    f"{MOST_RESULTS:,} can be seen"
                )
            if 0 < len(models) < min(size, most - (page - 1) * size):
                notes.append(
                    f"page {page} of the search {partition.name!r} "
                    f"shows only {len(models)} repositories"
                )
            listings = [listing for entry in models for listing in self._readable(entry, notes)]
            more = (
                gap is None
                and bool(models)
                and page * size < most
                and page * PAGE_SIZE < MOST_RESULTS
            )
            if partition.since is not None and _are_older(models, partition.since):
                more = False
            page += 1
            yield Page(tuple(listings), str(page) if more else None, tuple(notes), gap)
            if not more:
                return

    def _plausible(self, place: str, page: int, most: int) -> tuple[dict[str, Any], str | None]:
        """A page of a search, and the reason if it is still implausible after all attempts.

        Args:
            most: the number of repositories according to the previous pages.
        """

        def doubt(found: dict[str, Any]) -> Doubt | None:
            models, total = objects_of(found.get("models")), count_of(found.get("total_count"))
            if not isinstance(found.get("models"), list) or total is None:
                return Doubt("gives no list of repositories with their number")
            left, size = max(total, most) - (page - 1) * _size_of(found), _size_of(found)
            if not models and (left > 0 or (page > 1 and total == 0)):
                return Doubt(f"gives no repository and says that there are {max(total, most):,}")
            return (
                Doubt("shows fewer", lasts=False)
                if len(models) < min(left, size) or not models
                else None
            )

        found, why_not = request_until_plausible(lambda: self._data(place, "data"), doubt)
        return found, why_not and f"{self._host}{place} {why_not}"

    def complete(self, listing: Listing) -> Listing:
        """The listing with the files of all revisions, their sizes and hashes."""
        found = files_of(lambda path: self._data(path, "Data"), listing.listing_id)
        return self._listing(json.loads(listing.raw)["model"], found)

    def check_presence(self, listing_id: str) -> Presence:
        try:
            self._data(f"/openapi/v1/models/{quote(listing_id)}", "data")
        except HubRefused as error:
            return presence_of_status(error)
        return Presence.LISTED

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """Yield a repository as a listing; note one that cannot be read and go on."""
        try:
            yield self._listing(entry, None)
        except ODD_SHAPES as error:
            notes.append(
                f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})"
            )

    def _listing(self, entry: dict[str, Any], found: RepositoryFiles | None) -> Listing:
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
            files=tuple(self._files(name, found)) if found else (),
            raw=json.dumps(
                {"model": entry, "files": found and found.revisions},
                ensure_ascii=False,
                sort_keys=True,
            ),
            revision=_revision_of(entry),
            complete=found is not None,
            gaps=tuple(found.gaps) if found else (),
        )

    def _files(self, name: str, found: RepositoryFiles) -> Iterator[RemoteFile]:
        """Yield each weights file once.

        A second file with the same path but other contents has its revision in its name.
        """
        seen: set[tuple[str, str | None, int | None]] = set()
        names: set[str] = set()
        for revision, entries in found.revisions.items():
            for entry in entries:
                path, size = text_of(entry.get("Path")) or "", count_of(entry.get("Size"))
                sha256 = hex_digest(entry.get("Sha256"))
                if (
                    entry.get("Type") != "blob"
                    or not is_checkpoint(path)
                    or (path, sha256, size) in seen
                ):
                    continue
                seen.add((path, sha256, size))
                own = path if path not in names else f"{revision}/{path}"
                names.add(own)
                which = f"Revision={quote(revision, safe='')}&" if revision else ""
                query = f"{which}FilePath={quote(path, safe='')}"
                url = f"{self._host}/api/v1/models/{quote(name)}/repo?{query}"
                yield RemoteFile(own, url, size, sha256)

    def _data(self, path: str, field: str) -> dict[str, Any]:
        """The payload of an answer. The hub reports some errors in the body of a 200."""
        document = self._transport.get_json(f"{self._host}{path}")
        if not isinstance(document, dict):
            raise HubError(f"{self._host}{path} answered with something that is not a JSON object")
        lowered = {str(key).lower(): value for key, value in document.items()}
        if lowered.get("success") is False:
            code = lowered.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else 400
            raise HubRefused(f"{self._host}{path}", status, str(lowered.get("message"))[:300])
        payload = document.get(field)
        return payload if isinstance(payload, dict) else {}


def _revision_of(entry: dict[str, Any]) -> str | None:
    """The time of the repository's last change.

    The suffix distinguishes it from revisions that were stored when only master was read, so that
    those repositories are requested again.
    """
    changed = text_of(entry.get("last_modified") or entry.get("updated_at"))
    return changed and f"{changed} in all branches"


def _size_of(found: dict[str, Any]) -> int:
    """The number of repositories on a page, which may be smaller than the number requested."""
    return min(count_of(found.get("page_size")) or PAGE_SIZE, PAGE_SIZE)


def _are_older(models: list[dict[str, Any]], since: datetime) -> bool:
    """Whether a page that is sorted by change, newest first, ends before `since`."""
    try:
        moments = [
            datetime.fromisoformat(str(model.get("last_modified") or model.get("updated_at")))
            for model in models
        ]
        return bool(moments) and moments == sorted(moments, reverse=True) and moments[-1] < since
    except (ValueError, TypeError):
        return False


HUB = HubDescription(
    name=ModelScopeHub.name,
    addresses=(DEFAULT_HOST, "https://modelscope.ai"),
    build=ModelScopeHub,
    types="words to search",
    token_setting="modelscope_token",  # noqa: S106  the name of a setting
)
