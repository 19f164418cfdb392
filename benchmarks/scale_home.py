"""Filling a home with many people, listings, files and cases, through the program's own classes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.scale_captures import add_captures
from crawlers.listing import Listing, RemoteFile, bare_listing
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.faces.face import PackVersion, unit
from face_index.identity import Proof
from face_index.vault import Submission, Vault
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from scanner.casework.case_records import CaseRecords
from scanner.casework.filing import CaseFiling
from scanner.factories import open_case_store, open_face_tools, open_scan_session, open_vault
from scanner.identification.outcome import Outcome
from scanner.miniature.demo import demo_consent
from scanner.records import ResultRow
from scanner.scanning.searched_file_store import Searched
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.triage.header import Triage
from scanner.web.auth.access import Role
from scanner.web.context import AppContext
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from tests.cases import make_case

NOW = datetime(2026, 11, 28, 12, 0, 0, 123456, tzinfo=UTC)
FIRST = NOW - timedelta(days=365)
# People register and files are examined over the last half year, the files until a day ago.
OPENED = NOW - timedelta(days=180)
OPEN_FOR = timedelta(days=179)
TARGET = "civitai:LORA"
HUB = "civitai"
PAGE = 200
WORDS = ("portrait", "style", "woman", "film", "anime", "actor", "studio", "light", "retro", "doll")
DESK, ADMIN = "desk@hub.example", "admin@hub.example"
HOLDER, AGENT = "holder@hub.example", "agent@hub.example"
# Results that hold without looking at a case or fetching a file again.
OUTCOMES = (Outcome.CLEAR, Outcome.CLEAR, Outcome.CLEAR, Outcome.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a home holds.

    Attributes:
        items: scanned files, each with a listing.
    """

    items: int
    cases: int
    people: int

    @classmethod
    def of(cls, number: int, most_cases: int = 100_000) -> Sizes:
        """Return the sizes of a home with so many files; cases are as many, up to a number."""
        cases = min(number, most_cases)
        return cls(number, cases, max(10, cases // 10))


def clock() -> datetime:
    return NOW


def sha256_of(number: int) -> str:
    return hashlib.sha256(f"file {number}".encode()).hexdigest()


def name_of_person(number: int) -> str:
    return f"Person {number:05d}"


def listing_of(number: int) -> Listing:
    """Return a listing with a title, a creator, tags and one file."""
    first, second = (WORDS[(number // divisor) % len(WORDS)] for divisor in (1, 7))
    file = RemoteFile(
        f"{first}_{second}_{number}.safetensors",
        f"https://hub.example/files/{number}",
        144_000_000,
        sha256_of(number),
    )
    bare = bare_listing(
        HUB, str(number), f"{first} {second} {number}", f"https://hub.example/models/{number}", file
    )
    return replace(
        bare,
        creator=f"maker{number % 997}",
        tags=(first, "lora"),
        triggers=(f"{second}{number % 89}",),
        downloads=number % 5_000,
        raw='{"model": ' + "1" * 1_500 + "}",
    )


def timed(what: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    print(f"  {what}: {time.perf_counter() - started:.1f} s", flush=True)


def fill(settings: Settings, sizes: Sizes) -> None:
    """Fill a home."""
    version = open_face_tools(settings).reader.version
    with closing(open_vault(settings)) as vault:
        timed(f"{sizes.people:,} people", lambda: register(vault, version, sizes.people))
        ids = [person.identity_id for person in vault.people.all()]
        timed(f"{sizes.cases:,} cases", lambda: open_cases(settings, vault, ids, sizes.cases))
    with closing(CrawlStore(settings.crawl_path)) as crawl:
        timed(f"{sizes.items:,} listings", lambda: crawl_listings(crawl, sizes.items))
    with closing(open_vault(settings)) as vault:
        captures = sizes.cases // 10
        timed(
            f"{captures:,} captures", lambda: add_captures(settings, vault, captures, OPENED, NOW)
        )
    with open_scan_session(settings, clock) as session:
        timed(f"{sizes.items:,} items", lambda: scan_items(session, sizes.items))
    app = AppContext(settings, clock)
    timed("a job with all rows, and an agent of 50 people", lambda: open_desk(app, sizes, ids))
    app.close()


def register(vault: Vault, version: PackVersion, people: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(people):
        prototypes = unit(rng.normal(size=version.dimension).astype(np.float32))[None]
        name, at = name_of_person(number), OPENED + OPEN_FOR * (number / people)
        submission = Submission(
            name, demo_consent(name, at.date()), prototypes, version, (), 4, "benchmark"
        )
        identity = vault.enrolments.submit(submission, at)
        proof = Proof("none: nobody", None, "benchmark", at)
        vault.enrolments.approve(
            identity.identity_id, "benchmark", proof, at, "benchmark", two_people=False
        )


def open_cases(settings: Settings, vault: Vault, ids: list[str], count: int) -> None:
    """Open cases; half of them get a decision, a quarter a notice."""
    with closing(open_case_store(settings, vault, clock)) as case_store:
        records = CaseRecords(vault, case_store, clock)
        filing = CaseFiling(vault, case_store, records, "benchmark", clock)
        base = make_case(case_store)
        for number in range(count):
            case = _case(base, number, ids)
            filing.open(case)
            at = datetime.fromisoformat(case.opened_at)
            decision = ("confirm", "reject", None, None)[number % 4]
            if decision is not None:
                details = {"decision": decision, "reason": f"reason {number}", "reviewer": "olga"}
                case_store.add(case.case_id, "review", "olga", at, details)
                records.note("case-reviewed", case, "olga", decision=decision)
            if decision == "confirm":
                _send_notice(case_store, case.case_id, at)
                records.note("notice-marked", case, "olga", state="sent")


def _send_notice(case_store: CaseStore, case_id: str, at: datetime) -> None:
    details = {
        "notice": f"{case_id}-1",
        "template": "us-take-it-down",
        "event": "drafted",
        "url": "https://hub.example/models/1",
        "language": "en",
        "recipient": "the hub",
        "text_sha256": "00" * 32,
    }
    case_store.add(case_id, "notice", "olga", at, details)
    sent = {"notice": f"{case_id}-1", "template": "us-take-it-down", "event": "sent", "note": ""}
    case_store.add(case_id, "notice", "olga", at, sent)


def _case(base: Case, number: int, ids: list[str]) -> Case:
    person = number % len(ids)
    opened = FIRST + timedelta(minutes=5 * number) if number < 100_000 else NOW
    listing = listing_of(number)
    checkpoint = replace(
        base.checkpoint,
        file=listing.files[0].name,
        sha256=sha256_of(number),
        weights_hash=hashlib.sha256(f"weights {number}".encode()).hexdigest(),
        title=listing.title,
        creator=listing.creator,
        downloads=listing.downloads,
        listing_id=listing.listing_id,
        listing_url=listing.url,
        hub=(HUB, "huggingface", "modelscope")[number % 3],
    )
    return replace(
        base,
        case_id=hashlib.sha256(f"case {number}".encode()).hexdigest()[:16],
        opened_at=min(opened, NOW).isoformat(),
        outcome="match" if number % 3 else "possible",
        identity_id=ids[person],
        identity_name=name_of_person(person),
        checkpoint=checkpoint,
    )


def crawl_listings(crawl: CrawlStore, count: int, sweep_id: int = 1) -> None:
    for page in _pages(count):
        with crawl.transaction():
            listings = [listing_of(number) for number in page]
            crawl.see(listings, TARGET, sweep_id, NOW, first=sweep_id == 1)


def _pages(count: int) -> Iterator[range]:
    for start in range(0, count, PAGE):
        yield range(start, min(start + PAGE, count))


def scan_items(session: ScanSession, count: int) -> None:
    """Store a finished scan of all listings, with results for the present gallery."""
    scan_store, search_key = session.scan_store, session.search_key(session.take_snapshot()).digest
    scan = scan_store.begin("benchmark-scan", TARGET, search_key, 1_000, OPENED)
    for number in range(count):
        scan_store.items.add(scan, [listing_of(number)])
    scan_store.mark_listed(scan.scan_id, OPENED)
    for item in scan_store.items.pending(scan):
        number, file = int(item.listing.listing_id), item.listing.files[0]
        triage = replace(_TRIAGE, sha256=file.sha256)
        scan_store.remember_triage(triage, NOW)
        request = session.requests.request(item.listing, file, triage, Path(), only_load=False)
        sampling_key = session.prompting(request).sampling_key.digest
        searched = Searched(search_key, session.settings_key, (sampling_key,))
        at, rows = OPENED + OPEN_FOR * (number / count), [result_row(number)]
        scan_store.items.note_judged(item, scan, file.sha256, rows, searched, at)
    scan_store.mark_finished(scan.scan_id, OPENED + OPEN_FOR, 7)


_TRIAGE = Triage("", None, "lora", "Miniature", size_bytes=144_000_000, readable=True)


def result_row(number: int) -> ResultRow:
    file = listing_of(number).files[0]
    outcome = OUTCOMES[number % len(OUTCOMES)]
    return ResultRow(
        file=file.name,
        sha256=file.sha256,
        outcome=str(outcome),
        score=0.4,
        threshold=0.6,
        samples=12,
        reason="score 0.40 under 0.50",
        gallery_version=7,
    )


def open_desk(app: AppContext, sizes: Sizes, ids: list[str]) -> None:
    """Create an account for every second person, and a finished job with a row for each item."""
    desk = app.accounts.create(DESK, "Desk", [Role.REVIEWER, Role.LEGAL, Role.OPERATOR], None)
    app.accounts.create(ADMIN, "Ada", [Role.ADMIN, Role.AUDITOR], None)
    holder = app.accounts.create(HOLDER, "Holder", [Role.RIGHTS_HOLDER], None)
    agent = app.accounts.create(AGENT, "Agent", [Role.AGENT], None)
    app.accounts.give_mandate(holder.account_id, ids[0], "self")
    for number, identity_id in enumerate(ids[1::2]):
        name = f"Holder {number}"
        account = app.accounts.create(f"{number}@hub.example", name, [Role.RIGHTS_HOLDER], None)
        app.accounts.give_mandate(account.account_id, identity_id, "self")
    for identity_id in ids[:50]:
        app.accounts.give_mandate(agent.account_id, identity_id, "agent")
    request = JobRequest(desk.account_id, JobKind.TARGET, TARGET, TARGET)
    rows = [JobRow.of(result_row(number)) for number in range(min(sizes.items, 100_000))]
    app.jobs.submit(request, known=rows)
