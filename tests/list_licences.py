"""Writes docs/licences.md: every package that an installation brings, with the licence that it declares. `python -m tests.list_licences`."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
_HEAD = """# Licences of what is installed

portrait-scanner itself is Apache-2.0. An installation without extras brings these packages; the licence is what each declares in its own metadata, and
`python -m tests.list_licences` writes this page anew. Model weights have licences of their own: `portrait-scanner doctor` and every report name that of the
face pack in use, and base models are asked for at first use. `not declared`: its metadata names none; its repository does.

| package | version | licence |
|---|---|---|
"""


def installed(root: str = "portrait-scanner") -> dict[str, Distribution]:
    """The distributions that one needs, itself left out, by their normalised names."""
    found: dict[str, Distribution] = {}
    todo = [Requirement(root)]
    while todo:
        wanted = todo.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(wanted.name)
        except PackageNotFoundError:  # needed elsewhere, as markers that are not met here say
            continue
        for text in found[name].requires or ():
            one = Requirement(text)
            if one.marker is None or any(
                one.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
            ):
                todo.append(one)
    return {name: one for name, one in sorted(found.items()) if name != root}


def licence_of(one: Distribution) -> str:
    """What it declares: an SPDX expression, else its classifiers, else the first line of its text."""
    told = one.metadata
    if expression := told.get("License-Expression"):
        return expression
    classes = [
        text.rsplit(" :: ", 1)[-1]
        for text in told.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    line = (told.get("License") or "").strip().splitlines()
    return "; ".join(classes) or (line[0][:80] if line else "not declared")


def page() -> str:
    return _HEAD + "".join(
        f"| {one.name} | {one.version} | {licence_of(one)} |\n" for one in installed().values()
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
