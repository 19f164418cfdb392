"""Time the pass over CLIP's vocabulary: `python -m benchmarks.evasion.vocabulary`.

Every token is encoded with an adapter and without it. Time depends on the encoder's size and not on
its weights, so they are random, in the sizes of CLIP-L (SD1) and of CLIP-L with OpenCLIP bigG
(SDXL). Some batches are measured, on a GPU if there is one, and multiplied.
"""

from __future__ import annotations

import platform
import statistics
import time
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel

# Tokens of CLIP's vocabulary; beginning, token and end make three positions.
TOKENS, POSITIONS = 49_408, 3
SIZES = {
    "CLIP-L": {"hidden_size": 768, "intermediate_size": 3072, "layers": 12, "heads": 12},
    "bigG": {"hidden_size": 1280, "intermediate_size": 5120, "layers": 32, "heads": 20},
}


def encoder_of(size: dict[str, int], device: str) -> Any:
    """Return a text encoder of this size with random weights."""
    config = CLIPTextConfig(
        hidden_size=size["hidden_size"],
        intermediate_size=size["intermediate_size"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
    )
    dtype = torch.float16 if device == "cuda" else torch.float32
    return CLIPTextModel(config).to(device, dtype).eval()


@torch.inference_mode()
def seconds_of(encoder: Any, device: str, batch: int, rounds: int = 3) -> float:
    """Return the seconds for encoding the whole vocabulary twice."""
    ids = torch.randint(TOKENS, (batch, POSITIONS), device=device)
    taken = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        encoder(ids).last_hidden_state[:, -1].float().cpu()
        taken.append(time.perf_counter() - started)
    return 2 * statistics.median(taken[1:]) * TOKENS / batch


def main() -> None:
    """Print the seconds for each model."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = 2_048 if device == "cuda" else 256
    name = torch.cuda.get_device_name(0) if device == "cuda" else platform.processor()
    print(f"{name or device}, {torch.get_num_threads()} threads, batches of {batch}")
    seconds = {
        size: seconds_of(encoder_of(numbers, device), device, batch)
        for size, numbers in SIZES.items()
    }
    print(f"SD1 (CLIP-L): {seconds['CLIP-L']:.1f} s")
    print(f"SDXL (CLIP-L and bigG): {sum(seconds.values()):.1f} s")


if __name__ == "__main__":
    main()
