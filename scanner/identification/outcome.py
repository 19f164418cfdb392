"""The outcomes of verdicts, their order of seriousness, and the two reasons that decide more."""

from __future__ import annotations

from enum import StrEnum

from reports.reasons.reason import Reason


class Outcome(StrEnum):
    """The result for a checkpoint, or for a checkpoint and one identity."""

    MATCH = "match"  # above the threshold, and above the control
    POSSIBLE = "possible"  # a reviewer must decide
    CLEAR = "clear"  # enough usable faces, none of them close to anyone registered
    INCONCLUSIVE = "inconclusive"  # too few usable faces to decide
    FAILED = "failed"  # unreadable, unsupported, not faithfully loaded or refused; see the reason


# The first of these among all files and persons is the outcome of a scan.
SERIOUS_FIRST = (
    Outcome.MATCH,
    Outcome.POSSIBLE,
    Outcome.FAILED,
    Outcome.INCONCLUSIVE,
    Outcome.CLEAR,
)
# The outcomes that name somebody.
FINDINGS = (Outcome.MATCH, Outcome.POSSIBLE)

# The gallery is empty, so `clear` says nothing about whose face a file draws and is no permission
# to publish it. Stores keep the sentence.
NOBODY_REGISTERED = Reason("nobody-registered").in_english()

# The reason of every file that sampling cannot decide. It is the same whether too few faces were
# found or a rule forbids to sample the file, so that it does not disclose which. Stores keep it.
NEEDS_A_LOOK = Reason("needs-a-look").in_english()


def seriousness(outcome: str, *, is_authorised: bool) -> int:
    """Return the place of a result among others, 0 for the most serious one.

    An authorised use counts as clear.
    """
    return SERIOUS_FIRST.index(Outcome.CLEAR if is_authorised else Outcome(outcome))
