"""Kind, family and naming for every adapter format, from real safetensors files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from crawlers.checkpoints.header import FileSource, read_header
from scanner.adapters.formats.lora import unpaired
from scanner.triage.header import triage_file
from tests.conftest import shared

Shapes = dict[str, tuple[int, ...]]
SD1 = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
SD1_PATH = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
SGM = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"

# Of the modules below, so that real models fit.
OUTPUTS = {
    "down_blocks_1_": 640,
    "input_blocks_4_": 640,
    "down_blocks.0.": 320,
    "img_attn_qkv": 9216,
    "img_attn.qkv": 9216,
    "linear1": 21504,
    "x_block_attn_qkv": 4608,
    "img_attn_q": 3584,
    "attention_qkv": 3840,
    "qkv_lora1": 9216,
    "single_transformer_blocks_0_attn_to_k": 3072,
}


def pair(
    stem: str, width: int, names: tuple[str, str] = ("lora_down.weight", "lora_up.weight")
) -> Shapes:
    outputs = next((count for name, count in OUTPUTS.items() if name in stem), 8)
    return {f"{stem}.{names[0]}": (4, width), f"{stem}.{names[1]}": (outputs, 4)}


AB = ("lora_A.weight", "lora_B.weight")
ROWS: list[tuple[str, Shapes, dict[str, str], str, str, str]] = [
    ("kohya SD1", pair(SD1, 768), {}, "lora", "SD1", "kohya"),
    ("kohya SD2", pair(SD1, 1024), {}, "lora", "SD2", "kohya"),
    (
        "LoCon",
        {
            **pair(SD1, 768),
            "lora_unet_x.lora_down.weight": (4, 8, 3, 3),
            "lora_unet_x.lora_up.weight": (8, 4, 1, 1),
        },
        {},
        "locon",
        "SD1",
        "kohya",
    ),
    (
        "LoCon with tucker",
        {
            **pair(SD1, 768),
            "lora_unet_x.lora_down.weight": (4, 8, 1, 1),
            "lora_unet_x.lora_up.weight": (8, 4, 1, 1),
            "lora_unet_x.lora_mid.weight": (4, 4, 3, 3),
        },
        {},
        "locon",
        "SD1",
        "kohya",
    ),
    ("kohya SDXL, SGM names", pair(SGM, 2048), {}, "lora", "SDXL", "kohya"),
    ("kohya SDXL, diffusers names", pair(SD1, 2048), {}, "lora", "SDXL", "kohya"),
    (
        "kohya SDXL, text encoders",
        {
            **pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 768),
            **pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280),
        },
        {},
        "lora",
        "SDXL",
        "kohya",
    ),
    (
        "kohya Flux",
        {
            **pair("lora_unet_double_blocks_0_img_attn_qkv", 3072),
            **pair("lora_unet_single_blocks_0_linear1", 3072),
            **pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 768),
        },
        {},
        "lora",
        "Flux.1",
        "kohya",
    ),
    (
        "kohya SD3",
        pair("lora_unet_joint_blocks_0_x_block_attn_qkv", 1536),
        {},
        "lora",
        "SD3",
        "kohya",
    ),
    (
        "kohya HunyuanImage",
        pair("lora_unet_double_blocks_0_img_attn_q", 3584),
        {},
        "lora",
        "HunyuanImage",
        "kohya",
    ),
    (
        "kohya Lumina",
        pair("lora_unet_layers_0_attention_qkv", 2304),
        {},
        "lora",
        "Lumina2",
        "kohya",
    ),
    (
        "LoHa",
        {
            f"{SD1}.hada_w1_a": (640, 4),
            f"{SD1}.hada_w1_b": (4, 768),
            f"{SD1}.hada_w2_a": (640, 4),
            f"{SD1}.hada_w2_b": (4, 768),
        },
        {},
        "loha",
        "SD1",
        "kohya",
    ),
    (
        "LoKr",
        {f"{SD1}.lokr_w1": (32, 16), f"{SD1}.lokr_w2_a": (20, 4), f"{SD1}.lokr_w2_b": (4, 48)},
        {"ss_base_model_version": "sd_v1"},
        "lokr",
        "SD1",
        "kohya",
    ),
    (
        "GLoRA",
        {
            f"{SD1}.a1.weight": (4, 768),
            f"{SD1}.a2.weight": (768, 4),
            f"{SD1}.b1.weight": (4, 768),
            f"{SD1}.b2.weight": (640, 4),
        },
        {"ss_base_model_version": "sd_v1"},
        "glora",
        "SD1",
        "kohya",
    ),
    (
        "IA3",
        {f"{SD1}.weight": (640, 1), f"{SD1}.on_input": ()},
        {"ss_base_model_version": "sd_v1"},
        "ia3",
        "SD1",
        "kohya",
    ),
    ("full", {f"{SD1}.diff": (640, 768), f"{SD1}.diff_b": (640,)}, {}, "full-diff", "SD1", "kohya"),
    (
        "norm",
        {
            "lora_unet_mid_block_resnets_0_norm1.w_norm": (1280,),
            "lora_unet_mid_block_resnets_0_norm1.b_norm": (1280,),
        },
        {"ss_base_model_version": "sd_v1"},
        "full-diff",
        "SD1",
        "kohya",
    ),
    (
        "OFT",
        {f"{SD1}.oft_blocks": (8, 80, 80)},
        {"ss_base_model_version": "sd_v1"},
        "oft",
        "SD1",
        "kohya",
    ),
    (
        "BOFT",
        {f"{SD1}.oft_blocks": (2, 8, 80, 80)},
        {"ss_base_model_version": "sd_v1"},
        "boft",
        "SD1",
        "kohya",
    ),
    (
        "LoKr, scrubbed",
        {f"{SD1}.lokr_w1": (32, 16), f"{SD1}.lokr_w2_a": (20, 4), f"{SD1}.lokr_w2_b": (4, 48)},
        {},
        "lokr",
        "SD1",
        "kohya",
    ),
    (
        "LoKr of whole factors, scrubbed",
        {f"{SD1}.lokr_w1": (32, 32), f"{SD1}.lokr_w2": (20, 64)},
        {},
        "lokr",
        "SDXL",
        "kohya",
    ),
    (
        "GLoRA, scrubbed",
        {
            f"{SD1}.a1.weight": (1024, 4),
            f"{SD1}.a2.weight": (4, 1024),
            f"{SD1}.b1.weight": (640, 4),
            f"{SD1}.b2.weight": (4, 1024),
        },
        {},
        "glora",
        "SD2",
        "kohya",
    ),
    ("OFT, scrubbed", {f"{SD1}.oft_blocks": (8, 80, 80)}, {}, "oft", "SDXL", "kohya"),
    (
        "BOFT of SDXL, scrubbed",
        {
            "lora_unet_down_blocks_2_attentions_0_transformer_blocks_5_attn2_to_k.oft_blocks": (
                2,
                16,
                80,
                80,
            )
        },
        {},
        "boft",
        "SDXL",
        "kohya",
    ),
    (
        "IA3, scrubbed",
        {f"{SD1}.weight": (640, 1), f"{SD1}.on_input": ()},
        {},
        "ia3",
        "SDXL",
        "kohya",
    ),
    ("DoRA, kohya", {**pair(SD1, 768), f"{SD1}.dora_scale": (1, 768)}, {}, "dora", "SD1", "kohya"),
    (
        "DoRA, PEFT",
        {
            **pair(f"unet.{SD1_PATH}", 768, AB),
            f"unet.{SD1_PATH}.lora_magnitude_vector": (320,),
        },
        {},
        "dora",
        "SD1",
        "diffusers 3",
    ),
    (
        "diffusers 1",
        pair(
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora",
            768,
            ("down.weight", "up.weight"),
        ),
        {},
        "lora",
        "SD1",
        "diffusers 1",
    ),
    (
        "diffusers 2",
        pair(
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora",
            768,
            ("down.weight", "up.weight"),
        ),
        {},
        "lora",
        "SD1",
        "diffusers 2",
    ),
    (
        "diffusers 3",
        pair("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 768, AB),
        {},
        "lora",
        "SD1",
        "diffusers 3",
    ),
    (
        "raw PEFT",
        pair(
            "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", 768, AB
        ),
        {},
        "lora",
        "SD1",
        "PEFT",
    ),
    (
        "ai-toolkit",
        pair("diffusion_model.double_blocks.0.img_attn.qkv", 3072, AB),
        {"software": '{"name": "ai-toolkit"}'},
        "lora",
        "Flux.1",
        "ai-toolkit",
    ),
    (
        "Comfy",
        pair("diffusion_model.double_blocks.0.img_attn.qkv", 3072, AB),
        {},
        "lora",
        "Flux.1",
        "Comfy",
    ),
    (
        "Comfy LoKr",
        {
            "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w1": (96, 32),
            "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w2": (96, 96),
        },
        {},
        "lokr",
        "Flux.1",
        "Comfy",
    ),
    (
        "XLabs",
        pair("double_blocks.0.processor.qkv_lora1", 3072, ("down.weight", "up.weight")),
        {},
        "lora",
        "Flux.1",
        "XLabs",
    ),
    (
        "Flux control",
        {
            **pair("double_blocks.0.img_attn.qkv", 3072, AB),
            "double_blocks.0.img_attn.norm.query_norm.scale": (128,),
        },
        {},
        "lora",
        "Flux.1",
        "BFL control",
    ),
    (
        "fal Kontext",
        pair("base_model.model.double_blocks.0.img_attn.qkv", 3072, AB),
        {},
        "lora",
        "Flux.1",
        "fal Kontext",
    ),
    (
        "OneTrainer",
        {
            **pair("lora_transformer_single_transformer_blocks_0_attn_to_k", 3072),
            **pair("lora_te2_encoder_block_0_layer_0_SelfAttention_k", 4096),
        },
        {"ot_branch": "master"},
        "lora",
        "Flux.1",
        "OneTrainer",
    ),
    (
        "cloneofsimo",
        {
            "unet:0:down": (4, 320),
            "unet:0:up": (640, 4),
            "unet:1:down": (4, 768),
            "unet:1:up": (640, 4),
            "<s1>": (768,),
        },
        {"<s1>": "<embed>"},
        "lora",
        "SD1",
        "cloneofsimo",
    ),
    (
        "textual inversion, A1111",
        {"emb_params": (8, 768)},
        {},
        "textual-inversion",
        "SD1",
        "unknown",
    ),
    (
        "textual inversion, SD2",
        {"emb_params": (8, 1024)},
        {},
        "textual-inversion",
        "SD2",
        "unknown",
    ),
    (
        "textual inversion, SDXL",
        {"clip_l": (4, 768), "clip_g": (4, 1280)},
        {},
        "textual-inversion",
        "SDXL",
        "unknown",
    ),
    (
        "textual inversion, diffusers",
        {"<person>": (768,)},
        {},
        "textual-inversion",
        "SD1",
        "unknown",
    ),
    (
        "full SD1",
        {
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (
                320,
                768,
            ),
            "first_stage_model.x": (1,),
        },
        {},
        "checkpoint",
        "SD1",
        "unknown",
    ),
    (
        "full SD2",
        {
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (
                320,
                1024,
            )
        },
        {},
        "checkpoint",
        "SD2",
        "unknown",
    ),
    (
        "full SDXL",
        {"model.diffusion_model.x": (1,), "conditioner.embedders.1.model.ln_final.weight": (1280,)},
        {},
        "checkpoint",
        "SDXL",
        "unknown",
    ),
    (
        "full SD3",
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (48, 16)},
        {},
        "checkpoint",
        "SD3",
        "unknown",
    ),
    (
        "full Flux",
        {"double_blocks.0.img_attn.qkv.weight": (9216, 3072)},
        {},
        "checkpoint",
        "Flux.1",
        "unknown",
    ),
    (
        "diffusers UNet",
        {
            "conv_in.weight": (320, 4, 3, 3),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        },
        {},
        "checkpoint",
        "SD1",
        "unknown",
    ),
    (
        "malformed",
        {
            "lora_unet_unet_down_blocks_0_attn2_to_k_lora_down.weight": (4, 768),
            "lora_unet_unet_down_blocks_0_attn2_to_k_lora_up.weight": (640, 4),
        },
        {},
        "lora",
        "unknown",
        "malformed kohya",
    ),
]


@pytest.mark.parametrize(
    ("shapes", "metadata", "kind", "family", "naming"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_every_row_of_the_table(
    tmp_path: Path, shapes: Shapes, metadata: dict[str, str], kind: str, family: str, naming: str
) -> None:
    path = tmp_path / "file.safetensors"
    save_file(
        {name: np.zeros(shape, np.float16) for name, shape in shapes.items()},
        path,
        metadata=metadata or None,
    )
    triage = triage_file(path)
    assert (triage.kind, triage.family, triage.naming) == (kind, family, naming)
    assert triage.readable
    assert unpaired(read_header(FileSource(path)).shapes) == []


def test_a_malformed_file_is_told_before_a_loader_finds_nothing_in_it(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"lora_unet_unet_attn2_to_k_lora_down.weight": np.zeros((4, 768), np.float16)}, path)
    assert any("loaders find nothing" in problem for problem in triage_file(path).problems)


def test_merges_are_told_from_metadata(tmp_path: Path) -> None:
    path = tmp_path / "merge.safetensors"
    recipe = {"sd_merge_models": json.dumps({"abc": {"name": "one"}, "def": {"name": "two"}})}
    save_file({"model.diffusion_model.x": np.zeros(1, np.float16)}, path, metadata=recipe)
    assert "two" in str(triage_file(path).training["merged_from"])


# Those that are unknown have shapes that no real model has; the Qwen-Image one is of two blocks,
# which ten models have.
KEYLISTS = {
    "anima_lora_kohya_format": ("lora", "unknown", "kohya"),
    "anima_lora_lokr_format": ("lokr", "unknown", "Comfy"),
    "flux_control_lora_format": ("lora", "Flux.1", "BFL control"),
    "flux_dora_onetrainer_format": ("dora", "Flux.1", "OneTrainer"),
    "flux_lokr_bfl_format": ("lokr", "unknown", "Comfy"),
    "flux_lora_aitoolkit_format": ("lora", "Flux.1", "Comfy"),
    "flux_lora_diffusers_base_model_format": ("lora", "Flux.1", "PEFT"),
    "flux_lora_diffusers_format": ("lora", "Flux.1", "diffusers 3"),
    "flux_lora_diffusers_no_proj_mlp_format": ("lora", "Flux.1", "diffusers 3"),
    "flux_lora_kohya_format": ("lora", "Flux.1", "kohya"),
    "flux_lora_kohya_with_te1_format": ("lora", "Flux.1", "kohya"),
    "flux_lora_xlabs_format": ("lora", "Flux.1", "XLabs"),
    "krea2_lora_kohya_format": ("lora", "Krea2", "kohya"),
    "qwen_image_lora_diffusers_format": ("lora", "Flux.1", "bare"),
    "qwen_image_lora_kohya_format": ("lokr", "unknown", "kohya"),
}


@pytest.mark.parametrize("name", KEYLISTS)
def test_real_key_lists_filled_with_tensors(tmp_path: Path, name: str) -> None:
    """The names and shapes of a real file as a sparse safetensors file of zeros."""
    shapes = json.loads((shared("lora_files") / "keylists" / f"{name}.json").read_text())
    header, end = {}, 0
    for key, shape in shapes.items():
        size = int(np.prod(shape))
        header[key] = {"dtype": "F8_E4M3", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path = tmp_path / f"{name}.safetensors"
    with path.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + end)
    header_only = read_header(FileSource(path))
    assert len(header_only.tensors) == len(shapes)
    from scanner.triage.header import triage_header

    triage = triage_header(header_only, None, None, None, 0)
    assert (triage.kind, triage.family, triage.naming) == KEYLISTS[name]
