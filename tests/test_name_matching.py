"""Names in titles, tags and file names are found as whole words, in any script and spelling."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import RefusedToSample
from scanner.sampling.prompt_safety import usable_triggers
from scanner.triage.minors import refuse_minors
from scanner.triage.name_matching import NameMatcher

NAMED = [
    ("Li An", "li_an"),
    ("Li An", "Li-An v2.safetensors"),
    ("Li An", "LiAn"),
    ("Li An", "liAnV3"),
    ("Li An", "LI.AN.LORA"),
    ("Li An", "portrait of an li"),  # the family name may stand first or last
    ("Li An", "ＬＩ　ＡＮ"),
    ("Li An", "lì ān"),
    ("Li An", "li\u200b_\u200ban"),
    ("Li An", "li_an2"),
    ("Zhao Liying", "zhaoliying_v1"),
    ("Zhao Liying", "LiyingZhao"),
    ("Zhao Liying", "Zhao Li Ying lora"),
    ("Zhao Li Ying", "zhaoliying2024"),
    ("Anna Schmidt", "Anna, by M. Schmidt"),
    ("Mia", "mia_xl"),
    ("Mia", "MiaV2"),
    ("Ryan McDonald", "RyanMcDonald"),
    ("Ryan McDonald", "ryan-mcdonald"),
    ("Sinéad O’Connor", "sinead_oconnor"),
    ("Jürgen Groß", "juergen_gross"),
    ("Jürgen Groß", "jurgen gross"),
    ("Juergen Gross", "Jürgen Groß"),
    ("Łukasz Ørsted", "lukasz orsted"),
    ("Анна Петрова", "анна_петрова"),
    ("李安", "李安琪的照片"),
    ("李安", "写真_李安_v2"),
    ("李安", "李 安"),
    ("李安 (Li An)", "li_an"),
    ("李安 (Li An)", "李安lora"),
    ("山田 太郎", "山田太郎"),
    ("山田太郎", "山田 太郎"),
    ("山田 太郎", "太郎山田"),
    ("マリア", "ﾏﾘｱ_v1"),
    ("김민지", "김민지는"),
    ("愛", "愛 v2"),
    ("สมชาย", "ภาพสมชายสวย"),
]
NOT_NAMED = [
    ("Li An", "realistic woman lora"),
    ("Li An", "Italian actress"),
    ("Li An", "lian"),
    ("Li An", "an evening in Lima"),
    ("Li An", "li and an"),
    ("Li An", "ReaLiAnt"),
    ("An Na", "Anna"),
    ("Mia", "Miami beach"),
    ("Mia", "academia"),
    ("Zhao Liying", "zhaoliyingxuan"),
    ("Anna Schmidt", "Anna Schmidtke"),
    ("Bo Li", "bo xi and li"),
    ("李安", "李小安"),
    ("愛", "恋愛"),
    ("王Anna", "Anna"),
    ("李安 (Li An)", "Liane"),
    ("", "anything"),
    ("!!!", "!!!"),
]


@pytest.mark.parametrize(("name", "text"), NAMED)
def test_whoever_is_named_is_found(name: str, text: str) -> None:
    assert NameMatcher(["Somebody Else", name]).named_in(["", text]) == name


@pytest.mark.parametrize(("name", "text"), NOT_NAMED)
def test_a_name_is_not_found_inside_other_words(name: str, text: str) -> None:
    assert NameMatcher([name]).named_in([text]) is None


WORD = st.text(
    st.characters(codec="utf-8", categories=("Ll", "Lu"), include_characters="é李山かはคด민"),
    min_size=1,
    max_size=8,
)
NAME = st.lists(WORD, min_size=1, max_size=3)
ANY = st.text(max_size=40)


@settings(max_examples=300, deadline=None)
@given(
    name=NAME, before=ANY, after=ANY, gap=st.sampled_from([" ", "_", "-", ".", "  ", " - ", "　"])
)
def test_a_name_set_apart_is_found_in_any_case_and_form(
    name: list[str], before: str, after: str, gap: str
) -> None:
    import unicodedata

    given = " ".join(name)
    matcher = NameMatcher([given])
    for spelt in (
        gap.join(name),
        gap.join(name).upper(),
        unicodedata.normalize("NFD", gap.join(name)),
    ):
        if (
            unicodedata.normalize("NFKC", spelt).casefold()
            != unicodedata.normalize("NFKC", gap.join(name)).casefold()
        ):
            continue  # a letter without a capital of its own
        assert matcher.named_in([f"{before} {spelt} {after}"]) == given


@settings(max_examples=300, deadline=None)
@given(
    name=st.from_regex(r"[A-Z][a-z]{1,3} [A-Z][a-z]{1,2}", fullmatch=True),
    head=st.from_regex(r"[a-z]{1,6}", fullmatch=True),
    tail=st.from_regex(r"[a-z]{0,6}", fullmatch=True),
)
def test_inside_a_longer_latin_word_no_name_is_found(name: str, head: str, tail: str) -> None:
    joined = name.replace(" ", "").lower()
    assert (
        NameMatcher([name]).named_in(
            [f"{head}{joined}{tail}", f"{head}{joined}", f"{joined}{head}"]
        )
        is None
    )


@settings(max_examples=200, deadline=None)
@given(names=st.lists(ANY, max_size=5), texts=st.lists(ANY, max_size=5))
def test_any_names_and_texts_are_taken(names: list[str], texts: list[str]) -> None:
    assert NameMatcher(names).named_in(texts) in (*names, None)


def test_ten_thousand_names_cost_no_more_than_a_few() -> None:
    few, many = (
        NameMatcher(f"Given{n:05} Family{n % 997}x" for n in range(count)) for count in (10, 10_000)
    )
    text = (
        "A realistic portrait of nobody in particular, trained on forty photographs_v2.safetensors "
        * 3
    )

    def fastest(matcher: NameMatcher) -> float:
        seconds = []
        for _ in range(20):
            began = time.perf_counter()
            assert matcher.named_in([text]) is None
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    assert fastest(many) < 10 * fastest(few) + 0.002


@pytest.mark.parametrize(
    "text",
    [
        "kid_v2",
        "little_girl",
        "LittleGirlV3",
        "ｌｏｌｉ",
        "SchoolGirl_xl",
        "12_years_old",
        "my-toddler",
    ],
)
def test_words_for_minors_are_seen_as_file_names_write_them(text: str) -> None:
    with pytest.raises(RefusedToSample):
        refuse_minors([text], flagged_by_hub=False)
    assert usable_triggers([text, "ohwx"]) == ("ohwx",)


@pytest.mark.parametrize(
    "text", ["kidney", "babylon_style", "minority", "Skidmore", "ohwx_person", "18_years_old"]
)
def test_other_words_are_left_alone(text: str) -> None:
    refuse_minors([text], flagged_by_hub=False)
