"""What a tensor of an adapter is, and of which module, by its name.

Without torch, so that headers are read fast.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Endings of tensor names and what the tensor is; the longer ones stand before those they end in.
ENDINGS: tuple[tuple[str, str], ...] = (
    (".lora_linear_layer.down.weight", "lora_down"),
    (".lora_linear_layer.up.weight", "lora_up"),
    (".lora_A.weight", "lora_down"),
    (".lora_B.weight", "lora_up"),
    (".lora_B.bias", "lora_bias"),
    (".lora_down.weight", "lora_down"),
    (".lora_up.weight", "lora_up"),
    (".lora_mid.weight", "lora_mid"),
    (".lora.down.weight", "lora_down"),
    (".lora.up.weight", "lora_up"),
    (".lora_magnitude_vector.weight", "dora_scale"),
    (".lora_magnitude_vector", "dora_scale"),
    (".dora_scale", "dora_scale"),
    (".alpha", "alpha"),
    (".a1.weight", "a1"),
    (".a2.weight", "a2"),
    (".b1.weight", "b1"),
    (".b2.weight", "b2"),
    (".bm.weight", "bm"),
    (".on_input", "on_input"),
    (".oft_blocks", "oft_blocks"),
    (".rescale", "rescale"),
    (".diff_b", "diff_b"),
    (".diff", "diff"),
    (".w_norm", "w_norm"),
    (".b_norm", "b_norm"),
    *((f".hada_{name}", f"hada_{name}") for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *(
        (f".lokr_{name}", f"lokr_{name}")
        for name in ("w1_a", "w1_b", "w1", "w2_a", "w2_b", "w2", "t2")
    ),
)
# diffusers 1 and XLabs have no dot before what the tensor is: to_k_lora.down.weight, qkv_lora1.up.weight.
_PROCESSOR = re.compile(r"^(?P<stem>.+_lora[12]?)\.(?P<end>down|up|alpha)(?:\.weight)?$")
_NUMBERED = re.compile(r"^(?P<stem>(?:unet|text_encoder):\d+):(?P<end>down|up)$")
# Behind the letter stands PEFT's name of the adapter: "default", or what its trainer chose. PEFT takes it out of a file
# that it saves itself; a state dict that was saved as it stands keeps it (peft/utils/save_and_load.py).
_NAMED = re.compile(
    r"^(?P<stem>.+)\.(?:"
    r"lora_(?P<end>A|B|down|up|magnitude_vector)\.[^.]+\.weight"
    r"|lora_(?P<vector>magnitude_vector)\.(?!weight$)[^.]+"
    r"|lora_B\.[^.]+\.(?P<bias>bias)"
    r"|(?P<product>(?:hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)))\.[^.]+)$"
)
_LETTERED = re.compile(r"\.lora_(A|B)\.[^.]+\.(weight|bias)$")
# kohya's OFT for Flux.1 rotates each part of a fused matrix by itself (networks/oft_flux.py).
_ROTATION = re.compile(r"^(?P<stem>.+)\.(?P<what>oft_blocks\.\d{1,3})$")
_PARTS = {
    "down": "lora_down", "up": "lora_up", "alpha": "alpha", "A": "lora_down", "B": "lora_up", "bias": "lora_bias",
    "magnitude_vector": "dora_scale",
}  # fmt: skip


@lru_cache(maxsize=65_536)
def part_of(name: str, endings: tuple[tuple[str, str], ...] = ENDINGS) -> tuple[str, str] | None:
    """The module's name in the file and what the tensor is to it; None for no adapter's name."""
    for pattern in (_PROCESSOR, _NUMBERED):
        if match := pattern.match(name):
            return match["stem"], _PARTS[match["end"]]
    if match := _NAMED.match(name):
        return match["stem"], match["product"] or _PARTS[
            match["end"] or match["vector"] or match["bias"]
        ]
    if match := _ROTATION.match(name):
        return match["stem"], match["what"]
    return next(
        ((name.removesuffix(ending), what) for ending, what in endings if name.endswith(ending)),
        None,
    )


def without_adapter_name(name: str) -> str:
    """The name as PEFT saves it, without what the adapter was called."""
    return _LETTERED.sub(r".lora_\1.\2", name)


def is_numbered_rotation(what: str) -> bool:
    """Whether a part is one of several rotations, each of some rows of the weight."""
    return what.startswith("oft_blocks.")
