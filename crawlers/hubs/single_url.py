"""A hub of one checkpoint: the file behind a URL."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from crawlers.errors import HubRefused
from crawlers.http.transport import Transport
from crawlers.listing import (
    Page,
    Partition,
    Presence,
    RemoteFile,
    SinglePartition,
    bare_listing,
    presence_of_status,
)


class SingleUrl(SinglePartition):
    """One listing with one file, both named by their URL."""

    name = "url"

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    def pages(
        self,
        partition: Partition,  # noqa: ARG002  there is only one
        cursor: str | None = None,  # noqa: ARG002  and it has one page
    ) -> Iterator[Page]:
        name = unquote(urlsplit(self._url).path.rsplit("/", 1)[-1]) or "checkpoint"
        file = RemoteFile(name, self._url)
        yield Page((bare_listing(self.name, self._url, name, self._url, file),), None)

    def check_presence(self, listing_id: str) -> Presence:
        try:
            with self._transport.stream(listing_id, headers={"Range": "bytes=0-0"}):
                return Presence.LISTED
        except HubRefused as error:
            return presence_of_status(error)
