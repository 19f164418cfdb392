"""`scan --explain`: what a scan of a file would do, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scanner.cli.context import scan_session_of
from scanner.cli.output import print_json, print_line

if TYPE_CHECKING:
    from scanner.scanning.explanation import Explanation
    from scanner.settings import Settings

_WOULD = {
    "nothing": "do nothing",
    "search": "search what was drawn before",
    "draw": "draw it",
}


def explain_files(
    settings: Settings, targets: Sequence[str], *, redraw: bool, as_json: bool
) -> None:
    """Print an explanation of each file; as JSON one document, or a list under `files`."""
    from scanner.scanning.explanation import explain

    missing = [target for target in targets if not Path(target).exists()]
    if missing:
        raise typer.BadParameter(
            f"--explain reads files and folders on this machine; not found: {', '.join(missing)}"
        )
    with scan_session_of(settings, redraw=redraw, erase_expired=False) as session:
        found = [one for target in targets for one in explain(session, Path(target))]
    if as_json:
        documents = [asdict(explanation) for explanation in found]
        print_json(documents[0] if len(documents) == 1 else {"files": documents})
        return
    if not found:
        print_line(f"No checkpoint was found in {' '.join(targets)}.")
    for explanation in found:
        print_line(
            f"{explanation.file}: would {_WOULD[explanation.would]}, because {explanation.why}."
        )
        if explanation.differs:
            print_line(f"  what differs from before: {', '.join(explanation.differs)}")
        if explanation.drawn_at:
            print_line(f"  drawn at {explanation.drawn_at}; {_faces(explanation)}")


def _faces(explanation: Explanation) -> str:
    if not explanation.draws_one_face:
        return "it does not draw one face again and again, so no faces are kept"
    kept = "kept" if explanation.faces_kept else "not kept"
    return f"it draws one face again and again, and its faces are {kept}"
