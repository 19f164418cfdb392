"""Marks that somebody made by hand about labels in doubt, as a CSV file.

Columns: `first`, `second`, `mark`. A pair of persons is `different` (they only look alike),
`related` (siblings, parents: left out of the impostors) or `same` (one person under two names: left
out as well). A person alone, in `first`, is `one-person` although the photos disagree, or
`leave-out`. A photo alone, as PERSON/FILE, is `leave-out`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Iterable
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


_FORMULA_STARTS = tuple("=+-@\t\r")
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

    def unknown(self, persons: Collection[str], photos: Collection[str]) -> list[str]:
        """Return the names that are none of these."""
        named = {name for pair in self.pairs for name in pair} | set(self.names)
        alone = {name for name, mark in self.names.items() if mark == Mark.ONE_PERSON}
        known = set(persons) | (set(photos) - alone)
        return sorted(named - known)

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
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        rows = list(csv.DictReader(text, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CalibrationImpossible(f"{path} cannot be read as a CSV file ({error})") from error
    pairs: dict[frozenset[str], Mark] = {}
    names: dict[str, Mark] = {}
    for line, row in enumerate(rows, 2):
        if missing := set(COLUMNS) - set(row):
            raise CalibrationImpossible(f"{path} lacks the column {', '.join(sorted(missing))}")
        first, second, word = (row[column] or "" for column in COLUMNS)
        first, second, word = _name_in(first), _name_in(second), word.strip()
        if not word:
            continue
        is_known = word in list(Mark) and first and first != second
        if not is_known or (word in _OF_PAIRS) != bool(second):
            raise CalibrationImpossible(
                f"{path}, line {line}: a pair is marked {', '.join(_OF_PAIRS)}; a person alone "
                f"{Mark.ONE_PERSON} or {Mark.LEAVE_OUT}; a photo alone {Mark.LEAVE_OUT}"
            )
        known = (
            pairs.setdefault(frozenset((first, second)), Mark(word))
            if second
            else (names.setdefault(first, Mark(word)))
        )
        if known != word:
            raise CalibrationImpossible(f"{path}, line {line}: was marked {known} before")
    return Marks(pairs, names, hashlib.sha256(data).hexdigest())


def marks_file(marks: Marks, doubts: Iterable[tuple[str, str]]) -> str:
    """Return a file with known marks, and with lines that somebody must mark."""
    lines = [(*sorted(pair), str(mark)) for pair, mark in marks.pairs.items()]
    lines += [(name, "", str(mark)) for name, mark in marks.names.items()]
    lines += [(first, second, "") for first, second in doubts]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((_cell(first), _cell(second), mark) for first, second, mark in lines)
    return out.getvalue()


def _cell(name: str) -> str:
    # A spreadsheet calculates a cell that begins like a formula (OWASP, CSV Injection).
    return f"'{name}" if name.startswith(_FORMULA_STARTS) else name


def _name_in(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell
