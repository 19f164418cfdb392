"""Seconds per checkpoint on a GPU, ours beside the plain way: `python -m benchmarks.gpu [SD1.5 SDXL Flux] [--tiny]`.

Pipelines have the real architectures and sizes with random weights, because speed does not depend on what they draw.
Steps, guidance and sizes of images are those of scanner/sampling/base_models.toml, with a random LoRA of rank 64 as accelerator.
Without a GPU, or with --tiny, everything runs through on miniature sizes, and the times mean nothing.

"ours, clear" is a checkpoint that screening lays aside (two rounds), "ours, match" one that gets a round of evidence
with controls. The plain way is load_lora_weights, sixteen images at thirty steps one at a time and as many controls; two
images of each are measured and multiplied. Peak memory is torch's own count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from scanner.adapters.targets import networks_of
from scanner.miniature.world import BASE_MODEL
from scanner.sampling.base_models import BaseModel, choose_base_model
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.plans import plan_samples
from scanner.sampling.sampler import Sampler

SHA256 = "ab" * 32
PLAIN_IMAGES, PLAIN_STEPS, PLAIN_MEASURED = 16, 30, 2


def words() -> Any:
    return CLIPTokenizer.from_pretrained(BASE_MODEL / "tokenizer")


def clip(width: int, layers: int, heads: int, *, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        vocab_size=49408,
        eos_token_id=words().eos_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def vae(channels: int, widths: tuple[int, ...]) -> Any:
    blocks = len(widths)
    return AutoencoderKL(
        block_out_channels=widths,
        latent_channels=channels,
        layers_per_block=2,
        norm_num_groups=min(32, widths[0]),
        sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        scaling_factor=0.18,
        shift_factor=0.0,
    )


def sd15(tiny: bool) -> Any:
    widths, depth = ((32, 64, 64, 64), 1) if tiny else ((320, 640, 1280, 1280), 12)
    width = 64 if tiny else 768
    unet = UNet2DConditionModel(
        cross_attention_dim=width, block_out_channels=widths, attention_head_dim=8, sample_size=64
    )
    return StableDiffusionPipeline(
        vae=vae(4, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        text_encoder=clip(width, depth, 4 if tiny else 12),
        tokenizer=words(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(tiny: bool) -> Any:
    first, second, layers = (64, 64, 1) if tiny else (768, 1280, 12)
    unet = UNet2DConditionModel(
        cross_attention_dim=first + second,
        block_out_channels=(32, 64, 64) if tiny else (320, 640, 1280),
        sample_size=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
        transformer_layers_per_block=(1, 1, 1) if tiny else (1, 2, 10),
        attention_head_dim=4 if tiny else (5, 10, 20),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + second,
    )
    return StableDiffusionXLPipeline(
        vae=vae(4, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        text_encoder=clip(first, layers, 4 if tiny else 12),
        text_encoder_2=clip(second, 1 if tiny else 32, 4 if tiny else 20, projected=True),
        tokenizer=words(),
        tokenizer_2=words(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
    )


def flux(tiny: bool) -> Any:
    size = (
        {
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "axes_dims_rope": (4, 4, 8),
        }
        if tiny
        else {}
    )
    width, joint = (64, 64) if tiny else (768, 4096)
    transformer = FluxTransformer2DModel(
        guidance_embeds=True, joint_attention_dim=joint, pooled_projection_dim=width, **size
    )
    t5 = T5Config(
        vocab_size=49408,
        d_model=joint,
        d_kv=64,
        d_ff=10240 if not tiny else 64,
        num_layers=24 if not tiny else 1,
        num_heads=64 if not tiny else 2,
        feed_forward_proj="gated-gelu",
    )
    return FluxPipeline(
        vae=vae(16, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        transformer=transformer,
        text_encoder=clip(width, 1 if tiny else 12, 4 if tiny else 12),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer=words(),
        tokenizer_2=words(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


# How each is made, and its family in scanner/sampling/base_models.toml.
SIZES: dict[str, tuple[Callable[[bool], Any], str]] = {
    "SD1.5": (sd15, "SD1"),
    "SDXL": (sdxl, "SDXL"),
    "Flux": (flux, "Flux.1"),
}


class Measured:
    """Wall seconds of a function, the device waited for, median of rounds after a warm-up."""

    def __init__(self, device: str, rounds: int) -> None:
        self.device, self.rounds = device, rounds

    def __call__(self, function: Callable[[], object], warm: int = 1) -> float:
        taken = []
        for turn in range(warm + self.rounds):
            self.wait()
            started = time.perf_counter()
            function()
            self.wait()
            if turn >= warm:
                taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def random_lora(pipeline: Any, path: Path, seed: int, rank: int = 16) -> Path:
    """A kohya LoRA on every attention and feed-forward layer of the denoiser, as trainers write them."""
    generator = torch.Generator().manual_seed(seed)
    network = next(iter(networks_of(pipeline).values()))
    tensors = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear) and any(
            part in name for part in ("attn", "ff", "to_", "proj_mlp")
        ):
            stem = (
                f"lora_unet_{name.replace('.', '_')}"
                if hasattr(pipeline, "unet")
                else f"transformer.{name}"
            )
            down, up = (
                (".lora_down.weight", ".lora_up.weight")
                if hasattr(pipeline, "unet")
                else (".lora_A.weight", ".lora_B.weight")
            )
            tensors[stem + down] = (
                0.05 * torch.randn(rank, module.in_features, generator=generator)
            ).half()
            tensors[stem + up] = (
                0.01 * torch.randn(module.out_features, rank, generator=generator)
            ).half()
    save_file(tensors, path)
    return path


def ours(sampler: Sampler, path: Path, *, match: bool) -> None:
    with sampler.adapter(path, "lora"):
        first = plan_samples(SHA256, "screening", ["ohwx"], 4, 0)
        sampler.one_step(first[:1], with_adapter=True)
        sampler.one_step(first[:1], with_adapter=False)
        # Both rounds at once, as the examiner asks for them on a GPU.
        sampler.generate(
            [*first, *plan_samples(SHA256, "screening", [None], 4, 4)], with_adapter=True
        )
        if not match:
            return
        evidence = plan_samples(SHA256, "evidence", ["ohwx"], 6, 0)
        sampler.generate(evidence, with_adapter=True)
        sampler.generate(evidence, with_adapter=False)


@contextmanager
def fresh_peak(device: str) -> Any:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    yield


def base_for(
    name: str, pipeline: Any, folder: Path, *, tiny: bool, screening_size: int | None
) -> BaseModel:
    """The family's settings, with a small decoder and an accelerator made on the spot."""
    base = choose_base_model(SIZES[name][1], str(folder))
    assert base.accelerator is not None
    AutoencoderTiny(latent_channels=pipeline.vae.config.latent_channels).to(
        pipeline.dtype
    ).save_pretrained(folder / "small")
    random_lora(pipeline, folder / base.accelerator.file, 3, rank=64)
    evidence, screening = base.evidence.size, screening_size or base.screening.size
    if tiny:
        evidence = screening = 64
    quick = replace(
        base.accelerator,
        repository=str(folder),
        stage=replace(base.accelerator.stage, size=screening),
    )
    return replace(
        base,
        evidence=replace(base.evidence, size=evidence),
        screening=replace(base.screening, size=screening),
        accelerator=quick,
        decoder=str(folder / "small"),
        checked_images=True,
        configuration="",
    )


class Told(dict[str, float]):
    """Figures by what they are of, printed as they come."""

    def __setitem__(self, what: str, value: float) -> None:
        super().__setitem__(what, value)
        print(f"| {what} | {value:.3g} |", flush=True)


def measure(name: str, device: str, options: argparse.Namespace) -> dict[str, float]:
    tiny = options.tiny
    dtype = (
        torch.float32 if device == "cpu" else torch.bfloat16 if name == "Flux" else torch.float16
    )
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        pipeline = SIZES[name][0](tiny)
    torch.set_default_dtype(before)
    pipeline.to(device)
    # Its tables were made on the device like everything above; pipelines expect them where they can be read.
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    folder = Path(tempfile.mkdtemp())
    base = base_for(name, pipeline, folder, tiny=tiny, screening_size=options.screening_size)
    adapters = [random_lora(pipeline, folder / f"{seed}.safetensors", seed) for seed in (1, 2)]
    timed, told = Measured(device, options.rounds), Told()
    print(
        f"\n| {name}, {base.evidence.size} pixels, screening {base.screening.size} | seconds |\n|---|---|"
    )
    # First, while the pipeline is as diffusers made it.
    plain = 0.0 if options.only_clear else _plain(pipeline, adapters[0], base, timed)
    with fresh_peak(device):
        sampler = Sampler(base, folder, device, NothingUnsafe(), pipeline=pipeline)
        sampler.one_step(plan_samples(SHA256, "screening", ["ohwx"], 4, 0), with_adapter=False)
        # The first file runs as usual and the second is recorded, for each shape.
        told["ours, clear"] = timed(lambda: ours(sampler, adapters[0], match=False), warm=2)
        if not options.only_clear:
            told["plain way"] = plain
            told["plain / ours, clear"] = told["plain way"] / told["ours, clear"]
            _parts(sampler, pipeline, adapters, timed, told)
            told["ours, match"] = timed(lambda: ours(sampler, adapters[0], match=True), warm=1)
            told["plain / ours, match"] = told["plain way"] / told["ours, match"]
        if options.compiled:
            sampler.compile()
            told["ours, clear, compiled"] = timed(
                lambda: ours(sampler, adapters[0], match=False), warm=2
            )
        if device == "cuda":
            told["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    return told


def _parts(
    sampler: Sampler, pipeline: Any, adapters: list[Path], timed: Measured, told: Told
) -> None:
    """What loading and decoding cost, each way."""

    def merge(path: Path) -> None:
        with sampler.adapter(path, "lora"):
            pass  # merged when it was loaded, and restored afterwards

    def reload(path: Path) -> None:
        pipeline.load_lora_weights(str(path), adapter_name="one")
        pipeline.unload_lora_weights()

    told["exact merge and restore"] = timed(lambda: merge(adapters[0]))
    told["load_lora_weights and unload"] = timed(lambda: reload(adapters[0]))
    try:
        pipeline.enable_lora_hotswap(target_rank=16)
        pipeline.load_lora_weights(str(adapters[0]), adapter_name="one")
        told["hotswap"] = timed(
            lambda: pipeline.load_lora_weights(str(adapters[1]), adapter_name="one", hotswap=True)
        )
        pipeline.unload_lora_weights()
    except (NotImplementedError, RuntimeError, ValueError) as error:
        print(f"hotswap: {str(error).splitlines()[0]}")
    plans = plan_samples(SHA256, "screening", ["ohwx"], 4, 0)
    told["four screening images, small decoder"] = timed(
        lambda: sampler.generate(plans, with_adapter=False)
    )
    full = Sampler(
        replace(sampler.base, decoder=None),
        Path(),
        sampler.device,
        NothingUnsafe(),
        pipeline=pipeline,
    )
    told["four screening images, full decoder"] = timed(
        lambda: full.generate(plans, with_adapter=False)
    )


def _plain(pipeline: Any, path: Path, base: BaseModel, timed: Measured) -> float:
    size = base.evidence.size

    def images() -> None:
        for number in range(PLAIN_MEASURED):
            pipeline(
                prompt="photo of ohwx person",
                num_inference_steps=PLAIN_STEPS,
                guidance_scale=base.evidence.guidance,
                width=size,
                height=size,
                generator=torch.Generator().manual_seed(number),
                output_type="np",
            )

    timed.wait()
    started = time.perf_counter()
    pipeline.load_lora_weights(str(path), adapter_name="plain")
    timed.wait()
    loading = time.perf_counter() - started
    for network in networks_of(pipeline).values():
        network.to(network.dtype)
    with_adapter = timed(images)
    pipeline.unload_lora_weights()
    return loading + (with_adapter + timed(images)) * PLAIN_IMAGES / PLAIN_MEASURED


def as_newer_torch_draws() -> None:
    """Half-precision noise as torch draws it from 2.12 on: in float32 and rounded. Before, it takes ten times as long."""
    usual = torch.randn

    def drawn(*size: Any, dtype: torch.dtype | None = None, **more: Any) -> torch.Tensor:
        quick = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
        noise = usual(*size, dtype=quick, **more)
        return noise if dtype is None else noise.to(dtype)

    torch.randn = drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only-clear", action="store_true", help="only what screening lays aside")
    parser.add_argument("--screening-size", type=int, help="pixels, instead of the family's")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="also compiled; the first shape takes a minute or more",
    )
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options.tiny = options.tiny or device == "cpu"
    machine = (
        torch.cuda.get_device_name(0)
        if device == "cuda"
        else "no GPU: miniature sizes, the times mean nothing"
    )
    print(f"{machine}, torch {torch.__version__}")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 12):
        print(
            "this torch is older than the oldest supported one, 2.12; noise is drawn as 2.12 does it"
        )
        as_newer_torch_draws()
    record: dict[str, Any] = {"machine": machine, "tiny": options.tiny}
    for name in options.sizes:
        record[name] = measure(name, device, options)
        if device == "cuda":
            torch.cuda.empty_cache()
    print(json.dumps(record))


if __name__ == "__main__":
    main()
