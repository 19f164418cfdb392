"""The gate after somebody has registered: what was drawn before answers again, undrawn."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import scanner.web.api.client as client_module
import scanner.web.queue.worker as worker_module
from face_index.consent import Consent
from face_index.vault.gallery_version import gallery_version_of
from scanner.miniature.world import ADAPTERS
from scanner.sampling.sampler import Sampler
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.retrosearch import RetrosearchResult
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.web.app import create_app
from scanner.web.auth.access import Role, Scope
from scanner.web.context import AppContext
from scanner.web.queue.job import Job, JobKind, JobRequest
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.known_files import KnownFiles
from scanner.web.queue.verdicts import SNAPSHOT_FACT, CaseStandings, ScanSerializer
from scanner.web.queue.worker import QueueWorker
from scanner.web.store import WebStore
from tests.conftest import NOON
from tests.test_draw_once import NOBODY_SHOWN, TRAINED_ON, Home
from tests.test_silence import until

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
FAR = date.today() + timedelta(days=30)  # noqa: DTZ011  a day is enough
LATER = NOON + timedelta(hours=1)


class Gate:
    """The queue of a home, its worker and its known files."""

    def __init__(self, settings: Settings, folder: Path, account_id: str = "account") -> None:
        self.settings, self.folder, self.account_id = settings, folder, account_id
        self.store = WebStore(settings.web_path)
        self.jobs = Jobs(self.store, lambda: NOON)
        self.standings = CaseStandings(settings)
        self.known = KnownFiles(settings, self.store, self.standings, self.jobs)

    def request(self) -> JobRequest:
        upload = self.folder / "upload.safetensors"
        shutil.copy(PERSON, upload)
        sha256, size = str(triage_file(PERSON).sha256), upload.stat().st_size
        return JobRequest(self.account_id, JobKind.UPLOAD, str(upload), PERSON.name, sha256, size)

    def work(self, done: Callable[[], bool]) -> None:
        """Let a worker work until something is done."""
        worker = QueueWorker(self.settings, lambda: LATER)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            until(done, 300)
        finally:
            worker.stop()
            thread.join()

    def searched(self) -> bool:
        version, *_ = (self.store.fact(SNAPSHOT_FACT) or "0").split()
        return int(version) == gallery_version_of(self.settings.vault_path)

    def answer(self) -> Job | None:
        """The job that answers at once; None if the gate would answer 202."""
        rows = self.known.rows_for(self.request())
        return None if rows is None else self.jobs.submit(self.request(), known=rows)[0]

    def close(self) -> None:
        for opened in (self.known, self.standings, self.store):
            opened.close()


def token_of(settings: Settings, name: str, *scopes: Scope) -> tuple[str, str]:
    """Make an account; return a token of it and its id."""
    app_context = AppContext(settings)
    account = app_context.accounts.create(f"{name}@hub.example", name, [Role.OPERATOR], None)
    secret = app_context.tokens.issue(account, "test", scopes, FAR)
    app_context.close()
    return secret, account.account_id


def test_a_known_file_is_answered_again_without_being_drawn(
    settings: Settings, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(settings, consent)
    home.register(NOBODY_SHOWN + 1)
    gate = Gate(settings, tmp_path)
    job, _ = gate.jobs.submit(gate.request())
    gate.work(lambda: gate.jobs.has_ended(job.job_id))
    assert gate.jobs.get(job.job_id).result[0].outcome == "clear"
    home.now = LATER
    home.register(NOBODY_SHOWN)
    assert gate.answer() is None
    with monkeypatch.context() as undrawn:
        undrawn.setattr(Sampler, "generate", lambda *_, **__: pytest.fail("it must not be drawn"))
        gate.work(gate.searched)
    answer = gate.answer()
    assert answer is not None
    serializer = ScanSerializer("https://gate", gate.standings, with_names=False)
    verdict = serializer.scan(answer).verdict
    assert verdict is not None
    assert verdict.searched_through is not None
    assert verdict.gallery_version is not None
    assert verdict.searched_through.gallery_version == verdict.gallery_version + 1
    assert verdict.searched_through.at == LATER.isoformat()
    home.register(TRAINED_ON)
    gate.work(gate.searched)
    found = gate.answer()
    assert found is not None
    assert found.result[0].outcome == "match"
    gate.close()


def test_a_known_verdict_is_202_until_the_search_has_ended(
    settings: Settings, consent: Consent, tmp_path: Path
) -> None:
    home = Home(settings, consent)
    home.register(NOBODY_SHOWN + 1)
    secret, account_id = token_of(settings, "hub", Scope.SCANS_READ)
    _, other = token_of(settings, "other", Scope.SCANS_READ)
    gate = Gate(settings, tmp_path, account_id)
    job, _ = gate.jobs.submit(gate.request())
    gate.work(lambda: gate.jobs.has_ended(job.job_id))
    sha256 = str(gate.request().sha256)
    with TestClient(create_app(settings)) as client:
        asked = client_module.Gate("http://testserver", secret, client)
        address = f"/api/v1/verdicts/{sha256}"
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get(address, headers=headers).status_code == 200
        home.now = LATER
        home.register(NOBODY_SHOWN)
        answer = client.get(address, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (202, "2")
        assert answer.json() == {"sha256": sha256, "state": "searching"}
        assert asked.verdict(sha256) is None
        unknown = client.get(f"/api/v1/verdicts/{'0' * 64}", headers=headers)
        assert unknown.status_code == 404
        assert not gate.known.awaits_search(sha256, other)
        gate.work(gate.searched)
        found = asked.verdict(sha256)
        assert found is not None
        assert found["searched_through"]["at"] == LATER.isoformat()
    gate.close()


def test_whoever_is_approved_during_a_long_scan_is_searched_for_between_two_files(
    settings: Settings, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(settings, consent)
    home.register(NOBODY_SHOWN + 1)
    home.scan(PERSON)
    home.now = LATER
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("sepia_style", "teapot_object"):
        shutil.copy(ADAPTERS / f"{name}.safetensors", folder)
    gate = Gate(settings, tmp_path)
    job, _ = gate.jobs.submit(JobRequest("account", JobKind.TARGET, str(folder), "many", None, 0))
    during: list[tuple[str, list[str]]] = []
    search, identify = worker_module.retrosearch, CheckpointIdentifier.identify

    def searching(*args: Any, **more: Any) -> RetrosearchResult:
        result = search(*args, **more)
        during.append(
            (str(gate.jobs.get(job.job_id).state), [found.row.outcome for found in result.rows])
        )
        return result

    def registering(*args: Any, **more: Any) -> Any:
        answer = identify(*args, **more)
        if len(during) == 1:
            home.register(TRAINED_ON)
            during.append(("registered", []))
        return answer

    monkeypatch.setattr(worker_module, "retrosearch", searching)
    monkeypatch.setattr(CheckpointIdentifier, "identify", registering)
    monkeypatch.setattr("scanner.web.queue.progress._BETWEEN_EVERY_S", 0.0)
    gate.work(lambda: gate.jobs.has_ended(job.job_id))
    # The search after the job finds no file that was stored after the one in its midst.
    assert during[1:] == [("registered", []), ("running", ["match"]), ("finished", [])]
    ended = gate.jobs.get(job.job_id)
    assert (str(ended.state), ended.problem) == ("finished", None)
    assert [row.outcome for row in ended.result].count("clear") >= 2
    gate.close()
