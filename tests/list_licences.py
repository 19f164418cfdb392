"""Writes docs/licences.md: the packages of an installation and the licence that each declares.

Run: python -m tests.list_licences
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
_HEAD = """# Licences of what is installed

portrait-scanner itself is Apache-2.0. An installation without extras contains these packages. The
licence is the one that each package declares in its metadata; `not declared` means that the
metadata names none, while the repository does. `python -m tests.list_licences` updates this page.

Model weights have their own licences. `portrait-scanner doctor` and every report name the licence
of the face pack in use. Base models are fetched at first use; `portrait-scanner doctor` names their
licences.

| package | version | licence |
|---|---|---|
"""


def installed(root: str = "portrait-scanner") -> dict[str, Distribution]:
    """Return the distributions that another one needs, by their normalised names."""
    found: dict[str, Distribution] = {}
    todo = [Requirement(root)]
    while todo:
        wanted = todo.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(wanted.name)
        except PackageNotFoundError:  # its marker does not hold on this machine
            continue
        for text in found[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
            ):
                todo.append(needed)
    return {name: package for name, package in sorted(found.items()) if name != root}


def licence_of(package: Distribution) -> str:
    """Return the licence that a package declares.

    It is an SPDX expression, else the classifiers, else the first line of the licence's text.
    """
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classes = [
        text.rsplit(" :: ", 1)[-1]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    line = (metadata.get("License") or "").strip().splitlines()
    return "; ".join(classes) or (line[0][:80] if line else "not declared")


def page() -> str:
    return _HEAD + "".join(
        f"| {package.name} | {package.version} | {licence_of(package)} |\n"
        for package in installed().values()
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
