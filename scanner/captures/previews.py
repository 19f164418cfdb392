"""Previews of crawled listings, taken in as captures.

They can give a match before any weights are fetched and without a GPU. The hub's answers are
written to a WARC file, which is sealed and read like any other capture.
"""

from __future__ import annotations

import html
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from crawlers.errors import CrawlError, HubError, HubUnreachable
from crawlers.http.transport import Transport
from crawlers.listing import Listing
from crawlers.sweeps.previews import Preview, previews_of
from scanner.captures.intake import Intake, TakenIn
from scanner.errors import RefusedToSample, sentence_of
from scanner.triage.minors import refuse_minors

log = logging.getLogger(__name__)

# A host that does not answer costs all retries, so a listing with dead hosts must not delay others.
_MOST_SILENT = 2
_KINDS = ("image/", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True, slots=True)
class PreviewsTaken:
    """The result for one listing's previews.

    Attributes:
        taken: None if nothing could be taken in.
        missing: number of pictures that could not be fetched.
        problem: why nothing was taken in.
    """

    listing: Listing
    taken: TakenIn | None
    missing: int = 0
    problem: str | None = None


def take_previews(
    intake: Intake, transport: Transport, listings: Iterator[Listing], *, again: bool
) -> Iterator[PreviewsTaken]:
    """Take in the previews of each listing that has any and was not taken in before.

    Args:
        again: take in listings that were taken in before too, as they are now.
    """
    for listing in listings:
        previews = previews_of(listing)
        if not previews or (
            not again and intake.captures.has_listing(listing.hub, listing.listing_id)
        ):
            continue
        try:
            if any(preview.minor for preview in previews):
                raise RefusedToSample(
                    "the hub marks a picture of it as showing a minor; nothing of it is fetched"
                )
            refuse_minors([listing.title, *listing.tags, *listing.triggers], listing.minor_flag)
            yield _taken(intake, transport, listing, previews)
        except (CrawlError, RefusedToSample) as error:
            yield PreviewsTaken(listing, None, len(previews), str(error))
        except Exception as error:  # one listing's pictures must not stop the others
            log.exception("%s %s", listing.hub, listing.listing_id)
            problem = f"they cannot be taken in: {sentence_of(error)}"
            yield PreviewsTaken(listing, None, len(previews), problem)


def _taken(
    intake: Intake, transport: Transport, listing: Listing, previews: tuple[Preview, ...]
) -> PreviewsTaken:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"previews-{listing.hub}-{_plain(listing.listing_id)}.warc.gz"
        with path.open("wb") as file:
            missing, why = _write(WARCWriter(file, gzip=True), transport, listing, previews)
        if missing == len(previews):
            raise HubError(
                f"none of its {missing} pictures could be fetched: {why}. "
                "Where the hub has moved, `crawl` it again"
            )
        taken = intake.take_one(
            path,
            intake.operator,
            f"portrait-scanner {version('portrait-scanner')}",
            listing=listing,
        )
    return PreviewsTaken(listing, taken, missing)


def _write(
    writer: WARCWriter, transport: Transport, listing: Listing, previews: tuple[Preview, ...]
) -> tuple[int, str]:
    """Write a hub's answers.

    Returns the number of pictures that could not be fetched, and the reason for the last of them.
    """
    software = {
        "software": f"portrait-scanner {version('portrait-scanner')}",
        "format": "WARC File Format 1.1",
    }
    writer.write_record(writer.create_warcinfo_record("previews", software))
    _add(
        writer,
        "metadata",
        listing.url,
        json.dumps(json.loads(listing.raw)).encode(),
        "application/json",
    )
    _add(
        writer,
        "resource",
        listing.url,
        _page_of(listing, previews).encode(),
        "text/html; charset=utf-8",
    )
    missing = silent = 0
    why = ""
    for preview in previews:
        if silent >= _MOST_SILENT:
            missing += 1
            continue
        try:
            answer = transport.get(preview.url)
        except HubError as error:
            missing, why = missing + 1, str(error)
            silent += isinstance(error, HubUnreachable)
            continue
        kind = answer.headers.get("content-type", "")
        if not kind.startswith(_KINDS):
            missing, why = missing + 1, f"{kind or 'no media type'} came instead of a picture"
            continue
        # The body is stored decoded, so headers that describe its transfer encoding are left out.
        headers = [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower()
            not in ("content-encoding", "transfer-encoding", "content-length", "set-cookie")
        ]
        status = StatusAndHeaders(
            f"{answer.status_code} {answer.reason_phrase}", headers, protocol="HTTP/1.1"
        )
        writer.write_record(
            writer.create_warc_record(
                preview.url, "response", payload=io.BytesIO(answer.content), http_headers=status
            )
        )
    return missing, why


def _add(writer: WARCWriter, kind: str, url: str, data: bytes, media_type: str) -> None:
    writer.write_record(
        writer.create_warc_record(
            url, kind, payload=io.BytesIO(data), warc_content_type=media_type, length=len(data)
        )
    )


def _page_of(listing: Listing, previews: tuple[Preview, ...]) -> str:
    """A page that shows the pictures, made from the hub's answer, which is stored beside it."""
    pictures = "".join(f'<img src="{html.escape(preview.url)}" alt="">' for preview in previews)
    generator = f"portrait-scanner, from the answer of {html.escape(listing.hub)}"
    return (
        f"<!doctype html><html><head><title>{html.escape(listing.title)}</title>"
        f'<meta name="generator" content="{generator}"></head>'
        f"<body><h1>{html.escape(listing.title)}</h1>{pictures}</body></html>"
    )


def _plain(listing_id: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "-" for char in listing_id)[:80]
