"""The sampler on tiny random pipelines of every family's real class."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from safetensors.torch import save_file

from scanner.adapters.geometries.geometry import family_of_model
from scanner.adapters.targets import networks_of
from scanner.errors import BaseModelMissing, ImageCheckMissing
from scanner.records import Question
from scanner.sampling.base_models import (
    Accelerator,
    BaseModel,
    Declared,
    Stage,
    choose_base_model,
    known_families,
)
from scanner.sampling.image_check import NothingUnsafe, SafetyChecker, image_check_for
from scanner.sampling.pipeline_arguments import arguments_for
from scanner.sampling.plans import PlanBasis, SamplePlan, plan_samples
from scanner.sampling.sampler import Sampler, _opaque
from tests.tiny_pipelines import (
    PIPELINES,
    tiny_checker,
    tiny_kontext,
    tiny_qwen21,
    tiny_qwen_edit,
    tiny_wan22,
)

MAKERS: dict[str, Callable[[], Any]] = {
    **PIPELINES,
    "Flux.1 Kontext": tiny_kontext,
    "Qwen-Image-Edit": tiny_qwen_edit,
    "Wan 2.2 14B": tiny_wan22,
}
FROM_FOLDERS = ("SD1", "SD2", "SDXL", "SD3", "Flux.1")
LAYERS = {
    "SD1": "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "SD2": "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "SDXL": "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "SD3": "transformer_blocks.0.attn.to_q",
    "Flux.1": "transformer_blocks.0.attn.to_q",
    "Qwen-Image": "transformer_blocks.0.attn.to_q",
    "Z-Image": "layers.0.attention.to_q",
    "Wan": "blocks.0.attn1.to_q",
    "Flux.2": "transformer_blocks.0.attn.to_q",
    "HunyuanImage": "transformer_blocks.0.attn.to_q",
    "Lumina2": "layers.0.attn.to_q",
    "Flux.2 Klein 4B": "transformer_blocks.0.attn.to_q",
    "Chroma": "transformer_blocks.0.attn.to_q",
    "Krea2": "transformer_blocks.0.attn.to_q",
    "HunyuanVideo": "transformer_blocks.0.attn.to_q",
    "Qwen-Image-2.1": "transformer_blocks.0.attn.to_q",
    "Ernie-Image": "layers.0.self_attention.to_q",
    "Ideogram 4": "layers.0.attention.to_q",
    "LTX-2": "transformer_blocks.0.attn1.to_q",
    "Flux.1 Kontext": "transformer_blocks.0.attn.to_q",
    "Qwen-Image-Edit": "transformer_blocks.0.attn.to_q",
    "Wan 2.2 14B": "blocks.0.attn1.to_q",
}
SCREENING = plan_samples(PlanBasis("ab" * 32), "screening", [Question("ohwx")], 3)
CONFIRMATION = plan_samples(PlanBasis("ab" * 32), "evidence", [Question("ohwx")], 2)


@pytest.fixture(autouse=True)
def small_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit enlarges its input to a megapixel, which takes minutes on a CPU."""
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", 32 * 32)
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "CONDITION_IMAGE_SIZE", 32 * 32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every tiny pipeline as a diffusers folder, the way a user brings one."""
    made = {}
    for family in FROM_FOLDERS:
        made[family] = tmp_path_factory.mktemp(family.replace(".", ""))
        MAKERS[family]().save_pretrained(made[family])
    return made


@pytest.fixture
def base_of(folders: dict[str, Path]) -> Callable[[str], BaseModel]:
    def make(family: str) -> BaseModel:
        override = str(folders[family]) if family in folders else None
        whole = family_of_model(family)
        size = None if whole == family else family
        base = choose_base_model(whole, override, Declared(model=size))
        size = 16 if family in folders else 32
        return replace(
            base,
            evidence=Stage("evidence", 2, 2.0, size),
            screening=Stage("screening", 1, 2.0, size),
            decoder=None,
            accelerator=None,
        )

    return make


@pytest.fixture
def sampler_of(base_of: Callable[[str], BaseModel], tmp_path: Path) -> Callable[..., Sampler]:
    def make(family: str, base: BaseModel | None = None, **options: Any) -> Sampler:
        check = options.pop("check", NothingUnsafe())
        return Sampler(base or base_of(family), tmp_path / "cache", "cpu", check, **options)

    return make


def lora_for(sampler: Sampler, family: str, path: Path, strength: float = 3.0) -> Path:
    layer = LAYERS[family]
    network = next(iter(networks_of(sampler._pipeline).values()))
    out, inner = network.get_submodule(layer).weight.shape
    generator = torch.Generator().manual_seed(1)
    stem = f"lora_unet_{layer.replace('.', '_')}"
    tensors = {
        f"{stem}.lora_down.weight": strength * torch.randn(2, inner, generator=generator),
        f"{stem}.lora_up.weight": torch.randn(out, 2, generator=generator),
    }
    save_file(tensors, path)
    return path


def pictures(sampler: Sampler, plans: list[SamplePlan], *, with_adapter: bool = True) -> np.ndarray:
    return np.stack([one.picture for one in sampler.generate(plans, with_adapter=with_adapter)])


@pytest.mark.parametrize("family", MAKERS)
def test_every_family_samples_with_and_without_an_adapter(
    family: str, sampler_of: Callable[..., Sampler], tmp_path: Path
) -> None:
    # Pipelines whose tokenizers are trained in the test are passed directly, the others are loaded
    # from a folder.
    sampler = sampler_of(family, pipeline=None if family in FROM_FOLDERS else MAKERS[family]())
    bare = pictures(sampler, CONFIRMATION)
    size = sampler.base.evidence.size
    assert bare.shape == (2, size, size, 3)
    path = lora_for(sampler, family, tmp_path / "a.safetensors")
    with sampler.adapter(path, "lora") as loaded:
        assert loaded.changes.module_count == (2 if family == "Wan 2.2 14B" else 1)
        with_it, control = (
            pictures(sampler, CONFIRMATION),
            pictures(sampler, CONFIRMATION, with_adapter=False),
        )
        steps = [sampler.one_step(SCREENING, with_adapter=on) for on in (True, False)]
    np.testing.assert_array_equal(control, bare)
    assert (with_it != bare).any()
    assert steps[0].shape == steps[1].shape
    assert (steps[0] != steps[1]).any()
    np.testing.assert_array_equal(pictures(sampler, CONFIRMATION), bare)
    assert sampler.settings["steps"] == 2


def test_a_vision_language_models_processor_needs_no_torchvision(
    base_of: Callable[[str], BaseModel], sampler_of: Callable[..., Sampler], tmp_path: Path
) -> None:
    made = tiny_qwen21()
    made.save_pretrained(tmp_path / "base")
    index = tmp_path / "base" / "model_index.json"
    written = json.loads(index.read_text())
    written["processor"] = ["transformers", "Qwen3VLProcessor"]  # as the hub's repository has it
    index.write_text(json.dumps(written))
    base = replace(base_of("Qwen-Image-2.1"), location=str(tmp_path / "base"))
    loaded = sampler_of("Qwen-Image-2.1", base)
    given = sampler_of("Qwen-Image-2.1", pipeline=made)
    np.testing.assert_array_equal(pictures(loaded, SCREENING), pictures(given, SCREENING))


def test_a_base_model_with_quantised_weights_is_refused(
    base_of: Callable[[str], BaseModel],
    sampler_of: Callable[..., Sampler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # diffusers sets this attribute where a configuration asks for bitsandbytes, torchao or GGUF.
    monkeypatch.setattr(UNet2DConditionModel, "hf_quantizer", object(), raising=False)
    with pytest.raises(BaseModelMissing, match="has quantised weights"):
        sampler_of("SD1", base_of("SD1"))


def test_steps_are_the_stages_even_where_a_configuration_lists_noise_levels(
    sampler_of: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = sampler_of("Qwen-Image-2.1", pipeline=tiny_qwen21())
    called: list[int] = []
    transformer = sampler._pipeline.transformer
    real = transformer.forward
    monkeypatch.setattr(
        transformer, "forward", lambda *args, **rest: (called.append(1), real(*args, **rest))[1]
    )
    pictures(sampler, CONFIRMATION)
    guided = 2 * sampler.base.evidence.steps
    assert len(called) == guided == 4  # its configuration lists five levels


def calls_of(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of the calls that a sampler makes of its pipeline from now on."""
    given: list[dict[str, Any]] = []
    real = type(sampler._pipeline).__call__

    def noting(pipeline: Any, **asked: Any) -> Any:
        given.append(asked)
        return real(pipeline, **asked)

    monkeypatch.setattr(type(sampler._pipeline), "__call__", noting)
    return given


def test_a_model_that_edits_gets_a_grey_image(
    sampler_of: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    for family, maker in (("Flux.1 Kontext", tiny_kontext), ("Qwen-Image-Edit", tiny_qwen_edit)):
        sampler = sampler_of(family, pipeline=maker())
        given = calls_of(sampler, monkeypatch)
        pictures(sampler, CONFIRMATION)
        assert {asked["image"].getcolors()[0][1] for asked in given} == {(128, 128, 128)}
        # Qwen-Image-Edit's pipeline draws one image in a call.
        assert [len(asked["prompt"]) for asked in given] == ([1, 1] if "Qwen" in family else [2])


def test_images_with_opacity_are_put_on_white() -> None:
    image = torch.zeros(1, 4, 1, 2)
    image[0, 3, 0, 0] = 1.0  # opaque black, and nothing
    np.testing.assert_array_equal(_opaque(image)[0, :, 0].T, [[0, 0, 0], [1, 1, 1]])


def test_ideogram_ends_with_little_guidance() -> None:
    base = choose_base_model("Ideogram 4", None)
    asked = arguments_for(
        base,
        base.evidence,
        CONFIRMATION,
        ["a", "b"],
        output="pt",
        accepted={"prompt", "guidance_schedule", "guidance_scale", "max_sequence_length"},
        configuration={},
    )
    assert asked["guidance_schedule"] == [7.0] * 45 + [3.0] * 3  # diffusers' own default
    assert "guidance_scale" not in asked
    assert asked["max_sequence_length"] == 256


def test_families_without_a_pipeline_are_named() -> None:
    import diffusers

    for family, entry in known_families().items():
        assert hasattr(diffusers, entry["pipeline"]), family
        assert (
            choose_base_model(family, None).evidence.steps
            >= choose_base_model(family, None).screening.steps
        )


def test_screening_uses_a_small_decoder_and_an_accelerator_that_are_here(
    base_of: Callable[[str], BaseModel], sampler_of: Callable[..., Sampler], tmp_path: Path
) -> None:
    torch.manual_seed(9)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).save_pretrained(tmp_path / "small")
    plain = sampler_of("SD1")
    (tmp_path / "fast").mkdir()
    lora_for(plain, "SD1", tmp_path / "fast" / "lcm.safetensors")
    accelerator = Accelerator(
        str(tmp_path / "fast"), "lcm.safetensors", "LCMScheduler", Stage("screening", 1, 1.5, 16)
    )
    both = replace(base_of("SD1"), decoder=str(tmp_path / "small"), accelerator=accelerator)
    quick = sampler_of("SD1", both)
    assert quick.settings["screening_decoder"] == str(tmp_path / "small")
    assert quick.settings["screening_accelerator"] == str(tmp_path / "fast")
    path = lora_for(plain, "SD1", tmp_path / "a.safetensors")
    with quick.adapter(path, "lora"), plain.adapter(path, "lora"):
        np.testing.assert_array_equal(pictures(quick, CONFIRMATION), pictures(plain, CONFIRMATION))
        assert (pictures(quick, SCREENING) != pictures(plain, SCREENING)).any()
        np.testing.assert_array_equal(pictures(quick, CONFIRMATION), pictures(plain, CONFIRMATION))
    away = sampler_of(
        "SD1",
        replace(
            both, decoder="nobody/nothing", accelerator=replace(accelerator, repository="nobody/no")
        ),
    )
    assert (away.settings["screening_decoder"], away.settings["screening_accelerator"]) == (
        None,
        None,
    )


def test_memory_that_runs_out_halves_the_batch_and_goes_on(
    sampler_of: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plan_samples(PlanBasis("ab" * 32), "evidence", [Question("ohwx")], 7)
    expected = pictures(sampler_of("SD1"), plans)
    sampler = sampler_of("SD1", batch=8)
    real = type(sampler._pipeline).__call__

    def small(pipeline: Any, prompt: list[str], **rest: Any) -> Any:
        if len(prompt) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pipeline, prompt=prompt, **rest)

    monkeypatch.setattr(type(sampler._pipeline), "__call__", small)
    made = sampler.generate(plans, with_adapter=True)
    assert [one.batch for one in made] == [1, 1, 2, 2, 3, 3, 4]
    differences = np.abs(np.stack([one.picture for one in made]).astype(int) - expected)
    assert differences.max() <= 1

    monkeypatch.setattr(
        type(sampler._pipeline),
        "__call__",
        lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("no")),
    )
    with pytest.raises(torch.OutOfMemoryError, match="one image at a time"):
        sampler.generate(plans, with_adapter=True)


class TestImageCheck:
    def test_what_it_flags_is_blurred_before_anybody_sees_it(
        self, sampler_of: Callable[..., Sampler], tmp_path: Path
    ) -> None:
        tiny_checker(tmp_path / "strict", flags=True)
        tiny_checker(tmp_path / "mild", flags=False)
        strict = sampler_of("SD1", check=SafetyChecker(str(tmp_path / "strict"), tmp_path, "cpu"))
        mild = sampler_of("SD1", check=SafetyChecker(str(tmp_path / "mild"), tmp_path, "cpu"))
        flagged, clean = (
            strict.generate(CONFIRMATION, with_adapter=False),
            mild.generate(CONFIRMATION, with_adapter=False),
        )
        assert [one.flagged for one in flagged] == [True, True]
        assert [one.flagged for one in clean] == [False, False]
        for blurred, sharp in zip(flagged, clean, strict=True):
            assert (
                np.abs(np.diff(blurred.picture.astype(int), axis=0)).mean()
                < np.abs(np.diff(sharp.picture.astype(int), axis=0)).mean() / 2
            )

    def test_without_a_check_a_real_base_model_is_not_sampled(
        self, base_of: Callable[[str], BaseModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ImageCheckMissing, match="nothing is sampled without one"):
            image_check_for(base_of("SD1"), None, tmp_path, "cpu")
        with pytest.raises(ImageCheckMissing):
            image_check_for(base_of("SDXL"), str(tmp_path / "nowhere"), tmp_path, "cpu")
        assert isinstance(
            image_check_for(choose_base_model("Miniature", None), None, tmp_path, "cpu"),
            NothingUnsafe,
        )

    def test_a_check_with_weights_missing_is_no_check(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        tiny_checker(tmp_path / "holed", flags=False)
        weights = tmp_path / "holed" / "model.safetensors"
        kept = {
            name: tensor
            for name, tensor in load_file(weights).items()
            if "concept_embeds" not in name
        }
        save_file(kept, weights, metadata={"format": "pt"})
        with pytest.raises(ImageCheckMissing, match="weights are not in the file"):
            SafetyChecker(str(tmp_path / "holed"), tmp_path, "cpu")


class TestBaseModelChoice:
    def test_declared_by_name_or_hash_before_the_default(self, tmp_path: Path) -> None:
        shelf = tmp_path / "base_models"
        shelf.mkdir()
        save_file({"x": torch.ones(1)}, shelf / "ChilloutMix.safetensors")
        by_name = choose_base_model("SD1", None, Declared("chilloutmix.safetensors", None), shelf)
        assert Path(by_name.location).name == "ChilloutMix.safetensors"
        assert "declared by its name" in by_name.reason
        from crawlers.hashes import sha256_of

        sha256 = sha256_of(shelf / "ChilloutMix.safetensors")
        by_hash = choose_base_model("SD1", None, Declared("other", sha256[:10].upper()), shelf)
        assert Path(by_hash.location).name == "ChilloutMix.safetensors"
        assert "hash" in by_hash.reason
        known = choose_base_model("SDXL", None, Declared(None, "31e35c80fc4829d1"), shelf)
        assert (known.location, "hash" in known.reason) == (
            "stabilityai/stable-diffusion-xl-base-1.0",
            True,
        )
        unknown = choose_base_model("SD1", None, Declared("secret_mix", None), shelf)
        assert "secret_mix is not in the base-models folder" in unknown.reason
        assert (
            choose_base_model("SD1", "mine", Declared("chilloutmix"), shelf).reason
            == "named by the user"
        )

    def test_a_broken_base_model_says_what_to_bring(self, tmp_path: Path) -> None:
        (tmp_path / "broken.safetensors").write_bytes(b"no weights")
        base = choose_base_model("SD1", str(tmp_path / "broken.safetensors"))
        with pytest.raises(BaseModelMissing, match="--base-model"):
            Sampler(base, tmp_path, "cpu", NothingUnsafe())
