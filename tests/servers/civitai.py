"""A hub of thousands of models in Civitai's REST protocol, with the faults that sweeps meet.

Cursor columns and comparisons follow the hub's source code (a page is lost by Newest, ties by
Oldest). Faults are drawn from a seeded generator, so that a run can be repeated.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeCivitai(ThreadingHTTPServer):
    """Serves models 1 to `count`, in groups of seven that were published in the same second.

    There is a group every second day.

    Args:
        faults: the share of list requests that fail.
        budget: requests per second, announced and enforced by RateLimit headers; None for no limit.
    """

    daemon_threads = True

    def __init__(
        self,
        count: int,
        faults: float = 0.0,
        delay_s: float = 0.0,
        seed: int = 0,
        budget: int | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.models = {number: model(number) for number in range(1, count + 1)}
        self.faults, self.delay_s = faults, delay_s
        self.archived: set[int] = set()
        self.flagged: set[int] = set()
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.requests: list[str] = []
        self.budget, self.window, self.in_window, self.over_budget = budget, 0, 0, 0
        self.posted: list[list[str]] = []
        self.faults_made: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def draw_fault(self) -> str | None:
        with self.lock:
            if self.rng.random() >= self.faults:
                return None
            fault = self.rng.choice(["429", "500", "cut", "empty", "html", "503"])
            self.faults_made.append(fault)
            return fault


def model(number: int) -> dict[str, Any]:
    sha256 = f"{number:064X}"
    file = {
        "id": number,
        "name": f"m{number}.safetensors",
        "sizeKB": 9000.0,
        "type": "Model",
        "hashes": {"SHA256": sha256},
        "downloadUrl": f"//civitai.com/api/download/models/{number}",
    }
    version = {
        "id": number,
        "name": "v1",
        "baseModel": "SD 1.5",
        "publishedAt": _second(number),
        "trainedWords": ["ohwx"],
        "stats": {"downloadCount": None},
        "files": [file],
        "images": [],
    }
    return {
        "id": number,
        "name": f"Model {number}",
        "type": "LORA",
        "poi": False,
        "minor": False,
        "nsfw": False,
        "nsfwLevel": 1 if number % 3 else 4,
        "creator": {"username": "maker"},
        "tags": ["woman"],
        "allowCommercialUse": "{Image,RentCivit}",
        "modelVersions": [version],
    }


def _second(number: int) -> str:
    day = datetime(2022, 11, 3, 10, 0, tzinfo=UTC) + timedelta(days=2 * (number // 7))
    return day.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _columns(entry: dict[str, Any]) -> tuple[str, int]:
    return entry["modelVersions"][0]["publishedAt"], entry["id"]


class _Requests(BaseHTTPRequestHandler):
    server: FakeCivitai

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self.server.lock:
            self.server.requests.append(self.path)
        time.sleep(self.server.delay_s)
        if self._is_over_budget():
            return self._json(429, {"message": "Too many requests"}, {"Retry-After": "1"})
        if parts.path == "/api/v1/models":
            return self._models(parse_qs(parts.query))
        if match := re.fullmatch(r"/api/v1/model-versions/(\d+)", parts.path):
            return self._version(int(match[1]))
        return self._json(404, {"error": "Not found"})

    def do_POST(self) -> None:
        if urlsplit(self.path).path != "/api/v1/model-versions/by-hash/ids":
            return self._json(404, {"error": "Not found"})
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.posted.append(asked)
        if len(asked) > 10_000 or not all(re.fullmatch("[0-9A-F]{64}", one) for one in asked):
            return self._json(400, {"error": "Invalid hashes"})
        # The hub drops unknown hashes silently, and knows flagged models by hash.
        known = {int(one, 16): one for one in asked if int(one, 16) in self.server.models}
        found = [
            {"modelVersionId": number, "modelId": number, "hash": sha256}
            for number, sha256 in known.items()
        ]
        return self._json(200, found)

    def _is_over_budget(self) -> bool:
        """Count the request in its second; the next answer announces what is left."""
        server = self.server
        if server.budget is None:
            return False
        with server.lock:
            second = int(time.monotonic())
            if second != server.window:
                server.window, server.in_window = second, 0
            server.in_window += 1
            server.over_budget += server.in_window > server.budget
            return server.in_window > server.budget

    def _budget_headers(self) -> dict[str, str]:
        server = self.server
        if server.budget is None:
            return {}
        left = max(0, server.budget - server.in_window)
        return {
            "RateLimit": f'"api";r={left};t=1',
            "RateLimit-Policy": f'"fixed window";"api";q={server.budget};w=1',
        }

    def _models(self, query: dict[str, list[str]]) -> None:
        fault = self.server.draw_fault()
        if fault in ("500", "503"):
            return self._json(int(fault), {"message": "An unexpected error occurred"})
        if fault == "429":
            return self._json(429, {"message": "Too many requests"}, {"Retry-After": "1"})
        if fault == "html":
            return self._answer(
                200, b"<!doctype html><title>Just a moment...</title>", "text/html", {}
            )
        limit = int(query["limit"][0])
        with self.server.lock:
            models = sorted(self.server.models.values(), key=_columns)
        if cursor := query.get("cursor", [None])[0]:
            if cursor.count("|") != 1:
                received = cursor.count("|") + 1
                return self._json(
                    400,
                    {
                        "message": (
                            "Invalid cursor: expected 2 value(s) for this sort, received "
                            f"{received}"
                        )
                    },
                )
            published, _, number = cursor.rpartition("|")
            models = [entry for entry in models if _columns(entry) >= (published, int(number))]
        page: dict[str, Any] = {"items": models[:limit], "metadata": {}}
        if len(models) > limit:
            published, number = _columns(models[limit])
            page["metadata"]["nextCursor"] = f"{published}|{number}"
        if (
            fault == "empty" and models
        ):  # the hub filtered the whole page away, and the cursor stays where it was
            page = {
                "items": [],
                "metadata": {"nextCursor": "|".join(map(str, _columns(models[0])))},
            }
        self._json(200, page, cut=fault == "cut")
        return None

    def _version(self, number: int) -> None:
        if number in self.server.flagged:
            return self._json(
                200,
                {
                    "id": number,
                    "modelId": number,
                    "name": "v1",
                    "files": [],
                    "model": {"name": "x", "poi": True},
                },
            )
        if number in self.server.archived:
            return self._json(410, {"error": "Model archived"})
        entry = self.server.models.get(number)
        if entry is None:
            return self._json(404, {"error": "Model not found"})
        return self._json(
            200,
            {
                **entry["modelVersions"][0],
                "modelId": number,
                "model": {"name": entry["name"], "type": "LORA", "poi": False},
            },
        )

    def _json(
        self,
        status: int,
        document: Any,
        headers: dict[str, str] | None = None,
        *,
        cut: bool = False,
    ) -> None:
        self._answer(
            status, json.dumps(document).encode(), "application/json", headers or {}, cut=cut
        )

    def _answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **self._budget_headers(),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.connection.close()
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def serve_civitai(count: int, **habits: Any) -> Iterator[FakeCivitai]:
    server = FakeCivitai(count, **habits)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
