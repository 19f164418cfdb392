"""`doctor`: what is installed, what is missing and how to get it."""

from __future__ import annotations

import typer

from scanner.cli.context import settings_of
from scanner.cli.options import BaseModelOption, FacePackOption, JsonFlag
from scanner.cli.output import print_json, print_line

_SECTIONS = (
    "libraries",
    "device",
    "places",
    "face_pack",
    "base_models",
    "image_check",
    "identities",
    "two_people",
    "captures",
    "samples",
    "databases",
    "pdf",
)


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command of this module to a panel."""
    app.command("doctor", rich_help_panel=panel)(doctor)


def doctor(
    context: typer.Context,
    face_pack: FacePackOption = None,
    base_model: BaseModelOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what is installed, where data lives and what is missing.

    Versions, the face pack with its licence, the device and the databases are shown. Nothing is
    downloaded.
    """
    from scanner.cli.installation_checks import examine_installation

    findings = examine_installation(
        settings_of(context, face_pack=face_pack, base_model=base_model)
    )
    if as_json:
        print_json(findings)
        return
    for title in _SECTIONS:
        print_line(title.replace("_", " "), bold=True)
        for name, value in findings[title].items():
            print_line(f"  {name}: {value}")
    print_line("missing", bold=True)
    for sentence in findings["missing"] or ["nothing"]:
        print_line(f"  {sentence}")
