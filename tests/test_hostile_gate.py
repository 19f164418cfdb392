"""Attacks by callers of the gate.

They want a false `clear`, a licence of somebody else, or scores with which to approach a face.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from crawlers.listing import RemoteFile, bare_listing
from face_index.consent import Consent, LicenceKind
from face_index.vault import Submission
from scanner.identification.comparison import comparison_of
from scanner.miniature.world import ADAPTERS
from scanner.records import VerdictMethod, VerdictRecord
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.key import Key
from scanner.scanning.sampling_request import SamplingRequest
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.worker_answer import WorkerAnswer
from scanner.settings import Settings
from scanner.triage.header import triage_file
from scanner.web.app import create_app
from scanner.web.auth.access import Scope
from scanner.web.queue.worker import QueueWorker
from tests.conftest import NOON, PHOTO, Silent, proof, prototypes_of
from tests.opening import open_service, open_session
from tests.test_gate import token_for

TRIGGER, ANOTHER_BASE = "vexq person", "SD 1.5"
STYLE = ADAPTERS / "sepia_style.safetensors"
CLOSEST = "the closest registered person scores 0.38, at most 0.41 with more samples, under 0.45"


def bare(path: Path) -> bytes:
    """A file whose header names no trigger."""
    from scanner.miniature.demo import with_another_header

    return with_another_header(path.read_bytes())


BYTES = bare(STYLE)


def judged_by_words(judged: list[SamplingRequest]) -> Any:
    """Replaces sampling: the file shows the person for prompts with the trigger only."""

    def judge(
        identifier: CheckpointIdentifier, task: SamplingRequest, _: object = None
    ) -> WorkerAnswer:
        judged.append(task)
        comparison = comparison_of(
            identifier.pack, identifier.reader.version, identifier.snapshot, 0.5
        )
        method = VerdictMethod("Miniature", None, comparison, {}, 0.5)
        record: dict[str, Any] = {
            "outcome": "clear",
            "reason": CLOSEST,
            "best_score": 0.3826,
            "best_threshold": 0.5,
            "lift": 0.1,
            "samples": 8,
            "denoiser_calls": 8,
            "found_trigger": None,
            "seconds": 0.1,
            "findings": [],
            "method": method.to_json(),
        }
        if TRIGGER in task.triggers:
            finding = {
                "identity_id": identifier.snapshot.templates[0][0],
                "outcome": "match",
                "reason": "score 0.80 over the threshold 0.50",
                "score": 0.8,
                "interval": [0.7, 0.9],
                "control_score": 0.0,
                "lift": 0.8,
                "runner_up": None,
                "log10_lr": None,
                "concentration": 0.9,
                "share": 1.0,
                "threshold": 0.5,
                "possible_threshold": 0.4,
                "samples": [],
            }
            record |= {
                "outcome": "match",
                "reason": finding["reason"],
                "best_score": 0.8,
                "samples": 28,
                "findings": [finding],
            }
        return WorkerAnswer(VerdictRecord.from_json(record), identifier.snapshot.snapshot_id)

    return judge


class Hub:
    """The app and its worker, run step by step."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.client = TestClient(self.app)
        self.client.__enter__()
        self.worker = QueueWorker(settings)
        self.name_of = {}

    def close(self) -> None:
        self.client.__exit__(None, None, None)
        if self.worker._scan_session is not None:
            self.worker._scan_session.close()
        self.worker.store.close()

    def headers(self, who: str = "gate", *scopes: Scope) -> dict[str, str]:
        wanted = scopes or (Scope.SCANS_READ, Scope.SCANS_WRITE)
        return token_for(self.settings.home, *wanted, email=f"{who}@hub.example")

    def send(
        self,
        listing: dict[str, Any] | None = None,
        *,
        who: str = "gate",
        data: bytes = BYTES,
        name: str = "a.safetensors",
    ) -> httpx.Response:
        form = {"listing": json.dumps(listing)} if listing is not None else {}
        return self.client.post(
            "/api/v1/scans", files={"file": (name, data)}, data=form, headers=self.headers(who)
        )

    def ask(self, sha256: str, *, who: str = "gate", **more: Any) -> httpx.Response:
        return self.client.post(
            "/api/v1/scans", json={"sha256": sha256, **more}, headers=self.headers(who)
        )

    def verdict(self, sha256: str, *, who: str = "gate") -> httpx.Response:
        return self.client.get(f"/api/v1/verdicts/{sha256}", headers=self.headers(who))

    def work(self) -> None:
        self.worker._search_present_gallery()
        while (job := self.worker.jobs.claim()) is not None:
            self.worker._work(job)
            self.worker._search_present_gallery()

    def ended(
        self, answer: httpx.Response, *, who: str = "gate", scopes: tuple[Scope, ...] = ()
    ) -> dict[str, Any]:
        """The scan of an answer, after the worker has emptied the queue."""
        assert answer.status_code in (200, 202), answer.text
        self.work()
        place = f"/api/v1/scans/{answer.json()['job_id']}"
        return dict(self.client.get(place, headers=self.headers(who, *scopes)).json())


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[SamplingRequest]:
    tasks: list[SamplingRequest] = []
    monkeypatch.setattr(CheckpointIdentifier, "identify", judged_by_words(tasks))
    return tasks


def enrol(settings: Settings, consent: Consent) -> str:
    scan_session = open_session(settings)
    now = scan_session.clock()
    lasting = replace(consent, signed_on=date(2020, 1, 1), expires_on=date(2090, 1, 1))
    version = scan_session.faces.reader.version
    submission = Submission(
        "Mina Held", lasting, prototypes_of(5, version.dimension), version, [PHOTO], 2, "sam"
    )
    identity = scan_session.vault.enrolments.submit(submission, now)
    scan_session.vault.enrolments.approve(identity.identity_id, "olga", proof(), now)
    scan_session.close()
    return identity.identity_id


@pytest.fixture
def hub(settings: Settings, consent: Consent, judged: list[SamplingRequest]) -> Iterator[Hub]:
    enrol(settings, consent)
    opened = Hub(settings)
    yield opened
    opened.close()


def action(scan: dict[str, Any]) -> tuple[str, str]:
    return scan["verdict"]["outcome"], scan["verdict"]["action"]


class TestMemory:
    """A known answer holds only for what was asked."""

    def test_bytes_sent_without_their_trigger_first_are_blocked_with_it(self, hub: Hub) -> None:
        assert action(hub.ended(hub.send())) == ("clear", "allow")
        again = hub.send({"triggers": [TRIGGER]})
        assert again.status_code == 202
        assert action(hub.ended(again)) == ("match", "block")

    @pytest.mark.parametrize(
        "listing",
        [
            {"triggers": [TRIGGER]},
            {"triggers": ["other person", TRIGGER]},
            {"title": "Vexq portrait"},
            {"base_model": ANOTHER_BASE},
            {"tags": ["woman"]},
            {"minor": True},
        ],
    )
    @pytest.mark.parametrize("by_hash", [False, True])
    def test_whatever_is_said_otherwise_is_looked_at(
        self, hub: Hub, listing: dict[str, Any], *, by_hash: bool
    ) -> None:
        sha256 = hub.ended(hub.send({"triggers": ["spst style"]}))["sha256"]
        again = hub.ask(sha256, listing=listing) if by_hash else hub.send(listing)
        assert again.status_code == 202
        scan = hub.ended(again)
        if listing.get("minor"):
            assert action(scan) == ("failed", "review")
        elif TRIGGER in listing.get("triggers", []):
            assert action(scan) == ("match", "block")

    def test_another_name_may_hold_the_trigger(
        self, hub: Hub, judged: list[SamplingRequest]
    ) -> None:
        hub.ended(hub.send())
        again = hub.send(name="vexq_person.safetensors")
        assert again.status_code == 202
        hub.work()
        assert "vexq" in judged[-1].candidates

    def test_the_same_question_is_answered_at_once_and_nothing_is_sampled_again(
        self, hub: Hub, judged: list[SamplingRequest]
    ) -> None:
        listing = {"triggers": ["spst style"], "title": "Sepia"}
        first = hub.ended(hub.send(listing))
        for who in ("gate", "other"):
            again = hub.send(listing, who=who)
            assert (again.status_code, again.json()["verdict"]["outcome"]) == (200, "clear")
            assert again.json()["verdict"]["findings"] == first["verdict"]["findings"]
        assert len(judged) == 1

    def test_who_was_found_once_is_found_by_whoever_asks_less(
        self, hub: Hub, judged: list[SamplingRequest]
    ) -> None:
        hub.ended(hub.send({"triggers": [TRIGGER], "title": "mine"}))
        for listing in (
            None,
            {},
            {"triggers": ["spst style"]},
            {"triggers": ["other person"], "base_model": ANOTHER_BASE},
        ):
            for who in ("gate", "other"):
                scan = hub.ended(hub.send(listing, who=who, name="b.safetensors"), who=who)
                assert action(scan)[1] == "block", listing
                assert scan["verdict"]["findings"][0]["file"] == "b.safetensors"
                assert who == "gate" or TRIGGER not in json.dumps(scan)
        assert [task.triggers for task in judged].count((TRIGGER,)) == 1

    def test_a_verdict_says_for_what_it_holds(self, hub: Hub) -> None:
        sha256 = hub.ended(hub.send({"triggers": ["spst style"]}))["sha256"]
        told = hub.verdict(sha256).json()
        [finding] = told["findings"]
        assert (told["outcome"], finding["asked"]["triggers"], finding["asked"]["words_tried"]) == (
            "clear",
            ["spst style"],
            [],
        )
        assert finding["asked"]["base_model"].startswith("Miniature")
        hub.ended(hub.send({"triggers": [TRIGGER]}))
        hub.ended(hub.send({"triggers": ["third style"]}))
        assert hub.verdict(sha256).json()["outcome"] == "match"

    def test_a_folder_and_a_crawled_listing_are_asked_their_own_words(
        self, settings: Settings, consent: Consent, judged: list[SamplingRequest], tmp_path: Path
    ) -> None:
        enrol(settings, consent)
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a.safetensors").write_bytes(BYTES)
        scan_session = open_session(settings)
        [row] = run_scan(scan_session, [str(folder)], Silent()).to_json_rows()
        assert (row["outcome"], row["asked"]["triggers"]) == ("clear", [])
        file = RemoteFile("a.safetensors", str(folder / "a.safetensors"))
        listing = bare_listing("folder", "1", "a", "https://hub.example/1", file)
        for triggers, outcome in (((), "clear"), ((TRIGGER,), "match"), ((), "match")):
            [row] = scan_listings(
                scan_session,
                f"t {triggers} {outcome}",
                [replace(listing, triggers=triggers)],
                Silent(),
            ).to_json_rows()
            assert (row["outcome"], row["asked"]["triggers"]) == (outcome, list(triggers))
        scan_session.close()

    def test_a_listing_that_changed_is_judged_again_by_a_scan_that_goes_on(
        self, settings: Settings, consent: Consent, judged: list[SamplingRequest], tmp_path: Path
    ) -> None:
        """A hub with a gap is scanned again under the same scan."""
        from crawlers.errors import ListingIncomplete

        enrol(settings, consent)
        (tmp_path / "a.safetensors").write_bytes(BYTES)
        file = RemoteFile("a.safetensors", str(tmp_path / "a.safetensors"))
        listing = bare_listing("folder", "1", "a", "https://hub.example/1", file)
        scan_session = open_session(settings)

        def listed(*triggers: str, downloads: int = 1) -> Any:
            yield replace(listing, triggers=triggers, downloads=downloads)
            raise ListingIncomplete("the second page is missing")

        for given, outcome, times in (((), "clear", 1), ((), "clear", 1), ((TRIGGER,), "match", 2)):
            result = scan_listings(scan_session, "hub", listed(*given, downloads=times), Silent())
            assert ([row["outcome"] for row in result.to_json_rows()], len(judged)) == (
                [outcome],
                times,
            )
        scan_session.close()

    def test_what_a_name_makes_of_bytes_is_not_remembered_of_the_bytes(
        self, settings: Settings, consent: Consent, judged: list[SamplingRequest], tmp_path: Path
    ) -> None:
        enrol(settings, consent)
        (tmp_path / "a.json").write_bytes(BYTES)
        scan_session = open_session(settings)
        file = RemoteFile("a.json", str(tmp_path / "a.json"))
        scan_listings(
            scan_session,
            "as json",
            [bare_listing("folder", "1", "a", "https://hub.example/1", file)],
            Silent(),
        )
        (tmp_path / "a.safetensors").write_bytes(BYTES)
        assert (
            scan_session.scan_store.known_triage(
                str(triage_file(tmp_path / "a.safetensors").sha256)
            )
            is None
        )
        scan_session.close()

    def test_verdicts_kept_by_an_older_version_answer_their_own_questions(
        self, tmp_path: Path
    ) -> None:
        scan_store = ScanStore(tmp_path / "scans.db")
        key = Key({"words": "these"})
        scan_store.remember_verdict("ab" * 32, key, VerdictRecord("match"), NOON)
        assert scan_store.known_verdict("ab" * 32, key.digest) is not None
        assert scan_store.other_verdicts("ab" * 32, "fingerprint") == []
        scan_store.close()


class TestLicences:
    """Declaring an uploader does not prove to be them."""

    @pytest.fixture
    def licensed(self, hub: Hub) -> Hub:
        service = open_service(hub.settings)
        hub_name = hub.settings.web.hub_name
        for value in (f"{hub_name}:friend", "url:friend", "civitai:friend"):
            service.vault.licences.grant(
                "Mina Held",
                LicenceKind.UPLOADER,
                value,
                date(2089, 1, 1),
                note="",
                actor="olga",
                now=service.clock(),
            )
        service.close()
        return hub

    @pytest.mark.parametrize("creator", ["friend", "FRIEND", " friend"])
    def test_a_declared_uploader_is_under_no_licence(self, licensed: Hub, creator: str) -> None:
        scan = licensed.ended(
            licensed.send(
                {
                    "triggers": [TRIGGER],
                    "creator": creator,
                    "id": "1",
                    "url": "https://civitai.com/1",
                }
            )
        )
        assert action(scan) == ("match", "block")
        assert scan["verdict"]["findings"][0]["case_id"]

    def test_nor_where_the_file_is_crawled_and_asked_about_by_its_hash(
        self, licensed: Hub, tmp_path: Path
    ) -> None:
        sha256 = crawled(licensed, tmp_path, creator="stranger")
        scan = licensed.ended(licensed.ask(sha256, listing={"creator": "friend"}))
        assert action(scan) == ("match", "block")

    def test_a_crawled_uploader_is(self, licensed: Hub, tmp_path: Path) -> None:
        sha256 = crawled(licensed, tmp_path, creator="friend")
        scan = licensed.ended(licensed.ask(sha256))
        assert action(scan) == ("clear", "allow")

    def test_what_is_allowed_is_told_without_saying_whom_it_shows(self, hub: Hub) -> None:
        plain = hub.ended(
            hub.send({"triggers": ["spst style"]}, data=bare(ADAPTERS / "neon_style.safetensors"))
        )
        service = open_service(hub.settings)
        sha256 = sha256_of(BYTES)
        service.vault.licences.grant(
            "Mina Held",
            LicenceKind.MODEL,
            sha256,
            date(2089, 1, 1),
            note="",
            actor="olga",
            now=service.clock(),
        )
        scan = hub.ended(hub.send({"triggers": [TRIGGER]}))
        assert action(scan) == ("clear", "allow")
        told = json.dumps(without_asked(scan)).lower()
        assert all(word not in told for word in ("licence", "mina", "0.8", "2089"))
        assert without_asked(scan) == without_asked(plain)
        named = hub.ended(
            hub.send({"triggers": [TRIGGER]}), scopes=(Scope.SCANS_READ, Scope.NAMES_READ)
        )
        assert "licence" in named["verdict"]["findings"][0]["authorised"]
        found = [
            one for one in service.vault.audit.entries() if one.event == "authorised-use-found"
        ]
        assert found
        assert found[0].details["checkpoint"] == sha256
        service.close()

    def test_a_word_for_one_upload_is_none_for_the_next(self, hub: Hub) -> None:
        declared = {
            "triggers": [TRIGGER],
            "creator": "friend",
            "id": "7",
            "url": "https://hub.example/7",
        }
        first = hub.ended(hub.send(declared))["verdict"]["findings"][0]
        service = open_service(hub.settings)
        service.review(first["case_id"], "Li Na", "authorised", "their agency wrote")
        service.close()
        assert action(hub.ended(hub.send(declared, who="thief"), who="thief")) == ("match", "block")


def crawled(hub: Hub, folder: Path, **said: Any) -> str:
    """A public listing of the bytes in crawl.db; the store of checkpoints has the file."""
    sha256 = sha256_of(BYTES)
    scan_session = open_session(hub.settings)
    file = RemoteFile("a.safetensors", "https://civitai.invalid/a", len(BYTES), sha256)
    listing = replace(
        bare_listing("civitai", "5", "a", "https://civitai.com/5", file),
        triggers=(TRIGGER,),
        **said,
    )
    scan_session.crawl.record(listing, scan_session.clock())
    path = folder / "crawled"
    path.write_bytes(BYTES)
    scan_session.acquisition.checkpoints.adopt(path, sha256, "a")
    scan_session.close()
    return sha256


def sha256_of(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def without_times(text: str) -> str:
    """Remove every time, whose seconds can have the digits of a score."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", "", text)


def without_asked(scan: dict[str, Any]) -> dict[str, Any]:
    verdict = scan["verdict"]
    return {
        **verdict,
        "findings": [
            {name: value for name, value in one.items() if name not in ("asked", "sha256")}
            for one in verdict["findings"]
        ],
    }


class TestScores:
    """Only findings have scores, unless the caller may know whom a file shows."""

    def test_what_is_no_finding_has_no_number(self, hub: Hub) -> None:
        scan = hub.ended(hub.send())
        [finding] = scan["verdict"]["findings"]
        assert action(scan) == ("clear", "allow")
        assert [finding[name] for name in ("score", "threshold", "lift", "samples")] == [None] * 4
        assert not any(sign.isdigit() for sign in finding["reason"])
        places = (
            f"/api/v1/scans/{scan['job_id']}",
            f"/api/v1/scans/{scan['job_id']}/events",
            "/api/v1/scans",
            f"/api/v1/verdicts/{scan['sha256']}",
        )
        for place in places:
            answer = hub.client.get(place, headers=hub.headers())
            assert answer.status_code == 200
            assert "0.38" not in without_times(answer.text), place
            assert "scores" not in answer.text, place
        named = hub.ended(hub.send(), scopes=(Scope.SCANS_READ, Scope.NAMES_READ))["verdict"][
            "findings"
        ][0]
        assert (named["score"], named["samples"]) == (0.3826, 8)

    def test_nor_has_a_webhook(
        self, settings: Settings, consent: Consent, judged: list[SamplingRequest]
    ) -> None:
        from pydantic import SecretStr

        more = settings.model_copy(
            update={"webhook_secret": SecretStr("s"), "allowed_hosts": ("hook.example",)}
        )
        enrol(more, consent)
        hub = Hub(more)
        place, form = "/api/v1/scans", {"webhook": "https://hook.example/x"}
        hub.client.post(
            place, files={"file": ("a.safetensors", BYTES)}, data=form, headers=hub.headers()
        )
        hub.work()
        [body] = [row["body"] for row in hub.worker.store.db.table("messages").rows]
        assert '"outcome"' in str(body)
        assert "0.38" not in without_times(str(body))
        hub.close()

    def test_a_rejected_case_has_none_either(self, hub: Hub) -> None:
        scan = hub.ended(hub.send({"triggers": [TRIGGER]}))
        [finding] = scan["verdict"]["findings"]
        assert finding["score"] == 0.8
        service = open_service(hub.settings)
        service.review(finding["case_id"], "Li Na", "reject", "somebody else")
        service.close()
        told = hub.client.get(f"/api/v1/scans/{scan['job_id']}", headers=hub.headers()).json()
        [after] = told["verdict"]["findings"]
        assert (after["outcome"], after["case_status"], after["score"], after["samples"]) == (
            "clear",
            "rejected",
            None,
            None,
        )
        place = f"/api/v1/cases/{finding['case_id']}"
        assert (
            hub.client.get(place, headers=hub.headers("gate", Scope.CASES_READ)).json()["score"]
            is None
        )
        named = hub.headers("gate", Scope.CASES_READ, Scope.NAMES_READ)
        assert hub.client.get(place, headers=named).json()["score"] == 0.8

    def test_who_has_withdrawn_is_not_told_of(self, hub: Hub) -> None:
        hub.ended(hub.send({"triggers": [TRIGGER]}))
        service = open_service(hub.settings)
        service.vault.erasure.withdraw("Mina Held", service.clock(), "olga")
        service.close()
        scan = hub.ended(hub.send({"triggers": [TRIGGER]}))
        assert "withdrawn" not in json.dumps(scan)

    def test_names_cannot_be_tried_one_after_another(
        self, settings: Settings, consent: Consent, judged: list[SamplingRequest]
    ) -> None:
        from face_index.consent import Signatory

        scan_session = open_session(settings)
        guardian = replace(
            consent,
            signatory=Signatory.GUARDIAN,
            document_sha256="ef" * 32,
            signed_on=date(2020, 1, 1),
            expires_on=date(2090, 1, 1),
        )
        version = scan_session.faces.reader.version
        born = date(scan_session.clock().year - 9, 3, 4)
        one = Submission(
            "Kit Young",
            guardian,
            prototypes_of(6, version.dimension),
            version,
            [PHOTO],
            2,
            "sam",
            born_on=born,
        )
        identity = scan_session.vault.enrolments.submit(one, scan_session.clock())
        scan_session.vault.enrolments.approve(
            identity.identity_id, "olga", proof(), scan_session.clock()
        )
        scan_session.close()
        hub = Hub(settings)
        scan = hub.ended(hub.send({"title": "Kit Young"}))
        assert action(scan) == ("inconclusive", "review")
        assert "minor" not in json.dumps(scan["verdict"])
        assert "registered" not in json.dumps(scan["verdict"])
        hub.close()


class TestOthersFiles:
    """By hash an account may ask about what it sent and what everybody can see."""

    def test_anothers_upload_is_as_unknown_as_any_bytes(self, hub: Hub) -> None:
        sha256 = hub.ended(hub.send({"triggers": [TRIGGER]}))["sha256"]
        told = {}
        for asked in (sha256, "ab" * 32):
            known = hub.verdict(asked, who="thief")
            scan = hub.ended(hub.ask(asked, who="thief"), who="thief")
            declared = hub.ended(
                hub.ask(asked, who="thief", listing={"triggers": [TRIGGER]}), who="thief"
            )
            told[asked] = [
                known.status_code,
                known.json(),
                *(
                    {
                        **one,
                        "job_id": "",
                        "url": "",
                        "created_at": "",
                        "started_at": "",
                        "finished_at": "",
                    }
                    for one in (scan, declared)
                ),
            ]
        assert json.dumps(told[sha256]).replace(sha256, "X") == json.dumps(told["ab" * 32]).replace(
            "ab" * 32, "X"
        )
        assert told[sha256][0] == 404
        assert told[sha256][2]["state"] == "failed"

    def test_having_asked_is_not_having_sent(self, hub: Hub) -> None:
        sha256 = hub.ended(hub.send({"triggers": [TRIGGER]}))["sha256"]
        for _ in range(2):
            assert hub.ended(hub.ask(sha256, who="thief"), who="thief")["state"] == "failed"
            assert hub.verdict(sha256, who="thief").status_code == 404

    def test_ones_own_and_what_is_crawled_are_answered(self, hub: Hub, tmp_path: Path) -> None:
        sha256 = hub.ended(hub.send({"triggers": [TRIGGER]}))["sha256"]
        assert hub.verdict(sha256).json()["outcome"] == "match"
        assert hub.ask(sha256).json()["verdict"]["action"] == "block"
        assert crawled(hub, tmp_path) == sha256
        assert hub.verdict(sha256, who="thief").json()["outcome"] == "match"
        assert hub.ask(sha256, who="thief").json()["verdict"]["action"] == "block"

    def test_a_clear_upload_of_anothers_is_not_told_of_a_crawled_file(
        self, hub: Hub, tmp_path: Path
    ) -> None:
        sha256 = hub.ended(hub.send({"triggers": ["spst style"]}))["sha256"]
        crawled(hub, tmp_path)
        assert hub.verdict(sha256, who="thief").status_code == 404
        scan = hub.ended(
            hub.ask(sha256, who="thief"), who="thief"
        )  # with the words of the public listing
        assert action(scan) == ("match", "block")
