"""Compare the seconds per checkpoint on a GPU with those of the plain way.

`python -m benchmarks.gpu [SD1.5 SDXL Flux Z-Image Klein-4B Qwen-Image] [--tiny]`. Pipelines have
the real architectures and sizes with random weights, because speed does not depend on the images.
Steps, guidance and image sizes are those of scanner/sampling/base_models.toml, with a random LoRA
of rank 64 as accelerator and a random small decoder for families that have them.
Without a GPU, or with --tiny, all sizes are miniature, and the times mean nothing.

"ours, clear" is a checkpoint that screening finds clear (four samples of its
trigger, two without it, of its negative and at another size), "ours, match" one with a
round of evidence and controls. The plain way is load_lora_weights, sixteen images at thirty steps
one at a time and as many controls; two images of each are measured and multiplied. Peak memory is
torch's count.
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
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from benchmarks.gpu_pipelines import SIZES
from scanner.adapters.targets import networks_of
from scanner.records import Question
from scanner.sampling.base_models import BaseModel, Declared, choose_base_model
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.sampling.sampler import Sampler

SHA256 = "ab" * 32
PLAIN_IMAGES, PLAIN_STEPS, PLAIN_MEASURED = 16, 30, 2


class Measured:
    """Median of the wall seconds of a function after a warm-up, including the device's work."""

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
    """A random LoRA on every attention and feed-forward layer of the denoiser."""
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
        first = plan_samples(PlanBasis(SHA256), "screening", [Question("ohwx")], 4)
        sampler.one_step(first[:1], with_adapter=True)
        sampler.one_step(first[:1], with_adapter=False)
        # In shared batches, as the identifier requests them.
        others = [Question(None), Question("ohwx", -1.0), Question("ohwx", size_share=1.25)]
        second = plan_samples(PlanBasis(SHA256), "screening", others, 2, first)
        sampler.generate([*first, *second], with_adapter=True)
        if not match:
            return
        evidence = plan_samples(PlanBasis(SHA256), "evidence", [Question("ohwx")], 6)
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
    """The family's settings, with a random small decoder and a random accelerator."""
    _, family, size = SIZES[name]
    base = choose_base_model(family, str(folder), Declared(model=size))
    if base.decoder is not None:
        AutoencoderTiny(latent_channels=pipeline.vae.config.latent_channels).to(
            pipeline.dtype
        ).save_pretrained(folder / "small")
        base = replace(base, decoder=str(folder / "small"))
    evidence, screening = base.evidence.size, screening_size or base.screening.size
    if tiny:
        evidence = screening = 64
    quick = base.accelerator
    if quick is not None:
        random_lora(pipeline, folder / quick.file, 3, rank=64)
        quick = replace(quick, repository=str(folder), stage=replace(quick.stage, size=screening))
    return replace(
        base,
        evidence=replace(base.evidence, size=evidence),
        screening=replace(base.screening, size=screening),
        accelerator=quick,
        checked_images=True,
        configuration="",
    )


class Figures(dict[str, float]):
    """Figures by name, printed when they are set."""

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        print(f"| {name} | {value:.3g} |", flush=True)


def measure(name: str, device: str, options: argparse.Namespace) -> dict[str, float]:
    tiny = options.tiny
    dtype = (
        torch.float32
        if device == "cpu"
        else torch.float16
        if name in ("SD1.5", "SDXL")
        else torch.bfloat16
    )
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        pipeline = SIZES[name][0](tiny)
    torch.set_default_dtype(before)
    pipeline.to(device)
    # Its tables were made on the device; pipelines expect them on the CPU.
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    folder = Path(tempfile.mkdtemp())
    base = base_for(name, pipeline, folder, tiny=tiny, screening_size=options.screening_size)
    adapters = [random_lora(pipeline, folder / f"{seed}.safetensors", seed) for seed in (1, 2)]
    timed, figures = Measured(device, options.rounds), Figures()
    sizes = f"{base.evidence.size} pixels, screening {base.screening.size}"
    print(f"\n| {name}, {sizes} | seconds |\n|---|---|")
    # Measured first, before the sampler changes the pipeline.
    plain = 0.0 if options.only_clear else _plain(pipeline, adapters[0], base, timed)
    with fresh_peak(device):
        sampler = Sampler(base, folder, device, NothingUnsafe(), pipeline=pipeline)
        sampler.one_step(
            plan_samples(PlanBasis(SHA256), "screening", [Question("ohwx")], 4), with_adapter=False
        )
        # For each shape the first file runs normally and the second is recorded.
        figures["ours, clear"] = timed(lambda: ours(sampler, adapters[0], match=False), warm=2)
        if not options.only_clear:
            figures["plain way"] = plain
            figures["plain / ours, clear"] = figures["plain way"] / figures["ours, clear"]
            _parts(sampler, pipeline, adapters, timed, figures)
            figures["ours, match"] = timed(lambda: ours(sampler, adapters[0], match=True), warm=1)
            figures["plain / ours, match"] = figures["plain way"] / figures["ours, match"]
        if device == "cuda":
            figures["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    return figures


def _parts(
    sampler: Sampler, pipeline: Any, adapters: list[Path], timed: Measured, figures: Figures
) -> None:
    """The seconds of loading and decoding, each way."""

    def merge(path: Path) -> None:
        with sampler.adapter(path, "lora"):
            pass  # Loading merges it, and leaving the block restores the originals.

    def reload(path: Path) -> None:
        pipeline.load_lora_weights(str(path), adapter_name="one")
        pipeline.unload_lora_weights()

    figures["exact merge and restore"] = timed(lambda: merge(adapters[0]))
    figures["load_lora_weights and unload"] = timed(lambda: reload(adapters[0]))
    try:
        pipeline.enable_lora_hotswap(target_rank=16)
        pipeline.load_lora_weights(str(adapters[0]), adapter_name="one")
        figures["hotswap"] = timed(
            lambda: pipeline.load_lora_weights(str(adapters[1]), adapter_name="one", hotswap=True)
        )
        pipeline.unload_lora_weights()
    except (NotImplementedError, RuntimeError, ValueError) as error:
        print(f"hotswap: {str(error).splitlines()[0]}")
    plans = plan_samples(PlanBasis(SHA256), "screening", [Question("ohwx")], 4)
    figures["four screening images, small decoder"] = timed(
        lambda: sampler.generate(plans, with_adapter=False)
    )
    full = Sampler(
        replace(sampler.base, decoder=None),
        Path(),
        sampler.device,
        NothingUnsafe(),
        pipeline=pipeline,
    )
    figures["four screening images, full decoder"] = timed(
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
    """Draw half-precision noise in float32 and round it, as torch 2.12 does.

    Older versions of torch take ten times as long.
    """
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
    parser.add_argument(
        "--only-clear", action="store_true", help="only checkpoints that screening finds clear"
    )
    parser.add_argument("--screening-size", type=int, help="pixels, instead of the family's")
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
            "this torch is older than 2.12, the oldest supported version; noise is drawn as by 2.12"
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
