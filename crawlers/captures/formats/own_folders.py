"""The folder of a saved page's own files, which browsers name in many languages."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crawlers.captures.pages.addresses import SAVED, joined, keys_of, srcset_of
from crawlers.captures.pages.charsets import page_text
from crawlers.captures.pages.html import tree_of
from crawlers.captures.pages.styles import style_urls

PAGE_ENDINGS = (".html", ".htm", ".xhtml")
# Such a folder belongs to its page even if the page names none of its files.
_KNOWN = ("_files", ".files", "_Dateien", "_fichiers", "_archivos", "_arquivos")
_NAME = re.compile(r"(.+)[_.\- ][^\W\d_][^\s_.\-/\\]*+_?", re.DOTALL)
_EMBEDDING = frozenset({"src", "data", "poster", "background", "href", "xlink:href"})
_LINKING = frozenset({"a", "area", "base"})  # these name other pages, not parts of this one
_MOST_READ_BYTES = 16_000_000


def own_folders(page: Path) -> list[Path]:
    """The folders with a page's own files; no links, wherever they lead."""
    try:
        folders = [path for path in page.parent.iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(folder for folder, _ in folders_of_pages([page], folders))


def folders_of_pages(pages: Iterable[Path], folders: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield each folder that belongs to a page, with the page.

    The folder's name is that of the page and one more word, such as "_files". Either browsers are
    known to write that word, or the page embeds a file of the folder.
    """
    by_name: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for page in pages:
        for name in {page.stem.casefold(), page.name.casefold()}:
            by_name[page.parent, name].append(page)
    embedded: dict[Path, frozenset[str]] = {}
    for folder in folders:
        fits = _NAME.fullmatch(folder.name)
        if fits is None or folder.is_symlink():
            continue
        for page in by_name.get((folder.parent, fits[1].casefold()), ()):
            if folder.name not in [page.stem + ending for ending in _KNOWN]:
                if page not in embedded:
                    embedded[page] = _folders_embedded(page)
                if unicodedata.normalize("NFC", folder.name) not in embedded[page]:
                    continue
            yield folder, page


def _folders_embedded(page: Path) -> frozenset[str]:
    """The names, in the Unicode form NFC, of the folders from which a page embeds files."""
    try:
        with page.open("rb") as stream:
            root = tree_of(page_text(stream.read(_MOST_READ_BYTES)))
    except OSError:
        return frozenset()
    found = set()
    for place in _embedded(root):
        url = joined(f"{SAVED}///page", place) if place[:5].lower() != "data:" else None
        if url is not None and url.startswith(SAVED):
            path = keys_of(url)[0].removeprefix(SAVED).lstrip("/")
            folder, inside, _ = path.partition("/")
            found.add(unicodedata.normalize("NFC", folder) if inside else "")
    return frozenset(found)


def _embedded(root: Any) -> Iterator[str]:
    """Yield the addresses that elements and styles of a page embed."""
    for element in root.iter():
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag == "style":
            yield from style_urls("".join(element.itertext()))
        for name, value in element.attrib.items() if tag not in _LINKING else ():
            if name.endswith("srcset"):
                yield from srcset_of(value)
            elif name == "style":
                yield from style_urls(value)
            elif name in _EMBEDDING or name.startswith("data-"):
                yield value
