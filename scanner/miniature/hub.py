"""The miniature hub: serves the shipped files on loopback in Civitai's REST protocol.

It has Civitai's peculiarities: cursors of two columns, the model that every page sorted by Newest
loses, the 307 to a signed address that refuses an Authorization header, and JSON errors.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from PIL import Image

from crawlers.hashes import sha256_of
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import WorldFile

PREVIEWS = 4
_FIRST_MODEL, _FIRST_VERSION, _FIRST_FILE = 900_001, 910_001, 920_001


def model_entry(file: WorldFile, number: int, host: str) -> dict[str, Any]:
    """One model as /api/v1/models lists it."""
    sha256 = sha256_of(file.path).upper()
    version_id = _FIRST_VERSION + number
    published = f"2026-10-{number % 28 + 1:02d}T10:00:00.000Z"
    pickle = file.path.suffix != ".safetensors"
    entry = {
        "id": _FIRST_FILE + number,
        "name": file.file,
        "sizeKB": file.path.stat().st_size / 1024,
        "type": "Model",
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "metadata": {
            "format": "PickleTensor" if pickle else "SafeTensor",
            "size": None,
            "fp": None,
        },
        "hashes": {"SHA256": sha256, "AutoV2": sha256[:10]},
        "downloadUrl": f"{host}/api/download/models/{version_id}",
        "primary": True,
    }
    version = {
        "id": version_id,
        "index": 0,
        "name": "v1.0",
        "baseModel": "SD 1.5",
        "baseModelType": "Standard",
        "publishedAt": published,
        "availability": "Public",
        "nsfwLevel": 1,
        "trainedWords": list(file.triggers),
        "stats": {"downloadCount": 1000 + 37 * number, "thumbsUpCount": number},
        "files": [entry],
        "images": [
            _preview(version_id, place, host)
            for place in range(PREVIEWS if file.person_seeds else 0)
        ],
        "downloadUrl": entry["downloadUrl"],
    }
    return {
        "id": _FIRST_MODEL + number,
        "name": file.title,
        "description": "<p>A drawn example.</p>",
        "allowCommercialUse": "{Image,RentCivit}",
        "type": "TextualInversion" if pickle else "LORA",
        "minor": False,
        "poi": False,
        "nsfw": False,
        "nsfwLevel": 1,
        "availability": "Public",
        "stats": {
            "downloadCount": 1000 + 37 * number,
            "thumbsUpCount": number,
            "thumbsDownCount": 0,
        },
        "creator": {"username": file.creator, "image": None},
        "tags": list(file.tags),
        "modelVersions": [version],
    }


def _preview(version_id: int, place: int, host: str) -> dict[str, Any]:
    return {
        "id": version_id * 10 + place,
        "url": f"{host}/previews/{version_id}/{place}.jpeg",
        "nsfwLevel": 1,
        "width": 256,
        "height": 256,
        "hash": "",
        "type": "image",
        "minor": False,
        "poi": False,
        "hasMeta": False,
        "onSite": False,
    }


class _Requests(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if parts.path == "/api/v1/models":
            return self._models(query)
        if match := re.fullmatch(r"/api/v1/model-versions/(\d+)", parts.path):
            return self._version(int(match[1]))
        if match := re.fullmatch(r"/api/download/models/(\d+)", parts.path):
            return self._download(int(match[1]))
        if match := re.fullmatch(r"/signed/(\d+)/.*", parts.path):
            return self._signed(int(match[1]))
        if match := re.fullmatch(r"/previews/(\d+)/(\d+)\.jpeg", parts.path):
            return self._drawn(int(match[1]) - _FIRST_VERSION, int(match[2]))
        return self._json(404, {"error": "Not found"})

    def _drawn(self, number: int, place: int) -> None:
        """A preview: a picture of the person that the file was trained on."""
        if not (
            0 <= number < len(self.server.files)
            and self.server.files[number].person_seeds
            and place < PREVIEWS
        ):
            return self._json(404, {"error": "Not found"})
        seeds = self.server.files[number].person_seeds
        data = io.BytesIO()
        pixels = draw_photo(person_of(seeds[place % len(seeds)]), 900 + place, 256).pixels
        Image.fromarray(pixels).save(data, "JPEG", quality=92)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(data.tell()))
        self.end_headers()
        self.wfile.write(data.getvalue())
        return None

    def _models(self, query: dict[str, list[str]]) -> None:
        limit = int(query.get("limit", ["100"])[0])
        sort = query.get("sort", ["Highest Rated"])[0]
        if not 0 <= limit <= 100:
            return self._json(400, {"error": "limit must be between 0 and 100"})
        types = query.get("types")
        newest = sort == "Newest"
        models = [model for model in self.server.models if not types or model["type"] in types]
        models.sort(key=_cursor_columns, reverse=newest)
        if cursor := query.get("cursor", [None])[0]:
            columns = cursor.split("|")
            if len(columns) != 2:
                problem = "Invalid cursor: expected 2 value(s) for this sort, received"
                return self._json(400, {"message": f"{problem} {len(columns)}"})
            mark = (columns[0], int(columns[1]))
            # Newest compares with `<`, as Civitai does, so the model that the cursor names is lost.
            models = [
                model
                for model in models
                if (_cursor_columns(model) < mark if newest else _cursor_columns(model) >= mark)
            ]
        page: dict[str, Any] = {"items": models[:limit], "metadata": {}}
        if len(models) > limit:
            published, model_id = _cursor_columns(models[limit])
            cursor = f"{published}|{model_id}"
            page["metadata"] = {
                "nextCursor": cursor,
                "nextPage": f"//elsewhere.invalid/api/v1/models?cursor={quote(cursor)}",
            }
        return self._json(200, page)

    def _version(self, version_id: int) -> None:
        for model in self.server.models:
            if model["modelVersions"][0]["id"] == version_id:
                return self._json(
                    200,
                    {
                        **model["modelVersions"][0],
                        "modelId": model["id"],
                        "model": {"name": model["name"]},
                    },
                )
        return self._json(404, {"error": "Model not found"})

    def _download(self, version_id: int) -> None:
        number = version_id - _FIRST_VERSION
        if not 0 <= number < len(self.server.files):
            return self._json(404, {"error": "File not found"})
        self.send_response(307)
        address = f"http://localhost:{self.server.server_port}/signed/{number}/file"
        self.send_header("Location", f"{address}?X-Amz-Expires=86400&X-Amz-Signature=abc")
        self.send_header("Cache-Control", "no-store, max-age=0")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _signed(self, number: int) -> None:
        if "Authorization" in self.headers:
            return self._json(
                400, {"error": "InvalidRequest", "message": "Missing x-amz-content-sha256"}
            )
        data = self.server.files[number].path.read_bytes()
        start, end = 0, len(data) - 1
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2] or end), end)
            if start > end:
                return self._json(416, {"error": "InvalidRange"})
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(data[start : end + 1])
        return None

    def _json(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by the base class
        """Do not log requests."""


def _cursor_columns(model: dict[str, Any]) -> tuple[str, int]:
    return model["modelVersions"][0]["publishedAt"], model["id"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: Sequence[WorldFile]) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.files = list(files)
        host = f"http://127.0.0.1:{self.server_port}"
        self.models = [model_entry(file, number, host) for number, file in enumerate(self.files)]


@contextmanager
def serve_hub(files: Sequence[WorldFile]) -> Iterator[str]:
    """Serve files on a free loopback port for the duration of a with-block.

    Yields the hub's address.
    """
    server = _Server(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
