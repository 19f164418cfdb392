"""Rules for disclosing who is shown in captured pictures.

Captures are evidence of accounts, not a face search. The person who submits a picture chose it, so
the picture alone must not reveal who is shown. Only an account or a page with an address is
searched. A finding is disclosed if two different photographs show the person, or if one points to a
file with a case about them, and only after a second person released it. Until then the answer is
the same in all cases. The text of a page is no evidence of
identity: its author could try one name after another to see which one changes the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from crawlers.captures.capture_rows import PageRow
from crawlers.captures.capture_store import CaptureStore
from crawlers.captures.pages.page import Format
from crawlers.captures.ties import Tie
from reports.cases.case_store import CaseStore
from scanner.captures.image_search import IdentityInImages
from scanner.captures.subjects import Subject
from scanner.identification.policy import LEAST_IMAGES, LEAST_PHOTOGRAPHS

# Formats in which a browser or a program saved a page with what it loaded.
_PAGES = frozenset(
    {
        Format.WARC,
        Format.WACZ,
        Format.HAR,
        Format.MHTML,
        Format.HTML,
        Format.SINGLE_FILE,
        Format.FOLDER,
    }
)

HELD = "somebody registered may be shown; a second person must release it"
REFUSED = "a second person looked at it and did not release it"
ONE_ALONE = (
    "one picture with a face names nobody: take in more of the account or page, "
    "each picture as the page shows it"
)
NOBODY = "nobody registered is shown in two different pictures"
NOT_A_PAGE = (
    "not searched: pictures are searched as those of a page or an account; take in the page that "
    "shows them (WARC, WACZ, HAR, MHTML or saved HTML, with its address), "
    f"or {LEAST_IMAGES} pictures and more with --account and --platform"
)
NO_PAGE_YET = (
    "not searched yet: whose pictures these are is said and not captured; "
    "a second person must release the search"
)
TOO_MANY = (
    "not searched today: as many searches as one person may make in a day were made "
    "(searches_per_day); `captures judge` goes on tomorrow"
)


class Source(StrEnum):
    """The evidence that a subject's pictures belong to its account or page."""

    PAGE = "page"  # a saved page with an address shows some of them
    SAID = "said"  # the person who took in several of them named the account
    NONE = "none"


def source_of(subject: Subject, captures: CaptureStore) -> Source:
    """The evidence that these pictures belong to the subject."""
    if any(_has_address(page, captures) for page in subject.pages.values()):
        return Source.PAGE
    return Source.SAID if subject.account and len(subject.images) >= LEAST_IMAGES else Source.NONE


def _has_address(page: PageRow, captures: CaptureStore) -> bool:
    capture = captures.known(page.capture_id)
    is_page = capture is not None and capture.format in _PAGES
    return is_page and (page.url or "").lower().startswith(("http://", "https://"))


def may_be_disclosed(found: IdentityInImages, ties: Iterable[Tie], case_store: CaseStore) -> bool:
    """Whether a finding may be disclosed.

    It needs several different photographs, or a page or picture that points to a file with a case
    about the same person.
    """
    if (
        found.photographs >= LEAST_PHOTOGRAPHS
        and sum(image.in_mean for image in found.images) >= LEAST_PHOTOGRAPHS
    ):
        return True
    return _made_by_a_known_file(found.identity_id, ties, case_store)


def _made_by_a_known_file(identity_id: str, ties: Iterable[Tie], case_store: CaseStore) -> bool:
    """Whether a page or picture points to a checkpoint that has a case about the same person."""
    files = {tie.sha256 for tie in ties if tie.sha256}
    return bool(files) and any(
        case.sighting is None and case.checkpoint.sha256 in files
        for case in case_store.cases(identity_id)
    )
