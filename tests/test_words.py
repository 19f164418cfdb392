"""The glossary and both catalogues use the same words; documents name only existing commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from babel.messages.pofile import read_po

import scanner
from scanner.cli.app import app

ROOT = Path(__file__).parent.parent
PACKAGES = Path(scanner.__file__).parent.parent  # of the wheel, where that is what is tested
CATALOGUES = (
    PACKAGES / "scanner/web/locales/zh_CN/LC_MESSAGES/web.po",
    PACKAGES / "reports/locales/zh_CN/LC_MESSAGES/reports.po",
)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.stem)
def test_the_catalogues_speak_as_the_glossary_does(catalogue: Path) -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$",
        (ROOT / "docs/glossary.md").read_text("utf-8"),
        re.MULTILINE,
    )
    with catalogue.open("rb") as stream:
        known = {
            one.id.casefold(): one.string
            for one in read_po(stream)
            if isinstance(one.id, str) and one.id
        }
    compared = {word: (known[word], chinese) for word, chinese in rows if word in known}
    assert len(compared) >= 5
    assert {word: pair for word, pair in compared.items() if pair[0] != pair[1]} == {}


def commands_of(page: Path) -> Iterator[list[str]]:
    for block in re.findall(
        r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("portrait-scanner "):
                told = re.split(r"\s#\s", line)[0]
                yield told.split()[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_documents_name_commands_and_options_that_there_are(page: Path) -> None:
    program = typer.main.get_command(app)
    for words in commands_of(page):
        command, rest, given = program, list(words), list[str]()
        while rest:
            word = rest.pop(0)
            if word in ("|", ">", "&&"):
                break
            if word.startswith("--"):
                given.append(word.split("=")[0])
                name = word.split("=")[0]
                options = {
                    one: option
                    for option in (*program.params, *command.params)
                    for one in (*option.opts, *option.secondary_opts)
                }
                assert name in options or name == "--help", (
                    f"{page.name}: {' '.join(words)}: no {name}"
                )
                if (
                    "=" not in word
                    and name in options
                    and not getattr(options[name], "is_flag", False)
                    and rest
                ):
                    rest.pop(0)
            elif hasattr(command, "commands"):
                assert word in command.commands, f"{page.name}: {' '.join(words)}: no {word}"
                command = command.commands[word]
