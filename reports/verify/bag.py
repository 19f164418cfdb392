"""The bag (BagIt, RFC 8493): manifests, and files that were added, removed, renamed or changed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from reports.verify.checks import Item, Unsound, checked
from reports.verify.files import (
    LARGEST_TEXT,
    SEAL_FILES,
    TAG_FILES,
    TAG_MANIFESTS,
    read_bytes,
    sha256_of,
)
from reports.verify.seal import TIMESTAMP_NAME, timestamp_files

DEEPEST = 8  # levels of nested folders

_SPELLED_OTHERWISE = (
    "its name is spelled in another Unicode form here (NFC, NFD), as some systems do when they "
    "copy files"
)


def walk(bundle: Path) -> tuple[set[str], list[str], list[Item]]:
    """List the regular files, the empty folders, and an item for whatever no bundle may contain.

    Links, devices and unreadable folders are such things. Nothing is read from a bundle that has
    them.
    """
    files: set[str] = set()
    empty: list[str] = []
    refused: list[Item] = []
    waiting = [bundle]
    while waiting:
        folder = waiting.pop()
        name = folder.relative_to(bundle).as_posix()
        try:
            entries = [
                (entry.name, entry.stat(follow_symlinks=False).st_mode)
                for entry in os.scandir(folder)
            ]
        except OSError as error:
            problem = f"a folder that cannot be looked into: {error.strerror}"
            refused.append(Item(name, False, problem))
            continue
        if len(Path(name).parts) > DEEPEST:
            refused.append(Item(name, False, "a folder deeper than any of a bundle's"))
            continue
        if not entries:
            empty.append(name)
        for entry_name, mode in entries:
            path = (folder / entry_name).relative_to(bundle).as_posix()
            if stat.S_ISDIR(mode):
                waiting.append(folder / entry_name)
            elif stat.S_ISREG(mode):
                files.add(path)
            else:
                refused.append(Item(path, False, "is a link or a device, not a file"))
    return files, sorted(empty), refused


def missing_seal(bundle: Path) -> str:
    """Say whether a bag without a seal is a bundle that lost it or another program's bag."""
    try:
        is_bundle = "Signing-Key-SHA256" in bag_info(bundle)
    except (OSError, Unsound, UnicodeDecodeError):
        is_bundle = False
    if is_bundle:
        return (
            "is missing: it was removed, or lost when the bundle was copied; nothing proves who "
            "made it and when"
        )
    return (
        "this is a bag of another program, without a seal of portrait-scanner: nothing in it "
        "proves who made it and when; `bagit.py --validate` says whether it is complete"
    )


def bag_info(bundle: Path) -> dict[str, str]:
    """Parse bag-info.txt; raise Unsound if a label is there twice."""
    values: dict[str, str] = {}
    for line in read_bytes(bundle / "bag-info.txt").decode("utf-8").splitlines():
        label, _, value = line.partition(": ")
        if label in values:
            raise Unsound(f"bag-info.txt names {label} twice")
        values[label] = value
    return values


def tag_file_items(bundle: Path) -> Iterator[Item]:
    """Check the four tag files against the tag manifests, whose hashes are signed."""
    digests: dict[str, dict[str, str]] = {}
    manifests = [checked(name, _add_manifest, bundle, name, digests) for name in TAG_MANIFESTS]
    yield from (item for item in manifests if not item.ok)
    for name in TAG_FILES:
        yield checked(name, _check_digests, bundle, name, digests, LARGEST_TEXT)


def payload_items(bundle: Path, present: set[str], empty: list[str]) -> Iterator[Item]:
    """Check each payload file against both manifests, and report what no manifest lists.

    Args:
        present: the files in the bundle.
        empty: the empty folders in it.
    """
    digests: dict[str, dict[str, str]] = {}
    manifests = [checked(name, _add_manifest, bundle, name, digests) for name in TAG_FILES[2:]]
    yield from (item for item in manifests if not item.ok)
    # The seal holds no size of a single file, so the sum of all sizes is the limit for each.
    limit = _payload_size(bundle)
    stamps = {name for name in timestamp_files(bundle) if TIMESTAMP_NAME.fullmatch(name)}
    added = present - {*TAG_MANIFESTS, *TAG_FILES, *SEAL_FILES, *digests, *stamps}
    missing = set(digests) - present
    spelled = _spelled_otherwise(missing, added)
    renamed = _renamed(
        bundle, digests, missing - set(spelled), added - set(spelled.values()), limit
    )
    for name in sorted(digests):
        if name in renamed:
            yield Item(name, False, f"was renamed: its bytes are here as {renamed[name]}")
            continue
        item = checked(name, _check_digests, bundle, name, digests, limit, spelled.get(name))
        yield replace(item, note=_SPELLED_OTHERWISE) if name in spelled and item.ok else item
    for name in sorted(added - set(spelled.values()) - set(renamed.values())):
        yield Item(name, False, _left_by_system(name) or "is named by no manifest: it was added")
    for name in empty:
        lost = sum(file.startswith(f"{name}/") for file in digests)
        problem = (
            f"is empty: {lost} files of it are missing, copy the bundle again"
            if lost
            else "is an empty folder, which was added: delete it"
        )
        yield Item(name, False, problem)


def _spelled_otherwise(missing: set[str], added: set[str]) -> dict[str, str]:
    """Map missing files to added files whose names are equal after Unicode normalisation.

    macOS stores names in NFD. The bag is still valid (RFC 8493, section 5.2), since no byte of a
    file changed.
    """
    forms: dict[str, list[str]] = {}
    for name in added:
        forms.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    found = {name: forms.get(unicodedata.normalize("NFC", name), []) for name in missing}
    return {name: names[0] for name, names in found.items() if len(names) == 1}


def _renamed(
    bundle: Path, digests: dict[str, dict[str, str]], missing: set[str], added: set[str], limit: int
) -> dict[str, str]:
    """Map missing files to added files that have the same bytes."""
    if not missing:
        return {}
    present = {
        sha256_of(bundle / name): name
        for name in sorted(added)
        if (bundle / name).stat().st_size <= limit
    }
    return {
        name: present[digest]
        for name in missing
        if (digest := digests[name].get("sha256", "")) in present
    }


def _left_by_system(name: str) -> str | None:
    """Return the problem of a file that a file manager, mail program or archiver leaves behind."""
    last = PurePosixPath(name).name
    if last == ".DS_Store" or last.startswith("._") or name.startswith("__MACOSX/"):
        return "was added: macOS leaves such files in folders; delete it and verify again"
    if last.lower() in ("thumbs.db", "desktop.ini", "ehthumbs.db"):
        return "was added: Windows leaves such files in folders; delete it and verify again"
    return None


def _add_manifest(bundle: Path, name: str, digests: dict[str, dict[str, str]]) -> None:
    """Add the entries of one manifest to `digests`: file, then algorithm, then digest."""
    entries = _manifest_entries(bundle / name)
    if name in TAG_MANIFESTS and tuple(sorted(entries)) != TAG_FILES:
        raise Unsound(f"does not name exactly {', '.join(TAG_FILES)}")
    if name not in TAG_MANIFESTS and not all(entry.startswith("data/") for entry in entries):
        raise Unsound("names files outside data/")
    for file, digest in entries.items():
        digests.setdefault(file, {})[name.rpartition("-")[2].removesuffix(".txt")] = digest


def _manifest_entries(path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in read_bytes(path).decode("utf-8").splitlines():
        found = re.fullmatch(r"([0-9a-f]+)[ \t]+(\S.*)", line)
        if found is None or found.group(2) in entries:
            raise Unsound(f"the line {line[:80]!r} is damaged or double")
        name = found.group(2)
        if (
            PurePosixPath(name).as_posix() != name
            or ".." in PurePosixPath(name).parts
            or name.startswith("/")
            or "%" in name
        ):
            raise Unsound(f"{name[:80]!r} is no plain name inside the bundle")
        entries[name] = found.group(1)
    return entries


def _payload_size(bundle: Path) -> int:
    """Return the size of the payload in bytes as bag-info.txt states it, 0 if it does not."""
    info = read_bytes(bundle / "bag-info.txt").decode("utf-8")
    found = re.search(r"(?m)^Payload-Oxum: (\d{1,15})\.\d+$", info)
    return int(found.group(1)) if found else 0


def _check_digests(
    bundle: Path,
    name: str,
    digests: dict[str, dict[str, str]],
    limit: int,
    present_as: str | None = None,
) -> None:
    """Raise Unsound unless a file has both digests and at most `limit` bytes.

    Args:
        present_as: its name in this copy of the bundle, if that is another one.
    """
    wanted = digests[name]
    path = bundle / (present_as or name)
    if not path.is_file():
        raise Unsound("is missing: it was removed or renamed")
    if path.stat().st_size > limit:
        raise Unsound("is larger than what was sealed")
    for algorithm in ("sha256", "sha512"):
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if wanted.get(algorithm) != found:
            raise Unsound(f"does not have the bytes that were sealed ({algorithm} differs)")
