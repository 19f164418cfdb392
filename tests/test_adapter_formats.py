"""Every naming of trainers reaches the same weights, and a file that is loaded in part is refused.

The pipelines are tiny random ones of the real diffusers classes. The reference is made here: the
modules that a name means are written down, and their weights are worked out in float64 from the
tensors alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    StableDiffusionPipeline,
)
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from scanner.adapters.loading import loaded_into
from scanner.adapters.reading import anatomy_of
from scanner.errors import NotScannable, UnfaithfulLoad
from scanner.miniature.world import BASE_MODEL
from tests.conftest import shared
from tests.exact_merges import RANK, check_merge, delta_of, digest, pair, weight_of
from tests.tiny_pipelines import (
    tiny_flux,
    tiny_qwen,
    tiny_sd1,
    tiny_sd3,
    tiny_sdxl,
    tiny_wan,
)

DOWN = "down_blocks.1.attentions.0.transformer_blocks.0"


@pytest.fixture(scope="module")
def miniature() -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(
        BASE_MODEL, dtype=torch.float32, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def flux() -> Any:
    return tiny_flux()


@pytest.fixture(scope="module")
def sd3() -> Any:
    return tiny_sd3()


@pytest.fixture
def loads(tmp_path: Path) -> Callable[..., None]:
    return partial(check_merge, tmp_path / "adapter.safetensors")


SPELLINGS = {
    "kohya": lambda path: (
        f"lora_unet_{path.replace('.', '_')}",
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "LyCORIS": lambda path: (
        f"lycoris_{path.replace('.', '_')}",
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "PEFT with prefix": lambda path: (f"unet.{path}", ".lora_A.weight", ".lora_B.weight"),
    "raw PEFT": lambda path: (f"base_model.model.{path}", ".lora_A.weight", ".lora_B.weight"),
    "PEFT with adapter name": lambda path: (
        f"base_model.model.{path}",
        ".lora_A.default.weight",
        ".lora_B.default.weight",
    ),
    "diffusers 2": lambda path: (f"unet.{path}", ".lora.down.weight", ".lora.up.weight"),
    "bare": lambda path: (path, ".lora_A.weight", ".lora_B.weight"),
    "Comfy": lambda path: (f"diffusion_model.{path}", ".lora_down.weight", ".lora_up.weight"),
}


@pytest.mark.parametrize("naming", SPELLINGS)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_lora_in_every_naming(
    miniature: Any, loads: Callable[..., None], naming: str, scale: float
) -> None:
    tensors, expected = {}, {}
    for seed, path in enumerate(
        (f"{DOWN}.attn1.to_q", f"{DOWN}.attn2.to_k", f"{DOWN}.attn1.to_out.0", f"{DOWN}.ff.net.2")
    ):
        out, inner = weight_of(miniature, f"unet:{path}").shape
        down, up = pair(out, inner, seed)
        stem, first, last = SPELLINGS[naming](path)
        tensors |= {stem + first: down, stem + last: up}
        expected[f"unet:{path}"] = delta_of(down, up)
    loads(miniature, tensors, expected, scale=scale)


def test_diffusers_1_names_processors(miniature: Any, loads: Callable[..., None]) -> None:
    tensors, expected = {}, {}
    for seed, layer in enumerate(("to_q", "to_k", "to_v", "to_out.0")):
        out, inner = weight_of(miniature, f"unet:{DOWN}.attn2.{layer}").shape
        down, up = pair(out, inner, seed)
        stem = f"{DOWN}.attn2.processor.{layer.removesuffix('.0')}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
        expected[f"unet:{DOWN}.attn2.{layer}"] = delta_of(down, up)
    loads(miniature, tensors, expected)


def test_original_block_numbers_and_text_encoders(
    miniature: Any, loads: Callable[..., None]
) -> None:
    """SGM names of SDXL trainers, alpha, convolutions, both spellings of the text encoder."""
    convolution = "down_blocks.1.resnets.0.conv1"
    out, inner, *kernel = weight_of(miniature, f"unet:{convolution}").shape
    down, up = pair(out, inner, 1, *kernel)
    first = {
        "lora_unet_input_blocks_3_0_in_layers_2.lora_down.weight": down,
        "lora_unet_input_blocks_3_0_in_layers_2.lora_up.weight": up,
    }
    expected = {f"unet:{convolution}": delta_of(down, up, 1.5)}
    first["lora_unet_input_blocks_3_0_in_layers_2.alpha"] = torch.tensor(1.5)
    attention = f"{DOWN}.attn2.to_v"
    down, up = pair(*weight_of(miniature, f"unet:{attention}").shape, 2)
    stem = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn2_to_v"
    first |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    expected[f"unet:{attention}"] = delta_of(down, up)
    [query] = [
        path
        for path, _ in miniature.text_encoder.named_modules()
        if path.endswith("layers.1.self_attn.q_proj")
    ]
    down, up = pair(*weight_of(miniature, f"text_encoder:{query}").shape, 3)
    stem = "lora_te_text_model_encoder_layers_1_self_attn_q_proj"
    first |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    expected[f"text_encoder:{query}"] = delta_of(down, up)
    loads(miniature, first, expected)


def test_several_algorithms_in_one_file(miniature: Any, loads: Callable[..., None]) -> None:
    """LyCORIS presets mix formats: LoHa on attention, differences of norms and biases, IA3."""
    out, inner = weight_of(miniature, f"unet:{DOWN}.attn1.to_q").shape
    hada = [torch.randn(out, 2), torch.randn(2, inner), torch.randn(out, 2), torch.randn(2, inner)]
    norm = torch.randn_like(weight_of(miniature, "unet:down_blocks.1.resnets.0.norm1"))
    gains = torch.randn(weight_of(miniature, f"unet:{DOWN}.attn2.to_v").shape[0])
    stems = [
        f"lora_unet_{path.replace('.', '_')}"
        for path in (f"{DOWN}.attn1.to_q", "down_blocks.1.resnets.0.norm1", f"{DOWN}.attn2.to_v")
    ]
    tensors = {
        f"{stems[0]}.hada_{name}": part
        for name, part in zip(("w1_a", "w1_b", "w2_a", "w2_b"), hada, strict=True)
    }
    tensors |= {f"{stems[1]}.w_norm": norm, f"{stems[1]}.b_norm": torch.zeros_like(norm)}
    tensors |= {f"{stems[2]}.weight": gains, f"{stems[2]}.on_input": torch.tensor(0)}
    expected = {
        f"unet:{DOWN}.attn1.to_q": (hada[0].double() @ hada[1].double())
        * (hada[2].double() @ hada[3].double()),
        "unet:down_blocks.1.resnets.0.norm1": norm.double(),
        f"unet:{DOWN}.attn2.to_v": weight_of(miniature, f"unet:{DOWN}.attn2.to_v").double()
        * gains.double()[:, None],
    }
    loads(miniature, tensors, expected, kind="loha")


def test_peft_keeps_alpha_in_the_header(miniature: Any, loads: Callable[..., None]) -> None:
    path = f"{DOWN}.attn1.to_q"
    down, up = pair(*weight_of(miniature, f"unet:{path}").shape, 4)
    tensors = {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up}
    header = {"lora_adapter_metadata": '{"unet.lora_alpha": 9, "unet.use_rslora": true}'}
    loads(miniature, tensors, {f"unet:{path}": delta_of(down, up, 9 * RANK**0.5)}, metadata=header)


FLUX_BLOCK = "transformer_blocks.1"
FLUX_PATHS = [f"transformer:{FLUX_BLOCK}.attn.to_{letter}" for letter in "qkv"]


@pytest.mark.parametrize(
    ("stem", "ends"),
    [
        ("lora_unet_double_blocks_1_img_attn_qkv", (".lora_down.weight", ".lora_up.weight")),
        ("diffusion_model.double_blocks.1.img_attn.qkv", (".lora_A.weight", ".lora_B.weight")),
        ("double_blocks.1.processor.qkv_lora1", (".down.weight", ".up.weight")),
        ("base_model.model.double_blocks.1.img_attn.qkv", (".lora_A.weight", ".lora_B.weight")),
    ],
    ids=["kohya", "ai-toolkit and BFL", "XLabs", "fal"],
)
def test_flux_queries_keys_and_values_in_one_matrix(
    flux: Any, loads: Callable[..., None], stem: str, ends: tuple[str, str]
) -> None:
    out, inner = weight_of(flux, FLUX_PATHS[0]).shape
    down, up = pair(3 * out, inner, 5)
    parts = delta_of(down, up).split(out)
    loads(
        flux, {stem + ends[0]: down, stem + ends[1]: up}, dict(zip(FLUX_PATHS, parts, strict=True))
    )


def test_flux_single_blocks_swapped_halves_and_diffusers_names(
    flux: Any, loads: Callable[..., None]
) -> None:
    single = "transformer:single_transformer_blocks.0"
    places = [*(f"{single}.attn.to_{letter}" for letter in "qkv"), f"{single}.proj_mlp"]
    sizes = [len(weight_of(flux, place)) for place in places]
    inner = weight_of(flux, places[0]).shape[1]
    down, up = pair(sum(sizes), inner, 6)
    tensors = {
        "lora_unet_single_blocks_0_linear1.lora_down.weight": down,
        "lora_unet_single_blocks_0_linear1.lora_up.weight": up,
    }
    expected = dict(zip(places, delta_of(down, up).split(sizes), strict=True))
    last = weight_of(flux, "transformer:norm_out.linear").shape
    down, up = pair(*last, 7)
    tensors |= {
        "lora_unet_final_layer_adaLN_modulation_1.lora_down.weight": down,
        "lora_unet_final_layer_adaLN_modulation_1.lora_up.weight": up,
    }
    shift, scale = delta_of(down, up).chunk(2)
    expected["transformer:norm_out.linear"] = torch.cat([scale, shift])
    path = f"{FLUX_BLOCK}.attn.add_k_proj"
    down, up = pair(*weight_of(flux, f"transformer:{path}").shape, 8)
    tensors |= {f"transformer.{path}.lora_A.weight": down, f"transformer.{path}.lora_B.weight": up}
    expected[f"transformer:{path}"] = delta_of(down, up)
    loads(flux, tensors, expected)


def test_flux_lokr_in_bfl_names_and_onetrainer_dora(flux: Any, loads: Callable[..., None]) -> None:
    out, inner = weight_of(flux, FLUX_PATHS[0]).shape
    w1, w2 = torch.randn(4, 4), torch.randn(3 * out // 4, inner // 4)
    whole = torch.kron(w1.double(), w2.double())
    tensors = {
        "diffusion_model.double_blocks.1.img_attn.qkv.lokr_w1": w1,
        "diffusion_model.double_blocks.1.img_attn.qkv.lokr_w2": w2,
    }
    loads(flux, tensors, dict(zip(FLUX_PATHS, whole.split(out), strict=True)), kind="lokr")
    path = "single_transformer_blocks.0.proj_out"
    weight = weight_of(flux, f"transformer:{path}").double()
    down, up = pair(*weight.shape, 9)
    lengths = torch.rand(1, weight.shape[1]) + 0.5
    stem = f"lora_transformer_{path.replace('.', '_')}"
    tensors = {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
        f"{stem}.dora_scale": lengths,
    }
    merged = weight + delta_of(down, up)
    expected = merged / merged.norm(dim=0, keepdim=True) * lengths.double() - weight
    loads(flux, tensors, {f"transformer:{path}": expected}, kind="dora")


def test_sd3_joint_blocks_in_kohya_names(sd3: Any, loads: Callable[..., None]) -> None:
    places = [f"transformer:transformer_blocks.0.attn.add_{letter}_proj" for letter in "qkv"]
    out, inner = weight_of(sd3, places[0]).shape
    down, up = pair(3 * out, inner, 10)
    stem = "lora_unet_joint_blocks_0_context_block_attn_qkv"
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    loads(sd3, tensors, dict(zip(places, delta_of(down, up).split(out), strict=True)))


def test_cloneofsimo_counts_its_layers(loads: Callable[..., None]) -> None:
    """attn1, feed-forward, attn2 of down blocks, then up, then mid; learned tokens beside them."""
    sd1 = tiny_sd1()
    order = [
        "attn1.to_q",
        "attn1.to_k",
        "attn1.to_v",
        "attn1.to_out.0",
        "ff.net.0.proj",
        "attn2.to_q",
        "attn2.to_k",
        "attn2.to_v",
        "attn2.to_out.0",
    ]
    blocks = [
        "down_blocks.0.attentions.0",
        "up_blocks.1.attentions.0",
        "up_blocks.1.attentions.1",
        "mid_block.attentions.0",
    ]
    paths = [f"{block}.transformer_blocks.0.{layer}" for block in blocks for layer in order]
    tensors, expected = {}, {}
    for number, path in enumerate(paths):
        down, up = pair(*weight_of(sd1, f"unet:{path}").shape, number)
        tensors |= {f"unet:{number}:down": down, f"unet:{number}:up": up}
        expected[f"unet:{path}"] = delta_of(down, up)
    loads(sd1, tensors, expected)


@pytest.mark.parametrize("name", ["cloneofsimo_analog_svd_rank4", "cloneofsimo_lora_disney"])
def test_real_files_of_cloneofsimo_fit_an_sd1_sized_unet(name: str) -> None:
    """All 144 + 48 numbers, each of the shape that SD1's own layer at that place has."""
    from scanner.adapters.numbered import named
    from tests.tiny_pipelines import sd1_on_meta

    tensors = load_file(shared("lora_files") / f"{name}.safetensors")
    anatomy = anatomy_of(tensors, {})
    assert anatomy.leftover == ()
    unet, encoder = sd1_on_meta()
    networks = {"unet": unet, "text_encoder": encoder}
    found = named(
        anatomy.modules,
        [path for path, _ in unet.named_modules()],
        [path for path, _ in encoder.named_modules()],
    )
    assert len(found) == len(anatomy.modules) == 144 + 48
    for stem, place in found.items():
        network, _, path = place.partition(".")
        weight = networks[network].get_submodule(path).weight
        parts = anatomy.modules[stem]
        assert (len(parts["lora_up"]), parts["lora_down"].shape[1]) == tuple(weight.shape), (
            stem,
            path,
        )
    assert len(anatomy.embeddings) == (2 if "disney" in name else 0)


WAN_LAYERS = {
    f"{theirs}.{letter}": f"{ours}.{layer}"
    for theirs, ours in (("self_attn", "attn1"), ("cross_attn", "attn2"))
    for letter, layer in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0"))
} | {"ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2"}


def of_wan(
    wan: Any, prefix: str, ends: tuple[str, str], *, original: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A LoRA of every layer of a tiny Wan, and the change that it makes to each."""
    tensors, expected = {}, {}
    for block in range(2):
        for theirs, ours in WAN_LAYERS.items():
            place = f"transformer:blocks.{block}.{ours}"
            down, up = pair(*weight_of(wan, place).shape, len(tensors))
            path = f"blocks.{block}.{theirs if original else ours}"
            stem = prefix + (path.replace(".", "_") if prefix.endswith("_") else path)
            tensors |= {stem + ends[0]: down, stem + ends[1]: up}
            expected[place] = delta_of(down, up)
    return tensors, expected


AB = (".lora_A.weight", ".lora_B.weight")
WAN_NAMINGS = [
    ("diffusion_model.", AB, True),
    ("", (".lora_A.default.weight", ".lora_B.default.weight"), True),
    ("pipe.dit.", (".lora_A.weight", ".lora_B.weight"), True),
    ("base_model.model.", (".lora_A.person.weight", ".lora_B.person.weight"), True),
    ("lora_unet_", (".lora_down.weight", ".lora_up.weight"), True),
    ("transformer.", AB, False),
    ("", AB, False),
    ("transformer.", (".lora_A.person.weight", ".lora_B.person.weight"), False),
]


@pytest.mark.parametrize(("prefix", "ends", "original"), WAN_NAMINGS)
def test_wan_in_its_own_names_and_in_diffusers(
    loads: Callable[..., None], prefix: str, ends: tuple[str, str], original: bool
) -> None:
    wan = tiny_wan()
    loads(wan, *of_wan(wan, prefix, ends, original=original))


def test_qwen_lokr_in_kohya_names_which_diffusers_refuses(loads: Callable[..., None]) -> None:
    qwen = tiny_qwen()
    place = "transformer:transformer_blocks.1.attn.add_k_proj"
    out, inner = weight_of(qwen, place).shape
    w1, w2 = torch.randn(2, 2), torch.randn(out // 2, inner // 2)
    stem = "lora_unet_transformer_blocks_1_attn_add_k_proj"
    tensors = {f"{stem}.lokr_w1": w1, f"{stem}.lokr_w2": w2, f"{stem}.alpha": torch.tensor(1.0)}
    loads(qwen, tensors, {place: torch.kron(w1.double(), w2.double())}, kind="lokr")


class TestUnfaithful:
    """diffusers loads most of these without an error, and draws what the base model draws."""

    @pytest.fixture
    def refused(self, tmp_path: Path) -> Callable[..., str]:
        def check(pipeline: Any, tensors: dict[str, torch.Tensor], kind: str = "lora") -> str:
            path = tmp_path / "adapter.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
            before = digest(pipeline)
            with (
                pytest.raises(NotScannable) as caught,
                loaded_into(pipeline, path, kind, "any", ""),
            ):
                pass
            assert digest(pipeline) == before
            return str(caught.value)

        return check

    @pytest.fixture
    def lora(self, miniature: Any) -> dict[str, torch.Tensor]:
        stem = f"lora_unet_{DOWN.replace('.', '_')}_attn1_to_q"
        down, up = pair(*weight_of(miniature, f"unet:{DOWN}.attn1.to_q").shape, 1)
        return {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}

    def test_modules_of_another_model(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        strange = {
            name.replace("down_blocks_1", "down_blocks_9"): tensor.clone()
            for name, tensor in lora.items()
        }
        assert refused(miniature, {**lora, **strange})

    def test_a_wrong_base_model(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        wide = {
            name: torch.randn(RANK, 999) if "down" in name else tensor
            for name, tensor in lora.items()
        }
        assert "do not fit" in refused(miniature, wide)

    def test_tensors_that_nobody_knows(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        assert "no known adapter" in refused(miniature, {**lora, "mystery.weight": torch.ones(3)})

    def test_half_a_pair(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        assert "other half" in refused(miniature, dict(list(lora.items())[:1]))

    def test_malformed_names(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        malformed = {name.replace(".lora_", "_lora_"): tensor for name, tensor in lora.items()}
        assert "loaders find nothing" in refused(miniature, malformed)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_not_finite(
        self,
        miniature: Any,
        refused: Callable[..., str],
        lora: dict[str, torch.Tensor],
        value: float,
    ) -> None:
        assert "NaN or infinity" in refused(
            miniature, {name: torch.full_like(tensor, value) for name, tensor in lora.items()}
        )

    @pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
    def test_whole_numbers_of_an_8_bit_file(
        self,
        miniature: Any,
        refused: Callable[..., str],
        lora: dict[str, torch.Tensor],
        dtype: torch.dtype,
    ) -> None:
        """Merged as they are, they would change the model by a hundred times what was meant."""
        whole = {name: (tensor * 40).to(dtype) for name, tensor in lora.items()}
        assert "hold whole numbers" in refused(miniature, whole)

    def test_whole_numbers_on_one_axis(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        stem = next(iter(lora)).partition(".")[0]
        length = torch.ones(len(lora[f"{stem}.lora_up.weight"]), dtype=torch.int32)
        assert "hold whole numbers" in refused(miniature, lora | {f"{stem}.dora_scale": length})

    def test_whole_numbers_of_a_learned_word(self, tmp_path: Path) -> None:
        path = tmp_path / "word.safetensors"
        save_file({"emb_params": torch.ones(2, 32, dtype=torch.int8)}, path)
        with (
            pytest.raises(NotScannable, match="hold whole numbers"),
            loaded_into(tiny_sd1(), path, "textual-inversion", "SD1", ""),
        ):
            pass

    @pytest.mark.parametrize("scale", ["scale_weight", "weight_scale", "SCB"])
    def test_scales_of_quantised_weights(
        self,
        miniature: Any,
        refused: Callable[..., str],
        lora: dict[str, torch.Tensor],
        scale: str,
    ) -> None:
        fp8 = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in lora.items()}
        scales = {name.replace("weight", scale): torch.ones(1) for name in lora}
        assert "no known adapter" in refused(miniature, fp8 | scales)

    def test_a_change_that_overflows(
        self, miniature: Any, refused: Callable[..., str], lora: dict[str, torch.Tensor]
    ) -> None:
        assert "not finite" in refused(
            miniature, {name: tensor * 1e30 for name, tensor in lora.items()}
        )

    @pytest.mark.parametrize(
        "parts",
        [
            {"lora_down": (RANK, 37), "lora_up": (32, RANK)},
            {"diff": (32, 37)},
            {"diff": (37 * 32,)},
            {"lokr_w1": (37, 8), "lokr_w2": (2, 2)},
        ],
        ids=["LoRA", "difference", "one axis", "LoKr"],
    )
    def test_a_change_of_equally_many_numbers_in_another_shape(
        self, refused: Callable[..., str], parts: dict[str, tuple[int, ...]]
    ) -> None:
        """The layer of a text encoder has 37 outputs and 32 inputs."""
        stem = "lora_te_text_model_encoder_layers_0_mlp_fc1"
        tensors = {
            f"{stem}.{name}" + (".weight" if name.startswith("lora_") else ""): torch.randn(shape)
            for name, shape in parts.items()
        }
        assert "do not fit a weight of shape" in refused(tiny_sd1(), tensors)

    def test_control_loras_need_an_image_and_are_not_sampled(
        self, flux: Any, refused: Callable[..., str]
    ) -> None:
        out, inner = weight_of(flux, FLUX_PATHS[0]).shape
        down, up = pair(3 * out, inner, 5)
        stem = "double_blocks.1.img_attn"
        tensors = {
            f"{stem}.qkv.lora_A.weight": down,
            f"{stem}.qkv.lora_B.weight": up,
            f"{stem}.norm.query_norm.scale": torch.ones(8),
        }
        assert "no known adapter" in refused(flux, tensors)


@pytest.mark.parametrize("name", ["whole.safetensors", "ab" * 32])
def test_a_half_empty_checkpoint_is_not_taken_for_a_model(
    miniature: Any, tmp_path: Path, name: str
) -> None:
    """Files of the checkpoint store are named by their SHA-256, without an ending."""
    from scanner.miniature.training.formats import single_file_tensors

    tensors = single_file_tensors(miniature)
    path = tmp_path / name
    save_file(
        {
            name: tensor + 0.01 if "diffusion_model" in name else tensor
            for name, tensor in tensors.items()
        },
        path,
    )
    before = digest(miniature)
    with loaded_into(miniature, path, "checkpoint", "Miniature", str(BASE_MODEL)) as loaded:
        assert loaded.route == "checkpoint"
        loaded.changes.set_scale(1.0)
        assert digest(miniature) != before
        torch.testing.assert_close(
            miniature.unet.conv_in.weight.data,
            tensors["model.diffusion_model.input_blocks.0.0.weight"] + 0.01,
        )
        loaded.changes.set_scale(None)
        assert digest(miniature) == before
    lacking = {name: tensor for name, tensor in tensors.items() if "output_blocks" not in name}
    save_file(lacking, path)
    with (
        pytest.raises(UnfaithfulLoad),
        loaded_into(miniature, path, "checkpoint", "Miniature", str(BASE_MODEL)),
    ):
        pass
    assert digest(miniature) == before


@pytest.mark.parametrize("key", ["emb_params", "<person>", "*"])
def test_textual_inversion_puts_its_rows_where_the_words_are(
    miniature: Any, tmp_path: Path, key: str
) -> None:
    path, table = tmp_path / "someone.safetensors", torch.randn(3, 64)
    save_file({key: table}, path)
    before, vocabulary = digest(miniature), len(miniature.tokenizer)
    with loaded_into(miniature, path, "textual-inversion", "Miniature", "") as loaded:
        [text] = loaded.words.values()
        ids = miniature.tokenizer(f"photo of {text} person").input_ids
        rows = miniature.text_encoder.get_input_embeddings().weight[ids]
        found = [
            number
            for number, row in enumerate(rows)
            if any(torch.equal(row, wanted) for wanted in table)
        ]
        assert len(found) == 3
        torch.testing.assert_close(rows[found], table)
    assert (digest(miniature), len(miniature.tokenizer)) == (before, vocabulary)


def test_textual_inversion_of_another_family_is_refused(miniature: Any, tmp_path: Path) -> None:
    path = tmp_path / "someone.safetensors"
    save_file({"emb_params": torch.randn(3, 768)}, path)
    with (
        pytest.raises(UnfaithfulLoad, match="fit no text encoder"),
        loaded_into(miniature, path, "textual-inversion", "SD1", ""),
    ):
        pass


def test_a_lora_with_its_own_words(miniature: Any, tmp_path: Path) -> None:
    """kohya bundles embeddings; cloneofsimo keeps <s1> beside the numbers."""
    path = tmp_path / "bundle.safetensors"
    stem = f"lora_unet_{DOWN.replace('.', '_')}_attn1_to_q"
    down, up = pair(*weight_of(miniature, f"unet:{DOWN}.attn1.to_q").shape, 1)
    lora = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    save_file({**lora, "bundle_emb.nobody.string_to_param.*": torch.randn(2, 64)}, path)
    with loaded_into(miniature, path, "lora", "Miniature", "") as loaded:
        assert list(loaded.words) == ["learnedword1"]
        assert "nobody" not in str(loaded.words)
    save_file({**lora, "<s1>": torch.randn(64), "<s2>": torch.randn(64)}, path)
    with loaded_into(miniature, path, "lora", "Miniature", "") as loaded:
        assert len(loaded.words) == 2


def test_textual_inversion_of_sdxl_has_a_table_for_each_encoder(tmp_path: Path) -> None:
    sdxl, path = tiny_sdxl(), tmp_path / "someone.safetensors"
    save_file({"clip_l": torch.randn(2, 32), "clip_g": torch.randn(2, 32)}, path)
    before = digest(sdxl)
    with loaded_into(sdxl, path, "textual-inversion", "SDXL", "") as loaded:
        [text] = loaded.words.values()
        for tokenizer, encoder, table in (
            (sdxl.tokenizer, sdxl.text_encoder, "clip_l"),
            (sdxl.tokenizer_2, sdxl.text_encoder_2, "clip_g"),
        ):
            rows = encoder.get_input_embeddings().weight[tokenizer(text).input_ids[1:3]]
            torch.testing.assert_close(rows, load_file(path)[table])
    assert digest(sdxl) == before


def test_kohya_files_of_sdxl_reach_both_text_encoders(loads: Callable[..., None]) -> None:
    sdxl, tensors, expected = tiny_sdxl(), {}, {}
    for seed, (stem, network) in enumerate(
        (("lora_te1", "text_encoder"), ("lora_te2", "text_encoder_2"))
    ):
        encoder = getattr(sdxl, network)
        [path] = [name for name, _ in encoder.named_modules() if name.endswith("layers.0.mlp.fc1")]
        down, up = pair(*weight_of(sdxl, f"{network}:{path}").shape, seed)
        name = f"{stem}_text_model_encoder_layers_0_mlp_fc1"
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        expected[f"{network}:{path}"] = delta_of(down, up)
    loads(sdxl, tensors, expected)


ENDINGS = st.sampled_from(
    [
        ".lora_down.weight",
        ".lora_up.weight",
        ".alpha",
        ".diff",
        ".lokr_w1",
        ".weight",
        ".on_input",
        "",
        ":down",
        "_lora.up.weight",
    ]
)


@given(
    st.lists(st.tuples(st.text(max_size=40), ENDINGS), max_size=8),
    st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3),
)
def test_no_name_is_lost_or_breaks_the_reading(
    names: list[tuple[str, str]], metadata: dict[str, str]
) -> None:
    """Every tensor of a hostile file is part of a module or word, or left over and refused."""
    tensors = {stem + ending: torch.zeros(1) for stem, ending in names}
    try:
        anatomy = anatomy_of(tensors, metadata)
    except UnfaithfulLoad:
        return
    placed = sum(len(parts) for parts in anatomy.modules.values()) + sum(
        len(rows) for rows in anatomy.embeddings.values()
    )
    assert placed + len(anatomy.leftover) == len(tensors)


@given(st.text(max_size=200))
def test_hostile_headers_do_not_break_the_scale(text: str) -> None:
    parts = {"unet.x.lora_A.weight": torch.zeros(2, 2), "unet.x.lora_B.weight": torch.zeros(2, 2)}
    for told in (
        text,
        json.dumps({"unet.lora_alpha": text}),
        json.dumps({"lora_alpha": 4, "alpha_pattern": text}),
    ):
        try:
            anatomy = anatomy_of(parts, {"lora_adapter_metadata": told})
        except UnfaithfulLoad as error:
            assert "the strength is not known" in str(error)
        else:
            assert float(anatomy.modules["unet.x"].get("alpha", torch.tensor(1.0))) > 0
