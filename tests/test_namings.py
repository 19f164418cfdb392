"""Names from real trainers that were once misread, with their variants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from crawlers.checkpoints.header import (
    FileSource,
    Header,
    parse_beginning,
    parse_header,
    read_header,
)
from face_index.consent import Consent
from scanner.adapters.families import find_family
from scanner.adapters.kinds import kind_of
from scanner.adapters.loading import loaded_into
from scanner.adapters.naming import naming_of
from scanner.errors import UnfaithfulLoad
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.scan import run_scan
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.triage.header import triage_file, with_listing
from tests.conftest import NOON, Silent, shared
from tests.opening import open_session
from tests.test_adapter_formats import FLUX_PATHS, weight_of
from tests.test_leftovers import MODELS, PERSON
from tests.test_pipeline import enrol
from tests.tiny_pipelines import tiny_flux, tiny_sdxl

Shapes = dict[str, tuple[int, ...]]
AB = ("lora_A.weight", "lora_B.weight")
KOHYA = ("lora_down.weight", "lora_up.weight")


def lora(stem: str, out: int, inner: int, ends: tuple[str, str] = AB) -> Shapes:
    return {f"{stem}.{ends[0]}": (1, inner), f"{stem}.{ends[1]}": (out, 1)}


def named(adapter: str) -> tuple[str, str]:
    return f"lora_A.{adapter}.weight", f"lora_B.{adapter}.weight"


def lokr(
    stem: str, first: tuple[int, int], second: tuple[int, int], rank: int | None = None
) -> Shapes:
    if rank is None:
        return {f"{stem}.alpha": (), f"{stem}.lokr_w1": first, f"{stem}.lokr_w2": second}
    return {
        f"{stem}.lokr_w1": first,
        f"{stem}.lokr_w2_a": (second[0], rank),
        f"{stem}.lokr_w2_b": (rank, second[1]),
    }


def oft(stem: str, *rows: int, blocks: int = 512) -> Shapes:
    parts = {
        f"oft_unet_{stem}.oft_blocks.{part}": (blocks, size // blocks, size // blocks)
        for part, size in enumerate(rows)
    }
    return {**parts, f"oft_unet_{stem}.alpha": ()}


MID = "mid_block_attentions_0_transformer_blocks_9_attn1_to_q"
DEEP = "down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q"
FUSED = "single_transformer_blocks_0_attn_to_qkv_mlp_proj"
FLUX_OFT = {"ss_base_model_version": "flux1", "ss_network_module": "networks.oft_flux"}
TOLD: list[tuple[str, Shapes, dict[str, str], tuple[str, str, str | None, str]]] = [
    # SimpleTuner: the width stands in no factor.
    (
        "klein 9B, LoKr",
        lokr(f"lycoris_{FUSED}", (64, 64), (576, 64)),
        {},
        ("lokr", "Flux.2", "Flux.2 Klein 9B", "LyCORIS"),
    ),
    (
        "klein 9B, LoKr of low rank",
        lokr(f"lycoris_{FUSED}", (64, 64), (576, 64), 4),
        {},
        ("lokr", "Flux.2", "Flux.2 Klein 9B", "LyCORIS"),
    ),
    (
        "klein 9B, LoKr, feed-forward",
        lokr("lycoris_transformer_blocks_0_ff_context_linear_in", (64, 64), (384, 64)),
        {},
        ("lokr", "Flux.2", "Flux.2 Klein 9B", "LyCORIS"),
    ),
    (
        "klein 4B, LoKr",
        lokr(f"lycoris_{FUSED}", (48, 48), (576, 64)),
        {},
        ("lokr", "Flux.2", "Flux.2 Klein 4B", "LyCORIS"),
    ),
    (
        "HiDream, kohya",
        lora("lora_unet_double_stream_blocks_0_block_attn1_to_q", 2560, 2560, KOHYA),
        {},
        ("lora", "HiDream", None, "kohya"),
    ),
    (
        "HiDream, only single blocks",
        lora("diffusion_model.single_stream_blocks.9.block.attn1.to_q", 2560, 2560),
        {},
        ("lora", "HiDream", None, "Comfy"),
    ),
    (
        "HiDream, LoKr",
        lokr("lycoris_single_stream_blocks_0_block_attn1_to_q", (16, 16), (160, 160)),
        {},
        ("lokr", "HiDream", None, "LyCORIS"),
    ),
    (
        "HiDream by its header alone",
        lora("diffusion_model.caption_projection.0.linear", 2560, 4096),
        {"ss_base_model_version": "hidream_i1"},
        ("lora", "HiDream", None, "Comfy"),
    ),
    (
        "Wan, DiffSynth",
        lora("blocks.0.self_attn.q", 1536, 1536, named("default")),
        {},
        ("lora", "Wan", "Wan 1.3B", "bare"),
    ),
    (
        "Wan, DiffSynth's pipeline",
        lora("pipe.dit.blocks.0.cross_attn.k", 5120, 5120, named("default")),
        {},
        ("lora", "Wan", "Wan 14B", "bare"),
    ),
    (
        "Wan, diffusers' names alone",
        lora("blocks.0.attn2.to_k", 1536, 1536),
        {},
        ("lora", "Wan", "Wan 1.3B", "bare"),
    ),
    (
        "Wan, diffusers",
        lora("transformer.blocks.0.attn2.to_k", 3072, 3072),
        {},
        ("lora", "Wan", "Wan 5B", "diffusers 3"),
    ),
    (
        "Wan, musubi",
        lora("lora_unet_blocks_0_self_attn_q", 5120, 5120, KOHYA),
        {},
        ("lora", "Wan", "Wan 14B", "kohya"),
    ),
    (
        "Wan, feed-forward",
        lora("transformer.blocks.0.ffn.net.0.proj", 8960, 1536),
        {},
        ("lora", "Wan", "Wan 1.3B", "diffusers 3"),
    ),
    (
        "Wan VACE",
        lora("vace_blocks.0.self_attn.q", 1536, 1536),
        {},
        ("lora", "Wan", "Wan VACE 1.3B", "bare"),
    ),
    *(
        (
            f"PEFT's name {name}",
            lora(DEEP, 1280, 1280, named(name)),
            {},
            ("lora", "SDXL", None, "bare"),
        )
        for name in ("default", "person", "default_0", "my-face", "1", "weight")
    ),
    (
        "PEFT's name behind the network",
        lora(f"unet.{DEEP}", 1280, 1280, named("person")),
        {},
        ("lora", "SDXL", None, "diffusers 3"),
    ),
    (
        "PEFT's name of a DoRA",
        {
            **lora(DEEP, 1280, 1280, named("person")),
            f"{DEEP}.lora_magnitude_vector.person.weight": (1280,),
            f"{DEEP}.lora_B.person.bias": (1280,),
        },
        {},
        ("dora", "SDXL", None, "bare"),
    ),
    (
        "PEFT's name of an older DoRA",
        {
            **lora(DEEP, 1280, 1280, named("person")),
            f"{DEEP}.lora_magnitude_vector.person": (1280,),
        },
        {},
        ("dora", "SDXL", None, "bare"),
    ),
    (
        "PEFT's name in kohya's letters",
        lora(DEEP, 1280, 1280, ("lora_down.me.weight", "lora_up.me.weight")),
        {},
        ("lora", "SDXL", None, "bare"),
    ),
    (
        "OFT of Flux.1, one part",
        oft("single_blocks_0_linear2", 3072),
        FLUX_OFT,
        ("oft", "Flux.1", None, "kohya"),
    ),
    (
        "OFT of Flux.1, three parts",
        oft("double_blocks_0_img_attn_qkv", 3072, 3072, 3072),
        FLUX_OFT,
        ("oft", "Flux.1", None, "kohya"),
    ),
    (
        "OFT of Flux.1, four parts",
        oft("single_blocks_0_linear1", 3072, 3072, 3072, 12288),
        FLUX_OFT,
        ("oft", "Flux.1", None, "kohya"),
    ),
    (
        "OFT of SDXL",
        {f"oft_unet_{MID}.oft_blocks": (4, 320, 320), f"oft_unet_{MID}.alpha": ()},
        {},
        ("oft", "SDXL", None, "kohya"),
    ),
    (
        "a slider of the middle block",
        lora(f"lora_unet_{MID}", 1280, 1280, KOHYA),
        {},
        ("lora", "SDXL", None, "kohya"),
    ),
    (
        "a slider in LDM's names",
        lora("lora_unet_output_blocks_1_1_transformer_blocks_7_attn1_to_out_0", 1280, 1280, KOHYA),
        {},
        ("lora", "SDXL", None, "kohya"),
    ),
    (
        "a slider of two layers",
        lora(
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q", 640, 640, KOHYA
        ),
        {},
        ("lora", "SDXL", None, "kohya"),
    ),
    (
        "Z-Image, feed-forward, scrubbed",
        lora("diffusion_model.layers.0.feed_forward.w1", 10240, 3840),
        {},
        ("lora", "Z-Image", None, "Comfy"),
    ),
    (
        "Z-Image, LoKr, scrubbed",
        lokr("diffusion_model.layers.0.attention.to_q", (16, 16), (240, 240)),
        {},
        ("lokr", "Z-Image", None, "Comfy"),
    ),
    (
        "Z-Image, LoKr, SimpleTuner",
        lokr("lycoris_layers_0_attention_to_q", (16, 16), (240, 240), 4),
        {},
        ("lokr", "Z-Image", None, "LyCORIS"),
    ),
    (
        "Z-Image, only a refiner",
        lora("diffusion_model.noise_refiner.0.attention.to_q", 3840, 3840),
        {},
        ("lora", "Z-Image", None, "Comfy"),
    ),
    (
        "Z-Image, the text's refiner, flat",
        lora("lora_unet_context_refiner_1_feed_forward_w2", 3840, 10240, KOHYA),
        {},
        ("lora", "Z-Image", None, "kohya"),
    ),
    (
        "Lumina 2, only a refiner",
        lora("diffusion_model.noise_refiner.0.attention.qkv", 3840, 2304),
        {},
        ("lora", "Lumina2", None, "Comfy"),
    ),
    (
        "Z-Image by its header alone",
        lora("diffusion_model.something.else", 3840, 3840),
        {"ss_base_model_version": "zimage"},
        ("lora", "Z-Image", None, "Comfy"),
    ),
]


@pytest.mark.parametrize(
    ("shapes", "metadata", "told"), [row[1:] for row in TOLD], ids=[row[0] for row in TOLD]
)
def test_kind_family_size_and_naming(
    shapes: Shapes, metadata: dict[str, str], told: tuple[str, str, str | None, str]
) -> None:
    finding = find_family(shapes, metadata)
    naming = naming_of(shapes, metadata, finding.family)
    assert (kind_of(shapes), finding.family, finding.model, naming) == told
    assert finding.problem is None


SHARED: list[tuple[str, Shapes, set[str]]] = [
    (
        "self-attention of three",
        lora(
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", 640, 640, KOHYA
        ),
        {"SD1", "SD2", "SDXL"},
    ),
    (
        "self-attention of two",
        lora(
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, 320, KOHYA
        ),
        {"SD1", "SD2"},
    ),
    (
        "the same in LDM's names",
        lora("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", 320, 320, KOHYA),
        {"SD1", "SD2"},
    ),
    (
        "an OFT without a header",
        oft("double_blocks_0_img_attn_qkv", 3072, 3072, 3072),
        {"Flux.1", "Chroma", "Flux.2 Klein 4B"},
    ),
    (
        "klein's attention as LoKr",
        lokr("lycoris_transformer_blocks_0_attn_to_q", (64, 64), (64, 64)),
        {"Flux.2 Klein 9B", "Qwen-Image-2.1"},
    ),
]


@pytest.mark.parametrize(
    ("shapes", "families"), [row[1:] for row in SHARED], ids=[row[0] for row in SHARED]
)
def test_what_cannot_be_told_names_whose_it_can_be(shapes: Shapes, families: set[str]) -> None:
    finding = find_family(shapes, {})
    assert families <= set(finding.fits)
    assert all(family in str(finding.problem) for family in families)


def test_a_size_that_no_model_has_is_named() -> None:
    finding = find_family(lokr(f"lycoris_{FUSED}", (7, 7), (576, 64)), {})
    assert finding.family == "unknown"
    assert "4032 x 448" in str(finding.problem)


def test_a_listing_settles_self_attention(tmp_path: Path) -> None:
    triage = triage_file(written(tmp_path / "slider.safetensors", SHARED[0][1]))
    assert triage.finding.problem is not None
    told = with_listing(triage, "SD 1.5")
    assert (told.family, told.finding.problem) == ("SD1", None)
    assert "Flux.1" in str(with_listing(triage, "Flux.1 D").mislabelled)


def written(path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> Path:
    save_file(
        {name: np.zeros(shape, np.float16) for name, shape in shapes.items()},
        path,
        metadata=metadata,
    )
    return path


WHOLE: list[tuple[str, Shapes, tuple[str, ...]]] = [
    (
        "Wan",
        {
            "blocks.0.self_attn.q.weight": (16, 16),
            "blocks.0.self_attn.q.scale_weight": (),
            "scaled_fp8": (0,),
        },
        ("Wan",),
    ),
    (
        "Wan with its prefix",
        {"model.diffusion_model.blocks.0.self_attn.q.weight": (1536, 1536), "scaled_fp8": (2,)},
        ("Wan 1.3B",),
    ),
    (
        "Anima",
        {
            "net.blocks.0.cross_attn.k_proj.weight": (2048, 1024),
            "net.blocks.0.mlp.layer1.weight": (8192, 2048),
        },
        ("Anima",),
    ),
    ("Z-Image", {"layers.0.attention.qkv.weight": (11520, 3840)}, ("Z-Image",)),
    (
        "Qwen-Image in new scales",
        {
            "transformer_blocks.0.attn.to_q.weight": (3072, 3072),
            "transformer_blocks.0.attn.to_q.weight_scale": (),
            "transformer_blocks.0.attn.to_q.comfy_quant": (24,),
            "transformer_blocks.0.img_mlp.net.0.proj.weight": (12288, 3072),
        },
        ("Qwen-Image",),
    ),
    (
        "HunyuanVideo",
        {"double_blocks.0.img_attn_qkv.weight": (9216, 3072), "scaled_fp8": (0,)},
        ("HunyuanVideo",),
    ),
    (
        "HiDream",
        {"double_stream_blocks.0.block.attn1.to_q.weight": (2560, 2560), "scaled_fp8": (0,)},
        ("HiDream",),
    ),
    (
        "LTX-Video or Anima",
        {
            "transformer_blocks.0.attn1.to_q.weight": (2048, 2048),
            "transformer_blocks.0.ff.net.0.proj.weight": (8192, 2048),
        },
        ("Anima", "LTX-Video"),
    ),
    (
        "Flux.1 or its kin",
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (9216, 3072)},
        ("Flux.1",),
    ),
    (
        "Flux.2",
        {
            "double_blocks.0.img_attn.qkv.weight": (12288, 4096),
            "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
            "single_blocks.0.linear1.weight": (36864, 4096),
            "double_stream_modulation_img.lin.weight": (24576, 4096),
        },
        ("Flux.2 Klein 9B",),
    ),
]


@pytest.mark.parametrize(
    ("shapes", "families"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE]
)
def test_whole_models_are_told_by_name_and_said_to_be_not_sampled(
    shapes: Shapes, families: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "whole.json"
    path.write_text(json.dumps({name: list(shape) for name, shape in shapes.items()}))
    triage = triage_file(path)
    assert (triage.kind, triage.naming) == ("checkpoint", "unknown")
    [problem] = [one for one in triage.problems if "not sampled" in one]
    assert all(family in problem for family in families)
    assert not any("known adapter" in one or "alike" in one for one in triage.problems)


def test_the_cases_themselves() -> None:
    expected = {
        "03_": ("lokr", "Flux.2"),
        "05_": ("lora", "HiDream"),
        "07_": ("lora", "Wan"),
        "08_": ("lora", "SDXL"),
        "10_": ("oft", "Flux.1"),
        "11_": ("lora", "SDXL"),
        "15_": ("lora lokr", "Z-Image"),
        "16_": ("checkpoint", "Flux.2"),
        "17_": ("lora", "SD1"),
        "19_": ("checkpoint", "Wan"),
    }
    for start, (kinds, family) in expected.items():
        for folder in shared("cases").glob(f"{start}*"):
            for path in [*folder.glob("*.safetensors"), *folder.glob("*.json")]:
                triage = triage_file(path)
                assert triage.kind in kinds, path.name
                assert (triage.family, triage.leftovers) == (family, ()), path.name
                assert triage.naming != "BFL control", path.name


def turned(weight: torch.Tensor, blocks: torch.Tensor, alpha: float) -> torch.Tensor:
    """kohya's OFT written out for rows of one matrix, in float64."""
    count, side, _ = blocks.shape
    skew = blocks - blocks.transpose(1, 2)
    size = float(skew.norm())
    skew = skew * min(1.0, alpha * len(weight) / size)
    eye = torch.eye(side, dtype=torch.float64)
    rows = weight.reshape(count, side, -1)
    return torch.cat(
        [((eye + s) @ torch.inverse(eye - s)).T @ part for s, part in zip(skew, rows, strict=True)]
    )


@pytest.mark.parametrize("alpha", [0.001, 1.0])
def test_kohyas_oft_rotates_each_part_of_a_fused_matrix_by_itself(
    tmp_path: Path, alpha: float
) -> None:
    flux = tiny_flux()
    single = "transformer:single_transformer_blocks.0"
    places = [*(f"{single}.attn.to_{letter}" for letter in "qkv"), f"{single}.proj_mlp"]
    tensors = {
        "oft_unet_double_blocks_1_img_attn_qkv.alpha": torch.tensor(alpha),
        "oft_unet_single_blocks_0_linear1.alpha": torch.tensor(alpha),
    }
    expected = {}
    for stem, targets in (
        ("double_blocks_1_img_attn_qkv", FLUX_PATHS),
        ("single_blocks_0_linear1", places),
    ):
        for part, place in enumerate(targets):
            weight = weight_of(flux, place).double()
            blocks = torch.randn(4, len(weight) // 4, len(weight) // 4) * 0.1
            tensors[f"oft_unet_{stem}.oft_blocks.{part}"] = blocks
            expected[place] = turned(weight, blocks.double(), alpha)
    path = tmp_path / "oft.safetensors"
    save_torch(tensors, path)
    with loaded_into(flux, path, "oft", "Flux.1", "") as loaded:
        loaded.changes.set_scale(1.0)
        for place, wanted in expected.items():
            torch.testing.assert_close(
                weight_of(flux, place).double(), wanted, atol=1e-5, rtol=1e-4
            )
    for broken in (
        {**tensors, "oft_unet_double_blocks_1_img_attn_qkv.oft_blocks.4": torch.zeros(4, 2, 2)},
        {name: part for name, part in tensors.items() if not name.endswith(".1")},
    ):
        save_torch(broken, path)
        with (
            pytest.raises(UnfaithfulLoad, match="oft_blocks"),
            loaded_into(flux, path, "oft", "Flux.1", ""),
        ):
            pass


def test_an_adapters_name_changes_nothing_of_what_is_loaded(tmp_path: Path) -> None:
    sdxl = tiny_sdxl()
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    place = f"unet:{layer}"
    out, inner = weight_of(sdxl, place).shape
    down, up, bias = torch.randn(1, inner), torch.randn(out, 1), weight_of(sdxl, place).clone()
    for ends in (AB, named("default"), named("person"), KOHYA):
        path = tmp_path / "a.safetensors"
        save_torch({f"{layer}.{ends[0]}": down, f"{layer}.{ends[1]}": up}, path)
        with loaded_into(sdxl, path, "lora", "SDXL", "") as loaded:
            loaded.changes.set_scale(1.0)
            torch.testing.assert_close(weight_of(sdxl, place), bias + up @ down)


ENTRY = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
HEADERS = {
    "metadata null": b'{"__metadata__":null,' + ENTRY + b"}",
    "metadata empty": b'{"__metadata__":{},' + ENTRY + b"}",
    "metadata last": b"{" + ENTRY + b',"__metadata__":null}',
    "a space before": b" {" + ENTRY + b"}",
    "lines before and behind": b"\r\n\t{" + ENTRY + b"}\n  ",
    "values without names": b'{"a":["F32",[1],[0,4]]}',
    "more than the format names": (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"note":{"x":null}}}'
    ),
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_safetensors_itself_reads_is_read(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with safe_open(path, "np") as file:
        assert list(file.keys()) == ["a"]
    header = read_header(FileSource(path))
    assert (dict(header.metadata), header.shapes) == ({}, {"a": (1,)})


@pytest.mark.parametrize("start", [b"{", b" {", b'\n{"__metadata__":null,'])
def test_the_beginning_of_such_a_header_is_read_too(start: bytes) -> None:
    entries = b",".join(
        b'"t%d":["U8",[1],[%d,%d]]' % (number, number, number + 1) for number in range(80)
    )
    text = start + entries + b"}"
    part = parse_beginning(text[:-200], len(text))
    assert isinstance(part, Header)
    assert len(part.tensors) >= 64
    assert len(parse_header(text, 80).tensors) == 80


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


def test_a_scan_fails_such_files_by_name_and_draws_nothing(
    scan_session: ScanSession, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    folder = tmp_path / "uploads"
    folder.mkdir()
    small = {name: (1, *shape[1:]) if name in PERSON else shape for name, shape in PERSON.items()}
    model = {
        name: shape if "attn2.to_k" in name else (1,) * len(shape)
        for name, shape in MODELS["SD1"].items()
    }
    written(folder / "model.safetensors", {**model, **small})
    written(folder / "word.safetensors", {"<clean>": (768,), "<person>": (768,)})
    written(folder / "wan.safetensors", WHOLE[0][1])
    written(
        folder / "hidream.safetensors",
        lora("diffusion_model.double_stream_blocks.0.block.attn1.to_q", 2560, 2560),
    )
    written(folder / "vae.safetensors", {"decoder.conv_in.weight": (2, 2, 3, 3)})
    written(
        folder / "hidream-2.sft",
        lora("diffusion_model.single_stream_blocks.0.block.attn1.to_q", 2560, 2560),
    )
    (folder / "flux.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(30))
    (folder / "person.7z").write_bytes(b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(30))
    monkeypatch.setattr(
        CheckpointIdentifier, "sampler_for", lambda *_: pytest.fail("no base model may be loaded")
    )
    rows = {
        row["file"]: row for row in run_scan(scan_session, [str(folder)], Silent()).to_json_rows()
    }
    assert {row["outcome"] for row in rows.values()} == {"failed"}
    assert next(iter(PERSON)) in rows["model.safetensors"]["reason"]
    assert "<clean>, <person>" in rows["word.safetensors"]["reason"]
    assert "full checkpoints of Wan are not sampled" in rows["wan.safetensors"]["reason"]
    assert "family not supported: HiDream" in rows["hidream.safetensors"]["reason"]
    assert "family not supported: HiDream" in rows["hidream-2.sft"]["reason"]
    assert "a GGUF file" in rows["flux.gguf"]["reason"]
    assert "a 7z archive" in rows["person.7z"]["reason"]
    assert "a VAE alone" in rows["vae.safetensors"]["reason"]
