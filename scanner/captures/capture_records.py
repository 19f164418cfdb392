"""A case's record of what captures show: the account or page, its captures, its images and their faces."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from crawlers.captures.capture_store import Captures, PageRow
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.ties import Tie
from face_index.faces.capture_faces import pixels_of
from reports.cases.case import Case
from reports.cases.checkpoint_record import CheckpointRecord
from reports.cases.method_record import MethodRecord
from reports.cases.sighting_record import (
    CaptureRecord,
    SightedImage,
    SightedPage,
    SightingRecord,
    TieRecord,
)
from scanner.captures.subjects import LEAST_IMAGES, SeenImage, SightedIdentity, Sighting, Subject
from scanner.casework.filing import method_record
from scanner.environment import environment_now
from scanner.identification.snapshot import Watch
from scanner.scanning.comparison import comparison_record
from scanner.scanning.session import ScanSession

_MOST_IMAGES = 400  # in one case; those that count come first
_MARGIN = 0.45  # of a face's size, around it
_FACE_PX = 240
_TEXT_CHARS = 2_000


def sighted_case(
    scan_session: ScanSession,
    captures: Captures,
    sighting: Sighting,
    found: SightedIdentity,
    ties: list[tuple[Tie, str]],
    method: MethodRecord,
) -> Case:
    subject, identity = sighting.subject, scan_session.vault.find(found.identity_id)
    name = hashlib.sha256(
        f"{subject.key}:{subject.version}:{identity.identity_id}:{found.outcome}".encode()
    ).hexdigest()
    scored = found.scored
    record = _sighting(scan_session, captures, sighting, found, ties)
    return Case(
        case_id=name[:16], scan_id="captures", opened_at=scan_session.clock().isoformat(), outcome=str(found.outcome), reason=found.reason,
        identity_id=identity.identity_id, identity_name=identity.name, terms=str(identity.consent.terms), score=scored.score,
        interval=scored.interval, threshold=found.thresholds.match, possible_threshold=found.thresholds.possible, control_score=None,
        lift=None, checkpoint=_place(subject, record), log10_lr=scored.log10_lr, concentration=scored.concentration,
        runner_up=scored.runner_up, share=scored.share,
        authorisation=(
            f"terms: {identity.consent.terms}; no licence of this person covers the account or the site on {scan_session.clock():%Y-%m-%d}"
        ),
        environment=environment_now(_newest(record), scan_session.clock()), method=method, samples=(),
        sighting=record,
    )  # fmt: skip


def _newest(record: SightingRecord) -> str:
    """Who took the newest of the captures in: whom a court asks about the machine."""
    return max(record.captures, key=lambda one: one.taken_in_at).taken_in_by


def _place(subject: Subject, record: SightingRecord) -> CheckpointRecord:
    """The account or page in the fields that lists, licences and notices know."""
    page = next(iter(subject.pages.values()))
    return CheckpointRecord(
        file=subject.name, sha256=record.captures[0].sha256, weights_hash=None, size_bytes=0, kind="captured images", family="",
        triggers=(), training={}, signals=(), hub=record.platform or "captured",
        listing_url=record.account_url or page.url or f"capture:{page.capture_id}", title=subject.name if subject.account else page.facts.title,
        creator=record.account_name or (page.facts.account_name if page.facts.kind == PageKind.MODEL else None),
        published_at=page.facts.published_at, downloads=None, listing_id=record.account_id or page.facts.item_id,
    )  # fmt: skip


def method_of(scan_session: ScanSession, watch: Watch, found: SightedIdentity) -> MethodRecord:
    compared = comparison_record(
        scan_session.pack, scan_session.reader.version, watch, found.thresholds.match
    )
    here = {
        "base_model": "none: these images were captured",
        "base_model_sha256": None,
        "settings": {"least_images": LEAST_IMAGES},
    }
    return method_record({**here, **compared})


def _sighting(
    scan_session: ScanSession,
    captures: Captures,
    sighting: Sighting,
    found: SightedIdentity,
    ties: list[tuple[Tie, str]],
) -> SightingRecord:
    subject = sighting.subject
    shown = found.images[:_MOST_IMAGES]
    showing = {page_id for one in shown for page_id in subject.places[one.image.sha256]}
    pages = [page for page in subject.pages.values() if page.page_id in showing] or list(
        subject.pages.values()
    )
    numbers = {page.page_id: number for number, page in enumerate(pages)}
    first = pages[0]
    rows = {one.capture_id: captures.one(one.capture_id) for one in pages}
    return SightingRecord(
        platform=first.facts.platform, account_name=first.facts.account_name if subject.account else None,
        account_id=first.facts.account_id if subject.account else None, account_url=next((page.facts.account_url for page in pages if page.facts.account_url), None),
        pages=tuple(_page(page) for page in pages),
        images=tuple(_image(scan_session, captures, one, subject, numbers) for one in shown),
        captures=tuple(
            CaptureRecord(captures.original_sha256(row.capture_id), row.name, row.format, row.taken_in_at, row.taken_in_by, row.tool, row.made_with, row.checks, row.capture_id)
            for row in rows.values()
        ),
        ties=tuple(TieRecord(tie.said, where, tie.file, tie.hub, tie.listing_url, tie.sha256) for tie, where in ties),
        images_read=sighting.images, faces_read=sighting.faces,
    )  # fmt: skip


def _page(page: PageRow) -> SightedPage:
    facts = page.facts
    price = None if facts.price is None else f"{facts.price:g} {facts.currency or ''}".strip()
    return SightedPage(
        page.url, facts.title, str(facts.kind), page.saved_at, facts.published_at, price, dict(facts.counts or {}),
        facts.text[:_TEXT_CHARS], page.capture_id,
    )  # fmt: skip


def _image(
    scan_session: ScanSession,
    captures: Captures,
    one: SeenImage,
    subject: Subject,
    numbers: dict[str, int],
) -> SightedImage:
    data = captures.image_path(one.image.sha256).read_bytes()
    scan_session.case_store.keep(data, "captured")
    face = (
        scan_session.case_store.keep(_face_png(data, one.box)) if one.box and one.in_mean else None
    )
    pages = (numbers[page_id] for page_id in subject.places[one.image.sha256] if page_id in numbers)
    return SightedImage(
        one.image.sha256, face, one.image.url, tuple(pages), one.copies, one.faces, one.score, one.in_mean,
        tuple(one.image.provenance.statements()),
    )  # fmt: skip


def _face_png(data: bytes, box: tuple[float, float, float, float]) -> bytes:
    """Nothing but the face: the rest of a stranger's picture need not be seen to recognise somebody."""
    upright = Image.fromarray(pixels_of(data))
    left, top, right, bottom = box
    wide, high = (right - left) * _MARGIN, (bottom - top) * _MARGIN
    crop = upright.crop(
        (
            max(0, int(left - wide)),
            max(0, int(top - high)),
            min(upright.width, int(right + wide)),
            min(upright.height, int(bottom + high)),
        )
    )
    crop.thumbnail((_FACE_PX, _FACE_PX))
    png = io.BytesIO()
    crop.save(png, "PNG", compress_level=1)  # a quarter of the usual time for a sixth more bytes
    return png.getvalue()
