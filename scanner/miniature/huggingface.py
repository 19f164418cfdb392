"""The second miniature hub, which speaks Hugging Face's protocol on loopback.

It has the list with Link headers, the details of repositories, and the redirect of downloads.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from scanner.miniature.world import WorldFile

COMMIT = "a" * 40


class HuggingFaceServer(ThreadingHTTPServer):
    """A server of repositories by id; each has a tag, a card and files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.gated: set[str] = set()
        self.disabled: set[str] = set()
        self.limited = 0  # number of next requests that are answered 429
        self.page_size = 2
        self.answers_as: dict[str, str] = {}  # repositories that were renamed
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, repository: str, tag: str, files: dict[str, bytes], **card: Any) -> None:
        self.repositories[repository] = {
            "tag": tag,
            "files": files,
            "card": card,
            "number": len(self.repositories),
            "sha": COMMIT,
            "modified": f"2026-10-{1 + len(self.repositories):02d}T00:00:00.000Z",
        }

    def share(self, file: WorldFile, data: bytes) -> None:
        """Add a repository with a file of the miniature world."""
        prompt = f"photo of {file.triggers[0]} person"
        self.add(
            f"{file.creator}/{file.title}", file.tags[0], {file.file: data}, instance_prompt=prompt
        )


class _Requests(BaseHTTPRequestHandler):
    server: HuggingFaceServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        if self.server.limited:
            self.server.limited -= 1
            limits = {
                "RateLimit": '"api";r=0;t=1',
                "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
            }
            return self._json(429, {"error": "Too Many Requests"}, limits)
        if parts.path == "/api/models":
            return self._list(parse_qs(parts.query), parts.query)
        if match := re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", unquote(parts.path)
        ):
            return self._repository(match[1])
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(parts.path)):
            return self._resolve(match[1], match[3])
        if match := re.fullmatch(r"/cdn/([0-9a-f]{64})", parts.path):
            return self._cdn(match[1])
        return self._json(404, {"error": "Not found"})

    def _list(self, query: dict[str, list[str]], text: str) -> None:
        wanted, words = query.get("filter", [""])[0], query.get("search", [""])[0]
        found = [
            self._entry(name)
            for name, repository in self.server.repositories.items()
            if (not wanted or repository["tag"] == wanted) and words in name
        ]
        if query.get("sort") == ["lastModified"]:
            found.sort(key=lambda entry: entry["lastModified"], reverse=True)
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.server.page_size
        headers = {}
        if end < len(found):
            plain = re.sub(r"&?cursor=\d+", "", text)
            # Proxies change the host of this address, so only the hub's own client gets the real
            # one.
            own_client = "hf_hub" in self.headers.get("User-Agent", "")
            host = self.server.url if own_client else "https://elsewhere.invalid"
            headers["Link"] = f'<{host}/api/models?{plain}&cursor={end}>; rel="next"'
        self._json(200, found[start:end], headers)

    def _repository(self, name: str) -> None:
        if name not in self.server.repositories:
            return self._json(
                401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
            )
        if name in self.server.disabled:
            message = "Access to this resource is disabled."
            return self._json(403, {"error": message}, {"X-Error-Message": message})
        if name in self.server.gated:
            return self._json(
                403, {"error": "Access to model is gated"}, {"X-Error-Code": "GatedRepo"}
            )
        entry = self._entry(name)
        for sibling in entry["siblings"]:
            data = self.server.repositories[name]["files"][sibling["rfilename"]]
            sha256 = hashlib.sha256(data).hexdigest()
            sibling |= {"size": len(data), "blobId": sha256[:40]}
            if len(data) > 100:
                sibling["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return self._json(200, {**entry, "id": self.server.answers_as.get(name, name)})

    def _entry(self, name: str) -> dict[str, Any]:
        repository = self.server.repositories[name]
        return {
            "id": name,
            "modelId": name,
            "author": name.split("/", maxsplit=1)[0],
            "sha": repository["sha"],
            "lastModified": repository["modified"],
            "private": False,
            "gated": False,
            "createdAt": f"2026-10-{1 + repository['number']:02d}T00:00:00.000Z",
            "downloads": 5,
            "likes": 1,
            "tags": [
                "diffusers",
                repository["tag"],
                "base_model:org/base",
                "base_model:adapter:org/base",
            ],
            "cardData": repository["card"],
            "siblings": [{"rfilename": file} for file in repository["files"]],
        }

    def _resolve(self, name: str, file: str) -> None:
        data = self.server.repositories.get(name, {}).get("files", {}).get(file)
        if data is None:
            return self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        sha256 = hashlib.sha256(data).hexdigest()
        headers = {
            "Location": f"http://localhost:{self.server.server_port}/cdn/{sha256}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(data)),
            "ETag": f'"{sha256}"',
        }
        return self._answer(302, b"", "text/plain", headers)

    def _cdn(self, sha256: str) -> None:
        if "Authorization" in self.headers:
            return self._json(400, {"error": "InvalidRequest"})
        files = [
            data
            for repository in self.server.repositories.values()
            for data in repository["files"].values()
        ]
        data = next(data for data in files if hashlib.sha256(data).hexdigest() == sha256)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            return self._answer(200, data, "application/octet-stream", {"ETag": f'"{sha256}"'})
        start, end = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
        return self._answer(
            206,
            data[start : end + 1],
            "application/octet-stream",
            {"Content-Range": f"bytes {start}-{end}/{len(data)}"},
        )

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json", headers or {})

    def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def serve_huggingface() -> Iterator[HuggingFaceServer]:
    """The hub on a free loopback port for the duration of a with-block."""
    server = HuggingFaceServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
