"""The same weights are one case, wherever they are found, and a decision about it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawlers.listing import RemoteFile, bare_listing
from face_index.vault import Submission
from reports.cases.case import Case, Entry
from reports.cases.case_list import CaseFilter, CaseOrder
from reports.cases.case_store import CaseStore
from reports.cases.case_summary import Standing
from reports.cases.checkpoint_record import CheckpointRecord
from reports.cases.listings import listings_of, own_listing, places_of
from reports.errors import NoticeRefused, ReviewRefused
from reports.notices.drafting import draft_notice
from scanner.miniature.world import ADAPTERS
from scanner.records import ResultRow
from scanner.scanning.item_store import ItemStore, JudgedItem
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.known_files import KnownFiles
from scanner.web.queue.verdicts import SNAPSHOT_FACT, CaseStandings, ScanSerializer
from scanner.web.store import WebStore
from tests.cases import AT, make_case, reviewed
from tests.conftest import NOON, proof
from tests.opening import open_service, open_session
from tests.test_cli import run
from tests.test_notices import given_for

LIKENESS = "zkw_likeness.safetensors"


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


@pytest.fixture
def verdict(scan_session: ScanSession, submission: Submission, case_store: CaseStore) -> Case:
    """A verdict that was not filed yet, on weights that civitai lists."""
    identity = scan_session.vault.enrolments.submit(submission, NOON)
    scan_session.vault.enrolments.approve(identity.identity_id, "olga", proof(), NOON)
    return make_case(case_store, identity_id=identity.identity_id, case_id="")


def elsewhere(case: Case, **changes: Any) -> Case:
    """The same verdict on the same weights in another listing."""
    told: dict[str, Any] = {
        "listing_url": "https://other.example/2",
        "listing_id": "2",
        "file": "copy.safetensors",
    }
    checkpoint: CheckpointRecord = replace(case.checkpoint, **(told | changes))
    return replace(case, checkpoint=checkpoint)


def decide(scan_session: ScanSession, case: Case, decision: str) -> Case:
    details = {"decision": decision, "reason": "as I see it", "eyes": 1}
    scan_session.case_store.add(case.case_id, "review", "Li Na", NOON, details)
    return scan_session.case_store.case(case.case_id)


class TestWhatStands:
    def test_other_listings_are_attached_once(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        first = scan_session.filing.file(verdict)
        copy = elsewhere(
            verdict, hub="huggingface", creator="other", sha256="ef" * 32
        )  # a rewritten header
        for again in (verdict, copy, copy, verdict):
            assert scan_session.filing.file(again).case_id == first.case_id
        [case] = scan_session.case_store.cases()
        assert [(one.hub, one.sha256) for one in listings_of(case)] == [
            ("civitai", "ab" * 32),
            ("huggingface", "ef" * 32),
        ]
        events = [
            entry.event
            for entry in scan_session.vault.audit.about(case.identity_id)
            if entry.details.get("case")
        ]
        assert events == ["case-opened", "case-listing-added"]

    def test_two_people_in_one_file_are_two_cases(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        scan_session.filing.file(verdict)
        scan_session.filing.file(replace(verdict, identity_id="somebody-else"))
        assert len(list(scan_session.case_store.cases())) == 2

    @pytest.mark.parametrize("decision", ["confirm", "reject"])
    def test_a_decision_holds_in_every_listing(
        self, scan_session: ScanSession, verdict: Case, decision: str
    ) -> None:
        decided = decide(scan_session, scan_session.filing.file(verdict), decision)
        for again in (verdict, elsewhere(verdict), replace(verdict, outcome="possible")):
            assert scan_session.filing.file(again).case_id == decided.case_id
        assert scan_session.case_store.case(decided.case_id).status == decided.status

    def test_what_was_rejected_as_possible_and_is_a_match_is_asked_again(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        rejected = decide(
            scan_session, scan_session.filing.file(replace(verdict, outcome="possible")), "reject"
        )
        again = scan_session.filing.file(verdict)
        assert (
            again.case_id != rejected.case_id,
            scan_session.case_store.case(again.case_id).status,
        ) == (
            True,
            "draft",
        )
        assert scan_session.case_store.case(rejected.case_id).status == "rejected"
        [why] = scan_session.case_store.entries(again.case_id)
        assert (why.kind, why.details["case"], "match by now" in why.details["text"]) == (
            "reopens",
            rejected.case_id,
            True,
        )
        for _ in range(2):
            assert scan_session.filing.file(verdict).case_id == again.case_id

    def test_nobody_decides_about_an_outcome_that_no_longer_holds(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        before = scan_session.filing.file(verdict)
        after = scan_session.filing.file(replace(verdict, outcome="possible"))
        standings = {case.case_id: case.status for case in scan_session.case_store.cases()}
        assert standings == {before.case_id: "superseded", after.case_id: "draft"}

    def test_more_samples_are_a_case_only_once_there_are_others(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        asked = decide(scan_session, scan_session.filing.file(verdict), "more-samples")
        others = tuple(replace(sample, pixels_sha256="99" * 32) for sample in verdict.samples)
        for again in (
            verdict,
            replace(verdict, samples=others),
        ):  # others, of a rewritten header, and no more of them
            assert scan_session.filing.file(again).case_id == asked.case_id
        assert (
            scan_session.filing.file(replace(verdict, samples=others * 2)).case_id != asked.case_id
        )
        assert scan_session.case_store.case(asked.case_id).status == "superseded"

    def test_a_case_that_follows_takes_over_the_listings(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        first = scan_session.filing.file(replace(verdict, outcome="possible"))
        scan_session.filing.file(
            elsewhere(replace(verdict, outcome="possible"), hub="huggingface", creator="bob"),
        )
        following = scan_session.filing.file(elsewhere(verdict, hub="modelscope"))
        assert following.case_id != first.case_id
        case = scan_session.case_store.case(following.case_id)
        assert {one.hub for one in listings_of(case)} == {"civitai", "huggingface", "modelscope"}

    def test_nobody_decides_about_a_case_whose_place_was_taken(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        before = scan_session.filing.file(verdict)
        after = scan_session.filing.file(replace(verdict, outcome="possible"))
        service = open_service(scan_session.settings, clock=lambda: NOON)
        with pytest.raises(ReviewRefused, match=after.case_id):
            service.review(before.case_id, "Li Na", "reject", "not her")
        service.close()
        assert scan_session.case_store.standings([before.case_id]) == {
            before.case_id: Standing(after.case_id, "draft", verdict.identity_name)
        }

    def test_a_decision_in_the_middle_is_not_overwritten(
        self, scan_session: ScanSession, verdict: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = scan_session.filing.file(replace(verdict, outcome="possible"))
        opened = CaseStore.open

        def later(case_store: CaseStore, *args: Any) -> bool:
            monkeypatch.undo()
            decide(scan_session, first, "confirm")
            return opened(case_store, *args)

        monkeypatch.setattr(CaseStore, "open", later)
        assert scan_session.filing.file(verdict).case_id == first.case_id
        assert [case.status for case in scan_session.case_store.cases()] == ["confirmed"]

    def test_a_case_that_another_process_opened_meanwhile_gets_the_listing(
        self, scan_session: ScanSession, verdict: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = CaseStore.open

        def later(case_store: CaseStore, *args: Any) -> bool:
            monkeypatch.undo()
            scan_session.filing.file(elsewhere(verdict, hub="huggingface"))
            return opened(case_store, *args)

        monkeypatch.setattr(CaseStore, "open", later)
        scan_session.filing.file(verdict)
        [case] = scan_session.case_store.cases()
        assert {one.hub for one in listings_of(case)} == {"civitai", "huggingface"}

    def test_the_same_upload_again_is_no_other_listing(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        for number in ("job-1", "job-2", "job-3"):
            case = scan_session.filing.file(elsewhere(verdict, listing_id=number, title=number))
        assert len(listings_of(scan_session.case_store.case(case.case_id))) == 1

    def test_what_one_uploader_may_another_may_not(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        allowed = decide(scan_session, scan_session.filing.file(verdict), "authorised")
        assert (
            scan_session.filing.file(elsewhere(verdict)).case_id == allowed.case_id
        )  # the same uploader again
        thief = scan_session.filing.file(elsewhere(verdict, creator="thief"))
        assert (
            thief.case_id != allowed.case_id,
            scan_session.case_store.case(thief.case_id).status,
        ) == (
            True,
            "draft",
        )
        assert scan_session.filing.file(verdict).case_id == allowed.case_id
        assert (
            scan_session.filing.file(elsewhere(verdict, creator="thief")).case_id == thief.case_id
        )
        nobody = scan_session.filing.file(
            elsewhere(verdict, creator=None, listing_url="https://other.example/3")
        )
        assert nobody.case_id == thief.case_id

    def test_what_was_allowed_to_nobody_known_is_allowed_to_that_listing_only(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        own = elsewhere(verdict, creator=None)
        allowed = decide(scan_session, scan_session.filing.file(own), "authorised")
        assert scan_session.filing.file(own).case_id == allowed.case_id
        assert (
            scan_session.filing.file(
                elsewhere(verdict, creator=None, file="another.safetensors")
            ).case_id
            != allowed.case_id
        )

    def test_cases_of_an_older_version_keep_their_decision(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        """It opened a case for each scan; the decision about one of them holds for all."""
        for number in range(3):
            scan_session.case_store.open(
                replace(
                    verdict, case_id=f"{number}" * 16, opened_at=f"2026-11-2{number}T00:00:00+00:00"
                )
            )
        rejected = decide(scan_session, scan_session.case_store.case("1" * 16), "reject")
        assert scan_session.filing.file(verdict).case_id == rejected.case_id

    def test_a_line_for_another_case_is_written_with_the_new_case_or_not_at_all(
        self, case_store: CaseStore, verdict: Case
    ) -> None:
        line = Entry(0, AT.isoformat(), "superseded", "olga", {"by": "1" * 16})
        case = replace(verdict, case_id="2" * 16)
        assert case_store.open(case, [(verdict.case_id, line)])
        assert not case_store.open(case, [(verdict.case_id, line)])
        assert [entry.kind for entry in case_store.entries(verdict.case_id)] == ["superseded"]


def facts_for(notice: str) -> dict[str, str]:
    """What a person fills in; the addresses are the case's own."""
    return {name: value for name, value in given_for(notice).items() if name != "urls"}


def row_of(case: Case) -> dict[str, Any]:
    return {
        "file": case.checkpoint.file,
        "sha256": case.checkpoint.sha256,
        "outcome": case.outcome,
        "case_id": case.case_id,
        "score": 0.7,
        "threshold": 0.6,
        "lift": 0.6,
        "authorised": None,
        "samples": 8,
        "reason": "one face",
    }


class TestGate:
    def test_a_rejection_counts_for_the_rows_of_the_case_before(
        self, scan_session: ScanSession, verdict: Case
    ) -> None:
        before = scan_session.filing.file(verdict)
        after = scan_session.filing.file(replace(verdict, outcome="possible"))
        standings = CaseStandings(scan_session.settings)
        telling = ScanSerializer("https://gate.example", standings, with_names=False)
        assert telling.verdict([JobRow.from_json(row_of(before))]).action == "block"
        decide(scan_session, after, "reject")
        told = telling.verdict([JobRow.from_json(row_of(before))])
        standings.close()
        assert (told.action, told.findings[0].case_id, told.findings[0].case_status) == (
            "allow",
            after.case_id,
            "rejected",
        )

    @pytest.mark.parametrize(("decision", "is_known"), [("reject", True), ("authorised", False)])
    def test_what_one_uploader_may_is_no_known_answer_for_whoever_asks(
        self,
        scan_session: ScanSession,
        verdict: Case,
        monkeypatch: pytest.MonkeyPatch,
        decision: str,
        is_known: bool,
    ) -> None:
        case = decide(scan_session, scan_session.filing.file(verdict), decision)
        store = WebStore(scan_session.settings.web_path)
        store.set_fact(
            SNAPSHOT_FACT, f"{scan_session.vault.gallery_version} key {NOON.isoformat()}"
        )
        file = RemoteFile("a", "", None, None)
        listing = replace(bare_listing("upload", "1", "a", "", file), declared=True)
        item = JudgedItem("job 1", listing, 0, (ResultRow.from_json(row_of(case)),))
        monkeypatch.setattr(ItemStore, "judged", lambda *_: [item])
        standings = CaseStandings(scan_session.settings)
        known = KnownFiles(scan_session.settings, store, standings, Jobs(store, lambda: NOON))
        order = JobRequest("somebody", JobKind.UPLOAD, "a", "a", "ab" * 32)
        assert (known.rows_for(order) is not None) == is_known
        for opened in (known, standings, store):
            opened.close()


class TestNotices:
    def test_a_notice_names_every_address_on_its_hub(self, case_store: CaseStore) -> None:
        case = make_case(case_store)
        case_store.attach(case.case_id, listings_of(elsewhere(case))[0], "olga", AT)
        case_store.attach(
            case.case_id,
            listings_of(elsewhere(case, hub="huggingface", listing_url="https://hf.example/m"))[0],
            "olga",
            AT,
        )
        made = draft_notice("eu-dsa-16", reviewed(case_store, case), facts_for("eu-dsa-16"), NOON)
        assert "https://hub.example/models/1" in made.text
        assert "https://other.example/2" in made.text
        assert "https://hf.example/m" not in made.text

    def test_a_hubs_own_form_takes_its_own_listing(self, case_store: CaseStore) -> None:
        case = make_case(case_store)
        form = "hub-huggingface"
        with pytest.raises(NoticeRefused):
            draft_notice(form, reviewed(case_store, case), facts_for(form), NOON)
        case_store.attach(
            case.case_id,
            listings_of(elsewhere(case, hub="huggingface", listing_url="https://hf.example/m"))[0],
            "olga",
            AT,
        )
        made = draft_notice(form, case_store.case(case.case_id), facts_for(form), NOON)
        assert "https://hf.example/m" in made.text


def test_a_list_names_every_place_of_the_weights(case_store: CaseStore) -> None:
    case = make_case(case_store)
    other = replace(own_listing(case), hub="other", listing_url="https://other.example/1")
    case_store.attach(case.case_id, other, "Kim", AT)
    [summary] = case_store.lists.page(CaseFilter(), CaseOrder.NEWEST)
    places = places_of(summary)
    assert [(one["hub"], one["listing_url"]) for one in places] == [
        (case.checkpoint.hub, case.checkpoint.listing_url),
        ("other", "https://other.example/1"),
    ]
    assert {one["sha256"] for one in places} == {case.checkpoint.sha256}


def test_one_folder_twice_and_a_copy_under_other_names_is_one_case(
    registered_home: Path, tmp_path: Path
) -> None:
    folder, copy = tmp_path / "uploads", tmp_path / "elsewhere"
    folder.mkdir()
    copy.mkdir()
    shutil.copy(ADAPTERS / LIKENESS, folder / LIKENESS)
    shutil.copy(ADAPTERS / LIKENESS, copy / "another_name.safetensors")

    def scanned(target: Path, code: int) -> dict[str, Any]:
        done = run("scan", target, "--json", home=registered_home)
        assert done.returncode == code, done.stderr
        [row] = json.loads(done.stdout)["results"]
        return dict(row)

    first = scanned(folder, 1)
    rejecting = (
        "--decision",
        "reject",
        "--reviewer",
        "Li Na",
        "--reason",
        "a drawn twin",
        "--json",
    )
    assert (
        json.loads(run("review", first["case_id"], *rejecting, home=registered_home).stdout)[
            "status"
        ]
        == "rejected"
    )
    again, elsewhere = scanned(folder, 0), scanned(copy, 0)
    assert {row["case_id"] for row in (first, again, elsewhere)} == {first["case_id"]}
    assert [row["case_status"] for row in (first, again, elsewhere)] == [
        "draft",
        "rejected",
        "rejected",
    ]
    [case] = json.loads(run("cases", "--json", home=registered_home).stdout)["cases"]
    assert (case["case_id"], case["status"]) == (first["case_id"], "rejected")
    report = run(
        "report", first["case_id"], "--no-pdf", "--out", tmp_path / "out", home=registered_home
    )
    assert report.returncode == 0, report.stderr
    assert "another_name.safetensors" in next((tmp_path / "out").glob("*.html")).read_text("utf-8")
