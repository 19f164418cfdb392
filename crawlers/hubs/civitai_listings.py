"""Listings from the documents of Civitai's REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from crawlers.hashes import is_of_nothing
from crawlers.listing import Listing, Presence, RemoteFile, hex_digest
from crawlers.values import count_of, object_of, objects_of, text_of, words_of

NAME = "civitai"
_WEIGHTS = ("Model", "Pruned Model")
_HOST = re.compile(r"^(?:[a-z]+:)?//[^/?#]*", re.IGNORECASE)


def listing_from(host: str, model: dict[str, Any], version: dict[str, Any]) -> Listing:
    """A version of a model as a listing. `host` is the address that the hub was asked at."""
    stats = object_of(version.get("stats"))
    return Listing(
        hub=NAME,
        listing_id=str(version["id"]),
        title=f"{model.get('name', '')} - {version.get('name', '')}",
        url=f"{host}/models/{model['id']}?modelVersionId={version['id']}",
        creator=text_of(object_of(model.get("creator")).get("username")),
        triggers=words_of(version.get("trainedWords")),
        tags=words_of(model.get("tags")),
        base_model=text_of(version.get("baseModel")),
        published_at=text_of(version.get("publishedAt")),
        downloads=count_of(stats.get("downloadCount")),
        real_person_flag=bool(model.get("poi")),
        standing=standing_of(model),
        minor_flag=bool(model.get("minor")),
        files=_files(host, version, (None, *_WEIGHTS)),
        training_data=_files(host, version, ("Training Data",)),
        raw=json.dumps(
            {"model": {**model, "modelVersions": []}, "version": version},
            ensure_ascii=False,
            sort_keys=True,
        ),
    )


def _files(
    host: str, version: dict[str, Any], types: Sequence[str | None]
) -> tuple[RemoteFile, ...]:
    return tuple(
        file_from(host, entry)
        for entry in objects_of(version.get("files"))
        if entry.get("type") in types
    )


def file_from(host: str, entry: dict[str, Any]) -> RemoteFile:
    """A file of a version, as the document of the version describes it."""
    size, hashes = count_of(entry.get("sizeKB")), object_of(entry.get("hashes"))
    return RemoteFile(
        name=str(entry.get("name", "")),
        url=_own_url(host, str(entry.get("downloadUrl", ""))),
        size_bytes=None if size is None else round(float(entry["sizeKB"]) * 1024),
        sha256=hex_digest(hashes.get("SHA256")),
        weights_hash=hex_digest(hashes.get("AutoV3"), 12),
        other_hashes=tuple(_other_hashes(hashes)),
    )


def _own_url(host: str, url: str) -> str:
    # Recorded answers hold links without a scheme and links to sister hosts. Path and query
    # are kept, the host is replaced.
    return f"{host}/{_HOST.sub('', url, count=1).lstrip('/')}"


def _other_hashes(hashes: dict[str, Any]) -> Iterator[str]:
    for kind, digits_least in (("BLAKE3", 64), ("AutoV1", 8), ("CRC32", 8)):
        digits = hex_digest(hashes.get(kind), digits_least)
        if digits and not is_of_nothing(digits):
            yield f"{kind.lower()}:{digits}"


def standing_of(model: dict[str, Any]) -> Presence:
    """The presence that the document of a model states."""
    if model.get("poi"):
        return Presence.FLAGGED
    by_mode = {"Archived": Presence.ARCHIVED, "TakenDown": Presence.TAKEN_DOWN}
    return by_mode.get(str(model.get("mode")), Presence.LISTED)
