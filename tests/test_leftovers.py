"""A file with tensors that do not belong to its kind is refused, with their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

from scanner.adapters.checkpoint_names import SINGLE_FILE_FAMILIES, is_harmless
from scanner.adapters.families import find_family
from scanner.adapters.file_parts import parts_of_file
from scanner.adapters.kinds import kind_of
from scanner.adapters.loading import loaded_into
from scanner.errors import NotScannable, UnfaithfulLoad
from scanner.miniature.training.formats import single_file_tensors
from scanner.miniature.world import BASE_MODEL
from scanner.scanning.identify_loop import prompt_words
from scanner.triage.header import triage_file
from tests.conftest import shared
from tests.test_adapter_formats import digest
from tests.tiny_pipelines import tiny_flux, tiny_sd1, tiny_sdxl

Shapes = dict[str, tuple[int, ...]]
TO_Q = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
PERSON: Shapes = {
    f"lora_unet_{TO_Q}.lora_down.weight": (4, 640),
    f"lora_unet_{TO_Q}.lora_up.weight": (640, 4),
}
READER = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
LORA: Shapes = {
    f"lora_unet_{READER}.lora_down.weight": (4, 768),
    f"lora_unet_{READER}.lora_up.weight": (640, 4),
}
DIFFERENCE: Shapes = {f"lora_unet_{READER}.diff": (320, 768)}
FLUX: Shapes = {
    "diffusion_model.double_blocks.0.img_mod.lin.lora_A.weight": (4, 3072),
    "diffusion_model.double_blocks.0.img_mod.lin.lora_B.weight": (18432, 4),
}

UNET = "model.diffusion_model."
BLOCK = f"{UNET}input_blocks.4.1.transformer_blocks.0."
CLIP = "text_model.encoder.layers.0.self_attn.q_proj.weight"
OPEN_CLIP = "transformer.resblocks.0.attn.in_proj_weight"


def whole(width: int, *encoders: str) -> Shapes:
    return {
        f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
        f"{UNET}time_embed.0.weight": (1280, 320),
        f"{BLOCK}attn2.to_k.weight": (640, width),
        f"{BLOCK}ff.net.0.proj.bias": (5120,),
        f"{UNET}middle_block.1.norm.weight": (1280,),
        f"{UNET}out.2.bias": (4,),
        "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
        "first_stage_model.encoder.mid.attn_1.proj_out.weight": (512, 512, 1, 1),
        "first_stage_model.post_quant_conv.weight": (4, 4, 1, 1),
        **dict.fromkeys(encoders, (768, 768)),
    }


MODELS = {
    "SD1": whole(768, f"cond_stage_model.transformer.{CLIP}"),
    "SD2": whole(1024, f"cond_stage_model.model.{OPEN_CLIP}"),
    "SDXL": whole(
        2048,
        f"conditioner.embedders.0.transformer.{CLIP}",
        f"conditioner.embedders.1.model.{OPEN_CLIP}",
    ),
}
# Tensors of real files that AUTOMATIC1111's model toolkit and stable-diffusion.cpp list as not
# needed.
HARMLESS: Shapes = {
    **dict.fromkeys(
        (
            "betas",
            "alphas_cumprod",
            "alphas_cumprod_prev",
            "sqrt_alphas_cumprod",
            "sqrt_one_minus_alphas_cumprod",
            "log_one_minus_alphas_cumprod",
            "sqrt_recip_alphas_cumprod",
            "sqrt_recipm1_alphas_cumprod",
            "posterior_variance",
            "posterior_log_variance_clipped",
            "posterior_mean_coef1",
            "posterior_mean_coef2",
            "logvar",
            "denoiser.sigmas",
        ),
        (1000,),
    ),
    "model_ema.decay": (),
    "model_ema.num_updates": (),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": (1, 77),
    "conditioner.embedders.0.transformer.text_model.embeddings.position_ids": (1, 77),
    "cond_stage_model.logit_scale": (),
    "cond_stage_model.model.logit_scale": (),
    "conditioner.embedders.1.model.logit_scale": (),
    "cond_stage_model.text_projection": (768, 768),
    "cond_stage_model.transformer.text_projection.weight": (768, 768),
}


@pytest.mark.parametrize("family", MODELS)
def test_a_model_of_its_own_tensors_stands_with_what_says_nothing_of_images(family: str) -> None:
    finding = find_family(MODELS[family], {})
    assert (kind_of(MODELS[family]), finding.family, finding.problem) == (
        "checkpoint",
        family,
        None,
    )
    # The two spellings of one projection stand in no file together.
    other = "cond_stage_model." if family == "SDXL" else "conditioner."
    for name, shape in HARMLESS.items():
        assert (
            name.startswith(other)
            or find_family({**MODELS[family], name: shape}, {}).problem is None
        ), name


BESIDE = {
    "an adapter": PERSON,
    "an adapter in PEFT's names": {f"unet.{TO_Q.replace('_', '.')}.lora_A.weight": (4, 640)},
    "an adapter of its text encoder": {
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 768)
    },
    "an adapter inside its prefix": {f"{BLOCK}attn2.to_k.lora_down.weight": (4, 768)},
    "a LoKr": {f"lora_unet_{TO_Q}.lokr_w1": (4, 4)},
    "a difference": {f"lora_unet_{TO_Q}.diff": (640, 640)},
    "a learned word": {"emb_params": (4, 768)},
    "a learned word by name": {"<ohwx>": (768,)},
    "learned words bundled": {"bundle_emb.ohwx.string_to_param.*": (4, 768)},
    "its weights once more": {"model_ema.diffusion_modelinput_blocks00weight": (320, 4, 3, 3)},
    "a model in diffusers' names": {"unet.conv_in.weight": (320, 4, 3, 3)},
    "a ControlNet": {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "a block that it has not by that name": {
        f"{UNET}input_blocks.4.2.transformer_blocks.0.attn9.to_k.weight": (1, 1)
    },
    "a second text encoder": {"embedding_manager.embedder.transformer.x.weight": (768, 768)},
    "a layer for few steps": {f"{UNET}time_embedding.cond_proj.weight": (320, 256)},
    "a mark of another prediction": {"v_pred": ()},
    "a harmless name with much in it": {"denoiser.sigmas": (1280, 768)},
    "scales of quantised weights": {"scaled_fp8": (0,), f"{BLOCK}attn2.to_k.scale_weight": ()},
}


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE.keys())
def test_a_model_with_something_beside_it_is_refused_with_its_names(
    family: str, beside: Shapes
) -> None:
    for shapes in ({**MODELS[family], **beside}, {**beside, **MODELS[family]}):
        finding = find_family(shapes, {})
        assert kind_of(shapes) == "checkpoint"
        assert set(finding.leftovers) == set(beside)
        assert next(iter(beside)) in str(finding.problem)


def test_one_tensor_under_two_spellings_is_a_second_one() -> None:
    old = f"cond_stage_model.transformer.{CLIP.removeprefix('text_model.')}"
    assert old in str(find_family({**MODELS["SD1"], old: (768, 768)}, {}).problem)


def test_the_reason_says_what_the_rest_is() -> None:
    def told(*names: str) -> str:
        return str(find_family({**MODELS["SD1"], **dict.fromkeys(names, ())}, {}).problem)

    assert "second set of the model's weights" in told("model_ema.diffusion_modelout2bias")
    assert "quantised" in told("scaled_fp8", f"{BLOCK}attn2.to_k.scale_weight")
    assert "velocity" in told("v_pred", "ztsnr")
    assert "another program may draw" in told("model_ema.diffusion_modelout2bias", "emb_params")


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({"lora_unet_unet_attn2_to_k_lora_down.weight": (4, 768)}, "loaders find nothing"),
        ({"unet.down_blocks.0.attn1.to_q.oft_R.weight": (4, 28)}, "PEFT's own form of OFT"),
        ({"unet.down_blocks.0.attn1.to_q.oft_R.person.weight": (4, 28)}, "PEFT's own form of OFT"),
    ],
)
def test_forms_that_are_not_sampled_are_told_by_their_own_reason(shapes: Shapes, told: str) -> None:
    assert told in str(find_family(shapes, {}).problem)


ADAPTERS: list[tuple[str, Shapes, Shapes]] = [
    ("a learned word's output", LORA, {"emb_params_out": (4, 768)}),
    (
        "a second table for the word",
        {**LORA, "bundle_emb.a.emb_params": (4, 768)},
        {"bundle_emb.a.string_to_param.*": (4, 768)},
    ),
    ("a model's weights", LORA, {"unet.conv_in.weight": (320, 4, 3, 3), "conv_out.bias": (4,)}),
    ("a VAE", LORA, {"decoder.conv_in.weight": (512, 4, 3, 3)}),
    ("a text encoder", LORA, {f"text_encoder.{CLIP}": (768, 768)}),
    ("a Flux.1 model", LORA, {"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}),
    ("a difference of the same module", LORA, DIFFERENCE),
    (
        "a LoKr of the same module",
        {f"lora_unet_{READER}.lokr_w1": (4, 4), f"lora_unet_{READER}.lokr_w2": (80, 192)},
        {f"lora_unet_{READER}.diff": (320, 768)},
    ),
    (
        "a whole factor beside a product",
        {f"lora_unet_{READER}.lokr_w1": (16, 16), f"lora_unet_{READER}.lokr_w2": (20, 48)},
        {f"lora_unet_{READER}.lokr_w2_a": (20, 4), f"lora_unet_{READER}.lokr_w2_b": (4, 48)},
    ),
    (
        "two biases",
        {**LORA, f"lora_unet_{READER}.diff_b": (320,)},
        {f"lora_unet_{READER}.lora_B.bias": (320,)},
    ),
    (
        "two adapters by PEFT's names",
        {
            "unet.down_blocks.0.attn2.to_k.lora_A.clean.weight": (4, 768),
            "unet.down_blocks.0.attn2.to_k.lora_B.clean.weight": (320, 4),
        },
        {
            "unet.down_blocks.0.attn2.to_k.lora_A.person.weight": (4, 768),
            "unet.down_blocks.0.attn2.to_k.lora_B.person.weight": (320, 4),
        },
    ),
    (
        "an unnamed second one",
        {
            "unet.down_blocks.0.attn2.to_k.lora_A.weight": (4, 768),
            "unet.down_blocks.0.attn2.to_k.lora_B.weight": (320, 4),
        },
        {
            "unet.down_blocks.0.attn2.to_k.lora_down.weight": (4, 768),
            "unet.down_blocks.0.attn2.to_k.lora_up.weight": (320, 4),
        },
    ),
    ("norms beside Flux.1", FLUX, {"double_blocks.0.img_attn.norm.query_norm.scale": (128,)}),
    ("a mystery", FLUX, {"mystery": (3,)}),
]


@pytest.mark.parametrize(
    ("own", "rest"), [row[1:] for row in ADAPTERS], ids=[row[0] for row in ADAPTERS]
)
def test_an_adapter_with_something_beside_it_is_refused_with_its_names(
    own: Shapes, rest: Shapes, tmp_path: Path
) -> None:
    assert find_family(own, {}).leftovers == ()
    path = tmp_path / "two.safetensors"
    save_numpy({name: np.zeros(shape, np.float16) for name, shape in {**own, **rest}.items()}, path)
    triage = triage_file(path)
    assert triage.kind not in ("checkpoint", "unknown", "textual-inversion")
    assert set(triage.leftovers) == set(rest)
    assert any(next(iter(triage.leftovers)) in problem for problem in triage.problems)
    assert triage.doubt is not None


def test_what_trainers_keep_in_one_adapter_file_is_all_explained() -> None:
    words = {
        "bundle_emb.ohwx.clip_l": (2, 768),
        "bundle_emb.ohwx.clip_g": (2, 1280),
        "<s1>": (768,),
    }
    beside = {"emb_params": (4, 768)}  # ai-toolkit's
    encoder = {
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 768),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": (3072, 4),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": (),
    }
    bias = {
        f"lora_unet_{READER}.alpha": (),
        f"lora_unet_{READER}.dora_scale": (320, 1),
        f"lora_unet_{READER}.diff_b": (320,),
    }
    for more in ({**words, **encoder, **bias}, {**beside, **encoder}):
        assert find_family({**LORA, **more}, {}).leftovers == ()


def test_real_adapters_have_nothing_left_over() -> None:
    for path in sorted((shared("lora_files") / "keylists").glob("*.json")):
        assert triage_file(path).leftovers == () or "control" in path.name, path.name
    control = triage_file(shared("lora_files") / "keylists" / "flux_control_lora_format.json")
    assert "needs an image" in str(control.doubt)
    for path in shared("lora_files").glob("*.safetensors"):
        assert triage_file(path).doubt is None


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({"<clean>": (768,), "<person>": (768,)}, "<person>"),
        ({"clean": (4, 768), "person": (2, 768)}, "person"),
        ({"emb_params": (4, 768), "<person>": (768,)}, "<person>"),
        ({"<clean>": (768,), "string_to_param.*": (4, 768)}, "<clean>"),
        (
            {"emb_params": (4, 768), "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)},
            "first_stage_model",
        ),
    ],
)
def test_two_words_in_one_file_are_refused(shapes: Shapes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "word.safetensors"
    save_numpy({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, path)
    triage = triage_file(path)
    assert triage.kind == "textual-inversion"
    assert told in str(triage.doubt)
    with (
        pytest.raises(UnfaithfulLoad, match=r"word|input"),
        loaded_into(tiny_sd1(), path, "textual-inversion", "SD1", ""),
    ):
        pass


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        (
            {"decoder.conv_in.weight": (512, 4, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)},
            "vae",
        ),
        ({"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}, "vae"),
        (
            {
                "encoder.down_blocks.0.resnets.0.conv1.weight": (1, 1, 3, 3),
                "decoder.conv_in.weight": (1, 1, 3, 3),
                "encoder.conv_in.weight": (1, 1, 3, 3),
            },
            "vae",
        ),
        ({CLIP: (768, 768)}, "text-encoder"),
        (
            {"encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096), "scaled_fp8": (0,)},
            "text-encoder",
        ),
        ({"model.layers.0.self_attn.q_proj.weight": (2560, 2560)}, "text-encoder"),
    ],
)
def test_parts_of_a_model_are_named_and_not_examined(
    shapes: Shapes, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "part.safetensors"
    save_numpy(
        {name: np.zeros((1,) * len(shape), np.float16) for name, shape in shapes.items()}, path
    )
    triage = triage_file(path)
    assert (triage.kind, triage.family) == (kind, "unknown")
    [problem] = triage.problems
    assert "alone" in problem
    with_person = find_family({**shapes, **PERSON}, {})
    assert set(with_person.leftovers) >= set(shapes)


def test_a_beginning_of_a_header_leaves_nothing_over_that_the_rest_may_explain() -> None:
    cut = {"lora_unet_x.weight": (320, 1), **LORA}  # its on_input comes later
    assert find_family(cut, {}).leftovers == ("lora_unet_x.weight",)
    assert find_family(cut, {}, complete=False).problem is None


@pytest.fixture(scope="module")
def miniature() -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(BASE_MODEL, safety_checker=None)


def test_a_whole_model_with_a_person_beside_it_is_not_loaded(
    miniature: Any, tmp_path: Path
) -> None:
    tensors, path = single_file_tensors(miniature), tmp_path / "whole.safetensors"
    before = digest(miniature)
    beside = [
        {f"lora_unet_{TO_Q}.lora_down.weight": torch.zeros(2, 2)},
        {"model_ema.diffusion_modelout2bias": torch.zeros(4)},
        {
            f"{UNET}input_blocks.9.0.in_layers.0.weight": torch.zeros(64)
        },  # of that model's names, and beyond its blocks
        {"first_stage_model.decoder.up.7.block.0.norm1.weight": torch.zeros(64)},
    ]
    for more in beside:
        save_file({**tensors, **more}, path)
        with (
            pytest.raises(UnfaithfulLoad, match=r"nothing here explains|passed over"),
            loaded_into(miniature, path, "checkpoint", "Miniature", str(BASE_MODEL)),
        ):
            pass
    save_file(
        {**tensors, "alphas_cumprod": torch.zeros(1000), "model_ema.decay": torch.tensor(0.9)}, path
    )
    with loaded_into(miniature, path, "checkpoint", "Miniature", str(BASE_MODEL)) as loaded:
        assert loaded.route == "checkpoint"
    assert digest(miniature) == before


def test_two_names_of_one_module_are_refused(tmp_path: Path) -> None:
    """kohya's loader reads the first and PEFT's the second; their sum may be nothing."""
    sd1, flux, sdxl = tiny_sd1(), tiny_flux(), tiny_sdxl()
    sd1_path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    twice: list[tuple[Any, str, str]] = [
        (sd1, f"lora_unet_{sd1_path.replace('.', '_')}", f"unet.{sd1_path}"),
        (sd1, f"unet.{sd1_path}", f"base_model.model.{sd1_path}"),
        (
            sdxl,
            "lora_te1_text_model_encoder_layers_0_mlp_fc1",
            "text_encoder.text_model.encoder.layers.0.mlp.fc1",
        ),
        (
            flux,
            "lora_unet_double_blocks_1_img_attn_qkv",
            "transformer.transformer_blocks.1.attn.to_k",
        ),
    ]
    for pipeline, one, other in twice:
        path = tmp_path / "twice.safetensors"
        tensors = {}
        for stem in (one, other):
            tensors |= {
                f"{stem}.lora_down.weight": torch.zeros(1, 8),
                f"{stem}.lora_up.weight": torch.zeros(8, 1),
            }
        save_file(tensors, path)
        with (
            pytest.raises(UnfaithfulLoad, match="two names of one module"),
            loaded_into(pipeline, path, "lora", "any", ""),
        ):
            pass


def test_every_word_that_a_file_brings_is_asked_for_alone_too() -> None:
    assert prompt_words([]) == []
    assert prompt_words(["one"]) == ["one"]
    assert prompt_words(["one", "two"]) == ["one two", "one", "two"]
    with pytest.raises(NotScannable, match="24 learned words"):
        prompt_words([f"word{number}" for number in range(24)])


NAMES = st.sampled_from(
    [
        *LORA,
        *PERSON,
        *FLUX,
        *DIFFERENCE,
        *MODELS["SDXL"],
        *HARMLESS,
        "emb_params",
        "clip_l",
        "<s1>",
        "x.weight",
        "x.on_input",
        "x.alpha",
        "x.lokr_w1",
        "x.lokr_w1_a",
        "x.oft_blocks.0",
        "x.oft_blocks.2",
        "bundle_emb.a.clip_l",
    ]
)


@given(st.dictionaries(NAMES, st.just((4, 768)), max_size=8))
def test_no_tensor_of_any_mixture_is_passed_over(shapes: Shapes) -> None:
    """Each tensor belongs to the file's kind, is harmless, or is among the names of the refusal."""
    kind, finding = kind_of(shapes), find_family(shapes, {})
    parts = parts_of_file(shapes)
    placed = [
        name
        for group in (parts.modules, parts.words)
        for one in group.values()
        for name in one.values()
    ]
    assert sorted([*placed, *parts.leftover]) == sorted(shapes)
    assert bool(finding.leftovers) <= (finding.doubt is not None)
    if kind == "checkpoint" and finding.family in SINGLE_FILE_FAMILIES:
        own = [
            name
            for name in shapes
            if name.startswith((UNET, "first_stage", "cond_stage", "conditioner"))
        ]
        assert set(shapes) <= {
            *own,
            *finding.leftovers,
            *(name for name in shapes if is_harmless(name, shapes[name])),
        }
