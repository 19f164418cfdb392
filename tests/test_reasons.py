"""Reasons: every stored sentence is read back, and has words in both languages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.documents.translation import translations
from reports.reasons.adapters import ADAPTERS
from reports.reasons.captures import CAPTURES
from reports.reasons.files import FILES
from reports.reasons.intake import INTAKE
from reports.reasons.methods import METHODS
from reports.reasons.reason import (
    QUOTED,
    SENTENCES,
    Reason,
    join_reasons,
    parse_reasons,
    reasons_in_words,
)
from reports.reasons.template import Template, Value
from reports.reasons.verdicts import VERDICTS

ROOT = Path(__file__).parents[1]
_NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789_.-", min_size=1, max_size=12)
_SLOTS: dict[str, st.SearchStrategy[Value]] = {
    "": _NAMES,
    "piece": _NAMES,
    "cause": _NAMES,
    "quoted": st.text(st.characters(codec="utf-8"), max_size=20),
    "commas": st.lists(_NAMES, min_size=1, max_size=4).map(tuple),
    "listed": st.lists(_NAMES, min_size=1, max_size=4).map(tuple),
    "either": st.lists(_NAMES, min_size=1, max_size=4).map(tuple),
    "d": st.integers(0, 10**9),
    ",d": st.integers(0, 10**12),
    ".2f": st.floats(-1, 1),
    "g": st.floats(0, 1e6),
    ".0%": st.integers(0, 100).map(lambda percent: percent / 100),
}
_FORMAT = Reason("format-gguf")
_INNER = Reason("over-threshold-only", {"score": 0.8, "threshold": 0.71})
_BASE = Reason("declared-name", {"name": "base.safetensors"})


@st.composite
def reasons(draw: st.DrawFn) -> Reason:
    code = draw(st.sampled_from(sorted(SENTENCES)))
    values: dict[str, Value | Reason] = {}
    for name, kind in Template(SENTENCES[code]).slots.items():
        inner = kind == "why" or (kind == "cause" and draw(st.booleans()))
        values[name] = draw(st.sampled_from([_INNER, _BASE, _FORMAT]) if inner else _SLOTS[kind])
    return Reason(code, values)


@given(reasons())
@settings(max_examples=1000, deadline=None)
def test_a_sentence_is_read_back_as_the_reason_that_wrote_it(reason: Reason) -> None:
    text = reason.in_english()
    (read,) = parse_reasons(text)
    assert (read.code, read.in_english()) == (reason.code, text)


@given(st.lists(reasons(), min_size=1, max_size=4))
@settings(max_examples=1000, deadline=None)
def test_joined_sentences_are_read_back_whole(several: list[Reason]) -> None:
    text = join_reasons(several, str)
    assert reasons_in_words(text, str) == text
    assert QUOTED not in {reason.code for reason in parse_reasons(text)}


@pytest.mark.parametrize(
    "text",
    [
        "only the beginning of the header was read (007 tensors); later ones may add to the kind",
        "the adapter at scale 1234567",
    ],
)
def test_a_number_that_is_written_in_another_way_stays(text: str) -> None:
    assert reasons_in_words(text, str) == text


def test_no_code_is_in_two_tables() -> None:
    tables = (ADAPTERS, CAPTURES, FILES, INTAKE, METHODS, VERDICTS)
    assert len(SENTENCES) == sum(map(len, tables))


def test_a_cause_is_a_reason_or_text_of_somebody_else() -> None:
    known, foreign = (
        reasons_in_words(f"they cannot be taken in: {cause}", translations("zh-CN").gettext)
        for cause in ("it ends too early", "Errno 28")
    )
    assert (known, foreign) == ("无法收取：内容不完整，提前结束", "无法收取：Errno 28")


def test_a_name_does_not_swallow_the_sentence_behind_it() -> None:
    several = [
        Reason("capture-format", {"format": _BASE}),
        Reason("gap-in-listings", {"why": _BASE}),
        _BASE,
    ]
    assert parse_reasons(join_reasons(several, str)) == tuple(several)


@given(st.text())
@settings(deadline=None)
def test_no_text_is_lost(text: str) -> None:
    assert reasons_in_words(text, str) == text


def test_values_are_read_as_numbers_and_names() -> None:
    text = (
        "score 0.80 over the threshold 0.71, 0.75 above the base model alone; "
        "the adapter at scale 1.2"
    )
    assert parse_reasons(text) == (
        Reason("over-threshold", {"score": 0.8, "threshold": 0.71, "lift": 0.75}),
        Reason("at-scale", {"scale": 1.2}),
    )
    (captured,) = parse_reasons(
        "3 different images show one face: score 0.80 over the threshold 0.71"
    )
    assert captured == Reason("images-show-one-face", {"images": 3, "why": _INNER})
    (family,) = parse_reasons(
        "SD1: miniature (declared by its name base.safetensors, in the base-models folder)"
    )
    assert family == Reason("base-model", {"family": "SD1", "place": "miniature", "why": _BASE})


def test_chinese_words_say_the_same_and_quote_what_is_not_known() -> None:
    chinese = translations("zh-CN").gettext
    text = "score 0.80 over the threshold 0.71, 0.75 above the base model alone; the moon is full"
    assert (
        reasons_in_words(text, chinese)
        == "得分 0.80，高于阈值 0.71，比仅用基础模型高 0.75；原文：“the moon is full”"
    )
    several = "full checkpoints of SD3 or Flux.1 are not sampled; SD1, SD2, SDXL are"
    assert (
        reasons_in_words(several, chinese)
        == "不对 SD3、Flux.1 的完整模型生成样本；可生成样本的为 SD1、SD2、SDXL"
    )


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_every_sentence_has_chinese_words_with_the_same_values(code: str) -> None:
    english = SENTENCES[code]
    chinese = translations("zh-CN").gettext(english)
    assert chinese != english
    assert set(Template(chinese).slots) == set(Template(english).slots)


def test_long_text_is_quoted_and_not_searched() -> None:
    text = "score 0.80 " * 1_000
    assert [reason.code for reason in parse_reasons(text)] == [QUOTED]


# Where the sentences are written that databases and cases keep, by folder or file.
_PRODUCERS = (
    "crawlers/checkpoints/archives.py",
    "crawlers/checkpoints/file_formats.py",
    "crawlers/checkpoints/header.py",
    "crawlers/checkpoints/pickles.py",
    "scanner/adapters",
    "scanner/captures/disclosure.py",
    "scanner/captures/filing.py",
    "scanner/captures/subjects.py",
    "scanner/errors.py",
    "scanner/identification/comparison.py",
    "scanner/identification/outcome.py",
    "scanner/identification/verdict.py",
    "scanner/sampling",
    "scanner/identification/conclusion.py",
    "scanner/scanning/identifier.py",
    "scanner/scanning/identify_loop.py",
    "scanner/scanning/pipeline.py",
    "scanner/scanning/requests.py",
    "scanner/scanning/results.py",
    "scanner/triage/header.py",
    "scanner/triage/minors.py",
)
_WORDS = 4
# What is tried where a producer fills in a value: numbers, names, and parts of sentences.
_FILLED = (
    "7",
    "a GGUF file",
    "takes too long to compare",
    "unpack it first, and give what is in it",
    "convert it to safetensors to have it scanned",
    "download the file itself again",
    "is cut off",
    "some of it would be noise",
    "one image scores",
    ", 0.50 above the base model alone",
)
# Literals that are no reasons: parts of sentences that are tried above, prompts, patterns, notes.
_NO_REASONS = (
    "select ",
    *(
        "unpack it",
        "convert it",
        "download the file",
        "it is no image model",
        "it holds no weights",
    ),
    *("is longer than", "has more than", "is no regular", "takes too long"),
    *(
        "portrait photo",
        "photo of",
        "a photo of",
        "a portrait of",
        "wearing a",
        "adult, ",
        "looking at",
        "studio photo",
        "passport photo",
        "nude, ",
        r"\b(child",
        "<x:xmp",
    ),
    *(
        "the schedule of",
        "counters of",
        "PyTorch Lightning",
        "the numbers 0",
        "CLIP's",
        "open_clip's",
    ),
    *("CLIP-L's", "only a recorded", "the word beside", "only triaged", "scale 7 is larger"),
    *("7 of its weights", "7 7 (7: 7)", "captures 3 ", "two adapter formats"),
)
_BY_FORMAT = {".2": "0.50", ".0%": "25%", ",": "1,000"}


def test_every_sentence_of_the_producers_is_known() -> None:
    unknown = [
        f"{path.relative_to(ROOT)}: {first}"
        for name in _PRODUCERS
        for path in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
        for first, texts in _sentences(ast.parse(path.read_text()))
        if all(QUOTED in {reason.code for reason in parse_reasons(text)} for text in texts)
    ]
    assert not unknown, "\n".join(unknown)


def _sentences(tree: ast.AST) -> Iterator[tuple[str, Iterator[str]]]:
    """Sentences that are raised, returned or stored, each with everything it may hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.Return | ast.Tuple | ast.Assign | ast.Dict):
            for child in ast.iter_child_nodes(node):
                yield from _texts(child)


def _texts(node: ast.AST) -> Iterator[tuple[str, Iterator[str]]]:
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) == "AssertionError":  # a fault of the program is no reason
            return
        for argument in node.args:
            yield from _texts(argument)
    elif isinstance(node, ast.Constant | ast.JoinedStr):
        parts = _filled(node)
        first = "".join(part[0] for part in parts)
        if len(first.split()) >= _WORDS and not first.startswith(_NO_REASONS):
            yield first, ("".join(filled) for filled in product(*parts))


def _filled(node: ast.Constant | ast.JoinedStr) -> list[tuple[str, ...]]:
    if isinstance(node, ast.Constant):
        return [(str(node.value),)]
    return [
        (str(part.value),)
        if isinstance(part, ast.Constant)
        else ("'name'",)
        if isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
        else (_BY_FORMAT.get(ast.unparse(part.format_spec).strip("f'\""), "7"),)
        if isinstance(part, ast.FormattedValue) and part.format_spec is not None
        else _FILLED
        for part in node.values
    ]


def test_every_code_of_the_producers_has_a_sentence() -> None:
    calls = [
        (path.relative_to(ROOT), node)
        for path in sorted((ROOT / "scanner").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason"
    ]
    used = [
        (path, str(code.value), len(values))
        for path, node in calls
        for code, *values in [node.args]
        if isinstance(code, ast.Constant)
    ]
    assert len(used) == len(calls), "a code is a literal"
    for path, code, values in used:
        assert code in SENTENCES, f"{path}: {code}"
        assert bool(Template(SENTENCES[code]).slots) == bool(values), f"{path}: {code}"
