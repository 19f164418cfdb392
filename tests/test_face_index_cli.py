"""The commands of the face index, in the order in which a person comes and goes."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from scanner.cli.app import ExitCode
from scanner.miniature.albums import draw_photos
from tests.conftest import bytes_below
from tests.test_cli import run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that uses the miniature pack without being told each time."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "portrait-scanner.toml").write_text('face_pack = "miniature"\noperator = "olga"\n')
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    assert run("miniature", "photos", "777", folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    assert run("miniature", "people", folder, "--count", "80", "--photos", "4").returncode == 0
    return folder


def test_a_person_comes_and_goes(home: Path, photos: Path, tmp_path: Path) -> None:
    enrolled = run(
        "enroll", "Erika Mustermann", photos, "--submitted-by", "sam", "--yes", "--json", home=home
    )
    assert enrolled.returncode == 0, enrolled.stderr
    document = json.loads(enrolled.stdout)
    assert document["status"] == "pending"
    assert document["accepted"] >= 6
    waiting = run("identities", "--waiting", home=home)
    assert "Erika" in waiting.stdout
    same = run("approve", "Erika Mustermann", "--operator", "Sam", "--proof", "passport", home=home)
    assert same.returncode == ExitCode.COULD_NOT_FINISH
    assert "another operator must" in same.stderr
    alone = run("approve", "Erika Mustermann", "--proof", "passport", home=home)
    assert "login of their own" in alone.stderr
    with (home / "portrait-scanner.toml").open("a") as settings:
        settings.write("two_people = false\n")
    assert "active" in run("approve", "Erika Mustermann", "--proof", "passport", home=home).stdout
    assert "No" in run("identities", "--waiting", home=home).stdout
    renewed = run(
        "consent",
        "renew",
        "Erika Mustermann",
        "--expires",
        "2090-01-31",
        "--terms",
        "permitted",
        "--yes",
        home=home,
    )
    assert "2090-01-31" in renewed.stdout
    shown = json.loads(run("consent", "show", "Erika Mustermann", "--json", home=home).stdout)
    assert [one["terms"] for one in shown["consents"]] == ["prohibited", "permitted"]
    assert shown["proofs"][0]["checked_by"] == "olga"
    granted = run(
        "licence",
        "grant",
        "Erika Mustermann",
        "--uploader",
        "civitai:friend",
        "--until",
        "2089-01-01",
        "--json",
        home=home,
    )
    licence = json.loads(granted.stdout)["licence_id"]
    assert "friend" in run("licence", "list", "Erika Mustermann", home=home).stdout
    assert run("licence", "revoke", licence[:8], home=home).returncode == 0
    assert run("vault", "backup", home=home).returncode == 0
    status = json.loads(run("vault", "status", "--json", home=home).stdout)
    assert status["people"]["searched"] == 1
    assert status["backups"][0]["there"]
    receipt = tmp_path / "erased.json"
    assert (
        "1 backup(s)" in run("withdraw", "Erika Mustermann", "--receipt", receipt, home=home).stdout
    )
    assert b"Mustermann" not in bytes_below(home)
    again = run("withdraw", "anybody", "--receipt", receipt, home=home)
    assert again.returncode == ExitCode.USAGE
    assert "exists already" in again.stderr
    exported = tmp_path / "all.jsonl"
    assert run("vault", "erasures", "--out", exported, home=home).returncode == 0
    assert run("receipt", exported).stdout.startswith("Sound")
    checked = run("receipt", receipt, "--fingerprint", status["receipt_key_fingerprint"])
    assert checked.stdout.startswith("Sound")
    assert (
        run("receipt", receipt, "--fingerprint", "00" * 32).returncode == ExitCode.COULD_NOT_FINISH
    )
    assert run("vault", "check", home=home).returncode == 0
    assert run("vault", "rotate-key", home=home).returncode == 0
    restored = run("vault", "restore", status["backups"][0]["path"], "--json", home=home)
    assert restored.returncode == 0, restored.stderr
    verified = run("audit", "verify", home=home)
    assert verified.returncode == 0, verified.stderr
    assert "restored" in run("audit", "show", home=home).stdout


def test_refusals_come_in_the_readers_language(home: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    done = run("enroll", "X", tmp_path / "broken.jpg", "--yes", "--lang", "zh-CN", home=home)
    assert done.returncode == ExitCode.COULD_NOT_FINISH
    assert "无法读取" in done.stderr
    two = run("enroll", "Y", photos, "--born", "2015-01-01", "--yes", home=home)
    assert two.returncode == ExitCode.COULD_NOT_FINISH
    assert "--guardian" in two.stderr
    paper = tmp_path / "signed.pdf"
    paper.write_bytes(b"%PDF-1.7 signed")
    child = run(
        *("enroll", "Kid", photos, "--born", "2015-01-01", "--guardian", "Parent"),
        *("--consent-document", paper, "--submitted-by", "sam", "--json"),
        home=home,
    )
    assert child.returncode == 0, child.stderr
    assert run("reject", "Kid", "--reason", "guardian not known", home=home).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["enroll", "X", ".", "--terms", "anything", "--yes"],
            ExitCode.USAGE,
            "permitted-with-terms",
        ),
        (["enroll", "X", ".", "--expires", "31.1.2030", "--yes"], ExitCode.USAGE, "2028-01-31"),
        (["enroll", "X", ".", "--pick", "a.png", "--yes"], ExitCode.USAGE, "PHOTO=NUMBER"),
        (
            ["enroll", "X", ".", "--guardian", "A", "--agent", "B", "--yes"],
            ExitCode.USAGE,
            "not both",
        ),
        (["withdraw"], ExitCode.USAGE, "--ended"),
        (["withdraw", ""], ExitCode.USAGE, "no identity"),
        (["approve", "nobody", "--proof", "\udcff"], ExitCode.USAGE, "nobody"),
        (
            ["licence", "grant", "x", "--until", "2020-01-01", "--hub", "civitai"],
            ExitCode.USAGE,
            "has passed",
        ),
        (
            ["enroll", "X", "README.md", "--yes"],
            ExitCode.COULD_NOT_FINISH,
            "not a readable image (a text file)",
        ),
        (
            ["enroll", "X", "tests", "--pick", "typo.png=1", "--yes"],
            ExitCode.USAGE,
            "no photo is called typo.png",
        ),
        (["approve", "nobody", "--proof", "passport"], ExitCode.USAGE, "nobody"),
        (
            ["licence", "grant", "nobody", "--until", "2030-01-01"],
            ExitCode.USAGE,
            "one of --uploader",
        ),
        (
            ["licence", "grant", "x", "--until", "2030-01-01", "--model", "short"],
            ExitCode.USAGE,
            "SHA-256",
        ),
        (["calibrate"], ExitCode.USAGE, "--gallery"),
        (["calibrate", "--gallery"], ExitCode.COULD_NOT_FINISH, "too few"),
        (["evaluate", "README.md"], ExitCode.COULD_NOT_FINISH, "lacks the column"),
    ],
)
def test_mistakes_are_sentences(
    home: Path, arguments: list[str], code: ExitCode, told: str
) -> None:
    done = run(*arguments, home=home)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_without_its_key_says_what_is_missing(home: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    (copy / "vault" / "master.key").unlink()
    done = run("identities", home=copy)
    assert done.returncode == ExitCode.COULD_NOT_FINISH
    assert "master key" in done.stderr
    assert not (copy / "vault" / "master.key").exists()


def test_a_list_is_enrolled_and_its_consent_ends(home: Path, people: Path, tmp_path: Path) -> None:
    rows = (people / "people.csv").read_text().splitlines()[:4]
    listed = people / "three.csv"
    listed.write_text("\n".join(rows) + "\n")
    first = run("enroll-many", listed, "--yes", "--submitted-by", "agency", "--json", home=home)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["counts"] == {"pending": 3}
    assert json.loads(run("enroll-many", listed, "--yes", "--json", home=home).stdout)[
        "counts"
    ] == {"registered before": 3}
    assert json.loads(run("withdraw", "--ended", "--json", home=home).stdout) == {"erased": []}
    for row in rows[1:]:
        assert run("withdraw", row.split(",")[2], "--json", home=home).returncode == 0


class TestAccuracy:
    def test_evaluate_writes_a_report_in_both_languages(
        self, home: Path, people: Path, tmp_path: Path
    ) -> None:
        for language, title in (("en", "Accuracy of a face pack"), ("zh-CN", "准确度")):
            out = tmp_path / f"{language}.html"
            done = run("evaluate", people, "--out", out, "--lang", language, "--json", home=home)
            assert done.returncode == 0, done.stderr
            text = out.read_text("utf-8")
            assert title in text
            assert "<svg" in text
            assert "src=" in text  # faces at which to look
            assert 'src="http' not in text
            assert text.count("src=") == text.count('src="data:image/jpeg;base64,')
        document = json.loads(out.with_suffix(".json").read_text())
        assert document["terms"] == "ISO/IEC 19795-1"
        assert (document["subjects"], document["photos"]) == (80, 320)
        assert document["face_pack"]["licence"]
        assert document["cllr"] < 0.3
        assert document["groups"]
        assert document["det"]["fmr"]
        assert document["identification"]
        assert "genuine" not in document

    def test_calibrate_changes_the_thresholds_of_scans(self, home: Path, people: Path) -> None:
        done = run("calibrate", people, "--json", home=home)
        assert done.returncode == 0, done.stderr
        path = Path(json.loads(done.stdout)["calibration"])
        assert "80 persons" in json.loads(path.read_text())["source"]
        path.write_text("{ broken")  # a damaged calibration is replaced
        done = run("calibrate", people, home=home)
        assert done.returncode == 0, done.stderr
        assert "80 persons" in json.loads(path.read_text())["source"]
        path.unlink()

    def test_a_person_under_two_names_is_questioned_until_somebody_marks_it(
        self, home: Path, people: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "people"
        shutil.copytree(people, copy, ignore=shutil.ignore_patterns("*.csv", "*.txt"))
        person = min(path for path in copy.iterdir() if path.is_dir())
        seed = int(person.name.rpartition("-")[2])
        again = copy / "under another name"
        draw_photos(seed, 4, again, first=70)
        out = tmp_path / "report.html"
        done = run("calibrate", copy, "--out", out, home=home)
        assert done.returncode == ExitCode.COULD_NOT_FINISH, done.stderr
        assert f"{person.name} and {again.name} may be one person" in done.stdout
        assert not list((home / "calibrations").glob("*.json"))
        marks = out.with_suffix(".marks.csv")
        [_, line] = marks.read_text().splitlines()
        marks.write_text(f"first,second,mark\n{line}same\n")
        done = run("calibrate", copy, "--marks", marks, "--json", home=home)
        assert done.returncode == 0, done.stderr
        path = Path(json.loads(done.stdout)["calibration"])
        assert json.loads(path.read_text())["marks"] == {"same": 1}
        path.unlink()

    def test_pairs_can_be_evaluated(self, home: Path, people: Path, tmp_path: Path) -> None:
        folders = sorted(path for path in people.iterdir() if path.is_dir())
        lines = ["first,second,same"]
        for one, other in itertools.pairwise(folders):
            mine, theirs = sorted(one.iterdir()), sorted(other.iterdir())
            lines += [f"{mine[0]},{mine[1]},1", f"{mine[0]},{theirs[0]},0"]
        pairs = tmp_path / "pairs.csv"
        pairs.write_text("\n".join(lines))
        document = json.loads(run("evaluate", pairs, "--json", home=home).stdout)
        assert document["genuine_comparisons"] >= 70
        assert document["equal_error_rate"] < 0.2
        lfw = people / "pairs.txt"
        first, second = folders[0].name, folders[1].name
        for folder in folders[:2]:
            for number, path in enumerate(sorted(folder.iterdir())[:2], 1):
                (folder / f"{folder.name}_{number:04d}.jpg").write_bytes(path.read_bytes())
        lfw.write_text(f"1\n{first} 1 2\n{first} 1 {second} 1\n")
        again = run("evaluate", lfw, "--json", home=home)
        assert json.loads(again.stdout)["genuine_comparisons"] == 1, again.stderr


class TestPhotosThatAreMixedUp:
    def test_two_people_are_no_person(self, home: Path, tmp_path: Path) -> None:
        photos = [*draw_photos(900, 3, tmp_path), *draw_photos(903, 3, tmp_path)]
        done = run("enroll", "Both", *photos, "--submitted-by", "sam", "--yes", home=home)
        assert done.returncode == ExitCode.COULD_NOT_FINISH
        assert "photos of 2 people" in done.stderr
        told = run("enroll", "Both", *photos, "--yes", "--lang", "zh-CN", home=home).stderr
        assert "互不相像" in told
        assert run("identities", "--json", home=home).stdout.count("Both") == 0

    def test_a_pick_that_two_files_could_mean_is_refused(self, home: Path, tmp_path: Path) -> None:
        for folder, seed in (("one", 900), ("two", 903)):
            [photo] = draw_photos(seed, 1, tmp_path / folder)
            photo.rename(tmp_path / folder / "IMG_0001.png")
        given = ["enroll", "X", tmp_path / "one", tmp_path / "two", "--yes", "--pick"]
        done = run(*given, "IMG_0001.png=1", home=home)
        assert done.returncode == ExitCode.USAGE
        assert "one/IMG_0001.png" in done.stderr
        assert "two/IMG_0001.png" in done.stderr
        told = run(*given, "one/IMG_0001.png=1", home=home)
        assert told.returncode == ExitCode.COULD_NOT_FINISH  # two photos are too few
        assert "3 are needed" in told.stderr
        twice = run(*given, "one/IMG_0001.png=1", "--pick", "one/IMG_0001.png=2", home=home)
        assert twice.returncode == ExitCode.USAGE
        assert "picked twice" in twice.stderr
