"""What ties a captured page or picture to checkpoints that hubs list: hashes, numbers and names in it, and links."""

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
_MOST_ASKED = 50  # hashes, and links, of one page: each is a search over everything listed
# A name, or a hash of 8 digits, that more files have means none of them: "pytorch_lora_weights", "last".
_MOST_OF_ONE_NAME = 3
_ORDER = {"hash": 0, "link": 1, "short hash": 2, "name": 3}


@dataclass(frozen=True, slots=True)
class Tie:
    """One checkpoint that something captured points to.

    Attributes:
        said: what it writes.
        strength: "hash" (the bytes are meant), "link" (a listing), "short hash" (8 digits over a part of the file,
            which others may share), "name" (a file of that name).
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
    """Checkpoints that an image says it was made with: by hash where it writes one, by listing, else by file name."""
    found: list[Tie] = []
    for one in provenance.ingredients:
        exact = [
            *(_by_hash(store, one.digest) if one.digest else ()),
            *(_by_other_hash(store, one.other_hash) if one.other_hash else ()),
        ]
        listed = list(_by_number(store, one)) if one.listing else []
        found += exact + [
            tie for tie in listed if tie.listing_id not in {other.listing_id for other in exact}
        ]
        if not exact and not listed:
            found += _by_short_hash(store, one) or (
                _by_name(store, one) if one.role == ADAPTER else []
            )
    return list(dict.fromkeys(found))[:_MOST]


def ties_of_page(store: CrawlStore, facts: PageFacts) -> list[Tie]:
    """Checkpoints that a page names by hash, and listings that it links to."""
    found = [tie for digest in facts.hashes[:_MOST_ASKED] for tie in _by_hash(store, digest)]
    found += [tie for link in facts.links[:_MOST_ASKED] for tie in _by_link(store, link)]
    return list(dict.fromkeys(found))[:_MOST]


def _by_hash(store: CrawlStore, digest: str) -> Iterator[Tie]:
    """Files whose SHA-256, or whose tensors', begins so; of the latter hubs tell 12 digits and generators all 64."""
    if len(digest) < _SHORTEST or is_of_nothing(digest):
        return
    end = digest + "g"  # after every hexadecimal digit: a range, so that the index is used
    fits = "where (sha256 >= :a and sha256 < :b) or (weights_hash >= :a and weights_hash < :b) or weights_hash = :short"
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


def _by_other_hash(store: CrawlStore, told: str) -> list[Tie]:
    is_short = told.startswith("crc32:")
    ties = [
        Tie(
            told,
            "short hash" if is_short else "hash",
            hub,
            number,
            _url(store, hub, number),
            name,
            sha256 or None,
        )
        for hub, number, name, sha256 in _with_hash(store, told)
    ]
    return _of_few(ties) if is_short else ties


def _by_short_hash(store: CrawlStore, one: Ingredient) -> list[Tie]:
    """Files with this AutoV1: 8 digits over 64 kB of a file, which files of one origin may have in common."""
    if one.digest is None or len(one.digest) >= _SHORTEST:
        return []
    rows = _with_hash(store, f"autov1:{one.digest[:8]}")
    ties = [
        Tie(one.digest, "short hash", hub, number, _url(store, hub, number), name, sha256 or None)
        for hub, number, name, sha256 in rows
    ]
    return _of_few(ties)


def _with_hash(store: CrawlStore, told: str) -> list[tuple[str, str, str, str]]:
    query = "select hub, listing_id, name, sha256 from file_hashes where hash = ? limit 20"
    return [
        (str(hub), str(number), str(name), str(sha256))
        for hub, number, name, sha256 in store.db.execute(query, [told])
    ]


def _by_number(store: CrawlStore, one: Ingredient) -> Iterator[Tie]:
    """The listing whose number a generator writes; its file, where it has one only."""
    hub, _, number = str(one.listing).partition(":")
    query = "select title, url from listings where hub = ? and listing_id = ? order by rowid desc limit 1"
    for title, url in store.db.execute(query, [hub, number]).fetchall():
        files = store.db.execute(
            "select name, sha256 from files where hub = ? and listing_id = ?", [hub, number]
        ).fetchall()
        name, sha256 = files[0] if len(files) == 1 else (title, None)
        yield Tie(str(one.listing), "link", hub, number, url, name, sha256 or None)


def _by_name(store: CrawlStore, one: Ingredient) -> list[Tie]:
    """Files of that name, without those of which the hash that is written is known not to be theirs."""
    stem = stem_of(one.name) if one.name else ""
    if len(stem) < 4:
        return []
    escaped = "".join(f"\\{sign}" if sign in "\\%_" else sign for sign in stem)
    columns = "select sha256, name, hub, listing_id, weights_hash from files"
    query = f"{columns} where name = ? or name like ? escape '\\' limit 200"
    rows = store.db.execute(query, [f"{stem}.safetensors", f"%/{escaped}.safetensors"]).fetchall()
    said = (
        f'file name "{one.name}"'
        if not set(stem.lower()) - set("0123456789abcdef")
        else str(one.name)
    )
    return _of_few(
        [
            Tie(said, "name", hub, listing_id, _url(store, hub, listing_id), name, sha256 or None)
            for sha256, name, hub, listing_id, weights_hash in rows
            if not _is_another(store, one, sha256, weights_hash, (hub, listing_id, name))
        ]
    )


def _is_another(
    store: CrawlStore,
    one: Ingredient,
    sha256: str | None,
    weights_hash: str | None,
    file: tuple[str, str, str],
) -> bool:
    """Whether a file's known hashes say that it is not the one of which the image writes another hash."""
    if one.digest and len(one.digest) == _AUTO_V2:
        return bool(sha256)
    if one.digest and len(one.digest) > _AUTO_V2:
        return bool(sha256 and weights_hash)
    if one.other_hash:
        kind = one.other_hash.partition(":")[0]
        query = "select count(*) from file_hashes where hub = ? and listing_id = ? and name = ? and hash like ?"
        return bool(store.db.execute(query, [*file, f"{kind}:%"]).fetchone()[0])
    return False


def _of_few(ties: list[Tie]) -> list[Tie]:
    """The ties, where they are to few different files; none where so many fit that none is meant."""
    files = {tie.sha256 or (tie.hub, tie.listing_id) for tie in ties}
    return ties if len(files) <= _MOST_OF_ONE_NAME else []


def _by_link(store: CrawlStore, link: str) -> Iterator[Tie]:
    parts = urlsplit(link)
    host = (parts.hostname or "").removeprefix("www.")
    path = [part for part in parts.path.split("/") if part]
    wanted: list[tuple[str, list[str]]] = []
    if (
        host in ("civitai.com", "civitai.red", "civitai.green")
        and path[:1] == ["models"]
        and len(path) > 1
    ):
        version = parse_qs(parts.query).get("modelVersionId", [""])[0]
        wanted.append(
            (
                "url = ? or url like ?",
                [
                    link,
                    f"%/models/{_plain(path[1])}{'?modelVersionId=' + _plain(version) if version else '%'}",
                ],
            )
        )
    elif (
        host
        in ("huggingface.co", "hf.co", "modelscope.cn", "liblib.art", "tensor.art", "seaart.ai")
        and path
    ):
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
    return sorted(dict.fromkeys(ties), key=lambda tie: _ORDER[tie.strength])
