"""Mails and webhooks, stored in web.db until they are delivered, with growing intervals."""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from crawlers.errors import CrawlError
from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.sweeps.webhooks import DELIVERY_HEADER, SIGNATURE_HEADER, signature_of
from scanner.settings import Settings
from scanner.web.store import WebStore

log = logging.getLogger(__name__)

# After the last interval a message is given up; its problem stays on record.
WAITS_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 86400.0)
DIGEST_HOUR_UTC = 7
_AT_ONCE = 8
_TIMEOUT_S = 10.0


class Outbox:
    """The messages in web.db, and their delivery."""

    def __init__(self, settings: Settings, store: WebStore, clock: Callable[[], datetime]) -> None:
        self._settings, self._store, self._clock = settings, store, clock

    def post(self, url: str, document: dict[str, Any], job_id: str | None = None) -> None:
        """Queue a document for a webhook."""
        self._add("webhook", url, "", json.dumps(document, ensure_ascii=False), job_id=job_id)

    def mail(self, address: str, subject: str, text: str, *, digest: bool = False) -> None:
        """Queue a mail, to be sent at once or in a daily digest; needs a mail server."""
        if self._settings.web.smtp_url is not None:
            self._add("mail", address, subject, text, digest=digest)

    def once(self, name: str, action: Callable[[], None]) -> bool:
        """Run an action unless one with this name ran before; True if it ran now."""
        with self._store.transaction() as db:
            is_new = db.conn.execute(
                "insert or ignore into told (what, at) values (?, ?)",
                [name, self._clock().isoformat()],
            ).rowcount
            if is_new:
                action()
        return bool(is_new)

    def send_due(self) -> int:
        """Try every message that is due; how many were delivered."""
        now = self._clock().timestamp()
        rows = list(
            self._store.db.table("messages").rows_where(
                "sent_at is null and next_at <= ?", [now], order_by="next_at", limit=200
            )
        )
        if not rows:
            return 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            groups = list(_grouped(rows))
            problems = list(pool.map(self._deliver, groups))
        for group, problem in zip(groups, problems, strict=True):
            for row in group:
                self._note(row, problem)
        return sum(
            len(group) for group, problem in zip(groups, problems, strict=True) if problem is None
        )

    def messages_of_job(self, job_id: str) -> list[dict[str, Any]]:
        """The messages about a job, and what became of them."""
        rows = self._store.db.table("messages").rows_where(
            "job_id = ?", [job_id], order_by="created_at"
        )
        return [
            {name: row[name] for name in ("address", "tries", "sent_at", "problem")} for row in rows
        ]

    def _add(
        self,
        kind: str,
        address: str,
        subject: str,
        body: str,
        *,
        digest: bool = False,
        job_id: str | None = None,
    ) -> None:
        now = self._clock()
        due = now
        if digest:
            due = now.replace(hour=DIGEST_HOUR_UTC, minute=0, second=0, microsecond=0)
            due += timedelta(days=due <= now)
        with self._store.transaction() as db:
            db.table("messages").insert(
                {
                    "message_id": uuid.uuid4().hex,
                    "kind": kind,
                    "address": address,
                    "subject": subject,
                    "body": body,
                    "digest": int(digest),
                    "tries": 0,
                    "next_at": due.timestamp(),
                    "sent_at": None,
                    "problem": None,
                    "job_id": job_id,
                    "created_at": now.isoformat(),
                }
            )

    def _note(self, row: dict[str, Any], problem: str | None) -> None:
        now = self._clock()
        if problem is None:
            # The text is deleted after delivery; the record of the delivery stays.
            changes: dict[str, Any] = {"sent_at": now.isoformat(), "problem": None, "body": ""}
        elif row["tries"] >= len(WAITS_S):
            # Addresses and answers may contain a secret or a name, so the log has no details;
            # web.db has them.
            log.error(
                "%s %s is given up after %d tries", row["kind"], row["message_id"], row["tries"] + 1
            )
            changes = {"sent_at": "", "problem": f"given up: {problem}", "body": ""}
        else:
            changes = {"next_at": now.timestamp() + WAITS_S[row["tries"]], "problem": problem}
        with self._store.transaction() as db:
            db.table("messages").update(row["message_id"], {**changes, "tries": row["tries"] + 1})

    def _deliver(self, group: list[dict[str, Any]]) -> str | None:
        """Send one webhook, one mail or one digest; the problem, None if there is none."""
        try:
            if group[0]["kind"] == "webhook":
                self._post(group[0])
            else:
                self._send(group)
        except (CrawlError, OSError, smtplib.SMTPException, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:300]
        return None

    def _post(self, row: dict[str, Any]) -> None:
        body = row["body"].encode()
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: row["message_id"]}
        if self._settings.webhook_secret is not None:
            headers[SIGNATURE_HEADER] = signature_of(
                body, self._settings.webhook_secret.get_secret_value()
            )
        # The address came from a caller of the API: it is checked like any untrusted one, also at
        # redirects.
        transport = Transport(
            attempts=1,
            timeout_s=_TIMEOUT_S,
            destinations=Destinations(self._settings.allowed_hosts),
        )
        try:
            transport.deliver(row["address"], body, headers)
        finally:
            transport.close()

    def _send(self, group: list[dict[str, Any]]) -> None:
        secret = self._settings.web.smtp_url
        if secret is None:
            raise OSError("no mail server is configured any more")
        message = EmailMessage()
        user, _, host = group[0]["address"].rpartition("@")
        message["From"], message["To"] = (
            self._settings.web.mail_from,
            Address(username=user, domain=host),
        )
        message["Subject"] = (
            group[0]["subject"] if len(group) == 1 else f"portrait-scanner: {len(group)}"
        )
        message["Date"], message["Message-ID"] = (
            formatdate(),
            make_msgid(domain="portrait-scanner.invalid"),
        )
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n---\n\n".join(row["body"] for row in group))
        server_url = urlsplit(secret.get_secret_value())
        context = ssl.create_default_context()
        host, port = server_url.hostname or "localhost", server_url.port
        if server_url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port or 465, timeout=_TIMEOUT_S, context=context
            )
        else:
            server = smtplib.SMTP(host, port or 587, timeout=_TIMEOUT_S)
        with server:
            server.ehlo()
            if server_url.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            if server_url.username:
                server.login(unquote(server_url.username), unquote(server_url.password or ""))
            server.send_message(message, to_addrs=[group[0]["address"]])


def must_be_postable(url: str, allowed_hosts: Sequence[str]) -> None:
    """Refuse an address that nothing can be posted to; names are resolved again when posting.

    Raises:
        DestinationRefused: not http(s), or an address of the own network that is not allowed.
        httpx.InvalidURL: not an address.
    """
    place = httpx.URL(url)
    destinations = Destinations(tuple(allowed_hosts))
    destinations.must_allow(place)
    if place.host.replace(".", "").isdigit() or ":" in place.host or place.host == "localhost":
        destinations.addresses_of(
            place.host, place.port or (443 if place.scheme == "https" else 80)
        )


def _grouped(rows: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Messages that are sent together: the digests of an address as one mail, others alone."""
    digests: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["digest"]:
            digests.setdefault(row["address"], []).append(row)
        else:
            yield [row]
    yield from digests.values()
