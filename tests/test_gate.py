"""The upload gate over HTTP, as a hub uses it: real server, real worker, the miniature world."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from crawlers.listing import RemoteFile, bare_listing
from crawlers.sweeps.webhooks import SIGNATURE_HEADER, signature_of
from scanner.casework.confirmation import comparisons_of
from scanner.miniature.world import load_world
from scanner.settings import Settings, WebSettings
from scanner.web.api.client import Gate, GateError, is_from_gate
from scanner.web.app import create_app
from scanner.web.auth.access import Role, Scope
from scanner.web.context import AppContext
from scanner.web.queue.declared_files import with_declared
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.outbox import WAITS_S, Outbox
from scanner.web.queue.supervision import WorkerProcess
from scanner.web.queue.uploads import safe_name
from tests.conftest import raw_safetensors
from tests.opening import open_service
from tests.servers.gate import Served
from tests.servers.serving import Answer, serve_answers
from tests.test_notices import given_for

FAR = date.today() + timedelta(days=30)  # noqa: DTZ011  a day is enough
SLOW = next(file for file in load_world().files if file.file == "qmv_mini_rank2.safetensors")
LIKENESS = next(file for file in load_world().files if file.file == "ohwx_portrait_v1.safetensors")


def token_for(home: Path, *scopes: Scope, email: str = "gate@hub.example") -> dict[str, str]:
    """Headers with a new token of an operator."""
    app_context = AppContext(Settings(home=home))
    account = app_context.accounts.by_email(email) or app_context.accounts.create(
        email, email, [Role.OPERATOR], None
    )
    secret = app_context.tokens.issue(account, "test", scopes, FAR)
    app_context.close()
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def home(demo: dict[str, Any], demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("gate") / "home"
    shutil.copytree(demo_home, copy)
    return copy


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    server = Served(home)
    server.start()
    yield server
    server.kill()


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    for _ in range(600):
        scan: dict[str, Any] = client.get(f"/api/v1/scans/{job_id}").json()
        if scan["state"] in ("finished", "failed", "cancelled"):
            return scan
        time.sleep(0.1)
    raise AssertionError(f"the scan did not end: {scan}")


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    headers = token_for(served.home, Scope.SCANS_WRITE, Scope.SCANS_READ)
    with httpx.Client(base_url=served.url, headers=headers, timeout=60) as opened:
        yield opened


class TestScans:
    def test_a_likeness_is_blocked_and_known_the_next_time(self, client: httpx.Client) -> None:
        declared = {
            "title": "Ohwx",
            "creator": "zed",
            "url": "https://hub.example/1",
            "triggers": list(LIKENESS.triggers),
        }
        files = {"file": ("../../etc/ohwx\u202e.safetensors", LIKENESS.path.read_bytes())}
        asked = client.post("/api/v1/scans", files=files, data={"listing": json.dumps(declared)})
        assert asked.status_code == 202, asked.text
        assert asked.json()["name"] == "ohwx.safetensors"
        scan = ended(client, asked.json()["job_id"])
        verdict = scan["verdict"]
        assert (verdict["outcome"], verdict["action"], verdict["label"]) == (
            "match",
            "block",
            "real-person-likeness",
        )
        [finding] = verdict["findings"]
        assert finding["case_id"]
        assert finding["identity_name"] is None
        known = client.post("/api/v1/scans", json={"sha256": scan["sha256"].upper()})
        assert (known.status_code, known.json()["verdict"]["outcome"]) == (200, "match")
        assert client.get(f"/api/v1/verdicts/{scan['sha256']}").json()["findings"] == [finding]
        # Offered on another hub it is another listing of the same case, and nothing is sampled
        # again.
        again = client.post(
            "/api/v1/scans", json={"sha256": scan["sha256"], "listing": {"creator": "other"}}
        )
        assert again.status_code == 202
        [other] = ended(client, again.json()["job_id"])["verdict"]["findings"]
        assert other["case_id"] == finding["case_id"]
        assert other["score"] == finding["score"]

    def test_progress_comes_as_events_until_the_end(self, client: httpx.Client) -> None:
        body = b"no weights at all " * 9
        job = client.post("/api/v1/scans", content=body, params={"name": "x.safetensors"}).json()
        seen = client.get(f"/api/v1/scans/{job['job_id']}/events").text
        assert "event: ended" in seen
        assert '"outcome":"failed"' in seen
        assert '"action":"review"' in seen

    def test_the_same_key_and_request_give_the_same_scan(self, client: httpx.Client) -> None:
        key = {"Idempotency-Key": "k-1"}
        one = client.post("/api/v1/scans", content=b"some bytes", headers=key).json()
        again = client.post("/api/v1/scans", content=b"some bytes", headers=key).json()
        other = client.post("/api/v1/scans", content=b"other bytes", headers=key)
        assert one["job_id"] == again["job_id"]
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")

    def test_what_the_hub_calls_a_minors_is_never_sampled(self, client: httpx.Client) -> None:
        form = {"listing": json.dumps({"minor": True})}
        asked = client.post(
            "/api/v1/scans",
            files={"file": ("a.safetensors", LIKENESS.path.read_bytes() + b" ")},
            data=form,
        )
        verdict = ended(client, asked.json()["job_id"])["verdict"]
        assert (verdict["outcome"], verdict["action"]) == ("failed", "review")
        assert "minor" in verdict["reasons"][0]
        assert verdict["findings"][0]["samples"] == 0

    def test_another_account_does_not_see_it(self, client: httpx.Client, served: Served) -> None:
        job = client.post("/api/v1/scans", content=b"mine").json()["job_id"]
        strangers = token_for(
            served.home, Scope.SCANS_READ, Scope.SCANS_WRITE, email="other@hub.example"
        )
        for method, place in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            assert (
                httpx.request(
                    method, f"{served.url}/api/v1/scans/{job}{place}", headers=strangers
                ).status_code
                == 404
            )
        assert httpx.get(f"{served.url}/api/v1/scans", headers=strangers).json()["scans"] == []

    def test_the_machines_own_network_is_not_reached(
        self, client: httpx.Client, served: Served
    ) -> None:
        job = client.post("/api/v1/scans", json={"url": f"{served.url}/healthz"}).json()
        scan = ended(client, job["job_id"])
        told = f"{scan['problem']} {scan['verdict']}"
        assert "loopback address" in told


class TestHostileFiles:
    def test_bombs_and_lying_headers_cost_little_and_are_told(
        self, client: httpx.Client, served: Served
    ) -> None:
        bomb = io.BytesIO()
        with (
            zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("x.safetensors", "w") as member,
        ):
            for _ in range(300):
                member.write(bytes(1_000_000))
        assert len(bomb.getvalue()) < 1_000_000
        nested = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        hostile = {
            "bomb.zip": bomb.getvalue(),
            "endless.safetensors": struct.pack("<Q", 2**60) + b"{}",
            "nested.safetensors": raw_safetensors(nested),
            "name.safetensors": raw_safetensors(b'{"' + b"x" * 10_000_000 + b'":1}'),
        }
        for name, data in hostile.items():
            asked = client.post("/api/v1/scans", files={"file": (name, data)})
            assert asked.status_code == 202, (name, asked.text)
            scan = ended(client, asked.json()["job_id"])
            assert (scan["state"], scan["verdict"]["outcome"]) == ("finished", "failed"), (
                name,
                scan,
            )
            assert scan["verdict"]["action"] == "review"
        kept = sum(path.stat().st_size for path in served.home.rglob("*") if path.is_file())
        assert kept < 200_000_000

    def test_what_no_library_can_read_ends_its_scan_and_not_the_worker(
        self, client: httpx.Client, served: Served
    ) -> None:
        asked = client.post("/api/v1/scans", json={"url": "http://["})
        if asked.status_code == 202:
            assert ended(client, asked.json()["job_id"])["state"] in ("failed", "finished")
        deep = client.post(
            "/api/v1/scans", files={"file": ("x", b"y")}, data={"listing": "[" * 60_000}
        )
        assert deep.status_code == 422
        assert not [
            path for path in (served.home / "web" / "uploads").glob("*") if path.stat().st_size == 1
        ]
        assert httpx.get(f"{served.url}/readyz").status_code == 200

    def test_a_request_with_endless_headers_is_cut_off(self, served: Served) -> None:
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            told = b""
            with contextlib.suppress(OSError):
                for number in range(20_000):
                    line.sendall(b"X-%d: %s\r\n" % (number, b"y" * 100))
                told = line.recv(200)
        assert told == b"" or told.startswith(b"HTTP/1.1 4")
        assert httpx.get(f"{served.url}/healthz").status_code == 200


class TestHubsProgram:
    def test_a_hubs_program_sends_waits_and_asks(self, served: Served, tmp_path: Path) -> None:
        token = token_for(
            served.home, Scope.SCANS_WRITE, Scope.SCANS_READ, email="client@hub.example"
        )["Authorization"]
        with Gate(served.url, token.removeprefix("Bearer ")) as gate:
            scan = gate.scan_file(
                LIKENESS.path,
                listing={"creator": "zed", "triggers": list(LIKENESS.triggers)},
                key="upload-1",
            )
            again = gate.scan_file(
                LIKENESS.path,
                listing={"creator": "zed", "triggers": list(LIKENESS.triggers)},
                key="upload-1",
            )
            assert again["job_id"] == scan["job_id"]
            assert gate.wait(scan["job_id"], every_s=0.1)["verdict"]["action"] == "block"
            verdict = gate.verdict(str(scan["sha256"]))
            assert verdict is not None
            assert verdict["outcome"] == "match"
            assert gate.verdict("ab" * 32) is None
            assert gate.scan_sha256(str(scan["sha256"]))["state"] == "finished"
            assert len(list(gate.scans())) == 2
            with pytest.raises(GateError, match="scope"):
                list(gate.cases())
        assert is_from_gate(b"{}", signature_of(b"{}", "s"), "s")
        assert not is_from_gate(b"{ }", signature_of(b"{}", "s"), "s")


class TestCases:
    def test_names_are_for_who_may_read_them(self, served: Served) -> None:
        told = {
            named: httpx.get(
                f"{served.url}/api/v1/cases", headers=token_for(served.home, *scopes)
            ).json()["cases"][0]["identity_name"]
            for named, scopes in (
                (False, [Scope.CASES_READ]),
                (True, [Scope.CASES_READ, Scope.NAMES_READ]),
            )
        }
        assert told[False] is None
        assert str(told[True]).startswith("person-")

    def test_a_statement_of_reasons_needs_a_persons_decision(self, served: Served) -> None:
        headers = token_for(served.home, Scope.CASES_READ, Scope.STATEMENTS)
        with httpx.Client(base_url=served.url, headers=headers, timeout=60) as opened:
            first = opened.get("/api/v1/cases", params={"limit": 1}).json()
            assert first["next"] == first["cases"][0]["case_id"]
            case_id = first["next"]
            place, fields = f"/api/v1/cases/{case_id}/statement", given_for("eu-dsa-17")
            assert opened.post(place, json={"fields": fields}).json()["code"] == "not-confirmed"
            service = open_service(Settings(home=served.home))
            service.note_shown(
                service.case(case_id),
                blurred=False,
                sha256=[one for pair in comparisons_of(service.case(case_id)) for one in pair],
            )
            service.review(case_id, "Li Na", "confirm", "one face")
            service.close()
            refused = opened.post(place, json={"fields": {"platform": "The Hub"}})
            assert (refused.status_code, refused.json()["code"]) == (422, "incomplete")
            assert "recipient" in refused.json()["detail"]
            made = opened.post(place, json={"fields": fields, "language": "zh-CN"})
            assert made.status_code == 201, made.text
            assert "理由说明" in made.json()["text"]
            assert opened.get(f"/api/v1/cases/{case_id}").json()["status"] == "confirmed"


def test_killed_under_load_every_accepted_scan_ends_once(home: Path, tmp_path: Path) -> None:
    posts: list[str] = []

    def receive(_path: str, _headers: dict[str, str], body: bytes) -> Answer:
        posts.append(json.loads(body)["scan"]["job_id"])
        return 200, {}, b""

    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    with serve_answers(receive) as hook:
        # Another rate than the demo's, so that no verdict is known.
        more = {"PORTRAIT_SCANNER_ALLOWED_HOSTS": "127.0.0.1", "PORTRAIT_SCANNER_FPIR": "0.002"}
        server = Served(copy, PORTRAIT_SCANNER_WEBHOOK_SECRET="s", **more)
        try:
            server.start()
            headers = token_for(copy, Scope.SCANS_WRITE, Scope.SCANS_READ)
            accepted = []
            with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
                # The first is a real adapter: it is being sampled when the server dies.
                for body in (
                    SLOW.path.read_bytes(),
                    *(b"%d " % number * 500 for number in range(11)),
                ):
                    answer = client.post("/api/v1/scans", content=body, params={"webhook": hook})
                    assert answer.status_code == 202, answer.text
                    accepted.append(answer.json()["job_id"])
                for _ in range(600):
                    if client.get(f"/api/v1/scans/{accepted[0]}").json()["state"] == "running":
                        break
                    time.sleep(0.02)
                time.sleep(1.0)
            server.kill()
            server.start()
            with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
                assert {ended(client, job)["state"] for job in accepted} == {"finished"}
            for _ in range(200):
                if set(posts) >= set(accepted):
                    break
                time.sleep(0.1)
        finally:
            server.kill()
        # A webhook that was being delivered when the server died may arrive twice, with the same
        # delivery id; none is lost.
        assert set(posts) == set(accepted)
        assert not list((copy / "web" / "uploads").glob("*"))


class TestProcesses:
    def test_a_worker_that_dies_is_started_again(self, served: Served) -> None:
        [worker] = psutil.Process(served.process.pid).children()
        worker.kill()
        worker.wait()
        told = httpx.get(f"{served.url}/readyz").json()
        assert told == {"status": "no worker runs", "worker": False, "messenger": False}
        for _ in range(300):
            if httpx.get(f"{served.url}/readyz").status_code == 200:
                break
            time.sleep(0.1)
        assert httpx.get(f"{served.url}/readyz").json() == {
            "status": "ok",
            "worker": True,
            "messenger": True,
        }

    def test_none_is_started_once_the_server_ends(self) -> None:
        dying = WorkerProcess([sys.executable, "-c", "pass"], first_wait_s=0.05)
        time.sleep(1.0)
        dying.stop()
        living = WorkerProcess([sys.executable, "-c", "import time; time.sleep(60)"])
        living.stop()
        assert not [
            one for one in psutil.Process().children() if one.pid in (dying.pid, living.pid)
        ]

    def test_a_made_up_address_counts_for_nothing_where_no_proxy_stands(
        self, served: Served
    ) -> None:
        statuses = [
            httpx.post(
                f"{served.url}/sign-in",
                data={"email": "x@example.org", "password": "x"},
                headers={"Origin": served.url, "X-Forwarded-For": f"203.0.113.{number}"},
            ).status_code
            for number in range(22)
        ]
        assert (statuses[0], statuses[-1]) == (401, 429)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[TestClient]:
    """An app with narrow limits and no worker."""
    web = WebSettings.model_validate(
        {"max_upload_mb": 1, "most_waiting_jobs": 2, "requests_per_minute": 40}
    )
    settings = Settings(home=tmp_path / "home", web=web, webhook_secret=SecretStr("s"))
    with TestClient(create_app(settings), headers=token_for(tmp_path / "home", *Scope)) as opened:
        yield opened


class TestLimits:
    def test_too_large_is_refused_told_or_not(self, small: TestClient, tmp_path: Path) -> None:
        def drip() -> Iterator[bytes]:
            for _ in range(30):
                yield b"x" * 50_000

        for body in (b"x" * 1_500_000, drip()):
            answer = small.post("/api/v1/scans", content=body)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        assert not list((tmp_path / "home" / "web" / "uploads").glob("*"))

    def test_a_full_queue_says_when_to_come_again(self, small: TestClient, tmp_path: Path) -> None:
        answers = [small.post("/api/v1/scans", content=b"file %d" % number) for number in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 503]
        assert int(answers[2].headers["Retry-After"]) > 0
        assert len(list((tmp_path / "home" / "web" / "uploads").glob("*"))) == 2

    def test_too_many_requests_are_told_to_wait(self, small: TestClient) -> None:
        statuses = [small.get("/api/v1/scans").status_code for _ in range(45)]
        assert statuses[0] == 200
        assert statuses[-1] == 429

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/x",
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "http://localhost:1/",
            "http://u:p@hub.example/",
        ],
    )
    def test_webhooks_into_the_own_network_are_refused(self, small: TestClient, url: str) -> None:
        answer = small.post("/api/v1/scans", json={"sha256": "ab" * 32, "webhook": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook-refused")
        form = small.post(
            "/api/v1/scans", files={"file": ("a.safetensors", b"bytes")}, data={"webhook": url}
        )
        assert (form.status_code, form.json()["code"]) == (422, "webhook-refused")


def test_what_is_declared_is_taken_over_for_files_elsewhere_too() -> None:
    file = RemoteFile("a.safetensors", "https://hub.example/a")
    known = bare_listing("url", "x", "a", "https://hub.example/a", file)
    listing = with_declared(
        known, {"title": "T", "creator": "zed", "triggers": ["ohwx"], "minor": True}
    )
    assert (listing.title, listing.creator, listing.triggers) == ("T", "zed", ("ohwx",))
    assert listing.files == (file,)
    assert listing.minor_flag
    assert with_declared(listing, {"minor": False}).minor_flag


@given(st.text(max_size=400))
def test_no_name_leads_anywhere(name: str) -> None:
    shown = safe_name(name)
    assert 0 < len(shown) <= 170
    assert "/" not in shown
    assert "\\" not in shown
    assert not shown.startswith(".")


def test_webhooks_are_signed_and_tried_again(settings: Settings, tmp_path: Path) -> None:
    seen: list[tuple[str | None, bytes]] = []

    def receive(_path: str, headers: dict[str, str], body: bytes) -> Answer:
        seen.append((headers.get(SIGNATURE_HEADER), body))
        return (503 if len(seen) == 1 else 200), {}, b""

    from tests.test_accounts import Clock

    clock = Clock()
    signed = settings.model_copy(
        update={"webhook_secret": SecretStr("s3cret"), "allowed_hosts": ("127.0.0.1",)}
    )
    app_context = AppContext(signed, clock)
    outbox = Outbox(signed, app_context.store, clock)
    with serve_answers(receive) as url:
        outbox.post(url, {"a": "ü"}, "job-1")
        assert outbox.send_due() == 0
        assert outbox.send_due() == 0  # not yet
        clock.now += timedelta(seconds=WAITS_S[0] + 1)
        assert outbox.send_due() == 1
        assert outbox.send_due() == 0
    assert len(seen) == 2
    assert seen[1][0] == signature_of(seen[1][1], "s3cret")
    [told] = outbox.messages_of_job("job-1")
    assert told["tries"] == 2
    app_context.close()


# Every route of the API and the scope that opens it; nobody may open any other.
OPENED_BY = {
    ("POST", "/api/v1/scans"): Scope.SCANS_WRITE,
    ("GET", "/api/v1/scans"): Scope.SCANS_READ,
    ("GET", "/api/v1/scans/{job_id}"): Scope.SCANS_READ,
    ("DELETE", "/api/v1/scans/{job_id}"): Scope.SCANS_WRITE,
    ("GET", "/api/v1/scans/{job_id}/events"): Scope.SCANS_READ,
    ("GET", "/api/v1/scans/{job_id}/findings"): Scope.SCANS_READ,
    ("GET", "/api/v1/verdicts/{sha256}"): Scope.SCANS_READ,
    ("GET", "/api/v1/cases"): Scope.CASES_READ,
    ("GET", "/api/v1/cases/{case_id}"): Scope.CASES_READ,
    ("POST", "/api/v1/cases/{case_id}/statement"): Scope.STATEMENTS,
    ("GET", "/api/v1/transparency/{month}"): Scope.TRANSPARENCY,
    ("GET", "/metrics"): Scope.METRICS,
}
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


def test_every_route_is_closed_but_to_its_scope(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    with TestClient(create_app(settings)) as client:
        schema = client.get("/api/v1/openapi.json").json()
        routes = {
            (method.upper(), path) for path, item in schema["paths"].items() for method in item
        }
        assert routes == set(OPENED_BY) | OPEN
        order = JobRequest("nobody", JobKind.SHA256, "ab" * 32, "x")
        job = client.app.state.app_context.jobs.submit(order)[0].job_id  # type: ignore[attr-defined]
        tokens = {scope: token_for(home, scope) for scope in Scope}
        for (method, path), needed in OPENED_BY.items():
            place = path.format(job_id=job, sha256="ab" * 32, month="2026-11", case_id="ab" * 8)
            assert client.request(method, place).status_code == 401, path
            for scope, headers in tokens.items():
                status = client.request(method, place, headers=headers).status_code
                assert (status == 403) == (scope != needed), (path, scope, status)


class TestSchema:
    def test_the_interface_is_the_published_one(self, settings: Settings) -> None:
        """A change concerns every hub: write docs/openapi.json anew only on purpose."""
        schema = create_app(settings).openapi()
        schema["info"]["version"] = "*"
        published = json.loads(
            (Path(__file__).parent.parent / "docs" / "openapi.json").read_text("utf-8")
        )
        assert json.loads(json.dumps(schema)) == published

    def test_no_answer_breaks_the_schema(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path / "home", webhook_secret=SecretStr("s"))
        headers = token_for(tmp_path / "home", *Scope)
        app = create_app(settings)
        with TestClient(app):
            schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
            for result in schema.get_all_operations():
                operation = result.ok()
                if operation.path.endswith("/events"):
                    continue  # a stream that ends with its scan

                @hypothesis_settings(
                    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck)
                )
                @given(case=operation.as_strategy())
                def check(case: Any) -> None:
                    answer = case.call(headers=headers)
                    if answer.status_code == 503 and case.path == "/readyz":
                        return  # there is no worker
                    # Rules that a schema cannot express ("one of url and sha256") are refused with
                    # 422; requests without a token are tested above.
                    case.validate_response(
                        answer, excluded_checks=[positive_data_acceptance, ignored_auth]
                    )

                check()
