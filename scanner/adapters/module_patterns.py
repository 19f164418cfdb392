r"""PEFT's patterns of module names, which a header may hold and which are not trusted.

PEFT uses the first key for which `re.match(rf"(.*\.)?({key})$", name)` matches, so a key is a
regular expression. Source: peft/utils/other.py, get_pattern_key. This program accepts only short
keys with few repetitions and without nested ones, and limits the time for all patterns of a file.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Mapping

import regex

from scanner.errors import UnfaithfulLoad

MOST_PATTERNS = 2000
LONGEST = 300
MOST_BRANCHES = 12
_SECONDS = 2.0
_PLAIN = re.compile(r"[\w.-]+")
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\((?:\?:)?)|(?P<close>\))"
    r"|(?P<repeat>(?:[*+?]|\{\d*,?\d*\})[?+]?)|.",
    re.DOTALL,
)
# The network's name, which PEFT's module names do not contain.
_NETWORK = re.compile(
    r"^(?:base_model\.model\.)*"
    r"(?:(?:model\.)?diffusion_model\.|transformer\.|unet\.|text_encoder(?:_[23])?[.:])?"
)


class ModulePatterns:
    """Numbers for modules, by patterns of their names."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        """Check every pattern.

        Args:
            numbers: by pattern; the first pattern that matches is used.

        Raises:
            UnfaithfulLoad: there are too many, or one is too long, too costly, or not an
                expression.
        """
        if len(numbers) > MOST_PATTERNS:
            raise UnfaithfulLoad(
                f"the header has {len(numbers)} patterns of module names, more than "
                f"{MOST_PATTERNS}; the strength is not known"
            )
        self._patterns = [(key, _compiled(key), number) for key, number in numbers.items()]
        self._plain = {key for key in numbers if _PLAIN.fullmatch(key)}
        self._left = _SECONDS

    def number_of(self, stem: str) -> float | None:
        """The number of a module; None if no pattern matches.

        Args:
            stem: the module's name in the file.

        Raises:
            UnfaithfulLoad: the name has no dots, or the patterns take too long.
        """
        if not self._patterns:
            return None
        if "." not in stem or stem.startswith(("lora_", "lycoris_")):
            raise UnfaithfulLoad(
                f"the header has patterns of module names, and {stem[:80]} cannot be compared with "
                "them; the strength is not known"
            )
        name = _NETWORK.sub("", stem, count=1)
        return next(
            (number for key, pattern, number in self._patterns if self._fits(key, pattern, name)),
            None,
        )

    def _fits(self, key: str, pattern: regex.Pattern[str], name: str) -> bool:
        if key in self._plain:  # It matches as many characters as it has and needs no search.
            start = len(name) - len(key)
            return (start == 0 or (start > 0 and name[start - 1] == ".")) and bool(
                pattern.fullmatch(name, start)
            )
        began = time.monotonic()
        try:
            return bool(pattern.match(name, timeout=max(self._left, 0.01)))
        except TimeoutError as error:
            raise _refused(key, "takes too long to compare") from error
        finally:
            self._left -= time.monotonic() - began


def _compiled(key: str) -> regex.Pattern[str]:
    if len(key) > LONGEST:
        raise _refused(key, f"is longer than {LONGEST} characters")
    if (
        sum(bool(token["open"] or token["repeat"]) for token in _TOKEN.finditer(key))
        > MOST_BRANCHES
    ):
        raise _refused(key, f"has more than {MOST_BRANCHES} groups and repetitions")
    if _repeats_a_repetition(key):
        raise _refused(key, "repeats a repetition")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # PEFT uses the standard library, so its grammar decides; regex has a time limit.
            re.compile(key)
            return regex.compile(key if _PLAIN.fullmatch(key) else rf"(.*\.)?({key})$")
    except (
        re.error,
        regex.error,
        Warning,
        OverflowError,
        RecursionError,
        MemoryError,
        ValueError,
    ) as error:
        raise _refused(key, "is no regular expression that can be read") from error


def _repeats_a_repetition(key: str) -> bool:
    """Whether a repeated group contains a repetition or a choice.

    Syntax that the two libraries do not share counts as such.
    """
    holds, inner = [False], False
    for token in _TOKEN.finditer(key):
        repeat = token["repeat"]
        if token["open"]:
            if key.startswith("(?", token.start()) and token["open"] != "(?:":
                return True
            holds.append(False)
        elif token["close"] and len(holds) > 1:
            inner = holds.pop()
            holds[-1] |= inner
            continue
        elif repeat:
            if inner and repeat[0] != "?":
                return True
            holds[-1] = True
        elif token[0] == "|":
            holds[-1] = holds[-1] or len(holds) > 1
        elif token[0] == "{":
            return True
        inner = False
    return False


def _refused(key: str, why: str) -> UnfaithfulLoad:
    return UnfaithfulLoad(
        f"the header's pattern of module names {key[:60]!r} {why}; the strength is not known"
    )
