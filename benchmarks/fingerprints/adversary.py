"""What hides a copy, and what does not: `python -m benchmarks.fingerprints.adversary [--only N]`.

A LoRA of the held-out people is changed on purpose. Printed are the cosine with the original and
whether it is still related. Retraining goes on from the weights with another person's photos.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file, save_file

from benchmarks.fingerprints.changes import (
    Modules,
    Tensors,
    in_naming,
    merged,
    modules_of,
    resized,
    rotated,
)
from benchmarks.fingerprints.trainings import subject
from benchmarks.likeness.build import folder_of
from scanner.fingerprints.fingerprint import fingerprint_of
from scanner.fingerprints.fingerprint_store import KnownFile
from scanner.fingerprints.module_names import Network
from scanner.fingerprints.relatives import ListSearch, relatives_of
from scanner.miniature.training import adapter
from scanner.miniature.world import BASE_MODEL

# A PEFT LoRA of rank 8, and others to add to it.
_FILE, _OTHER = "person_01", "stranger_01"
_STEPS = (10, 25, 50, 100, 200, 300)
_ANOTHER = 31_001
_HEADS = 4


def changes(modules: Modules, other: Modules) -> Iterator[tuple[str, Modules]]:
    yield "rotated inside the rank", rotated(modules, 3)
    yield "ranks in another order", _each(modules, lambda up, down: (up.flip(1), down.flip(0)))
    yield "all strengths negated", _each(modules, lambda up, down: (-up, down))
    yield "rotated, resized to half, half strength", resized(rotated(modules, 3), 0.5)
    for strength in (0.5, 1.0, 2.0, 4.0, 8.0):
        yield (
            f"an unrelated adapter added, {strength:g} x as strong",
            _added(modules, other, strength),
        )
    for noise in (0.1, 0.3, 1.0):
        yield f"noise of {noise:.0%} of each factor's spread", _noisy(modules, noise)
    for share in (0.3, 0.6, 0.9):
        yield f"the smallest {share:.0%} of each factor set to 0", _pruned(modules, share)
    yield "heads of query and key permuted", _permuted(modules)


def _each(modules: Modules, change: Any) -> Modules:
    made: Modules = {}
    for path, parts in modules.items():
        up, down = change(parts["lora_up"], parts["lora_down"])
        made[path] = {"lora_up": up.contiguous(), "lora_down": down.contiguous()}
    return made


def _length(modules: Modules) -> float:
    products = (
        parts["lora_up"].flatten(1) @ parts["lora_down"].flatten(1) for parts in modules.values()
    )
    return float(sum(product.square().sum() for product in products)) ** 0.5


def _added(modules: Modules, other: Modules, strength: float) -> Modules:
    scale = strength * _length(modules) / _length(other)
    return merged([modules, other], [1.0, scale])


def _noisy(modules: Modules, share: float) -> Modules:
    generator = torch.Generator().manual_seed(9)

    def change(up: torch.Tensor, down: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(
            part + torch.randn(part.shape, generator=generator) * part.std() * share
            for part in (up, down)
        )  # type: ignore[return-value]

    return _each(modules, change)


def _pruned(modules: Modules, share: float) -> Modules:
    def kept(part: torch.Tensor) -> torch.Tensor:
        limit = part.abs().flatten().kthvalue(max(1, int(part.numel() * share))).values
        return torch.where(part.abs() > limit, part, torch.zeros_like(part))

    return _each(modules, lambda up, down: (kept(up), kept(down)))


def _permuted(modules: Modules) -> Modules:
    """Heads in another order; on the public base model such a file draws noise."""
    made = dict(modules)
    for path, parts in modules.items():
        if path.endswith(("to_q", "to_k")):
            up = parts["lora_up"]
            heads = up.reshape(-1, _HEADS, *up.shape[1:]).flip(0).reshape(up.shape)
            made[path] = {**parts, "lora_up": heads.contiguous()}
    return made


def retrained(tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    """The file after some steps with another person's photos, at the rate that trained it."""
    torch.manual_seed(1)
    pipeline = adapter.load_for_training(BASE_MODEL)
    config = LoraConfig(
        r=8, lora_alpha=8, target_modules=list(adapter.TARGET_MODULES), init_lora_weights="gaussian"
    )
    pipeline.unet.add_adapter(config)
    own = {name.removeprefix("unet."): tensor.float() for name, tensor in tensors.items()}
    set_peft_model_state_dict(pipeline.unet, own)
    trained = [one for one in pipeline.unet.parameters() if one.requires_grad]
    done = 0
    for steps in _STEPS:
        schedule = adapter.Schedule(steps - done, 3e-3, 7 + steps)
        adapter.fit(pipeline, trained, [subject(_ANOTHER, "qqww")], schedule)
        done = steps
        yield f"retrained for {steps} steps", adapter.peft_tensors(pipeline.unet)


def known_of(tensors: Tensors, name: str, folder: Path) -> KnownFile:
    path = folder / "changed.safetensors"
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, path)
    return KnownFile(name, None, name, fingerprint_of(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    folder = folder_of("held-out")
    tensors = load_file(folder / f"{_FILE}.safetensors")
    modules = modules_of(tensors)
    other = modules_of(load_file(folder / f"{_OTHER}.safetensors"))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        original = known_of(tensors, "original", place)
        search = ListSearch([original])

        def tell(what: str, changed: Tensors) -> None:
            known = known_of(changed, "changed", place)
            found = relatives_of(known, search)
            sketches = [
                one.fingerprint.sketches[Network.DENOISER].direction() for one in (known, original)
            ]
            relation = str(found[0].relation) if found else "not related"
            print(f"{what:48} {float(np.dot(*sketches)):7.3f}  {relation}", flush=True)

        for what, made in changes(modules, other):
            tell(what, in_naming(made, "kohya"))
        if not options.no_training:
            for what, changed in retrained(tensors):
                tell(what, changed)


if __name__ == "__main__":
    main()
