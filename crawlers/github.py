"""GitHub (https://docs.github.com/rest): weights in repositories found by a search, in their trees and releases.

Code search cannot see weights, so repositories are searched by words and their files listed. A search gives 1,000
results at most; more words reach more. Trees name large files by their LFS pointers: size and hash of those are the
pointer's, so no hash is taken from a tree.
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

DEFAULT_HOST = "https://api.github.com"
SEARCHES = ("lora in:name,topics", "stable-diffusion-lora in:topics", "dreambooth in:name,topics")
PAGE_SIZE, MOST_RESULTS = 100, 1_000


class GitHubHub:
    """Repositories that a search finds; each is one listing with all its weights files."""

    name = "github"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport, self._host = transport, host.rstrip("/")

    def pages(self, cursor: str | None = None) -> Iterator[Page]:
        """Pages of repositories; the cursor is number of the search and of its page."""
        search, page = (int(part) for part in (cursor or "0|1").split("|"))
        while True:
            found = self._json(
                f"/search/repositories?q={quote(SEARCHES[search])}&sort=updated&per_page={PAGE_SIZE}&page={page}"
            )
            notes = (
                [f"the search {SEARCHES[search]!r} ran out of time and is incomplete"]
                if found.get("incomplete_results")
                else []
            )
            total = int(found.get("total_count") or 0)
            if page == 1 and total > MOST_RESULTS:
                notes.append(
                    f"the search {SEARCHES[search]!r} finds {total:,} repositories, {MOST_RESULTS:,} can be seen"
                )
            listings = [listing for entry in found.get("items") or [] for listing in self._readable(entry, notes)]
            more = page * PAGE_SIZE < min(total, MOST_RESULTS)
            search, page = (search, page + 1) if more else (search + 1, 1)
            done = search >= len(SEARCHES)
            yield Page(tuple(listings), None if done else f"{search}|{page}", tuple(notes))
            if done:
                return

    def look(self, listing_id: str) -> Presence:
        try:
            self._json(f"/repos/{quote(listing_id)}")
        except HubRefused as error:
            return presence_of_status(error)
        return Presence.LISTED

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """A repository as a listing; one that is empty, gone meanwhile or odd is noted and costs no other."""
        try:
            yield self._listing(entry, notes)
        except HubRefused as error:
            notes.append(f"{entry.get('full_name')}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes.append(f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})")

    def _listing(self, entry: dict[str, Any], notes: list[str]) -> Listing:
        name = str(entry["full_name"])
        tree = self._json(f"/repos/{quote(name)}/git/trees/{quote(entry['default_branch'])}?recursive=1")
        releases = self._json(f"/repos/{quote(name)}/releases?per_page=100")
        if tree.get("truncated"):
            notes.append(f"{name} has more files than one answer holds; not all of them are listed")
        assets = [asset for release in releases for asset in release.get("assets") or []]
        files = [self._from_tree(entry, one) for one in tree.get("tree") or [] if _is_checkpoint(one.get("path"))]
        files += [_from_release(one) for one in assets if _is_checkpoint(one.get("name"))]
        return Listing(
            hub=self.name,
            listing_id=name,
            title=f"{name}: {entry.get('description') or ''}".rstrip(": "),
            url=str(entry["html_url"]),
            creator=(entry.get("owner") or {}).get("login"),
            triggers=(),
            tags=tuple(str(topic) for topic in entry.get("topics") or []),
            base_model=None,
            published_at=entry.get("created_at"),
            downloads=sum(int(one.get("download_count") or 0) for one in assets) if assets else None,
            real_person_flag=False,
            minor_flag=False,
            files=tuple(files),
            raw=json.dumps(
                {"repository": entry, "tree": tree, "releases": releases}, ensure_ascii=False, sort_keys=True
            ),
        )

    @staticmethod
    def _from_tree(entry: dict[str, Any], one: dict[str, Any]) -> RemoteFile:
        # This address serves the file behind an LFS pointer; the tree's size is the pointer's.
        place = f"{entry['html_url']}/raw/{quote(entry['default_branch'])}/{quote(one['path'])}"
        return RemoteFile(name=str(one["path"]), url=place)

    def _json(self, path: str) -> Any:
        document = self._transport.get_json(f"{self._host}{path}")
        if not isinstance(document, dict | list):
            raise HubError(f"{self._host}{path} answered with something that is no document")
        return document


def _from_release(one: dict[str, Any]) -> RemoteFile:
    kind, _, digest = str(one.get("digest") or "").partition(":")
    sha256 = digest.lower() if kind == "sha256" and len(digest) == 64 else None
    return RemoteFile(str(one["name"]), str(one["browser_download_url"]), one.get("size"), sha256)


def _is_checkpoint(name: Any) -> bool:
    return isinstance(name, str) and any(name.lower().endswith(ending) for ending in CHECKPOINT_ENDINGS)
