"""Civitai's public REST API v1 (https://developer.civitai.com): every adapter version it lists.

Sorted by Newest, the API's cursor drops one model a page (civitai/civitai issue 1372). Sorted by
Oldest its last column ascends and nothing is lost; repeated models are removed by the reader. A
cursor is `lastVersionAt|modelId`, so each month can be read in parallel from a cursor that is made
here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from crawlers.errors import HubError, HubRefused
from crawlers.http.transport import Transport
from crawlers.hubs.civitai_listings import NAME, listing_from, standing_of
from crawlers.hubs.civitai_pages import PAGE_SIZE, cursor_of, doubt_about, next_cursor, odd_entries
from crawlers.hubs.description import HubDescription
from crawlers.hubs.repeated_requests import request_until_plausible
from crawlers.listing import (
    Listing,
    Page,
    Partition,
    Presence,
    SinglePartition,
    hex_digest,
    presence_of_status,
)
from crawlers.values import ODD_SHAPES, count_of, object_of, objects_of

log = logging.getLogger(__name__)

DEFAULT_HOST = "https://civitai.com"
LIKENESS_TYPES = ("LORA", "LoCon", "DoRA", "TextualInversion", "Checkpoint")
MOST_REPEATS = 20
ENOUGH_TO_JUDGE_FILTERING = 1_000
# The hub's ModelType (src/shared/utils/prisma/enums).
TYPES = (
    *LIKENESS_TYPES,
    "Hypernetwork", "AestheticGradient", "Controlnet", "Upscaler", "MotionModule", "VAE",
    "TextEncoder", "UNet", "CLIPVision", "Poses", "Wildcards", "Workflows", "ComfyWorkflows",
    "Detection", "VisionLanguage", "CLIP", "LLM", "Other",
)  # fmt: skip
OPENED = date(2022, 11, 1)
MOST_HASHES_AT_ONCE = 10_000


class CivitaiHub(SinglePartition):
    """All versions of all models of the types that can carry a likeness.

    Args:
        types: the hub's own type names (ModelType).
    """

    name = NAME

    def __init__(
        self, transport: Transport, host: str = DEFAULT_HOST, types: Sequence[str] = LIKENESS_TYPES
    ) -> None:
        self._transport = transport
        self._host = host.rstrip("/")
        self._types = list(types or LIKENESS_TYPES)
        if unknown := set(self._types) - set(TYPES):
            raise HubError(
                f"{', '.join(sorted(unknown))} is no type of Civitai's; "
                f"types are {', '.join(TYPES)}"
            )
        self._lock = threading.Lock()
        self._seen = self._mature = 0

    def partitions(self, since: datetime | None = None) -> tuple[Partition, ...]:
        """One partition for each month, the newest last.

        There is a single partition if the hub has one page only or rejects cursors made here.
        """
        if since is not None:
            return (Partition(_moment(since), since, last=True),)
        today = datetime.now(UTC).date()
        first, _ = self._plausible(None, None, "")
        following = cursor_of(first)
        # If the hub's cursors are not dates in this form, they can only be followed.
        if following is None or not re.match(r"\d{4}-\d\d-\d\dT", following):
            return (Partition(),)
        months = [
            OPENED,
            *(first for first in _firsts_of_months(OPENED, today)),
            today - timedelta(days=1),
        ]
        try:
            months = months[: self._last_with_models(months) + 1]
        except HubRefused:
            return (Partition(),)
        # The first partition also holds models that changed before the hub's first month.
        starts = ["", *(_moment(month) for month in months[1:])]
        closed = [Partition(f"{start}..{end}") for start, end in pairwise(starts)]
        return (*closed, Partition(starts[-1], last=True))

    def _last_with_models(self, months: Sequence[date]) -> int:
        """The index of the last month from whose beginning on the hub lists a model.

        If a month wrongly appears empty, the last partition gets longer and nothing is lost.
        """
        models_at, none_at = 0, len(months)
        probe = len(months) - 1
        while none_at - models_at > 1:
            page = self._page(f"{_moment(months[probe])}|0")
            if objects_of(page.get("items")) or cursor_of(page) is not None:
                models_at = probe
            else:
                none_at = probe
            probe = (models_at + none_at) // 2
        return models_at

    def pages(self, partition: Partition, cursor: str | None = None) -> Iterator[Page]:
        """Yield pages of models.

        The cursor is the hub's own, or the moment at which the partition begins.
        """
        start, _, end = partition.name.partition("..")
        begin = f"{start}|0" if start else None
        cursor = cursor or begin
        repeats, asked = 0, set[str | None]()
        while True:
            asked.add(cursor)
            try:
                document, gap = self._plausible(cursor, begin, end)
            except HubRefused as error:
                # Models without a published version sort behind all dates, and the hub refuses
                # the cursor that it gave for them.
                if error.status != 400 or not (cursor or "").startswith("|"):
                    raise
                yield Page(
                    (), None, (f"models that were never published ({cursor}) cannot be listed",)
                )
                return
            models, following = objects_of(document.get("items")), cursor_of(document)
            notes = odd_entries(document, cursor)
            # An empty page with a cursor is not the end, because the hub filters after paging.
            if not models and following is not None:
                notes.append(f"an empty page at cursor {cursor}")
            if following is not None and following in asked:
                repeats += 1
                notes.append(f"cursor {following} was repeated")
                if repeats > MOST_REPEATS and models:
                    raise HubError(
                        f"{self._host} repeats cursor {following!r}; "
                        "the sweep stopped there and is incomplete"
                    )
                if repeats > MOST_REPEATS:
                    gap = f"{self._host} gives no model at cursor {cursor}, asked {repeats} times"
                # A page with models has shown the model that its cursor names; an empty page has
                # shown nothing.
                following = next_cursor(following) if models else following
            if gap is not None or (following is not None and end and following >= end):
                following = None
            notes += self._filtering(models, at_end=following is None and not end)
            listings = [listing for model in models for listing in self._readable(model, notes)]
            yield Page(tuple(listings), following, tuple(notes), gap)
            if following is None:
                return
            cursor = following

    def _plausible(
        self, cursor: str | None, begin: str | None, end: str
    ) -> tuple[dict[str, Any], str | None]:
        """A page, and the reason if it is still implausible after all attempts."""
        document, why_not = request_until_plausible(
            lambda: self._page(cursor), lambda page: doubt_about(page, cursor, begin, end)
        )
        return document, why_not and f"{self._host} {why_not}"

    def _filtering(self, models: list[dict[str, Any]], *, at_end: bool) -> list[str]:
        """A note if, of many models, none is rated above PG: the hub then filters this network."""
        with self._lock:
            self._seen += len(models)
            self._mature += sum((count_of(model.get("nsfwLevel")) or 0) > 1 for model in models)
            if at_end and self._seen >= ENOUGH_TO_JUDGE_FILTERING and not self._mature:
                note = (
                    f"not one of {self._seen:,} models is rated above PG although all were asked "
                    "for: this network seems to be shown a filtered list"
                )
                return [note]
        return []

    def _readable(self, model: dict[str, Any], notes: list[str]) -> Iterator[Listing]:
        """Yield a model's versions; note one that breaks the API's promises and go on."""
        for version in objects_of(model.get("modelVersions")):
            try:
                yield listing_from(self._host, model, version)
            except ODD_SHAPES as error:
                notes.append(
                    f"model {str(model)[:60]} cannot be read ({type(error).__name__}: {error})"
                )

    def check_presence(self, listing_id: str) -> Presence:
        """Request one version, which works even if the hub no longer lists it."""
        try:
            version = self._json(f"/api/v1/model-versions/{listing_id}", {})
        except HubRefused as error:
            return presence_of_status(error)
        return standing_of(object_of(version.get("model")))

    def versions_of(self, sha256s: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Model and version by SHA-256, for the files that the hub knows."""
        known: dict[str, tuple[int, int]] = {}
        for start in range(0, len(sha256s), MOST_HASHES_AT_ONCE):
            asked = [sha256.upper() for sha256 in sha256s[start : start + MOST_HASHES_AT_ONCE]]
            found = self._transport.post_json(
                f"{self._host}/api/v1/model-versions/by-hash/ids", asked
            )
            if not isinstance(found, list):
                raise HubError(
                    f"{self._host} answered a question for hashes with something that is not a list"
                )
            for entry in objects_of(found):
                sha256 = hex_digest(entry.get("hash"))
                ids = entry.get("modelId"), entry.get("modelVersionId")
                if sha256 and isinstance(ids[0], int) and isinstance(ids[1], int):
                    known[sha256] = (ids[0], ids[1])
        return known

    def version(self, version_id: int, model_id: int) -> Listing:
        """One version, listed or not, including versions flagged by the hub."""
        version = self._json(f"/api/v1/model-versions/{version_id}", {})
        model = {**object_of(version.get("model")), "id": version.get("modelId") or model_id}
        own = {name: value for name, value in version.items() if name != "model"}
        return listing_from(self._host, model, own)

    def _page(self, cursor: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "types": self._types,
            "nsfw": "true",
            "sort": "Oldest",
            "limit": PAGE_SIZE,
        }
        return self._json(
            "/api/v1/models", parameters if cursor is None else {**parameters, "cursor": cursor}
        )

    def _json(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        document = self._transport.get_json(f"{self._host}{path}", parameters)
        if not isinstance(document, dict):
            raise HubError(f"{self._host}{path} answered with something that is not a JSON object")
        return document


def _moment(day: date) -> str:
    """A moment in the form of the hub's cursors."""
    if isinstance(day, datetime):
        return day.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return f"{day.isoformat()}T00:00:00.000Z"


def _firsts_of_months(start: date, end: date) -> Iterator[date]:
    """Yield the first day of every month after `start`, up to two days before `end`."""
    day = start
    while True:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        if day >= end - timedelta(days=1):
            return
        yield day


HUB = HubDescription(
    name=CivitaiHub.name,
    addresses=(DEFAULT_HOST, "https://civitai.red"),
    build=CivitaiHub,
    types="LORA, LoCon, DoRA, TextualInversion, Checkpoint",
    token_setting="civitai_token",  # noqa: S106  the name of a setting
)
