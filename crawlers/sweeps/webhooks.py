"""Delivery of events to an operator's server: in order, each at least once, signed."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json

import httpx

from crawlers.errors import HubError
from crawlers.http.destinations import is_address
from crawlers.http.transport import Transport
from crawlers.sweeps.crawl_store import CrawlStore

EVENTS_AT_ONCE = 100
SIGNATURE_HEADER, DELIVERY_HEADER = "X-Portrait-Scanner-Signature", "X-Portrait-Scanner-Delivery"


class Webhook:
    """An address to which events are posted from the moment it is first named.

    Events of a place's first sweep are left out.

    Args:
        secret: signs every body with `sha256=` and the HMAC-SHA256 in hex, as GitHub's webhooks
            do; None sends bodies unsigned.
    """

    def __init__(
        self, store: CrawlStore, transport: Transport, url: str, secret: str | None
    ) -> None:
        if not is_address(url):
            raise HubError(
                f"{url!r} is no address that events can be posted to; write https://host/path"
            )
        transport.destinations.must_allow(httpx.URL(url))
        self._store, self._transport, self._url, self._secret = store, transport, url, secret
        with store.transaction():
            query = (
                "insert or ignore into webhooks select ?, coalesce(max(event_id), 0) from events"
            )
            store.db.execute(query, [url])

    def deliver(self) -> int:
        """Post the events that were not delivered yet and return their number.

        Raises:
            HubError: the address did not accept them; they stay for the next call.
        """
        delivered = 0
        query = "select delivered from webhooks where url = ?"
        while events := self._store.events(
            limit=EVENTS_AT_ONCE, after=self._store.db.execute(query, [self._url]).fetchone()[0]
        ):
            body = json.dumps(
                {"events": [dataclasses.asdict(event) for event in events]}, ensure_ascii=False
            ).encode()
            first, last = events[0].event_id, events[-1].event_id
            headers = {"Content-Type": "application/json", DELIVERY_HEADER: f"{first}-{last}"}
            if self._secret is not None:
                headers[SIGNATURE_HEADER] = signature_of(body, self._secret)
            self._transport.deliver(self._url, body, headers)
            self._move_to(last)
            delivered += len(events)
        return delivered

    def _move_to(self, event_id: int) -> None:
        with self._store.transaction():
            self._store.db.execute(
                "update webhooks set delivered = ? where url = ?", [event_id, self._url]
            )


def signature_of(body: bytes, secret: str) -> str:
    """The signature of a body, which the receiver computes too and compares in constant time.

    The library standardwebhooks is not used, because it signs other bytes under other headers:
    receivers of version 0.1.0 could not verify its signatures.
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
