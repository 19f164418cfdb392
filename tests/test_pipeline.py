"""The pipeline: minors, the same bytes twice, triggers from examples, and a worker that fails."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from crawlers.listing import RemoteFile, bare_listing
from face_index.consent import Consent, Signatory
from face_index.vault import Submission
from face_index.vault.people import People
from face_index.vault.sealed_templates import SealedTemplates
from scanner.identification.outcome import NEEDS_A_LOOK
from scanner.miniature.world import ADAPTERS
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.sampler import Sampler
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.identify_loop import IdentifyLoop
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.scan import run_scan
from scanner.scanning.session import ScanSession
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.scanning.workers import PoolClient
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.triage.minors import NamedMinor
from scanner.triage.trigger_words import named_minor, words_of
from tests.conftest import NOON, PHOTO, Silent, proof, prototypes_of
from tests.opening import open_session
from tests.registering import register_somebody

STYLE = ADAPTERS / "sepia_style.safetensors"


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


def enrol(
    scan_session: ScanSession, consent: Consent, name: str, born_on: date | None = None
) -> None:
    guardian = replace(consent, signatory=Signatory.GUARDIAN, document_sha256="ef" * 32)
    given = guardian if born_on else consent
    version = scan_session.faces.reader.version
    submission = Submission(
        name, given, prototypes_of(len(name)), version, [PHOTO], 2, "sam", born_on=born_on
    )
    identity = scan_session.vault.enrolments.submit(submission, NOON)
    scan_session.vault.enrolments.approve(identity.identity_id, "olga", proof(), NOON, "told apart")


def gallery_size_of(scan_session: ScanSession, gallery_version: int) -> int | None:
    """The gallery size in the stored verdict against that gallery version; None without one."""
    with sqlite3.connect(scan_session.settings.scans_path) as db:
        records = [
            json.loads(record)["method"] for (record,) in db.execute("select record from verdicts")
        ]
    return next(
        (one["gallery_size"] for one in records if one["gallery_version"] == gallery_version), None
    )


def test_whoever_is_named_after_a_registered_minor_is_never_sampled(
    scan_session: ScanSession, consent: Consent, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Mia Example", born_on=date(2012, 3, 4))
    shutil.copy(STYLE, uploads / "mia_example_v1.safetensors")
    monkeypatch.setattr(IdentifyLoop, "identify", lambda *_: pytest.fail("it must not be sampled"))
    [row] = run_scan(scan_session, [str(uploads)], Silent()).to_json_rows()
    assert (row["outcome"], row["identity"], row["samples"], row["reason"]) == (
        "inconclusive",
        None,
        0,
        NEEDS_A_LOOK,
    )
    [held] = scan_session.held.all(scan_session.minors.ids)
    assert (held.file, held.places) == ("mia_example_v1.safetensors", ("title", "file name"))
    assert scan_session.scan_store.samples(str(triage_file(STYLE).sha256)) == []


def test_a_registered_minor_named_by_the_header_alone_is_never_sampled(
    scan_session: ScanSession, consent: Consent, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Li An", born_on=date(2012, 3, 4))
    tensors = load_file(STYLE)
    save_file(
        tensors, uploads / "a.safetensors", {"ss_output_name": "LiAn_v2", "ss_tag_frequency": "{}"}
    )
    monkeypatch.setattr(IdentifyLoop, "identify", lambda *_: pytest.fail("it must not be sampled"))
    for _ in range(2):  # the second time the header is remembered
        [row] = run_scan(scan_session, [str(uploads)], Silent()).to_json_rows()
        assert (row["outcome"], row["identity"]) == ("inconclusive", None)
    assert [one.places for one in scan_session.held.all(scan_session.minors.ids)] == [("header",)]


def test_a_minors_name_inside_other_words_names_nobody(
    scan_session: ScanSession, consent: Consent, uploads: Path
) -> None:
    enrol(scan_session, consent, "Li An", born_on=date(2012, 3, 4))
    shutil.copy(STYLE, uploads / "realistic_woman_lora.safetensors")
    [row] = run_scan(scan_session, [str(uploads)], Silent()).to_json_rows()
    assert (row["outcome"], row["identity"]) == ("clear", None)


def test_minors_are_read_once_and_again_when_somebody_enters_or_leaves(
    scan_session: ScanSession, consent: Consent, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile("a.safetensors", "https://hub.example/a")
    listing = bare_listing("civitai", "1", "Portrait of Li An", "https://hub.example/1", file)
    read: list[int] = []
    minors = People.minors
    monkeypatch.setattr(People, "minors", lambda *given: read.append(1) or minors(*given))
    monkeypatch.setattr(
        People, "all", lambda *_: pytest.fail("everybody must not be read for each file")
    )
    assert [
        named_minor(scan_session.minors, scan_session.crawl, listing, file) for _ in range(5)
    ] == [None] * 5
    assert len(read) == 1
    enrol(scan_session, consent, "Li An", born_on=date(2012, 3, 4))  # while a scan runs
    child = scan_session.vault.people.find("Li An").identity_id
    assert [
        named_minor(scan_session.minors, scan_session.crawl, listing, file) for _ in range(5)
    ] == [NamedMinor(child, ("title",))] * 5
    assert len(read) == 2
    scan_session.vault.erasure.withdraw("Li An", NOON, "olga")
    assert named_minor(scan_session.minors, scan_session.crawl, listing, file) is None
    enrol(scan_session, consent, "Li An")  # an adult of that name
    assert named_minor(scan_session.minors, scan_session.crawl, listing, file) is None


def test_an_adult_of_that_name_is_sampled_as_anybody(
    scan_session: ScanSession, consent: Consent, uploads: Path
) -> None:
    enrol(scan_session, consent, "Mia Example")
    shutil.copy(STYLE, uploads / "mia_example_v1.safetensors")
    [row] = run_scan(scan_session, [str(uploads)], Silent()).to_json_rows()
    assert (row["outcome"], row["identity"]) == ("clear", None)
    assert (
        len(scan_session.scan_store.samples(str(triage_file(STYLE).sha256))) == row["samples"] > 0
    )


def test_the_same_bytes_under_two_names_are_judged_once(
    scan_session: ScanSession, consent: Consent, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    for name in ("a", "b", "c"):
        shutil.copy(STYLE, uploads / f"{name}.safetensors")
    judged: list[SamplingRequest] = []
    judge = CheckpointIdentifier.identify

    def counted(
        identifier: CheckpointIdentifier, task: SamplingRequest, known: Any = None
    ) -> WorkerAnswer:
        judged.append(task)
        return judge(identifier, task)

    monkeypatch.setattr(CheckpointIdentifier, "identify", counted)
    rows = list(run_scan(scan_session, [str(uploads)], Silent()).to_json_rows())
    assert [row["file"] for row in rows] == ["a.safetensors", "b.safetensors", "c.safetensors"]
    assert {(row["outcome"], row["reason"]) for row in rows} == {
        (rows[0]["outcome"], rows[0]["reason"])
    }
    assert len(judged) == 1
    assert (
        next(run_scan(scan_session, [str(uploads / "b.safetensors")], Silent()).to_json_rows())[
            "reason"
        ]
        == rows[0]["reason"]
    )
    assert len(judged) == 1


def test_whoever_registers_while_a_file_is_judged_is_searched_for_in_it(
    scan_session: ScanSession, consent: Consent, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdicts in both galleries are stored, and each names the one that was searched."""
    enrol(scan_session, consent, "Somebody Else")
    shutil.copy(STYLE, uploads / "a.safetensors")
    shutil.copy(ADAPTERS / "teapot_object.safetensors", uploads / "b.safetensors")
    before = scan_session.take_snapshot().gallery_version
    judging, both_given_out = threading.Event(), threading.Event()
    generate, submit = Sampler.generate, PoolClient.submit

    def generating(sampler: Sampler, *args: Any, **more: Any) -> Any:
        judging.set()
        assert both_given_out.wait(60)
        return generate(sampler, *args, **more)

    def submitting(worker_pool: PoolClient, *args: Any) -> None:
        submit(worker_pool, *args)
        if judging.is_set():
            both_given_out.set()
        else:
            assert judging.wait(60)
            register_somebody(scan_session)

    with monkeypatch.context() as slowed:
        slowed.setattr(Sampler, "generate", generating)
        slowed.setattr(PoolClient, "submit", submitting)
        rows = list(run_scan(scan_session, [str(uploads)], Silent()).to_json_rows())
    assert [row["gallery_version"] for row in rows] == [before + 1, before + 1]
    assert [gallery_size_of(scan_session, version) for version in (before, before + 1)] == [1, 2]
    again = list(run_scan(scan_session, [str(uploads)], Silent()).to_json_rows())
    assert [row["gallery_version"] for row in again] == [before + 1, before + 1]


def test_version_and_templates_are_of_one_state(
    scan_session: ScanSession, consent: Consent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process lets somebody in between reading the gallery's version and its templates."""
    enrol(scan_session, consent, "Somebody Else")
    before = scan_session.vault.gallery_version
    active = SealedTemplates.active

    def later(templates: SealedTemplates, *args: Any) -> Any:
        monkeypatch.undo()
        register_somebody(scan_session)
        return active(templates, *args)

    monkeypatch.setattr(SealedTemplates, "active", later)
    snapshot = scan_session.take_snapshot()
    assert (snapshot.gallery_version, len(snapshot.gallery)) == (before, 1)
    assert (
        scan_session.take_snapshot().gallery_version,
        len(scan_session.take_snapshot().gallery),
    ) == (before + 1, 2)


def test_where_everything_is_known_no_crew_is_called(
    scan_session: ScanSession, consent: Consent, uploads: Path
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    shutil.copy(STYLE, uploads / "a.safetensors")
    first = list(run_scan(scan_session, [str(uploads)], Silent()).to_json_rows())
    away = open_session(
        scan_session.settings.model_copy(update={"ray": "nowhere.invalid:6379"}), clock=lambda: NOON
    )
    assert list(run_scan(away, [str(uploads)], Silent()).to_json_rows()) == first
    away.close()


def test_a_fault_of_the_program_ends_the_scan_and_is_not_a_verdict(
    scan_session: ScanSession, consent: Consent, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    shutil.copy(STYLE, uploads / "a.safetensors")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr(CheckpointIdentifier, "identify", lambda *_: 1 / 0)
        run_scan(scan_session, [str(uploads)], Silent())
    [row] = run_scan(scan_session, [str(uploads)], Silent()).to_json_rows()
    assert row["outcome"] == "clear"


def test_creators_examples_tell_a_trigger_that_nobody_else_told(scan_session: ScanSession) -> None:
    prompts = ["vexwoman", "(vexwoman:1.2) <lora:x:1>", "vexwoman, in a hat", "vexwoman, seated"]
    raw = json.dumps({"images": [{"meta": {"prompt": prompt}} for prompt in prompts]})
    file = RemoteFile("x.safetensors", "https://hub.example/x")
    listing = replace(
        bare_listing("civitai", "7", "Somebody", "https://hub.example/7", file), raw=raw
    )
    scan_session.crawl.record(listing, NOON)
    bare = replace(triage_file(STYLE), triggers=())
    examples = ("vexwoman, in a hat", "vexwoman, seated")
    assert words_of(scan_session.crawl, listing, file, bare) == (("vexwoman", *examples), ())
    told = replace(listing, triggers=("ohwx",))
    assert words_of(scan_session.crawl, told, file, bare)[0] == ("ohwx",)
    unsafe = replace(listing, listing_id="8", raw=raw.replace("vexwoman", "nude vexwoman"))
    scan_session.crawl.record(unsafe, NOON)
    assert "vexwoman" in words_of(scan_session.crawl, unsafe, file, bare)[0]
    assert "nude" not in str(words_of(scan_session.crawl, unsafe, file, bare))
    minor = replace(listing, listing_id="9", raw=raw.replace("vexwoman", "loli vexwoman"))
    scan_session.crawl.record(minor, NOON)
    triggers, candidates = words_of(scan_session.crawl, minor, file, bare)
    assert triggers == ()
    assert candidates
    assert usable_triggers(candidates) == candidates


def test_where_everything_is_known_no_image_model_is_loaded(
    scan_session: ScanSession, consent: Consent, uploads: Path
) -> None:
    """Loading torch takes two seconds and 200 MB."""
    enrol(scan_session, consent, "Somebody Else")
    shutil.copy(STYLE, uploads / "a.safetensors")
    run_scan(scan_session, [str(uploads)], Silent())
    again = (
        "import sys; from scanner.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: print([name for name in ('torch', 'diffusers') if name in sys.modules])"
    )
    home = str(scan_session.settings.home)
    command = [sys.executable, "-c", again, "--home", home, "scan", str(uploads), "--json"]
    settings = {"PORTRAIT_SCANNER_FACE_PACK": scan_session.settings.face_pack}
    scanned = subprocess.run(
        [*command, "--face-pack", "miniature"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"drawn_files": 0' in scanned.stdout
    assert scanned.stdout.splitlines()[-1] == "[]"
