"""Kind, family and training facts from headers; pickles stay closed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner.adapters.families import family_of, find_family
from scanner.adapters.formats.lora import unpaired
from scanner.adapters.kinds import kind_of
from scanner.triage.header import triage_file
from tests.conftest import shared

SD1_MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
SD1_PATH = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
CASES = [
    (
        {f"{SD1_MODULE}.lora_down.weight": (8, 768), f"{SD1_MODULE}.lora_up.weight": (320, 8)},
        "lora",
        "SD1",
    ),
    (
        {f"{SD1_MODULE}.lora_down.weight": (8, 1024), f"{SD1_MODULE}.lora_up.weight": (320, 8)},
        "lora",
        "SD2",
    ),
    (
        {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (8, 2048)},
        "lora",
        "SDXL",
    ),
    (
        {"lora_te1_x.lora_down.weight": (8, 768), "lora_te2_x.lora_down.weight": (8, 1280)},
        "lora",
        "SDXL",
    ),
    (
        {f"{SD1_MODULE}.lora_down.weight": (8, 768), f"{SD1_MODULE}.dora_scale": (320, 1)},
        "dora",
        "SD1",
    ),
    (
        {
            f"{SD1_MODULE}.lora_down.weight": (8, 768),
            "lora_unet_conv.lora_down.weight": (8, 320, 3, 3),
        },
        "locon",
        "SD1",
    ),
    ({f"{SD1_MODULE}.hada_w1_a": (320, 8), f"{SD1_MODULE}.hada_w1_b": (8, 768)}, "loha", "SD1"),
    ({f"{SD1_MODULE}.lokr_w1": (16, 16), f"{SD1_MODULE}.lokr_w2": (20, 48)}, "lokr", "SD1"),
    (
        {
            f"unet.{SD1_PATH}.to_k.lora_A.weight": (8, 768),
            f"unet.{SD1_PATH}.to_k.lora_B.weight": (320, 8),
        },
        "lora",
        "SD1",
    ),
    ({f"unet.{SD1_PATH}.to_k.lora.down.weight": (8, 768)}, "lora", "SD1"),
    ({f"{SD1_PATH}.processor.to_k_lora.down.weight": (8, 768)}, "lora", "SD1"),
    ({"transformer.transformer_blocks.0.attn.to_k.lora_A.weight": (8, 1536)}, "lora", "SD3"),
    ({"lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight": (8, 1536)}, "lora", "SD3"),
    ({"diffusion_model.layers.0.attention.to_q.lora_A.weight": (8, 3840)}, "lora", "Z-Image"),
    ({"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (8, 5120)}, "lora", "Wan"),
    ({"emb_params": (4, 768)}, "textual-inversion", "SD1"),
    ({"clip_g": (2, 1280), "clip_l": (2, 768)}, "textual-inversion", "SDXL"),
    ({"<person>": (768,)}, "textual-inversion", "SD1"),
    (
        {
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (
                320,
                768,
            )
        },
        "checkpoint",
        "SD1",
    ),
    ({"layers.0.weight": (64, 32)}, "unknown", "unknown"),
    ({}, "unknown", "unknown"),
]


@pytest.mark.parametrize(("shapes", "kind", "family"), CASES)
def test_kind_and_family(shapes: dict[str, tuple[int, ...]], kind: str, family: str) -> None:
    assert (kind_of(shapes), family_of(shapes)) == (kind, family)


KOHYA = {
    "ss_base_model_version": "sd_v1",
    "ss_sd_model_name": "chilloutmix.safetensors",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "32",
    "ss_training_started_at": "1700000000.5",
    "ss_dataset_dirs": json.dumps({"40_wxyz woman": {"n_repeats": 40, "img_count": 38}}),
    "ss_tag_frequency": json.dumps({"40_wxyz woman": {"wxyz": 38, "1girl": 38, "smile": 4}}),
}


def test_training_metadata_tells_who_when_and_how_many(make_lora: Callable[..., Path]) -> None:
    triage = triage_file(make_lora(metadata=KOHYA))
    assert triage.training["photo_count"] == 38
    assert triage.training["base_model"] == "chilloutmix.safetensors"
    assert triage.training["started_at"] == "2023-11-14T22:13:20+00:00"
    assert "wxyz woman" in triage.triggers
    assert not triage.training["scrubbed"]
    assert any("person's class word" in signal for signal in triage.signals)
    assert any("1girl" in signal for signal in triage.signals)


def test_removed_metadata_is_itself_recorded(make_lora: Callable[..., Path]) -> None:
    triage = triage_file(make_lora(metadata={"ss_network_dim": "4"}))
    assert triage.training["scrubbed"]
    assert any("removed" in signal for signal in triage.signals)


def test_hostile_metadata_is_read_without_harm(make_lora: Callable[..., Path]) -> None:
    for value in ("[" * 5000, "null", "[1,2]", '{"a":5}', '{"a":{"img_count":"x"}}', "1e999", "-3"):
        triage = triage_file(
            make_lora(
                metadata=dict.fromkeys(
                    (
                        "ss_dataset_dirs",
                        "ss_tag_frequency",
                        "ss_datasets",
                        "ss_training_started_at",
                    ),
                    value,
                )
            )
        )
        assert triage.kind == "lora"


@pytest.mark.parametrize("parts", [("hada_w1_a", "hada_w1_b"), ("lokr_w1", "lokr_w2")])
def test_a_name_with_an_unknown_ending_gives_no_family(parts: tuple[str, str]) -> None:
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    first, second = (f"{layer}.{part}.default" for part in parts)
    assert family_of({first: (320, 4), second: (4, 768)}) == "unknown"


def test_a_checkpoint_whose_layer_has_one_axis_fits_no_model_alone() -> None:
    layer = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    assert len(find_family({f"model.diffusion_model.{layer}": (768,)}, {}).fits) > 2


def test_a_metadata_claim_against_the_tensors_is_a_problem(make_lora: Callable[..., Path]) -> None:
    triage = triage_file(
        make_lora(
            metadata={"ss_base_model_version": "sdxl_base_v1-0", "sshs_model_hash": "ab" * 32}
        )
    )
    assert triage.family == "SD1"
    assert any("claims SDXL" in problem for problem in triage.problems)
    assert any("changed after training" in problem for problem in triage.problems)


def test_the_weights_hash_survives_a_rewritten_header(make_lora: Callable[..., Path]) -> None:
    first, second = (
        triage_file(make_lora("a.safetensors")),
        triage_file(make_lora("b.safetensors", metadata=KOHYA)),
    )
    assert first.sha256 != second.sha256
    assert first.weights_hash == second.weights_hash


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["bomb.pt", "bomb.safetensors"])
def test_a_pickle_is_named_and_never_opened(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "was-opened"
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(str(trace))))
    triage = triage_file(tmp_path / name)
    assert triage.kind == "pickle"
    assert any("not opened" in problem for problem in triage.problems)
    assert any("system" in problem for problem in triage.problems)
    assert not trace.exists()


REAL = [
    ("cloneofsimo_analog_svd_rank4.safetensors", "lora", "SD1"),
    ("cloneofsimo_lora_disney.safetensors", "lora", "SD1"),
    ("invokeai_test_embedding.safetensors", "textual-inversion", "SD1"),
    ("fastai_learned_embeds.bin", "pickle", "unknown"),
    ("civitai_gen_seed_kohya_headerData.json", "lora", "SDXL"),
    ("keylists/flux_control_lora_format.json", "lora", "Flux.1"),
    ("keylists/flux_dora_onetrainer_format.json", "dora", "Flux.1"),
    ("keylists/flux_lora_aitoolkit_format.json", "lora", "Flux.1"),
    ("keylists/flux_lora_diffusers_base_model_format.json", "lora", "Flux.1"),
    ("keylists/flux_lora_diffusers_format.json", "lora", "Flux.1"),
    ("keylists/flux_lora_kohya_format.json", "lora", "Flux.1"),
    ("keylists/flux_lora_xlabs_format.json", "lora", "Flux.1"),
    ("keylists/krea2_lora_kohya_format.json", "lora", "Krea2"),
]

# Excerpts, which ten models fit, and lists with shapes that no real model has.
EXCERPTS = [
    ("keylists/anima_lora_kohya_format.json", "lora", "unknown"),
    ("keylists/anima_lora_lokr_format.json", "lokr", "unknown"),
    ("keylists/flux_lokr_bfl_format.json", "lokr", "unknown"),
    ("keylists/qwen_image_lora_diffusers_format.json", "lora", "Flux.1"),
    ("keylists/qwen_image_lora_kohya_format.json", "lokr", "unknown"),
]


@pytest.mark.parametrize(("name", "kind", "family"), [*REAL, *EXCERPTS])
def test_real_files(name: str, kind: str, family: str) -> None:
    triage = triage_file(shared("lora_files") / name)
    assert (triage.kind, triage.family) == (kind, family)
    if name.startswith("keylists"):
        shapes = json.loads((shared("lora_files") / name).read_text())
        assert unpaired(shapes) == []
    if kind == "pickle":
        assert any("not opened" in problem for problem in triage.problems)
