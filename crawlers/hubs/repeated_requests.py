"""Asking a hub again for an answer that is not believed, a bounded number of times and with growing waits.

Hubs answer 200 with nothing now and then (civitai/civitai issue 1800). Such an answer is no end of a list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

MOST_ASKS = 6
# An answer that may well be right is believed when it came so often in a row.
FEW_ASKS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 4.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an answer is not believed at once.

    Attributes:
        reason: the end of a sentence whose subject is the hub.
        lasts: True where the answer is not believed either when the hub repeats it.
    """

    reason: str
    lasts: bool = True


class _Doubted(Exception):
    """Another attempt is due."""


def ask_until_believed(
    ask: Callable[[], Answer], doubt: Callable[[Answer], Doubt | None]
) -> tuple[Answer, str | None]:
    """Ask until an answer is believed.

    Args:
        ask: sends the request; what it raises is raised.
        doubt: what speaks against an answer, None where nothing does.

    Returns:
        The last answer, and why it cannot be believed; None where it can.
    """
    answers: list[Answer] = []
    same = 0
    try:
        for attempt in stamina.retry_context(
            on=_Doubted, attempts=MOST_ASKS, timeout=None, wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S, wait_jitter=FIRST_WAIT_S,
        ):  # fmt: skip
            with attempt:
                answers = [ask()]
                found = doubt(answers[0])
                same = 0 if found is None or found.lasts else same + 1
                if found is None or same >= FEW_ASKS:
                    return answers[0], None
                raise _Doubted(found.reason)
    except _Doubted as error:
        return answers[0], f"{error}, asked {MOST_ASKS} times"
    raise AssertionError("stamina neither returned nor raised")
