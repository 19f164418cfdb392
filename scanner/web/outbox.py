"""What is to be told: webhooks, kept in web.db until they were delivered, with waits that grow."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from crawlers.destinations import Destinations
from crawlers.errors import CrawlError
from crawlers.transport import Transport
from crawlers.webhooks import DELIVERY_HEADER, SIGNATURE_HEADER, signature_of
from scanner.settings import Settings
from scanner.web.store import WebStore

# After the last one a message is given up; its problem stays on record.
WAITS_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 86400.0)
_AT_ONCE = 8
_TIMEOUT_S = 10.0


class Outbox:
    """Messages in web.db, and sending them."""

    def __init__(self, settings: Settings, store: WebStore, clock: Callable[[], datetime]) -> None:
        self._settings, self._store, self._clock = settings, store, clock

    def post(self, url: str, document: dict[str, Any], job_id: str | None = None) -> None:
        """Have a document posted to a webhook."""
        now = self._clock()
        with self._store.transaction() as db:
            db.table("messages").insert(
                {
                    "message_id": uuid.uuid4().hex, "address": url, "body": json.dumps(document, ensure_ascii=False), "tries": 0,
                    "next_at": now.timestamp(), "sent_at": None, "problem": None, "job_id": job_id, "created_at": now.isoformat(),
                }
            )  # fmt: skip

    def send_due(self) -> int:
        """Try everything whose time has come; how many messages were delivered."""
        now = self._clock().timestamp()
        rows = list(
            self._store.db.table("messages").rows_where(
                "sent_at is null and next_at <= ?", [now], order_by="next_at", limit=200
            )
        )
        if not rows:
            return 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            problems = list(pool.map(self._deliver, rows))
        for row, problem in zip(rows, problems, strict=True):
            self._note(row, problem)
        return sum(problem is None for problem in problems)

    def of_job(self, job_id: str) -> list[dict[str, Any]]:
        """What was to be told of a job, and what became of it."""
        rows = self._store.db.table("messages").rows_where("job_id = ?", [job_id], order_by="created_at")
        return [{name: row[name] for name in ("address", "tries", "sent_at", "problem")} for row in rows]

    def _note(self, row: dict[str, Any], problem: str | None) -> None:
        now = self._clock()
        if problem is None:
            # What was told need not be kept; that and when it was told does.
            changes: dict[str, Any] = {"sent_at": now.isoformat(), "problem": None, "body": ""}
        elif row["tries"] >= len(WAITS_S):
            changes = {"sent_at": "", "problem": f"given up: {problem}", "body": ""}
        else:
            changes = {"next_at": now.timestamp() + WAITS_S[row["tries"]], "problem": problem}
        with self._store.transaction() as db:
            db.table("messages").update(row["message_id"], {**changes, "tries": row["tries"] + 1})

    def _deliver(self, row: dict[str, Any]) -> str | None:
        """Post one message; what went wrong, None if nothing did."""
        try:
            self._post(row)
        except (CrawlError, OSError) as error:
            return f"{type(error).__name__}: {error}"[:300]
        return None

    def _post(self, row: dict[str, Any]) -> None:
        body = row["body"].encode()
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: row["message_id"]}
        if self._settings.webhook_secret is not None:
            headers[SIGNATURE_HEADER] = signature_of(body, self._settings.webhook_secret.get_secret_value())
        # The address came from whoever called the API: it is judged as a stranger's, at every redirect again.
        transport = Transport(attempts=1, timeout_s=_TIMEOUT_S, destinations=Destinations(self._settings.allowed_hosts))
        try:
            transport.deliver(row["address"], body, headers)
        finally:
            transport.close()
