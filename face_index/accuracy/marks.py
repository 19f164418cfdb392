"""Marks that somebody made by hand about labels in doubt, as a CSV file.

Columns: `first`, `second`, `mark`. A pair of persons is `different` (they only look alike),
`related` (siblings, parents: left out of the impostors) or `same` (one person under two names: left
out as well). A person alone, in `first`, is `one-person` although the photos disagree, or
`leave-out`. A photo alone, as PERSON/FILE, is `leave-out`.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from face_index.errors import CalibrationImpossible

COLUMNS = ("first", "second", "mark")


class Mark(StrEnum):
    """What somebody found out about a pair, a person or a photo."""

    DIFFERENT = "different"
    RELATED = "related"
    SAME = "same"
    ONE_PERSON = "one-person"
    LEAVE_OUT = "leave-out"


_OF_PAIRS = (Mark.DIFFERENT, Mark.RELATED, Mark.SAME)


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one file.

    Attributes:
        pairs: By the two names.
        names: Marks of persons and of photos, the latter as PERSON/FILE.
        sha256: Of the file; "" without one.
    """

    pairs: dict[frozenset[str], Mark] = field(default_factory=dict)
    names: dict[str, Mark] = field(default_factory=dict)
    sha256: str = ""

    def counts(self) -> dict[str, int]:
        """Return how many there are, by mark."""
        found = Counter(map(str, (*self.pairs.values(), *self.names.values())))
        return dict(sorted(found.items()))

    def left_out(self, name: str) -> bool:
        """Whether a person or a photo was marked to be left out."""
        return self.names.get(name) == Mark.LEAVE_OUT


def read_marks(path: Path) -> Marks:
    """Read a file of marks; lines without a mark are skipped.

    Raises:
        CalibrationImpossible: The file is not one; names the line.
    """
    try:
        data = path.read_bytes()
        rows = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationImpossible(f"{path} cannot be read as UTF-8 text ({error})") from error
    pairs: dict[frozenset[str], Mark] = {}
    names: dict[str, Mark] = {}
    for line, row in enumerate(rows, 2):
        if missing := set(COLUMNS) - set(row):
            raise CalibrationImpossible(f"{path} lacks the column {', '.join(sorted(missing))}")
        first, second, word = ((row[column] or "").strip() for column in COLUMNS)
        if not word:
            continue
        if word not in list(Mark) or not first or (word in _OF_PAIRS) != bool(second):
            raise CalibrationImpossible(
                f"{path}, line {line}: a pair is marked {', '.join(_OF_PAIRS)}; a person alone "
                f"{Mark.ONE_PERSON} or {Mark.LEAVE_OUT}; a photo alone {Mark.LEAVE_OUT}"
            )
        if second:
            pairs[frozenset((first, second))] = Mark(word)
        else:
            names[first] = Mark(word)
    return Marks(pairs, names, hashlib.sha256(data).hexdigest())


def marks_file(rows: Iterable[tuple[str, str]]) -> str:
    """Return a file of marks about pairs, and persons alone, that nobody has marked yet."""
    lines = [",".join(COLUMNS)]
    lines += [f"{_cell(first)},{_cell(second)}," for first, second in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n\r') else text
