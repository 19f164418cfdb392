"""From captures to cases: accounts and pages are searched, verdicts stored, and cases opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.locks import shared
from crawlers.captures.pages.facts import PageKind
from crawlers.captures.ties import Tie, strongest, ties_of_image, ties_of_page
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.faces.face import FaceReader
from face_index.faces.packs import FacePack
from reports.cases.case import Case
from scanner.captures.capture_records import CaptureCases
from scanner.captures.disclosure import (
    HELD,
    NO_PAGE_YET,
    NOBODY,
    NOT_A_PAGE,
    ONE_ALONE,
    REFUSED,
    TOO_MANY,
    Source,
    may_be_disclosed,
    source_of,
)
from scanner.captures.image_search import SubjectResult, search_subjects
from scanner.captures.releases import ReleaseDecision, Releases
from scanner.captures.search_limit import DailySearchLimit
from scanner.captures.standing import standing_capture_case
from scanner.captures.subjects import Subject, subjects_of
from scanner.captures.verdicts import CaptureVerdicts
from scanner.casework.filing import CaseFiling
from scanner.identification.outcome import Outcome
from scanner.identification.policy import LEAST_IMAGES
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import CaptureVerdict


@dataclass(frozen=True, slots=True)
class CaptureSearch:
    """Searches captures against one snapshot of the gallery and files cases.

    Attributes:
        search_key: name of settings and gallery (scanner.scanning.keys).
        searches_per_day: the largest number of searches that one person may make in a day.
    """

    captures: CaptureStore
    crawl: CrawlStore
    verdicts: CaptureVerdicts
    filing: CaseFiling
    pack: FacePack
    reader: FaceReader
    snapshot: GallerySnapshot
    search_key: str
    searches_per_day: int

    def run(
        self, step: Callable[[str], None] = lambda _: None, asker: str | None = None
    ) -> Iterator[CaptureVerdict]:
        """Search new subjects and those that were searched under other settings.

        Each verdict is stored as soon as it is reached.

        Args:
            step: receives the name of each subject that is searched.
            asker: login of the person who asks, whose searches are counted and limited
                (scanner.captures.search_limit).
        """
        filing = self.filing
        releases = Releases(self.captures, self.verdicts, filing.vault)
        tries = DailySearchLimit(
            filing.vault,
            self.captures,
            asker or filing.operator,
            self.searches_per_day,
            filing.clock(),
        )
        key = self._key()
        todo: list[Subject] = []
        for subject in subjects_of(self.captures):
            decision = releases.decision_about(subject)
            known = self.verdicts.verdict(subject.key, subject.version, key)
            refusal = _refusal(subject, self.captures, decision)
            if known is not None and not _must_be_searched_again(known, refusal, decision):
                yield replace(known, known=True)
            elif refusal is not None:
                verdict = _unsearched(subject, refusal)
                self._keep(subject, verdict)
                yield verdict
            elif self.verdicts.was_searched(subject.key, subject.version) or tries.take(subject):
                todo.append(subject)
            else:
                yield _unsearched(subject, TOO_MANY)
        yield from self._search(todo, releases, step)

    def _key(self) -> str:
        """The key under which verdicts are stored; the number counts changes of the rules."""
        parts = f"captures 3 {LEAST_IMAGES} {self.search_key}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def _search(
        self, todo: list[Subject], releases: Releases, step: Callable[[str], None]
    ) -> Iterator[CaptureVerdict]:
        captures = self.captures
        for result in search_subjects(todo, captures, self.reader, self.pack, self.snapshot):
            subject = result.subject
            step(subject.name)
            with shared(captures.folder):
                if any(captures.known(page.capture_id) is None for page in subject.pages.values()):
                    continue  # a capture was removed meanwhile; the next run searches the others
                verdict = self._filed(result, releases.decision_about(subject))
            self._keep(subject, verdict)
            yield verdict

    def _keep(self, subject: Subject, verdict: CaptureVerdict) -> None:
        """Store a verdict without names and scores of persons, which are held by its cases only."""
        if verdict.cases or verdict.authorised:
            reason = "a case was opened" if verdict.cases else "authorised"
            verdict = replace(verdict, reason=reason)
        self.verdicts.keep_verdict(subject.version, self._key(), verdict, self.filing.clock())

    def _filed(self, result: SubjectResult, decision: str | None) -> CaptureVerdict:
        subject, filing = result.subject, self.filing
        ties, signs = self._ties(subject), self._signs(subject)
        found = [
            identity
            for identity in result.found
            if filing.is_registered(identity.identity_id)
            and may_be_disclosed(identity, signs, filing.case_store)
        ]
        outcome, reason = _undisclosed(result)
        cases: list[str] = []
        authorised: list[str] = []
        identities: list[str] = []
        held = bool(found) and decision != ReleaseDecision.RELEASE
        if held:
            outcome, reason = Outcome.POSSIBLE, HELD if decision is None else REFUSED
        capture_cases = CaptureCases(
            self.captures, filing, self.pack, self.reader.version, self.snapshot
        )
        for identity in [] if held else found:
            case = capture_cases.case_of(result, identity, ties)
            allowed = filing.authorised_by(case) or self._licence_of_listing(case, subject)
            if allowed is not None:
                filing.note_authorised(case, allowed)
                authorised.append(allowed)
                continue
            if not cases:
                outcome, reason = identity.outcome, identity.reason
            cases.append(standing_capture_case(filing, case))
            identities.append(identity.identity_id)
        if authorised and not cases:
            outcome, reason = Outcome.CLEAR, found[0].reason
        return CaptureVerdict(
            subject.key,
            subject.name,
            str(outcome),
            reason,
            result.images,
            result.faces,
            tuple(cases),
            tuple(identities),
            tuple(authorised),
            tuple(dict.fromkeys(tie.sha256 or tie.listing_url for tie, _ in ties)),
            held=held,
        )

    def _signs(self, subject: Subject) -> list[Tie]:
        """Ties to checkpoints in images and in pages as they were read, before any correction."""
        found = [
            tie for page in subject.pages.values() for tie in ties_of_page(self.crawl, page.as_read)
        ]
        for page in subject.pages.values():
            for image in self.captures.images(page.page_id):
                found += ties_of_image(self.crawl, image.provenance)
        return found

    def _ties(self, subject: Subject) -> list[tuple[Tie, str]]:
        """Ties of a subject's pages and images to checkpoints, each with "page" or "image"."""
        found: dict[Tie, str] = {}
        for page in subject.pages.values():
            for tie in ties_of_page(self.crawl, page.facts):
                found.setdefault(tie, "page")
            for image in self.captures.images(page.page_id):
                for tie in ties_of_image(self.crawl, image.provenance):
                    found.setdefault(tie, "image")
        return [(tie, found[tie]) for tie in strongest(found)]

    def _licence_of_listing(self, case: Case, subject: Subject) -> str | None:
        """What allows the model of a listing's previews; None without a listing or a licence."""
        for page in subject.pages.values():
            for sha256 in page.facts.hashes if page.facts.kind == PageKind.MODEL else ():
                licensed = replace(case, checkpoint=replace(case.checkpoint, sha256=sha256))
                if (allowed := self.filing.authorised_by(licensed)) is not None:
                    return allowed
        return None


def _must_be_searched_again(
    known: CaptureVerdict, refusal: str | None, decision: str | None
) -> bool:
    """Whether a stored verdict may be out of date.

    A licence may have ended, or a page or a decision may have been added.
    """
    if not known.searched or refusal is not None:
        return known.reason != refusal
    decided = decision is not None and known.reason != REFUSED
    return bool(known.authorised) or (known.held and decided)


def _refusal(subject: Subject, captures: CaptureStore, decision: str | None) -> str | None:
    """Why pictures are not searched, or not yet; None if they may be searched."""
    match source_of(subject, captures):
        case Source.NONE:
            return NOT_A_PAGE
        case Source.SAID if decision != ReleaseDecision.RELEASE:
            return NO_PAGE_YET if decision is None else REFUSED
    return None


def _unsearched(subject: Subject, reason: str) -> CaptureVerdict:
    outcome = str(Outcome.INCONCLUSIVE)
    return CaptureVerdict(subject.key, subject.name, outcome, reason, searched=False)


def _undisclosed(result: SubjectResult) -> tuple[Outcome, str]:
    """The answer if nobody is disclosed; it does not depend on a single picture's score."""
    if result.with_face == 0:
        return Outcome.INCONCLUSIVE, "no image shows a usable face"
    if result.with_face == 1:
        return Outcome.INCONCLUSIVE, ONE_ALONE
    return Outcome.CLEAR, f"{NOBODY}; {result.faces} faces were searched"
