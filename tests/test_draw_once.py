"""What a checkpoint draws is drawn once, and whoever registers later is searched in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crawlers.hashes import sha256_of
from crawlers.listing import RemoteFile, bare_listing
from face_index.consent import Consent
from face_index.gallery.calibration import Calibration
from face_index.gallery.templates import make_prototypes
from face_index.vault import Submission
from reports.cases.listings import listings_of
from scanner.factories import open_scan_session
from scanner.identification.policy import Policy
from scanner.identification.snapshot import GallerySnapshot
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import ADAPTERS
from scanner.sampling.drawings import Drawing
from scanner.sampling.patches import patches_of, strip_bytes
from scanner.scanning.explanation import Explanation, explain
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.item_store import ItemStore
from scanner.scanning.retrosearch import RetrosearchResult, retrosearch
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.scan_result import ScanResult, result_of
from scanner.scanning.screening import Screener
from scanner.scanning.session import ScanSession
from scanner.settings import SampleSettings, Settings
from scanner.triage.header import triage_file
from tests.conftest import NOON, PHOTO, Silent, proof, task_of
from tests.read_results import read_result

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
STYLE = ADAPTERS / "sepia_style.safetensors"
TRAINED_ON, NOBODY_SHOWN = 101, 104


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    for path in (PERSON, STYLE):
        shutil.copy(path, folder)
    return folder


class Home:
    """A home whose sessions are opened one after the other."""

    def __init__(self, settings: Settings, consent: Consent) -> None:
        self.settings, self.consent, self.now = settings, consent, NOON

    def session(
        self, *, redraw: bool = False, erase_expired: bool = True, policy: Policy | None = None
    ) -> ScanSession:
        return open_scan_session(
            self.settings, lambda: self.now, policy, redraw=redraw, erase_expired=erase_expired
        )

    def register(self, seed: int) -> str:
        with self.session() as session:
            reader = session.faces.reader
            read = reader.read([draw_photo(person_of(seed), number).pixels for number in range(4)])
            prototypes = make_prototypes([faces[0] for faces in read if faces])
            submission = Submission(
                f"person {seed}", self.consent, prototypes, reader.version, [PHOTO], 2, "sam"
            )
            identity = session.vault.enrolments.submit(submission, self.now)
            session.vault.enrolments.approve(
                identity.identity_id, "olga", proof(), self.now, "told apart"
            )
            return identity.identity_id

    def scan(self, *targets: Path, redraw: bool = False) -> ScanResult:
        with self.session(redraw=redraw) as session:
            return read_result(run_scan(session, [str(target) for target in targets], Silent()))

    def retrosearch(self, *, draw_missing: bool = False) -> RetrosearchResult:
        with self.session() as session:
            return read_result(retrosearch(session, Silent(), draw_missing=draw_missing))

    def explain(self, path: Path) -> Explanation:
        with self.session(erase_expired=False) as session:
            [explanation] = explain(session, path)
            return explanation


@pytest.fixture
def home(settings: Settings, consent: Consent) -> Home:
    return Home(settings, consent)


def outcomes(result: ScanResult) -> dict[str, str]:
    return {row["file"]: row["outcome"] for row in result.to_json_rows()}


def decisive(result: ScanResult) -> list[dict[str, Any]]:
    """The rows without what differs between two homes or two runs."""
    left_out = ("seconds", "case_id", "gallery_version", "searched_through", "samples")
    return [
        {name: value for name, value in row.items() if name not in left_out}
        for row in result.to_json_rows()
    ]


def test_whoever_registers_later_costs_only_the_files_that_show_them(
    home: Home, uploads: Path, tmp_path: Path
) -> None:
    first = home.scan(uploads)
    assert (first.totals.files, first.totals.drawn_files) == (2, 2)
    assert first.totals.denoiser_calls > 0
    home.register(NOBODY_SHOWN)
    unrelated = home.scan(uploads)
    assert (unrelated.totals.drawn_files, unrelated.totals.denoiser_calls) == (0, 0)
    assert outcomes(unrelated) == {PERSON.name: "clear", STYLE.name: "clear"}
    home.register(TRAINED_ON)
    found = home.scan(uploads)
    assert found.totals.drawn_files == 1
    assert outcomes(found) == {PERSON.name: "match", STYLE.name: "clear"}
    home.register(NOBODY_SHOWN + 1)
    again = home.scan(uploads)
    assert (again.totals.drawn_files, again.totals.denoiser_calls) == (0, 0)
    assert outcomes(again) == outcomes(found)
    assert again.case_ids == found.case_ids

    other = Home(
        home.settings.model_copy(update={"home": tmp_path / "registered first"}), home.consent
    )
    for seed in (NOBODY_SHOWN, TRAINED_ON, NOBODY_SHOWN + 1):
        other.register(seed)
    assert decisive(other.scan(uploads)) == decisive(again)


def test_vectors_of_kept_faces_are_those_of_the_drawing_to_the_last_bit(
    identifier: CheckpointIdentifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    from scanner.scanning import identifier as module

    loop = module.IdentifyLoop.identify

    def noted(*args: Any, **more: Any) -> Any:
        seen.append(loop(*args, **more))
        return seen[-1]

    monkeypatch.setattr(module.IdentifyLoop, "identify", noted)
    answer = identifier.identify(task_of(PERSON))
    [examination] = seen
    places = sorted(answer.patches)
    read_back = patches_of(strip_bytes([answer.patches[place] for place in places]))
    for place, patch, vector in zip(
        places, read_back, identifier.reader.embed(read_back), strict=True
    ):
        assert (patch == answer.patches[place]).all()
        sample = examination.observed[place[0]]
        assert np.array_equal(vector, sample.vectors[place[1]])
    drawing = json.loads(json.dumps(answer.drawing.to_json()))
    assert Drawing.from_json(drawing) == answer.drawing


class TestRetention:
    def test_nothing_is_kept_of_a_style(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        samples = home.settings.samples_path
        kept = {row[0] for row in rows_of(samples, "select distinct sampling_key from patches")}
        drawn = dict(rows_of(samples, "select sampling_key, sha256 from drawings"))
        assert {drawn[key] for key in kept} == {triage_file(PERSON).sha256}
        assert len(drawn) == 2

    @pytest.mark.parametrize(
        "change", [{"samples": SampleSettings(keep_days=0)}, {"country": "CN"}]
    )
    def test_without_days_only_files_that_draw_one_face_are_drawn_again(
        self, home: Home, uploads: Path, change: dict[str, Any]
    ) -> None:
        home.settings = home.settings.model_copy(update=change)
        home.scan(uploads)
        assert rows_of(home.settings.samples_path, "select 1 from patches") == []
        home.register(TRAINED_ON)
        assert home.explain(STYLE).would == "search"
        assert home.explain(PERSON).would == "draw"
        found = home.scan(uploads)
        assert found.totals.drawn_files == 1
        assert outcomes(found) == {PERSON.name: "match", STYLE.name: "clear"}

    def test_after_their_days_faces_are_in_no_file(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        samples = home.settings.samples_path
        [(key, sealed)] = rows_of(samples, "select sampling_key, sealed from patches")
        with home.session() as session:
            patches = session.kept.store.patches(key)
        assert patches is not None
        assert traces(home, patches, sealed) == {"samples.db"}
        home.now = NOON + timedelta(days=home.settings.samples.keep_days, seconds=1)
        home.session().close()
        assert traces(home, patches, sealed) == set()
        assert home.explain(PERSON).faces_kept is False
        assert rows_of(home.settings.sample_keys_path, "select 1 from sample_keys") == []

    def test_a_copy_of_samples_cannot_be_read_without_its_keys(
        self, home: Home, uploads: Path, tmp_path: Path
    ) -> None:
        home.scan(uploads)
        copy, samples = tmp_path / "copy.db", home.settings.samples_path
        rows_of(samples, f"vacuum into '{copy}'")
        [(key,)] = rows_of(samples, "select distinct sampling_key from patches")
        home.now = NOON + timedelta(days=400)
        home.session().close()
        shutil.copy(copy, samples)
        with home.session() as session:
            assert session.kept.store.drawing(key) is not None
            assert session.kept.store.patches(key) is None

    @pytest.mark.parametrize("words", [{"title": "a child"}, {"minor_flag": True}])
    def test_nothing_is_kept_of_a_file_that_is_said_to_show_a_minor(
        self, home: Home, uploads: Path, words: dict[str, Any]
    ) -> None:
        home.scan(uploads)
        assert home.explain(PERSON).faces_kept
        file = RemoteFile(
            PERSON.name, str(PERSON), PERSON.stat().st_size, triage_file(PERSON).sha256
        )
        listing = replace(bare_listing("hub", "1", "a title", "hub:1", file), **words)
        with home.session() as session:
            [row] = scan_listings(session, "hub", [listing], Silent()).rows
        assert row.row.outcome == "failed"
        assert not home.explain(PERSON).faces_kept

    def test_over_the_budget_the_oldest_go_first(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        home.settings = home.settings.model_copy(update={"samples": SampleSettings(budget_gb=1e-6)})
        home.session().close()
        assert home.explain(PERSON).faces_kept is False

    def test_a_scan_that_draws_more_than_the_budget_keeps_no_more_than_it(
        self, home: Home, uploads: Path
    ) -> None:
        home.settings = home.settings.model_copy(update={"samples": SampleSettings(budget_gb=1e-6)})
        with home.session() as session:
            assert run_scan(session, [str(uploads)], Silent()).totals.drawn_files == 2
            assert not any(
                session.kept.store.has_patches(kept.sampling_key)
                for kept in session.kept.store.drawings_of(str(triage_file(PERSON).sha256))
            )

    def test_faces_that_were_destroyed_while_a_worker_went_on_from_them_are_not_kept_again(
        self, home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change = {"samples": SampleSettings(keep_days=5)}
        home.settings = home.settings.model_copy(update=change)
        home.scan(uploads)
        home.register(TRAINED_ON)
        identify = CheckpointIdentifier.identify

        def expiring(*args: Any, **more: Any) -> Any:
            answer = identify(*args, **more)
            home.now = NOON + timedelta(days=6)
            home.session().close()
            return answer

        monkeypatch.setattr(CheckpointIdentifier, "identify", expiring)
        assert outcomes(home.scan(uploads))[PERSON.name] == "match"
        assert rows_of(home.settings.samples_path, "select 1 from patches") == []

    def test_of_a_file_that_may_show_a_minor_no_face_is_kept_later(
        self, home: Home, uploads: Path
    ) -> None:
        """Another listing of the same bytes may not say so."""
        with home.session() as session:
            session.kept.store.destroy_file(str(triage_file(PERSON).sha256))
        home.scan(uploads)
        assert rows_of(home.settings.samples_path, "select 1 from patches") == []

    def test_samples_that_go_on_keep_their_day(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        home.now = NOON + timedelta(days=30)
        home.register(TRAINED_ON)
        assert home.scan(uploads).has_findings
        home.now = NOON + timedelta(days=home.settings.samples.keep_days, seconds=1)
        home.session().close()
        assert rows_of(home.settings.samples_path, "select 1 from patches") == []


def test_a_file_in_which_somebody_comes_near_is_not_screened_again(
    home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case has pictures of confirmation, and of screening what is needed to draw it again."""
    first = home.scan(uploads / PERSON.name)
    home.register(TRAINED_ON)
    with monkeypatch.context() as screened:
        screened.setattr(Screener, "screen", lambda *_: pytest.fail("it is known"))
        found = home.scan(uploads / PERSON.name)
    assert outcomes(found) == {PERSON.name: "match"}
    with home.session() as session:
        [kept] = session.kept.store.drawings_of(str(triage_file(PERSON).sha256))
        [case] = session.case_store.lists.page()
        samples = session.case_store.case(case.case_id).samples
    assert len(samples) == len(kept.drawing.samples)
    pictures = [sample.image_sha256 for sample in samples if sample.image_sha256]
    controls = [sample.control_sha256 for sample in samples if sample.control_sha256]
    assert len(pictures) == len(kept.drawing.confirmation)
    assert len(controls) == Policy().confirmation
    assert found.totals.images == len(pictures) + len(controls)
    assert all(sample.pixels_sha256 and sample.batch for sample in samples)
    calls = first.totals.denoiser_calls + found.totals.denoiser_calls
    assert kept.drawing.denoiser_calls == calls
    assert {sample.batch for sample in kept.drawing.confirmation}.isdisjoint(
        sample.batch for rounds in kept.drawing.screening for sample in rounds
    )


class TestRetrosearch:
    def test_a_file_that_cannot_be_drawn_is_carried_on(self, home: Home, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.safetensors"
        damaged.write_bytes(STYLE.read_bytes()[:-100])
        assert outcomes(home.scan(damaged)) == {damaged.name: "failed"}
        home.register(NOBODY_SHOWN)
        result = home.retrosearch()
        assert (result.files, result.unsearched, result.rows) == (0, 0, ())

    def test_nobody_new_costs_no_drawing_and_a_later_scan_knows_it(
        self, home: Home, uploads: Path
    ) -> None:
        home.scan(uploads)
        home.register(NOBODY_SHOWN)
        result = home.retrosearch()
        assert (result.files, result.unsearched, result.rows) == (2, 0, ())
        assert result.totals.denoiser_calls == 0
        assert home.retrosearch().files == 0
        with home.session() as session:
            coverage = session.scan_store.coverage.since((NOON + timedelta(seconds=1)).isoformat())
        assert coverage == []

    def test_a_person_who_is_shown_is_found_and_gets_a_case(
        self, home: Home, uploads: Path
    ) -> None:
        first = home.scan(uploads)
        home.register(TRAINED_ON)
        home.now = NOON + timedelta(days=1)
        result = home.retrosearch()
        assert (result.files, result.unsearched) == (2, 0)
        assert [(row.row.file, row.row.outcome) for row in result.rows] == [(PERSON.name, "match")]
        assert len(result.case_ids) == 1
        assert result.has_findings
        assert 0 < result.totals.denoiser_calls < 3 * first.totals.denoiser_calls
        again = home.scan(uploads)
        assert again.totals.drawn_files == 0
        assert again.case_ids == result.case_ids
        with home.session() as session:
            [coverage] = session.scan_store.coverage.since(home.now.isoformat())
            assert coverage.examined == 2

    @pytest.mark.parametrize("decision", ["confirm", "reject", None])
    def test_what_was_confirmed_stays_found_where_thresholds_rise(
        self, home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch, decision: str | None
    ) -> None:
        home.register(TRAINED_ON)
        [case_id] = home.scan(uploads).case_ids
        if decision is not None:
            details = {"decision": decision, "reason": "as I see it", "eyes": 1}
            with home.session() as session:
                session.case_store.add(case_id, "review", "Li Na", NOON, details)
        monkeypatch.setattr(Calibration, "threshold", lambda *_: 0.99)
        home.register(NOBODY_SHOWN)
        searched = home.retrosearch()
        assert searched.totals.denoiser_calls == 0
        with home.session() as session:
            newest = session.scan_store.items.judged(sha256_of(PERSON))[0]
        scanned = home.scan(uploads)
        expected = [("match", case_id)] if decision == "confirm" else [("clear", None)]
        assert [(row.outcome, row.case_id) for row in newest.rows] == expected
        assert [(row.row.outcome, row.row.case_id) for row in scanned.rows][:1] == expected
        assert scanned.has_findings is (decision == "confirm")

    def test_a_confirmed_case_is_found_again_in_a_copy_that_scores_less(
        self, home: Home, uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        identity_id = home.register(TRAINED_ON)
        [case_id] = home.scan(uploads).case_ids
        details = {"decision": "confirm", "reason": "as I see it", "eyes": 1}
        with home.session() as session:
            session.case_store.add(case_id, "review", "Li Na", NOON, details)
        monkeypatch.setattr(Calibration, "threshold", lambda *_: 0.99)
        home.register(NOBODY_SHOWN)
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(PERSON, copy / "another_name.safetensors")
        [row] = home.scan(copy).rows
        assert (row.row.outcome, row.row.case_id) == ("match", case_id)
        assert "a case about the same weights was confirmed" in row.row.reason
        with home.session() as session:
            listings = listings_of(session.case_store.case(case_id))
            assert [listing.file for listing in listings] == [
                PERSON.name,
                "another_name.safetensors",
            ]
            session.vault.erasure.withdraw(identity_id, home.now, "olga")
        [row] = home.scan(copy).rows
        assert (row.row.outcome, row.row.case_id) == ("clear", None)

    def test_whoever_leaves_is_found_no_more(self, home: Home, uploads: Path) -> None:
        identity_id = home.register(TRAINED_ON)
        home.register(NOBODY_SHOWN)
        assert home.scan(uploads).has_findings
        with home.session() as session:
            session.vault.erasure.withdraw(identity_id, home.now, "olga")
        result = home.retrosearch()
        assert result.totals.denoiser_calls == 0
        assert not result.has_findings
        assert outcomes(home.scan(uploads)) == {PERSON.name: "clear", STYLE.name: "clear"}

    def test_files_of_an_earlier_version_are_counted_and_drawn_on_request(
        self, home: Home, uploads: Path
    ) -> None:
        home.scan(uploads)
        rows_of(home.settings.scans_path, "update verdicts set parts = null")
        rows_of(home.settings.samples_path, "delete from drawings")
        home.register(TRAINED_ON)
        result = home.retrosearch()
        assert (result.files, result.unsearched, result.rows) == (0, 2, ())
        drawn = home.retrosearch(draw_missing=True)
        assert (drawn.unsearched, drawn.totals.drawn_files) == (0, 2)
        assert drawn.has_findings

    def test_a_file_that_was_judged_after_somebody_registered_meanwhile_is_searched(
        self, home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its scan began with an older gallery than the one in which it was searched."""
        take = ScanSession.take_snapshot
        calls: list[int] = []

        def taking(session: ScanSession) -> GallerySnapshot:
            calls.append(len(calls))
            if len(calls) == 2:  # the first call begins the scan
                home.register(NOBODY_SHOWN)
            return take(session)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(ScanSession, "take_snapshot", taking)
            home.scan(uploads)
        home.register(TRAINED_ON)
        result = home.retrosearch()
        assert (result.files, result.unsearched) == (2, 0)
        assert [row.row.outcome for row in result.rows] == ["match"]

    def test_a_file_that_is_gone_keeps_its_samples_and_says_that_somebody_comes_near(
        self, home: Home, uploads: Path, tmp_path: Path
    ) -> None:
        home.scan(uploads)
        shutil.move(uploads / PERSON.name, tmp_path / "away")
        home.register(TRAINED_ON)
        result = home.retrosearch()
        assert (result.files, result.unsearched, result.unconfirmed) == (2, 0, 1)
        [row] = result.rows
        assert row.row.outcome == "failed"
        assert "come near somebody who is registered" in row.row.reason
        assert not result.has_findings
        home.register(NOBODY_SHOWN)
        assert home.retrosearch().unconfirmed == 1
        shutil.move(tmp_path / "away", uploads / PERSON.name)
        home.register(NOBODY_SHOWN + 1)
        back = home.retrosearch()
        assert (back.unconfirmed, [row.row.outcome for row in back.rows]) == (0, ["match"])

    def test_a_gone_file_gets_the_result_of_its_bytes(
        self, home: Home, uploads: Path, tmp_path: Path
    ) -> None:
        home.scan(uploads)
        away = tmp_path / "away"
        away.mkdir()
        shutil.move(uploads / PERSON.name, away / PERSON.name)
        home.register(TRAINED_ON)
        assert home.retrosearch().unconfirmed == 1
        [case_id] = home.scan(away).case_ids
        settled = home.retrosearch()
        assert (settled.unconfirmed, settled.case_ids) == (0, (case_id,))
        assert home.retrosearch().rows == ()

    def test_a_result_says_through_which_gallery_it_holds_in_its_scan(
        self, home: Home, uploads: Path
    ) -> None:
        empty = home.scan(uploads)
        home.register(NOBODY_SHOWN)
        first = home.scan(uploads)
        home.register(NOBODY_SHOWN + 1)
        home.retrosearch()
        explained = home.explain(STYLE)
        assert (explained.would, explained.differs) == ("nothing", ())
        second = home.scan(uploads)
        assert second.totals.drawn_files == 0
        with home.session() as session:
            later = [
                read_result(result_of(session, result.scan.scan_id))
                for result in (empty, first, second)
            ]
            exported = [
                (row.scan_id, row.gallery_version) for row in session.scan_store.table.rows()
            ]
        versions = [empty.scan.gallery_size, 1, 2]
        for version, before, after in zip(versions, (empty, first, second), later, strict=True):
            assert [row.searched_through for row in after.rows] == [version] * 2
            assert [row.row for row in after.rows] == [row.row for row in before.rows]
        assert [version for _, version in exported] == [0, 0, 1, 1, 1, 1]

    def test_a_killed_search_goes_on(
        self, home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home.scan(uploads)
        home.register(TRAINED_ON)
        with monkeypatch.context() as killed:
            killed.setattr(ItemStore, "note_judged", _stopped)
            with pytest.raises(KeyboardInterrupt):
                home.retrosearch()
        result = home.retrosearch()
        assert [row.row.outcome for row in result.rows] == ["match"]


class TestExplain:
    def test_it_says_what_is_known_and_what_would_be_done(self, home: Home) -> None:
        never = home.explain(PERSON)
        assert (never.known, never.would, never.differs) == (False, "draw", ())
        home.scan(PERSON)
        same = home.explain(PERSON)
        assert (same.known, same.would, same.differs) == (True, "nothing", ())
        assert same.sampling_key == never.sampling_key
        home.register(NOBODY_SHOWN)
        more = home.explain(PERSON)
        assert (more.would, more.sampling_key) == ("search", same.sampling_key)
        assert more.identification_key != same.identification_key
        assert more.differs == ("gallery",)
        home.register(TRAINED_ON)
        near = home.explain(PERSON)
        assert near.would == "draw"
        assert "comes near" in near.why

    def test_nothing_is_written(self, home: Home) -> None:
        home.scan(PERSON)
        home.register(NOBODY_SHOWN)
        before = rows_of(home.settings.scans_path, "select * from verdicts")
        home.explain(PERSON)
        assert rows_of(home.settings.scans_path, "select * from verdicts") == before


def test_redraw_draws_what_is_known(home: Home) -> None:
    home.scan(PERSON)
    assert home.scan(PERSON).totals.drawn_files == 0
    assert home.scan(PERSON, redraw=True).totals.drawn_files == 1
    assert home.scan(PERSON).totals.drawn_files == 0


def test_a_library_that_is_new_draws_nothing_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.scan(STYLE)
    monkeypatch.setattr("scanner.scanning.kept_samples.library_versions", lambda: {"torch": "9"})
    monkeypatch.setattr("scanner.identification.comparison.library_versions", lambda: {"t": "9"})
    assert home.scan(STYLE).totals.drawn_files == 0


@pytest.mark.parametrize(
    "statement",
    [
        "update drawings set pack_sha256 = '00'",
        "update drawings set record = zeroblob(9)",
        "update drawings set pictures = '[[0, false, \"ab\"]]'",
        "update drawings set sha256 = 'cd'",
    ],
)
def test_a_forged_drawing_is_drawn_anew(
    home: Home, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.scan(STYLE)
    rows_of(home.settings.samples_path, statement)
    home.register(NOBODY_SHOWN)
    assert home.scan(STYLE).totals.drawn_files == 1
    assert "was changed outside" in caplog.text or "were changed outside" in caplog.text


def test_faces_that_were_changed_are_drawn_anew(home: Home) -> None:
    home.scan(PERSON)
    rows_of(home.settings.samples_path, "update patches set sealed = zeroblob(length(sealed))")
    home.register(NOBODY_SHOWN)
    assert home.scan(PERSON).totals.drawn_files == 1


def test_the_policy_is_a_part_of_the_key(home: Home) -> None:
    home.scan(STYLE)
    other = replace(Policy(), confirmation_cluster=5)
    with open_scan_session(home.settings, lambda: NOON, other) as session:
        result = run_scan(session, [str(STYLE)], Silent())
    assert result.totals.drawn_files == 0
    wider = replace(Policy(), screening=6)
    with open_scan_session(home.settings, lambda: NOON, wider) as session:
        result = run_scan(session, [str(STYLE)], Silent())
    assert result.totals.drawn_files == 1


def _stopped(*_: Any) -> None:
    raise KeyboardInterrupt


def rows_of(path: Path, statement: str) -> list[Any]:
    """Execute a statement over a connection of its own."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(statement).fetchall()
        db.commit()
    return rows


def traces(home: Home, patches: dict[Any, Any], sealed: bytes) -> set[str]:
    """The names of files below the home that hold a patch, or its sealed form, in whole rows."""
    needles = [sealed[20:84]] + [patch.tobytes()[6000:6064] for patch in patches.values()]
    return {
        path.name
        for path in home.settings.home.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    }
