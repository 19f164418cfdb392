"""The case of an account or page: its captures, its images and their faces."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from crawlers.captures.capture_rows import CaptureRow, PageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.ties import Tie
from face_index.faces.capture_faces import pixels_of
from face_index.faces.face import PackVersion
from face_index.faces.packs import FacePack
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
from scanner.captures.image_search import ComparedImage, IdentityInImages, SubjectResult
from scanner.captures.subjects import Subject
from scanner.casework.filing import CaseFiling
from scanner.environment import environment_now
from scanner.identification.comparison import comparison_of
from scanner.identification.policy import LEAST_IMAGES
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import VerdictMethod

# Images in one case; those in the mean come first.
_MOST_IMAGES = 400
# Around a face, as a share of its size.
_MARGIN = 0.45
_FACE_PX = 240
_TEXT_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class CaptureCases:
    """Makes cases from findings in captures."""

    captures: CaptureStore
    filing: CaseFiling
    pack: FacePack
    version: PackVersion
    snapshot: GallerySnapshot

    def case_of(
        self, result: SubjectResult, found: IdentityInImages, ties: list[tuple[Tie, str]]
    ) -> Case:
        """The case of one identity in a subject's images; its faces and images become evidence."""
        subject, scored = result.subject, found.scored
        identity, now = self.filing.vault.people.find(found.identity_id), self.filing.clock()
        parts = f"{subject.key}:{subject.version}:{identity.identity_id}:{found.outcome}"
        record = self._sighting(result, found, ties)
        return Case(
            case_id=hashlib.sha256(parts.encode()).hexdigest()[:16],
            scan_id="captures",
            opened_at=now.isoformat(),
            outcome=str(found.outcome),
            reason=found.reason,
            identity_id=identity.identity_id,
            identity_name=identity.name,
            terms=str(identity.consent.terms),
            score=scored.score,
            interval=scored.interval,
            threshold=found.thresholds.match,
            possible_threshold=found.thresholds.possible,
            control_score=None,
            lift=None,
            checkpoint=_place(subject, record),
            log10_lr=scored.log10_lr,
            concentration=scored.concentration,
            runner_up=scored.runner_up,
            share=scored.share,
            authorisation=(
                f"terms: {identity.consent.terms}; no licence of this person covers the account "
                f"or the site on {now:%Y-%m-%d}"
            ),
            environment=environment_now(_newest_taker(record), now),
            method=self._method(found),
            samples=(),
            sighting=record,
        )

    def _method(self, found: IdentityInImages) -> MethodRecord:
        threshold = found.thresholds.match
        return VerdictMethod(
            base_model="none: these images were captured",
            base_model_sha256=None,
            comparison=comparison_of(self.pack, self.version, self.snapshot, threshold),
            settings={"least_images": LEAST_IMAGES},
            threshold=threshold,
        ).as_case_method()

    def _sighting(
        self, result: SubjectResult, found: IdentityInImages, ties: list[tuple[Tie, str]]
    ) -> SightingRecord:
        subject, captures = result.subject, self.captures
        shown = found.images[:_MOST_IMAGES]
        showing = {page for image in shown for page in subject.places[image.image.sha256]}
        pages = [page for page in subject.pages.values() if page.page_id in showing]
        pages = pages or list(subject.pages.values())
        numbers = {page.page_id: number for number, page in enumerate(pages)}
        facts = pages[0].facts
        rows = {page.capture_id: captures.find(page.capture_id) for page in pages}
        addresses = (page.facts.account_url for page in pages if page.facts.account_url)
        return SightingRecord(
            platform=facts.platform,
            account_name=facts.account_name if subject.account else None,
            account_id=facts.account_id if subject.account else None,
            account_url=next(addresses, None),
            pages=tuple(_page(page) for page in pages),
            images=tuple(self._image(image, subject, numbers) for image in shown),
            captures=tuple(_capture(captures, row) for row in rows.values()),
            ties=tuple(
                TieRecord(tie.said, where, tie.file, tie.hub, tie.listing_url, tie.sha256)
                for tie, where in ties
            ),
            images_read=result.images,
            faces_read=result.faces,
        )

    def _image(
        self, compared: ComparedImage, subject: Subject, numbers: dict[str, int]
    ) -> SightedImage:
        image, store = compared.image, self.filing.case_store
        data = self.captures.image_path(image.sha256).read_bytes()
        store.keep(data, "captured")
        shows_face = compared.box if compared.in_mean else None
        return SightedImage(
            image.sha256,
            store.keep(_face_png(data, shows_face)) if shows_face else None,
            image.url,
            tuple(numbers[page] for page in subject.places[image.sha256] if page in numbers),
            compared.copies,
            compared.faces,
            compared.score,
            compared.in_mean,
            tuple(image.provenance.statements()),
        )


def _newest_taker(record: SightingRecord) -> str:
    """The person who took in the newest capture and whom a court can ask about the machine."""
    return max(record.captures, key=lambda capture: capture.taken_in_at).taken_in_by


def _place(subject: Subject, record: SightingRecord) -> CheckpointRecord:
    """The account or page as a checkpoint record, which lists, licences and notices read."""
    page = next(iter(subject.pages.values()))
    is_model = page.facts.kind == PageKind.MODEL
    return CheckpointRecord(
        file=subject.name,
        sha256=record.captures[0].sha256,
        weights_hash=None,
        size_bytes=0,
        kind="captured images",
        family="",
        triggers=(),
        training={},
        signals=(),
        hub=record.platform or "captured",
        listing_url=record.account_url or page.url or f"capture:{page.capture_id}",
        title=subject.name if subject.account else page.facts.title,
        creator=record.account_name or (page.facts.account_name if is_model else None),
        published_at=page.facts.published_at,
        downloads=None,
        listing_id=record.account_id or page.facts.item_id,
    )


def _capture(captures: CaptureStore, row: CaptureRow) -> CaptureRecord:
    return CaptureRecord(
        captures.original_sha256(row.capture_id),
        row.name,
        row.format,
        row.taken_in_at,
        row.taken_in_by,
        row.tool,
        row.made_with,
        row.checks,
        row.capture_id,
    )


def _page(page: PageRow) -> SightedPage:
    facts = page.facts
    price = None if facts.price is None else f"{facts.price:g} {facts.currency or ''}".strip()
    return SightedPage(
        page.url,
        facts.title,
        str(facts.kind),
        page.saved_at,
        facts.published_at,
        price,
        dict(facts.counts or {}),
        facts.text[:_TEXT_CHARS],
        page.capture_id,
    )


def _face_png(data: bytes, box: tuple[float, float, float, float]) -> bytes:
    """PNG of the face alone; nothing else of a stranger's picture is needed for a comparison."""
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
