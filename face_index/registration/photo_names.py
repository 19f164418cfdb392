"""What a photo is called where several files have one name, and which photo a name means.

A file is named by as many folders as tell it from the others: `IMG_0001.jpg`, or `monday/IMG_0001.jpg` where
another folder holds a file of that name.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from face_index.errors import PickRefused
from face_index.faces.photos import PhotoFile

_Parts = tuple[str, ...]


def labels_of(photos: Sequence[Path | PhotoFile]) -> list[str]:
    """What each photo is called in messages: no two files are called the same."""
    paths = {_parts(photo) for photo in photos if isinstance(photo, Path)}
    named = Counter(photo.name for photo in photos if isinstance(photo, PhotoFile))
    seen: Counter[str] = Counter()
    labels = []
    for photo in photos:
        if isinstance(photo, Path):
            labels.append(_shortest(_parts(photo), paths))
            continue
        seen[photo.name] += 1
        several = named[photo.name] > 1
        labels.append(f"{photo.name} ({seen[photo.name]})" if several else photo.name)
    return labels


def picked_numbers(picks: Mapping[str, int], photos: Sequence[Path | PhotoFile]) -> dict[int, int]:
    """For each picked photo, by its place in `photos`, the face that was picked.

    Args:
        picks: by file name; by a path, or the end of one, where several photos have that name.

    Raises:
        PickRefused: a name that no photo has, that several have, or two picks for one photo.
    """
    labels = labels_of(photos)
    numbers: dict[int, int] = {}
    for name, face in picks.items():
        meant = _meant(name, photos, labels)
        if meant & numbers.keys():
            raise PickRefused(f"{labels[min(meant)]} is picked twice; say once which face it is")
        numbers |= dict.fromkeys(meant, face)
    return numbers


def _meant(name: str, photos: Sequence[Path | PhotoFile], labels: Sequence[str]) -> set[int]:
    fitting = {number for number, label in enumerate(labels) if _same(label, name)}
    if not fitting:
        fitting = {number for number, photo in enumerate(photos) if _fits(name, photo)}
        exact = {number for number in fitting if _is_exactly(name, photos[number])}
        fitting = exact or fitting
    called = sorted({labels[number] for number in fitting})
    if not called:
        raise PickRefused(f"no photo is called {name}")
    if len(called) > 1:
        raise PickRefused(
            f"{len(called)} photos are called {name}; name the one that is meant by its path: {', '.join(called)}"
        )
    return fitting


def _fits(name: str, photo: Path | PhotoFile) -> bool:
    if isinstance(photo, PhotoFile):
        return _same(photo.name, name)
    wanted = Path(_composed(os.path.normpath(name))).parts
    return _parts(photo)[-len(wanted) :] == wanted


def _is_exactly(name: str, photo: Path | PhotoFile) -> bool:
    """Whether a path, and no bare file name, leads to that file from here."""
    bare = os.path.basename(name) == name  # noqa: PTH119  Path drops the "./" that makes a path of a name
    return not bare and isinstance(photo, Path) and _parts(Path(name)) == _parts(photo)


def _shortest(parts: _Parts, others: set[_Parts]) -> str:
    for length in range(1, len(parts)):
        if sum(other[-length:] == parts[-length:] for other in others) == 1:
            return "/".join(parts[-length:])
    return str(Path(*parts))


def _parts(path: Path) -> _Parts:
    # Links stay as they were given: two names of one file are two photos until they are seen to be copies.
    return Path(_composed(os.path.abspath(path))).parts  # noqa: PTH100  resolve() follows links


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _same(one: str, other: str) -> bool:
    return _composed(one) == _composed(other)
