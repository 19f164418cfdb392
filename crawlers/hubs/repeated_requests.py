"""Repeats of a request whose answer is implausible, a limited number of times with growing waits.

Now and then hubs answer 200 with nothing (civitai/civitai issue 1800). That is no end of a list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

MOST_ATTEMPTS = 6
# An unlikely but possible answer is accepted when it came this often in a row.
ENOUGH_ATTEMPTS = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 4.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Doubt:
    """The reason why an answer is not accepted at once.

    Attributes:
        reason: the end of a sentence whose subject is the hub.
        lasts: True if the answer is not accepted even when the hub repeats it.
    """

    reason: str
    lasts: bool = True


class _Doubted(Exception):
    """Raised so that the request is repeated."""


def request_until_plausible(
    ask: Callable[[], Answer], doubt: Callable[[Answer], Doubt | None]
) -> tuple[Answer, str | None]:
    """Repeat a request until its answer is plausible.

    Args:
        ask: sends the request; its exceptions are passed on.
        doubt: returns the reason to repeat the request, None if the answer is plausible.

    Returns:
        The last answer, and the reason if it is still implausible.
    """
    answers: list[Answer] = []
    same = 0
    try:
        for attempt in stamina.retry_context(
            on=_Doubted,
            attempts=MOST_ATTEMPTS,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
        ):
            with attempt:
                answers = [ask()]
                found = doubt(answers[0])
                same = 0 if found is None or found.lasts else same + 1
                if found is None or same >= ENOUGH_ATTEMPTS:
                    return answers[0], None
                raise _Doubted(found.reason)
    except _Doubted as error:
        return answers[0], f"{error}, asked {MOST_ATTEMPTS} times"
    raise AssertionError("stamina neither returned nor raised")
