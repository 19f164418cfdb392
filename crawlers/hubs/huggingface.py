"""Hugging Face Hub (https://huggingface.co/docs/hub/api): repositories that may hold adapters.

The list names repositories. The sizes and SHA-256 of their files need one more request each, which
makes it possible to recognise a file without downloading it. A repository whose commit has not
changed since the last sweep is not requested again. The address of the next page is in the Link
header; its path and query are followed, but always at the host that was asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

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

DEFAULT_HOST = "https://huggingface.co"
# Tags that carry likenesses, and words in the names of mirrors that nobody tagged.
SEARCHES = (
    "filter=lora",
    "filter=textual_inversion",
    "filter=template:sd-lora",
    "search=lora",
    "search=civitai",
)
PAGE_SIZE = 100
# Adapters of language models have the same tags. Their files are not requested.
_NO_PICTURES = frozenset(
    ["text-generation", "text-classification", "token-classification", "question-answering",
     "translation", "summarization", "fill-mask", "automatic-speech-recognition",
     "text-to-speech", "feature-extraction"]
)  # fmt: skip


class HuggingFaceHub:
    """Repositories that the searches find, oldest first.

    Args:
        tags: tags that replace SEARCHES.
    """

    name = "huggingface"

    def __init__(
        self, transport: Transport, host: str = DEFAULT_HOST, tags: Sequence[str] = ()
    ) -> None:
        self._transport, self._host = transport, host.rstrip("/")
        self._searches = tuple(f"filter={quote(tag)}" for tag in tags) or SEARCHES

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        return tuple(Partition(search, since) for search in self._searches)

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of repositories; the cursor is the path and query of the page."""
        first = f"{_list_of(partition, 1)}&limit={PAGE_SIZE}&full=true&cardData=true"
        cursor = cursor or first
        seen: set[str] = set()
        while cursor is not None:
            found, following, gap = self._plausible(cursor, given=cursor != first)
            seen = {str(entry.get("id")) for entry in objects_of(found)} or seen
            if gap is not None and isinstance(found, list) and self._ends_with(partition, seen):
                gap = None
            # The newest change comes first, so concurrent changes only cause repeats.
            since = partition.since
            if since is not None and any(_is_older(entry, since) for entry in objects_of(found)):
                gap = following = None
            notes: list[str] = []
            entries = found if isinstance(found, list) else []
            listings = [listing for entry in entries for listing in self._readable(entry, notes)]
            yield Page(tuple(listings), following, tuple(notes), gap)
            cursor = following

    def _plausible(self, cursor: str, *, given: bool) -> tuple[Any, str | None, str | None]:
        """A page, the next cursor, and the reason if it is still implausible after all attempts.

        The list ends at a page without a link to another one, which lacks repositories unless their
        number is a multiple of the page's.

        Args:
            given: whether the hub itself gave this cursor.
        """

        def doubt(answer: tuple[Any, httpx.Headers]) -> Doubt | None:
            found, headers = answer
            if not isinstance(found, list):
                return Doubt("gives no list of models")
            if self._next(cursor, headers) is not None:
                return Doubt("gives no model", lasts=False) if not found else None
            if not found:
                return Doubt("gives no model at a page that it linked to itself", lasts=given)
            return (
                Doubt("gives a full page and no link to the next one")
                if len(found) >= PAGE_SIZE
                else None
            )

        answer, why_not = request_until_plausible(
            lambda: self._transport.get_document(f"{self._host}{cursor}"), doubt
        )
        return (
            answer[0],
            self._next(cursor, answer[1]),
            why_not and f"{self._host}{cursor} {why_not}",
        )

    def _ends_with(self, partition: Partition, seen: set[str]) -> bool:
        """Whether the list, read from its other end, begins with one of these repositories."""
        try:
            found, _ = self._transport.get_document(
                f"{self._host}{_list_of(partition, -1)}&limit=1"
            )
        except HubError:
            return False
        return any(entry.get("id") in seen for entry in objects_of(found)[:1])

    def complete(self, listing: Listing) -> Listing:
        """The listing with the sizes and hashes of its files."""
        details = self._details(listing.listing_id)
        # Every repository has a .gitattributes, so an answer without files is no list of files.
        if not objects_of(details.get("siblings")):
            raise HubError(f"{self._host} names no file of {listing.listing_id}")
        # A repository that was renamed answers under its old name with its new one.
        entry = {**json.loads(listing.raw), **details, "id": listing.listing_id}
        return self._listing(entry, complete=True)

    def check_presence(self, listing_id: str) -> Presence:
        try:
            self._details(listing_id)
        except HubRefused as error:
            if error.status in (401, 403) and "gated" in error.message.lower():
                return Presence.LISTED
            if error.status == 403 and "disabled" in error.message.lower():
                return Presence.TAKEN_DOWN
            # Without a token the hub answers 401 for repositories that do not exist
            # (X-Error-Code: RepoNotFound).
            return Presence.GONE if error.status == 401 else presence_of_status(error)
        return Presence.LISTED

    def _next(self, cursor: str, headers: httpx.Headers) -> str | None:
        link = re.search(r'<([^>]+)>;\s*rel="?next\b', headers.get("link", ""))
        if link is None:
            return None
        parts = urlsplit(link[1])
        following = f"{parts.path}?{parts.query}"
        if following == cursor:
            raise HubError(
                f"{self._host} repeats page {cursor!r}; the sweep stopped there and is incomplete"
            )
        return following

    def _readable(self, entry: Any, notes: list[str]) -> Iterator[Listing]:
        """A repository as a listing; one that is odd is noted and costs no other."""
        try:
            yield self._listing(entry, complete=False)
        except ODD_SHAPES as error:
            notes.append(
                f"repository {str(entry)[:60]} cannot be read ({type(error).__name__}: {error})"
            )

    def _details(self, repository: str) -> dict[str, Any]:
        details = self._transport.get_json(
            f"{self._host}/api/models/{quote(repository)}", {"blobs": "true"}
        )
        if not isinstance(details, dict):
            raise HubError(
                f"{self._host}/api/models/{repository} answered with something that is not a "
                "JSON object"
            )
        return details

    def _listing(self, entry: dict[str, Any], *, complete: bool) -> Listing:
        card, siblings = object_of(entry.get("cardData")), objects_of(entry.get("siblings"))
        names = [str(sibling.get("rfilename", "")) for sibling in siblings]
        no_weights = bool(names) and not any(map(is_checkpoint, names))
        nothing_to_ask = text_of(entry.get("pipeline_tag")) in _NO_PICTURES or no_weights
        tags = words_of(entry.get("tags"))
        base = next(
            (
                tag.removeprefix("base_model:")
                for tag in tags
                if re.fullmatch(r"base_model:[^:]+", tag)
            ),
            None,
        )
        trigger = card.get("instance_prompt")
        repository, revision = str(entry["id"]), str(entry.get("sha") or "main")
        return Listing(
            hub=self.name,
            listing_id=repository,
            title=repository,
            url=f"{self._host}/{repository}",
            creator=text_of(entry.get("author")) or repository.partition("/")[0],
            triggers=(trigger,) if isinstance(trigger, str) and trigger else (),
            tags=tags,
            base_model=base,
            published_at=text_of(entry.get("createdAt")),
            downloads=count_of(entry.get("downloads")),
            real_person_flag=False,
            minor_flag=False,
            files=tuple(
                self._file(repository, revision, sibling)
                for sibling in siblings
                if is_checkpoint(str(sibling.get("rfilename", "")))
            ),
            raw=json.dumps(entry, ensure_ascii=False, sort_keys=True),
            revision=text_of(entry.get("sha")),
            complete=complete or nothing_to_ask,
        )

    def _file(self, repository: str, revision: str, sibling: dict[str, Any]) -> RemoteFile:
        lfs = object_of(sibling.get("lfs"))
        return RemoteFile(
            name=str(sibling["rfilename"]),
            url=(
                f"{self._host}/{quote(repository)}/resolve/{quote(revision)}"
                f"/{quote(str(sibling['rfilename']))}"
            ),
            size_bytes=count_of(sibling.get("size")) or count_of(lfs.get("size")),
            sha256=hex_digest(lfs.get("sha256") or lfs.get("oid")),
        )


def _list_of(partition: Partition, direction: int) -> str:

    order = ("createdAt", direction) if partition.since is None else ("lastModified", -direction)
    return f"/api/models?{partition.name}&sort={order[0]}&direction={order[1]}"


def _is_older(entry: Any, since: datetime) -> bool:
    try:
        return datetime.fromisoformat(entry["lastModified"]) < since
    except (KeyError, TypeError, ValueError):
        return False


HUB = HubDescription(
    name=HuggingFaceHub.name,
    addresses=(DEFAULT_HOST,),
    build=HuggingFaceHub,
    types="a tag: lora, textual_inversion",
    token_setting="huggingface_token",  # noqa: S106  the name of a setting
)
