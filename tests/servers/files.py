"""A real HTTP server for files, with faults that a test can switch on."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class FileServer(ThreadingHTTPServer):
    """Serves a folder on a free port of loopback."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.folder = folder
        self.ignore_range = False  # answer 200 with the whole file, as many servers do
        self.cut_after: int | None = (
            None  # drop the connection after so many bytes of the next body
        )
        self.when_cut: Callable[[], object] = lambda: None  # called after that
        self.etags = True
        self.pause_s = 0.0  # between the pieces of a body
        self.redirects: dict[
            str, list[tuple[int, dict[str, str]]]
        ] = {}  # answers of a path before anything else
        self.failures: list[tuple[int, dict[str, str]]] = []  # statuses to answer before serving
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent_bytes = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Requests(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        if self.server.redirects.get(self.path) or self.server.failures:
            status, headers = (self.server.redirects.get(self.path) or self.server.failures).pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = self.server.folder / self.path.split("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        start, end = 0, len(data) - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if self.headers.get("If-Range", etag) != etag:
            match = None  # the client has the beginning of another file
        if match and not self.server.ignore_range:
            start, end = int(match[1]), min(int(match[2] or end), end)
            if start > end:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(end - start + 1))
        if self.server.etags:
            self.send_header("ETag", etag)
        self.end_headers()
        body = data[start : end + 1]
        cut, self.server.cut_after = self.server.cut_after, None
        self._send(body if cut is None else body[:cut])
        if cut is not None:
            self.connection.close()
            self.server.when_cut()

    def _send(self, body: bytes) -> None:
        for place in range(0, len(body), 16384):
            try:
                self.wfile.write(body[place : place + 16384])
            except OSError:
                return
            self.server.sent_bytes += len(body[place : place + 16384])
            time.sleep(self.server.pause_s)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def serve_files(folder: Path) -> Iterator[FileServer]:
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
