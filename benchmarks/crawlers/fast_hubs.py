"""A fast hub on loopback in its own process, with prepared answers and a chosen delay.

    python -m benchmarks.crawlers.fast_hubs civitai COUNT DELAY_MS      (or huggingface)

Prints its port. It implements the parts of Civitai's list, and of the Hugging Face Hub's list and
details, that a sweep requests.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

START = datetime(2022, 11, 5, tzinfo=UTC)
PAGE = 100


def civitai_models(count: int) -> tuple[list[tuple[str, int]], list[bytes]]:
    """Cursor columns and JSON of models over several years, as large as real ones."""
    step = timedelta(days=1_400) / count
    columns, texts = [], []
    for number in range(1, count + 1):
        moment = (START + step * number).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        images = [
            {
                "id": n,
                "url": f"https://image.example/{number}/{n}.jpeg",
                "nsfwLevel": 1 + n % 4,
                "width": 832,
                "height": 1216,
                "hash": "U8AAaOxu00t7t7j[WBay",
                "type": "image",
                "poi": False,
                "minor": False,
            }
            for n in range(5)
        ]
        file = {
            "id": number,
            "name": f"m{number}.safetensors",
            "sizeKB": 147_573.2,
            "type": "Model",
            "primary": True,
            "hashes": {"SHA256": f"{number:064X}", "AutoV3": f"{number * 7919:012X}"},
            "metadata": {"format": "SafeTensor"},
            "downloadUrl": f"https://civitai.com/api/download/models/{number}",
        }
        version = {
            "id": number,
            "name": "v1.0",
            "baseModel": "SDXL 1.0",
            "publishedAt": moment,
            "trainedWords": [f"tok{number} woman"],
            "stats": {"downloadCount": number % 999},
            "files": [file],
            "images": images,
        }
        entry = {
            "id": number,
            "name": f"Somebody {number}",
            "description": "<p>" + "words " * 60 + "</p>",
            "type": "LORA",
            "poi": False,
            "minor": False,
            "nsfwLevel": 1 + number % 4,
            "creator": {"username": f"maker{number % 97}"},
            "tags": ["woman", "photorealistic", "celebrity"],
            "modelVersions": [version],
        }
        columns.append((moment, number))
        texts.append(json.dumps(entry).encode())
    return columns, texts


class Hub:
    def __init__(self, kind: str, count: int, delay_s: float) -> None:
        self.delay_s, self.count = delay_s, count
        if kind == "civitai":
            self.columns, self.texts = civitai_models(count)
        self.answer = self.civitai if kind == "civitai" else self.huggingface

    def civitai(self, path: str) -> tuple[bytes, str]:
        query = parse_qs(urlsplit(path).query)
        start = 0
        if cursor := query.get("cursor", [None])[0]:
            moment, _, number = cursor.rpartition("|")
            start = bisect.bisect_left(self.columns, (moment, int(number)))
        end = start + PAGE
        following = {}
        if end < len(self.columns):
            following = {"nextCursor": f"{self.columns[end][0]}|{self.columns[end][1]}"}
        body = b",".join(self.texts[start:end])
        return b'{"items":[' + body + b'],"metadata":' + json.dumps(following).encode() + b"}", ""

    def huggingface(self, path: str) -> tuple[bytes, str]:
        parts = urlsplit(path)
        if found := re.fullmatch(r"/api/models/maker/(\d+)", parts.path):
            return json.dumps(self.repository(int(found[1]), details=True)).encode(), ""
        query = parse_qs(parts.query)
        if query.get("filter") != ["lora"]:
            return b"[]", ""
        start = int(query.get("cursor", ["0"])[0])
        end = min(start + PAGE, self.count)
        body = json.dumps(
            [self.repository(number, details=False) for number in range(start, end)]
        ).encode()
        plain = re.sub(r"&?cursor=\d+", "", parts.query)
        return (
            body,
            f'Link: <https://x/api/models?{plain}&cursor={end}>; rel="next"\r\n'
            if end < self.count
            else "",
        )

    @staticmethod
    def repository(number: int, *, details: bool) -> dict:
        file = {"rfilename": "lora.safetensors"}
        if details:
            file |= {
                "size": 99,
                "blobId": "x",
                "lfs": {"sha256": f"{number:064x}", "size": 150_000_000, "pointerSize": 134},
            }
        return {
            "id": f"maker/{number}",
            "author": "maker",
            "sha": f"{number:040x}",
            "tags": ["lora", "base_model:org/base"],
            "createdAt": "2026-01-01T00:00:00.000Z",
            "lastModified": "2026-01-01T00:00:00.000Z",
            "downloads": 5,
            "cardData": {"instance_prompt": "photo of ohwx"},
            "siblings": [file, {"rfilename": "README.md"}],
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                body, headers = self.answer(line.split()[1].decode())
                head = (
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n{headers}\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def main() -> None:
    hub = Hub(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000)
    server = await asyncio.start_server(hub.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
