"""The likeness score: people before styles, in four scripts, and documented."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.listing import Listing, RemoteFile, bare_listing
from crawlers.sweeps.likeness import WEIGHTS, likeness_of
from crawlers.words import personal_name

DOCS = Path(__file__).parent.parent / "docs" / "likeness.md"
PLAIN = bare_listing("hub", "1", "x", "https://hub/1", RemoteFile("x.safetensors", "https://hub/f"))


def listing(title: str, *tags: str, triggers: tuple[str, ...] = ()) -> Listing:
    return replace(PLAIN, title=title, tags=tags, triggers=triggers)


# Fictional people and things, described as uploaders describe theirs.
PEOPLE = [
    listing("Zhang Wei LoRA - v1", "celebrity", "woman"),
    listing("林小雅 写真 - v2.0", "明星", "女"),
    listing("欧阳小雨", "演员"),
    listing("佐藤ひかり", "グラビア"),
    listing("アンナ・ベルモン LoRA", "女優"),
    listing("김하늘별 LoRA - v1", "연예인"),
    listing("Maria Lopenzo | Flux", "actress", "photorealistic"),
    listing("unknown v3", "woman", triggers=("ohwx woman",)),
    listing("小王 网红脸", "网红"),
    replace(listing("S_model_07", "realistic"), real_person_flag=True),
]
OTHERS = [
    listing("Watercolour Light - v2", "style"),
    listing("水墨国风 画风", "风格", "插画"),
    listing("Neon Dreams", "style", "aesthetic"),
    listing("汉服 服装", "服装"),
    listing("Mecha Armor", "armor", "concept"),
    listing("アニメ背景", "背景", "スタイル"),
    listing("그림체 v1", "스타일"),
    listing("Detail slider", "tool", "slider"),
    listing("Teapot", "object"),
    listing("Vintage Car", "vehicle"),
]


def test_people_come_before_styles_and_things() -> None:
    lowest = min(likeness_of(one).score for one in PEOPLE)
    assert lowest > max(likeness_of(one).score for one in OTHERS)
    assert lowest > 0.3


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Zhang Wei LoRA - v1", ("Zhang Wei", True)),
        ("张小伟", ("张小伟", True)),
        ("佐藤ひかり", ("佐藤ひかり", True)),
        ("アンナ・ベルモン", ("アンナ・ベルモン", True)),
        ("김민하", ("김민하", True)),
        ("【SDXL】司徒小月", ("司徒小月", True)),
        ("Ｚｈａｎｇ Ｗｅｉ", ("Zhang Wei", True)),
        ("Anna de la Crusa", ("Anna de la Crusa", False)),
        ("汉服", None),
        ("Neon Style", None),
        ("woman", None),
        ("", None),
        ("123 v2", None),
        ("水墨画风", None),
    ],
)
def test_names_in_four_scripts(title: str, name: tuple[str, bool] | None) -> None:
    assert personal_name(title) == name


KOHYA = {
    "ss_dataset_dirs": json.dumps({"40_zhangwei woman": {"n_repeats": 40, "img_count": 38}}),
    "ss_sd_model_name": "chilloutmix_NiPrunedFp32Fix.safetensors",
    "ss_face_crop_aug_range": "2.0,4.0",
}


def test_a_header_adds_to_what_the_listing_says() -> None:
    before, after = likeness_of(PLAIN), likeness_of(PLAIN, KOHYA)
    assert after.score > 0.8 > before.score
    names = [name for name, _ in after.signals]
    assert {"person's class word", "number of photos", "photographic base", "face cropping"} <= set(
        names
    )
    assert "metadata removed" in dict(likeness_of(PLAIN, {}).signals)
    photos = replace(PLAIN, training_data=(RemoteFile("photos.zip", "https://hub/z"),))
    assert "training photos" in dict(likeness_of(photos).signals)


def test_every_signal_is_documented_with_its_weight() -> None:
    text = DOCS.read_text("utf-8")
    missing = [
        name for name, weight in WEIGHTS.items() if f"| {name} | {weight:+.1f} |" not in text
    ]
    assert missing == []


@given(
    st.text(max_size=60),
    st.lists(st.text(max_size=20), max_size=4),
    st.dictionaries(st.text(max_size=20), st.text(max_size=60)),
)
def test_any_words_give_a_score(title: str, tags: list[str], metadata: dict[str, str]) -> None:
    assert 0 <= likeness_of(listing(title, *tags), metadata).score <= 1
