"""A saved page as every format is read into, and the limits within which that happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from crawlers.captures.pages.addresses import keys_of
from crawlers.captures.pages.sniffing import is_unknown, media_type_in
from crawlers.errors import CaptureRefused

_MOST_REDIRECTS = 20  # as in Fetch


class Format(StrEnum):
    """What a capture is, by its bytes."""

    WARC = "WARC"
    WACZ = "WACZ"
    HAR = "HAR"
    MHTML = "MHTML"
    HTML = "HTML"
    SINGLE_FILE = "SingleFile"
    FOLDER = "saved folder"
    PDF = "PDF"
    IMAGE = "image"
    TABLE = "table of screenshots"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a capture may cost; a hostile one ends at them with what was read before.

    Attributes:
        file_bytes: of the capture itself.
        resource_bytes: of one image, script or page in it, unpacked.
        total_bytes: of all of them, unpacked.
        resources: how many.
        text_chars: of one page's text.
        frame_depth: pages within pages.
        pdf_pages: of one document.
    """

    file_bytes: int = 4_000_000_000
    resource_bytes: int = 64_000_000
    total_bytes: int = 4_000_000_000
    resources: int = 50_000
    text_chars: int = 1_000_000
    frame_depth: int = 5
    pdf_pages: int = 300


@dataclass(frozen=True, slots=True)
class Resource:
    """One answer of a server as the capture holds it.

    Attributes:
        path: a file of the reading's own folder with the body, decoded from transfer and content encodings.
        media_type: as declared, lower case, without parameters; "" if nobody said.
        charset: as declared with it.
        referrer: the page that asked for it, where the capture says so.
        asked_for: what it was asked for ("document", "iframe"), as the header Sec-Fetch-Dest says.
        location: where a redirect leads, an absolute address.
        whole: False for a part of an answer, such as one of status 206.
        base: what relative addresses in it are relative to, where that is not its own address.
        group: which page of the capture it was recorded for, where the capture says so.
        number: its place among all answers of the capture.
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
        """Whether there is enough of an answer to use it; of a page a part is."""
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
        """Which of several answers of one address counts: the least; the first one among equals."""
        if self.location is not None:
            return (1, self.number)
        if not self.size_bytes or not self.whole:
            return (3, self.number)
        return (0 if self.status < 300 else 2, self.number)

    @property
    def is_json(self) -> bool:
        return "json" in self.media_type


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image of a page.

    Attributes:
        url: None for one that has no address of its own.
        place: its number on the page, from the top.
        alt: what the page says it shows.
    """

    url: str | None
    path: Path
    place: int
    alt: str = ""


@dataclass(frozen=True, slots=True)
class CapturedPage:
    """One page as it was when somebody saved it.

    Attributes:
        url: None where the capture does not tell it.
        saved_at: UTC, ISO 8601, as the capture says; nobody vouches for it.
        html: as it was saved, None for pictures of pages.
        text: what a reader sees, without scripts and styles.
        images: in the order of the page; those it holds in frames too.
        answers: JSON that the page's scripts were sent: (address, text).
        notes: what is missing or was odd, in sentences.
    """

    url: str | None
    title: str
    saved_at: str | None
    html: str | None
    text: str
    images: tuple[PageImage, ...]
    answers: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything a capture holds.

    Attributes:
        tool: what made it, as it says.
        checks: what was verified of its own digests and signatures, in sentences.
    """

    format: Format
    pages: tuple[CapturedPage, ...]
    tool: str | None = None
    checks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader of pages would begin: one page that the capture was made of.

    Attributes:
        group: as of the answers that were recorded for it, where the capture says so.
    """

    url: str
    title: str = ""
    saved_at: str | None = None
    group: str | None = None


class Resources:
    """The answers of one capture, by address; bodies lie in a folder of the reading's own, so that memory stays flat.

    Raises, where something is added:
        CaptureRefused: the capture holds more than the limits allow.
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
        """A file to write one answer's bytes to."""
        if len(self.all) >= self.limits.resources:
            raise CaptureRefused(f"it holds more than {self.limits.resources:,} files")
        return Body(self.folder / f"{len(self.all)}", self.limits.resource_bytes)

    def add(self, body: Body, url: str, **facts: Any) -> Resource:
        """Remember a finished body under its address, with what else is known (see `Resource`).

        A media type that nobody said, or that is none, is told by the first bytes.
        """
        body.close()
        self._total += body.size_bytes
        if self._total > self.limits.total_bytes:
            raise CaptureRefused(
                f"unpacked it is larger than {self.limits.total_bytes / 1e6:,.0f} MB"
            )
        if body.cut:
            self.notes.append(
                f"{url[:200]} is longer than {self.limits.resource_bytes / 1e6:,.0f} MB and was cut off"
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
        """Let an answer be found under an address; of several the one of the least `rank` is."""
        for key in keys_of(url):
            known = self._by_url.get(key)
            if known is None or known.number == resource.number or resource.rank < known.rank:
                self._by_url[key] = resource

    def change(self, number: int, **facts: Any) -> None:
        """Correct what is known of an answer, once more of the capture was read."""
        resource = self.all[number] = replace(self.all[number], **facts)
        self.name(resource, resource.url)

    def note(self, what: str, url: str) -> None:
        """Note what is odd about an answer; many of the same kind become one note."""
        self._noted.setdefault(what, []).append(url)

    def miss(self, why: str, url: str) -> None:
        """Note that an answer is of no use, unless another one of its address is."""
        self._missed.setdefault(why, []).append(url)

    def told(self) -> tuple[str, ...]:
        """The notes, and what is missing after all."""
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
        """The answer of an address, wherever in the page it points, at the end of its redirects.

        An answer that is empty or only a part stands for no image, one that could not be unpacked
        for no page either.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            found = next((self._by_url[key] for key in keys_of(url) if key in self._by_url), None)
            if found is None or found.location is None:
                return found if found is not None and found.stands else None
            url = found.location
        return None


class Body:
    """One answer's bytes on their way to disk; what comes beyond the limit is dropped."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path, self.size_bytes, self.cut = path, 0, False
        self._most, self._stream = most_bytes, path.open("wb")

    def write(self, data: bytes) -> bool:
        """Take more bytes; False once nothing more is wanted."""
        room = self._most - self.size_bytes
        self.cut = self.cut or len(data) > room
        self.size_bytes += self._stream.write(data[:room])
        return not self.cut

    def empty(self) -> None:
        """Begin again."""
        self._stream.seek(0)
        self._stream.truncate()
        self.size_bytes, self.cut = 0, False

    def close(self) -> None:
        self._stream.close()


def _list_of(urls: list[str]) -> str:
    more = f" and {len(urls) - 3} more" if len(urls) > 3 else ""
    return ", ".join(url[:200] for url in urls[:3]) + more
