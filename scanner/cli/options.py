"""Options and arguments that several commands share, and checks of their values."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

_PAGE_SIZE = 100
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
FacePackOption = Annotated[
    str | None,
    typer.Option(help="The name of a known face pack, or a folder in InsightFace's layout."),
]
SecondPackOption = Annotated[
    str | None,
    typer.Option(help="Another face pack that judges findings too; a match needs both."),
]
BaseModelOption = Annotated[
    str | None, typer.Option(help="A diffusers folder, a single-file checkpoint or a hub id.")
]
LanguageOption = Annotated[str, typer.Option("--lang", help="en or zh-CN.")]
OperatorOption = Annotated[
    str | None,
    typer.Option(help="Who does this, for the audit log.", show_default="login name"),
]
PersonArgument = Annotated[
    str, typer.Argument(help="Name, id or reference of the person.", metavar="NAME_OR_ID")
]
CaseArgument = Annotated[
    str,
    typer.Argument(help="The id of a case, or its first six characters.", metavar="CASE"),
]
SearchOption = Annotated[
    bool, typer.Option("--search/--no-search", help="Search the faces in them afterwards.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        help="How many; 0 for all.", min=0, show_default="100 in a table, all with --json"
    ),
]
AfterOption = Annotated[
    str | None, typer.Option(help="Begin after this one, the last of the page before.")
]
SignerOption = Annotated[
    str | None, typer.Option(help="Fingerprint of the key that must have signed it.")
]


def page_size(limit: int | None, *, as_json: bool) -> int | None:
    """How many entries a list shows; None for all."""
    chosen = (0 if as_json else _PAGE_SIZE) if limit is None else limit
    return chosen or None


def check_language(language: str) -> None:
    """Raise typer.BadParameter unless reports and messages exist in that language."""
    if language not in ("en", "zh-CN"):
        raise typer.BadParameter(f"{language!r} is not one of en, zh-CN", param_hint="--lang")


def date_from(text: str, option: str) -> date:
    """The date that an option gives; raises typer.BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date like 2028-01-31", param_hint=option
        ) from None


def check_new_file(path: Path) -> None:
    """Raise typer.BadParameter if the file exists: evidence is not overwritten."""
    if path.exists():
        raise typer.BadParameter(
            f"{path} exists already; nothing was overwritten", param_hint="FILE"
        )
