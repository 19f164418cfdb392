"""What ties a captured page or picture to checkpoints that hubs list: hashes and names that it writes, links that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit

from crawlers.saved.facts import PageFacts
from crawlers.saved.provenance import Provenance
from crawlers.store import CrawlStore

_SHORTEST = 10  # AutoV2; of 8 digits (AutoV1) a hash of the whole file says nothing
_MOST = 20
_MOST_ASKED = 50  # hashes, and links, of one page: each is a search over everything listed


@dataclass(frozen=True, slots=True)
class Tie:
    """One checkpoint that something captured points to.

    Attributes:
        said: what it writes.
        strength: "hash" (the bytes are meant), "name" (a file of that name), "link" (a listing).
        sha256: of the file, where it is known.
    """

    said: str
    strength: str
    hub: str
    listing_id: str
    listing_url: str
    file: str
    sha256: str | None


def ties_of_image(store: CrawlStore, provenance: Provenance) -> list[Tie]:
    """Checkpoints that an image says it was made with: by hash where it writes one, else by file name."""
    found: list[Tie] = []
    for one in provenance.ingredients:
        by_hash = list(_by_hash(store, one.digest)) if one.digest else []
        found += by_hash or (list(_by_name(store, one.name)) if one.name and one.role == "adapter" else [])
    return list(dict.fromkeys(found))[:_MOST]


def ties_of_page(store: CrawlStore, facts: PageFacts) -> list[Tie]:
    """Checkpoints that a page names by hash, and listings that it links to."""
    found = [tie for digest in facts.hashes[:_MOST_ASKED] for tie in _by_hash(store, digest)]
    found += [tie for link in facts.links[:_MOST_ASKED] for tie in _by_link(store, link)]
    return list(dict.fromkeys(found))[:_MOST]


def _by_hash(store: CrawlStore, digest: str) -> Iterator[Tie]:
    if len(digest) < _SHORTEST:
        return
    end = digest + "g"  # after every hexadecimal digit: a range, so that the index is used
    fits = "where (sha256 >= :a and sha256 < :b) or (weights_hash >= :a and weights_hash < :b)"
    query = f"select sha256, name, hub, listing_id from files {fits} union select sha256, name, hub, listing_id from triages {fits} limit 20"
    for sha256, name, hub, listing_id in store.db.execute(query, {"a": digest, "b": end}).fetchall():
        yield Tie(digest, "hash", hub, listing_id, _url(store, hub, listing_id), name, sha256)


def _by_name(store: CrawlStore, told: str) -> Iterator[Tie]:
    stem = PurePosixPath(told.replace("\\", "/")).name.removesuffix(".safetensors")
    if len(stem) < 4:
        return
    query = "select sha256, name, hub, listing_id from files where name = ? or name like ? limit 20"
    escaped = stem.replace("%", "").replace("_", "\\_")
    for sha256, name, hub, listing_id in store.db.execute(
        query.replace("like ?", "like ? escape '\\'"), [f"{stem}.safetensors", f"%/{escaped}.safetensors"]
    ).fetchall():
        yield Tie(told, "name", hub, listing_id, _url(store, hub, listing_id), name, sha256)


def _by_link(store: CrawlStore, link: str) -> Iterator[Tie]:
    parts = urlsplit(link)
    host = (parts.hostname or "").removeprefix("www.")
    path = [part for part in parts.path.split("/") if part]
    wanted: list[tuple[str, list[str]]] = []
    if host in ("civitai.com", "civitai.red", "civitai.green") and path[:1] == ["models"] and len(path) > 1:
        version = parse_qs(parts.query).get("modelVersionId", [""])[0]
        wanted.append(
            (
                "url = ? or url like ?",
                [link, f"%/models/{_plain(path[1])}{'?modelVersionId=' + _plain(version) if version else '%'}"],
            )
        )
    elif host in ("huggingface.co", "hf.co", "modelscope.cn", "liblib.art", "tensor.art", "seaart.ai") and path:
        place = "/".join(path[: 3 if path[0] in ("models", "model") else 2])
        wanted.append(("url = ? or url like ?", [link, f"https://%{host}/{_plain(place)}%"]))
    for where, values in wanted:
        query = f"select distinct hub, listing_id, title, url from listings where {where} limit 20"
        for hub, listing_id, title, url in store.db.execute(query, values).fetchall():
            yield Tie(link, "link", hub, listing_id, url, title, None)


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum() or sign in "-._/")


def _url(store: CrawlStore, hub: str, listing_id: str) -> str:
    query = "select url from listings where hub = ? and listing_id = ? order by rowid desc limit 1"
    found = store.db.execute(query, [hub, listing_id]).fetchone()
    return str(found[0]) if found else ""


def strongest(ties: Iterable[Tie]) -> list[Tie]:
    """Ties with those by hash first."""
    order = {"hash": 0, "link": 1, "name": 2}
    return sorted(dict.fromkeys(ties), key=lambda tie: order[tie.strength])
