"""Ties between captures and listed checkpoints: hashes, numbers, names and links in a capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from crawlers.captures.images.generators.ingredients import ADAPTER, Ingredient, stem_of
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import PageFacts
from crawlers.hashes import is_of_nothing
from crawlers.sweeps.crawl_store import CrawlStore

_SHORTEST = 10  # AutoV2
_AUTO_V2, _AUTO_V3 = 10, 12  # digits
_MOST = 20
_MOST_ASKED = 50  # hashes, and links, of one page: each costs a search over all listings
# A name or a hash of 8 digits that more files share identifies none of them, such as "last" or
# "pytorch_lora_weights".
_MOST_OF_ONE_NAME = 3
_ORDER = {"hash": 0, "link": 1, "short hash": 2, "name": 3}
_LINKED_HOSTS = frozenset(
    {"huggingface.co", "hf.co", "modelscope.cn", "liblib.art", "tensor.art", "seaart.ai"}
)


@dataclass(frozen=True, slots=True)
class Tie:
    """One checkpoint to which a capture points.

    Attributes:
        said: the text in the capture.
        strength: "hash" (identifies the bytes), "link" (a listing), "short hash" (8 digits over a
            part of the file, which other files may share), "name" (a file of that name).
        sha256: the SHA-256 of the file, if known.
    """

    said: str
    strength: str
    hub: str
    listing_id: str
    listing_url: str
    file: str
    sha256: str | None


def ties_of_image(store: CrawlStore, provenance: Provenance) -> list[Tie]:
    """Checkpoints that made an image, according to it: by hash, by listing, else by file name."""
    found: list[Tie] = []
    for ingredient in provenance.ingredients:
        digest, other_hash = ingredient.digest, ingredient.other_hash
        exact = [
            *(_by_hash(store, digest) if digest else ()),
            *(_by_other_hash(store, other_hash) if other_hash else ()),
        ]
        listed = list(_by_number(store, ingredient)) if ingredient.listing else []
        known = {tie.listing_id for tie in exact}
        found += exact + [tie for tie in listed if tie.listing_id not in known]
        if not exact and not listed:
            by_name = _by_name if ingredient.role == ADAPTER else _by_nothing
            found += _by_short_hash(store, ingredient) or by_name(store, ingredient)
    return list(dict.fromkeys(found))[:_MOST]


def ties_of_page(store: CrawlStore, facts: PageFacts) -> list[Tie]:
    """Checkpoints that a page names by hash, and listings to which it links."""
    found = [tie for digest in facts.hashes[:_MOST_ASKED] for tie in _by_hash(store, digest)]
    found += [tie for link in facts.links[:_MOST_ASKED] for tie in _by_link(store, link)]
    return list(dict.fromkeys(found))[:_MOST]


def _by_hash(store: CrawlStore, digest: str) -> Iterator[Tie]:
    """Files whose SHA-256 or tensor hash begins so.

    Of the tensor hash hubs give 12 digits, generators all 64.
    """
    if len(digest) < _SHORTEST or is_of_nothing(digest):
        return
    end = digest + "g"  # behind every hexadecimal digit: a range, so that the index is used
    fits = (
        "where (sha256 >= :a and sha256 < :b) or (weights_hash >= :a and weights_hash < :b) "
        "or weights_hash = :short"
    )
    columns = "select sha256, name, hub, listing_id from"
    query = f"{columns} files {fits} union {columns} triages {fits} limit 20"
    known = {
        "a": digest,
        "b": end,
        "short": digest[:_AUTO_V3] if len(digest) > _AUTO_V3 else digest,
    }
    for sha256, name, hub, listing_id in store.db.execute(query, known).fetchall():
        yield Tie(
            digest, "hash", hub, listing_id, _url(store, hub, listing_id), name, sha256 or None
        )


def _by_other_hash(store: CrawlStore, digest: str) -> list[Tie]:
    is_short = digest.startswith("crc32:")
    strength = "short hash" if is_short else "hash"
    ties = [
        Tie(digest, strength, hub, number, _url(store, hub, number), name, sha256 or None)
        for hub, number, name, sha256 in _with_hash(store, digest)
    ]
    return _of_few(ties) if is_short else ties


def _by_short_hash(store: CrawlStore, ingredient: Ingredient) -> list[Tie]:
    """Files with this AutoV1: 8 digits over 64 kB, which related files may share."""
    digest = ingredient.digest
    if digest is None or len(digest) >= _SHORTEST:
        return []
    rows = _with_hash(store, f"autov1:{digest[:8]}")
    ties = [
        Tie(digest, "short hash", hub, number, _url(store, hub, number), name, sha256 or None)
        for hub, number, name, sha256 in rows
    ]
    return _of_few(ties)


def _with_hash(store: CrawlStore, digest: str) -> list[tuple[str, str, str, str]]:
    query = "select hub, listing_id, name, sha256 from file_hashes where hash = ? limit 20"
    return [
        (str(hub), str(number), str(name), str(sha256))
        for hub, number, name, sha256 in store.db.execute(query, [digest])
    ]


def _by_number(store: CrawlStore, ingredient: Ingredient) -> Iterator[Tie]:
    """The listing whose number a generator wrote, and its file if it has only one."""
    hub, _, number = str(ingredient.listing).partition(":")
    query = """
        select title, url from listings where hub = ? and listing_id = ?
        order by rowid desc limit 1
    """
    for title, url in store.db.execute(query, [hub, number]).fetchall():
        files = store.db.execute(
            "select name, sha256 from files where hub = ? and listing_id = ?", [hub, number]
        ).fetchall()
        name, sha256 = files[0] if len(files) == 1 else (title, None)
        yield Tie(str(ingredient.listing), "link", hub, number, url, name, sha256 or None)


def _by_nothing(_store: CrawlStore, _ingredient: Ingredient) -> list[Tie]:
    return []


def _by_name(store: CrawlStore, ingredient: Ingredient) -> list[Tie]:
    """Files of that name, except those that are known to have another hash."""
    stem = stem_of(ingredient.name) if ingredient.name else ""
    if len(stem) < 4:
        return []
    escaped = "".join(f"\\{sign}" if sign in "\\%_" else sign for sign in stem)
    columns = "select sha256, name, hub, listing_id, weights_hash from files"
    query = f"{columns} where name = ? or name like ? escape '\\' limit 200"
    rows = store.db.execute(query, [f"{stem}.safetensors", f"%/{escaped}.safetensors"]).fetchall()
    looks_like_hash = not set(stem.lower()) - set("0123456789abcdef")
    text = f'file name "{ingredient.name}"' if looks_like_hash else str(ingredient.name)
    return _of_few(
        [
            Tie(text, "name", hub, listing_id, _url(store, hub, listing_id), name, sha256 or None)
            for sha256, name, hub, listing_id, weights_hash in rows
            if not _is_another(store, ingredient, sha256, weights_hash, (hub, listing_id, name))
        ]
    )


def _is_another(
    store: CrawlStore,
    ingredient: Ingredient,
    sha256: str | None,
    weights_hash: str | None,
    file: tuple[str, str, str],
) -> bool:
    """Whether a file's known hashes differ from the kind of hash that the image wrote."""
    digest, other_hash = ingredient.digest, ingredient.other_hash
    if digest and len(digest) == _AUTO_V2:
        return bool(sha256)
    if digest and len(digest) > _AUTO_V2:
        return bool(sha256 and weights_hash)
    if other_hash:
        kind = other_hash.partition(":")[0]
        query = """
            select count(*) from file_hashes
            where hub = ? and listing_id = ? and name = ? and hash like ?
        """
        return bool(store.db.execute(query, [*file, f"{kind}:%"]).fetchone()[0])
    return False


def _of_few(ties: list[Tie]) -> list[Tie]:
    """The ties, if they lead to few different files; none if too many files fit."""
    files = {tie.sha256 or (tie.hub, tie.listing_id) for tie in ties}
    return ties if len(files) <= _MOST_OF_ONE_NAME else []


def _by_link(store: CrawlStore, link: str) -> Iterator[Tie]:
    parts = urlsplit(link)
    host = (parts.hostname or "").removeprefix("www.")
    path = [part for part in parts.path.split("/") if part]
    wanted: list[str] = []
    is_civitai = host in ("civitai.com", "civitai.red", "civitai.green")
    if is_civitai and path[:1] == ["models"] and len(path) > 1:
        version = parse_qs(parts.query).get("modelVersionId", [""])[0]
        query = f"?modelVersionId={_plain(version)}" if version else "%"
        wanted = [link, f"%/models/{_plain(path[1])}{query}"]
    elif host in _LINKED_HOSTS and path:
        place = "/".join(path[: 3 if path[0] in ("models", "model") else 2])
        wanted = [link, f"https://%{host}/{_plain(place)}%"]
    if wanted:
        query = """
            select distinct hub, listing_id, title, url from listings
            where url = ? or url like ? limit 20
        """
        for hub, listing_id, title, url in store.db.execute(query, wanted).fetchall():
            yield Tie(link, "link", hub, listing_id, url, title, None)


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum() or sign in "-._/")


def _url(store: CrawlStore, hub: str, listing_id: str) -> str:
    query = "select url from listings where hub = ? and listing_id = ? order by rowid desc limit 1"
    found = store.db.execute(query, [hub, listing_id]).fetchone()
    return str(found[0]) if found else ""


def strongest(ties: Iterable[Tie]) -> list[Tie]:
    """The ties, those by hash first."""
    return sorted(dict.fromkeys(ties), key=lambda tie: _ORDER[tie.strength])
