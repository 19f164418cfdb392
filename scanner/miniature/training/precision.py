"""The precision in which a machine trains fastest."""

from __future__ import annotations

import torch


def training_precision(device: torch.device) -> torch.autocast:
    """bfloat16 if the device has instructions for it.

    A CPU without them emulates it, ten times slower than float32.
    """
    quick = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001
    return torch.autocast(device.type, torch.bfloat16, enabled=quick)
