"""GitHub (https://docs.github.com/rest): weights in the trees and releases of repositories.

Code search does not cover weights, so repositories are searched by words and their files listed. A
search returns at most 1,000 results, so the years are divided into ranges with fewer results.
Trees hold LFS pointers in place of large files; the pointers are read, because they hold the
SHA-256.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from crawlers.errors import HubError, HubRefused
from crawlers.http.transport import Transport
from crawlers.hubs.description import HubDescription
from crawlers.hubs.folder import is_checkpoint
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
from crawlers.values import ODD_SHAPES, count_of, object_of, objects_of, text_of, words_of

DEFAULT_HOST = "https://api.github.com"
SEARCHES = ("lora in:name,topics", "stable-diffusion-lora in:topics", "dreambooth in:name,topics")
PAGE_SIZE, MOST_RESULTS = 100, 1_000
# No image model is older than Stable Diffusion.
OPENED = date(2022, 8, 1)
MOST_POINTERS, POINTER_BYTES = 100, 200
MOST_TREES, MOST_RELEASE_PAGES = 100, 10


class GitHubHub:
    """Repositories found by searches; each is one listing with all its weights files.

    Args:
        searches: searches in GitHub's syntax that replace SEARCHES.
    """

    name = "github"

    def __init__(
        self, transport: Transport, host: str = DEFAULT_HOST, searches: Sequence[str] = ()
    ) -> None:
        self._transport, self._host = transport, host.rstrip("/")
        self._searches = tuple(searches) or SEARCHES

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        return tuple(Partition(search, since) for search in self._searches)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of repositories.

        The cursor is a range of creation dates and the number of the page in it.
        """
        today = datetime.now(UTC).date()
        stretch, _, number = (cursor or f"{OPENED}..{today}|1").partition("|")
        start, end = (date.fromisoformat(day) for day in stretch.split(".."))
        page = int(number)
        while True:
            found, gap = self._plausible(partition, start, end, page)
            notes: list[str] = []
            total, items = count_of(found.get("total_count")) or 0, objects_of(found.get("items"))
            if page == 1 and total > MOST_RESULTS and start < end:
                end = start + (end - start) / 2
                continue
            if page == 1 and total > MOST_RESULTS:
                notes.append(
                    f"{total:,} repositories of {start} are found by {partition.name!r}, "
                    f"{MOST_RESULTS:,} can be seen"
                )
            if 0 < len(items) < min(PAGE_SIZE, total - (page - 1) * PAGE_SIZE):
                notes.append(
                    f"page {page} of {partition.name!r}, {start}..{end}, "
                    f"shows only {len(items)} repositories"
                )
            listings = [listing for entry in items for listing in self._readable(entry, notes)]
            if items and page * PAGE_SIZE < min(total, MOST_RESULTS):
                page += 1
            else:
                start, end, page = end + timedelta(days=1), max(today, end), 1
            following = f"{start}..{end}|{page}" if start <= end else None
            yield Page(tuple(listings), following, tuple(notes), gap)
            if following is None:
                return

    def _plausible(
        self, partition: Partition, start: date, end: date, page: int
    ) -> tuple[dict[str, Any], str | None]:
        """A page of a search, and the reason why listings may be missing from it.

        `incomplete_results` means that the search ran out of time
        (https://docs.github.com/rest/search/search#timeouts-and-incomplete-results).
        """

        def doubt(found: dict[str, Any]) -> Doubt | None:
            items, total = objects_of(found.get("items")), count_of(found.get("total_count"))
            if not isinstance(found.get("items"), list) or total is None:
                return Doubt("gives no list of repositories with their number")
            if found.get("incomplete_results"):
                return Doubt("runs out of time and is incomplete")
            left = min(total, MOST_RESULTS) - (page - 1) * PAGE_SIZE
            if not items and (left > 0 or (page > 1 and total == 0)):
                return Doubt(f"gives no repository and says that there are {total:,}")
            return (
                Doubt("shows fewer", lasts=False)
                if len(items) < min(left, PAGE_SIZE) or not items
                else None
            )

        found, why_not = request_until_plausible(
            lambda: self._search(partition, start, end, page), doubt
        )
        return (
            found,
            why_not and f"the search {partition.name!r} of {start}..{end}, page {page}, {why_not}",
        )

    def complete(self, listing: Listing) -> Listing:
        """The listing with the weights in its tree and releases."""
        entry, name = json.loads(listing.raw)["repository"], listing.listing_id
        gaps: list[str] = []
        tree = self._tree(name, str(entry["default_branch"]), gaps)
        releases = self._releases(name, gaps)
        weights = [item for item in tree if is_checkpoint(item.get("path"))]
        small = [
            str(item["sha"])
            for item in weights
            if item.get("sha") and (count_of(item.get("size")) or 0) <= POINTER_BYTES
        ]
        if len(small) > MOST_POINTERS:
            gaps.append(
                f"the hashes of {len(small) - MOST_POINTERS:,} of its files were not asked for"
            )
        pointers = {sha: self._pointer(name, sha) for sha in small[:MOST_POINTERS]}
        contents = {"tree": tree, "releases": releases, "pointers": pointers}
        return replace(self._listing(entry, contents, weights), gaps=tuple(gaps))

    def _tree(self, name: str, branch: str, gaps: list[str]) -> list[dict[str, Any]]:
        """Every entry of a branch; read folder by folder if the recursive tree is truncated."""
        place = f"/repos/{quote(name)}/git/trees"
        whole = self._json(f"{place}/{quote(branch)}?recursive=1")
        if not isinstance(whole, dict) or not isinstance(whole.get("tree"), list):
            raise HubError(f"{self._host}{place}/{branch} gives no tree")
        entries = {str(item.get("path")): item for item in objects_of(whole["tree"])}
        if not whole.get("truncated"):
            return list(entries.values())
        folders, asked = [("", branch)], 0
        while folders and asked < MOST_TREES:
            above, sha = folders.pop()
            asked += 1
            for item in objects_of(object_of(self._json(f"{place}/{quote(sha)}")).get("tree")):
                path = f"{above}{item.get('path')}"
                entries[path] = {**item, "path": path}
                if item.get("type") == "tree":
                    folders.append((f"{path}/", str(item.get("sha"))))
        if folders:
            gaps.append(f"its tree is too large to be shown; {len(entries):,} entries were read")
        return list(entries.values())

    def _releases(self, name: str, gaps: list[str]) -> list[dict[str, Any]]:
        releases: list[dict[str, Any]] = []
        for page in range(1, MOST_RELEASE_PAGES + 1):
            more = "" if page == 1 else f"&page={page}"
            found = self._json(f"/repos/{quote(name)}/releases?per_page={PAGE_SIZE}{more}")
            if not isinstance(found, list):
                raise HubError(f"{self._host}/repos/{name}/releases gives no list")
            releases += objects_of(found)
            if len(found) < PAGE_SIZE:
                return releases
        gaps.append(f"it has more releases than the {len(releases):,} that were read")
        return releases

    def check_presence(self, listing_id: str) -> Presence:
        try:
            self._json(f"/repos/{quote(listing_id)}")
        except HubRefused as error:
            return presence_of_status(error)
        return Presence.LISTED

    def _search(self, partition: Partition, start: date, end: date, page: int) -> dict[str, Any]:
        words = f"{partition.name} created:{start}..{end}"
        if partition.since is not None:
            words += f" pushed:>={partition.since.date()}"
        found = self._json(
            f"/search/repositories?q={quote(words)}&sort=updated&per_page={PAGE_SIZE}&page={page}"
        )
        return found if isinstance(found, dict) else {}

    def _pointer(self, name: str, sha: str) -> dict[str, Any]:
        """The SHA-256 and size in an LFS pointer.

        See https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
        """
        blob = self._json(f"/repos/{quote(name)}/git/blobs/{quote(sha)}")
        text = base64.b64decode(str(blob.get("content") or "")).decode(errors="replace")
        oid, size = (
            re.search(r"^oid sha256:([0-9a-f]{64})$", text, re.MULTILINE),
            re.search(r"^size (\d+)$", text, re.MULTILINE),
        )
        return {"sha256": oid[1] if oid else None, "size": int(size[1]) if size else None}

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """Yield a repository as a listing; note one that cannot be read and go on."""
        try:
            yield self._listing(entry, None, [])
        except ODD_SHAPES as error:
            notes.append(
                f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})"
            )

    def _listing(
        self, entry: dict[str, Any], contents: dict[str, Any] | None, weights: list[dict[str, Any]]
    ) -> Listing:
        name = str(entry["full_name"])
        held = contents or {"releases": [], "pointers": {}}
        assets = [
            asset
            for release in objects_of(held["releases"])
            for asset in objects_of(release.get("assets"))
        ]
        files = [_from_tree(entry, file, held["pointers"]) for file in weights]
        files += [_from_release(asset) for asset in assets if is_checkpoint(asset.get("name"))]
        return Listing(
            hub=self.name,
            listing_id=name,
            title=f"{name}: {entry.get('description') or ''}".rstrip(": "),
            url=str(entry["html_url"]),
            creator=text_of(object_of(entry.get("owner")).get("login")),
            triggers=(),
            tags=words_of(entry.get("topics")),
            base_model=None,
            published_at=text_of(entry.get("created_at")),
            downloads=sum(count_of(item.get("download_count")) or 0 for item in assets)
            if assets
            else None,
            real_person_flag=False,
            minor_flag=False,
            files=tuple(files),
            raw=json.dumps(
                {"repository": entry, **(contents or {})}, ensure_ascii=False, sort_keys=True
            ),
            complete=contents is not None,
        )

    def _json(self, path: str) -> Any:
        document = self._transport.get_json(f"{self._host}{path}")
        if not isinstance(document, dict | list):
            raise HubError(f"{self._host}{path} answered with something that is no document")
        return document


def _from_tree(
    entry: dict[str, Any], file: dict[str, Any], pointers: dict[str, dict[str, Any]]
) -> RemoteFile:
    # This address serves the file behind an LFS pointer; the size in the tree is the pointer's.
    place = f"{entry['html_url']}/raw/{quote(entry['default_branch'])}/{quote(file['path'])}"
    pointer = pointers.get(str(file.get("sha")), {})
    size = pointer.get("size") if pointer.get("sha256") else count_of(file.get("size"))
    return RemoteFile(str(file["path"]), place, size, pointer.get("sha256"))


def _from_release(asset: dict[str, Any]) -> RemoteFile:
    kind, _, digest = str(asset.get("digest") or "").partition(":")
    sha256 = hex_digest(digest) if kind == "sha256" else None
    return RemoteFile(
        str(asset["name"]), str(asset["browser_download_url"]), count_of(asset.get("size")), sha256
    )


HUB = HubDescription(
    name=GitHubHub.name,
    addresses=(DEFAULT_HOST, "https://github.com"),
    build=GitHubHub,
    types="a repository search",
    token_setting="github_token",  # noqa: S106  the name of a setting
)
