"""Every failure is logged with a sentence; settings that cannot work are refused at the start."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from crawlers.captures.pages import extractors
from crawlers.captures.pages.page import CapturedPage
from crawlers.errors import HubError
from face_index.faces.detection import BatchDetector, Layout
from face_index.faces.insight import InsightFaceReader
from scanner.cli.app import app
from scanner.clock import utc_now
from scanner.errors import SettingsInvalid, first_line, sentence_of
from scanner.settings import Settings, TimestampAuthority, WebSettings, load_settings
from scanner.web.queue.delivery import Delivery
from scanner.web.queue.health import DELIVERY_FACT
from scanner.web.queue.outbox import WAITS_S, Outbox
from scanner.web.queue.verdicts import SNAPSHOT_FACT
from scanner.web.queue.worker import QueueWorker
from scanner.web.start_checks import check_at_start
from scanner.web.store import WebStore


def web(**told: Any) -> WebSettings:
    return WebSettings.model_validate(told)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestSentences:
    def test_an_error_is_told_as_a_sentence(self) -> None:
        assert sentence_of(HubError("the hub is closed")) == "the hub is closed"
        assert (
            sentence_of(OSError(errno.ENOSPC, "No space left on device", "/x"))
            == "No space left on device (/x)"
        )
        assert sentence_of(KeyError("colour")) == "unexpected KeyError: 'colour'"
        assert sentence_of(ValueError()) == "unexpected ValueError: "

    def test_a_librarys_error_is_more_than_a_word_in_quotes(self) -> None:
        assert first_line(RuntimeError("shapes differ\nat length")) == "shapes differ"
        assert first_line(KeyError("lora_A")) == "KeyError: 'lora_A'"
        assert first_line(RuntimeError()) == "RuntimeError"


class TestDelivery:
    @pytest.fixture
    def store(self, settings: Settings) -> WebStore:
        return WebStore(settings.web_path)

    def test_one_step_that_fails_keeps_no_other_from_being_done(
        self,
        settings: Settings,
        store: WebStore,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        outbox = Outbox(settings, store, utc_now)
        sent: list[int] = []
        monkeypatch.setattr(outbox, "send_due", lambda: sent.append(1))
        settings.uploads_path.parent.mkdir(parents=True, exist_ok=True)
        settings.uploads_path.write_text("a file in the place of the folder")
        delivery = Delivery(settings, store, outbox, utc_now)
        monkeypatch.setattr("scanner.web.queue.delivery.files_still_there", _fails)
        stop = threading.Event()
        thread = threading.Thread(target=delivery.run, args=(stop,))
        thread.start()
        until(lambda: len(sent) >= 2)
        stop.set()
        thread.join()
        told = [one for one in caplog.records if one.exc_info]
        assert [one.getMessage() for one in told] == [
            "what ended long ago is not deleted: unexpected KeyError: 'uploads'; it is tried again"
        ]
        assert "_fails" in caplog.text  # the traceback
        assert store.fact(DELIVERY_FACT) is None  # /readyz says so after a while

    def test_what_went_well_is_noted(self, settings: Settings, store: WebStore) -> None:
        stop = threading.Event()
        delivery = Delivery(settings, store, Outbox(settings, store, utc_now), utc_now)
        thread = threading.Thread(target=delivery.run, args=(stop,))
        thread.start()
        until(lambda: store.fact(DELIVERY_FACT) is not None)
        stop.set()
        thread.join()

    def test_a_message_that_is_given_up_is_logged(
        self, settings: Settings, store: WebStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        outbox = Outbox(settings, store, utc_now)
        outbox.post("http://127.0.0.1:1/secret-path", {"event": "scan.ended"})
        with store.transaction() as db:
            db.execute("update messages set tries = ?", [len(WAITS_S)])
        assert outbox.send_due() == 0
        assert f"is given up after {len(WAITS_S) + 1} tries" in caplog.text
        assert "secret-path" not in caplog.text


def _fails(*_: object) -> None:
    raise KeyError("uploads")


class TestReaders:
    def test_a_parser_that_fails_is_told_on_the_page(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def breaks(_: CapturedPage) -> None:
            raise KeyError("noteDetailMap")

        monkeypatch.setattr(extractors, "_BY_HOST", (("shop.example", breaks),))
        page = CapturedPage("https://shop.example/item/1", "a title", None, None, "some text", ())
        facts, problems = extractors.facts_of(page)
        assert facts.title == "a title"
        assert "what reads pages of shop.example failed (KeyError)" in problems
        assert [one.levelno for one in caplog.records if one.exc_info] == [logging.ERROR]

    def test_a_detector_that_takes_no_batch_says_so(
        self,
        miniature_reader: InsightFaceReader,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        detector = miniature_reader._detector._detector
        monkeypatch.setattr("face_index.faces.detection.onnx.load", _fails)
        options = detector.session.get_session_options()
        slow = BatchDetector(detector, (640, 640), 4, options)
        assert slow.layout == Layout.ONE_AT_A_TIME
        assert (
            "one image at a time, since the detector takes no batch: its network cannot be opened"
            in caplog.text
        )


class TestWatch:
    def test_an_unexpected_error_of_a_round_keeps_its_traceback(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "hub").mkdir()
        monkeypatch.setattr("crawlers.sweeps.rounds.go_round", _fails)
        watched = CliRunner().invoke(
            app,
            ["--home", str(tmp_path / "home"), "watch", str(tmp_path / "hub"), "--once", "--json"],
        )
        assert watched.exit_code == 3
        assert "unexpected KeyError: 'uploads'" in watched.output
        assert any(one.exc_info and one.exc_info[0] is KeyError for one in caplog.records)


class TestStart:
    @pytest.mark.parametrize(
        ("told", "problem"),
        [
            (
                {"web": {"case_webhook": "https://hooks.example/x"}},
                "case_webhook needs webhook_secret",
            ),
            (
                {"web": {"smtp_url": "mail.example:587"}},
                r"web\.smtp_url.*smtps://user:password@host",
            ),
            (
                {"web": {"smtp_url": "smtp://user:hunter2@mail.example:99999"}},
                r"web\.smtp_url.*smtps://user:password@host",
            ),
            ({"web": {"open_sign_up": True}}, "open_sign_up mails links: set smtp_url too"),
            ({"fpir": 0.1}, r"possible_fpir \(0\.02\) is smaller than fpir \(0\.1\)"),
            ({"next_master_key": "x"}, "master_key, which is not set"),
        ],
    )
    def test_settings_that_contradict_each_other_are_refused(
        self, told: dict[str, Any], problem: str, tmp_path: Path
    ) -> None:
        with pytest.raises(SettingsInvalid, match=problem) as refused:
            load_settings({"home": tmp_path, **told})
        assert "hunter2" not in str(refused.value)

    def test_a_password_is_not_repeated(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsInvalid, match=r"allowed_hosts: .* is no host") as refused:
            load_settings({"home": tmp_path, "allowed_hosts": ("https://u:hunter2@host/",)})
        assert "hunter2" not in str(refused.value)
        told = CliRunner().invoke(
            app,
            [
                "--home",
                str(tmp_path),
                "scan",
                "https://u:hunter2@host.example/x.safetensors",
                "--face-pack",
                "miniature",
            ],
        )
        assert isinstance(told.exception, HubError)
        assert "an address with a name or password" in str(told.exception)
        assert "hunter2" not in told.output + str(told.exception)
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"hunter2" not in written

    def test_what_will_not_work_is_said_before_anybody_uses_it(self, tmp_path: Path) -> None:
        authority = TimestampAuthority(
            name="tsa", url="https://tsa.example", certificates=tmp_path / "none.pem"
        )
        settings = Settings(
            home=tmp_path,
            timestamp_authorities=(authority,),
            web=web(scan_roots=[str(tmp_path / "no"), "s3://bucket"]),
        )
        told = list(check_at_start(settings))
        assert [sentence.split(":")[0].split()[0] for sentence in told] == [
            "Callers",
            "scan_roots",
            "timestamp_authorities",
        ]
        whole = Settings(
            home=tmp_path, webhook_secret=SecretStr("s"), web=web(scan_roots=[str(tmp_path)])
        )
        assert list(check_at_start(whole)) == []

    def test_a_webhook_that_may_never_be_posted_to_is_refused(self, tmp_path: Path) -> None:
        settings = Settings(
            home=tmp_path,
            webhook_secret=SecretStr("s"),
            web=web(case_webhook="http://169.254.169.254/x"),
        )
        with pytest.raises(SettingsInvalid, match=r"web\.case_webhook: .*169\.254"):
            list(check_at_start(settings))


class TestGateFromTheStart:
    def run_worker(self, settings: Settings, holds: Callable[[QueueWorker], bool]) -> None:
        worker = QueueWorker(settings)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            until(lambda: holds(worker))
        finally:
            worker.stop()
            thread.join()

    def test_known_files_are_answered_before_the_first_job(self, settings: Settings) -> None:
        store = WebStore(settings.web_path)
        with_pack = settings.model_copy(update={"face_pack": "miniature"})
        self.run_worker(with_pack, lambda _: store.fact(SNAPSHOT_FACT) is not None)

    def test_a_missing_face_pack_is_said_and_the_worker_goes_on(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        without = settings.model_copy(update={"face_pack": str(settings.home / "no pack")})
        self.run_worker(without, lambda _: "nobody can be searched for" in caplog.text)
        assert "Traceback" not in caplog.text
