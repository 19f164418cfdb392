"""Mails, reminders and digests, through a real mail server on loopback; they contain no name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from crawlers.listing import RemoteFile, bare_listing
from face_index.identity import Identity
from face_index.vault import Submission
from reports.notices.tracker import record_draft, record_event
from scanner.casework.confirmation import comparisons_of
from scanner.factories import open_scan_store
from scanner.records import ResultRow
from scanner.scanning.searched_file_store import Retrosearch, Searched
from scanner.settings import Settings, WebSettings
from scanner.web.auth.access import Role
from scanner.web.context import AppContext
from scanner.web.queue.outbox import WAITS_S
from scanner.web.queue.reminders import Reminders
from tests.cases import make_case, reviewed
from tests.conftest import NOON, VERSION, proof, prototypes_of
from tests.opening import open_service
from tests.servers.browsing import PASSWORD
from tests.servers.mail import Mailbox, serve_mail
from tests.servers.serving import Answer, serve_answers
from tests.test_accounts import Clock
from tests.test_notices import given_for
from tests.test_page_safety import OWN, Site


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with serve_mail() as box:
        yield box


@pytest.fixture
def mailing(tmp_path: Path, mailbox: Mailbox) -> Settings:
    web = WebSettings.model_validate(
        {
            "url": "http://testserver",
            "smtp_url": SecretStr(mailbox.url),
            "mail_from": "scanner <noreply@hub.example>",
            "open_sign_up": True,
        }
    )
    return Settings(
        home=tmp_path / "home", face_pack="miniature", web=web, allowed_hosts=("127.0.0.1",)
    )


class Office:
    """Everything that reminders read, with a clock that can be set."""

    def __init__(self, settings: Settings) -> None:
        self.clock = Clock()
        self.settings = settings
        self.app_context = AppContext(settings, self.clock)
        self.service = open_service(settings, self.clock)

    def register(self, name: str, expires_on: date) -> Identity:
        from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms

        consent = Consent(
            name, date(2026, 1, 1), expires_on, None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
        )
        waiting = self.service.vault.enrolments.submit(
            Submission(name, consent, prototypes_of(1), VERSION, (), 3, "sam"), self.clock()
        )
        return self.service.vault.enrolments.approve(
            waiting.identity_id, "olga", proof(), self.clock()
        )

    def account(self, name: str, role: Role, language: str = "en", notify: str = "at-once") -> str:
        account = self.app_context.accounts.create(
            f"{name}@example.org", name, [role], None, language
        )
        self.app_context.accounts.set_preferences(account.account_id, language, notify)
        return account.account_id

    def tell(self, webhook: str | None = None) -> int:
        accounts, outbox = self.app_context.accounts, self.app_context.outbox
        with closing(open_scan_store(self.settings)) as scan_store:
            url = self.settings.web.url
            Reminders(self.service, scan_store, accounts, outbox, url, webhook).send()
        return outbox.send_due()

    def scan(self, files: int) -> None:
        """Store a scan of files that show nobody."""
        with closing(open_scan_store(self.settings)) as store:
            scan = store.begin("scan", "hub", "earlier key", 0, self.clock())
            for number in range(files):
                sha256 = f"{number:064x}"
                file = RemoteFile("a.safetensors", f"https://hub/{number}", 1, sha256)
                listing = bare_listing("hub", str(number), "a", f"hub:{number}", file)
                store.items.add(scan, [listing])
            row, searched = ResultRow("a", "", "clear"), Searched("earlier key", "", ("s",))
            for item in store.items.pending(scan):
                sha256 = item.listing.files[0].sha256
                store.items.note_judged(item, scan, sha256, [row], searched, self.clock())

    def search(self) -> None:
        """Store a retrosearch in everything that was scanned."""
        with closing(open_scan_store(self.settings)) as store:
            now = self.clock()
            store.searched.carry(list(store.searched.stale("present key")), "present key", 1, now)
            at = now.isoformat()
            store.searched.note(Retrosearch("present key", 2, 3, 0, at, at))

    def close(self) -> None:
        self.service.close()
        self.app_context.close()


@pytest.fixture
def office(mailing: Settings) -> Iterator[Office]:
    opened = Office(mailing)
    yield opened
    opened.close()


def subjects(mailbox: Mailbox) -> list[tuple[str, str]]:
    return sorted((str(mail["To"]), str(mail["Subject"])) for mail in mailbox.mails)


class TestLinks:
    def test_a_forgotten_password_is_set_anew_by_a_mailed_link_once(
        self, mailing: Settings, mailbox: Mailbox
    ) -> None:
        site = Site(mailing)
        site.account("ann", Role.RIGHTS_HOLDER)
        old = site.browser("ann")
        for email in ("ann@example.org", "nobody@example.org"):
            answer = site.stranger.post("/forgotten", data={"email": email}, headers=OWN)
            assert answer.headers["location"] == "/sign-in?done=mailed"  # the same for both
        assert site.app_context.outbox.send_due() == 1
        link = re.findall(r"http://testserver(/invitation/\S+)", mailbox.mails[0].get_content())[0]
        new = {"password": "another set of words", "again": "another set of words"}
        assert site.stranger.post(link, data=new, headers=OWN).status_code == 303
        assert old.get("/account").status_code == 303  # signed out elsewhere
        assert site.app_context.accounts.authenticate("ann@example.org", "another set of words")
        assert site.stranger.post(link, data=new, headers=OWN).status_code == 410
        site.stranger.__exit__(None, None, None)

    def test_one_address_gets_two_mails_a_minute_at_most(
        self, mailing: Settings, mailbox: Mailbox
    ) -> None:
        site = Site(mailing)
        site.account("ann", Role.RIGHTS_HOLDER)
        told = [
            site.stranger.post("/forgotten", data={"email": "ann@example.org"}, headers=OWN)
            for _ in range(3)
        ]
        assert [answer.status_code for answer in told] == [303, 303, 429]
        assert site.app_context.outbox.send_due() == 2
        site.stranger.__exit__(None, None, None)

    def test_who_signs_up_is_a_rights_holder_and_no_more(
        self, mailing: Settings, mailbox: Mailbox
    ) -> None:
        site = Site(mailing)
        assert (
            site.stranger.post(
                "/sign-up", data={"email": "new@example.org"}, headers=OWN
            ).status_code
            == 303
        )
        site.app_context.outbox.send_due()
        link = re.findall(r"http://testserver(/invitation/\S+)", mailbox.mails[0].get_content())[0]
        form = {"name": "New", "password": PASSWORD, "again": PASSWORD, "role": "admin"}
        assert site.stranger.post(link, data=form, headers=OWN).headers["location"] == "/likeness"
        account = site.app_context.accounts.by_email("new@example.org")
        assert account is not None
        assert account.roles == (Role.RIGHTS_HOLDER,)
        site.stranger.__exit__(None, None, None)

    def test_an_invitation_is_mailed_and_shown_to_nobody_else(
        self, mailing: Settings, mailbox: Mailbox
    ) -> None:
        site = Site(mailing)
        admin = site.browser("ada", Role.ADMIN)
        form = {"csrf": admin.csrf, "email": "Rita@example.org", "role": "reviewer"}  # type: ignore[attr-defined]
        answer = admin.post("/accounts", data=form, follow_redirects=True)
        assert "/invitation/" not in answer.text
        site.app_context.outbox.send_due()
        [mail] = mailbox.mails
        assert mail["To"] == "rita@example.org"
        assert "/invitation/" in mail.get_content()
        site.stranger.__exit__(None, None, None)

    def test_whose_account_an_administrator_changes_is_told(
        self, mailing: Settings, mailbox: Mailbox
    ) -> None:
        site = Site(mailing)
        rita = site.account("rita", Role.REVIEWER)
        admin = site.browser("ada", Role.ADMIN)
        form = {"csrf": admin.csrf, "change": "second-factor"}  # type: ignore[attr-defined]
        assert admin.post(f"/accounts/{rita.account_id}/state", data=form).status_code == 303
        site.app_context.outbox.send_due()
        [mail] = mailbox.mails
        assert mail["To"] == "rita@example.org"
        assert "second factor of your account was removed" in mail.get_content()
        site.stranger.__exit__(None, None, None)

    def test_nobody_signs_up_where_accounts_are_by_invitation(self, settings: Settings) -> None:
        site = Site(settings)
        assert site.stranger.get("/sign-up").status_code == 404
        assert (
            site.stranger.post(
                "/sign-up", data={"email": "new@example.org"}, headers=OWN
            ).status_code
            == 404
        )
        site.stranger.__exit__(None, None, None)


class TestReminders:
    def test_a_new_case_is_told_once_to_the_person_and_to_reviewers(
        self, office: Office, mailbox: Mailbox
    ) -> None:
        person = office.register("Erika Muster", date(2028, 1, 1))
        office.app_context.accounts.give_mandate(
            office.account("erika", Role.RIGHTS_HOLDER, "zh-CN"), person.identity_id, "self"
        )
        office.account("rita", Role.REVIEWER)
        office.account("quiet", Role.REVIEWER, notify="never")
        office.account("other", Role.RIGHTS_HOLDER)
        case = make_case(
            office.service.case_store, identity_id=person.identity_id, opened_at=NOON.isoformat()
        )
        office.tell()
        assert subjects(mailbox) == [
            ("erika@example.org", "可能发现了您的面部"),
            ("erika@example.org", "查找已开始"),
            ("rita@example.org", "A case waits for review"),
        ]
        told = "".join(mail.get_content() + str(mail) for mail in mailbox.mails)
        assert f"/cases/{case.case_id}" in told
        for secret in ("Erika", "Muster", case.checkpoint.file, case.checkpoint.title):
            assert secret not in told
        assert office.tell() == 0

    @pytest.mark.parametrize(
        ("language", "told"),
        [
            ("en", "Files that were drawn before and searched for a face that you registered: 3."),
            (
                "zh-CN",
                "为您登记的面部查找了此前已生成图像的文件：3 个，其中可能呈现该面部的：1 个。",
            ),
        ],
    )
    def test_the_end_of_the_first_search_is_told_once_with_what_it_found(
        self, office: Office, mailbox: Mailbox, language: str, told: str
    ) -> None:
        office.clock.now = NOON - timedelta(hours=1)
        office.scan(3)
        office.clock.now = NOON
        person = office.register("Erika", date(2028, 1, 1))
        account = office.account("erika", Role.RIGHTS_HOLDER, language)
        office.app_context.accounts.give_mandate(account, person.identity_id, "self")
        office.tell()
        assert len(mailbox.mails) == 1  # the search has begun
        make_case(
            office.service.case_store,
            identity_id=person.identity_id,
            opened_at=office.clock.now.isoformat(),
        )
        office.clock.now += timedelta(minutes=1)
        office.search()
        office.tell()
        assert told in "".join(mail.get_content() for mail in mailbox.mails[1:])
        assert office.tell() == 0

    def test_without_anything_drawn_before_no_search_is_told(
        self, office: Office, mailbox: Mailbox
    ) -> None:
        person = office.register("Erika", date(2028, 1, 1))
        account = office.account("erika", Role.RIGHTS_HOLDER)
        office.app_context.accounts.give_mandate(account, person.identity_id, "self")
        office.clock.now += timedelta(minutes=1)
        office.search()
        office.tell()
        assert [subject for _, subject in subjects(mailbox)] == ["The search has begun"]

    def test_a_decision_is_told_to_the_person(self, office: Office, mailbox: Mailbox) -> None:
        person = office.register("Erika", date(2028, 1, 1))
        office.app_context.accounts.give_mandate(
            office.account("erika", Role.RIGHTS_HOLDER), person.identity_id, "self"
        )
        case = make_case(
            office.service.case_store, identity_id=person.identity_id, opened_at=NOON.isoformat()
        )
        office.tell()
        mailbox.mails.clear()
        office.service.note_shown(
            case, blurred=False, sha256=[name for pair in comparisons_of(case) for name in pair]
        )
        office.service.review(case.case_id, "Li Na", "confirm", "one face")
        assert office.tell() == 1
        office.service.note(
            case.case_id, "Li Na", "a line after the decision is no second decision"
        )
        assert office.tell() == 0
        assert subjects(mailbox) == [("erika@example.org", "A case of yours was decided")]

    def test_consent_that_ends_is_told_twice(self, office: Office, mailbox: Mailbox) -> None:
        person = office.register("Erika", date(2027, 2, 1))
        office.app_context.accounts.give_mandate(
            office.account("erika", Role.RIGHTS_HOLDER), person.identity_id, "self"
        )
        office.tell()
        mailbox.mails.clear()
        told: list[date] = []
        for day in range(75):
            office.clock.now = NOON + timedelta(days=day)
            if office.tell():
                told.append(office.clock.now.date())
        assert told == [date(2027, 1, 2), date(2027, 1, 25)]
        assert {subject for _, subject in subjects(mailbox)} == {"Your consent is about to end"}

    def test_a_notices_clock_is_told_a_day_before_and_when_it_ran_out(
        self, office: Office, mailbox: Mailbox
    ) -> None:
        from reports.notices.drafting import draft_notice

        office.account("li", Role.LEGAL)
        case = reviewed(
            office.service.case_store,
            make_case(office.service.case_store, opened_at="2026-10-01T00:00:00+00:00"),
        )
        made = draft_notice("us-take-it-down", case, given_for("us-take-it-down"), NOON, "en")
        notice = record_draft(office.service.case_store, made, "Li Na", NOON)
        record_event(office.service.case_store, notice, "sent", "Li Na", NOON)
        told: list[tuple[int, str]] = []
        for hour in range(0, 60, 2):
            office.clock.now = NOON + timedelta(hours=hour)
            mailbox.mails.clear()
            office.tell()
            told += [(hour, subject) for _, subject in subjects(mailbox)]
        assert told == [
            (24, "The deadline of a notice is near"),
            (50, "The deadline of a notice has passed"),
        ]

    def test_a_digest_is_one_mail_a_day(self, office: Office, mailbox: Mailbox) -> None:
        office.account("rita", Role.REVIEWER, notify="daily")
        for number in range(3):
            make_case(
                office.service.case_store, case_id=f"{number:016x}", opened_at=NOON.isoformat()
            )
        assert office.tell() == 0
        office.clock.now = datetime(2026, 11, 24, 7, 1, tzinfo=NOON.tzinfo)
        assert office.tell() == 3
        [mail] = mailbox.mails
        assert mail.get_content().count("/cases/") == 3

    def test_a_mail_server_that_is_busy_gets_it_later(
        self, office: Office, mailbox: Mailbox
    ) -> None:
        office.account("rita", Role.REVIEWER)
        make_case(office.service.case_store, opened_at=NOON.isoformat())
        mailbox.refuse = 1
        assert office.tell() == 0
        office.clock.now = NOON + timedelta(seconds=WAITS_S[0] + 1)
        assert office.tell() == 1
        assert len(mailbox.mails) == 1

    def test_a_hubs_own_server_is_told_of_cases_without_names(self, office: Office) -> None:
        seen: list[bytes] = []

        def receive(_path: str, _headers: dict[str, str], body: bytes) -> Answer:
            seen.append(body)
            return 200, {}, b""

        case = make_case(office.service.case_store, opened_at=NOON.isoformat())
        with serve_answers(receive) as url:
            office.tell(url)
            office.tell(url)
        [body] = seen
        told = json.loads(body)
        assert (told["event"], told["case"]["case_id"], told["case"]["outcome"]) == (
            "case.opened",
            case.case_id,
            case.outcome,
        )
        assert case.identity_name not in body.decode()

    def test_old_cases_are_not_told_when_mails_are_turned_on(
        self, office: Office, mailbox: Mailbox
    ) -> None:
        office.account("rita", Role.REVIEWER)
        make_case(office.service.case_store, opened_at="2026-10-01T00:00:00+00:00")
        assert office.tell() == 0


@pytest.mark.parametrize(
    "email",
    [
        "v@=?utf-8?q?evil=2etest=0d=0asubject=3a_x?=",
        "=?utf-8?q?a=0d=0ax?=@x.com",
        "a@b,c@d",
        "a b@c.d",
        "a@b..c",
        "a\r\nb@c.d",
        "\u202ea@b.c",
    ],
)
def test_an_address_that_could_carry_headers_is_none(
    mailing: Settings, mailbox: Mailbox, email: str
) -> None:
    site = Site(mailing)
    assert site.stranger.post("/sign-up", data={"email": email}, headers=OWN).status_code == 422
    assert site.app_context.outbox.send_due() == 0
    # A message with an address that no mail can be sent to does not stop the others.
    site.app_context.outbox.mail(email, "s", "t")
    site.app_context.outbox.mail("good@example.org", "s", "t")
    site.app_context.outbox.send_due()
    # Some releases of Python cannot parse the other header any more.
    headers = [header for mail in mailbox.mails for header in mail.raw_items()]
    assert ("To", "good@example.org") in headers
    assert "x-injected" not in {name.lower() for name, _ in headers}
    site.stranger.__exit__(None, None, None)
