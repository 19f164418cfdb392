"""SingleFile's self-extracting pages: HTML files that contain a zip of the page."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

from crawlers.captures.pages.resources import Resources

_END, _END_BYTES, _LISTED, _LARGE_LOCATOR = b"PK\5\6", 22, b"PK\1\2", b"PK\6\7"
_MOST_ENDS = 1_000
# A local file header: version, flags, a common method, date, checksum, sizes, short name and field.
_MEMBER = re.compile(
    rb"PK\x03\x04[\x0a-\x40]\x00..[\x00\x08\x09\x0c\x0e\x5d\x5f]\x00.{16}.[\x00-\x03].[\x00-\x10]",
    re.DOTALL,
)
# The exceptions of zipfile and its decompressors for broken, encrypted and odd members.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)


def page_within(data: bytes, own: str, resources: Resources, types: dict[str, str]) -> str | None:
    """Add the members of the archive in an HTML file as answers.

    Args:
        data: the HTML file.
        own: its address; members get addresses below it.
        types: media types by endings of names.

    Returns:
        The address of the page in the archive, None without one.
    """
    end = _end_of_archive(data)
    if end is None:
        if _MEMBER.search(data):
            resources.notes.append(
                "an archive begins in the page and its end was not found: "
                "the page in it was not read. Save it again"
            )
        return None
    pages: list[str] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data[:end])) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                url = f"{own}/{quote(member.filename)}"
                if _take(archive, member, url, resources, types) and _is_index(member.filename):
                    pages.append(url)
    except _BROKEN as error:
        resources.notes.append(f"the archive in the page cannot be read ({type(error).__name__})")
    if not pages:
        resources.notes.append(
            "the archive in the page holds no page that can be read: "
            "only what lies around it was read"
        )
        return None
    return min(pages, key=lambda url: url.count("/"))


def _end_of_archive(data: bytes) -> int | None:
    """The end of the last archive in a file, whatever follows it; None without an archive.

    An end record (APPNOTE 4.3.16) counts if the archive's list ends right before it, or before the
    two further records of large archives.
    """
    at = len(data)
    for _ in range(_MOST_ENDS):
        at = data.rfind(_END, 0, at)
        if at < 0:
            return None
        if len(data) - at < _END_BYTES:
            continue
        size = int.from_bytes(data[at + 12 : at + 16], "little")
        comment = int.from_bytes(data[at + 20 : at + 22], "little")
        list_ends_here = size and data[at - size : at].startswith(_LISTED)
        if data[at - 20 : at].startswith(_LARGE_LOCATOR) or list_ends_here:
            return min(at + _END_BYTES + comment, len(data))
    return None


def _is_index(name: str) -> bool:
    return name.rpartition("/")[2].lower() in ("index.html", "index.htm")


def _take(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    url: str,
    resources: Resources,
    types: dict[str, str],
) -> bool:
    body = resources.body()
    try:
        with archive.open(member) as stream:
            while (chunk := stream.read(1 << 16)) and body.write(chunk):
                pass
    except _BROKEN as error:
        body.close()
        why = "it is packed with a password" if member.flag_bits & 1 else type(error).__name__
        resources.notes.append(
            f"{member.filename[:200]} in the page's archive cannot be read ({why})"
        )
        return False
    resources.add(body, url, media_type=types.get(Path(member.filename).suffix.lower(), ""))
    return True
