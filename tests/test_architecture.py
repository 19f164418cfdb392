"""docs/architecture.md agrees with the code, and docs/licences.md lists the installed packages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import scanner
from tests.draw_architecture import PAGE, drawn
from tests.list_formats import PAGE as FORMATS
from tests.list_formats import page as formats_page
from tests.list_licences import PAGE as LICENCES
from tests.list_licences import installed
from tests.list_models import PAGE as MODELS
from tests.list_models import page as models_page

PACKAGES = Path(scanner.__file__).parent.parent
ALL = ("crawlers", "face_index", "reports", "scanner")


def test_the_drawing_is_what_the_code_is() -> None:
    page = PAGE.read_text("utf-8")
    assert drawn(page) == page, "run: python -m tests.draw_architecture"


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in (PACKAGES / package).rglob("*.py")]


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path: path.read_text("utf-8").count("\n") for path in modules(*ALL)}
    assert {str(path): count for path, count in lengths.items() if count > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{path}: {node.name}"
        for path in modules(*ALL)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


# Words that the first version used in the place of the field's terms (docs/glossary.md).
METAPHORS = frozenset(
    [
        "bench",
        "crew",
        "depiction",
        "desk",
        "docket",
        "door",
        "examination",
        "examiner",
        "fleet",
        "judgement",
        "ledger",
        "look",
        "premises",
        "reception",
        "seat",
        "sentences",
        "shot",
        "showing",
        "strand",
        "studio",
        "visitors",
        "workshop",
        "worklist",
    ]
)


def test_no_module_or_class_of_scanner_has_a_metaphor_for_a_name() -> None:
    found = []
    for path in modules("scanner"):
        names = {path.stem: path.stem.split("_")}
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names[node.name] = re.findall(r"[A-Z][a-z]*", node.name)
        found += [
            f"{path}: {name}"
            for name, words in names.items()
            if METAPHORS & {word.lower() for word in words} or name in ("Watch", "reading_room")
        ]
    assert found == []


def test_the_top_of_scanner_holds_folders_and_at_most_eight_modules() -> None:
    found = [path.name for path in (PACKAGES / "scanner").glob("*.py") if path.stem != "__init__"]
    assert len(found) <= 8, found


def test_every_dependency_is_listed_with_its_licence() -> None:
    listed = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(
            r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", LICENCES.read_text("utf-8"), re.MULTILINE
        )
    }
    assert set(installed()) <= listed, "run: python -m tests.list_licences"


def test_the_page_of_models_is_what_the_registry_says() -> None:
    assert MODELS.read_text("utf-8") == models_page(), "run: python -m tests.list_models"
    assert FORMATS.read_text("utf-8") == formats_page(), "run: python -m tests.list_formats"


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE.read_text("utf-8")))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (PACKAGES / name).is_file()] == []
