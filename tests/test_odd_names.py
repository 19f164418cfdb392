"""Files with odd names are taken in, their bags verify with every tool, and none stops others."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.captures.intake import Intake
from scanner.factories import open_intake
from scanner.settings import Settings
from tests.test_cli import run
from tests.verifiers import run_both, verify

ODD = [
    "50%.jpg",
    "%25.jpg",
    "%0A.jpg",
    "%0d%0a.jpg",
    "line\nbreak.jpg",
    "return\r.jpg",
    "tab\t.jpg",
    "bell\a\x1b[31m.jpg",
    "e\u0301.jpg",
    "\u00e9.jpg",
    " before.jpg",
    "after.jpg ",
    "after.jpg\u00a0",
    "-rf",
    "--help.jpg",
    "*.jpg",
    "~",
    "~root.jpg",
    "#.jpg",
    "a\\b.jpg",
    "\u2028.jpg",
    "\x85.jpg",
    "\x0b\x0c\x1c.jpg",
    "\u202egpj.exe",
    "\ufeffbom.jpg",
    "A.jpg",
    "a.jpg",
    "long" * 60 + ".jpg",
    "图" * 80,
    "manifest-sha256.txt",
    "bagit.txt",
    "..hidden/x.jpg",
    "...",
    "deep/" * 30 + "x.jpg",
    "a:b?.jpg",
    "[/b]{x}.jpg",
    "\U0001f600.jpg",
    "'\"`$(x).jpg",
    os.fsdecode(b"caf\xe9.jpg"),
    os.fsdecode(b"caf\xff\xfe.jpg"),
]


def picture(number: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, 80, 80)).save(data, "PNG")
    return data.getvalue()


def page_with(folder: Path, names: list[str], page: str = "page.html") -> Path:
    """A saved page whose folder holds pictures of these names, each of them on the page."""
    from urllib.parse import quote

    beside = f"{page.removesuffix('.html')}_files"
    for number, name in enumerate(names):
        (folder / beside / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / beside / name).write_bytes(picture(number))
    links = "".join(f'<img src="{quote(os.fsencode(f"{beside}/{name}"))}">' for name in names)
    (folder / page).write_text(f"<html><title>T</title>{links}</html>", "utf-8")
    return folder / page


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    taking = open_intake(Settings(home=tmp_path_factory.mktemp("home")))
    yield taking
    taking.close()


def taken_in(taking: Intake, path: Path) -> tuple[Path, list[bytes]]:
    """The bag of a capture, and its images in their order."""
    capture = taking.take_one(path, "olga").capture
    assert capture.problem is None
    [page] = taking.captures.pages(capture.capture_id)
    assert page.notes == ()
    images = taking.captures.images(page.page_id)
    return taking.captures.bag(capture.capture_id), [
        taking.captures.image_path(one.sha256).read_bytes() for one in images
    ]


def check(bag: Path) -> None:
    assert [item for item in verify(bag) if not item.ok] == []
    bagit.Bag(str(bag)).validate()


@pytest.mark.parametrize("name", ODD)
def test_a_page_with_one_odd_name_is_taken_in(name: str, taking: Intake, tmp_path: Path) -> None:
    bag, images = taken_in(taking, page_with(tmp_path / "in", [name]))
    assert images == [picture(0)]
    check(bag)
    kept = [
        path.read_bytes()
        for part in ("beside", "renamed")
        for path in (bag / "data" / part).rglob("*")
        if path.is_file()
    ]
    assert kept == [picture(0)]


def test_all_of_them_together_keep_every_file_and_every_name(
    taking: Intake, tmp_path: Path
) -> None:
    bag, images = taken_in(taking, page_with(tmp_path / "in", ODD))
    assert images == [picture(number) for number in range(len(ODD))]
    check(bag)
    assert run_both(bag).returncode == 0
    told = json.loads((bag / "data" / "capture.json").read_text("utf-8"))
    for place, one in told["renamed"].items():
        number = next(
            number
            for number, name in enumerate(ODD)
            if (bag / "data" / place).read_bytes() == picture(number)
        )
        assert one["name"] in (
            f"page_files/{ODD[number]}",
            f"page_files/{os.fsencode(ODD[number]).decode('utf-8', 'backslashreplace')}",
        )
    assert len(told["beside"]) + len(told["renamed"]) == len(ODD)


def test_plain_names_are_kept_and_a_capture_is_known_again(taking: Intake, tmp_path: Path) -> None:
    path = page_with(tmp_path / "in", ["a b.png", "图.png", "sub/(1).jpg"])
    bag, _ = taken_in(taking, path)
    assert (bag / "data" / "beside" / "page_files" / "sub" / "(1).jpg").read_bytes() == picture(2)
    told = json.loads((bag / "data" / "capture.json").read_text("utf-8"))
    assert (sorted(told["beside"]), "renamed" in told) == (
        ["page_files/a b.png", "page_files/sub/(1).jpg", "page_files/图.png"],
        False,
    )
    again, _ = taken_in(taking, path)
    assert again == bag


@pytest.mark.parametrize("name", [one for one in ODD if "/" not in one and one != "..."])
def test_captures_themselves_may_have_odd_names(name: str, taking: Intake, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(picture(ODD.index(name)))
    bag, images = taken_in(taking, tmp_path / "in" / name)
    assert images == [picture(ODD.index(name))]
    check(bag)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(min_size=1, max_size=40).filter(
            lambda raw: not set(raw) & set(b"/\0") and raw.strip(b".")
        ),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_any_names_a_file_system_takes(
    taking: Intake, tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    bag, images = taken_in(taking, page_with(folder / "in", [os.fsdecode(name) for name in names]))
    assert images == [picture(number) for number in range(len(names))]
    check(bag)


class TestIntake:
    def test_odd_names_stop_nothing_and_show_nothing_hidden(self, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        page_with(folder, ["50%.jpg", "line\nbreak.jpg"], "first.html")
        for number, name in enumerate(("-x.png", "z\x1b[31m\n.png", os.fsdecode(b"\xe9.png"))):
            (folder / name).write_bytes(picture(number))
        done = run("intake", folder, "--no-search", "--json", home=tmp_path / "home")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["captures"]
        assert [one["problem"] for one in told] == [None] * 4
        for one in told:
            assert run("verify", tmp_path / "home" / "captures" / one["capture_id"]).returncode == 0
        plain = run("intake", folder, "--no-search", home=tmp_path / "home")
        assert (plain.returncode, "\x1b[31m" in plain.stdout + plain.stderr) == (0, False)

    def test_an_error_in_one_file_is_told_and_the_others_go_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from typer.testing import CliRunner

        from reports.errors import UnreadableBundle
        from scanner.cli.app import app

        for number in range(4):
            (tmp_path / f"{number}.png").write_bytes(picture(number))
        take_one = Intake.take_one
        errors = {
            "0.png": UnreadableBundle("the capture would not verify"),
            "1.png": RuntimeError("odd"),
            "2.png": UnicodeEncodeError("utf-8", "\udc80", 0, 1, "no"),
        }

        def failing(self: Intake, path: Path, *told: Any) -> Any:
            if path.name in errors:
                raise errors[path.name]
            return take_one(self, path, *told)

        monkeypatch.setattr(Intake, "take_one", failing)
        done = CliRunner().invoke(
            app,
            ["--home", str(tmp_path / "home"), "intake", str(tmp_path), "--no-search", "--json"],
        )
        assert done.exit_code == 3
        assert [one["name"] for one in json.loads(done.stdout)["captures"]] == ["3.png"]
        assert "not taken in: 0.png: the capture would not verify" in done.stderr
        assert "not taken in: 1.png: unexpected RuntimeError: odd" in done.stderr
        assert "not taken in: 2.png" in done.stderr
