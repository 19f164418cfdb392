"""From captures to cases: accounts and pages are judged, remembered, and a case is opened for whoever they show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from crawlers.captures.capture_store import Captures
from crawlers.captures.locks import shared
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.ties import Tie, strongest, ties_of_image, ties_of_page
from reports.cases.case import Case
from reports.cases.review import CaseStatus
from reports.cases.sighting_record import SightingRecord
from scanner.captures.capture_records import method_of, sighted_case
from scanner.captures.disclosure import (
    HELD,
    NO_PAGE_YET,
    NOBODY,
    NOT_A_PAGE,
    ONE_ALONE,
    REFUSED,
    TOO_MANY,
    Source,
    may_be_told,
    source_of,
)
from scanner.captures.releases import ReleaseDecision, Releases
from scanner.captures.subjects import LEAST_IMAGES, Sighting, Subject, judge, subjects_of
from scanner.captures.tries import Tries
from scanner.casework.filing import (
    authorised_by,
    is_registered,
    note_authorised,
    note_superseded,
    open_case,
)
from scanner.identification.snapshot import Watch
from scanner.identification.verdict import Outcome
from scanner.scanning.session import ScanSession


@dataclass(frozen=True, slots=True)
class JudgedSubject:
    """What was found about one account or capture.

    Attributes:
        authorised: what allows the use, for who was found and has no case.
        known: it was judged before, under the same settings, and nothing new came.
        searched: False where the pictures may not be searched, or not yet.
        held: somebody may be shown, and nobody is told before a second person released it.
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
    searched: bool = True
    held: bool = False


def judge_captures(
    scan_session: ScanSession,
    captures: Captures,
    step: Callable[[str], None] = lambda _: None,
    asker: str | None = None,
) -> Iterator[JudgedSubject]:
    """Judge what is new or was judged under other settings; each subject is committed once it is judged.

    Args:
        asker: the login of whoever asks for it; its searches are counted and limited (scanner.captures.tries).
    """
    watch = scan_session.watch
    fingerprint = hashlib.sha256(
        f"captures 3 {LEAST_IMAGES} {scan_session.fingerprint_of(watch)}".encode()
    ).hexdigest()
    releases = Releases(captures, scan_session.scan_store, scan_session.vault)
    settings = scan_session.settings
    tries = Tries(
        scan_session.vault,
        captures,
        asker or settings.operator,
        settings.searches_per_day,
        scan_session.clock(),
    )
    todo: list[Subject] = []
    for subject in subjects_of(captures):
        decision = releases.decision_about(subject)
        known = scan_session.scan_store.sighting(subject.key, subject.version, fingerprint)
        why = _not_to_be_searched(subject, captures, decision)
        if known is not None and not _must_be_judged_again(known, why, decision):
            yield JudgedSubject(
                **{**known, **{name: tuple(known[name]) for name in _LISTS}}, known=True
            )
        elif why is not None:
            judged = _unsearched(subject, why)
            _keep(scan_session, subject, fingerprint, judged)
            yield judged
        elif scan_session.scan_store.was_searched(subject.key, subject.version) or tries.take(
            subject
        ):
            todo.append(subject)
        else:
            yield _unsearched(subject, TOO_MANY)
    for sighting in judge(todo, captures, scan_session.reader, scan_session.pack, watch):
        subject = sighting.subject
        step(subject.name)
        with shared(captures.folder):
            if any(captures.known(page.capture_id) is None for page in subject.pages.values()):
                continue  # a capture of it was removed meanwhile: the next run judges what is left
            judged = _filed(
                scan_session, captures, watch, sighting, releases.decision_about(subject)
            )
        _keep(scan_session, subject, fingerprint, judged)
        yield judged


def _must_be_judged_again(known: dict[str, Any], why_not: str | None, decision: str | None) -> bool:
    """What allows a use may end any day; a page may have come, and a second person may have decided."""
    if not known["searched"] or why_not is not None:
        return bool(known["reason"] != why_not)
    decided = decision is not None and known["reason"] != REFUSED
    return bool(known["authorised"]) or (known["held"] and decided)


def _not_to_be_searched(subject: Subject, captures: Captures, decision: str | None) -> str | None:
    """Why pictures are not searched, or not yet; None where they are."""
    match source_of(subject, captures):
        case Source.NONE:
            return NOT_A_PAGE
        case Source.SAID if decision != ReleaseDecision.RELEASE:
            return NO_PAGE_YET if decision is None else REFUSED
    return None


def _unsearched(subject: Subject, why: str) -> JudgedSubject:
    outcome = str(Outcome.INCONCLUSIVE)
    return JudgedSubject(
        subject.key, subject.name, outcome, why, 0, 0, (), (), (), (), known=False, searched=False
    )


def _keep(
    scan_session: ScanSession, subject: Subject, fingerprint: str, judged: JudgedSubject
) -> None:
    """Remember a result; no name and no score of a person stays in the ledger: cases hold them, and are found by their ids."""
    record = {
        name: getattr(judged, name)
        for name in JudgedSubject.__dataclass_fields__
        if name != "known"
    }
    if judged.cases or judged.authorised:
        record["reason"] = "a case was opened" if judged.cases else "authorised"
    scan_session.scan_store.keep_sighting(
        subject.key, subject.version, fingerprint, judged.outcome, record, scan_session.clock()
    )


_UNDECIDED = (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES, CaseStatus.SUPERSEDED)
_LISTS = ("cases", "identities", "authorised", "ties")


def _filed(
    scan_session: ScanSession,
    captures: Captures,
    watch: Watch,
    sighting: Sighting,
    decision: str | None,
) -> JudgedSubject:
    ties, subject = _ties(scan_session, captures, sighting.subject), sighting.subject
    signs = _signs(scan_session, captures, subject)
    found = [
        one
        for one in sighting.found
        if is_registered(scan_session, one.identity_id)
        and may_be_told(one, signs, scan_session.case_store)
    ]
    outcome, reason = _told_of_nobody(sighting)
    cases: list[str] = []
    authorised: list[str] = []
    identities: list[str] = []
    held = bool(found) and decision != ReleaseDecision.RELEASE
    if held:
        outcome, reason = Outcome.POSSIBLE, HELD if decision is None else REFUSED
    for one in [] if held else found:
        case = sighted_case(
            scan_session, captures, sighting, one, ties, method_of(scan_session, watch, one)
        )
        allowed = authorised_by(scan_session, case) or _licence_of_the_file(
            scan_session, case, subject
        )
        if allowed is not None:
            note_authorised(scan_session, case, allowed)
            authorised.append(allowed)
            continue
        if not cases:
            outcome, reason = one.outcome, one.reason
        cases.append(_opened_or_noted(scan_session, case))
        identities.append(one.identity_id)
    if authorised and not cases:
        outcome, reason = Outcome.CLEAR, found[0].reason
    return JudgedSubject(
        subject.key, subject.name, str(outcome), reason, sighting.images, sighting.faces, tuple(cases), tuple(identities),
        tuple(authorised), tuple(dict.fromkeys(tie.sha256 or tie.listing_url for tie, _ in ties)), known=False, held=held,
    )  # fmt: skip


def _told_of_nobody(sighting: Sighting) -> tuple[Outcome, str]:
    """What is said where nobody may be told: the same whether a single picture is close to somebody or not."""
    if sighting.with_face == 0:
        return Outcome.INCONCLUSIVE, "no image shows a usable face"
    if sighting.with_face == 1:
        return Outcome.INCONCLUSIVE, ONE_ALONE
    return Outcome.CLEAR, f"{NOBODY}; {sighting.faces} faces were searched"


def _signs(scan_session: ScanSession, captures: Captures, subject: Subject) -> list[Tie]:
    """What pages, as they were read, and images point to."""
    found = [
        tie
        for page in subject.pages.values()
        for tie in ties_of_page(scan_session.crawl, page.as_read)
    ]
    for page in subject.pages.values():
        for image in captures.images(page.page_id):
            found += ties_of_image(scan_session.crawl, image.provenance)
    return found


def _licence_of_the_file(scan_session: ScanSession, case: Case, subject: Subject) -> str | None:
    """What allows the model that a listing's previews advertise; None if nothing does, or it is no listing."""
    for page in subject.pages.values():
        for sha256 in page.facts.hashes if page.facts.kind == PageKind.MODEL else ():
            licensed = replace(case, checkpoint=replace(case.checkpoint, sha256=sha256))
            if (allowed := authorised_by(scan_session, licensed)) is not None:
                return allowed
    return None


def _opened_or_noted(scan_session: ScanSession, case: Case) -> str:
    """The id of the case that stands: this one, unless somebody decided about as strong a one of the same account before.

    A case that nobody decided about is superseded, so that the queue shows an account once, with everything captured so far.
    """
    earlier = [
        one for one in scan_session.case_store.cases(case.identity_id) if one.sighting is not None
    ]
    if any(one.case_id == case.case_id for one in earlier):
        return case.case_id
    decided = [
        one
        for one in earlier
        if _are_of_one_account(one, case)
        and one.status not in _UNDECIDED
        and one.outcome in (case.outcome, Outcome.MATCH)
        and scan_session.records.is_sound(one)
    ]
    if decided:
        told = f"{len(case.sighting.images if case.sighting else ())} images were captured by now: {case.reason}"
        scan_session.case_store.add(
            decided[-1].case_id,
            "note",
            scan_session.settings.operator,
            scan_session.clock(),
            {"text": told},
        )
        return decided[-1].case_id
    open_case(scan_session, case)
    for one in earlier:
        if (
            one.status in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
            and _is_within(one, case)
            and scan_session.records.is_sound(one)
        ):
            actor, now = scan_session.settings.operator, scan_session.clock()
            scan_session.case_store.add(one.case_id, "superseded", actor, now, {"by": case.case_id})
            note_superseded(scan_session, one, case)
    return case.case_id


def _are_of_one_account(one: Case, other: Case) -> bool:
    """Whether both are about the same account, or about the same capture that names none."""
    if one.sighting is None or other.sighting is None:
        return False
    return _account_of(one.sighting) == _account_of(other.sighting)


def _account_of(sighting: SightingRecord) -> tuple[str, ...]:
    who = sighting.account_id or sighting.account_name
    return (
        (sighting.platform, who)
        if who
        else tuple(sorted(row.capture_id for row in sighting.captures))
    )


def _is_within(one: Case, other: Case) -> bool:
    """Whether the other covers all that one is about: the same account, or captures that were then said to be its own."""
    if one.sighting is None or other.sighting is None:
        return False
    captured = {row.capture_id for row in one.sighting.captures}
    is_loose = not (one.sighting.account_id or one.sighting.account_name)
    return _are_of_one_account(one, other) or (
        is_loose and captured <= {row.capture_id for row in other.sighting.captures}
    )


def _ties(scan_session: ScanSession, captures: Captures, subject: Subject) -> list[tuple[Tie, str]]:
    """What ties a subject's pages and images to checkpoints, with where that is written."""
    found: dict[Tie, str] = {}
    for page in subject.pages.values():
        for tie in ties_of_page(scan_session.crawl, page.facts):
            found.setdefault(tie, "page")
        for image in captures.images(page.page_id):
            for tie in ties_of_image(scan_session.crawl, image.provenance):
                found.setdefault(tie, "image")
    return [(tie, found[tie]) for tie in strongest(found)]
