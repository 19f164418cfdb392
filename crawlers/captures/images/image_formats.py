"""The image formats that are opened, and the kind of any other file, recognised by content.

crawlers.captures.images and face_index.faces hold the same file, because neither may import the
other; tests/test_image_formats.py checks that both are equal.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from enum import StrEnum

import pillow_heif
from PIL import Image, ImageFile, ImageStat

# Pillow also knows formats that start other programs (EPS) or had many vulnerabilities. Only these
# are tried, each for files that begin accordingly. A phone's MPO begins as the JPEG that it is.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "HEIF", "AVIF")
MAX_BYTES = 64_000_000
MAX_PIXELS = 80_000_000
HEAD_BYTES = 4_096  # as many bytes as the recognition of a format needs
_AVIF = frozenset({b"avif", b"avis"})
_HEIF = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # sizes, by version of the format
_BLANK_RANGE = 12  # of 255: the differences that lossy compression makes in a single colour
_BLANK_SIDE_PX = 64

pillow_heif.register_heif_opener()


class Kind(StrEnum):
    """The kind of a file, as part of a sentence."""

    IMAGE = "an image"
    EMPTY = "an empty file"
    WEB_PAGE = "a web page"
    DRAWING = "an SVG drawing"
    VIDEO = "a video"
    SOUND = "a sound recording"
    PDF = "a PDF document"
    POSTSCRIPT = "a PostScript document"
    ARCHIVE = "a zip archive or office document"
    PACKED = "a packed file"
    JPEG_2000 = "a JPEG 2000 image"
    JPEG_XL = "a JPEG XL image"
    PHOTOSHOP = "a Photoshop document"
    ICON = "an icon"
    RAW = "a camera's raw file"
    TEXT = "a text file"
    UNKNOWN = "a file of an unknown kind"


_BEGINNINGS = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind.JPEG_2000), (b"\xff\x4f\xff\x51", Kind.JPEG_2000),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Kind.JPEG_XL), (b"\xff\x0a", Kind.JPEG_XL),
    (b"8BPS", Kind.PHOTOSHOP), (b"\0\0\1\0", Kind.ICON), (b"%PDF-", Kind.PDF),
    (b"%!PS", Kind.POSTSCRIPT), (b"\xc5\xd0\xd3\xc6", Kind.POSTSCRIPT),
    (b"PK\3\4", Kind.ARCHIVE), (b"PK\5\6", Kind.ARCHIVE), (b"\x1f\x8b", Kind.PACKED),
    (b"7z\xbc\xaf", Kind.PACKED), (b"Rar!", Kind.PACKED), (b"BZh", Kind.PACKED),
    (b"\xfd7zXZ", Kind.PACKED), (b"\x28\xb5\x2f\xfd", Kind.PACKED),
    (b"\x1a\x45\xdf\xa3", Kind.VIDEO), (b"FLV\1", Kind.VIDEO), (b"\0\0\1\xba", Kind.VIDEO),
    (b"\0\0\1\xb3", Kind.VIDEO), (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind.VIDEO),
    (b"OggS", Kind.SOUND), (b"ID3", Kind.SOUND), (b"fLaC", Kind.SOUND),
    (b"FUJIFILMCCD-RAW", Kind.RAW), (b"IIRO", Kind.RAW), (b"IIU\0", Kind.RAW),
)  # fmt: skip
_RIFF = {b"AVI ": Kind.VIDEO, b"WAVE": Kind.SOUND}
# A film may begin with each of these boxes.
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<meta", b"<script")


class ImageRefused(Exception):
    """A file is not opened as an image.

    Attributes:
        kind: the kind of the file, by its content.
        found, limit: its size and the limit, if it is too large.
    """

    def __init__(self, kind: Kind, found: str = "", limit: str = "") -> None:
        super().__init__(f"larger than {limit} ({found})" if limit else str(kind))
        self.kind, self.found, self.limit = kind, found, limit


def image_format(head: bytes) -> str | None:
    """Pillow's name of a file's format by its first bytes; None for formats that are not opened."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    brands = _brands(head)
    if brands[:1] and brands[0] in _AVIF | _HEIF:
        return "AVIF" if brands[0] in _AVIF or not _AVIF.isdisjoint(brands) else "HEIF"
    return None


def kind_of(head: bytes) -> Kind:
    """The kind of a file by its first `HEAD_BYTES` bytes."""
    if not head:
        return Kind.EMPTY
    if image_format(head):
        return Kind.IMAGE
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] in _BOXES:
        brand = (_brands(head) or (b"",))[0]
        if brand == b"crx ":
            return Kind.RAW
        return Kind.SOUND if brand in (b"M4A ", b"M4B ") else Kind.VIDEO
    plain = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if plain.startswith(b"<"):
        if any(mark in plain for mark in _PAGES):
            return Kind.WEB_PAGE
        return Kind.DRAWING if b"<svg" in plain else Kind.TEXT
    return Kind.TEXT if _is_text(head) else Kind.UNKNOWN


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Open an image file at its first frame that is not blank; the caller closes it.

    Raises:
        ImageRefused: it is not an image of these formats, or larger than the limits.
        Exception: Pillow's plugins may raise anything for damaged files, here or when pixels are
            read.
    """
    head = data[:HEAD_BYTES]
    name = image_format(head)
    if name is None:
        raise ImageRefused(kind_of(head))
    if len(data) > MAX_BYTES:
        raise ImageRefused(Kind.IMAGE, f"{len(data) / 1e6:.0f} MB", f"{MAX_BYTES / 1e6:.0f} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd EXIF or palettes are no reason to refuse a file
        try:
            image = Image.open(io.BytesIO(data), formats=(name,))
        except Image.DecompressionBombError as error:
            found = f"> {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels"
            raise ImageRefused(Kind.IMAGE, found, f"{MAX_PIXELS / 1e6:.0f} megapixels") from error
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width}x{image.height}"
            raise ImageRefused(Kind.IMAGE, size, f"{MAX_PIXELS / 1e6:.0f} megapixels")
        _turn_to_content(image)
    return image


def _turn_to_content(image: ImageFile.ImageFile) -> None:
    """Seek the first frame of an animation that has more than one colour, if there is one."""
    if not getattr(image, "is_animated", False):
        return
    begin = image.tell()
    for number in _frames(image, begin):
        try:
            image.seek(number)
        except EOFError:
            break
        if not _is_blank(image):
            return
    image.seek(begin)


def _frames(image: ImageFile.ImageFile, begin: int) -> Iterator[int]:
    """Yield the frames to check: as many as cost no more than an image of twice the limit."""
    yield begin
    most = 2 * MAX_PIXELS // max(1, image.width * image.height)
    yield from range(begin + 1, begin + min(most, 1_000))


def _is_blank(image: Image.Image) -> bool:
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
        return False  # animations have no other modes, such as 16-bit grey
    small = image.convert("RGBA")
    small.thumbnail((_BLANK_SIDE_PX, _BLANK_SIDE_PX))
    seen = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    return all(high - low <= _BLANK_RANGE for low, high in ImageStat.Stat(seen).extrema)


def _brands(head: bytes) -> tuple[bytes, ...]:
    """The brands of an ISO media file (ISO/IEC 14496-12, 4.3), major one first; () for others."""
    if head[4:8] != b"ftyp":
        return ()
    end = min(len(head), max(16, int.from_bytes(head[:4], "big")))
    return (head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4)))


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not any(byte < 9 or 13 < byte < 27 for byte in head)
