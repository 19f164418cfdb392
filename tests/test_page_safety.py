"""What pages must refuse.

Strangers, other roles, ids of others, forms of other sites, and markup in listings.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.requests import Request
from starlette.routing import BaseRoute

from face_index.errors import SharedName
from face_index.vault import Submission
from reports.cases.case_store import CaseStore
from scanner.factories import open_scan_session, open_vault
from scanner.miniature.world import ADAPTERS
from scanner.sampling.patches import strip_bytes
from scanner.settings import OpenIdProvider, Settings, WebSettings
from scanner.triage.header import triage_file
from scanner.web.app import create_app
from scanner.web.auth.access import ALLOWED, Permission, Role, Scope
from scanner.web.auth.authentication import local_path
from scanner.web.auth.lockout import FAILURES_UNTIL_LOCKED
from scanner.web.context import AppContext
from scanner.web.dependencies import PermissionCheck, signed_in, started_session
from scanner.web.errors import FormExpired, GateRefused
from scanner.web.forms import _read_multipart, posted, posted_openly, posted_with_files
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.job_row import JobRow
from scanner.web.request_slots import RequestSlots
from scanner.web.views.scans import job_request_of
from tests.conftest import VERSION, prototypes_of
from tests.opening import open_service
from tests.servers.browsing import PASSWORD
from tests.servers.openid import CLIENT, SECRET, serve_provider

HERE = "http://testserver"
OWN = {"Origin": HERE}


class Site:
    """The app of a home, with accounts and browsers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.stranger = TestClient(self.app, base_url=HERE, follow_redirects=False)
        self.stranger.__enter__()

    @property
    def app_context(self) -> AppContext:
        found: AppContext = self.app.state.app_context
        return found

    def account(self, name: str, *roles: Role) -> Any:
        email = f"{name}@example.org"
        return self.app_context.accounts.by_email(email) or self.app_context.accounts.create(
            email, name, roles, PASSWORD
        )

    def browser(self, name: str, *roles: Role, second_factor: bool = True) -> TestClient:
        """A signed-in browser; `csrf` is the form token of its session."""
        secret = self.app_context.sessions.begin(
            self.account(name, *roles), second_factor=second_factor
        )
        client = TestClient(
            self.app,
            base_url=HERE,
            cookies={"session": secret},
            headers=OWN,
            follow_redirects=False,
        )
        session = self.app_context.sessions.session(secret)
        assert session is not None
        client.csrf = session.csrf  # type: ignore[attr-defined]
        return client


@pytest.fixture(scope="module")
def demo_site(
    demo: dict[str, Any], demo_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("safety") / "home"
    shutil.copytree(demo_home, home)
    site = Site(Settings(home=home, face_pack="miniature", device="cpu"))
    yield site
    site.stranger.__exit__(None, None, None)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(Settings(home=tmp_path / "home", face_pack="miniature", device="cpu"))
    yield made
    made.stranger.__exit__(None, None, None)


def routes(app: Any) -> list[APIRoute]:
    """Every page of the app, with those of included routers, which FastAPI 0.165 nests."""
    waiting: list[BaseRoute] = list(app.routes)
    found = []
    while waiting:
        route = waiting.pop(0)
        if isinstance(route, APIRoute):
            found.append(route)
        elif hasattr(route, "original_router"):
            waiting += route.original_router.routes
    pages = [route for route in found if not route.include_in_schema]
    assert len(pages) > 50
    return pages


def checks_of(route: APIRoute) -> set[Any]:
    """Every dependency of a route, with the dependencies of these."""
    found, waiting = set[Any](), list(route.dependant.dependencies)
    while waiting:
        one = waiting.pop()
        found.add(one.call)
        waiting += one.dependencies
    return found


# Pages that need no account, or only a session; every other page requires one of these permissions.
OPEN = {
    ("GET", "/"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/sign-in/openid"),
    ("GET", "/sign-in/openid/back"),
    ("GET", "/invitation/{secret}"),
    ("POST", "/invitation/{secret}"),
    ("GET", "/sign-up"),
    ("POST", "/sign-up"),
    ("GET", "/forgotten"),
    ("POST", "/forgotten"),
}
HALF_SIGNED_IN = {
    ("GET", "/sign-in/code"),
    ("POST", "/sign-in/code"),
    ("POST", "/sign-out"),
    ("GET", "/account/second-factor"),
    ("POST", "/account/second-factor"),
}
OF_EVERYBODY = {
    ("GET", "/account"),
    ("POST", "/account/preferences"),
    ("POST", "/account/password"),
    ("POST", "/account/second-factor/off"),
    ("POST", "/account/recovery-codes"),
    ("POST", "/account/sessions/end"),
    ("POST", "/account/tokens"),
    ("POST", "/account/tokens/revoke"),
    ("POST", "/account/delete"),
}
LETTERS = frozenset({Permission.NOTICES, Permission.STATEMENTS})
BY_PREFIX = {
    "/likeness": {Permission.LIKENESS},
    "/registrations": {Permission.REGISTRATIONS},
    "/accounts": {Permission.ACCOUNTS},
    "/audit": {Permission.AUDIT},
    "/transparency": {Permission.TRANSPARENCY},
    "/notices": LETTERS,
}
ONE_BY_ONE = {
    ("GET", "/cases"): {Permission.CASES_READ},
    ("POST", "/cases/bulk"): {Permission.CASES_DECIDE},
    ("GET", "/cases/{case_id}"): {Permission.CASES_READ},
    ("POST", "/cases/{case_id}/pictures"): {Permission.IMAGES},
    ("POST", "/cases/{case_id}/review"): {Permission.CASES_DECIDE},
    ("POST", "/cases/{case_id}/entries"): {Permission.CASES_DECIDE},
    ("GET", "/cases/{case_id}/report.{kind}"): {Permission.EXPORTS},
    ("POST", "/cases/{case_id}/bundle"): {Permission.EXPORTS},
    ("GET", "/cases/{case_id}/notices/new"): LETTERS,
    ("POST", "/cases/{case_id}/notices"): LETTERS,
    ("GET", "/captures"): {Permission.CASES_READ},
    ("GET", "/captures/{capture_id}"): {Permission.CASES_READ},
    ("POST", "/captures/file"): {Permission.CAPTURES},
    ("POST", "/captures/judge"): {Permission.CAPTURES},
    ("POST", "/captures/{capture_id}/pages/{number}"): {Permission.CAPTURES},
    ("POST", "/captures/{capture_id}/remove"): {Permission.CAPTURES},
    ("POST", "/captures/{capture_id}/release"): {Permission.CASES_DECIDE},
    ("GET", "/held"): {Permission.CASES_DECIDE},
    ("POST", "/held/{key}"): {Permission.CASES_DECIDE},
    ("GET", "/scans"): {Permission.SCANS_READ},
    ("POST", "/scans"): {Permission.SCANS_WRITE},
    ("POST", "/scans/file"): {Permission.SCANS_WRITE},
    ("GET", "/scans/{job_id}"): {Permission.SCANS_READ},
    ("GET", "/scans/{job_id}/results.csv"): {Permission.SCANS_READ},
    ("GET", "/scans/{job_id}/events"): {Permission.SCANS_READ},
    ("POST", "/scans/{job_id}/cancel"): {Permission.SCANS_WRITE},
}


def needed(method: str, path: str) -> frozenset[Permission] | None:
    """The permissions that a page must require; None if everybody may open it."""
    if (method, path) in OPEN | HALF_SIGNED_IN | OF_EVERYBODY:
        return None
    prefix = next((one for one in BY_PREFIX if path == one or path.startswith(f"{one}/")), None)
    return frozenset(ONE_BY_ONE[method, path] if prefix is None else BY_PREFIX[prefix])


class TestAuthorisation:
    def test_every_page_asks_for_what_this_table_says(self, site: Site) -> None:
        for route in routes(site.app):
            for method in route.methods:
                checks = checks_of(route)
                asked = [one for one in checks if isinstance(one, PermissionCheck)]
                wanted = needed(method, route.path)
                told = frozenset(permission for one in asked for permission in one.permissions)
                assert told == (wanted or frozenset()), (method, route.path)
                if (method, route.path) in HALF_SIGNED_IN:
                    assert started_session in checks
                elif (method, route.path) not in OPEN:
                    assert signed_in in checks, (method, route.path)
                if method != "GET" and route.path not in ("/scans/file", "/captures/file"):
                    assert checks & {posted, posted_openly, posted_with_files}, (method, route.path)
                    if wanted is not None:
                        assert checks & {posted, posted_with_files}, (method, route.path)

    def test_every_page_answers_every_role_by_the_table(self, demo_site: Site) -> None:
        """Every page is requested by every role, with ids that do not exist."""
        places = {
            "identity_id": "0" * 32,
            "case_id": "0" * 16,
            "job_id": "0" * 24,
            "account_id": "0" * 32,
            "document_id": "0" * 32,
            "licence_id": "0" * 32,
            "notice_id": "x-1",
            "capture_id": "0" * 64,
            "key": "0" * 16,
            "number": "1",
            "kind": "html",
            "secret": "x",
            "form": "html",
        }
        browsers: dict[Role | None, TestClient] = {
            role: demo_site.browser(str(role), role) for role in Role
        }
        for route in routes(demo_site.app):
            for method in route.methods:
                wanted = needed(method, route.path)
                place = route.path.format(**places)
                if wanted is None:
                    continue
                answer = demo_site.stranger.request(method, place, headers=OWN)
                assert (answer.status_code, answer.headers["location"].split("?")[0]) == (
                    303,
                    "/sign-in",
                ), place
                for role, browser in browsers.items():
                    assert role is not None
                    form = {"csrf": browser.csrf} if method == "POST" else None  # type: ignore[attr-defined]
                    token = {"X-CSRF": browser.csrf}  # type: ignore[attr-defined]
                    status = browser.request(method, place, data=form, headers=token).status_code
                    assert (status == 403) == (not wanted & ALLOWED[role]), (
                        method,
                        place,
                        role,
                        status,
                    )
                    assert status < 500, (method, place, role)

    def test_a_holder_sees_no_one_elses_person_case_picture_or_receipt(
        self, demo_site: Site
    ) -> None:
        vault = open_vault(demo_site.settings)
        mine, other = (
            vault.people.find("person-101").identity_id,
            vault.people.find("person-102").identity_id,
        )
        vault.close()
        case_store = CaseStore(demo_site.settings.cases_path, demo_site.settings.evidence_path)
        [case, *_] = case_store.cases(other)
        case_store.close()
        holder = demo_site.browser("holder", Role.RIGHTS_HOLDER)
        demo_site.app_context.accounts.give_mandate(
            demo_site.account("holder").account_id, mine, "self"
        )
        assert holder.get(f"/likeness/{mine}").status_code == 200
        form = {
            "csrf": holder.csrf,
            "sha256": case.samples[0].image_sha256,
            "agree": "yes",
            "text": "x",
        }  # type: ignore[attr-defined]
        for place in (
            "",
            f"/cases/{case.case_id}",
            "/withdraw",
            "/receipt.json",
            f"/cases/{case.case_id}/report.html",
        ):
            assert holder.get(f"/likeness/{other}{place}").status_code == 404, place
            # Another person's case is not found under one's own id either.
            assert (
                not place.startswith("/cases")
                or holder.get(f"/likeness/{mine}{place}").status_code == 404
            )
        for place in (
            "/withdraw",
            "/consent",
            "/licences",
            f"/cases/{case.case_id}/pictures",
            f"/cases/{case.case_id}/ask",
            f"/cases/{case.case_id}/tell",
            f"/cases/{case.case_id}/bundle",
        ):
            assert holder.post(f"/likeness/{other}{place}", data=form).status_code == 404, place
            assert (
                not place.startswith("/cases")
                or holder.post(f"/likeness/{mine}{place}", data=form).status_code == 404
            )
        vault = open_vault(demo_site.settings)
        assert vault.people.find(other).name == "person-102"
        vault.close()

    def test_staff_cannot_be_without_a_second_factor(self, site: Site) -> None:
        half = site.browser("rita", Role.REVIEWER, second_factor=False)
        for place in ("/cases", "/account", "/scans"):
            assert half.get(place).headers["location"] == "/account/second-factor"
        secret = site.app_context.second_factors.begin(site.account("rita").account_id)
        assert site.app_context.second_factors.confirm(
            site.account("rita").account_id, pyotp.TOTP(secret).now()
        )
        half = site.browser("rita", Role.REVIEWER, second_factor=False)
        assert half.get("/cases").headers["location"] == "/sign-in/code"
        # Nobody can replace a second factor that they have not shown.
        assert half.get("/account/second-factor").headers["location"].startswith("/sign-in")


class TestForms:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://testserver:81"},
            {"Origin": "https://testserver"},
        ],
    )
    def test_another_sites_form_does_nothing(self, site: Site, headers: dict[str, str]) -> None:
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        del browser.headers["Origin"]
        form = {"csrf": browser.csrf, "language": "zh-CN", "notify": "never"}  # type: ignore[attr-defined]
        assert browser.post("/account/preferences", data=form, headers=headers).status_code == 403
        credentials = {"email": "holder@example.org", "password": PASSWORD}
        assert site.stranger.post("/sign-in", data=credentials, headers=headers).status_code == 403
        assert site.account("holder").language == "en"

    @pytest.mark.parametrize("token", ["", "x", "é", None])
    def test_a_form_without_this_sessions_token_does_nothing(
        self, site: Site, token: str | None
    ) -> None:
        browser, other = (
            site.browser("holder", Role.RIGHTS_HOLDER),
            site.browser("other", Role.RIGHTS_HOLDER),
        )
        form = {
            "csrf": other.csrf if token is None else token,
            "language": "zh-CN",
            "notify": "never",
        }  # type: ignore[attr-defined]
        assert browser.post("/account/preferences", data=form).status_code == 403
        assert site.account("holder").language == "en"
        form["csrf"] = browser.csrf  # type: ignore[attr-defined]
        assert browser.post("/account/preferences", data=form).status_code == 303

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/json", b"{}"),
            ("text/plain", b"csrf=x"),
            ("application/x-www-form-urlencoded", b"a=" + b"x" * 200_000),
            ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(2_000))),
            ("application/x-www-form-urlencoded", b"a=\xff\xfe"),
            ("multipart/form-data", b"no boundary"),
            ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ],
    )
    def test_what_is_no_form_of_ours_is_refused(self, site: Site, kind: str, body: bytes) -> None:
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        answer = browser.post("/account/preferences", content=body, headers={"Content-Type": kind})
        assert answer.status_code in (403, 422)

    def test_where_a_sign_in_leads_stays_on_this_site(self) -> None:
        for told in (
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/\r\nSet-Cookie: x=1",
            "",
        ):
            assert local_path(told) == "/"
        assert local_path("/cases?status=all") == "/cases?status=all"


class TestFormsWithFiles:
    def test_only_pages_for_photos_read_them(self, site: Site) -> None:
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        form = {"csrf": browser.csrf, "language": "zh-CN", "notify": "never"}  # type: ignore[attr-defined]
        answer = browser.post("/account/preferences", data=form, files={"photo": b"x" * 1_000_000})
        assert answer.status_code == 422
        assert site.account("holder").language == "en"

    def test_no_file_is_read_before_the_token_came(self) -> None:
        sent = [
            b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n',
            *[b"x" * 100_000] * 64,
        ]
        waiting = iter(sent)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": next(waiting), "more_body": True}

        headers = [(b"content-type", b"multipart/form-data; boundary=x")]
        request = Request({"type": "http", "headers": headers}, receive)
        with pytest.raises(FormExpired):
            asyncio.run(_read_multipart(request, lambda token: token == "right"))
        assert len(list(waiting)) == 64

    def test_the_token_may_come_in_a_header(self, site: Site) -> None:
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        photo = {"photo": ("a.jpg", b"x")}
        assert browser.post("/likeness/new/check", files=photo).status_code == 403
        token = {"X-CSRF": browser.csrf}  # type: ignore[attr-defined]
        assert browser.post("/likeness/new/check", files=photo, headers=token).status_code == 422

    def test_one_sender_holds_two_slots_at_most(self) -> None:
        async def ask() -> list[str]:
            slots, told = RequestSlots(3, wait_s=0.01, per_sender=2), []
            async with slots.acquire("ann"), slots.acquire("ann"):
                for sender in ("ann", "bob"):
                    try:
                        async with slots.acquire(sender):
                            told.append("in")
                    except GateRefused as error:
                        told.append(error.code)
                async with slots.acquire("bob"):
                    try:
                        async with slots.acquire("bob"):
                            told.append("in")
                    except GateRefused as error:
                        told.append(error.code)
            async with slots.acquire("ann"):
                return told

        assert asyncio.run(ask()) == ["busy", "in", "busy"]


class TestAdministrators:
    def test_nobodys_account_is_taken_over_by_an_invitation(self, site: Site) -> None:
        site.account("rita", Role.REVIEWER)
        admin = site.browser("ada", Role.ADMIN)
        form = {"csrf": admin.csrf, "email": "Rita@example.org", "role": "reviewer"}  # type: ignore[attr-defined]
        answer = admin.post("/accounts", data=form)
        assert answer.status_code == 422
        assert "/invitation/" not in answer.text

    def test_open_invitations_are_listed_and_taken_back(self, site: Site) -> None:
        admin = site.browser("ada", Role.ADMIN)
        link = site.app_context.invitations.create("Rita@example.org", [Role.REVIEWER], "ada")
        page = admin.get("/accounts").text
        assert "rita@example.org" in page
        assert link not in page
        form = {"csrf": admin.csrf, "email": "rita@example.org"}  # type: ignore[attr-defined]
        assert admin.post("/accounts/invitations/end", data=form).status_code == 303
        assert "rita@example.org" not in admin.get("/accounts").text
        new = {"name": "Rita", "password": PASSWORD, "again": PASSWORD}
        assert site.stranger.post(f"/invitation/{link}", data=new, headers=OWN).status_code == 410

    def test_what_was_done_to_an_account_is_in_the_log_under_its_id(self, site: Site) -> None:
        rita = site.account("rita", Role.REVIEWER)
        token = site.app_context.tokens.issue(
            rita, "x", [Scope.CASES_READ], site.app_context.clock().date()
        )
        browser, admin = site.browser("rita"), site.browser("ada", Role.ADMIN)
        for change in ("second-factor", "sign-out", "disable", "enable"):
            form = {"csrf": admin.csrf, "change": change}  # type: ignore[attr-defined]
            assert admin.post(f"/accounts/{rita.account_id}/state", data=form).status_code == 303
        assert browser.get("/cases").status_code == 303
        assert site.app_context.tokens.find(token) is None
        link = site.app_context.invitations.create(rita.email, rita.roles, "the person")
        new = {"password": "another set of words", "again": "another set of words"}
        assert site.stranger.post(f"/invitation/{link}", data=new, headers=OWN).status_code == 303
        vault = open_vault(site.settings)
        told = [entry for entry in vault.audit.entries() if entry.event.startswith("account")]
        vault.close()
        assert [entry.event for entry in told] == [
            "account second factor off",
            "account signed out",
            "account disabled",
            "account enabled",
            "account password changed",
        ]
        assert {entry.details["account"] for entry in told} == {rita.account_id}
        assert {entry.actor for entry in told[:4]} == {"ada@example.org"}


class TestLeaving:
    def test_who_alone_acts_for_somebody_does_not_leave_them_behind(self, site: Site) -> None:
        account = site.account("leaver", Role.RIGHTS_HOLDER)
        identity_id = "0f" * 16
        site.app_context.accounts.give_mandate(account.account_id, identity_id, "self")
        browser = site.browser("leaver")
        form = {"csrf": browser.csrf, "present": PASSWORD}  # type: ignore[attr-defined]
        assert browser.post("/account/delete", data=form).status_code == 422
        second = site.account("successor", Role.RIGHTS_HOLDER)
        site.app_context.accounts.give_mandate(second.account_id, identity_id, "self")
        assert browser.post("/account/delete", data=form).status_code == 303
        assert site.app_context.accounts.by_email("leaver@example.org") is None

    def test_a_stream_of_events_ends_with_its_token(self, site: Site) -> None:
        account = site.account("olga", Role.OPERATOR)
        tokens = site.app_context.tokens
        secret = tokens.issue(account, "x", [Scope.SCANS_READ], site.app_context.clock().date())
        job, _ = site.app_context.jobs.submit(
            JobRequest(account.account_id, JobKind.SHA256, "0" * 64, "0" * 64, "0" * 64)
        )
        revoke = threading.Timer(
            1.0,
            lambda: tokens.revoke(
                account.account_id, tokens.of_account(account.account_id)[0].token_id
            ),
        )
        revoke.start()
        token = {"Authorization": f"Bearer {secret}"}
        answer = site.stranger.get(
            f"/api/v1/scans/{job.job_id}/events", headers=token
        )  # returns once the stream has ended
        revoke.join()
        assert answer.text.count("event: progress") == 1
        assert "event: ended" not in answer.text


class TestRegistering:
    def test_a_name_that_is_taken_tells_nothing_to_who_registers_and_all_to_who_decides(
        self, demo_site: Site
    ) -> None:
        vault = open_vault(demo_site.settings)
        known = vault.people.find("person-101")
        consent = replace(known.consent, expires_on=known.consent.expires_on + timedelta(days=900))
        waiting = vault.enrolments.submit(
            Submission(
                "person-101",
                consent,
                prototypes_of(7),
                VERSION,
                (),
                3,
                "holder 0123456789ab",
                shares_name=True,
            ),
            demo_site.app_context.clock(),
        )
        with pytest.raises(SharedName, match="2 identities are called"):
            vault.people.find("person-101")
        vault.close()
        olga = demo_site.browser("olga", Role.OPERATOR)
        page = olga.get(f"/registrations/{waiting.identity_id}")
        assert "Has the same name" in page.text
        form = {"csrf": olga.csrf, "proof": "passport", "compared": "yes", "reason": ""}  # type: ignore[attr-defined]
        assert (
            olga.post(f"/registrations/{waiting.identity_id}/approve", data=form).status_code == 422
        )
        form["reason"] = "another passport"
        assert (
            olga.post(f"/registrations/{waiting.identity_id}/approve", data=form).status_code == 303
        )
        vault = open_vault(demo_site.settings)
        vault.erasure.withdraw(waiting.identity_id, demo_site.app_context.clock(), "olga")
        vault.close()

    def test_who_brought_a_registration_does_not_approve_it_as_somebody_else(
        self, demo_site: Site
    ) -> None:
        account = demo_site.account("turncoat", Role.RIGHTS_HOLDER)
        vault = open_vault(demo_site.settings)
        consent = vault.people.find("person-101").consent
        submission = Submission(
            "Turn Coat", consent, prototypes_of(8), VERSION, (), 3, account.actor
        )
        waiting = vault.enrolments.submit(submission, demo_site.app_context.clock())
        vault.close()
        demo_site.app_context.accounts.set_roles(account.account_id, [Role.OPERATOR])
        browser = demo_site.browser("turncoat")
        form = {"csrf": browser.csrf, "proof": "passport", "compared": "yes", "reason": "me"}  # type: ignore[attr-defined]
        assert (
            browser.post(f"/registrations/{waiting.identity_id}/approve", data=form).status_code
            == 422
        )
        assert (
            "somebody else must decide" in browser.get(f"/registrations/{waiting.identity_id}").text
        )


class TestSigningIn:
    def test_the_session_is_a_new_one_each_time(self, site: Site) -> None:
        """Session fixation: the secret that a browser sends is never the one of its new session."""
        site.account("holder", Role.RIGHTS_HOLDER)
        planted = "a-session-that-an-attacker-knows"
        site.stranger.cookies.set("session", planted)
        credentials = {"email": "holder@example.org", "password": PASSWORD}
        answer = site.stranger.post("/sign-in", data=credentials, headers=OWN)
        cookie = answer.headers["set-cookie"]
        assert planted not in cookie
        assert all(flag in cookie for flag in ("HttpOnly", "SameSite=lax", "Path=/"))
        assert site.app_context.sessions.session(planted) is None
        first = answer.cookies["session"]
        site.stranger.cookies.clear()
        site.stranger.cookies.set("session", first)
        again = site.stranger.post("/sign-in", data=credentials, headers=OWN)
        assert again.cookies["session"] != first
        assert site.app_context.sessions.session(first) is None  # the earlier one has ended

    def test_with_https_the_cookie_is_bound_to_this_host(self, tmp_path: Path) -> None:
        web = WebSettings.model_validate({"url": "https://scanner.example"})
        site = Site(Settings(home=tmp_path / "home", face_pack="miniature", web=web))
        site.account("holder", Role.RIGHTS_HOLDER)
        credentials = {"email": "holder@example.org", "password": PASSWORD}
        assert (
            site.stranger.post("/sign-in", data=credentials, headers=OWN).status_code == 403
        )  # the address before TLS
        own = {"Origin": "https://scanner.example"}
        answer = site.stranger.post("/sign-in", data=credentials, headers=own)
        cookies = answer.headers.get_list("set-cookie")
        assert [cookie.split("=")[0] for cookie in cookies] == ["__Host-session", "__Host-device"]
        assert all("Secure" in cookie and "HttpOnly" in cookie for cookie in cookies)
        assert answer.headers["strict-transport-security"]
        site.stranger.__exit__(None, None, None)

    def test_wrong_locked_and_unknown_are_told_alike(self, site: Site) -> None:
        site.account("holder", Role.RIGHTS_HOLDER)

        def answer(email: str, password: str) -> tuple[int, str]:
            got = site.stranger.post(
                "/sign-in", data={"email": email, "password": password}, headers=OWN
            )
            return got.status_code, re.sub(r'value="[^"]*"', "", got.text)

        wrong = answer("holder@example.org", "wrong wrong wrong")
        for _ in range(FAILURES_UNTIL_LOCKED):
            answer("holder@example.org", "wrong wrong wrong")
        locked = answer("holder@example.org", PASSWORD)
        assert wrong == locked == answer("nobody@example.org", PASSWORD)
        assert wrong[0] == 401

    def test_the_time_does_not_tell_whether_there_is_an_account(self, site: Site) -> None:
        site.account("holder", Role.RIGHTS_HOLDER)

        def seconds(email: str) -> float:
            begin = time.perf_counter()
            site.app_context.accounts.authenticate(email, "wrong wrong wrong")
            return time.perf_counter() - begin

        known, unknown = [], []
        for number in range(7):
            known.append(seconds("holder@example.org"))
            unknown.append(seconds(f"nobody{number}@example.org"))
        assert 0.5 < statistics.median(known) / statistics.median(unknown) < 2

    def test_guessing_is_slowed_down(self, site: Site) -> None:
        tries = [
            site.stranger.post(
                "/sign-in", data={"email": f"n{number}@example.org", "password": "x"}, headers=OWN
            ).status_code
            for number in range(25)
        ]
        assert tries[0] == 401
        assert tries[-1] == 429

    def test_a_revoked_session_and_a_disabled_account_are_out_at_once(self, site: Site) -> None:
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        assert browser.get("/likeness").status_code == 200
        site.app_context.sessions.end_all(site.account("holder").account_id)
        assert browser.get("/likeness").status_code == 303
        browser = site.browser("holder", Role.RIGHTS_HOLDER)
        site.app_context.accounts.set_disabled(site.account("holder").account_id, disabled=True)
        assert browser.get("/likeness").status_code == 303


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'


class TestHostileWords:
    def test_names_titles_and_prompts_of_strangers_stay_text(self, demo_site: Site) -> None:
        service = open_service(demo_site.settings)
        case_store = service.case_store
        [case, *_] = case_store.cases()
        samples = tuple(replace(one, prompt=HOSTILE) for one in case.samples)
        checkpoint = replace(
            case.checkpoint,
            title=HOSTILE,
            file=HOSTILE,
            creator=HOSTILE,
            listing_url="javascript:alert(3)",
            triggers=(HOSTILE,),
            hub=HOSTILE,
            signals=(HOSTILE,),
        )
        hostile = replace(
            case,
            case_id="f" * 16,
            identity_name=HOSTILE,
            reason=HOSTILE,
            samples=samples,
            checkpoint=checkpoint,
        )
        case_store.open(hostile)
        service.records.note("case-opened", hostile, "olga")
        service.close()
        holder = demo_site.browser("victim", Role.RIGHTS_HOLDER)
        demo_site.app_context.accounts.give_mandate(
            demo_site.account("victim").account_id, case.identity_id, "self"
        )
        reviewer = demo_site.browser("legal", Role.LEGAL)
        order = JobRequest(
            "nobody", JobKind.URL, "https://x.example", HOSTILE, declared={"title": HOSTILE}
        )
        demo_site.app_context.jobs.submit(order)
        pages = [
            reviewer.get("/cases?status=all"),
            reviewer.get("/cases/" + "f" * 16),
            reviewer.get("/scans"),
            reviewer.get(f"/cases?q={HOSTILE}"),
            reviewer.get("/cases/" + "f" * 16 + "/report.html"),
            holder.get(f"/likeness/{case.identity_id}"),
            holder.get(f"/likeness/{case.identity_id}/cases/" + "f" * 16),
        ]
        for page in pages:
            assert page.status_code == 200, page.url
            assert "<script>alert" not in page.text, page.url
            assert "<img src=x" not in page.text, page.url
            assert 'href="javascript:' not in page.text, page.url
            assert "49" not in re.findall(r"onerror=alert\(2\)(?:&gt;|>)(..)", page.text)

    def test_pages_forbid_what_they_do_not_need(self, demo_site: Site) -> None:
        page = demo_site.browser("reviewer", Role.REVIEWER).get("/cases")
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert all(
            part in policy
            for part in (
                "default-src 'none'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'self'",
            )
        )
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.findall(r"<[^>]+ (?:style|on\w+)=", page.text)

    def test_a_spreadsheet_gets_no_formula(self, demo_site: Site) -> None:
        operator = demo_site.browser("operator", Role.OPERATOR)
        row = JobRow("=HYPERLINK(1)", None, "clear", "+cmd", gallery_version=1)
        job, _ = demo_site.app_context.jobs.submit(
            JobRequest("x", JobKind.SHA256, "ab" * 32, "x"), known=[row]
        )
        table = operator.get(f"/scans/{job.job_id}/results.csv").text
        assert "'=HYPERLINK" in table
        assert "'+cmd" in table


class TestKeptFaces:
    def test_no_route_shows_a_face_that_a_file_drew(self, demo_site: Site) -> None:
        """Every route is requested by an operator with ids that exist."""
        settings = demo_site.settings
        with open_scan_session(settings) as session:
            store = session.kept.store
            with closing(sqlite3.connect(settings.samples_path)) as db:
                rows = db.execute("select sampling_key, sealed from patches").fetchall()
            kept = {key: store.patches(key) for key, _ in rows}
            patches = [patch for own in kept.values() for patch in (own or {}).values()]
            places = {
                "identity_id": next(iter(session.vault.people.all())).identity_id,
                "case_id": next(iter(session.case_store.cases())).case_id,
                "sha256": triage_file(ADAPTERS / "ohwx_portrait_v1.safetensors").sha256,
                "month": "2026-11",
                "kind": "html",
                "number": "1",
            }
        assert patches
        forbidden = {strip_bytes([patch]) for patch in patches} | {row[1] for row in rows}
        forbidden |= {patch.tobytes() for patch in patches}
        operator = demo_site.browser("operator", Role.OPERATOR)
        seen = 0
        for route in routes(demo_site.app):
            if "GET" not in route.methods or route.path.endswith("/events"):
                continue
            names = re.findall(r"{(\w+)", route.path)
            place = route.path.format(**{name: places.get(name, "0" * 24) for name in names})
            answer = operator.get(place)
            seen += answer.status_code == 200
            assert not any(face in answer.content for face in forbidden), place
        assert seen > 10

    def test_only_one_module_reads_them(self) -> None:
        root = Path(__file__).parent.parent / "scanner"
        readers = {
            str(path.relative_to(root))
            for path in root.rglob("*.py")
            if re.search(r"store\.patches\(", path.read_text("utf-8"))
        }
        assert readers == {"scanning/kept_samples.py"}


class TestPlaces:
    def test_only_what_was_named_may_be_scanned(self, tmp_path: Path) -> None:
        inside = tmp_path / "in"
        inside.mkdir()
        (inside / "out").symlink_to("/etc")
        roots = (str(inside), "s3://uploads/new")
        assert job_request_of(str(inside), "a", roots).kind == JobKind.TARGET
        assert job_request_of("s3://uploads/new/one", "a", roots).kind == JobKind.TARGET
        assert job_request_of("AB" * 32, "a", roots).source == "ab" * 32
        for told in (
            "/etc",
            f"{inside}/../..",
            f"{inside}/out",
            "in",
            "~",
            "s3://uploads/newer",
            "s3://other",
            "file:///etc",
            "liblib=/etc/passwd.csv",
            "",
            "civarchive=x",
        ):
            with pytest.raises(Exception, match=r"outside|no-answer"):
                job_request_of(told, "a", roots)


class TestOpenId:
    @pytest.fixture
    def provider(self) -> Iterator[Any]:
        with serve_provider(sub="42", email="olga@example.org", email_verified=True) as served:
            yield served

    @pytest.fixture
    def openid_site(self, provider: Any, tmp_path: Path) -> Iterator[Site]:
        oidc = OpenIdProvider(
            name="Company", issuer=provider.url, client_id=CLIENT, client_secret=SecretStr(SECRET)
        )
        made = Site(
            Settings(
                home=tmp_path / "home",
                face_pack="miniature",
                web=WebSettings.model_validate({"url": HERE, "oidc": oidc}),
            )
        )
        yield made
        made.stranger.__exit__(None, None, None)

    @staticmethod
    def come(site: Site) -> Any:
        import httpx

        sent = site.stranger.get("/sign-in/openid")
        assert sent.status_code == 302, sent.text
        back = httpx.get(sent.headers["location"]).headers["location"]
        return site.stranger.get(back.removeprefix(HERE))

    def test_somebody_invited_comes_in_and_is_known_by_their_subject_from_then_on(
        self, openid_site: Site, provider: Any
    ) -> None:
        assert "Sign in with Company" in openid_site.stranger.get("/sign-in").text
        openid_site.account("olga", Role.OPERATOR)
        provider.claims["amr"] = ["pwd", "otp"]
        answer = self.come(openid_site)
        assert (answer.status_code, answer.headers["location"]) == (303, "/cases")
        assert openid_site.stranger.get("/scans").status_code == 200
        provider.claims["email"] = "renamed@example.org"
        assert self.come(openid_site).status_code == 303
        # Another person at the provider cannot take over the account by taking its address.
        provider.claims |= {"sub": "43", "email": "olga@example.org"}
        assert self.come(openid_site).status_code == 403

    def test_without_a_second_factor_there_ours_is_asked_for(self, openid_site: Site) -> None:
        openid_site.account("olga", Role.OPERATOR)
        assert self.come(openid_site).headers["location"] == "/account/second-factor"

    @pytest.mark.parametrize(
        "change",
        [
            {"email": "nobody@example.org"},
            {"email_verified": False},
            {"aud": "another"},
            {"nonce": "old"},
            {"iss": "https://evil.example"},
            {"exp": 1},
        ],
    )
    def test_a_word_that_does_not_hold_lets_nobody_in(
        self, openid_site: Site, provider: Any, change: dict[str, Any]
    ) -> None:
        openid_site.account("olga", Role.OPERATOR)
        provider.claims |= change
        assert self.come(openid_site).status_code == 403

    def test_another_keys_signature_and_another_browsers_answer_are_refused(
        self, openid_site: Site, provider: Any
    ) -> None:
        import httpx
        from joserfc.jwk import RSAKey

        openid_site.account("olga", Role.OPERATOR)
        sent = openid_site.stranger.get("/sign-in/openid")
        back = httpx.get(sent.headers["location"]).headers["location"]
        openid_site.stranger.cookies.clear()
        assert openid_site.stranger.get(back.removeprefix(HERE)).status_code == 403
        provider.signing_key = RSAKey.generate_key(2048, {"kid": "one"})
        assert self.come(openid_site).status_code == 403


def test_a_page_of_a_mistake_has_the_headers_of_all_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = site.browser("holder", Role.RIGHTS_HOLDER)
    client = TestClient(
        site.app, base_url=HERE, cookies=browser.cookies, raise_server_exceptions=False
    )
    monkeypatch.setattr(site.app_context.services, "acquire", None)
    answer = client.get("/likeness")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "NoneType" not in answer.text


def test_progress_is_told_no_longer_than_a_session_lasts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = site.app_context.jobs.submit(JobRequest("x", JobKind.SHA256, "ab" * 32, "x"))
    browser, lives, asked = (
        site.browser("olga", Role.OPERATOR),
        site.app_context.sessions.is_valid,
        [],
    )

    def ends_after_the_first_look(session: Any) -> bool:
        if asked:
            site.app_context.sessions.end_all(site.account("olga").account_id)
        asked.append(session)
        return bool(lives(session))

    monkeypatch.setattr(site.app_context.sessions, "is_valid", ends_after_the_first_look)
    assert (
        "progress" in browser.get(f"/scans/{job.job_id}/events").text
    )  # it returns: the job has not ended


def test_a_session_ends_after_a_while(site: Site) -> None:
    browser = site.browser("holder", Role.RIGHTS_HOLDER)
    later = site.app_context.clock() + timedelta(days=8)
    site.app_context.sessions._clock = lambda: later
    assert browser.get("/likeness").status_code == 303
