"""The pages in a real browser, from registration to erasure, as each role uses them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from face_index.vault.receipts import verify_receipt
from scanner.factories import open_vault
from scanner.miniature.albums import draw_photos
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import load_world
from scanner.settings import Settings
from scanner.web.auth.access import Role
from scanner.web.context import AppContext
from tests.conftest import bytes_below
from tests.servers.browsing import (
    PASSWORD,
    PHONE,
    User,
    Users,
    code_of,
    keep_picture,
    open_browser,
    serious_faults,
)
from tests.servers.gate import Served

NAME = "Lin Yue"
SEED = 101
FIELDS = {
    "recipient": "The Hub",
    "right_holder": NAME,
    "agent": "none",
    "email": "li.na@example.org",
    "urls": "https://hub.example/models/1",
    "ground": "likeness",
    "request": "delete it",
    "fair_use": "no parody",
    "signature": "Li Na",
}
LIKENESS = next(file for file in load_world().files if file.file == "ohwx_portrait_v1.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files on the disks of users and the operator."""
    place = tmp_path_factory.mktemp("pages")
    draw_photos(SEED, 5, place / "photos")
    draw_photos(102, 1, place / "stranger")
    Image.new("RGB", (400, 300), "white").save(place / "blank.png")
    Image.new("RGB", (640, 400), "grey").save(place / "passport.png")
    (place / "uploads").mkdir()
    shutil.copy(LIKENESS.path, place / "uploads")
    return place


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    server = Served(
        folder / "home",
        PORTRAIT_SCANNER_WEB__SCAN_ROOTS=json.dumps([str(folder / "uploads")]),
        PORTRAIT_SCANNER_FOUR_EYES="true",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def users(browser: Browser, served: Served) -> Iterator[Users]:
    people = Users(browser, served.home, served.url)
    yield people
    people.close()


@pytest.fixture
def holder(users: Users) -> User:
    return users.get(NAME, Role.RIGHTS_HOLDER)


@pytest.fixture
def operator(users: Users) -> User:
    return users.get("Olga Park", Role.OPERATOR)


@pytest.fixture
def reviewer(users: Users) -> User:
    return users.get("Rita Mann", Role.REVIEWER)


@pytest.fixture
def lawyer(users: Users) -> User:
    return users.get("Li Na", Role.LEGAL)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, link: Locator) -> None:
    with page.expect_navigation():
        link.click()


def seen(page: Page, name: str) -> None:
    """Check a page for serious accessibility faults, and keep a picture of it if LOOK is set."""
    keep_picture(page, name)
    assert serious_faults(page) == []


def open_pairs(page: Page, wanted: int) -> None:
    """Open counted samples, each beside its control."""
    counted = (
        page.locator(".pairs li")
        .filter(has_not_text="not counted")
        .filter(has=page.locator("form ~ form"))
    )
    for number in range(wanted):
        for button in counted.nth(number).get_by_role("button").all():
            button.click()
            expect(button).to_have_attribute("aria-pressed", "true")


def saved_page(folder: Path, name: str, seed: int) -> Path:
    """A page in one file, as SingleFile saves it, with four pictures of a person."""
    pictures = []
    for number in range(4):
        data = io.BytesIO()
        Image.fromarray(draw_photo(person_of(seed), 820 + number).pixels).save(data, "PNG")
        pictures.append(
            f'<img src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'
        )
    path = folder / name
    from_where = (
        f"<!-- Page saved with SingleFile\n url: https://social.example/{name}\n saved date: Mon "
        "Nov 23 2026 -->"
    )
    path.write_text(
        f"<html>{from_where}<head><title>{name}</title></head><body>{''.join(pictures)}</body></html>"
    )
    return path


class TestSigningIn:
    def test_an_administrator_is_invited_and_must_have_a_second_factor(
        self, browser: Browser, served: Served
    ) -> None:
        app_context = AppContext(Settings(home=served.home))
        secret = app_context.invitations.create("ada@example.org", [Role.ADMIN], "the command line")
        app_context.close()
        context = browser.new_context(locale="en")
        page = context.new_page()
        page.goto(f"{served.url}/invitation/{secret}")
        seen(page, "invitation")
        page.get_by_label("Your name").fill("Ada Byron")
        page.get_by_label("Password").first.fill(PASSWORD)
        page.get_by_label("Repeat the password").fill(PASSWORD + "x")
        press(page, "Open the account")
        expect(page.get_by_role("alert")).to_have_text("The two passwords are not the same.")
        page.get_by_label("Password").first.fill(PASSWORD)
        page.get_by_label("Repeat the password").fill(PASSWORD)
        press(page, "Open the account")
        expect(page.get_by_role("heading", level=1)).to_have_text("Set up a second factor")
        page.goto(f"{served.url}/accounts")
        expect(page).to_have_url(re.compile("/account/second-factor$"))  # nothing else before it
        seen(page, "second_factor")
        totp = page.locator("#secret").inner_text()
        page.get_by_label("Six digits").fill(code_of(totp))
        press(page, "Turn on")
        expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
        codes = page.locator("#codes").inner_text().split()
        seen(page, "recovery_codes")
        page.get_by_role("link", name="I have stored them").click()
        expect(page.get_by_role("status")).to_contain_text("The second factor is on")
        seen(page, "account")
        page.goto(f"{served.url}/accounts")
        seen(page, "accounts")
        press(page, "Sign out")
        page.goto(f"{served.url}/audit")
        expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Faudit$"))
        seen(page, "sign_in")
        page.get_by_label("E-mail address").fill("ada@example.org")
        page.get_by_label("Password").fill("wrong wrong wrong")
        press(page, "Sign in")
        expect(page.get_by_role("alert")).to_contain_text("Address or password is wrong")
        page.get_by_label("Password").fill(PASSWORD)
        press(page, "Sign in")
        expect(page.get_by_role("heading", level=1)).to_have_text("Your code")
        seen(page, "code")
        page.get_by_role("textbox").fill(codes[0])
        press(page, "Continue")
        expect(page).to_have_url(re.compile(r"/audit$"))
        page.goto(f"{served.url}/invitation/{secret}")
        expect(page.get_by_role("alert")).to_contain_text("This link was used already")
        context.close()


class TestRightsHolder:
    def test_consent_comes_before_photos_and_each_photo_is_told_at_once(
        self, holder: User, folder: Path
    ) -> None:
        page = holder.open("/likeness")
        expect(page.get_by_text("Nobody is registered from this account yet.")).to_be_visible()
        seen(page, "likeness_empty")
        page.goto(f"{holder.url}/likeness/new/photos")
        expect(page).to_have_url(re.compile("/likeness/new$"))
        seen(page, "consent")
        expect(page.get_by_label("Name", exact=False).first).to_have_value(NAME)
        page.get_by_label("I have read this and I agree.").check()
        press(page, "Agree and go on")
        expect(page.get_by_role("status").first).to_contain_text("Your consent is recorded")
        chosen = [*sorted((folder / "photos").iterdir()), folder / "blank.png"]
        page.locator("#photos").set_input_files(chosen)
        expect(page.locator("#checked .tag.good")).to_have_count(5)
        expect(page.locator("#checked .tag.bad")).to_have_count(1)
        expect(page.locator("#checked")).to_contain_text("no face was found")
        seen(page, "photos")
        page.get_by_label("A copy of it").set_input_files(folder / "passport.png")
        press(page, "Submit")
        expect(page.get_by_role("status").first).to_contain_text("Somebody checks who you are")
        expect(page.get_by_text("You sent 5 usable photos")).to_be_visible()
        seen(page, "likeness_waiting")

    def test_too_few_usable_photos_are_told_one_by_one(self, users: Users, folder: Path) -> None:
        page = users.get("Ben Okri", Role.RIGHTS_HOLDER).open("/likeness/new")
        page.get_by_label("I have read this and I agree.").check()
        press(page, "Agree and go on")
        page.locator("#photos").set_input_files(
            [folder / "blank.png", *sorted((folder / "photos").iterdir())[:2]]
        )
        page.get_by_label("A copy of it").set_input_files(folder / "passport.png")
        press(page, "Submit")
        expect(page.get_by_role("alert")).to_contain_text(
            "Only 2 of these photos can be used; 3 are needed"
        )
        expect(page.locator("main")).to_contain_text("no face was found")

    def test_a_paper_that_is_none_is_refused_and_nothing_is_registered(
        self, users: Users, folder: Path
    ) -> None:
        user = users.get("Ben Okri", Role.RIGHTS_HOLDER)
        page = user.open("/likeness/new/photos")
        page.locator("#photos").set_input_files(sorted((folder / "photos").iterdir())[:3])
        page.get_by_label("A copy of it").set_input_files(LIKENESS.path)
        press(page, "Submit")
        expect(page.get_by_role("alert")).to_contain_text("Send the document as PDF, JPEG or PNG.")
        expect(user.open("/likeness").get_by_text("Nobody is registered")).to_be_visible()

    def test_of_two_people_in_every_photo_one_is_tapped(
        self, users: Users, folder: Path, tmp_path: Path
    ) -> None:
        photos = []
        for number in range(3):
            pictures = [draw_photo(person_of(seed), number, 160).pixels for seed in (911, 913)]
            photos.append(tmp_path / f"both {number}.png")
            Image.fromarray(np.hstack(pictures)).save(photos[-1])
        page = users.get("Dana Fox", Role.RIGHTS_HOLDER).open("/likeness/new")
        page.get_by_label("I have read this and I agree.").check()
        press(page, "Agree and go on")
        for is_tapped in (False, True):
            page.locator("#photos").set_input_files(photos)
            expect(page.locator("#checked .tag.good")).to_have_count(3)
            expect(page.locator("#checked .faces button")).to_have_count(6)
            if is_tapped:
                left = page.locator("#checked .faces").first.get_by_role("button", name="Face 1")
                left.click()
                expect(left).to_have_attribute("aria-pressed", "true")
                expect(page.locator("input[name=pick]:enabled")).to_have_value("0:1")
                seen(page, "photos_of_several")
            page.get_by_label("A copy of it").set_input_files(folder / "passport.png")
            press(page, "Submit")
            if not is_tapped:
                expect(page.get_by_role("alert")).to_contain_text("Only 0 of these photos")
                expect(page.locator("main")).to_contain_text("nothing says who is meant")
        expect(page.get_by_text("You sent 3 usable photos")).to_be_visible()


class TestOperator:
    def test_somebody_else_looks_at_the_paper_and_approves(
        self, operator: User, holder: User
    ) -> None:
        page = operator.open("/registrations")
        seen(page, "registrations")
        follow(page, page.get_by_role("main").get_by_role("link", name=NAME))
        seen(page, "registration")
        page.get_by_label("What you saw").fill("passport")
        page.get_by_label("Face, name and signature on photos and documents agree.").check()
        press(page, "Approve")
        expect(page.get_by_role("alert")).to_contain_text("Open all photos and documents first")
        press(page, "Compare photos and documents")
        expect(page.locator("main img")).to_have_count(6)  # five photos and the passport
        seen(page, "compare")
        follow(page, page.get_by_role("link", name="Back to the decision"))
        with page.expect_download() as paper:
            press(page, "Open")
        assert Path(paper.value.path()).read_bytes().startswith(b"\x89PNG")
        page.get_by_label("What you saw").fill("passport")
        page.get_by_label("Face, name and signature on photos and documents agree.").check()
        press(page, "Approve")
        expect(page.get_by_role("status")).to_contain_text("Approved")
        mine = holder.open("/likeness")
        follow(mine, mine.get_by_role("main").get_by_role("link", name=NAME))
        expect(
            mine.get_by_text("Nothing has been scanned since the search for this face began")
        ).to_be_visible()

    def test_a_folder_is_scanned_with_progress_and_results(
        self, operator: User, folder: Path
    ) -> None:
        page = operator.open("/scans")
        seen(page, "scans_empty")
        page.get_by_label("What to scan").fill("/etc")
        press(page, "Scan")
        expect(page.get_by_role("alert")).to_contain_text(
            "No hub, address, hash or folder of this name may be scanned from here."
        )
        page.get_by_label("What to scan").fill(str(folder / "uploads"))
        press(page, "Scan")
        expect(page.locator("table .tag.bad")).to_have_text("match")
        expect(page.locator("table")).to_contain_text(NAME)
        seen(page, "scan")
        with page.expect_download() as table:
            page.get_by_role("link", name="CSV").click()
        assert NAME in Path(table.value.path()).read_text("utf-8-sig")
        seen(operator.open("/scans"), "scans")

    def test_a_file_sent_from_the_browser_is_known_at_once(self, operator: User) -> None:
        page = operator.open("/scans")
        page.get_by_label("Or a file from your computer").set_input_files(LIKENESS.path)
        press(page, "Send and scan")
        expect(page.locator("table .tag.bad")).to_have_text("match")


class TestMatch:
    def test_the_person_sees_it_blurred_and_a_picture_only_when_they_ask(
        self, holder: User, served: Served
    ) -> None:
        page = holder.open("/likeness")
        follow(page, page.get_by_role("main").get_by_role("link", name=NAME))
        seen(page, "likeness_matched")
        follow(page, page.locator("a.card").first)
        expect(page.get_by_role("heading", level=1)).to_contain_text(NAME)
        seen(page, "own_case")
        first = page.locator("form.picture").first
        before = first.locator("img").get_attribute("src")
        first.get_by_role("button").click()
        expect(first.get_by_role("button")).to_have_attribute("aria-pressed", "true")
        assert first.locator("img").get_attribute("src") != before
        first.get_by_role("button").click()  # hidden again; this is not logged
        expect(first.locator("img")).to_have_attribute("src", str(before))
        press(page, "Ask for a report")
        expect(page.get_by_role("status")).to_contain_text("The report was asked for")
        vault = open_vault(Settings(home=served.home))
        entries = [entry for entry in vault.audit.entries() if entry.actor.startswith("holder ")]
        vault.close()
        shown = [entry for entry in entries if entry.event == "picture-shown"]
        assert len(shown) == 1
        assert len(shown[0].details["sha256"]) == 1
        assert [entry for entry in entries if entry.event == "pictures-shown-blurred"]

    def test_two_reviewers_confirm_with_a_reason(self, reviewer: User, lawyer: User) -> None:
        page = reviewer.open("/cases")
        expect(page.get_by_text("report asked for")).to_be_visible()
        seen(page, "queue")
        follow(page, page.locator("table a").first)
        seen(page, "case")
        page.get_by_label("Confirm: this file reproduces the face").check()
        page.get_by_label("Reason", exact=False).first.fill(
            "one face throughout, none without the file"
        )
        press(page, "Decide")
        expect(page.get_by_role("alert")).to_contain_text("nothing is confirmed unseen")
        seen(page, "case_unseen")
        open_pairs(page, 3)
        page.get_by_label("Confirm: this file reproduces the face").check()
        page.get_by_label("Reason", exact=False).first.fill(
            "one face throughout, none without the file"
        )
        press(page, "Decide")
        expect(page.get_by_text("waits for a second reviewer").first).to_be_visible()
        page.get_by_label("Confirm: this file reproduces the face").check()
        page.get_by_label("Reason", exact=False).first.fill("again")
        press(page, "Decide")
        expect(page.get_by_role("alert")).to_contain_text("has confirmed this case already")
        second = lawyer.open("/cases")
        second.get_by_text("Decide about the ticked ones").click()
        assert second.get_by_label("Decision").locator("option[value=confirm]").count() == 0
        follow(second, second.locator("table a").first)
        open_pairs(second, 3)
        second.get_by_label("Confirm: this file reproduces the face").check()
        second.get_by_label("Reason", exact=False).first.fill("seen and agreed")
        press(second, "Decide")
        expect(second.get_by_role("status")).to_contain_text("The decision is recorded.")

    def test_the_lawyer_notes_exports_and_drafts_a_notice(self, lawyer: User, folder: Path) -> None:
        page = lawyer.open("/cases?status=all")
        follow(page, page.locator("table a").first)
        page.get_by_text("Add a note, a correction or an appeal").click()
        page.get_by_label("Text").fill("talk to the hub first")
        press(page, "Add")
        expect(page.get_by_text("talk to the hub first")).to_be_visible()
        seen(page, "case_confirmed")
        with page.expect_download() as report:
            page.get_by_role("link", name="HTML").click()
        html = Path(report.value.path()).read_text("utf-8")
        assert "one face throughout" in html
        assert "talk to the hub first" not in html  # a note is not part of the report
        with page.expect_download() as bundle:
            press(page, "Evidence bundle (zip)")
        with zipfile.ZipFile(bundle.value.path()) as archive:
            assert any(name.endswith("manifest-sha256.txt") for name in archive.namelist())
        follow(page, page.get_by_role("link", name="Draft a notice"))
        page.get_by_label("Kind of notice").select_option("us-take-it-down")
        expect(page).to_have_url(re.compile("kind=us-take-it-down"))
        seen(page, "notice_new")
        press(page, "Draft")
        expect(page.get_by_role("alert")).to_contain_text(
            "Still missing"
        )  # a missing field is named
        page.get_by_label("Kind of notice").select_option("eu-dsa-16")
        expect(page).to_have_url(re.compile("kind=eu-dsa-16"))
        for name, value in FIELDS.items():
            if page.locator(f"#field-{name}").count():
                page.locator(f"#field-{name}").fill(value)
        page.locator("#field-good_faith").check()
        press(page, "Draft")
        expect(page.get_by_role("status")).to_contain_text("The notice was drafted")
        with page.expect_download() as notice:
            page.get_by_role("link", name="text").click()
        assert NAME in Path(notice.value.path()).read_text("utf-8")
        tracker = lawyer.open("/notices")
        tracker.get_by_label("What happened to", exact=False).select_option("sent")
        press(tracker, "Record")
        expect(tracker.locator("table")).to_contain_text("sent")
        seen(tracker, "notices")

    def test_the_person_takes_the_report_with_them(self, holder: User) -> None:
        page = holder.open("/likeness")
        follow(page, page.get_by_role("main").get_by_role("link", name=NAME))
        follow(page, page.locator("a.card").first)
        with page.expect_download() as report:
            page.get_by_role("link", name="Report as PDF").click()
        assert Path(report.value.path()).read_bytes().startswith(b"%PDF")
        page.get_by_label("I contest the decision").check()
        page.get_by_label("What you want to say").fill("there is a second file")
        press(page, "Send")
        expect(page.get_by_role("status")).to_contain_text("Added to the record.")


class TestOthers:
    def test_an_auditor_reads_the_log_and_changes_nothing(self, users: Users) -> None:
        auditor = users.get("Uma Frey", Role.AUDITOR)
        page = auditor.open("/audit?check=yes")
        expect(page.get_by_role("status")).to_have_text("The chain is intact.")
        seen(page, "audit")
        page = auditor.open("/cases?status=all")
        follow(page, page.locator("table a").first)
        expect(page.locator("form.picture")).to_have_count(0)
        expect(page.get_by_role("button", name="Decide")).to_have_count(0)
        seen(auditor.open("/transparency"), "transparency")

    def test_an_administrator_invites_and_disables(self, users: Users) -> None:
        admin = users.get("Ann Min", Role.ADMIN)
        page = admin.open("/accounts")
        page.get_by_text("Invite somebody").click()
        page.get_by_label("E-mail address").fill("new@example.org")
        page.get_by_label("reviewer: decides about cases").check()
        press(page, "Make the link")
        assert "/invitation/" in page.locator("#link").inner_text()
        follow(page, page.get_by_role("link", name="Ben Okri"))
        seen(page, "person_account")
        press(page, "Disable")
        expect(page.get_by_text("disabled")).to_be_visible()
        out = users.get("Ben Okri").page
        out.goto(f"{users.url}/likeness")
        expect(out).to_have_url(re.compile("/sign-in"))


class TestChinese:
    def test_on_a_phone_in_chinese(self, users: Users) -> None:
        phone = users.get(
            NAME, Role.RIGHTS_HOLDER, language="zh-CN", viewport=PHONE, color_scheme="dark"
        )
        phone.context.add_cookies([{"name": "language", "value": "zh-CN", "url": phone.url}])
        for path, name in (
            ("/likeness", "zh_likeness"),
            ("/likeness/new", "zh_consent"),
            ("/account", "zh_account"),
        ):
            page = phone.open(path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
            seen(page, name)
        page = phone.open("/likeness")
        follow(page, page.get_by_role("main").get_by_role("link", name=NAME))
        seen(page, "zh_likeness_one")
        follow(page, page.locator("a.card").first)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        seen(page, "zh_own_case")
        for name, role, path in (
            ("Rita Mann", Role.REVIEWER, "/cases?status=all"),
            ("Olga Park", Role.OPERATOR, "/scans"),
            ("Li Na", Role.LEGAL, "/captures"),
            ("Olga Park", Role.OPERATOR, "/registrations"),
        ):
            one = users.get(name, role, language="zh-CN")
            one.context.add_cookies([{"name": "language", "value": "zh-CN", "url": one.url}])
            seen(one.open(path), f"zh_{path.split('?')[0].strip('/')}")
        page = users.get("Rita Mann", Role.REVIEWER, language="zh-CN").open("/cases?status=all")
        follow(page, page.locator("table a").first)
        seen(page, "zh_case")


class TestCaptures:
    def test_a_saved_page_is_taken_in_searched_released_and_corrected(
        self, lawyer: User, reviewer: User, folder: Path
    ) -> None:
        page = lawyer.open("/captures")
        seen(page, "captures_empty")
        page.get_by_label("A capture").set_input_files(saved_page(folder, "account.html", SEED))
        page.get_by_label("Made with").fill("Chromium 140")
        press(page, "Send and search")
        expect(page.locator("table .tag.warn")).to_have_text("possible")
        seen(page, "capture_held")
        page = lawyer.open("/captures")
        follow(page, page.get_by_role("link", name="account.html"))
        expect(page.get_by_role("button", name="Release")).to_have_count(
            0
        )  # whoever added it cannot
        self.release(reviewer, lawyer, "account.html")
        page = lawyer.open("/captures")
        follow(page, page.get_by_role("link", name="account.html"))
        expect(page.locator("dl").first).to_contain_text("Li Na")
        expect(page.get_by_text("Remove this capture")).to_have_count(0)  # a case rests on it
        page.get_by_text("Correct what was read").click()
        page.get_by_label("Account", exact=True).fill("小王")
        page.get_by_label("Site").fill("wechat")
        for wrong in ("nan", "-5", "1e400", "cheap"):
            page.get_by_label("Price").fill(wrong)
            press(page, "Save")
            expect(page.get_by_role("alert")).to_contain_text("Write the price as a number.")
            expect(page.get_by_label("Account", exact=True)).to_have_value("小王")
        page.get_by_label("Price").fill("1,299")
        seen(page, "capture")
        press(page, "Save")
        expect(page.get_by_role("status")).to_contain_text("Saved.")
        expect(page.locator("dl").nth(1)).to_contain_text("1,299.00")
        expect(page.locator("dl").nth(1)).to_contain_text("Read before")
        seen(page, "capture_corrected")
        page = lawyer.open("/captures?find=小王")
        expect(page.locator("tbody tr")).to_have_count(1)
        seen(page, "captures_found")
        expect(lawyer.open("/captures?find=nobody").get_by_role("main")).to_contain_text(
            "No capture contains this"
        )
        press(lawyer.open("/captures"), "Search again")
        expect(page.locator("table")).to_contain_text("小王 · wechat")
        self.release(reviewer, lawyer, "account.html")  # as another account's
        queue = lawyer.open("/cases?status=superseded")
        expect(queue.locator("table tbody tr")).to_have_count(
            1
        )  # the case of the account replaces the case of the page

    def release(self, reviewer: User, lawyer: User, name: str) -> None:
        """Another person releases what waits, and everything is searched again."""
        page = reviewer.open("/captures")
        expect(page.locator("table")).to_contain_text("waits for a second person")
        follow(page, page.get_by_role("link", name=name))
        seen(page, "capture_waiting")
        page.get_by_label("Reason").first.fill("an impostor's page")
        press(page, "Release")
        expect(page.get_by_role("status")).to_contain_text("The decision is recorded.")
        page = lawyer.open("/scans")
        follow(page, page.locator("table tbody a").first)
        expect(page.locator("table .tag.bad").first).to_have_text("match")

    def test_what_was_sent_by_mistake_is_removed(self, lawyer: User, folder: Path) -> None:
        page = lawyer.open("/captures")
        page.get_by_label("A capture").set_input_files(
            saved_page(folder, "private.html", 3_000_001)
        )
        press(page, "Send and search")
        expect(page.locator("table .tag.good")).to_have_text("clear")
        page = lawyer.open("/captures")
        follow(page, page.get_by_role("link", name="private.html"))
        page.get_by_text("Remove this capture").click()
        page.get_by_label("Reason").fill("not ours to keep")
        press(page, "Remove")
        expect(page.get_by_role("status")).to_contain_text("The capture was removed.")
        expect(page.get_by_text("private.html")).to_have_count(0)


class TestWithdrawal:
    def test_two_clicks_and_a_signed_receipt(
        self, holder: User, served: Served, folder: Path
    ) -> None:
        page = holder.open("/likeness")
        follow(page, page.get_by_role("main").get_by_role("link", name=NAME))
        follow(page, page.get_by_role("link", name="Withdraw"))
        seen(page, "withdraw")
        press(page, "Erase now")
        expect(page.get_by_role("heading", level=1)).to_have_text("Erased")
        seen(page, "erased")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save the signed receipt").click()
        receipt = verify_receipt(json.loads(Path(saved.value.path()).read_text("utf-8")))
        assert receipt.photos_erased == 5
        vault = open_vault(Settings(home=served.home))
        [other] = vault.people.all()
        assert other.name == "Dana Fox"
        where = "identity_id <> ?"
        assert vault.db.table("documents").count_where(where, [other.identity_id]) == 0
        vault.close()
        left = bytes_below(served.home / "vault")
        for trace in (NAME, holder.email, "Yue"):
            assert trace.encode() not in left
