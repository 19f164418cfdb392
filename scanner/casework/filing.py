"""From a verdict to rows and cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crawlers.listing import Listing, RemoteFile
from face_index.consent import Terms
from face_index.errors import UnknownIdentity
from face_index.vault.licences import covering_licence
from reports.cases.case import Case, Entry
from reports.cases.case_summary import weights_of
from reports.cases.checkpoint_record import SampleRecord
from reports.cases.listings import ListingRecord, listing_details, listings_of, own_listing
from reports.cases.method_record import MethodRecord
from reports.cases.review import CaseStatus
from reports.cases.standing import material_change, standing_case
from scanner.casework.case_facts import checkpoint_record
from scanner.environment import environment_now
from scanner.errors import FilingBusy
from scanner.identification.verdict import Outcome
from scanner.scanning.scan_store import ScanRow
from scanner.scanning.session import ScanSession
from scanner.triage.header import Triage


def file_cases(
    scan_session: ScanSession, scan: ScanRow, listing: Listing, file: RemoteFile, triage: Triage, record: dict[str, Any],
    asked: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """The result rows of one file, one per finding; a case is filed for each that nobody authorised.

    They name nobody: rows are kept, and a name must go when its person goes (scanner.scanning.scan.result_of puts it in).

    Args:
        asked: the words and the base model that the listing led to (`Questions.as_record`).
    """
    shared = {
        "file": file.name, "sha256": triage.sha256, "samples": record["samples"], "seconds": record["seconds"],
        "gallery_version": record["method"].get("gallery_version"), "authorised": None,
        "asked": asked if record["outcome"] != Outcome.FAILED else None,  # of a failed file nothing was
    }  # fmt: skip
    if (
        listing.declared
    ):  # whatever it says of itself, it was sent to the gate, and that is where it is
        listing = replace(listing, hub=scan_session.settings.web.hub_name)
    here = [
        finding
        for finding in record["findings"]
        if is_registered(scan_session, finding["identity_id"])
    ]
    if not here:
        gone = bool(record["findings"])
        threshold = record["best_threshold"] or record["method"].get("threshold")
        return [
            {
                **shared, "outcome": str(Outcome.CLEAR if gone else record["outcome"]), "identity_id": None,
                "score": None if gone else _rounded(record["best_score"]), "threshold": _rounded(threshold),
                "lift": None if gone else _rounded(record["lift"]),
                "reason": "who it showed has withdrawn meanwhile" if gone else record["reason"],
            }
        ]  # fmt: skip
    rows = []
    for finding in here:
        case = _case(scan_session, scan, listing, file, triage, record["method"], finding)
        authorised = authorised_by(scan_session, case, uploader_known=not listing.declared)
        if authorised:
            note_authorised(scan_session, case, authorised)
        standing = (
            None
            if authorised
            else file_case(scan_session, case, uploader_known=not listing.declared)
        )
        rows.append(
            {
                **shared, "outcome": finding["outcome"], "identity_id": case.identity_id, "score": _rounded(finding["score"]),
                "threshold": _rounded(finding["threshold"]), "lift": _rounded(finding["lift"]), "reason": finding["reason"],
                "case_id": standing.case_id if standing else None, "authorised": authorised,
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: (row["outcome"] != Outcome.MATCH, -row["score"]))


_MOST_TRIES = 10
_AUTHORISED = "authorised-use-found"


def file_case(scan_session: ScanSession, case: Case, *, uploader_known: bool = True) -> Case:
    """The case that stands for this person and these weights: one that is known, with this listing, or a new one.

    A decision holds, however often and wherever the file turns up, until something material changes
    (`reports.cases.standing.material_change`).

    Args:
        uploader_known: False where only the sender says whose upload it is.
    """
    for _ in range(_MOST_TRIES):
        if (filed := _filed(scan_session, case, uploader_known=uploader_known)) is not None:
            return filed
    raise FilingBusy(case.checkpoint.sha256)


def _filed(scan_session: ScanSession, case: Case, *, uploader_known: bool) -> Case | None:
    """The same; None where another process filed it or somebody decided meanwhile, so that it must be looked at again."""
    earlier = scan_session.case_store.of_weights(case.identity_id, weights_of(case) or "")
    # Whatever somebody made of a case outside this program, the finding comes again and gets a case of its own.
    sound = [one for one in earlier if scan_session.records.is_sound(one)]
    known = standing_case(sound, own_listing(case), uploader_known=uploader_known)
    because = material_change(known, case) if known else None
    if known is not None and because is None:
        _attach(scan_session, known, own_listing(case))
        return known
    case = _named(scan_session, case, len(earlier))
    replaces = known is not None and known.status in (CaseStatus.DRAFT, CaseStatus.MORE_SAMPLES)
    also = (
        _lines_of_succession(scan_session, known, case, str(because), replaces=replaces)
        if known
        else []
    )
    if not open_case(scan_session, case, also, known):
        return None
    if known is not None and replaces:
        note_superseded(scan_session, known, case)
    return case


def _named(scan_session: ScanSession, case: Case, number: int) -> Case:
    """The case under an id that no case has or had: one that was taken out of cases.db is not begun again under its id."""
    while True:
        name = hashlib.sha256(
            f"{weights_of(case)}:{case.identity_id}:{number}".encode()
        ).hexdigest()
        case = replace(case, case_id=name[:16])
        if not scan_session.records.is_known(case):
            return case
        number += 1


def _lines_of_succession(
    scan_session: ScanSession, known: Case, case: Case, because: str, *, replaces: bool
) -> list[tuple[str, Entry]]:
    """What the logs of both say where a case follows another: why, every listing so far, and which one stands."""
    at, actor = scan_session.clock().isoformat(), scan_session.settings.operator
    lines = [
        (case.case_id, Entry(0, at, "reopens", actor, {"case": known.case_id, "text": because}))
    ]
    lines += [
        (case.case_id, Entry(0, at, "listing", actor, dict(listing_details(listing))))
        for listing in listings_of(known)
        if not listing.is_place_of(own_listing(case))
    ]
    if replaces:
        lines.append((known.case_id, Entry(0, at, "superseded", actor, {"by": case.case_id})))
    return lines


def _attach(scan_session: ScanSession, case: Case, listing: ListingRecord) -> None:
    if listing.is_place_of(own_listing(case)):
        return
    if scan_session.case_store.attach(
        case.case_id, listing, scan_session.settings.operator, scan_session.clock()
    ):
        told = {"hub": listing.hub, "checkpoint": listing.sha256}
        scan_session.records.note(
            "case-listing-added", case, scan_session.settings.operator, **told
        )


def note_superseded(scan_session: ScanSession, case: Case, by: Case) -> None:
    """Note in the audit log that a later case takes the place of one about which nobody decided."""
    scan_session.records.note(
        "case-superseded", case, scan_session.settings.operator, by=by.case_id
    )


def open_case(
    scan_session: ScanSession,
    case: Case,
    also: Sequence[tuple[str, Entry]] = (),
    unless_changed: Case | None = None,
) -> bool:
    """File a case and note it in the audit log; one that is there already stays as it is. Whether it is new."""
    is_new = scan_session.case_store.open(case, also, unless_changed)
    if is_new:
        told = {"checkpoint": case.checkpoint.sha256, "outcome": case.outcome}
        scan_session.records.note("case-opened", case, scan_session.settings.operator, **told)
    return is_new


def is_registered(scan_session: ScanSession, identity_id: str) -> bool:
    """Whether someone is still there: people may withdraw while a scan runs."""
    try:
        return scan_session.vault.find(identity_id).is_active(scan_session.clock().date())
    except UnknownIdentity:
        return False


def authorised_by(
    scan_session: ScanSession, case: Case, *, uploader_known: bool = True
) -> str | None:
    """What allows this use, in words that name nobody, since they are kept; None if nothing does. It opens no case then.

    Args:
        uploader_known: False where only the sender says whose upload it is: a licence for an uploader does not count then.
    """
    if case.terms == Terms.PERMITTED:
        return "the person's terms permit it"
    checkpoint = case.checkpoint
    creator, day = checkpoint.creator if uploader_known else None, scan_session.clock().date()
    licence = covering_licence(
        scan_session.vault, case.identity_id, checkpoint.hub, creator, checkpoint.sha256, day
    )
    return f"licence {licence.licence_id[:8]} until {licence.until}" if licence else None


def note_authorised(scan_session: ScanSession, case: Case, because: str) -> None:
    """Note in the audit log, once for each listing, that a use was found and is allowed: no case tells of it."""
    told = {
        "checkpoint": case.checkpoint.sha256,
        "hub": case.checkpoint.hub,
        "listing": case.checkpoint.listing_url,
    }
    about = scan_session.vault.audit.about(case.identity_id)
    details = {**told, "because": because}
    if not any(
        entry.event == _AUTHORISED and details.items() <= entry.details.items() for entry in about
    ):
        scan_session.vault.note(
            _AUTHORISED,
            case.identity_id,
            scan_session.settings.operator,
            scan_session.clock(),
            **details,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _case(
    scan_session: ScanSession,
    scan: ScanRow,
    listing: Listing,
    file: RemoteFile,
    triage: Triage,
    method: dict[str, Any],
    finding: dict[str, Any],
) -> Case:
    identity = scan_session.vault.find(finding["identity_id"])
    return Case(
        case_id="",  # file_case names it
        scan_id=scan.scan_id,
        opened_at=scan_session.clock().isoformat(),
        outcome=finding["outcome"],
        reason=finding["reason"],
        identity_id=identity.identity_id,
        identity_name=identity.name,
        terms=str(identity.consent.terms),
        score=finding["score"],
        interval=(finding["interval"][0], finding["interval"][1]),
        threshold=finding["threshold"],
        possible_threshold=finding["possible_threshold"],
        control_score=finding["control_score"],
        lift=finding["lift"],
        checkpoint=checkpoint_record(scan_session, listing, file, triage),
        log10_lr=finding["log10_lr"],
        concentration=finding["concentration"],
        runner_up=finding["runner_up"],
        share=finding["share"],
        authorisation=(
            f"terms: {identity.consent.terms}; no licence of this person covers the file, its uploader or the hub on "
            f"{scan_session.clock():%Y-%m-%d}"
            + ("; who uploaded it is the sender's word" if listing.declared else "")
        ),
        environment=environment_now(scan_session.settings.operator, scan_session.clock()),
        method=method_record(method),
        samples=tuple(SampleRecord(**sample) for sample in finding["samples"]),
    )


def method_record(record: dict[str, Any]) -> MethodRecord:
    """How a verdict was reached, from the ledger's plain values."""
    fields = {name: value for name, value in record.items() if name != "threshold"}
    curve = tuple((score, rate) for score, rate in fields.pop("impostor_rates", ()))
    interval = fields.pop("fpir_interval", None)
    return MethodRecord(
        **fields, impostor_rates=curve, fpir_interval=tuple(interval) if interval else None
    )
