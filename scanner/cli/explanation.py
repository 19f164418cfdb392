"""`scan --explain`: what a scan of a file would do, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.cli.context import scan_session_of
from scanner.cli.output import print_json, print_line

if TYPE_CHECKING:
    from scanner.settings import Settings

_WOULD = {
    "nothing": "do nothing",
    "search": "search what was drawn before",
    "draw": "draw it",
}


def explain_files(settings: Settings, targets: Sequence[str], *, as_json: bool) -> None:
    """Print an explanation of each file; as JSON one document, or a list under `files`."""
    from scanner.scanning.explanation import explain

    with scan_session_of(settings) as session:
        found = [explain(session, Path(target)) for target in targets]
    if as_json:
        documents = [asdict(explanation) for explanation in found]
        print_json(documents[0] if len(documents) == 1 else {"files": documents})
        return
    for target, explanation in zip(targets, found, strict=True):
        print_line(f"{target}: would {_WOULD[explanation.would]}, because {explanation.why}.")
        if explanation.differs:
            print_line(f"  what differs from before: {', '.join(explanation.differs)}")
        if explanation.drawn_at:
            faces = "kept" if explanation.faces_kept else "not kept"
            print_line(f"  drawn at {explanation.drawn_at}; its faces are {faces}")
