"""The files of a ModelScope repository, in every revision that it names.

Branches and tags come from `/api/v1/models/ID/revisions` as `RevisionMap`, as in the hub's own
client (modelscope_hub, _legacy_api.py). For a revision that does not exist the hub answers 200
with no files, so only a revision with files is evidence of what a repository holds. The hub cuts a
list at MOST_FILES entries without saying so; longer ones are read folder by folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from crawlers.errors import HubError, HubRefused
from crawlers.hubs.repeated_requests import Doubt, request_until_plausible
from crawlers.values import object_of, objects_of, text_of

MOST_FILES = 3_000
MOST_REVISIONS, MOST_FOLDERS = 8, 100
# Tried if a repository names no revision: the hub's default, and the usual branches.
_USUAL = ("", "master", "main")
Ask = Callable[[str], dict[str, Any]]
"""Requests a path of the hub and returns the `Data` of the answer; raises HubError."""


@dataclass(slots=True)
class RepositoryFiles:
    """The files of a repository.

    Attributes:
        revisions: the entries of each revision as the hub sends them, the main revision first.
        gaps: sentences that say which files may be missing.
    """

    revisions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)


def files_of(ask: Ask, name: str) -> RepositoryFiles:
    """Read all files of a repository.

    Raises:
        HubError: no revision shows a file, which is no evidence that there are none.
    """
    found, refused = RepositoryFiles(), list[HubRefused]()
    named = _revisions(ask, name)
    if len(named) > MOST_REVISIONS:
        found.gaps.append(f"of its {len(named)} revisions {MOST_REVISIONS} were read")
    for revision in named[:MOST_REVISIONS] or _USUAL:
        try:
            entries = _entries(ask, name, revision, found, named=bool(named))
        except HubRefused as error:
            refused.append(error)
            found.gaps.append(f"revision {revision or 'by default'} cannot be read: {error}")
            continue
        if entries:
            found.revisions[revision] = entries
            if not named:
                break
        elif named:
            found.gaps.append(f"revision {revision} shows no file")
    if found.revisions and not named:
        found.gaps.clear()
    if not found.revisions and refused:
        raise refused[0]
    if not found.revisions:
        asked = ", ".join(revision or "by default" for revision in named or _USUAL)
        raise HubError(f"{name} shows no file in any revision that was asked for ({asked})")
    return found


def _revisions(ask: Ask, name: str) -> list[str]:
    """Branches before tags, the usual branches first; none if the hub names none."""
    place = f"/api/v1/models/{quote(name)}"
    data: dict[str, Any] = {}
    for path in (f"{place}/revisions", place):
        try:
            data = {**data, **ask(path)}
        except HubRefused:
            continue  # the request for the files raises the same refusal
        by_kind = object_of(data.get("RevisionMap"))
        entries = [
            entry for kind in ("Branches", "Tags") for entry in objects_of(by_kind.get(kind))
        ]
        named = [text for entry in entries if (text := text_of(entry.get("Revision")))]
        if named:
            return sorted(dict.fromkeys(named), key=lambda name: name not in ("master", "main"))
        if default := text_of(data.get("Revision")):
            return [default]
    return []


def _entries(
    ask: Ask, name: str, revision: str, found: RepositoryFiles, *, named: bool
) -> list[dict[str, Any]]:
    """The entries of a revision, read folder by folder if the recursive list would be cut."""
    entries = _listed(ask, name, revision, None, named=named)
    if len(entries) < MOST_FILES:
        return entries
    by_path: dict[str, dict[str, Any]] = {}
    folders, asked, cut = [""], 0, False
    while folders and asked < MOST_FOLDERS:
        held = _listed(ask, name, revision, folders.pop(), named=named)
        asked, cut = asked + 1, cut or len(held) >= MOST_FILES
        new = {
            path: entry
            for entry in held
            if (path := text_of(entry.get("Path"))) and path not in by_path
        }
        by_path |= new
        folders += [path for path, entry in new.items() if entry.get("Type") == "tree"]
    if cut or folders:
        found.gaps.append(
            f"revision {revision} has more files than the hub shows; {len(by_path):,} were read"
        )
    return list({**{str(entry.get("Path")): entry for entry in entries}, **by_path}.values())


def _listed(
    ask: Ask, name: str, revision: str, folder: str | None, *, named: bool
) -> list[dict[str, Any]]:
    """The entries of one folder, or all entries below the root if `folder` is None."""
    which = f"Revision={quote(revision, safe='')}&" if revision else ""
    where = "Recursive=True" if folder is None else f"Recursive=False&Root={quote(folder, safe='')}"

    def doubt(data: dict[str, Any]) -> Doubt | None:
        empty = named and folder is None and not objects_of(data.get("Files"))
        return Doubt("shows no file") if empty else None

    data, _ = request_until_plausible(
        lambda: ask(f"/api/v1/models/{quote(name)}/repo/files?{which}{where}"), doubt
    )
    return objects_of(data.get("Files"))
