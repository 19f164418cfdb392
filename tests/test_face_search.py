"""Captures are no face search: a picture of the caller's choice names nobody for the caller."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from crawlers.captures.capture_store import CaptureStore
from face_index.vault import Submission
from scanner.captures.search_limit import searches_on
from scanner.captures.subjects import subjects_of
from scanner.cli.installation_checks import examine_installation
from scanner.clock import utc_now
from scanner.errors import ReleaseRefused
from scanner.factories import open_intake
from scanner.miniature.demo import register_world
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.records import CaptureVerdict
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.web.auth.access import Role
from scanner.web.queue.capture_jobs import rows_of
from tests.conftest import PHOTO, Silent, prototypes_of
from tests.opening import judge_captures, open_session
from tests.registering import release_all
from tests.test_cli import run
from tests.test_page_safety import Site

REGISTERED, STRANGER = 108, 3_000_001
PLACE = "https://social.example/post/1"


@pytest.fixture(scope="module")
def world_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the miniature world's people are registered."""
    home = tmp_path_factory.mktemp("world") / "home"
    scan_session = open_session(Settings(home=home, face_pack="miniature", device="cpu"))
    register_world(scan_session, Silent())
    scan_session.close()
    (home / "portrait-scanner.toml").write_text('face_pack = "miniature"\n')
    return home


@pytest.fixture
def settings(world_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(world_home, tmp_path / "home")
    return Settings(home=tmp_path / "home", face_pack="miniature", device="cpu", operator="omar")


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings)
    yield opened
    opened.close()


def photo(seed: int, number: int, size: int = 256) -> Image.Image:
    return Image.fromarray(draw_photo(person_of(seed), number, 128).pixels).resize((size, size))


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def saved(
    folder: Path, name: str, pictures: Sequence[Image.Image], words: str = "", place: str = PLACE
) -> Path:
    """A page in one file, as SingleFile saves it."""
    shown = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(png(one)).decode()}">'
        for one in pictures
    )
    note = (
        f"<!--\n Page saved with SingleFile \n url: {place} \n saved date: Mon Nov 23 2026\n-->"
        if place
        else ""
    )
    path = folder / f"{name}.html"
    path.write_text(
        f"<!DOCTYPE html><html>{note}<head><title>{name}</title></head>"
        f"<body>{words}{shown}</body></html>"
    )
    return path


def loose(folder: Path, pictures: Sequence[Image.Image]) -> list[Path]:
    paths = []
    for number, one in enumerate(pictures):
        paths.append(folder / f"{number}.png")
        paths[-1].write_bytes(png(one))
    return paths


def takes(
    settings: Settings,
    paths: Sequence[Path],
    by: str = "olga",
    account: tuple[str, str] | None = None,
) -> None:
    taking = open_intake(settings)
    for path in paths:
        taking.take_one(path, by, account=account)
    taking.close()


def judged(scan_session: ScanSession) -> list[CaptureVerdict]:
    return list(judge_captures(scan_session))


def answers_of(found: list[CaptureVerdict]) -> list[dict[str, Any]]:
    """The JSON answer without the values that depend on the file's own name and hash."""
    return [{**asdict(one), "key": "", "name": ""} for one in found]


def names_nobody(scan_session: ScanSession, found: list[CaptureVerdict]) -> None:
    """The answers and the stored verdicts hold no name, id, score or case."""
    everything = json.dumps(
        [asdict(one) for one in found]
    ) + scan_session.settings.scans_path.read_bytes().decode("latin-1")
    for identity in scan_session.vault.people.all():
        assert identity.name not in everything
        assert identity.identity_id not in json.dumps([asdict(one) for one in found])
    assert not any(one.cases or one.identities for one in found)
    assert not any("0." in one.reason for one in found)
    assert list(scan_session.case_store.cases()) == []


VARIANTS: dict[str, Callable[[Image.Image], list[Image.Image]]] = {
    "one": lambda one: [one],
    "sizes": lambda one: [one, one.resize((200, 200)), one.resize((333, 333))],
    "flips and crops": lambda one: [
        one,
        ImageOps.mirror(one),
        one.crop((20, 15, 235, 245)),
        one.crop((45, 35, 210, 220)),
    ],
    "light": lambda one: [
        one,
        one.point(lambda value: int(255 * (value / 255) ** 1.8)),
        ImageOps.mirror(one).point(lambda value: value // 2),
    ],
    "turned and stretched": lambda one: [one, one.rotate(8, expand=True), one.resize((256, 220))],
    "among strangers": lambda one: [one, *(photo(STRANGER + number, 5) for number in range(1, 5))],
}


class TestOnePicture:
    """The attack: one photo of somebody, and the program says who it is."""

    @pytest.mark.parametrize(
        "account", [None, ("wechat", "xiaowang")], ids=["bare", "with a stated account"]
    )
    def test_a_loose_photo_names_nobody_and_is_not_searched(
        self, scan_session: ScanSession, tmp_path: Path, account: tuple[str, str] | None
    ) -> None:
        takes(scan_session.settings, loose(tmp_path, [photo(REGISTERED, 700)]), account=account)
        found = judged(scan_session)
        names_nobody(scan_session, found)
        assert [(one.outcome, one.searched, one.faces) for one in found] == [
            ("inconclusive", False, 0)
        ]
        assert "WARC" in found[0].reason

    def test_the_command_says_as_much_and_no_more(self, settings: Settings, tmp_path: Path) -> None:
        [path] = loose(tmp_path, [photo(REGISTERED, 700)])
        done = run("intake", path, "--json", home=settings.home)
        assert done.returncode == 0, done.stderr
        assert "person-" not in done.stdout + done.stderr
        [one] = json.loads(done.stdout)["judged"]
        assert (one["outcome"], one["cases"], one["identities"]) == ("inconclusive", [], [])

    @pytest.mark.parametrize("how", VARIANTS)
    def test_a_page_with_one_picture_answers_alike_for_registered_and_strangers(
        self, scan_session: ScanSession, tmp_path: Path, how: str
    ) -> None:
        """Also where the picture comes several times, changed as anybody can change a picture."""
        for seed in (REGISTERED, STRANGER):
            takes(
                scan_session.settings,
                [
                    saved(
                        tmp_path,
                        f"p{seed}",
                        VARIANTS[how](photo(seed, 700)),
                        place=f"{PLACE}{seed}",
                    )
                ],
            )
        found = judged(scan_session)
        names_nobody(scan_session, found)
        answers = answers_of(found)
        assert answers[0] == answers[1]
        assert len(answers) == 2


FOUR = tuple(range(700, 704))


def four(seed: int) -> list[Image.Image]:
    return [photo(seed, number) for number in FOUR]


class TestTwoPeople:
    def test_an_account_names_nobody_before_a_second_person_released_it(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        takes(scan_session.settings, [saved(tmp_path, "page", four(REGISTERED))])
        found = judged(scan_session)
        names_nobody(scan_session, found)
        [one] = found
        assert (one.outcome, one.held, one.reason) == (
            "possible",
            True,
            "somebody registered may be shown; a second person must release it",
        )
        for name in ("olga", " OLGA ", "Omar"):
            with pytest.raises(ReleaseRefused, match="somebody else"):
                release_all(scan_session, name)
        names_nobody(scan_session, judged(scan_session))
        assert release_all(scan_session, "Li Na") == 1
        [one] = judged(scan_session)
        assert (one.outcome, one.held) == ("match", False)
        assert [scan_session.vault.people.find(identity).name for identity in one.identities] == [
            "person-108"
        ]
        assert release_all(scan_session, "Li Na") == 0
        assert judged(scan_session)[0].known

    def test_what_was_released_is_not_released_with_other_pictures(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        account = "<p>x</p>"
        takes(scan_session.settings, [saved(tmp_path, "page", four(STRANGER), account)])
        assert [one.outcome for one in judged(scan_session)] == ["clear"]
        assert release_all(scan_session, "Li Na") == 0  # nothing waits where nobody is shown
        edited(scan_session, "xiaowang", "wechat")
        takes(
            scan_session.settings, loose(tmp_path, four(REGISTERED)), account=("wechat", "xiaowang")
        )
        found = judged(scan_session)
        names_nobody(scan_session, found)
        assert [one.held for one in found] == [True]
        assert release_all(scan_session, "Li Na") == 1
        assert [len(one.cases) for one in judged(scan_session)] == [1]
        takes(
            scan_session.settings,
            loose(tmp_path, four(REGISTERED - 1)),
            account=("wechat", "xiaowang"),
        )
        [one] = judged(scan_session)
        assert (one.held, one.cases, one.identities) == (True, (), ())

    def test_what_a_second_person_refused_stays_untold(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        takes(scan_session.settings, [saved(tmp_path, "page", four(REGISTERED))])
        judged(scan_session)
        assert release_all(scan_session, "Li Na", "refuse") == 1
        for _ in range(2):
            found = judged(scan_session)
            names_nobody(scan_session, found)
            assert "did not release it" in found[0].reason
        assert release_all(scan_session, "Rita") == 0

    def test_pictures_of_a_stated_account_are_not_searched_before_it(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        """A stated account is a claim: the answer does not even say that a person may be shown."""
        for seed in (REGISTERED, STRANGER):
            takes(scan_session.settings, loose(tmp_path, four(seed)), account=("wechat", str(seed)))
        found = judged(scan_session)
        names_nobody(scan_session, found)
        answers = answers_of(found)
        assert answers[0] == answers[1]
        assert (answers[0]["searched"], "second person" in answers[0]["reason"]) == (False, True)
        assert all(one.known for one in judged(scan_session))
        assert release_all(scan_session, "Li Na") == 2
        assert sorted(one.outcome for one in judged(scan_session)) == ["clear", "match"]

    def test_names_on_a_page_are_no_sign_since_whoever_brings_it_may_have_written_them(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        """The attack: one photo on many pages, each with other names, until an answer differs."""
        answers = []
        for number, names in enumerate(("person-101 person-102", "person-108", "nobody at all")):
            page = saved(
                tmp_path,
                f"p{number}",
                [photo(REGISTERED, 700)],
                f"<p>{names}</p>",
                place=f"{PLACE}{number}",
            )
            takes(scan_session.settings, [page])
            found = [one for one in judged(scan_session) if not one.known]
            names_nobody(scan_session, found)
            answers.append([(one.outcome, one.reason, one.held) for one in found])
        assert answers[0] == answers[1] == answers[2]

    def test_a_name_that_was_typed_afterwards_is_no_sign(
        self, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        takes(scan_session.settings, [saved(tmp_path, "page", [photo(REGISTERED, 700)])])
        edited(scan_session, "xiaowang", "wechat", title="person-108", text="person-108")
        found = judged(scan_session)
        names_nobody(scan_session, found)
        assert not found[0].held

    def test_on_the_command_line(self, settings: Settings, tmp_path: Path) -> None:
        page = saved(tmp_path, "page", four(REGISTERED))
        taken = run("intake", page, "--by", "Li Na", "--json", home=settings.home)
        capture = json.loads(taken.stdout)["captures"][0]["capture_id"]
        for told in (
            taken,
            run("captures", "judge", home=settings.home),
            run("captures", "waiting", home=settings.home),
        ):
            assert "person-" not in told.stdout + told.stderr
        assert "waits for a second person" in run("captures", "list", home=settings.home).stdout
        command = ("captures", "release", capture[:12], "--reason", "an impostor", "--by")
        refused = run(*command, "li na", home=settings.home)
        assert (refused.returncode, "somebody else" in refused.stderr) == (2, True)
        alone = run(
            *command, "Rita", home=settings.home
        )  # another name from the same login is the same person
        assert (alone.returncode, "from a login of their own" in alone.stderr) == (2, True)
        with (settings.home / "portrait-scanner.toml").open("a") as file:
            file.write("two_people = false\n")
        assert run(*command, "Rita", home=settings.home).returncode == 0
        assert "person-108" in run("captures", "judge", home=settings.home).stdout
        log = run("audit", "show", "--json", home=settings.home).stdout
        assert all(
            event in log for event in ("capture-taken-in", "captured-searched", "captured-release")
        )


class TestPages:
    """The same in the web app: a lawyer who sends a capture learns nothing before its release."""

    def test_a_lawyer_who_took_it_in_cannot_release_it_and_another_can(
        self, settings: Settings, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        site = Site(settings)
        first, second, reader = (
            site.browser(name, role)
            for name, role in (
                ("first", Role.LEGAL),
                ("second", Role.REVIEWER),
                ("reader", Role.AUDITOR),
            )
        )
        taking = open_intake(settings)
        path = saved(tmp_path, "page", four(REGISTERED))
        capture = taking.take_one(path, "first", login="first@example.org").capture.capture_id
        taking.close()
        [one] = judged(scan_session)
        rows = rows_of(one, scan_session.case_store)
        assert [(row.case_id, row.score, row.outcome) for row in rows] == [(None, None, "possible")]
        place = f"/captures/{capture}"
        for browser in (first, second, reader):
            page = browser.get(place).text
            assert "may show somebody who is registered" in page
            assert "person-1" not in page + browser.get("/captures").text
        form = {
            "subject": one.key,
            "version": version_of(scan_session),
            "decision": "release",
            "reason": "an impostor",
        }
        assert 'name="decision"' not in first.get(place).text
        refused = first.post(f"{place}/release", data={**form, "csrf": first.csrf})  # type: ignore[attr-defined]
        assert (refused.status_code, "Somebody else must look" in refused.text) == (422, True)
        assert (
            reader.post(f"{place}/release", data={**form, "csrf": reader.csrf}).status_code == 403
        )  # type: ignore[attr-defined]
        csrf = {"csrf": second.csrf}  # type: ignore[attr-defined]
        for wrong in (
            {"version": "0" * 16},
            {"reason": ""},
            {"subject": "another"},
            {"decision": "x"},
        ):
            assert (
                second.post(f"{place}/release", data={**form, **csrf, **wrong}).status_code == 422
            ), wrong
        assert judged(scan_session)[0].held
        done = second.post(f"{place}/release", data={**form, **csrf})
        assert (done.status_code, done.headers["location"]) == (303, f"{place}?done=decided")
        assert [job.declared for job in site.app_context.jobs.newest(None, None, None, 5)] == [
            {"login": "second@example.org"}
        ]
        assert judged(scan_session)[0].outcome == "match"
        assert "may show somebody who is registered" not in first.get(place).text
        site.stranger.__exit__(None, None, None)


def version_of(scan_session: ScanSession) -> str:
    captures = CaptureStore(scan_session.crawl, scan_session.settings.captures_path)
    return next(iter(subjects_of(captures))).version


def edited(scan_session: ScanSession, account: str, platform: str, **more: str) -> None:
    """Say of every page whose it is, as somebody may."""
    captures = CaptureStore(scan_session.crawl, scan_session.settings.captures_path)
    for page in captures.pages():
        captures.edit(
            page.page_id,
            {"account_name": account, "platform": platform, **more},
            "olga",
            "2026-11-25",
        )


class TestTries:
    def test_a_day_has_so_many_searches_for_whoever_asks_and_whoever_brings(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        few = settings.model_copy(update={"searches_per_day": 2})
        pages = [
            saved(tmp_path, f"p{number}", four(STRANGER + number), place=f"{PLACE}{number}")
            for number in range(4)
        ]
        taking = open_intake(few)
        for path in pages[:3]:
            taking.take_one(path, "olga", login="olga@example.org")
        taking.take_one(pages[3], "rita", login="rita@example.org")
        now = [utc_now()]
        scan_session = open_session(few, clock=lambda: now[0])
        CaptureStore(scan_session.crawl, few.captures_path)

        def asked(by: str) -> list[bool]:
            return [one.searched for one in judge_captures(scan_session, asker=by)]

        assert asked("olga@example.org") == [
            False,
            False,
            True,
            True,
        ]  # Olga's third, and whatever she asks for
        assert searches_on(scan_session.vault, now[0].date()) == {"olga@example.org": 2}
        assert sorted(asked("max@example.org")) == [
            False,
            True,
            True,
            True,
        ]  # Rita's, for Max; not Olga's third
        now[0] += timedelta(days=1)
        assert asked("olga@example.org") == [True] * 4
        assert all(one.known for one in judge_captures(scan_session, asker="olga@example.org"))
        scan_session.close()
        taking.close()

    def test_doctor_tells_how_many_there_may_be_and_were(
        self, settings: Settings, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        takes(settings, [saved(tmp_path, "page", four(STRANGER))])
        judged(scan_session)
        told = examine_installation(settings)["captures"]
        assert told == {"searches a person may make a day": "200", "made today by omar": "1"}


class TestEnrolment:
    """Submitted photos are compared with everybody registered; submitters do not see the result."""

    def answers(self, settings: Settings, tmp_path: Path) -> dict[str, str]:
        """What the commands say about photos of somebody registered, and of a stranger."""
        told = {}
        for name, seed in (("Ann Alpha", REGISTERED), ("Bea Bravo", STRANGER)):
            folder = tmp_path / name.replace(" ", "")
            folder.mkdir()
            loose(folder, four(seed))
            done = run(
                "enroll",
                name,
                folder,
                "--yes",
                "--submitted-by",
                "sam",
                "--json",
                home=settings.home,
            )
            assert done.returncode == 0, done.stderr
            plain = run("identities", "--waiting", "--operator", "Sam", home=settings.home)
            assert "looks like" not in plain.stdout
            document = json.loads(done.stdout)
            told[name] = (
                json.dumps({**document, "identity_id": "", "name": "", "photos": []}) + done.stderr
            )
        return told

    def test_whoever_submits_photos_learns_nothing_of_whom_they_look_like(
        self, settings: Settings, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        told = self.answers(settings, tmp_path)
        assert told["Ann Alpha"] == told["Bea Bravo"]
        found = {one.name: one for one in scan_session.vault.people.all()}
        assert found["Ann Alpha"].status == "conflict"
        log = [
            entry.details
            for entry in scan_session.vault.audit.about(found["Ann Alpha"].identity_id)
        ]
        assert found["person-108"].identity_id not in json.dumps(log)
        shown = run("identities", "--waiting", "--operator", "olga", home=settings.home)
        assert "Ann Alpha looks like person-108" in shown.stdout
        assert scan_session.vault.audit.found(event="look-alikes shown")[0].actor == "olga"

    def test_an_agencys_list_is_answered_alike(self, settings: Settings, tmp_path: Path) -> None:
        for name, seed in (("a", REGISTERED), ("b", STRANGER)):
            (tmp_path / name).mkdir()
            loose(tmp_path / name, four(seed))
        (tmp_path / "list.csv").write_text("name,photos\nAnn Alpha,a\nBea Bravo,b\n")
        done = run("enroll-many", tmp_path / "list.csv", "--yes", "--json", home=settings.home)
        assert json.loads(done.stdout)["counts"] == {"pending": 2}
        lines = [
            json.loads(line)
            for line in (tmp_path / "list.csv.report.jsonl").read_text().splitlines()
        ]
        assert [(line["status"], line["reason"]) for line in lines] == [("pending", None)] * 2

    def test_an_operator_who_brought_somebody_sees_no_look_alike_on_the_pages(
        self, settings: Settings, scan_session: ScanSession, tmp_path: Path
    ) -> None:
        site = Site(settings)
        own, other = (site.browser(name, Role.OPERATOR) for name in ("own", "other"))
        known = scan_session.vault.people.find("person-108")
        version = scan_session.faces.reader.version
        consent = replace(known.consent, signed_by="Ann Alpha")
        submission = Submission(
            "Ann Alpha",
            consent,
            prototypes_of(1),
            version,
            [PHOTO],
            2,
            "own@example.org",
            lookalikes=[(known.identity_id, 0.97)],
        )
        submitted = scan_session.vault.enrolments.submit(submission, utc_now())
        place = f"/registrations/{submitted.identity_id}"
        for page in (own.get(place).text, own.get("/registrations?q=ann").text):
            assert "looks like" not in page.casefold()
            assert "person-108" not in page
        assert "person-108" in other.get(place).text
        assert "looks like" in other.get("/registrations?q=ann").text
        site.stranger.__exit__(None, None, None)
