"""From captures to cases: accounts and pages are judged, remembered, and a case is opened for whoever they show."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from PIL import Image

from crawlers.saved.captures import Captures, PageRow
from crawlers.saved.facts import PageKind
from crawlers.saved.ties import Tie, strongest, ties_of_image, ties_of_page
from crawlers.saved.turns import shared
from face_index.captured import pixels_of
from reports.case import (
    CaptureRecord,
    Case,
    CheckpointRecord,
    MethodRecord,
    SightedImage,
    SightedPage,
    SightingRecord,
    TieRecord,
)
from reports.review import CaseStatus
from scanner.captures.sightings import LEAST_IMAGES, SeenImage, SightedIdentity, Sighting, Subject, judge, subjects_of
from scanner.cases.filing import authorised_by, is_registered, method_record, note_superseded, open_case
from scanner.comparison import comparison_record
from scanner.environment import environment_now
from scanner.verdict import Outcome
from scanner.watch import Watch
from scanner.workshop import Workshop

_MOST_IMAGES = 400  # in one case; those that count come first
_MARGIN = 0.45  # of a face's size, around it
_FACE_PX = 240
_TEXT_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class JudgedSubject:
    """What was found about one account or capture.

    Attributes:
        authorised: what allows the use, for who was found and has no case.
        known: it was judged before, under the same settings, and nothing new came.
    """

    key: str
    name: str
    outcome: str
    reason: str
    images: int
    faces: int
    cases: tuple[str, ...]
    identities: tuple[str, ...]
    authorised: tuple[str, ...]
    ties: tuple[str, ...]
    known: bool


def judge_captures(
    workshop: Workshop, captures: Captures, step: Callable[[str], None] = lambda _: None
) -> Iterator[JudgedSubject]:
    """Judge what is new or was judged under other settings; each subject is committed once it is judged."""
    watch = workshop.watch
    fingerprint = hashlib.sha256(f"captures 2 {LEAST_IMAGES} {workshop.fingerprint_of(watch)}".encode()).hexdigest()
    todo: list[Subject] = []
    for subject in subjects_of(captures):
        known = workshop.ledger.sighting(subject.key, subject.version, fingerprint)
        if known is None or known["authorised"]:  # what allows a use may end any day
            todo.append(subject)
        else:
            yield JudgedSubject(**{**known, **{name: tuple(known[name]) for name in _LISTS}}, known=True)
    for sighting in judge(todo, captures, workshop.reader, workshop.pack, watch):
        step(sighting.subject.name)
        with shared(captures.folder):
            if any(captures.known(page.capture_id) is None for page in sighting.subject.pages.values()):
                continue  # a capture of it was removed meanwhile: the next run judges what is left
            judged = _filed(workshop, captures, watch, sighting)
        record = {name: getattr(judged, name) for name in JudgedSubject.__dataclass_fields__ if name != "known"}
        record["reason"] = (
            "a case was opened" if judged.cases else record["reason"] if not judged.authorised else "authorised"
        )
        # No name and no score of a person stays in the ledger: cases hold them, and are found by their ids.
        subject = sighting.subject
        workshop.ledger.keep_sighting(
            subject.key, subject.version, fingerprint, judged.outcome, record, workshop.clock()
        )
        yield judged


_UNDECIDED = (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES, CaseStatus.SUPERSEDED)
_LISTS = ("cases", "identities", "authorised", "ties")


def _filed(workshop: Workshop, captures: Captures, watch: Watch, sighting: Sighting) -> JudgedSubject:
    ties = _ties(workshop, captures, sighting.subject)
    cases, authorised, identities = [], [], []
    for found in sighting.found:
        if not is_registered(workshop, found.identity_id):
            continue
        method = _method(workshop, watch, found)
        case = _case(workshop, captures, sighting, found, ties, method)
        allowed = authorised_by(workshop, case) or _licence_of_the_file(workshop, case, sighting.subject)
        if allowed is not None:
            authorised.append(allowed)
            continue
        cases.append(_opened_or_noted(workshop, case))
        identities.append(found.identity_id)
    outcome = str(sighting.outcome) if identities or not sighting.found else str(Outcome.CLEAR)
    subject = sighting.subject
    return JudgedSubject(
        subject.key, subject.name, outcome, sighting.reason, sighting.images, sighting.faces, tuple(cases), tuple(identities),
        tuple(authorised), tuple(dict.fromkeys(tie.sha256 or tie.listing_url for tie, _ in ties)), known=False,
    )  # fmt: skip


def _licence_of_the_file(workshop: Workshop, case: Case, subject: Subject) -> str | None:
    """What allows the model that a listing's previews advertise; None if nothing does, or it is no listing."""
    for page in subject.pages.values():
        for sha256 in page.facts.hashes if page.facts.kind == PageKind.MODEL else ():
            licensed = replace(case, checkpoint=replace(case.checkpoint, sha256=sha256))
            if (allowed := authorised_by(workshop, licensed)) is not None:
                return allowed
    return None


def _opened_or_noted(workshop: Workshop, case: Case) -> str:
    """The id of the case that stands: this one, unless somebody decided about as strong a one of the same account before.

    A case that nobody decided about is superseded, so that the queue shows an account once, with everything captured so far.
    """
    earlier = [one for one in workshop.docket.cases(case.identity_id) if one.sighting is not None]
    if any(one.case_id == case.case_id for one in earlier):
        return case.case_id
    decided = [
        one
        for one in earlier
        if _are_of_one_account(one, case)
        and one.status not in _UNDECIDED
        and one.outcome in (case.outcome, Outcome.MATCH)
        and workshop.records.is_sound(one)
    ]
    if decided:
        told = f"{len(case.sighting.images if case.sighting else ())} images were captured by now: {case.reason}"
        workshop.docket.add(decided[-1].case_id, "note", workshop.settings.operator, workshop.clock(), {"text": told})
        return decided[-1].case_id
    open_case(workshop, case)
    for one in earlier:
        if (
            one.status in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
            and _is_within(one, case)
            and workshop.records.is_sound(one)
        ):
            actor, now = workshop.settings.operator, workshop.clock()
            workshop.docket.add(one.case_id, "superseded", actor, now, {"by": case.case_id})
            note_superseded(workshop, one, case)
    return case.case_id


def _are_of_one_account(one: Case, other: Case) -> bool:
    """Whether both are about the same account, or about the same capture that names none."""
    if one.sighting is None or other.sighting is None:
        return False
    return _account_of(one.sighting) == _account_of(other.sighting)


def _account_of(sighting: SightingRecord) -> tuple[str, ...]:
    who = sighting.account_id or sighting.account_name
    return (sighting.platform, who) if who else tuple(sorted(row.capture_id for row in sighting.captures))


def _is_within(one: Case, other: Case) -> bool:
    """Whether the other covers all that one is about: the same account, or captures that were then said to be its own."""
    if one.sighting is None or other.sighting is None:
        return False
    captured = {row.capture_id for row in one.sighting.captures}
    is_loose = not (one.sighting.account_id or one.sighting.account_name)
    return _are_of_one_account(one, other) or (
        is_loose and captured <= {row.capture_id for row in other.sighting.captures}
    )


def _ties(workshop: Workshop, captures: Captures, subject: Subject) -> list[tuple[Tie, str]]:
    """What ties a subject's pages and images to checkpoints, with where that is written."""
    found: dict[Tie, str] = {}
    for page in subject.pages.values():
        for tie in ties_of_page(workshop.crawl, page.facts):
            found.setdefault(tie, "page")
        for image in captures.images(page.page_id):
            for tie in ties_of_image(workshop.crawl, image.provenance):
                found.setdefault(tie, "image")
    return [(tie, found[tie]) for tie in strongest(found)]


def _case(
    workshop: Workshop,
    captures: Captures,
    sighting: Sighting,
    found: SightedIdentity,
    ties: list[tuple[Tie, str]],
    method: MethodRecord,
) -> Case:
    subject, identity = sighting.subject, workshop.vault.find(found.identity_id)
    name = hashlib.sha256(
        f"{subject.key}:{subject.version}:{identity.identity_id}:{found.outcome}".encode()
    ).hexdigest()
    scored = found.scored
    record = _sighting(workshop, captures, sighting, found, ties)
    return Case(
        case_id=name[:16], scan_id="captures", opened_at=workshop.clock().isoformat(), outcome=str(found.outcome), reason=found.reason,
        identity_id=identity.identity_id, identity_name=identity.name, terms=str(identity.consent.terms), score=scored.score,
        interval=scored.interval, threshold=found.thresholds.match, possible_threshold=found.thresholds.possible, control_score=None,
        lift=None, checkpoint=_place(subject, record), log10_lr=scored.log10_lr, concentration=scored.concentration,
        runner_up=scored.runner_up, share=scored.share,
        authorisation=(
            f"terms: {identity.consent.terms}; no licence of this person covers the account or the site on {workshop.clock():%Y-%m-%d}"
        ),
        environment=environment_now(_newest(record), workshop.clock()), method=method, samples=(),
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


def _method(workshop: Workshop, watch: Watch, found: SightedIdentity) -> MethodRecord:
    compared = comparison_record(workshop.pack, workshop.reader.version, watch, found.thresholds.match)
    here = {
        "base_model": "none: these images were captured",
        "base_model_sha256": None,
        "settings": {"least_images": LEAST_IMAGES},
    }
    return method_record({**here, **compared})


def _sighting(
    workshop: Workshop, captures: Captures, sighting: Sighting, found: SightedIdentity, ties: list[tuple[Tie, str]]
) -> SightingRecord:
    subject = sighting.subject
    shown = found.images[:_MOST_IMAGES]
    showing = {page_id for one in shown for page_id in subject.places[one.image.sha256]}
    pages = [page for page in subject.pages.values() if page.page_id in showing] or list(subject.pages.values())
    numbers = {page.page_id: number for number, page in enumerate(pages)}
    first = pages[0]
    rows = {one.capture_id: captures.one(one.capture_id) for one in pages}
    return SightingRecord(
        platform=first.facts.platform, account_name=first.facts.account_name if subject.account else None,
        account_id=first.facts.account_id if subject.account else None, account_url=next((page.facts.account_url for page in pages if page.facts.account_url), None),
        pages=tuple(_page(page) for page in pages),
        images=tuple(_image(workshop, captures, one, subject, numbers) for one in shown),
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
    workshop: Workshop, captures: Captures, one: SeenImage, subject: Subject, numbers: dict[str, int]
) -> SightedImage:
    data = captures.image_path(one.image.sha256).read_bytes()
    workshop.docket.keep(data, "captured")
    face = workshop.docket.keep(_face_png(data, one.box)) if one.box and one.in_mean else None
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
