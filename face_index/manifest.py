"""An agency's list of people, CSV or JSON Lines, registered one after another and resumed where it stopped.

Columns: `name` and `photos` (a folder, or files separated by ";") are needed; `reference`, `signed_by`,
`signatory` (self, guardian, agent), `signed_on`, `expires_on`, `consent_document`, `terms`, `born_on`,
`territories` (separated by ";") may be there. Paths are relative to the list.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Signatory, Terms
from face_index.errors import ConsentMissing, EnrolmentRefused, ManifestInvalid, NameTaken, UnknownIdentity
from face_index.identity import Status
from face_index.photos import photos_in
from face_index.registration import Registrar, Request
from face_index.vault import Vault

COLUMNS = (
    "name", "photos", "reference", "signed_by", "signatory", "signed_on", "expires_on", "consent_document", "terms",
    "born_on", "territories",
)  # fmt: skip
CONSENT_DAYS = 730


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one line.

    Attributes:
        line: counted from 1, without the heading.
        name: of the person.
        status: "pending", "conflict", "registered before" or "refused".
        reason: why it was refused.
        photos: for each photo name, why it was refused or None.
        fingerprint: of the line and its photo files' sizes and times; a refused line is tried again when it changes.
    """

    line: int
    name: str
    status: str
    reason: str | None
    photos: dict[str, str | None]
    fingerprint: str


def read_manifest(path: Path, submitted_by: str, today: date, keep_photos: bool = True) -> list[Request]:
    """The people in a list.

    Raises:
        ManifestInvalid: the first line that cannot be read, and why.
    """
    requests: list[Request] = []
    names: dict[str, int] = {}
    for number, row in enumerate(_rows(path), 1):
        try:
            request = _request(row, path.parent, submitted_by, today, keep_photos)
        except (KeyError, ValueError, OSError) as error:
            told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise ManifestInvalid(f"{path}, entry {number}: {told}") from error
        if request.name in names:
            raise ManifestInvalid(f"{path}: entries {names[request.name]} and {number} both name {request.name!r}")
        names[request.name] = number
        requests.append(request)
    if not requests:
        raise ManifestInvalid(f"{path} names nobody; columns are {', '.join(COLUMNS)}")
    return requests


def register_all(
    vault: Vault,
    registrar: Registrar,
    requests: Sequence[Request],
    report: Path,
    clock: Callable[[], datetime],
) -> Iterator[RowResult]:
    """Register everyone in the list, yielding what became of each; every result is written to `report` at once.

    Killed and started again with the same list and report, it goes on: whoever is in the vault is left
    alone, and a refused line is only tried again if it or its photos changed.
    """
    refused = {entry["fingerprint"]: entry for entry in _earlier(report) if entry["status"] == "refused"}
    cut_off = report.exists() and not report.read_bytes().endswith(b"\n")
    with report.open("a", encoding="utf-8") as out:
        out.write("\n" if cut_off else "")
        for line, request in enumerate(requests, 1):
            fingerprint = _fingerprint(request)
            if fingerprint in refused:
                yield RowResult(**{**refused[fingerprint], "line": line})
                continue
            result = _register(vault, registrar, request, line, fingerprint, clock())
            out.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
            out.flush()
            yield result


def _register(
    vault: Vault, registrar: Registrar, request: Request, line: int, fingerprint: str, now: datetime
) -> RowResult:
    try:
        vault.find(request.reference or request.name)
        return RowResult(line, request.name, "registered before", None, {}, fingerprint)
    except UnknownIdentity:
        pass
    photos: dict[str, str | None] = {}
    try:
        identity, report = registrar.register(request, now)
        reason = "looks like someone registered under another name" if identity.status == Status.CONFLICT else None
        status = str(identity.status)
    except EnrolmentRefused as error:
        report, reason, status = (
            error.report,
            f"{error.report.accepted} usable photos, {error.report.needed} needed",
            "refused",
        )
    except (ConsentMissing, NameTaken) as error:
        return RowResult(line, request.name, "refused", str(error), {}, fingerprint)
    photos = {verdict.name: str(verdict.refusal) if verdict.refusal else None for verdict in report.photos}
    return RowResult(line, request.name, status, reason, photos, fingerprint)


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
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if unknown:
        raise ManifestInvalid(
            f"{path}: unknown column {', '.join(sorted(map(str, unknown)))}; known are {', '.join(COLUMNS)}"
        )
    yield from ({name: value for name, value in row.items() if value} for row in reader)


def _request(row: dict[str, Any], folder: Path, submitted_by: str, today: date, keep_photos: bool) -> Request:
    unknown = set(row) - set(COLUMNS)
    if unknown:
        raise ValueError(f"unknown column {', '.join(sorted(map(str, unknown)))}")
    name = str(row["name"]).strip()
    given = row["photos"] if isinstance(row["photos"], list) else str(row["photos"]).split(";")
    paths = [folder / str(item).strip() for item in given if str(item).strip()]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} does not exist")
    document = row.get("consent_document")
    signed_on = date.fromisoformat(row["signed_on"]) if row.get("signed_on") else today
    consent = Consent(
        signed_by=str(row.get("signed_by") or name),
        signed_on=signed_on,
        expires_on=date.fromisoformat(row["expires_on"])
        if row.get("expires_on")
        else signed_on + timedelta(CONSENT_DAYS),
        document_sha256=hashlib.sha256((folder / document).read_bytes()).hexdigest() if document else None,
        text_version=CONSENT_TEXT_VERSION,
        terms=Terms(row.get("terms") or "prohibited"),
        signatory=Signatory(row.get("signatory") or "self"),
        territories=tuple(str(row.get("territories") or "worldwide").split(";")),
    )
    return Request(
        name=name,
        photos=photos_in(paths),
        consent=consent,
        submitted_by=submitted_by,
        born_on=date.fromisoformat(row["born_on"]) if row.get("born_on") else None,
        reference=str(row["reference"]) if row.get("reference") else None,
        keep_photos=keep_photos,
    )


def _earlier(report: Path) -> list[dict[str, Any]]:
    if not report.exists():
        return []
    entries = []
    for line in report.read_text("utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # the line a killed process was writing; its person is looked at again
    return entries


def _fingerprint(request: Request) -> str:
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in request.photos]
    facts = [request.name, request.consent.to_json(), str(request.born_on), files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
