"""CivArchive (https://civarchive.com): versions deleted from Civitai, and mirrors of their files.

It answers for one hash or model at a time and lists nothing by itself, so it is only asked about
files whose SHA-256 is known. It limits rates by 429 with `retry_after` in the body.
"""

from __future__ import annotations

import json
from typing import Any

from crawlers.errors import HubError, HubRefused
from crawlers.http.transport import Transport
from crawlers.hubs.description import HubDescription
from crawlers.listing import Listing, RemoteFile, hex_digest
from crawlers.values import ODD_SHAPES, count_of, object_of, objects_of, text_of, words_of

DEFAULT_HOST = "https://civarchive.com"


class CivArchive:
    """The archive's records by the SHA-256 of a file."""

    name = "civarchive"

    def __init__(self, transport: Transport, host: str = DEFAULT_HOST) -> None:
        self._transport, self._host = transport, host.rstrip("/")

    def record_of(self, sha256: str) -> Listing | None:
        """The version that had this file, with all mirrors of its files; None if unknown.

        Raises:
            HubError: the archive gave no readable answer.
        """
        try:
            document = self._transport.get_json(f"{self._host}/api/sha256/{sha256.lower()}")
        except HubRefused as error:
            if error.status == 404:
                return None
            raise
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, dict):
            raise HubError(f"{self._host}/api/sha256/{sha256} answered without a record")
        try:
            return self._listing(data)
        except ODD_SHAPES as error:
            raise HubError(
                f"the record of {sha256} cannot be read ({type(error).__name__}: {error})"
            ) from error

    def _listing(self, data: dict[str, Any]) -> Listing:
        version = object_of(data.get("version"))
        version_id = version.get("id") or data["id"]
        return Listing(
            hub=self.name,
            listing_id=str(version_id),
            title=" - ".join(str(part) for part in (data.get("name"), version.get("name")) if part),
            url=f"{self._host}/models/{data['id']}?modelVersionId={version_id}",
            creator=text_of(data.get("creator_username")),
            triggers=words_of(version.get("trigger")),
            tags=words_of(data.get("tags")),
            base_model=text_of(version.get("baseModel") or version.get("base_model")),
            published_at=text_of(version.get("publishedAt") or version.get("createdAt")),
            downloads=None,
            real_person_flag=bool(data.get("poi")),
            minor_flag=bool(data.get("minor")),
            files=tuple(
                mirror for file in objects_of(version.get("files")) for mirror in _mirrors(file)
            ),
            raw=json.dumps(data, ensure_ascii=False, sort_keys=True),
            revision=text_of(data.get("deletedAt") or version.get("deletedAt")),
        )


def _mirrors(file: dict[str, Any]) -> list[RemoteFile]:
    """The places that still have a file; if there is none, the file without an address."""
    sha256, size = hex_digest(file.get("sha256")), count_of(file.get("sizeKB"))
    size_bytes = None if size is None else round(float(file["sizeKB"]) * 1024)
    name = str(file.get("name") or "")
    live = [
        mirror
        for mirror in objects_of(file.get("mirrors"))
        if mirror.get("url") and not mirror.get("deletedAt")
    ]
    found = [
        RemoteFile(str(mirror.get("filename") or name), str(mirror["url"]), size_bytes, sha256)
        for mirror in live
    ]
    return found or [RemoteFile(name, "", size_bytes, sha256)]


HUB = HubDescription(
    name=CivArchive.name,
    addresses=(DEFAULT_HOST,),
    build=None,
    types="",
    token_setting="civarchive_token",  # noqa: S106  the name of a setting
)
