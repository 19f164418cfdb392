"""A saved page as every format is read into, and the limits within which that happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crawlers.errors import CaptureRefused
from crawlers.saved.addresses import keys_of


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
    """

    url: str
    path: Path
    size_bytes: int
    media_type: str = ""
    charset: str | None = None
    status: int = 200
    referrer: str | None = None
    at: str | None = None

    def read(self) -> bytes:
        return self.path.read_bytes()

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/") and self.media_type != "image/svg+xml"

    @property
    def is_drawing(self) -> bool:
        return self.media_type == "image/svg+xml"

    @property
    def is_page(self) -> bool:
        return self.media_type in ("text/html", "application/xhtml+xml")

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
class SavedPage:
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
    pages: tuple[SavedPage, ...]
    tool: str | None = None
    checks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader of pages would begin: one page that the capture was made of."""

    url: str
    title: str = ""
    saved_at: str | None = None


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
        self._total = 0

    def body(self) -> Body:
        """A file to write one answer's bytes to."""
        if len(self.all) >= self.limits.resources:
            raise CaptureRefused(f"it holds more than {self.limits.resources:,} files")
        return Body(self.folder / f"{len(self.all)}", self.limits.resource_bytes)

    def add(self, body: Body, url: str, **facts: str | int | None) -> Resource:
        """Remember a finished body; the first answer of an address with a good status is the one that counts."""
        body.close()
        self._total += body.size_bytes
        if self._total > self.limits.total_bytes:
            raise CaptureRefused(f"unpacked it is larger than {self.limits.total_bytes / 1e6:,.0f} MB")
        if body.cut:
            self.notes.append(f"{url[:200]} is longer than {self.limits.resource_bytes / 1e6:,.0f} MB and was cut off")
        resource = Resource(url, body.path, body.size_bytes, **facts)  # type: ignore[arg-type]
        self.all.append(resource)
        for key in keys_of(url):
            known = self._by_url.get(key)
            if known is None or (known.status >= 300 and resource.status < 300) or not known.size_bytes:
                self._by_url[key] = resource
        return resource

    def add_bytes(self, data: bytes, url: str, **facts: str | int | None) -> Resource:
        body = self.body()
        body.write(data)
        return self.add(body, url, **facts)

    def find(self, url: str) -> Resource | None:
        """The answer of an address, wherever in the page it points."""
        return next((self._by_url[key] for key in keys_of(url) if key in self._by_url), None)


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

    def close(self) -> None:
        self._stream.close()
