"""Searching captured pictures, and printing whom they show."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scanner.cli.output import counted, print_line, print_table
from scanner.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scanner.records import CaptureVerdict
    from scanner.settings import Settings

MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class SubjectVerdict:
    """The verdict about an account or capture, with the names of those who were found."""

    subject: CaptureVerdict
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self.subject)


def judge_all(settings: Settings) -> list[SubjectVerdict]:
    """Search everything that was captured, with a progress bar."""
    from scanner.factories import open_capture_search, open_scan_session

    verdicts: list[SubjectVerdict] = []
    # No thread samples here, so the session is closed in any case.
    with open_scan_session(settings) as session, progress_bar("searching faces") as observer:
        for subject in open_capture_search(settings, session).run():
            names = tuple(
                session.vault.people.find(identity).name for identity in subject.identities
            )
            verdicts.append(SubjectVerdict(subject, names))
            observer.step(len(verdicts), None, subject.name)
    return verdicts


def print_verdicts(verdicts: Sequence[SubjectVerdict]) -> None:
    """Print the new verdicts as a table, those with cases first, and count the others."""
    if not verdicts:
        return
    new = [verdict for verdict in verdicts if not verdict.subject.known]
    known = [verdict for verdict in verdicts if verdict.subject.known]
    if new:
        _print_new(new)
    else:
        print_line("Nothing new to judge.")
    if known:
        were = "was" if len(known) == 1 else "were"
        print_line(
            f"{len(known)} {were} judged before and did not change: {_outcome_counts(known)}. "
            "`captures judge --json` has them all."
        )


def _print_new(new: Sequence[SubjectVerdict]) -> None:
    rows = sorted(
        new, key=lambda row: (not row.subject.cases, row.subject.outcome, row.subject.name)
    )
    print_table(
        ("outcome", "account or capture", "images", "faces", "person", "case", "why"),
        [_row(verdict) for verdict in rows[:MOST_ROWS]],
    )
    if len(rows) > MOST_ROWS:
        print_line(f"and {len(rows) - MOST_ROWS} more; `captures judge --json` has them all.")
    things = "account or capture" if len(new) == 1 else "accounts and capture"
    print_line(f"{counted(len(new), things)} judged now: {_outcome_counts(new)}.")


def _row(verdict: SubjectVerdict) -> tuple[str, ...]:
    subject = verdict.subject
    cases = " ".join(case_id[:12] for case_id in subject.cases)
    return (
        subject.outcome,
        subject.name,
        str(subject.images),
        str(subject.faces),
        ", ".join(verdict.names),
        cases or ("authorised" if subject.authorised else ""),
        subject.reason,
    )


def _outcome_counts(verdicts: Sequence[SubjectVerdict]) -> str:
    counts = Counter(verdict.subject.outcome for verdict in verdicts)
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
