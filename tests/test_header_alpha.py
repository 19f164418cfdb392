"""Alpha, rank, triggers and captions that are only in the header, in every trainer's form."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from crawlers.checkpoints.adapter_scale import scales_in
from crawlers.checkpoints.training_metadata import person_signals, training_of, triggers_of
from scanner.adapters.loading import loaded_into
from scanner.adapters.reading import anatomy_of
from scanner.adapters.targets import networks_of
from scanner.errors import UnfaithfulLoad
from scanner.triage.header import triage_file
from tests.tiny_pipelines import tiny_flux

LAYER = "transformer_blocks.1.attn.to_q"
PEFT = {"lora_alpha": 8, "r": 2, "use_rslora": False, "alpha_pattern": {}}

FORMS: list[tuple[str, dict[str, str], float]] = [
    ("flat, with the network", {"transformer.lora_alpha": "8", "transformer.r": "2"}, 4.0),
    ("flat, as a decimal", {"transformer.lora_alpha": "8.0"}, 4.0),
    ("plain", {"lora_alpha": "8", "r": "2"}, 4.0),
    ("plainest", {"alpha": "8", "rank": "2"}, 4.0),
    ("other trainers' word", {"network_alpha": "8"}, 4.0),
    (
        "flat and rank-stabilised",
        {"transformer.lora_alpha": "8", "transformer.use_rslora": "True"},
        8 / 2**0.5,
    ),
    (
        "flat with a pattern",
        {"lora_alpha": "8", "transformer.alpha_pattern": json.dumps({"attn.to_q": 6})},
        3.0,
    ),
    (
        "JSON, with the network",
        {
            "lora_adapter_metadata": json.dumps(
                {f"transformer.{key}": value for key, value in PEFT.items()}
            )
        },
        4.0,
    ),
    ("JSON of PEFT", {"adapter_config": json.dumps(PEFT)}, 4.0),
    (
        "JSON for each network",
        {
            "lora_adapter_metadata": json.dumps(
                {"transformer": PEFT, "text_encoder": {**PEFT, "lora_alpha": 2}}
            )
        },
        4.0,
    ),
    ("JSON for each adapter name", {"peft_config": json.dumps({"default": PEFT})}, 4.0),
    (
        "JSON of a trainer",
        {"training_config": json.dumps({"model": {"lora_alpha": 8, "lora_rank": 2, "alpha": 3}})},
        4.0,
    ),
    (
        "JSON of OneTrainer, whose tensors hold it already",
        {"ot_config": json.dumps({"lora_alpha": 1.0, "lora_rank": 2})},
        1.0,
    ),
    ("captions", {"ss_tag_frequency": json.dumps({"10_x": {"alpha": 8, "lora_alpha": 8}})}, 1.0),
    ("flat and JSON that agree", {"lora_alpha": "8", "adapter_config": json.dumps(PEFT)}, 4.0),
    ("for another network", {"text_encoder.lora_alpha": "8"}, 1.0),
    (
        "the trainer left it out",
        {"lora_alpha": "None", "adapter_config": json.dumps({"lora_alpha": None})},
        1.0,
    ),
    ("PEFT's name of the whole", {"base_model.model.lora_alpha": "8"}, 4.0),
    ("ComfyUI's name of the denoiser", {"diffusion_model.lora_alpha": "8"}, 4.0),
    ("the network before the file", {"lora_alpha": "4", "transformer.lora_alpha": "8"}, 4.0),
    ("the network tells the rank only", {"lora_alpha": "8", "transformer.r": "2"}, 4.0),
    (
        "a pattern with signs",
        {"adapter_config": json.dumps({**PEFT, "alpha_pattern": {".*to_q": 6}})},
        3.0,
    ),
    (
        "a pattern of digits",
        {
            "adapter_config": json.dumps(
                {**PEFT, "alpha_pattern": {r"transformer_blocks\.\d+\.attn\.to_q": 6}}
            )
        },
        3.0,
    ),
    (
        "a pattern from the start",
        {
            "adapter_config": json.dumps(
                {**PEFT, "alpha_pattern": {"^transformer_blocks.1.attn.to_q": 6}}
            )
        },
        3.0,
    ),
    (
        "a pattern of choices",
        {"adapter_config": json.dumps({**PEFT, "alpha_pattern": {"to_(k|v)": 2, "to_(q|out)": 6}})},
        3.0,
    ),
    (
        "a pattern of half a name",
        {
            "adapter_config": json.dumps(
                {**PEFT, "alpha_pattern": {"o_q": 6, "locks.1.attn.to_q": 6}}
            )
        },
        4.0,
    ),
    (
        "the first pattern",
        {"adapter_config": json.dumps({**PEFT, "alpha_pattern": {"to_q": 6, "attn.to_q": 2}})},
        3.0,
    ),
    (
        "a pattern of ranks",
        {"adapter_config": json.dumps({**PEFT, "r": 16, "rank_pattern": {r"\d+\.attn\.to_q": 2}})},
        4.0,
    ),
    ("nothing", {}, 1.0),
]


@pytest.fixture(scope="module")
def flux() -> Any:
    return tiny_flux()


def strength(
    pipeline: Any, layer: str, stem: str, metadata: dict[str, str], path: Path, **more: torch.Tensor
) -> float:
    """The factor between the change of a layer and up @ down."""
    weight = networks_of(pipeline)["transformer"].get_submodule(layer).weight.data
    out, inner = weight.shape
    torch.manual_seed(3)
    down, up = torch.randn(2, inner), torch.randn(out, 2)
    named = {f"{stem}.{ending}": tensor for ending, tensor in more.items()}
    save_file(
        {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up, **named},
        path,
        metadata=metadata or None,
    )
    before = weight.clone()
    with loaded_into(pipeline, path, "lora", "any", "") as loaded:
        loaded.changes.set_scale(1.0)
        changed = networks_of(pipeline)["transformer"].get_submodule(layer).weight.data - before
        loaded.changes.set_scale(None)
    return float((changed / (up @ down)).median())


@pytest.mark.parametrize(
    ("metadata", "expected"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS]
)
def test_the_header_tells_how_strongly_to_merge(
    flux: Any, metadata: dict[str, str], expected: float, tmp_path: Path
) -> None:
    got = strength(flux, LAYER, f"transformer.{LAYER}", metadata, tmp_path / "a.safetensors")
    assert got == pytest.approx(expected, rel=1e-3)


def test_an_alpha_beside_the_tensors_counts_before_the_header(flux: Any, tmp_path: Path) -> None:
    metadata = {"transformer.lora_alpha": "8"}
    got = strength(
        flux,
        LAYER,
        f"transformer.{LAYER}",
        metadata,
        tmp_path / "a.safetensors",
        alpha=torch.tensor(6.0),
    )
    assert got == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"lora_alpha": "8", "alpha": "16"}, "alpha 8 and alpha 16"),
        (
            {"transformer.lora_alpha": "8", "transformer.r": "16"},
            "rank 16 and the tensors have rank 2",
        ),
        ({"lora_alpha": "8", "rank_pattern": json.dumps({".*to_q": 4})}, "rank 4 for .*to_q"),
        ({"transformer.lora_alpha": "8", "unet.lora_alpha": "16"}, "alpha 8 and alpha 16"),
        (
            {"transformer.lora_alpha": "8", "alpha_pattern": json.dumps({"to_q": 6})},
            "alpha 8 and alpha 6",
        ),
        ({"transformer.lora_alpha": "strong"}, "lora_alpha strong"),
        ({"lora_alpha": "nan"}, "lora_alpha nan"),
        ({"alpha": "Infinity"}, "alpha inf"),
        ({"lora_alpha": "[8]"}, r"lora_alpha \[8\]"),
        ({"lora_alpha": "-8"}, "lora_alpha -8"),
        ({"lora_alpha": "0"}, "lora_alpha 0"),
        ({"lora_alpha": "1e400"}, "lora_alpha inf"),
        ({"adapter_config": json.dumps({"lora_alpha": True})}, "lora_alpha True"),
        (
            {"lora_alpha": "8", "alpha_pattern": json.dumps({"to_q": "much"})},
            "alpha_pattern to_q: much",
        ),
        ({"alpha_pattern": json.dumps({"(a+)+b": 6})}, "repeats a repetition"),
        ({"alpha_pattern": json.dumps({"(a|aa)*b": 6})}, "repeats a repetition"),
        ({"alpha_pattern": json.dumps({"(?:t{2,})+q": 6})}, "repeats a repetition"),
        ({"alpha_pattern": json.dumps({"to_q)|(x": 6})}, "no regular expression"),
        ({"alpha_pattern": json.dumps({"to_[q": 6})}, "no regular expression"),
        ({"rank_pattern": json.dumps({"to_[q": 2}), "lora_alpha": "8"}, "no regular expression"),
        ({"alpha_pattern": json.dumps({"q" * 301: 6})}, "longer than 300"),
        (
            {"alpha_pattern": json.dumps({f"layer{number}": 6 for number in range(2001)})},
            "2001 patterns",
        ),
    ],
)
def test_a_strength_that_cannot_be_known_is_refused(
    flux: Any, metadata: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UnfaithfulLoad, match=told):
        strength(flux, LAYER, f"transformer.{LAYER}", metadata, tmp_path / "a.safetensors")


def named_pair(stem: str, size: int = 4) -> dict[str, torch.Tensor]:
    return {
        f"{stem}.lora_A.weight": torch.zeros(2, size),
        f"{stem}.lora_B.weight": torch.zeros(size, 2),
    }


@pytest.mark.parametrize(
    "key", ["a?" * 40 + "a" * 40, ".*" * 100 + "x", "(a|a)" * 50 + "b", ".*a" * 10 + "[xy]"]
)
def test_a_pattern_that_never_ends_takes_seconds_at_most(key: str) -> None:
    started = time.monotonic()
    tensors = {
        key: part
        for n in range(20)
        for key, part in named_pair(f"transformer.{'a' * 200}.{n}").items()
    }
    refused = pytest.raises(UnfaithfulLoad, match="groups and repetitions")
    with (
        contextlib.suppress(UnfaithfulLoad) if "[" in key else refused
    ):  # the last one is short enough to try all
        anatomy_of(tensors, {"alpha_pattern": json.dumps({key: 6})})
    assert time.monotonic() - started < 60


def test_a_header_with_an_alpha_for_each_of_many_modules_is_read_in_seconds() -> None:
    stems = [
        f"transformer_blocks.{block}.attn.to_{part}" for block in range(250) for part in "qkvo"
    ]
    tensors = {
        key: part for stem in stems for key, part in named_pair(f"transformer.{stem}").items()
    }
    started = time.monotonic()
    metadata = {
        "alpha_pattern": json.dumps({stem: number + 1 for number, stem in enumerate(stems)})
    }
    anatomy = anatomy_of(tensors, metadata)
    assert time.monotonic() - started < 20
    assert float(anatomy.modules["transformer.transformer_blocks.249.attn.to_o"]["alpha"]) == 1000


def test_patterns_that_kohyas_names_cannot_be_compared_with_are_refused() -> None:
    parts = named_pair("lora_unet_transformer_blocks_1_attn_to_q")
    metadata = {"lora_alpha": "8", "alpha_pattern": json.dumps({"attn.to_q": 6})}
    with pytest.raises(UnfaithfulLoad, match="cannot be compared"):
        anatomy_of(parts, metadata)
    own = {**parts, "lora_unet_transformer_blocks_1_attn_to_q.alpha": torch.tensor(2.0)}
    [module] = anatomy_of(own, metadata).modules.values()
    assert float(module["alpha"]) == 2.0


def test_modules_of_other_ranks_have_the_ranks_they_have(flux: Any, tmp_path: Path) -> None:
    told = {
        "transformer.lora_alpha": 8,
        "transformer.r": 16,
        "transformer.rank_pattern": {"attn.to_q": 2},
    }
    metadata = {"lora_adapter_metadata": json.dumps(told)}
    got = strength(flux, LAYER, f"transformer.{LAYER}", metadata, tmp_path / "a.safetensors")
    assert got == pytest.approx(4.0, rel=1e-3)


INSPECTED: list[tuple[dict[str, str], bool, float | None, str]] = [
    ({"lora_alpha": "8", "transformer.lora_alpha": "16"}, False, 16.0, ""),
    ({"base_model.model.lora_alpha": "8"}, False, 8.0, ""),
    ({"diffusion_model.lora_alpha": "8"}, False, 8.0, ""),
    ({"text_encoder.lora_alpha": "8"}, False, None, ""),
    ({"lora_alpha": "8", "alpha_pattern": json.dumps({".*to_q": 6})}, False, 6.0, ""),
    ({"lora_alpha": "8"}, True, None, "alpha 8; the alphas beside the tensors count"),
    ({"ss_network_alpha": "8", "ss_network_dim": "2"}, True, 8.0, ""),
    ({"ss_network_alpha": "8", "ss_network_dim": "2"}, False, None, "no tensor brings it"),
    ({"ss_network_alpha": "2", "ss_network_dim": "2"}, False, 2.0, ""),
    ({"ss_network_alpha": "2", "lora_alpha": "8"}, False, 8.0, ""),
    ({"lora_alpha": "[8]"}, False, None, "lora_alpha [8]"),
    ({"lora_alpha": "-8"}, False, None, "lora_alpha -8"),
    ({"lora_alpha": "8", "alpha": "16"}, False, None, "alpha 8 and alpha 16"),
    ({"lora_alpha": "8", "r": "16"}, False, None, "rank 16"),
]


@pytest.mark.parametrize(("metadata", "beside", "alpha", "problem"), INSPECTED)
def test_inspect_tells_the_alpha_that_is_merged_and_no_other(
    metadata: dict[str, str], beside: bool, alpha: float | None, problem: str, tmp_path: Path
) -> None:
    stem = "transformer.transformer_blocks.0.attn.to_q"
    tensors = named_pair(stem, 3072)
    save_file(
        {**tensors, **({f"{stem}.alpha": torch.tensor(4.0)} if beside else {})},
        tmp_path / "a.safetensors",
        metadata=metadata,
    )
    triage = triage_file(tmp_path / "a.safetensors")
    assert triage.training["alpha"] == alpha
    told = [one for one in triage.problems if "alpha" in one]
    assert (len(told) == 1 and problem in told[0]) if problem else not told


HEADER = {
    "modelspec.architecture": "flux-1-dev/lora",
    "trained_words": "ohwx woman, portrait of ohwx",
    "ss_tag_frequency": json.dumps(
        {"my-backend": {"ohwx woman": 20, "red dress": 4}, "regularisation": {"woman": 200}}
    ),
    "transformer.lora_alpha": "8",
    "transformer.r": "2",
}


def test_inspect_tells_rank_alpha_and_triggers_of_a_flat_header(tmp_path: Path) -> None:
    stem = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {
        f"{stem}.lora_A.weight": torch.zeros(2, 3072),
        f"{stem}.lora_B.weight": torch.zeros(3072, 2),
    }
    save_file(tensors, tmp_path / "a.safetensors", metadata=HEADER)
    triage = triage_file(tmp_path / "a.safetensors")
    assert (triage.family, triage.training["rank"], triage.training["alpha"]) == (
        "Flux.1",
        2.0,
        8.0,
    )
    assert triage.triggers[:2] == ("ohwx woman", "portrait of ohwx")
    assert not any("nearly every caption" in signal for signal in triage.signals)


@pytest.mark.parametrize(
    "key", ["trained_words", "trainedWords", "trigger_word", "instance_prompt", "activation text"]
)
def test_triggers_stand_under_many_keys_as_lists_of_two_kinds(key: str) -> None:
    assert triggers_of({key: "ohwx woman, portrait of ohwx"}) == ("ohwx woman", "portrait of ohwx")
    assert triggers_of({key: '["ohwx woman", "portrait of ohwx"]'}) == (
        "ohwx woman",
        "portrait of ohwx",
    )
    assert triggers_of({key: "[not a list"}) == ("[not a list",)


@pytest.mark.parametrize(
    ("folder", "more"),
    [
        ("regularisation", {}),
        ("1_regularization woman", {}),
        ("reg_images", {}),
        ("1_reg", {}),
        ("class_images", {}),
        (
            "1_woman",
            {"ss_reg_dataset_dirs": json.dumps({"1_woman": {"n_repeats": 1, "img_count": 200}})},
        ),
        (
            "1_woman",
            {
                "ss_datasets": json.dumps(
                    [{"subsets": [{"image_dir": "/data/1_woman", "is_reg": True}]}]
                )
            },
        ),
    ],
)
def test_captions_of_other_people_say_nothing_of_the_subject(
    folder: str, more: dict[str, str]
) -> None:
    frequencies = {"20_ohwx": {"ohwx": 20, "hat": 3}, folder: {"woman": 200, "a studio": 200}}
    metadata = {**more, "ss_tag_frequency": json.dumps(frequencies)}
    assert "a studio" not in triggers_of(metadata)
    assert not any("nearly every caption" in signal for signal in person_signals(metadata))


@pytest.mark.parametrize(
    "folder", ["20_regina woman", "20_reggie", "40_maddie prior woman", "10_gregory"]
)
def test_people_with_such_names_are_subjects(folder: str) -> None:
    metadata = {
        "ss_tag_frequency": json.dumps({folder: {"woman": 20}}),
        "ss_dataset_dirs": json.dumps({folder: {"img_count": 20}}),
    }
    assert training_of(metadata)["photo_count"] == 20
    assert any("nearly every caption names woman" in signal for signal in person_signals(metadata))


KEYS = st.sampled_from(
    [
        "transformer.lora_alpha",
        "lora_alpha",
        "alpha",
        "r",
        "unet.alpha_pattern",
        "use_rslora",
        "adapter_config",
        "lora_adapter_metadata",
        "transformer.rank_pattern",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=3)
    ),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, JSON.map(json.dumps) | st.text(max_size=30), max_size=5))
def test_any_header_gives_finite_strengths_or_a_named_refusal(metadata: dict[str, str]) -> None:
    for scale in scales_in(metadata).values():
        assert all(
            0 < number < float("inf")
            for number in (
                *scale.alphas,
                *scale.ranks,
                *scale.alpha_pattern.values(),
                *scale.rank_pattern.values(),
            )
        )
    parts = {"unet.x.lora_A.weight": torch.zeros(2, 2), "unet.x.lora_B.weight": torch.zeros(2, 2)}
    try:
        anatomy_of(parts, metadata)
    except UnfaithfulLoad as error:
        assert "strength" in str(error)
    training_of(metadata)
    triggers_of(dict.fromkeys(("trained_words", "trigger_word"), next(iter(metadata.values()), "")))
