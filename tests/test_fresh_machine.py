"""Without Pango, fonts, a compiler or Chromium, the program names what is missing and goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reports.cases.case_store import CaseStore
from reports.documents import pdf
from reports.documents.pdf import html_to_pdf, pdf_problem
from reports.errors import FontMissing, PangoMissing, PdfUnavailable
from reports.notices.drafting import draft_notice
from reports.notices.rendering import printable
from scanner.cli.installation_checks import examine_installation
from scanner.settings import Settings
from tests import needs
from tests.cases import AT, make_case, reviewed
from tests.test_notices import given_for

ROOT = Path(__file__).parent.parent
NO_PANGO = OSError("cannot load library 'libpango-1.0-0': no such file: and so on")


@pytest.fixture
def without_pango(monkeypatch: pytest.MonkeyPatch) -> None:
    """WeasyPrint raises OSError when it is imported and finds no Pango."""

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "weasyprint":
                sys.stdout.write("-----\nWeasyPrint could not import some external libraries.\n")
                raise NO_PANGO

    for name in [name for name in sys.modules if name.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


class TestWithoutPango:
    pytestmark = pytest.mark.usefixtures("without_pango")

    def test_a_pdf_is_refused_with_what_to_install(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(
            PangoMissing, match=r"libpango-1\.0-0.*HTML.*cannot load library"
        ) as caught:
            html_to_pdf("<p>text</p>", "en", "1")
        assert str(caught.value).endswith("'libpango-1.0-0'")
        assert capsys.readouterr() == ("", "")  # it would stand before what --json prints
        assert pdf_problem("en") == str(caught.value)
        assert issubclass(FontMissing, PdfUnavailable)

    def test_a_notice_becomes_html(self, case_store: CaseStore) -> None:
        case = reviewed(case_store, make_case(case_store))
        made = draft_notice("eu-dsa-16", case, given_for("eu-dsa-16"), AT, "en")
        suffix, data, problem = printable(made)
        assert suffix == "html"
        assert data.startswith(b"<!doctype html>")
        assert "Pango" in (problem or "")

    def test_doctor_says_it_once(self, settings: Settings) -> None:
        findings = examine_installation(settings)
        assert findings["pdf"] == {"en": "no", "zh-CN": "no"}
        assert sum("Pango" in sentence for sentence in findings["missing"]) == 1


def test_fonts_are_asked_of_the_library_where_the_tools_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf_problem("en") is None
    monkeypatch.setattr(pdf, "_fontconfig_has", lambda code: code == "en")
    assert pdf_problem("en") is None
    assert "fonts-noto-cjk" in (pdf_problem("zh-CN") or "")


def test_fontconfig_knows_no_font_of_an_invented_language() -> None:
    assert pdf._fontconfig_has("en")
    assert not pdf._fontconfig_has("xx-none")


class TestWhatMakeAsksFor:
    def rule(self, target: str) -> str:
        text = (ROOT / "Makefile").read_text()
        return re.search(rf"^{re.escape(target)}:.*\n(?:\t.*\n|\n(?=\t))*", text, re.MULTILINE)[0]

    def test_the_demo_installs_no_dev_extras_and_calls_no_package_manager(self) -> None:
        assert self.rule("demo").startswith("demo: $(VENV)/runtime\n")
        recipe = self.rule("$(VENV)/runtime")
        assert "$(PIP) -e .\n" in recipe
        assert not re.search(r"\[dev\]|apt-get|sudo|\$\(MAKE\)", recipe)

    def test_tests_say_what_they_need_before_anything_is_installed(self) -> None:
        recipe = self.rule("$(VENV)/installed")
        assert recipe.index("needs") < recipe.index("runtime") < recipe.index("[dev]")

    def test_nothing_that_runs_needs_a_compiler(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert not [one for one in project["dependencies"] if one.startswith("pdqhash")]

    def test_opencv_comes_without_windows_in_the_version_that_is_pinned(self) -> None:
        stand_in = tomllib.loads(
            (ROOT / "third_party" / "opencv-python" / "pyproject.toml").read_text()
        )["project"]
        pinned = (ROOT / "constraints.txt").read_text().splitlines()
        assert f"{stand_in['name']}=={stand_in['version']}" in pinned
        assert stand_in["dependencies"] == [f"opencv-python-headless=={stand_in['version']}"]
        assert stand_in["dependencies"][0] in pinned
        recipe = self.rule("$(VENV)/runtime")
        assert recipe.index("$(OPENCV)") < recipe.index("$(PIP) -e .")
        assert {"libgl1", "libglib2.0-0"}.isdisjoint(package for package, _ in needs.NEEDS)

    def test_what_is_missing_is_named_and_nothing_else_is_imported(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-I", "-S", ROOT / "tests" / "needs.py"],
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert {"chromium", "g++", "openssl", "fontconfig"} <= set(done.stdout.split())
        assert "make demo takes none of them" in done.stderr
        assert set(done.stdout.split()) <= {package for package, _ in needs.NEEDS}

    def test_without_root_make_says_it_and_installs_nothing(self, tmp_path: Path) -> None:
        """A python that finds everything missing, and a user who is not root."""
        bin_folder = tmp_path / "bin"
        bin_folder.mkdir()
        for name, script in (
            ("id", "echo 1000"),
            ("python3", "echo chromium g++; exit 1"),
            ("apt-get", "touch called"),
        ):
            (bin_folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (bin_folder / name).chmod(0o755)
        done = subprocess.run(
            ["make", "install"],
            cwd=self.copy(tmp_path),
            env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "apt-get install chromium g++" in done.stdout
        assert sorted(one.name for one in (tmp_path / "copy").iterdir()) == sorted(self.COPIED)

    COPIED = ("Makefile", "pyproject.toml", "constraints.txt")

    def copy(self, tmp_path: Path) -> Path:
        folder = tmp_path / "copy"
        folder.mkdir()
        for name in self.COPIED:
            (folder / name).write_bytes((ROOT / name).read_bytes())
        return folder
