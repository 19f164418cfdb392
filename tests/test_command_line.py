"""What all commands share: help, global options, colours, and messages about mistakes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from scanner.cli.app import PANELS, app
from scanner.cli.commands import summary_of
from scanner.cli.exit_codes import ExitCode
from tests.list_commands import shown_commands
from tests.test_cli import run

PROGRAM: Any = typer.main.get_command(app)
HELP_WIDTH = 80


def groups() -> list[tuple[str, ...]]:
    """The arguments that lead to the program and to each of its groups."""
    found = [name for name, command in PROGRAM.commands.items() if hasattr(command, "commands")]
    return [(), *((name,) for name in found)]


class TestHelp:
    def test_commands_are_listed_in_panels(self) -> None:
        lines = CliRunner().invoke(app, ["--help"]).output.splitlines()
        titles = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
        assert titles == ["Options", *(panel for panel, _ in PANELS)]

    @pytest.mark.parametrize("words", groups(), ids=" ".join)
    def test_each_summary_fits_on_a_line(self, words: tuple[str, ...]) -> None:
        output = CliRunner().invoke(app, [*words, "-h"], terminal_width=HELP_WIDTH).output
        group = PROGRAM.commands[words[0]] if words else PROGRAM
        for name, command in group.commands.items():
            line = next(
                (line for line in output.splitlines() if line.startswith(f"  {name} ")), None
            )
            if command.hidden:
                assert line is None
                continue
            summary = summary_of(command)
            assert line is not None
            assert line.endswith(summary), f"{name}: the summary does not fit"
            assert summary.endswith("."), f"{name}: the summary is no sentence"

    @pytest.mark.parametrize("words", [(), ("scan",), ("vault",), ("vault", "status")])
    def test_both_names_of_the_help_option_work(self, words: tuple[str, ...]) -> None:
        outputs = [CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help")]
        assert [result.exit_code for result in outputs] == [0, 0]
        assert outputs[0].output == outputs[1].output

    def test_every_option_is_described(self) -> None:
        for name, command in shown_commands(PROGRAM):
            for parameter in command.params:
                described = parameter.help or parameter.param_type_name == "argument"
                assert described, f"{name}: {parameter.name}"

    def test_former_names_still_work(self) -> None:
        now, before = (
            CliRunner().invoke(app, ["held", name, "-h"]).output for name in ("review", "look")
        )
        assert before.replace("held look", "held review") == now


class TestGlobalOptions:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--home", "HOME", "vault", "status", "--json"],
            ["vault", "--home", "HOME", "status", "--json"],
            ["vault", "status", "--json", "--home", "HOME"],
            ["--home", "HOME", "vault", "status", "--home", "HOME", "--json"],
        ],
    )
    def test_they_are_accepted_anywhere(self, arguments: list[str], tmp_path: Path) -> None:
        home = tmp_path / "home"
        given = [str(home) if part == "HOME" else part for part in arguments]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["people"]["stored"] == 0
        assert (home / "vault").is_dir()

    def test_two_different_values_are_an_error(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(
            app, ["--home", str(tmp_path / "a"), "vault", "status", "--home", str(tmp_path / "b")]
        )
        assert result.exit_code == ExitCode.USAGE
        assert "--home is given twice and differs" in result.output
        assert list(tmp_path.iterdir()) == []

    def test_a_value_behind_the_command_is_checked(self, tmp_path: Path) -> None:
        done = run("identities", "--use", "fun", "--home", tmp_path / "home")
        assert done.returncode == ExitCode.USAGE
        assert "use" in done.stderr

    def test_every_command_accepts_them(self) -> None:
        names = [option.opts[0] for option in PROGRAM.params]
        for words, _ in shown_commands(PROGRAM):
            output = CliRunner().invoke(app, [*words.split(), "-h"]).output
            assert [name for name in names if name not in output] == [], words


class TestColours:
    CODE = (
        "from scanner.cli.output import print_table, print_warning\n"
        "rows = [('a [red]b', 'match'), ('c', 'clear'), ('d', 'failed')]\n"
        "print_table(('file', 'verdict'), rows)\n"
        "print_warning('careful')"
    )

    def output(self, *, terminal: bool, **environment: str) -> str:
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM")
        }
        reader, writer = pty.openpty() if terminal else os.pipe()
        subprocess.run(
            [sys.executable, "-c", self.CODE],
            stdout=writer,
            stderr=writer,
            stdin=subprocess.DEVNULL,
            env={**clean, "TERM": "xterm", **environment},
            timeout=60,
            check=True,
        )
        text = os.read(reader, 100_000).decode()
        os.close(writer)
        os.close(reader)
        return text

    def test_verdicts_are_coloured_on_a_terminal(self) -> None:
        text = self.output(terminal=True)
        assert "\x1b[1;31mmatch" in text
        assert "\x1b[32mclear" in text
        assert "\x1b[2mfailed" in text
        assert "\x1b[33mcareful" in text

    @pytest.mark.parametrize(("terminal", "environment"), [(False, {}), (True, {"NO_COLOR": "1"})])
    def test_no_colour_elsewhere(self, terminal: bool, environment: dict[str, str]) -> None:
        text = self.output(terminal=terminal, **environment)
        assert "\x1b" not in text
        assert [word for word in ("a [red]b", "match", "clear", "failed") if word not in text] == []


class TestMistakes:
    @pytest.mark.parametrize("place", ["file", "file/below"])
    def test_a_home_that_is_a_file(self, place: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        done = run("cases", home=tmp_path / place)
        assert done.returncode == ExitCode.USAGE
        assert done.stderr.startswith("error: the home ")
        assert "is a file" in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize("arguments", [["listings"], ["export", "OUT/x.csv"], ["identities"]])
    def test_a_home_that_is_new_is_announced(self, arguments: list[str], tmp_path: Path) -> None:
        given = [part.replace("OUT", str(tmp_path)) for part in arguments]
        home = tmp_path / "mistyped"
        first, second = run(*given, home=home), run(*given, home=home)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr
        assert str(home) in first.stderr
        assert str(home) not in second.stderr

    def test_a_user_without_a_name(self, tmp_path: Path) -> None:
        code = (
            "import pwd\n"
            "def unknown(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\n"
            "pwd.getpwuid = unknown\n"
            "from scanner.cli.app import main; main()"
        )
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")
        }
        command = [sys.executable, "-c", code, "--home", str(tmp_path / "home"), "cases", "--json"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == ExitCode.USAGE
        assert "no name for the user id" in done.stderr
        assert "PORTRAIT_SCANNER_OPERATOR" in done.stderr
        assert done.stderr.count("\n") == 1
        named = subprocess.run(
            command,
            env={**environment, "PORTRAIT_SCANNER_OPERATOR": "olga"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert named.returncode == 0, named.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (["report", "abcdef"], ExitCode.COULD_NOT_FINISH, "no case has the id 'abcdef'"),
            (["report", "20260101-abc"], ExitCode.USAGE, "no scan has the id '20260101-abc'"),
            (["timestamp", "nowhere"], ExitCode.COULD_NOT_FINISH, "no sealed evidence bundle"),
            (["verify", "nowhere"], ExitCode.USAGE, "'nowhere' does not exist"),
            (["intake", "nowhere"], ExitCode.USAGE, "'nowhere' does not exist"),
            (["enroll", "X", "nowhere"], ExitCode.USAGE, "'nowhere' does not exist"),
            (["vault", "restore", "nowhere"], ExitCode.USAGE, "'nowhere' does not exist"),
            (["lookup", "nowhere"], ExitCode.USAGE, "neither 64 hex digits nor a file"),
        ],
    )
    def test_what_is_not_there_is_named(
        self, arguments: list[str], code: ExitCode, sentence: str, tmp_path: Path
    ) -> None:
        done = run(*arguments, home=tmp_path / "home")
        assert done.returncode == code, done.stderr
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
