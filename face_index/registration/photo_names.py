"""Names of photos in messages, and finding the photo that a name means.

A name has as many folders as needed to distinguish the file from the others: `IMG_0001.jpg`, or
`monday/IMG_0001.jpg` if another folder has a file of that name.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from face_index.errors import PickRefused
from face_index.faces.photos import PhotoFile

_Parts = tuple[str, ...]


def labels_of(photos: Sequence[Path | PhotoFile]) -> list[str]:
    """Return a unique name for each photo."""
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


def picks_from(items: Iterable[str]) -> dict[str, int]:
    """Parse picks written as PHOTO=NUMBER.

    Raises:
        PickRefused: An item has another form, or a photo is picked twice.
    """
    picks: dict[str, int] = {}
    for item in items:
        name, equals, number = item.rpartition("=")
        if not equals or not number.isascii() or not number.isdigit():
            raise PickRefused(f"{item!r} is not PHOTO=NUMBER")
        if name in picks:
            raise PickRefused(f"{name} is picked twice; say once which face it is")
        picks[name] = int(number)
    return picks


def picked_numbers(picks: Mapping[str, int], photos: Sequence[Path | PhotoFile]) -> dict[int, int]:
    """Return the picked face of each picked photo, by the photo's position in `photos`.

    Args:
        picks: By file name, or by a path or the end of one if several photos have that name.

    Raises:
        PickRefused: No photo or several photos have a name, or a photo is picked twice.
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
            f"{len(called)} photos are called {name}; name the one that is meant by its path: "
            f"{', '.join(called)}"
        )
    return fitting


def _fits(name: str, photo: Path | PhotoFile) -> bool:
    if isinstance(photo, PhotoFile):
        return _same(photo.name, name)
    wanted = Path(_composed(os.path.normpath(name))).parts
    return _parts(photo)[-len(wanted) :] == wanted


def _is_exactly(name: str, photo: Path | PhotoFile) -> bool:
    """Whether the name is a path, not only a file name, that leads to that file."""
    # Path drops a leading "./", which makes a path of a file name.
    is_file_name = os.path.basename(name) == name  # noqa: PTH119
    return not is_file_name and isinstance(photo, Path) and _parts(Path(name)) == _parts(photo)


def _shortest(parts: _Parts, others: set[_Parts]) -> str:
    for length in range(1, len(parts)):
        if sum(other[-length:] == parts[-length:] for other in others) == 1:
            return "/".join(parts[-length:])
    return str(Path(*parts))


def _parts(path: Path) -> _Parts:
    # Symbolic links are not followed: two names of one file are two photos, which are then found
    # to be copies.
    return Path(_composed(os.path.abspath(path))).parts  # noqa: PTH100  resolve() follows links


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _same(first: str, second: str) -> bool:
    return _composed(first) == _composed(second)
