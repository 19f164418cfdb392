"""The answers of servers that a capture holds, by address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crawlers.captures.pages.addresses import keys_of
from crawlers.captures.pages.page import Limits
from crawlers.captures.pages.sniffing import is_unknown, media_type_in
from crawlers.errors import CaptureRefused

_MOST_REDIRECTS = 20  # as in Fetch


@dataclass(frozen=True, slots=True)
class Resource:
    """One answer of a server in the capture.

    Attributes:
        path: a file in the folder of the reading with the body, without transfer and content
            codings.
        media_type: the declared type in lower case, without parameters; "" without one.
        charset: the declared charset.
        referrer: the page that requested it, if the capture says so.
        asked_for: the destination of the request ("document", "iframe"), from Sec-Fetch-Dest.
        location: the absolute address to which a redirect leads.
        whole: False for a partial answer (status 206).
        base: the base of relative addresses in it, if that is not its own address.
        group: the page of the capture for which it was recorded, if the capture says so.
        number: its index among all answers of the capture.
    """

    url: str
    path: Path
    size_bytes: int
    media_type: str = ""
    charset: str | None = None
    status: int = 200
    referrer: str | None = None
    at: str | None = None
    asked_for: str = ""
    location: str | None = None
    whole: bool = True
    base: str | None = None
    group: str | None = None
    number: int = 0

    def read(self) -> bytes:
        return self.path.read_bytes()

    @property
    def stands(self) -> bool:
        """Whether enough of the answer is there to use it. Of a page, a part is enough."""
        return self.whole and self.is_page if not self.size_bytes else self.whole or self.is_page

    @property
    def is_image(self) -> bool:
        return (
            self.stands
            and self.media_type.startswith("image/")
            and self.media_type != "image/svg+xml"
        )

    @property
    def is_drawing(self) -> bool:
        return self.media_type == "image/svg+xml"

    @property
    def is_page(self) -> bool:
        return self.media_type in ("text/html", "application/xhtml+xml")

    @property
    def rank(self) -> tuple[int, int]:
        """The order of several answers of one address; the least counts."""
        if self.location is not None:
            return (1, self.number)
        if not self.size_bytes or not self.whole:
            return (3, self.number)
        return (0 if self.status < 300 else 2, self.number)

    @property
    def is_json(self) -> bool:
        return "json" in self.media_type


class Resources:
    """The answers of one capture by address. Bodies are in files, so that memory use stays low.

    Raises:
        CaptureRefused: from the methods that add; the capture exceeds the limits.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.all: list[Resource] = []
        self.notes: list[str] = []
        self._by_url: dict[str, Resource] = {}
        self._noted: dict[str, list[str]] = {}
        self._missed: dict[str, list[str]] = {}
        self._total = 0

    def body(self) -> Body:
        """Open a file for the body of one answer."""
        if len(self.all) >= self.limits.resources:
            raise CaptureRefused(f"it holds more than {self.limits.resources:,} files")
        return Body(self.folder / f"{len(self.all)}", self.limits.resource_bytes)

    def add(self, body: Body, url: str, **facts: Any) -> Resource:
        """Add a finished body under its address, with other facts (see `Resource`).

        A missing or meaningless media type is recognised by the first bytes.
        """
        body.close()
        self._total += body.size_bytes
        if self._total > self.limits.total_bytes:
            raise CaptureRefused(
                f"unpacked it is larger than {self.limits.total_bytes / 1e6:,.0f} MB"
            )
        if body.cut:
            self.notes.append(
                f"{url[:200]} is longer than {self.limits.resource_bytes / 1e6:,.0f} MB "
                "and was cut off"
            )
        if is_unknown(facts.get("media_type") or "") and body.size_bytes:
            facts["media_type"] = media_type_in(body.path)
        resource = Resource(url, body.path, body.size_bytes, number=len(self.all), **facts)
        self.all.append(resource)
        self.name(resource, url)
        return resource

    def add_bytes(self, data: bytes, url: str, **facts: Any) -> Resource:
        body = self.body()
        body.write(data)
        return self.add(body, url, **facts)

    def name(self, resource: Resource, url: str) -> None:
        """Make an answer known under an address; of several answers the least `rank` counts."""
        for key in keys_of(url):
            known = self._by_url.get(key)
            if known is None or known.number == resource.number or resource.rank < known.rank:
                self._by_url[key] = resource

    def change(self, number: int, **facts: Any) -> None:
        """Correct the facts of an answer after more of the capture was read."""
        resource = self.all[number] = replace(self.all[number], **facts)
        self.name(resource, resource.url)

    def note(self, what: str, url: str) -> None:
        """Note an irregularity of an answer; notes with the same text are combined."""
        self._noted.setdefault(what, []).append(url)

    def miss(self, why: str, url: str) -> None:
        """Note that an answer is useless, which counts if its address has no other answer."""
        self._missed.setdefault(why, []).append(url)

    def summary(self) -> tuple[str, ...]:
        """All notes, including those about answers that are still missing."""
        missing = {
            why: [url for url in urls if self.find(url) is None]
            for why, urls in self._missed.items()
        }
        lists = [*self._noted.items(), *missing.items()]
        return (
            *self.notes,
            *(f"{what}: {_list_of(list(dict.fromkeys(urls)))}" for what, urls in lists if urls),
        )

    def find(self, url: str) -> Resource | None:
        """The answer of an address, without regard to fragments, at the end of its redirects.

        An empty or partial answer is not used as an image, and an answer that could not be decoded
        is not used as a page either.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            found = next((self._by_url[key] for key in keys_of(url) if key in self._by_url), None)
            if found is None or found.location is None:
                return found if found is not None and found.stands else None
            url = found.location
        return None


class Body:
    """The body of one answer while it is written to disk. Bytes beyond the limit are dropped."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path, self.size_bytes, self.cut = path, 0, False
        self._most, self._stream = most_bytes, path.open("wb")

    def write(self, data: bytes) -> bool:
        """Write more bytes; False once the limit is reached."""
        room = self._most - self.size_bytes
        self.cut = self.cut or len(data) > room
        self.size_bytes += self._stream.write(data[:room])
        return not self.cut

    def empty(self) -> None:
        """Discard everything and start again."""
        self._stream.seek(0)
        self._stream.truncate()
        self.size_bytes, self.cut = 0, False

    def close(self) -> None:
        self._stream.close()


def _list_of(urls: list[str]) -> str:
    more = f" and {len(urls) - 3} more" if len(urls) > 3 else ""
    return ", ".join(url[:200] for url in urls[:3]) + more
