"""Registering the people of an agency's list, CSV or JSON Lines; an interrupted run is resumed.

The columns `name` and `photos` (a folder, or files separated by ";") are required. Optional columns
are `reference`, `signed_by`, `signatory` (self, guardian, agent), `signed_on`, `expires_on`,
`consent_document`, `terms`, `born_on`, `territories` (separated by ";") and `picks`, which says
which face of a photo is the person's (PHOTO=NUMBER, separated by ";"; 1 is the largest). Paths are
relative to the list.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Signatory, Terms
from face_index.errors import (
    ConsentMissing,
    ManifestInvalid,
    NameRefused,
    NameTaken,
    PickRefused,
    UnknownIdentity,
)
from face_index.faces.photos import files_in
from face_index.identity import Status
from face_index.registration.photo_names import picked_numbers, picks_from
from face_index.registration.registration import Registrar, Request
from face_index.registration.report import EnrolmentRefused, EnrolmentReport
from face_index.vault import Vault

COLUMNS = (
    "name",
    "photos",
    "reference",
    "signed_by",
    "signatory",
    "signed_on",
    "expires_on",
    "consent_document",
    "terms",
    "born_on",
    "territories",
    "picks",
)
CONSENT_DAYS = 730


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result for one line.

    Attributes:
        line: Counted from 1, without the heading.
        name: Of the person.
        status: "pending", "registered before", "erased since" or "refused".
        reason: Why the line was refused.
        photos: For each photo name, why it was refused, or None.
        faces: For each photo of several people or that was turned, which face was taken.
        fingerprint: Hash of the line and of the sizes and times of its photo files. A refused line
            is tried again when it changes.
        row_sha256: Hash of the line alone. A person who was erased is registered again only with
            another line, that is with a new consent.
    """

    line: int
    name: str
    status: str
    reason: str | None
    photos: dict[str, str | None]
    fingerprint: str
    row_sha256: str
    faces: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list."""

    request: Request
    row_sha256: str


def read_manifest(
    path: Path, submitted_by: str, today: date, keep_photos: bool = True
) -> list[Entry]:
    """Read the people in a list.

    Raises:
        ManifestInvalid: Names the first line that cannot be read, and why.
    """
    entries: list[Entry] = []
    names: dict[str, int] = {}
    for number, row in enumerate(_rows(path), 1):
        try:
            request = _request(row, path.parent, submitted_by, today, keep_photos)
        except (KeyError, ValueError, TypeError, OSError, PickRefused) as error:
            problem = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise ManifestInvalid(f"{path}, entry {number}: {problem}") from error
        if request.name in names:
            raise ManifestInvalid(
                f"{path}: entries {names[request.name]} and {number} both name {request.name!r}"
            )
        names[request.name] = number
        row_sha256 = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
        entries.append(Entry(request, row_sha256))
    if not entries:
        raise ManifestInvalid(f"{path} names nobody; columns are {', '.join(COLUMNS)}")
    return entries


def register_all(
    vault: Vault,
    registrar: Registrar,
    entries: Sequence[Entry],
    report: Path,
    clock: Callable[[], datetime],
) -> Iterator[RowResult]:
    """Register everyone in the list and yield each result, which is written to `report` at once.

    A run that was killed continues when it is started again with the same list and report: people
    who are in the vault are skipped, and a refused line is tried again only if it or its photos
    changed.
    """
    earlier = _earlier_results(report)
    refused = {result["fingerprint"]: result for result in earlier if result["status"] == "refused"}
    stored_before = {
        result["row_sha256"]
        for result in earlier
        if result["status"] in ("pending", "conflict", "registered before")
    }
    ends_in_a_line_part = report.exists() and not report.read_bytes().endswith(b"\n")
    with report.open("a", encoding="utf-8") as out:
        out.write("\n" if ends_in_a_line_part else "")
        for line, entry in enumerate(entries, 1):
            blank = RowResult(
                line, entry.request.name, "refused", None, {}, _fingerprint(entry), entry.row_sha256
            )
            if blank.fingerprint in refused:
                yield RowResult(**{**refused[blank.fingerprint], "line": line})
                continue
            result = _register(
                vault, registrar, entry.request, blank, clock(), entry.row_sha256 in stored_before
            )
            out.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
            out.flush()
            yield result


def _register(
    vault: Vault,
    registrar: Registrar,
    request: Request,
    blank: RowResult,
    now: datetime,
    stored_before: bool,
) -> RowResult:
    if _is_stored(vault, request):
        return replace(blank, status="registered before")
    if stored_before:
        reason = (
            "was registered from this line and erased since; "
            "a new consent needs a new line (signed_on)"
        )
        return replace(blank, status="erased since", reason=reason)
    try:
        _, report = registrar.register(request, now)
    except EnrolmentRefused as error:
        needed = f"{error.report.accepted} usable photos, {error.report.needed} needed"
        if error.report.people:
            needed = error.report.describe_people()
        reason = needed if error.report.photos else str(error)
        return replace(blank, reason=reason, photos=_photos(error.report))
    except NameTaken as error:
        # Another process may have registered this line a moment ago.
        if _is_stored(vault, request):
            return replace(blank, status="registered before")
        return replace(blank, reason=str(error))
    except (ConsentMissing, NameRefused, PickRefused) as error:
        return replace(blank, reason=str(error))
    # Only the operator who decides may know that the face looks like a registered person, not the
    # one who submits photos.
    return replace(blank, status=str(Status.PENDING), photos=_photos(report), faces=_faces(report))


def _is_stored(vault: Vault, request: Request) -> bool:
    try:
        vault.people.find(request.reference or request.name)
    except UnknownIdentity:
        return False
    return True


def _photos(report: EnrolmentReport) -> dict[str, str | None]:
    return {
        verdict.name: str(verdict.refusal) if verdict.refusal else None for verdict in report.photos
    }


def _faces(report: EnrolmentReport) -> dict[str, str]:
    chosen = {one.name: one.choice.text() for one in report.photos if one.choice}
    return {name: text for name, text in chosen.items() if text}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"{path} cannot be read as UTF-8 text ({error})") from error
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ManifestInvalid(f"{path}, line {number}: not JSON ({error})") from error
                if not isinstance(row, dict):
                    raise ManifestInvalid(f"{path}, line {number}: a JSON object is needed")
                yield row
        return
    reader = csv.DictReader(text.splitlines())
    if len(reader.fieldnames or ()) == 1 and ";" in (reader.fieldnames or [""])[0]:
        raise ManifestInvalid(f"{path} separates its columns by semicolons; save it with commas")
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if unknown:
        raise ManifestInvalid(
            f"{path}: unknown column {', '.join(sorted(map(str, unknown)))}; "
            f"known are {', '.join(COLUMNS)}"
        )
    yield from ({name: value for name, value in row.items() if value} for row in reader)


def _request(
    row: dict[str, Any], folder: Path, submitted_by: str, today: date, keep_photos: bool
) -> Request:
    if None in row:
        raise ValueError(
            "there are more cells than columns; put cells that hold commas in quotation marks"
        )
    unknown = set(row) - set(COLUMNS)
    if unknown:
        raise ValueError(f"unknown column {', '.join(sorted(map(str, unknown)))}")
    if not isinstance(row["name"], str):
        raise TypeError(f"name must be text, not {row['name']!r}")
    name = row["name"].strip()
    paths = [folder / item.strip() for item in _items(row["photos"]) if item.strip()]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} does not exist")
    document = row.get("consent_document")
    signed_on = _date(row, "signed_on") or today
    consent = Consent(
        signed_by=str(row.get("signed_by") or name),
        signed_on=signed_on,
        expires_on=_date(row, "expires_on") or signed_on + timedelta(CONSENT_DAYS),
        document_sha256=hashlib.sha256((folder / document).read_bytes()).hexdigest()
        if document
        else None,
        text_version=CONSENT_TEXT_VERSION,
        terms=Terms(_one_of(row, "terms", list(Terms))),
        signatory=Signatory(_one_of(row, "signatory", list(Signatory))),
        territories=tuple(str(row.get("territories") or "worldwide").split(";")),
    )
    files = files_in(paths)
    picks = picks_from(item.strip() for item in _items(row.get("picks")) if item.strip())
    picked_numbers(picks, files)
    return Request(
        name=name,
        photos=files,
        consent=consent,
        submitted_by=submitted_by,
        born_on=_date(row, "born_on"),
        reference=str(row["reference"]) if row.get("reference") else None,
        keep_photos=keep_photos,
        picks=picks,
    )


def _items(value: Any) -> list[str]:
    """Return a cell's parts, which are separated by ";" or are a list in JSON."""
    return [str(item) for item in value] if isinstance(value, list) else str(value or "").split(";")


def _date(row: dict[str, Any], column: str) -> date | None:
    text = row.get(column)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"{column} must be a date like 2028-01-31, not {text!r}") from None


def _one_of(row: dict[str, Any], column: str, known: Sequence[str]) -> str:
    """Return the column's value, the first known value if it is empty."""
    text = row.get(column) or known[0]
    if text not in known:
        raise ValueError(f"{column} must be one of {', '.join(known)}, not {text!r}")
    return str(text)


def _earlier_results(report: Path) -> list[dict[str, Any]]:
    if not report.exists():
        return []
    entries = []
    for line in report.read_text("utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # a line that a killed process left unfinished; that person is tried again
    return entries


def _fingerprint(entry: Entry) -> str:
    photos = [path for path in entry.request.photos if isinstance(path, Path) and path.exists()]
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in photos]
    facts = [entry.row_sha256, files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
