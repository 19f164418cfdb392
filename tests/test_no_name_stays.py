"""After a withdrawal a name stands only in cases.

No database, write-ahead log, free page or file beside them holds it.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from crawlers.listing import RemoteFile, bare_listing, listing_to_dict
from face_index.consent import Consent, LicenceKind, Signatory, Terms
from face_index.identity import Identity
from face_index.vault import Submission
from scanner.casework.exports import as_csv
from scanner.cli.scanning import report_path, write_report
from scanner.miniature.world import ADAPTERS
from scanner.records import VerdictRecord
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.scan import run_scan
from scanner.scanning.scan_result import result_of
from scanner.scanning.scan_schema import migrations
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.settings import Settings
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.jobs import Jobs
from scanner.web.store import WebStore
from scanner.web.store import migrations as web_migrations
from tests.conftest import NOON, PHOTO, Silent, proof, prototypes_of
from tests.opening import open_service, open_session

STYLE = ADAPTERS / "sepia_style.safetensors"
ADULT, ALLOWED, CHILD = "Zhao Quillfeather", "Omar Wexelblat", "Mia Tindersticks"
# Words that come with a person: the agency's number, an allowed uploader, a note, the signer.
WORDS = (
    "ZQ-REF-77031",
    "wexelblat_official",
    "met at the Tindersticks concert",
    "Guardian Tindersticks",
)


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """A file whose name is a stranger's word for each of them, as a hub lists it."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("a_stranger.safetensors", "miaTindersticks_v1.safetensors"):
        shutil.copy(STYLE, folder / name)
    return folder


def enrol(
    scan_session: ScanSession,
    consent: Consent,
    name: str,
    born_on: date | None = None,
    **changes: Any,
) -> Identity:
    signed = (
        {"signatory": Signatory.GUARDIAN, "signed_by": WORDS[3], "document_sha256": "ef" * 32}
        if born_on
        else {"signed_by": name}
    )
    given = replace(consent, **{**signed, **changes})
    reference = WORDS[0] if name == ADULT else None
    submission = Submission(
        name,
        given,
        prototypes_of(len(name)),
        scan_session.faces.reader.version,
        [PHOTO],
        2,
        name if name == ADULT else "sam",
        born_on,
        reference,
    )
    identity = scan_session.vault.enrolments.submit(submission, NOON)
    scan_session.vault.enrolments.approve(
        identity.identity_id, "olga", proof(), NOON, f"{name} came in person"
    )
    return identity


def finding(identity: Identity) -> dict[str, Any]:
    return {
        "identity_id": identity.identity_id,
        "outcome": "match",
        "reason": "score 0.72 over 0.60",
        "score": 0.72,
        "interval": [0.66, 0.78],
        "control_score": 0.1,
        "lift": 0.62,
        "runner_up": None,
        "log10_lr": None,
        "concentration": 0.9,
        "share": 1.0,
        "threshold": 0.6,
        "possible_threshold": 0.5,
        "samples": [],
    }


def judged(identifier: CheckpointIdentifier, *people: Identity) -> WorkerAnswer:
    """What a bench says that found these people; the faces themselves are no matter here."""
    method = {
        "base_model": "SD1: base",
        "base_model_sha256": "ef" * 32,
        "face_pack": "pack",
        "face_pack_sha256": "01" * 32,
        "face_pack_licence": "licence",
        "gallery_size": 2,
        "gallery_version": 7,
        "gallery_recall": 1.0,
        "fpir": 0.001,
        "calibration": "measured",
        "settings": {},
        "versions": {},
        "threshold": 0.6,
    }
    record = {
        "outcome": "match",
        "reason": "score 0.72 over 0.60",
        "best_score": 0.72,
        "best_threshold": 0.6,
        "lift": 0.62,
        "samples": 0,
        "denoiser_calls": 0,
        "found_trigger": None,
        "seconds": 1.0,
        "findings": [finding(one) for one in people],
        "method": method,
    }
    return WorkerAnswer(VerdictRecord.from_json(record), identifier.snapshot.snapshot_id)


def bytes_of(home: Path, *, but: tuple[str, ...]) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] not in but
    }


def found_in(files: dict[str, bytes], words: tuple[str, ...]) -> list[str]:
    return [
        f"{word!r} in {name}"
        for name, data in files.items()
        for word in words
        if word.encode() in data
    ]


@pytest.mark.parametrize("left_open", [False, True], ids=["closed", "open"])
def test_no_name_and_no_word_of_theirs_stays(
    scan_session: ScanSession,
    consent: Consent,
    uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    *,
    left_open: bool,
) -> None:
    caplog.set_level(logging.INFO)
    settings, vault = scan_session.settings, scan_session.vault
    adult = enrol(scan_session, consent, ADULT)
    allowed = enrol(scan_session, consent, ALLOWED, terms=Terms.PERMITTED_WITH_TERMS)
    child = enrol(scan_session, consent, CHILD, born_on=date(2012, 3, 4))
    for kind, value in ((LicenceKind.UPLOADER, WORDS[1]), (LicenceKind.HUB, "folder")):
        vault.licences.grant(
            allowed.identity_id,
            kind,
            value,
            date(2029, 1, 1),
            note=WORDS[2],
            actor="olga",
            now=NOON,
        )
    monkeypatch.setattr(
        CheckpointIdentifier, "identify", lambda identifier, *_: judged(identifier, adult, allowed)
    )
    result = run_scan(scan_session, [str(uploads)], Silent())
    told = {(row["outcome"], row["identity"]) for row in result.to_json_rows()}
    assert {("match", ADULT), ("match", ALLOWED)} <= told  # on the screen they have names
    report = write_report(
        scan_session, result, "en", report_path(settings, result.scan.scan_id, "en")
    )
    store = WebStore(settings.web_path)
    Jobs(store, lambda: NOON).submit(
        JobRequest("account", JobKind.TARGET, "folder", "folder"),
        known=[JobRow.of(reported.row) for reported in result.rows],
    )
    export = settings.home / "verdicts.csv"
    export.write_bytes(as_csv(row.to_json() for row in scan_session.scan_store.table.rows()))
    service = open_service(settings, lambda: NOON)
    [case] = service.case_store.cases()
    service.amend(case.case_id, "appeal", ADULT, "that is me")
    service.close()
    settings.backups_path.mkdir(parents=True)
    vault.backups.make(settings.backups_path, "olga", NOON)
    assert found_in(bytes_of(settings.home, but=()), (ADULT, ALLOWED, CHILD, *WORDS))

    for one in (adult, allowed, child):
        vault.erasure.withdraw(one.identity_id, NOON, "olga")
    if not left_open:
        scan_session.close()
        store.close()
    # Cases are evidence and keep the name of their person, and so does the scan's page about one.
    rest = bytes_of(settings.home, but=("cases.db", "cases.db-wal", "cases.db-shm", "reports"))
    assert found_in(rest, (ADULT, ALLOWED, CHILD, *WORDS)) == []
    assert found_in({"report": report.read_bytes()}, (ALLOWED, CHILD, *WORDS)) == []
    assert (
        found_in(
            {"log": caplog.text.encode(), "terminal": "".join(capfd.readouterr()).encode()},
            (ADULT, ALLOWED, CHILD, *WORDS),
        )
        == []
    )
    if left_open:
        rows = list(result_of(scan_session, result.scan.scan_id).to_json_rows())
        assert {row["identity"] for row in rows if not row.get("case_id")} == {None}
        assert {row["identity"] for row in rows if row.get("case_id")} == {ADULT}
        store.close()


def as_before(path: Path, verdict: dict[str, Any]) -> None:
    """scans.db as 0.1.0 left it: names in rows and free pages, without the later migration."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        migrations.apply(Database(db), stop_before="nobody_is_named")
        scan = ("scan", "folder", "key", "2026-01-01T00:00:00+00:00", 1)
        db.execute(
            "insert into scans (scan_id, target, fingerprint, started_at, gallery_size) "
            "values (?, ?, ?, ?, ?)",
            scan,
        )
        file = RemoteFile("a.safetensors", "", None, None)
        listing = json.dumps(listing_to_dict(bare_listing("folder", "1", "a", "", file)))
        for number in range(40):
            row = ["scan", f"key{number}", number, "judged", listing, 0, json.dumps(verdict)]
            db.execute(
                "insert into items (scan_id, item_key, position, state, listing, file_number, "
                "verdict) values (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        told = {
            "outcome": "clear",
            "authorised": [f"licence 0123abcd for uploader {WORDS[1]} until 2029-01-01"],
        }
        db.execute(
            "insert into sightings values ('account x', '1', 'f', 'clear', ?, 'now')",
            [json.dumps(told)],
        )
        db.commit()
        db.execute("delete from items where position > 20")  # what is deleted stays in free pages
        db.commit()


def test_databases_of_before_are_cleared(tmp_path: Path) -> None:
    path = tmp_path / "scans.db"
    allowed = f"licence 0123abcd for uploader {WORDS[1]} until 2029-01-01"
    rows = [
        {
            "file": "a",
            "outcome": "match",
            "identity": ADULT,
            "case_id": "c0ffee",
            "authorised": None,
        },
        {
            "file": "b",
            "outcome": "match",
            "identity": ALLOWED,
            "case_id": None,
            "authorised": allowed,
        },
        {"file": "c", "outcome": "possible", "identity": CHILD, "authorised": None},
    ]
    as_before(path, {"rows": rows})
    assert found_in(bytes_of(tmp_path, but=()), (ADULT, ALLOWED, CHILD, WORDS[1]))
    scan_store = ScanStore(path)
    assert found_in(bytes_of(tmp_path, but=()), (ADULT, ALLOWED, CHILD, WORDS[1])) == []
    found = [one.row for one in scan_store.rows.of_scan(scan_store.scan("scan"))]
    assert [row.authorised for row in found[:3]] == [
        None,
        "licence 0123abcd until 2029-01-01",
        None,
    ]
    assert found[0].case_id == "c0ffee"
    scan_store.close()


def test_a_database_that_somebody_reads_is_cleared_at_a_later_opening(tmp_path: Path) -> None:
    path = tmp_path / "scans.db"
    as_before(path, {"rows": [{"file": "a", "identity": ADULT, "authorised": None}]})
    reader = sqlite3.connect(path)
    reader.execute("begin")
    reader.execute("select count(*) from items").fetchone()
    ScanStore(path).close()
    reader.close()
    ScanStore(path).close()
    assert found_in(bytes_of(tmp_path, but=()), (ADULT,)) == []


def test_jobs_of_before_are_cleared(tmp_path: Path) -> None:
    path = tmp_path / "web.db"
    allowed = f"licence 0123abcd for uploader {WORDS[1]} until 2029-01-01"
    result = json.dumps([{"file": "b", "authorised": allowed, "outcome": "match"}])
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode = wal")
        web_migrations.apply(Database(db), stop_before="licences_are_not_told")
        db.execute(
            "insert into jobs (job_id, account_id, kind, name, declared, state, attempts, done, "
            "doing, result, created_at) values ('a', 'b', 'target', 'c', '{}', 'finished', 1, 1, "
            "'', ?, '2026')",
            [result],
        )
        db.commit()
    store = WebStore(path)
    [row] = Jobs(store, lambda: NOON).get("a").result
    assert row.authorised == "licence 0123abcd until 2029-01-01"
    store.close()
    assert found_in(bytes_of(tmp_path, but=()), (WORDS[1],)) == []
