"""SingleFile's self-extracting pages: an HTML file that is a zip archive as well, with the page and its files inside."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

from crawlers.saved.page import Resources

# What zipfile and its decompressors raise at broken, encrypted and odd members.
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)


def page_within(path: Path, own: str, resources: Resources, types: dict[str, str]) -> str | None:
    """Take the members of the archive in an HTML file as answers; the address of the page in it, None without one.

    Args:
        own: the address of the HTML file; members are named below it.
        types: media types by endings of names.
    """
    if not zipfile.is_zipfile(path):
        return None
    pages: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
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
            "the archive in the page holds no page that can be read: only what lies around it was read"
        )
        return None
    return min(pages, key=lambda url: url.count("/"))


def _is_index(name: str) -> bool:
    return name.rpartition("/")[2].lower() in ("index.html", "index.htm")


def _take(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, url: str, resources: Resources, types: dict[str, str]
) -> bool:
    body = resources.body()
    try:
        with archive.open(member) as stream:
            while (chunk := stream.read(1 << 16)) and body.write(chunk):
                pass
    except _BROKEN as error:
        body.close()
        why = "it is packed with a password" if member.flag_bits & 1 else type(error).__name__
        resources.notes.append(f"{member.filename[:200]} in the page's archive cannot be read ({why})")
        return False
    resources.add(body, url, media_type=types.get(Path(member.filename).suffix.lower(), ""))
    return True
