"""The demo: two hubs and a folder scanned, captures judged, and one case completed.

Each step runs the code of its command. A demo that was interrupted continues where it was; one that
was completed is not repeated in the same home.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crawlers.captures.capture_store import CaptureStore
from crawlers.sweeps.events import EventKind
from face_index.errors import UnknownIdentity
from face_index.vault.receipts import verify_receipt
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.listings import listings_of
from reports.cases.review import CaseStatus
from reports.documents.pdf import pdf_problem
from reports.errors import BundleExists
from reports.notices.drafting import draft_notice
from reports.notices.rendering import as_docx, printable
from reports.notices.template import template
from reports.notices.tracker import record_draft
from reports.verify.bundle import verify
from scanner.captures.releases import Person, ReleaseDecision, Releases
from scanner.casework.reproduction import reproduce
from scanner.casework.service import CaseService
from scanner.factories import (
    open_capture_search,
    open_case_service,
    open_intake,
    open_scan_session,
    reproduction_tools,
)
from scanner.miniature.demo import register_world, swept_hubs
from scanner.miniature.posts import MadePicture, write_posts
from scanner.miniature.story_record import Story, Withdrawn, story_of
from scanner.miniature.world import load_world
from scanner.progress import Progress
from scanner.records import CaptureVerdict
from scanner.scanning.scan import run_scan
from scanner.scanning.scan_result import ScanResult
from scanner.scanning.session import ScanSession
from scanner.settings import Settings

REVIEWER, OPERATOR = "Li Na (demo)", "demo operator"
_LANGUAGES = ("zh-CN", "en")
_ACCOUNTS = 3  # number of impostors, and of other accounts
_REVIEWED, _WITHDRAWN = "person-101", "person-107"
_NOTICES = (("prc-1195", "zh-CN"), ("eu-dsa-16", "en"))
_TRACE_BYTES = 48  # of each sealed photo and template, searched in every file of the home


def tell(settings: Settings, progress: Progress) -> tuple[Story, bool]:
    """Run the demo in a home, or continue it.

    Returns the results, and whether the demo had been completed before.
    """
    record = settings.home / "story" / "story.json"
    if record.exists():
        return story_of(json.loads(record.read_text("utf-8"))), True
    record.parent.mkdir(parents=True, exist_ok=True)
    with open_scan_session(settings) as session:
        scan = _scanned(session, settings, progress)
        rows = tuple(scan.to_json_rows())
        judged, offers = _captured(session, settings, progress)
        reuploads = tuple(_reuploads(session))
        registered = tuple(one.name for one in session.vault.people.all())
        names = {
            one: session.vault.people.find(one).name
            for subject in judged
            for one in subject.identities
        }
        cases = session.case_store.named(scan.case_ids)
        case_id = next(
            case.case_id
            for case in cases
            if (case.identity_name, case.checkpoint.hub) == (_REVIEWED, "civitai")
        )
    with open_case_service(settings) as service:
        case, bundle = _decided(service, settings, case_id, progress)
        sound = [item.ok for item in verify(bundle, service.vault.keys.fingerprint)]
        again = reproduce(bundle, reproduction_tools(settings), None, progress).samples
        notices = tuple(_notices(service, settings, case, progress))
        progress.step(0, None, f"erasing {_WITHDRAWN}")
        withdrawn = _withdrawn(service, settings)
        progress.step(1, 1, "done")
    story = Story(
        scan.scan.scan_id,
        registered,
        rows,
        tuple(map(_finding, cases)),
        reuploads,
        tuple(asdict(verdict) for verdict in judged),
        names,
        offers,
        case.case_id,
        case.checkpoint.file,
        (str(bundle), len(sound), sum(sound)),
        (len(again), sum(sample.agrees is True for sample in again)),
        notices,
        withdrawn,
        _degraded(),
    )
    record.write_text(
        json.dumps(asdict(story), ensure_ascii=False, indent=1, default=str) + "\n", "utf-8"
    )
    return story, False


def _degraded() -> tuple[str, ...]:
    problems = [pdf_problem(language) for language in _LANGUAGES]
    return tuple(dict.fromkeys(problem for problem in problems if problem))


def _finding(case: Case) -> dict[str, Any]:
    file = case.checkpoint
    return {
        "person": case.identity_name,
        "file": file.file,
        "kind": file.kind,
        "hub": file.hub,
        "listings": [listing.hub for listing in listings_of(case)],
        "outcome": case.outcome,
        "score": case.score,
        "threshold": case.threshold,
        "lift": case.lift,
    }


def _scanned(session: ScanSession, settings: Settings, progress: Progress) -> ScanResult:
    """Register everyone, then scan both hubs and the folder."""
    register_world(session, progress)
    with swept_hubs(session, settings.home / "story") as targets:
        return run_scan(session, targets, progress)


def _captured(
    session: ScanSession, settings: Settings, progress: Progress
) -> tuple[list[CaptureVerdict], int]:
    """Take captures of accounts and offers in, and judge them."""
    folder = settings.home / "story" / "posts"
    paths = write_posts(folder, load_world(), _made_pictures(session.case_store), most=_ACCOUNTS)
    with open_intake(settings) as intake:
        for number, path in enumerate(paths):
            progress.step(number, len(paths), f"taking in {path.name}")
            intake.take_one(path, OPERATOR, "the miniature world")
        offers = sum(1 for _ in intake.store.db.table("listings").rows_where("hub = 'xianyu'"))
    search = open_capture_search(settings, session)

    def searched(name: str) -> None:
        progress.step(0, None, f"searching {name}")

    for _ in search.run(searched):
        pass
    _release(session, search.captures)
    return list(search.run(searched)), offers


def _release(session: ScanSession, captures: CaptureStore) -> None:
    """A reviewer other than the operator releases the captures."""
    releases, reviewer = (
        Releases(captures, session.scan_store.captures, session.vault),
        Person(REVIEWER, REVIEWER),
    )
    for waiting in list(releases.waiting()):
        releases.decide(
            waiting,
            reviewer,
            ReleaseDecision.RELEASE,
            "accounts of the demo's own making",
            session.clock(),
        )


def _made_pictures(case_store: CaseStore) -> dict[int, list[MadePicture]]:
    """Samples of each person's case, for impostors to post."""
    seeds, made = (
        {person.name: person.seed for person in load_world().registered},
        dict[int, list[MadePicture]](),
    )
    for case in case_store.cases():
        seed = seeds.get(case.identity_name)
        if seed is not None and seed not in made and case.samples and case.checkpoint.weights_hash:
            name, digest = (
                case.checkpoint.file.removesuffix(".safetensors"),
                case.checkpoint.weights_hash[:12],
            )
            kept = [
                sample.image_sha256
                for sample in case.samples
                if sample.image_sha256 and sample.in_mean
            ]
            made[seed] = [MadePicture(case_store.kept(sha256), name, digest) for sha256 in kept]
    return made


def _reuploads(session: ScanSession) -> list[dict[str, Any]]:
    return [
        {
            "hub": event.hub,
            "listing_id": event.listing_id,
            "file": event.details["file"],
            "first": event.details["first"],
            "title": next(session.crawl.newest(**event.details["first"])).title,
        }
        for event in session.crawl.events(limit=500)
        if event.kind == EventKind.RE_UPLOADED
    ]


def _decided(
    service: CaseService, settings: Settings, case_id: str, progress: Progress
) -> tuple[Case, Path]:
    """A reviewer confirms the case; its report and its sealed evidence are written."""
    out = settings.home / "story"
    if service.case_store.case(case_id).status == CaseStatus.DRAFT:
        progress.step(0, None, "writing the draft that the reviewer looks at")
        service.write_report(case_id, out, "en", redacted=False, pdf=False)
        service.review(
            case_id,
            REVIEWER,
            "confirm",
            "one and the same face in every sample, and none of it without the file",
        )
    for language in _LANGUAGES:
        progress.step(0, None, f"writing the report ({language})")
        service.write_report(
            case_id, out, language, redacted=False, pdf=pdf_problem(language) is None
        )
    progress.step(0, None, "sealing the evidence")
    try:
        bundle = service.write_bundle(case_id, out, with_weights=True, pdf=False)
    except BundleExists:
        bundle = out / f"evidence-{case_id}"
    return service.case(case_id), bundle


def _notices(service: CaseService, settings: Settings, case: Case, progress: Progress) -> list[str]:
    """Draft a notice in Chinese and one in English; nothing is sent."""
    paths = []
    for kind, language in _NOTICES:
        progress.step(0, None, f"drafting {kind}")
        given = {
            field.name: field.must
            or (
                "rights@example.org"
                if field.kind == "email"
                else _FIELD_VALUES.get(field.name, _OTHER_VALUE)[language]
            )
            for field in template(kind).required
            if field.source is None
        }
        made = draft_notice(
            kind, case, given, service.clock(), language, service.vault.keys.fingerprint
        )
        notice_id = record_draft(service.case_store, made, REVIEWER, service.clock())
        service.note_notice(case, "notice-drafted", REVIEWER, notice=notice_id, template=kind)
        ending, to_print, _ = printable(made)
        for suffix, data in ((ending, to_print), ("docx", as_docx(made))):
            path = settings.home / "story" / f"{notice_id}.{kind}.{language}.{suffix}"
            path.write_bytes(data)
            paths.append(str(path))
    return paths


_OTHER_VALUE = {"en": "a drawn person of the miniature world", "zh-CN": "微型世界中的绘制人物"}
_FIELD_VALUES: dict[str, dict[str, str]] = {
    "recipient": {"en": "the miniature hub", "zh-CN": "微型平台"},
    "right_holder": {"en": _REVIEWED, "zh-CN": _REVIEWED},
    "agent": {"en": "none", "zh-CN": "无"},
    "request": {"en": "remove the file and its copies", "zh-CN": "删除该文件及其副本"},
    "ground": {"en": "the person's right to their own image", "zh-CN": "肖像权"},
    "fair_use": {
        "en": "considered; no exception applies to a model of a private person",
        "zh-CN": "已考虑；对私人肖像模型不适用例外",
    },
    "signature": {"en": "/s/ Li Na (demo)", "zh-CN": "李娜（演示）"},
}


def _withdrawn(service: CaseService, settings: Settings) -> Withdrawn:
    """One person withdraws; the receipt is verified, and all files are searched for traces."""
    path = settings.home / "story" / f"erased-{_WITHDRAWN}.json"
    try:
        identity = service.vault.people.find(_WITHDRAWN)
    except UnknownIdentity:  # continues a demo that was interrupted after the erasure
        receipt = verify_receipt(
            json.loads(path.read_text("utf-8")), service.vault.keys.fingerprint
        )
        return Withdrawn(
            _WITHDRAWN,
            receipt.photos_erased,
            receipt.templates_erased,
            receipt.seconds,
            str(path),
            None,
            None,
        )
    sealed = service.vault.db.query(
        "select sealed from photos where identity_id = :i "
        "union all select sealed from templates where identity_id = :i "
        "union all select data_key from identities where identity_id = :i",
        {"i": identity.identity_id},
    )
    traces = [bytes(next(iter(row.values())))[:_TRACE_BYTES] for row in sealed]
    before = _files_with(traces, settings.home)
    receipt = service.vault.erasure.withdraw(identity.identity_id, service.clock(), OPERATOR)
    path.write_text(json.dumps(receipt.to_document(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    checked = verify_receipt(receipt.to_document(), service.vault.keys.fingerprint)
    return Withdrawn(
        _WITHDRAWN,
        checked.photos_erased,
        checked.templates_erased,
        checked.seconds,
        str(path),
        before,
        _files_with(traces, settings.home),
    )


def _files_with(traces: Sequence[bytes], folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += any(trace in data for trace in traces)
    return found
