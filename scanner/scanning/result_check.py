"""Whether stored results of a file hold in the present gallery, as kept samples tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.identification.outcome import NEEDS_A_LOOK, NOBODY_REGISTERED, Outcome
from scanner.identification.snapshot import GallerySnapshot
from scanner.records import ResultRow, VerdictRecord
from scanner.scanning.file_faces import destroy_faces, is_near_and_gone
from scanner.scanning.kept_samples import Decision
from scanner.scanning.results import held_row, renewed_row
from scanner.scanning.searched_file_store import JudgedFile
from scanner.scanning.session import ScanSession

Found = frozenset[tuple[str, str]]


class ResultState(StrEnum):
    """What becomes of the results for a file."""

    CARRIED = "carried"  # they hold in the present gallery, perhaps with renewed rows
    CHANGED = "changed"  # the file must be scanned again: somebody comes near, or findings change
    MISSING = "missing"  # no samples are kept that could be searched


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A judged file with its rows as they are in the present gallery.

    Attributes:
        is_searched: whether samples of it were searched; those of held and failed files are not.
    """

    file: JudgedFile
    state: ResultState
    is_searched: bool


def check_results(
    session: ScanSession, snapshot: GallerySnapshot, files: Sequence[JudgedFile]
) -> Iterator[CheckedFile]:
    """Yield files with what becomes of their results.

    Files that name a minor who has registered since lose their faces and are held.
    """
    held = {file.number: checked for file in files if (checked := _held(session, file))}
    keys = {
        key: None
        for file in files
        if file.number not in held and file.searched is not None
        for key in file.searched.sampling_keys
    }
    comparison = _Comparison(session, snapshot, list(keys))
    for file in files:
        yield held.get(file.number) or comparison.check(file)


def _held(session: ScanSession, file: JudgedFile) -> CheckedFile | None:
    """Return a file that must be held, or that must not be held any more; else None."""
    was_held = any(row.reason == NEEDS_A_LOOK for row in file.rows)
    if not was_held and not session.minors.ids:
        return None
    listed = session.scan_store.searched.listed(file)
    part = listed.listing.files[listed.file_number]
    is_held = any(
        session.requests.is_held(listed.listing, part, session.scan_store.known_triage(sha256))
        for sha256 in sorted({file.sha256} | {row.sha256 for row in file.rows if row.sha256})
    )
    if not is_held:
        # A hold was lifted, or the minor is registered no more.
        return CheckedFile(file, ResultState.CHANGED, is_searched=False) if was_held else None
    destroy_faces(session, file.item_key, replace(part, sha256=file.sha256))
    rows = (held_row(part, file.sha256, session.vault.gallery_version),)
    return CheckedFile(replace(file, rows=rows), ResultState.CARRIED, is_searched=False)


class _Comparison:
    """Compares stored results with what kept samples tell.

    Args:
        sampling_keys: of all files that are compared.
    """

    def __init__(
        self, session: ScanSession, snapshot: GallerySnapshot, sampling_keys: Sequence[str]
    ) -> None:
        self._session, self._snapshot = session, snapshot
        self._decisions = session.kept.decisions(sampling_keys, snapshot)
        # A finding holds for the bytes, with whatever words they were sampled.
        self._of_bytes = self._found(self._decisions)

    def _found(self, decisions: Mapping[str, Decision]) -> dict[str, Found]:
        """Return the findings of registered people by SHA-256."""
        found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for decision in decisions.values():
            found[decision.sha256] |= {
                finding
                for finding in decision.findings
                if self._session.filing.is_registered(finding[0])
            }
        return {sha256: frozenset(findings) for sha256, findings in found.items()}

    def check(self, file: JudgedFile) -> CheckedFile:
        """Return what becomes of the results for a file that is not held."""
        examined = [row for row in file.rows if row.outcome != Outcome.FAILED]
        if not examined:
            # A file that could not be drawn shows nobody, whoever registers.
            gone = any(is_near_and_gone(row) for row in file.rows)
            state = ResultState.CHANGED if gone else ResultState.CARRIED
            return CheckedFile(file, state, is_searched=False)
        searched = file.searched
        if (
            searched is None
            or searched.settings_key != self._session.settings_key
            or not all(self._session.kept.store.has(key) for key in searched.sampling_keys)
        ):
            # Another listing of the same bytes may have been drawn and searched.
            search_key = self._session.search_key(self._snapshot).digest
            found = self._session.scan_store.has_finding(file.sha256, search_key)
            state = ResultState.CHANGED if found else ResultState.MISSING
            return CheckedFile(file, state, is_searched=False)
        own = {key: self._decisions.get(key) for key in searched.sampling_keys}
        decided = {key: decision for key, decision in own.items() if decision is not None}
        rows = self._rows_now(examined, decided) if len(decided) == len(own) else None
        if rows is None:
            return CheckedFile(file, ResultState.CHANGED, is_searched=True)
        renewed = tuple(rows.get(id(row), row) for row in file.rows)
        return CheckedFile(replace(file, rows=renewed), ResultState.CARRIED, is_searched=True)

    def _rows_now(
        self, examined: Sequence[ResultRow], decided: Mapping[str, Decision]
    ) -> dict[int, ResultRow] | None:
        """Return the rows that must be renewed, by id; None if findings have changed."""
        found = self._found(decided)
        keys = {decision.sha256: key for key, decision in decided.items()}
        renewed: dict[int, ResultRow] = {}
        for sha256 in {row.sha256 or "" for row in examined}:
            rows = [row for row in examined if (row.sha256 or "") == sha256]
            before = {(row.identity_id, row.outcome) for row in rows if row.identity_id}
            if sha256 not in found or any(map(_rests_on_a_list, rows)):
                return None
            now = found[sha256] or self._of_bytes[sha256]
            if now | self._confirmed(rows, now) != before:
                return None
            if before or not self._differs(rows[0], decided[keys[sha256]]):
                continue
            verdict = self._session.kept.decide(keys[sha256], self._snapshot)
            if not isinstance(verdict, VerdictRecord):
                return None
            renewed |= {id(row): renewed_row(row, verdict) for row in rows}
        return renewed

    def _confirmed(self, rows: Sequence[ResultRow], found: Found) -> Found:
        """Return the findings whose case was confirmed, of people who are not found now."""
        named = {identity_id for identity_id, _ in found}
        of_others = [
            row
            for row in rows
            if row.case_id and row.identity_id is not None and row.identity_id not in named
        ]
        standings = self._session.case_store.standings({row.case_id or "" for row in of_others})
        return frozenset(
            (row.identity_id or "", row.outcome)
            for row in of_others
            if (standing := standings.get(row.case_id or "")) is not None
            and standing.is_confirmed
            and self._session.filing.is_registered(row.identity_id or "")
        )

    def _differs(self, row: ResultRow, decision: Decision) -> bool:
        """Whether a row without a finding says something else than the present gallery does."""
        was_empty = row.reason == NOBODY_REGISTERED
        is_empty = len(self._snapshot.gallery) == 0
        return row.outcome != decision.outcome or was_empty != is_empty


def _rests_on_a_list(row: ResultRow) -> bool:
    """Whether a row names nobody because another installation's list names the weights."""
    return row.outcome == Outcome.POSSIBLE and row.identity_id is None
