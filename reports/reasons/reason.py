"""A reason as a record: a code and the values that its sentence holds.

Databases, cases and JSON keep a reason as its English sentence. `parse_reasons` turns such a
sentence back into records, so that a document can say the same in another language. The sentences
stand in the tables of this package, one per code; each is the template that writes a sentence and
the pattern that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from types import MappingProxyType

from reports.reasons.adapters import ADAPTERS
from reports.reasons.captures import CAPTURES
from reports.reasons.files import FILES
from reports.reasons.intake import INTAKE
from reports.reasons.methods import METHODS
from reports.reasons.template import Template, Value
from reports.reasons.verdicts import VERDICTS

Translate = Callable[[str], str]

# The code of a sentence that no table has. It is shown as it stands, as a quotation.
QUOTED = "quoted"
QUOTED_SENTENCE = "{text}"
# Stored sentences are short. Longer text is somebody else's and is not matched with every pattern.
_LONGEST_SENTENCE = 2_000
_SEPARATOR = "; "
# A sentence holds fewer separators than this; the limit bounds the time that a text takes.
_MOST_PIECES = 8

SENTENCES: Mapping[str, str] = MappingProxyType(
    {**VERDICTS, **METHODS, **FILES, **ADAPTERS, **CAPTURES, **INTAKE}
)
"""The English sentence of every code; the catalogue has the Chinese one under the same text."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        code: a key of SENTENCES, or QUOTED.
        values: what the sentence holds, by name; a value may be a reason itself.
    """

    code: str
    values: Mapping[str, Value | Reason] = field(default_factory=dict)

    def in_english(self) -> str:
        """The sentence as databases and JSON keep it."""
        return self.in_words(str)

    def in_words(self, translate: Translate) -> str:
        """The sentence in the language of a catalogue (`gettext`); `str` gives English."""
        template = _template(translate(SENTENCES.get(self.code, QUOTED_SENTENCE)))
        return template.format(
            {
                name: value.in_words(translate) if isinstance(value, Reason) else value
                for name, value in self.values.items()
            }
        )


def parse_reasons(text: str) -> tuple[Reason, ...]:
    """The reasons of a stored sentence, which may be several joined by semicolons.

    What no pattern matches becomes a reason with the code QUOTED, so that no text is lost.
    """
    return _parse(text) if len(text) <= _LONGEST_SENTENCE else (_quoted(text),)


def reasons_in_words(text: str, translate: Translate, *, quote: bool = True) -> str:
    """A stored sentence in the language of a catalogue; `str` gives it back unchanged.

    Args:
        quote: mark what no pattern matches as a quotation; False for a field that may hold a
            name instead of a sentence, which then stands as it is.
    """
    reasons = parse_reasons(text)
    if quote or any(reason.code != QUOTED for reason in reasons):
        return join_reasons(reasons, translate)
    return text


def join_reasons(reasons: Iterable[Reason], translate: Translate) -> str:
    """Several reasons as one text."""
    return translate(_SEPARATOR).join(reason.in_words(translate) for reason in reasons)


@dataclass(frozen=True, slots=True)
class _Match:
    """A reason that was read, and how many characters of it are fixed text of templates."""

    reason: Reason
    fixed_length: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read the pieces of a text from some piece to the last."""

    fixed_length: int = 0
    parts: tuple[Reason | str, ...] = ()


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Reason, ...]:
    """Read a text in the way that explains the most of it by fixed text.

    A slot for free text can match a separator and the sentence behind it. Reading both sentences
    explains more.
    """
    pieces = text.split(_SEPARATOR)
    best = [_Reading()] * (len(pieces) + 1)
    for start in reversed(range(len(pieces))):
        after = best[start + 1]
        best[start] = _Reading(after.fixed_length, (pieces[start], *after.parts))
        for end in range(start + 1, min(start + _MOST_PIECES, len(pieces)) + 1):
            match = _known(_SEPARATOR.join(pieces[start:end]))
            if match and match.fixed_length + best[end].fixed_length > best[start].fixed_length:
                best[start] = _Reading(
                    match.fixed_length + best[end].fixed_length, (match.reason, *best[end].parts)
                )
    return tuple(_with_quotations(best[0].parts))


def _with_quotations(parts: tuple[Reason | str, ...]) -> Iterator[Reason]:
    """Join neighbouring unknown pieces into one quotation."""
    for unknown, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if unknown:
            yield _quoted(_SEPARATOR.join(str(part) for part in group))
        else:
            yield from (part for part in group if isinstance(part, Reason))


def _known(text: str) -> _Match | None:
    for code, template in _templates():
        values = template.match(text)
        if values is None:
            continue
        inner = template.nested | template.causes
        found = {name: match for name in inner if (match := _known(str(values[name])))}
        if template.nested <= found.keys():
            reasons = {name: match.reason for name, match in found.items()}
            fixed = template.fixed_length + sum(match.fixed_length for match in found.values())
            reason = Reason(code, {**values, **reasons})
            # Text that a stranger wrote may match with values that are written in another way.
            if reason.in_english() == text:
                return _Match(reason, fixed)
    return None


def _quoted(text: str) -> Reason:
    return Reason(QUOTED, {"text": text})


@cache
def _templates() -> tuple[tuple[str, Template], ...]:
    """Every template, those with the most fixed text first: they say most about what they match."""
    made = ((code, _template(sentence)) for code, sentence in SENTENCES.items())
    return tuple(sorted(made, key=lambda pair: -pair[1].fixed_length))


@cache
def _template(sentence: str) -> Template:
    return Template(sentence)
