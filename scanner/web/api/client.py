"""A small client of the gate's API for programs of hubs; it imports only httpx.

with Gate("https://scanner.example", "psk_...") as gate:
    scan = gate.scan_file(path, listing={"triggers": ["ohwx"]}, key=upload_id)
    print(gate.wait(scan["job_id"])["verdict"]["action"])
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_MAX_TRIES = 5
_MAX_WAIT_S = 60.0
_RETRY_STATUS = (429, 503)
ENDED = ("finished", "failed", "cancelled")


class GateError(Exception):
    """The gate refused a request: `status` is the HTTP status, `code` is stable."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail


class Gate:
    """One gate and one token. Answers are JSON documents as dicts; docs/gate.md describes them.

    Args:
        url: the gate's address, without a path.
        token: a token of `portrait-scanner account token`.
        client: an httpx client with proxies or certificates of its own.
    """

    def __init__(self, url: str, token: str, client: httpx.Client | None = None) -> None:
        self._client = client or httpx.Client(timeout=httpx.Timeout(30.0, write=300.0, read=300.0))
        self._url, self._headers = url.rstrip("/"), {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def scan_file(
        self,
        path: Path | str,
        listing: Mapping[str, Any] | None = None,
        webhook: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Send a file, streamed from disk; the scan, with its verdict if the bytes are known.

        Args:
            listing: what the hub says about the file: title, creator, triggers, tags, minor and so
                on.
            webhook: where the ended scan is posted.
            key: idempotency key: the same key and file give the same scan.

        Raises:
            GateError: refused; after 429 and 503 the request is repeated first.
        """
        params = {"webhook": webhook} if webhook else {}

        def send() -> httpx.Response:
            with Path(path).open("rb") as file:
                return self._client.post(
                    f"{self._url}/api/v1/scans",
                    params=params,
                    headers=self._with(key),
                    files={"file": (Path(path).name, file)},
                    data={"listing": json.dumps(dict(listing or {}))},
                )

        return self._requested(send)

    def scan_url(
        self,
        url: str,
        listing: Mapping[str, Any] | None = None,
        webhook: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Make the gate download a file from a public address."""
        return self._scan(
            {"url": url, "listing": dict(listing) if listing else None, "webhook": webhook}, key
        )

    def scan_sha256(
        self,
        sha256: str,
        listing: Mapping[str, Any] | None = None,
        webhook: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Ask about a file that was sent or crawled before."""
        return self._scan(
            {"sha256": sha256, "listing": dict(listing) if listing else None, "webhook": webhook},
            key,
        )

    def scan(self, job_id: str) -> dict[str, Any]:
        """A scan in its present state."""
        return self._get(f"scans/{job_id}")

    def wait(self, job_id: str, timeout_s: float = 3600.0, every_s: float = 2.0) -> dict[str, Any]:
        """Wait until a scan has ended; raises TimeoutError."""
        last = time.monotonic() + timeout_s
        while True:
            scan = self.scan(job_id)
            if scan["state"] in ENDED:
                return scan
            if time.monotonic() >= last:
                raise TimeoutError(
                    f"scan {job_id} is still {scan['state']} after {timeout_s:.0f} s"
                )
            time.sleep(every_s)

    def scans(self, state: str | None = None) -> Iterator[dict[str, Any]]:
        """The account's scans, newest first."""
        yield from self._pages("scans", {"state": state} if state else {})

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a scan."""
        return self._requested(
            lambda: self._client.delete(f"{self._url}/api/v1/scans/{job_id}", headers=self._headers)
        )

    def verdict(self, sha256: str) -> dict[str, Any] | None:
        """The verdict on known bytes; None if there is none for the people registered now.

        It is None too while people who registered are being searched for; a scan of the bytes then
        waits for that search.
        """
        try:
            document = self._get(f"verdicts/{sha256}")
        except GateError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return None if document.get("state") == "searching" else document

    def cases(self, status: str | None = None) -> Iterator[dict[str, Any]]:
        """Cases, newest first."""
        yield from self._pages("cases", {"status": status} if status else {})

    def statement_of_reasons(
        self, case_id: str, fields: Mapping[str, str], language: str = "en"
    ) -> dict[str, Any]:
        """Draft the statement of reasons of a confirmed case."""
        body = {"fields": dict(fields), "language": language}
        url = f"{self._url}/api/v1/cases/{case_id}/statement"
        return self._requested(lambda: self._client.post(url, json=body, headers=self._headers))

    def _scan(self, body: dict[str, Any], key: str | None) -> dict[str, Any]:
        document = {name: value for name, value in body.items() if value is not None}
        return self._requested(
            lambda: self._client.post(
                f"{self._url}/api/v1/scans", json=document, headers=self._with(key)
            )
        )

    def _pages(self, name: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
        before: str | None = None
        while True:
            page = self._get(name, {**params, **({"before": before} if before else {})})
            yield from page[name]
            before = page["next"]
            if before is None:
                return

    def _get(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return self._requested(
            lambda: self._client.get(
                f"{self._url}/api/v1/{path}", params=params or {}, headers=self._headers
            )
        )

    def _with(self, key: str | None) -> dict[str, str]:
        return {**self._headers, "Idempotency-Key": key} if key else self._headers

    def _requested(self, send: Any) -> dict[str, Any]:
        for attempt in range(_MAX_TRIES):
            answer: httpx.Response = send()
            if answer.status_code not in _RETRY_STATUS or attempt + 1 == _MAX_TRIES:
                break
            time.sleep(min(float(answer.headers.get("Retry-After") or 1.0), _MAX_WAIT_S))
        if answer.is_success:
            return dict(answer.json())
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        raise GateError(
            answer.status_code,
            problem.get("code", "http"),
            problem.get("detail", answer.reason_phrase),
        )


def is_from_gate(body: bytes, signature: str, secret: str) -> bool:
    """Whether the body of a webhook was signed with the secret.

    Args:
        signature: the header X-Portrait-Scanner-Signature.
    """
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={mac}", signature)
