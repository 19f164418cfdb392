"""Rules that need two people compare logins, not the names that people give themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from face_index.errors import NotDecidable
from face_index.identity import Identity
from face_index.vault import Submission, Vault
from face_index.vault.logins import is_named, plain, same_person, share_a_mark
from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.cases.review import review_details
from reports.errors import ReviewRefused
from scanner import environment
from scanner.casework.service import CaseService
from scanner.environment import system_login
from scanner.errors import SettingsInvalid
from scanner.miniature.albums import draw_photos
from scanner.settings import Settings, load_settings
from scanner.web.auth.access import Role
from scanner.web.context import AppContext
from scanner.web.errors import AccountRefused
from tests.cases import AT, make_case
from tests.conftest import NOON, proof
from tests.opening import open_service
from tests.test_cli import run

ALICE, BOB = ("uid 1000", "user alice"), ("uid 1001", "user bob")


@pytest.fixture
def submitted(vault: Vault, submission: Submission) -> Identity:
    vault.audit.login = ALICE
    return vault.enrolments.submit(submission, NOON)


class TestApproval:
    @pytest.mark.parametrize(
        "operator", ["olga", "bob", "Sam ", "ＳＡＭ", "s\u00e1m", "s.a.m", "Sa\u200bm"]
    )
    def test_the_login_that_submitted_does_not_approve(
        self, vault: Vault, submitted: Identity, operator: str
    ) -> None:
        with pytest.raises(NotDecidable, match="another operator must"):
            vault.enrolments.approve(submitted.identity_id, operator, proof(), NOON)

    @pytest.mark.parametrize(
        "login", [("uid 0", "user root", "uid 1000"), ("uid 2000", "user ALICE"), ("uid 1000",)]
    )
    def test_nor_does_it_through_sudo_or_under_half_its_marks(
        self, vault: Vault, submitted: Identity, login: tuple[str, ...]
    ) -> None:
        vault.audit.login = login
        with pytest.raises(NotDecidable, match="login of their own"):
            vault.enrolments.approve(submitted.identity_id, "olga", proof(), NOON)

    def test_nor_whoever_is_named_as_the_other(
        self, vault: Vault, submitted: Identity, submission: Submission
    ) -> None:
        vault.audit.login = BOB
        with pytest.raises(NotDecidable, match="login of their own"):
            vault.enrolments.approve(
                submitted.identity_id, "Alice", proof(), NOON
            )  # who was logged in when sam was named
        other = vault.enrolments.submit(
            replace(submission, name="person-2", submitted_by="Alice"), NOON
        )
        vault.audit.login = ALICE
        with pytest.raises(NotDecidable, match="login of their own"):
            vault.enrolments.approve(other.identity_id, "olga", proof(), NOON)

    def test_another_login_does_and_both_are_in_the_log(
        self, vault: Vault, submitted: Identity
    ) -> None:
        vault.audit.login = BOB
        vault.enrolments.approve(submitted.identity_id, "olga", proof(), NOON)
        told = {entry.event: entry.details for entry in vault.audit.about(submitted.identity_id)}
        assert (told["submitted"]["login"], told["approved"]["login"]) == (list(ALICE), list(BOB))
        assert "two_people" not in told["approved"]
        assert vault.audit.problems() == []

    @pytest.mark.parametrize("operator", ["olga", "sam"])
    def test_who_works_alone_says_so_and_the_log_keeps_it(
        self, vault: Vault, submitted: Identity, operator: str
    ) -> None:
        vault.enrolments.approve(submitted.identity_id, operator, proof(), NOON, two_people=False)
        assert "off" in list(vault.audit.about(submitted.identity_id))[-1].details["two_people"]


class TestCommands:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        home = tmp_path / "home"
        home.mkdir()
        (home / "portrait-scanner.toml").write_text('face_pack = "miniature"\n')
        return home

    def test_two_names_from_one_login_are_one_person(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw_photos(900, 4, tmp_path / "photos")
        enrolled = run(
            "enroll",
            "Mina Held",
            tmp_path / "photos",
            "--submitted-by",
            "alice",
            "--yes",
            "--json",
            home=home,
        )
        assert enrolled.returncode == 0, enrolled.stderr
        approving = ("approve", "Mina Held", "--operator", "bob", "--proof", "passport", "--json")
        for name, value in (
            ("USER", "bob"),
            ("LOGNAME", "bob"),
            ("SUDO_USER", "bob"),
            ("SUDO_UID", "4711"),
            ("PORTRAIT_SCANNER_OPERATOR", "bob"),
        ):
            monkeypatch.setenv(name, value)
            refused = run(*approving, home=home)
            assert (refused.returncode, "login of their own" in refused.stderr) == (3, True), name
        warned = json.loads(run("doctor", "--json", home=home).stdout)
        assert not any("two_people" in sentence for sentence in warned["missing"])
        with (
            monkeypatch.context() as elsewhere
        ):  # one's own environment or folder is not the place to say so
            elsewhere.setenv("PORTRAIT_SCANNER_TWO_PEOPLE", "false")
            refused = run(*approving, home=home)
            assert (refused.returncode, "in " in refused.stderr) == (2, True)
        with (home / "portrait-scanner.toml").open("a") as settings:
            settings.write("two_people = false\n")
        assert json.loads(run(*approving, home=home).stdout)["status"] == "active"
        warned = json.loads(run("doctor", "--json", home=home).stdout)
        assert any("two_people" in sentence for sentence in warned["missing"])
        assert "two_people" in run("audit", "show", "--json", home=home).stdout


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "kept"),
        [("two_people", False, ""), ("four_eyes", False, "four_eyes = true\n")],
    )
    def test_only_the_homes_own_file_turns_a_rule_off(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: bool, kept: str
    ) -> None:
        home, work = tmp_path / "home", tmp_path / "work"
        home.mkdir()
        work.mkdir()
        (home / "portrait-scanner.toml").write_text(kept)
        monkeypatch.chdir(work)
        (work / "portrait-scanner.toml").write_text(f"{name} = false\n")
        with pytest.raises(SettingsInvalid, match=f"{name} can be turned off in"):
            load_settings({"home": home})
        (work / "portrait-scanner.toml").unlink()
        with monkeypatch.context() as patch, pytest.raises(SettingsInvalid, match=name):
            patch.setenv(f"PORTRAIT_SCANNER_{name.upper()}", "false")
            load_settings({"home": home})
        (home / "portrait-scanner.toml").write_text(f"{name} = false\n")
        assert getattr(load_settings({"home": home}), name) is value


class TestReviews:
    @pytest.fixture
    def confirmed(self, case_store: CaseStore) -> Callable[..., Case]:
        case = make_case(case_store)

        def confirm(name: str, login: tuple[str, ...], *, two_people: bool = True) -> Case:
            now = case_store.case(case.case_id)
            details = review_details(
                now, name, "confirm", "a reason", four_eyes=True, login=login, two_people=two_people
            )
            case_store.add(case.case_id, "review", name, AT, dict(details))
            return case_store.case(case.case_id)

        return confirm

    @pytest.mark.parametrize(
        ("name", "login"),
        [
            ("Omar", ALICE),
            ("Omar", ("uid 0", "uid 1000")),
            ("Omar", ("uid 5", "user li_na")),
            ("alice", BOB),
        ],
    )
    def test_the_second_pair_of_eyes_is_another_login(
        self, confirmed: Callable[..., Case], name: str, login: tuple[str, ...]
    ) -> None:
        assert confirmed("Li Na", ALICE).status == "second-review"
        with pytest.raises(ReviewRefused, match="login of their own"):
            confirmed(name, login)
        assert confirmed("Omar", BOB).status == "confirmed"

    def test_who_works_alone_says_so(self, confirmed: Callable[..., Case]) -> None:
        confirmed("Li Na", ALICE, two_people=False)
        case = confirmed("Omar", ALICE, two_people=False)
        assert case.status == "confirmed"
        assert "off" in case.entries[-1].details["two_people"]

    @pytest.fixture
    def service(self, settings: Settings) -> Iterator[CaseService]:
        opened = open_service(settings.model_copy(update={"four_eyes": True}), lambda: AT)
        yield opened
        opened.close()

    def test_pictures_that_another_login_opened_are_not_seen_by_this_one(
        self, service: CaseService
    ) -> None:
        case = make_case(service.case_store)
        service.vault.audit.login = ALICE
        service.note_shown(
            case,
            blurred=False,
            sha256=[
                one
                for sample in case.samples
                for one in (sample.image_sha256, sample.control_sha256)
                if one
            ],
        )
        assert service.viewing(case).opened
        service.vault.audit.login = (
            BOB  # under the same name, as an installation's settings give it to everybody
        )
        assert not service.viewing(case).opened


class TestAccounts:
    @pytest.mark.parametrize("name", ["LI NA", "Li-Na", "Lí Nà", "Ｌｉ　Ｎａ", "LiNa"])
    def test_two_of_the_staff_are_not_called_the_same_however_it_is_written(
        self, settings: Settings, name: str
    ) -> None:
        app_context = AppContext(settings)
        app_context.accounts.create("li@example.org", "Li Na", [Role.REVIEWER], None)
        with pytest.raises(AccountRefused, match="name-taken"):
            app_context.accounts.create("other@example.org", name, [Role.LEGAL], None)
        app_context.close()


class TestLogins:
    def test_the_environment_names_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = system_login()
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
            monkeypatch.setenv(name, "somebody")
        assert system_login() == before
        monkeypatch.setenv("SUDO_USER", "carol")
        assert set(before) < set(system_login())
        monkeypatch.setattr(environment, "_signed_in", lambda: None)
        assert {f"uid {os.getuid()}", "user carol"} <= set(system_login())

    def test_who_signed_in_counts_where_the_kernel_knows(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "loginuid").write_text("54321")
        monkeypatch.setattr(environment, "_LOGIN_UID", tmp_path / "loginuid")
        monkeypatch.setenv("SUDO_USER", "carol")
        assert {"uid 54321", f"uid {os.getuid()}"} <= set(
            system_login()
        )  # it takes nobody else's place: some may write it
        for nobody in ("4294967295", "", "x"):
            (tmp_path / "loginuid").write_text(nobody)
            assert f"uid {os.getuid()}" in system_login()

    def test_a_user_namespace_makes_nobody_else_of_anybody(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "uid_map").write_text(
            f"      4242 {os.getuid()}          1\n"
        )  # unshare --user --map-user=4242
        monkeypatch.setattr(environment, "_UID_MAP", tmp_path / "uid_map")
        outside = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: 4242)
        assert f"uid {outside}" in system_login()
        assert "uid 4242" not in system_login()

    def test_names_are_compared_as_people_mean_them(self) -> None:
        assert same_person("Ólga  Pető", "olga peto")
        assert same_person("ｏｌｇａ", "O.L.G.A.")
        assert not same_person("कमल", "कमला")
        assert not same_person("李娜", "李安")
        assert plain(" Straße ") == "strasse"
        assert not share_a_mark(("account a.b@x.org",), ("account ab@x.org",))
        assert share_a_mark(("account A@x.org",), ("account a@X.org",))
        assert not share_a_mark((), ())
        assert is_named(("uid 1", "user li_na"), "Li Na")
