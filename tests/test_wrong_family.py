"""An adapter is never sampled on a family that its tensors do not fit; wrong words are noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from crawlers.listing import Listing, listing_from_dict
from face_index.consent import Consent
from scanner.adapters.declared_families import (
    declared_by_listing,
    declared_in_header,
    families_named,
)
from scanner.adapters.families import family_by_tensors, find_family, narrowed
from scanner.errors import NotScannable
from scanner.sampling.base_models import (
    Declared,
    choose_base_model,
    declared_in,
    description_of,
    known_families,
)
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.scan import run_scan
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.triage.header import triage_file, triage_from_dict, with_listing
from tests.conftest import NOON, Silent
from tests.opening import open_session
from tests.test_pipeline import enrol

Shapes = dict[str, tuple[int, ...]]
AB = (".lora_A.weight", ".lora_B.weight")


def lora(
    sizes: dict[str, tuple[int, int]],
    ends: tuple[str, str] = (".lora_down.weight", ".lora_up.weight"),
) -> Shapes:
    shapes: Shapes = {}
    for stem, (out, inner) in sizes.items():
        shapes |= {f"{stem}{ends[0]}": (1, inner), f"{stem}{ends[1]}": (out, 1)}
    return shapes


def kohya(path: str, blocks: range, size: tuple[int, int]) -> Shapes:
    return lora({f"lora_unet_{path.replace('#', str(number))}": size for number in blocks})


def dotted(prefix: str, path: str, blocks: range, size: tuple[int, int]) -> Shapes:
    return lora({f"{prefix}{path.replace('#', str(number))}": size for number in blocks}, AB)


def factors(path: str) -> Shapes:
    return {f"{path}.lokr_w1": (32, 32), f"{path}.lokr_w2": (96, 96)}


WHOLE_FLUX = {
    **dotted("diffusion_model.", "double_blocks.#.img_attn.qkv", range(19), (9216, 3072)),
    **dotted("diffusion_model.", "single_blocks.#.linear2", range(38), (3072, 15360)),
}
MODULATED = {
    **WHOLE_FLUX,
    **dotted("diffusion_model.", "double_blocks.#.img_mod.lin", range(19), (18432, 3072)),
}
SELF_ATTENTION = kohya(
    "down_blocks_1_attentions_0_transformer_blocks_#_attn1_to_q", range(1), (640, 640)
)
KLEIN_ATTENTION = kohya("double_blocks_#_img_attn_proj", range(5), (3072, 3072))
LTX = dotted("transformer.", "transformer_blocks.#.attn2.to_k", range(28), (2048, 2048))
SD1 = kohya("down_blocks_1_attentions_#_transformer_blocks_0_attn2_to_k", range(2), (640, 768))
SDXL = kohya("down_blocks_2_attentions_1_transformer_blocks_#_attn2_to_k", range(10), (1280, 2048))

TOLD: list[tuple[str, Shapes, dict[str, str], str, str | None]] = [
    (
        "klein, feed-forward",
        kohya("double_blocks_#_txt_mlp_0", range(1), (18432, 3072)),
        {},
        "Flux.2",
        "Flux.2 Klein 4B",
    ),
    (
        "klein, fused single",
        dotted(
            "transformer.",
            "single_transformer_blocks.#.attn.to_qkv_mlp_proj",
            range(2),
            (27648, 3072),
        ),
        {},
        "Flux.2",
        "Flux.2 Klein 4B",
    ),
    (
        "klein 9B, PEFT",
        dotted("base_model.model.", "single_blocks.#.linear1", range(2), (36864, 4096)),
        {},
        "Flux.2",
        "Flux.2 Klein 9B",
    ),
    (
        "klein, attention, header",
        KLEIN_ATTENTION,
        {"ss_base_model_version": "flux_2_klein_4b"},
        "Flux.2",
        "Flux.2 Klein 4B",
    ),
    (
        "klein, attention, only the trainer",
        KLEIN_ATTENTION,
        {"ss_network_module": "networks.lora_flux_2"},
        "Flux.2",
        "Flux.2 Klein 4B",
    ),
    (
        "klein, attention, specification",
        KLEIN_ATTENTION,
        {"modelspec.architecture": "Flux.2-klein-4b/lora"},
        "Flux.2",
        "Flux.2 Klein 4B",
    ),
    ("Chroma, header", WHOLE_FLUX, {"ss_base_model_version": "chroma"}, "Chroma", None),
    ("Chroma, OneTrainer", WHOLE_FLUX, {"ot_config": '{"model_type": "CHROMA_1"}'}, "Chroma", None),
    (
        "Chroma, its own layer",
        dotted(
            "diffusion_model.", "distilled_guidance_layer.layers.#.in_layer", range(5), (5120, 5120)
        ),
        {},
        "Chroma",
        None,
    ),
    ("Flux.1, header", WHOLE_FLUX, {"ss_base_model_version": "flux1"}, "Flux.1", None),
    ("Flux.1, trained modulation", MODULATED, {}, "Flux.1", None),
    (
        "Flux.1, trained modulation, unknown words",
        MODULATED,
        {"ss_base_model_version": "my own mix", "modelspec.architecture": "?"},
        "Flux.1",
        None,
    ),
    (
        "Flux.1, one key right and one forgotten",
        MODULATED,
        {"ss_base_model_version": "sd_1.5", "modelspec.architecture": "flux-1-dev/lora"},
        "Flux.1",
        None,
    ),
    (
        "Flux.1 with CLIP",
        {**WHOLE_FLUX, **lora({"lora_te1_text_model_encoder_layers_0_mlp_fc1": (3072, 768)})},
        {},
        "Flux.1",
        None,
    ),
    (
        "HunyuanVideo whole",
        {
            **dotted("transformer.", "transformer_blocks.#.attn.to_q", range(20), (3072, 3072)),
            **dotted(
                "transformer.", "single_transformer_blocks.#.attn.to_q", range(40), (3072, 3072)
            ),
        },
        {},
        "HunyuanVideo",
        None,
    ),
    (
        "MageFlow, header",
        dotted(
            "diffusion_model.", "transformer_blocks.#.img_mlp.net.0.proj", range(12), (12288, 3072)
        ),
        {"ss_base_model_version": "mageflow"},
        "MageFlow",
        None,
    ),
    (
        "Qwen-Image whole",
        dotted("", "transformer_blocks.#.attn.add_k_proj", range(60), (3072, 3072)),
        {},
        "Qwen-Image",
        None,
    ),
    ("LTX-Video", LTX, {}, "LTX-Video", "LTX-Video 2B"),
    (
        "PixArt",
        dotted("transformer.", "transformer_blocks.#.attn2.to_k", range(28), (1152, 1152)),
        {"modelspec.architecture": "pixart-sigma/lora"},
        "PixArt",
        None,
    ),
    (
        "HiDream",
        dotted(
            "diffusion_model.",
            "double_stream_blocks.#.block.ff_i.shared_experts.w1",
            range(2),
            (3584, 2560),
        ),
        {},
        "HiDream",
        None,
    ),
    (
        "AuraFlow",
        dotted("transformer.", "joint_transformer_blocks.#.attn.to_q", range(4), (3072, 3072)),
        {},
        "AuraFlow",
        None,
    ),
    ("Kolors, header", SDXL, {"modelspec.architecture": "kolors/lora"}, "Kolors", None),
    (
        "SVD",
        dotted(
            "unet.",
            "down_blocks.0.attentions.0.temporal_transformer_blocks.#.attn2.to_k",
            range(1),
            (320, 1024),
        ),
        {},
        "SVD",
        None,
    ),
    (
        "SDXL, Pony's own words",
        SDXL,
        {
            "ss_base_model_version": "sdxl_base_v1-0",
            "ss_sd_model_name": "ponyDiffusionV6XL.safetensors",
        },
        "SDXL",
        None,
    ),
    (
        "SDXL, only self-attention",
        kohya(
            "down_blocks_2_attentions_0_transformer_blocks_#_attn1_to_q", range(10), (1280, 1280)
        ),
        {},
        "SDXL",
        None,
    ),
    (
        "OneTrainer's T5 beside a transformer",
        {**MODULATED, **lora({"lora_te2_encoder_block_0_layer_0_SelfAttention_k": (4096, 4096)})},
        {},
        "Flux.1",
        None,
    ),
    (
        "a language model's layers are no CLIP",
        lora(
            {
                "lora_te_layers_0_self_attn_q_proj": (2048, 1024),
                "lora_te_layers_0_mlp_gate_proj": (3072, 1024),
            }
        ),
        {},
        "unknown",
        None,
    ),
]


@pytest.mark.parametrize(
    ("shapes", "metadata", "family", "model"),
    [row[1:] for row in TOLD],
    ids=[row[0] for row in TOLD],
)
def test_tensors_and_header_tell_the_family(
    shapes: Shapes, metadata: dict[str, str], family: str, model: str | None
) -> None:
    finding = find_family(shapes, metadata)
    assert (finding.family, finding.model, finding.problem) == (family, model, None)


SHARED: list[tuple[str, Shapes, dict[str, str], set[str]]] = [
    ("klein's attention", KLEIN_ATTENTION, {}, {"Flux.2 Klein 4B", "Flux.1", "Chroma"}),
    (
        "klein's attention under diffusers' names",
        dotted("transformer.", "transformer_blocks.#.attn.to_q", range(0, 4, 2), (3072, 3072)),
        {},
        {"Flux.2 Klein 4B", "Flux.1", "Qwen-Image"},
    ),
    (
        "the same hidden in factors",
        factors("lycoris_transformer_blocks_0_attn_to_q"),
        {},
        {"Flux.2 Klein 4B", "Flux.1", "Qwen-Image"},
    ),
    ("Chroma or Flux.1", WHOLE_FLUX, {}, {"Flux.1", "Chroma"}),
    (
        "Chroma or Flux.1, by the trainer",
        WHOLE_FLUX,
        {"ss_network_module": "networks.lora_flux"},
        {"Flux.1", "Chroma"},
    ),
    (
        "LTX-Video or LTX-2",
        dotted("transformer.", "transformer_blocks.#.attn1.to_q", range(48), (4096, 4096)),
        {},
        {"LTX-Video 13B", "LTX-2"},
    ),
    (
        "SD3 in two sizes",
        kohya("joint_blocks_#_x_block_attn_qkv", range(24), (4608, 1536)),
        {},
        {"SD3 Medium", "SD3.5 Medium"},
    ),
    (
        "rotations of SD1 and SD2",
        {f"{next(iter(SD1)).rpartition('.lora')[0]}.oft_blocks": (4, 160, 160)},
        {},
        {"SD1", "SD2"},
    ),
    (
        "CLIP alone",
        lora(
            {
                "lora_te1_text_model_encoder_layers_0_mlp_fc1": (3072, 768),
                "lora_te2_text_model_encoder_layers_0_mlp_fc1": (5120, 1280),
            }
        ),
        {},
        {"SDXL", "SD3"},
    ),
]


@pytest.mark.parametrize(
    ("shapes", "metadata", "families"), [row[1:] for row in SHARED], ids=[row[0] for row in SHARED]
)
def test_what_several_models_share_is_refused_with_their_names(
    shapes: Shapes, metadata: dict[str, str], families: set[str]
) -> None:
    finding = find_family(shapes, metadata)
    assert families <= set(finding.fits)
    assert all(name in str(finding.problem) for name in families)


CONTRADICTIONS: list[tuple[str, Shapes, dict[str, str], tuple[str, str]]] = [
    ("SDXL told, SD1 there", SD1, {"ss_base_model_version": "sdxl_base_v1-0"}, ("SDXL", "SD1")),
    (
        "Flux.1 told, klein there",
        kohya("single_blocks_#_linear1", range(20), (27648, 3072)),
        {"ss_base_model_version": "flux1"},
        ("Flux.1", "Flux.2 Klein 4B"),
    ),
    (
        "dev told, klein there",
        kohya("single_blocks_#_linear1", range(20), (27648, 3072)),
        {"ss_base_model_version": "flux_2_dev"},
        ("Flux.2 dev", "Flux.2 Klein 4B"),
    ),
    (
        "Chroma told, Flux.1 there",
        MODULATED,
        {"ss_base_model_version": "chroma"},
        ("Chroma", "Flux.1"),
    ),
    *(
        (f"{word} told, SDXL there", SDXL, {"ss_base_model_version": word}, (family, "SDXL"))
        for word, family in (
            ("flux", "Flux.1"),
            ("Flux", "Flux.1"),
            ("black-forest-labs/FLUX.1-dev", "Flux.1"),
            ("runwayml/stable-diffusion-v1-5", "SD1"),
            ("lodestones/Chroma1-HD", "Chroma"),
            ("Wan-AI/Wan2.1-T2V-1.3B", "Wan 1.3B"),
            ("https://huggingface.co/Qwen/Qwen-Image/", "Qwen-Image"),
            ("C:\\models\\flux1-dev.safetensors", "Flux.1"),
        )
    ),
    (
        "the specification with an owner",
        SDXL,
        {"modelspec.architecture": "black-forest-labs/FLUX.1-dev/lora"},
        ("Flux.1", "SDXL"),
    ),
    (
        "a transformer told, a UNet's names",
        SELF_ATTENTION,
        {"ss_base_model_version": "flux1"},
        ("Flux.1", "SD1"),
    ),
    (
        "the bare word told, a UNet's names",
        SELF_ATTENTION,
        {"ss_base_model_version": "flux"},
        ("Flux.1", "SD1"),
    ),
    (
        "a UNet told, a transformer's names",
        kohya("double_blocks_#_img_attn_qkv", range(2), (7, 7)),
        {"ss_base_model_version": "sdxl_base_v1-0"},
        ("SDXL", "double_blocks_0_img_attn_qkv"),
    ),
    (
        "a header that contradicts itself",
        WHOLE_FLUX,
        {"ss_base_model_version": "flux1", "modelspec.architecture": "chroma/lora"},
        ("Chroma", "Flux.1"),
    ),
]


@pytest.mark.parametrize(
    ("shapes", "metadata", "both"),
    [row[1:] for row in CONTRADICTIONS],
    ids=[row[0] for row in CONTRADICTIONS],
)
def test_a_header_against_the_tensors_is_noted_with_both_named(
    shapes: Shapes, metadata: dict[str, str], both: tuple[str, str]
) -> None:
    finding = find_family(shapes, metadata)
    said = finding.doubt or finding.note or finding.problem
    assert said is not None
    assert all(name in said for name in both)
    # What the words say makes no model fit.
    assert set(finding.fits) <= set(family_by_tensors(shapes).fits)


def test_a_word_that_no_measured_model_has_is_not_taken_for_a_mistake() -> None:
    """Stable Cascade's modules are not known, so the tensors cannot prove that it is none."""
    finding = find_family(SDXL, {"ss_base_model_version": "stable-cascade"})
    assert finding.doubt is not None
    assert "Stable Cascade" in finding.doubt


ENCODER = lora(
    {
        f"lora_te_text_model_encoder_layers_{number}_self_attn_q_proj": (768, 768)
        for number in range(12)
    }
)


@pytest.mark.parametrize("word", ["Flux.1 D", "SDXL 1.0", "SD 3.5"])
def test_text_encoders_contradict_no_word(word: str) -> None:
    """Flux.1, SDXL and SD3 read prompts with SD1's text encoder too."""
    listing = declared_by_listing(word)
    assert listing is not None
    for shapes in (ENCODER, {"emb_params": (4, 768)}):
        told = narrowed(find_family(shapes, {}), listing)
        assert told.note is None
        assert told.problem is not None or set(told.fits) & set(listing.families)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (SDXL, ("kwai-kolors", "SDXL 1.0")),
    ],
)
def test_words_for_a_twin_and_its_main_model_leave_both(
    shapes: Shapes, words: tuple[str, str]
) -> None:
    listing = declared_by_listing(words[1])
    assert listing is not None
    told = narrowed(find_family(shapes, {"ss_base_model_version": words[0]}), listing)
    assert len(told.fits) == 2
    assert told.note is None


def test_header_and_listing_that_name_two_models_that_fit_leave_both() -> None:
    listing = declared_by_listing("Chroma")
    assert listing is not None
    told = find_family(WHOLE_FLUX, {"ss_base_model_version": "flux1"})
    assert told.fits == ("Flux.1",)
    both = narrowed(told, listing)
    assert set(both.fits) == {"Flux.1", "Chroma"}
    assert "alike" in str(both.problem)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modelspec.architecture": "flux-1-dev/lora"},
        {"ss_network_module": "networks.lora_flux"},
        {"ot_config": '{"model_type": "FLUX_DEV_1"}'},
    ],
)
def test_a_wrong_word_beside_a_right_one_is_noted(
    wrong: dict[str, str],
) -> None:
    finding = find_family(SDXL, {"ss_base_model_version": "sdxl_base_v1-0", **wrong})
    assert (finding.family, finding.fits, finding.problem) == ("SDXL", ("SDXL",), None)
    assert finding.note is not None
    assert "mislabelled: the metadata claims Flux.1" in finding.note
    assert "SDXL" in finding.note


def test_one_kind_of_blocks_in_two_spellings_settles_nothing() -> None:
    """The first five blocks of Flux.1, half of them in another trainer's names."""
    flat = kohya("double_blocks_#_img_attn_proj", range(5), (3072, 3072))
    dotted_too = dotted("diffusion_model.", "double_blocks.#.txt_attn.proj", range(5), (3072, 3072))
    of_class = dotted("transformer.", "transformer_blocks.#.attn.to_q", range(5), (3072, 3072))
    for shapes in ({**flat, **dotted_too}, {**of_class, **dotted_too}):
        assert "alike" in str(find_family(shapes, {}).problem)


@pytest.mark.parametrize(
    ("shapes", "word", "named"),
    [
        (WHOLE_FLUX, "black-forest-labs/FLUX.1-Fill-dev", "Flux.1 Fill"),
        (WHOLE_FLUX, "FLUX.1-Canny-dev", "Flux.1 control"),
        (WHOLE_FLUX, "Chroma1-Radiance", "Chroma Radiance"),
        (SD1, "sd_1.5_inpainting", "SD1 inpainting"),
        (SDXL, "segmind/Segmind-Vega", "Vega"),
    ],
)
def test_a_sibling_that_is_named_is_not_taken_for_the_main_model(
    shapes: Shapes, word: str, named: str
) -> None:
    finding = find_family(shapes, {"ss_base_model_version": word})
    if finding.problem is None:
        assert finding.model == named
        with pytest.raises(NotScannable, match=named):
            choose_base_model(finding.family, None, Declared(model=finding.model))
    else:
        assert named in finding.problem


def test_a_newline_in_a_name_costs_no_time() -> None:
    """It took a minute, and 144 kB of names took quadratically longer."""
    assert find_family({"blocks.1." * 100_000 + "\nx.diff": (4, 4)}, {}).family == "unknown"


def test_a_language_model_is_no_clip() -> None:
    shapes = lora({f"text_encoder.model.layers.{n}.self_attn.q_proj": (1024, 1024) for n in (0, 1)})
    assert find_family(shapes, {}).family == "unknown"


def test_the_bare_word_settles_nothing_among_models_of_its_kind() -> None:
    assert {"Flux.1", "Chroma"} <= set(
        find_family(WHOLE_FLUX, {"ss_base_model_version": "flux"}).fits
    )
    assert "alike" in str(find_family(WHOLE_FLUX, {"ss_base_model_version": "flux"}).problem)
    assert find_family(MODULATED, {"ss_base_model_version": "Flux"}).problem is None


@pytest.mark.parametrize(
    "word",
    ["stabilityai/stable-diffusion-xl-base-1.0", "sdxl_base_v1-0", "SDXL 1.0", "some-owner/sdxl"],
)
def test_a_right_word_with_an_owner_stands(word: str) -> None:
    for shapes in (SDXL, SELF_ATTENTION):
        finding = find_family(shapes, {"ss_base_model_version": word})
        assert (finding.family, finding.problem) == ("SDXL", None)


@pytest.mark.parametrize(
    "shapes",
    [
        kohya("something_#_to_q", range(2), (96, 96)),
        {"text_encoders_0": (2, 768), "text_encoders_1": (2, 1280)},
        lora({"lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (768, 768)}),
    ],
)
def test_a_file_of_unknown_family_has_a_reason(shapes: Shapes, tmp_path: Path) -> None:
    triage = triage_file(written(tmp_path / "a.safetensors", shapes))
    assert triage.family == "unknown"
    assert any("family" in one for one in triage.problems)


def written(path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> Path:
    save_file(
        {name: np.zeros(shape, np.float16) for name, shape in shapes.items()},
        path,
        metadata=metadata,
    )
    return path


@pytest.mark.parametrize(
    ("base_model", "family", "problem"),
    [
        ("Flux.1 D", "Flux.1", None),
        ("Flux.1 Krea", "Flux.1", None),
        ("black-forest-labs/FLUX.1-dev", "Flux.1", None),
        ("Chroma", "Chroma", None),
        ("Flux.2 Klein 4B", "Flux.2", None),
        ("SDXL 1.0", None, "alike"),
        ("Pony", None, "alike"),
        ("Other", None, "alike"),
        (None, None, "alike"),
        ("wanda/some-mix", None, "alike"),
    ],
)
def test_a_listing_settles_or_contradicts(
    tmp_path: Path, base_model: str | None, family: str | None, problem: str | None
) -> None:
    alone = triage_file(written(tmp_path / "a.safetensors", KLEIN_ATTENTION))
    assert alone.finding.problem in alone.problems
    told = with_listing(alone, base_model)
    if family is not None:
        assert told.family == family
    assert (told.finding.problem is None) == (problem is None)
    assert problem is None or problem in str(told.finding.problem)
    if base_model in ("SDXL 1.0", "Pony"):
        assert f"mislabelled: the listing names SDXL ({base_model})" in str(told.mislabelled)
    assert triage_from_dict(asdict(told)) == told


def test_a_listing_of_wan_says_text_or_image() -> None:
    for word in ("Wan Video 14B i2v 480p", "Wan-AI/Wan2.1-I2V-14B-480P", "Wan Video 14B t2v"):
        for path in ("self_attn_q", "cross_attn_k_img"):
            shapes = kohya(f"blocks_#_{path}", range(40), (5120, 5120))
            listing = declared_by_listing(word)
            assert listing is not None
            finding = narrowed(find_family(shapes, {}), listing)
            assert (finding.family, finding.problem) == ("Wan", None)
    assert families_named("Wan 2.5") == families_named("Wan 3.0") == ()


# Civitai's list of base models (basemodel.constants.ts), and the family or size that each means.
CIVITAI = {
    "SD1": "SD 1.4|SD 1.5|SD 1.5 LCM|SD 1.5 Hyper",
    "SD2": "SD 2.0|SD 2.0 768|SD 2.1|SD 2.1 768|SD 2.1 Unclip",
    "SDXL": "SDXL 0.9|SDXL 1.0|SDXL 1.0 LCM|SDXL Lightning|SDXL Hyper|SDXL Turbo|SDXL Distilled|"
    "Pony|Illustrious|NoobAI|Playground v2",
    "SD3": "SD 3",
    "SD3.5 Medium": "SD 3.5|SD 3.5 Medium",
    "SD3.5 Large": "SD 3.5 Large|SD 3.5 Large Turbo",
    "Flux.1": "Flux.1 S|Flux.1 D|Flux.1 Krea",
    "Flux.1 Kontext": "Flux.1 Kontext",
    "Flux.2 dev": "Flux.2 D",
    "Flux.2 Klein 9B": "Flux.2 Klein 9B|Flux.2 Klein 9B-base",
    "Flux.2 Klein 4B": "Flux.2 Klein 4B|Flux.2 Klein 4B-base",
    "Chroma": "Chroma",
    "AuraFlow": "AuraFlow|Pony V7",
    "Anima": "Anima",
    "Ernie-Image": "Ernie",
    "HiDream": "HiDream",
    "HiDream-O1": "HiDream-O1",
    "Ideogram 4": "Ideogram 4.0",
    "Krea2": "Krea 2",
    "Kolors": "Kolors",
    "Lumina2": "Lumina",
    "Boogu": "Boogu",
    "MageFlow": "MageFlow",
    "PixArt": "PixArt a|PixArt E",
    "Stable Cascade": "Stable Cascade",
    "Qwen-Image": "Qwen",
    "Qwen-Image-2.1": "Qwen 2.1",
    "Z-Image": "ZImageTurbo",
    "Z-Image Base": "ZImageBase",
    "Wan 1.3B": "Wan Video 1.3B t2v",
    "Wan 14B": "Wan Video 14B t2v|Wan Video 14B i2v 480p|Wan Video 14B i2v 720p",
    "Wan 2.2 14B": "Wan Video 2.2 T2V-A14B|Wan Video 2.2 I2V-A14B",
    "Wan 5B": "Wan Video 2.2 TI2V-5B",
    "Wan": "Wan Video",
    "HunyuanDiT": "Hunyuan 1",
    "HunyuanVideo": "Hunyuan Video",
    "LTX-Video": "LTXV",
    "LTX-2": "LTXV2|LTXV 2.3|LTXV 2.5",
    "MiniMax H3": "MiniMax H3",
    "CogVideoX": "CogVideoX",
    "Mochi": "Mochi",
    "SVD": "SVD|SVD XT",
    "Flux.3": "Flux 3 Video",
    # Services without published weights, models of other things, and words without a meaning.
    "": "Grok|HappyHorse|Imagen4|Nano Banana|OpenAI|MAI|Reve|Muse Image|Seedream|Seedance|Sora 2|"
    "Veo 3|Wan Video 2.5|Wan Video 2.7|Wan Video 3.0|Wan 2.5|Qwen 2|Qwen 3|Vidu Q1|Kling|Other|"
    "Upscaler|ODOR|PolyGen|Tripo|Hunyuan3D|Pixal3D|Trellis.2|ACE Audio|YuE2|Lens",
}


@pytest.mark.parametrize(
    ("words", "family"),
    [(word, name) for name, some in CIVITAI.items() for word in some.split("|")],
)
def test_every_name_of_civitais_list(words: str, family: str) -> None:
    assert next(iter(families_named(words)), "") == family


def test_finetuned_bases_are_still_their_family(tmp_path: Path) -> None:
    alone = triage_file(
        written(tmp_path / "a.safetensors", SDXL, {"ss_base_model_version": "sdxl_1.0"})
    )
    for base_model in (
        "SDXL 1.0",
        "Pony",
        "Illustrious",
        "NoobAI",
        "SDXL Lightning",
        "cagliostrolab/animagine-xl-3.1",
    ):
        told = with_listing(alone, base_model)
        assert (told.family, told.finding.problem) == ("SDXL", None)
    assert "AuraFlow" in str(with_listing(alone, "Pony V7").mislabelled)


def test_a_size_without_a_base_model_is_refused_by_name() -> None:
    for family, model in (
        ("Flux.1", "Flux.1 Fill"),
        ("Wan", "Wan 14B image"),
        ("Wan", "Wan VACE 1.3B"),
    ):
        with pytest.raises(NotScannable, match=f"family not supported: {model}; of {family} only"):
            choose_base_model(family, None, Declared(model=model))
        assert choose_base_model(family, "my/own", Declared(model=model)).location == "my/own"


def test_every_size_of_a_family_has_its_own_base_model() -> None:
    klein = choose_base_model("Flux.2", None, Declared(model="Flux.2 Klein 4B"))
    assert (klein.pipeline, klein.evidence.steps) == ("Flux2KleinPipeline", 4)
    for family, entry in known_families().items():
        models = (entry.get("model", family), *entry.get("sizes", {}))
        bases = [choose_base_model(family, None, Declared(model=model)) for model in models]
        assert len({base.location for base in bases}) == len(models)
        described = [declared_in(family, description_of(base)).model for base in bases]
        assert described == [None, *models[1:]]


@pytest.fixture
def scan_session(settings: Settings) -> Iterator[ScanSession]:
    opened = open_session(settings, clock=lambda: NOON)
    yield opened
    opened.close()


def test_a_scan_fails_what_it_must_not_draw(
    scan_session: ScanSession, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    folder = tmp_path / "uploads"
    folder.mkdir()
    written(
        folder / "hidream.safetensors",
        dotted(
            "diffusion_model.", "single_stream_blocks.#.block.attn1.to_q", range(2), (2560, 2560)
        ),
    )
    written(
        folder / "image.safetensors", kohya("blocks_#_cross_attn_k_img", range(20), (5120, 5120))
    )
    written(folder / "shared.safetensors", KLEIN_ATTENTION)
    written(folder / "video.safetensors", LTX)
    monkeypatch.setattr(
        CheckpointIdentifier, "sampler_for", lambda *_: pytest.fail("no base model may be loaded")
    )
    rows = {
        row["file"]: row for row in run_scan(scan_session, [str(folder)], Silent()).to_json_rows()
    }
    assert {row["outcome"] for row in rows.values()} == {"failed"}
    assert "family not supported: HiDream" in rows["hidream.safetensors"]["reason"]
    assert "family not supported: Wan 14B image" in rows["image.safetensors"]["reason"]
    for name in ("Flux.1", "Chroma", "Flux.2 Klein 4B"):
        assert name in rows["shared.safetensors"]["reason"]
    assert "family not supported: LTX-Video" in rows["video.safetensors"]["reason"]


def test_the_same_bytes_listed_for_another_base_are_judged_by_their_own_listing(
    scan_session: ScanSession, consent: Consent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(scan_session, consent, "Somebody Else")
    folder = tmp_path / "uploads"
    folder.mkdir()
    written(folder / "a.safetensors", SD1)

    def listed(base_model: str) -> str:
        def changed(record: dict[str, object]) -> Listing:
            return replace(listing_from_dict(record), base_model=base_model)

        monkeypatch.setattr("scanner.scanning.item_store.listing_from_dict", changed)
        [row] = run_scan(scan_session, [str(folder)], Silent()).to_json_rows()
        return str(row["reason"])

    monkeypatch.setattr(
        CheckpointIdentifier,
        "sampler_for",
        lambda *_: (_ for _ in ()).throw(NotScannable("was to be drawn")),
    )
    assert listed("SD 1.5") == "was to be drawn"
    assert listed("SDXL 1.0") == (
        "was to be drawn; mislabelled: the listing names SDXL (SDXL 1.0), and the tensors are "
        "those of SD1"
    )
    assert listed("SD 1.5") == "was to be drawn"


@given(st.text(max_size=300))
def test_any_words_name_families_or_nothing(text: str) -> None:
    assert isinstance(families_named(text), tuple)
    keys = ("ss_base_model_version", "modelspec.architecture", "ss_network_module", "ot_config")
    for told in declared_in_header(dict.fromkeys(keys, text)):
        assert told.families
    declared_by_listing(text)


@given(
    st.dictionaries(
        st.from_regex(
            r"(lora_unet_|transformer\.)?(double_blocks|transformer_blocks|layers)[._]\d{1,30}[._][a-z_.]{1,12}(\.lora_down\.weight|\.lokr_w1|\.oft_blocks|\.diff|\.hada_w1_a)?",
            fullmatch=True,
        ),
        st.lists(st.integers(0, 4000), max_size=5).map(tuple),
        max_size=6,
    )
)
def test_hostile_names_and_shapes_end_in_a_finding(shapes: Shapes) -> None:
    finding = find_family(shapes, {"ss_base_model_version": "flux1"})
    assert finding.family
