"""Write the modules of every model to data/: `python -m scanner.adapters.geometries.build`.

The classes of diffusers are put on torch's meta device with the configurations of models.toml, so
nothing is downloaded and no weights are made.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from scanner.adapters.geometries.geometry import file_name, models, place_of
from scanner.adapters.geometries.original_names import original_modules
from scanner.adapters.geometries.unet_names import original_names

log = logging.getLogger(__name__)
DATA = Path(__file__).parent / "data"
Sizes = dict[str, tuple[int, int, int]]
"""Outputs, inputs and the numbers of a kernel by path; a norm has no inputs."""


def describe(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of a model."""
    import diffusers
    import torch

    model_class: Any = getattr(diffusers, entry["class"])
    with torch.device("meta"):
        network = model_class(**entry.get("configuration", {}))
    sizes: Sizes = {
        path: (len(weight), weight.shape[1] if weight.ndim > 1 else 0, prod(weight.shape[2:]))
        for path, module in network.named_modules()
        if (weight := getattr(module, "weight", None)) is not None
    }
    if entry["class"].startswith("UNet"):
        original = {
            name: sizes[path] for path, name in original_names(sizes, network.config).items()
        }
    else:
        original = {
            name: (
                sum(sizes[path][0] // parts for path, _, parts in pieces),
                *sizes[pieces[0][0]][1:],
            )
            for name, pieces in original_modules(entry["class"], sizes)
        }
    different = {name: size for name, size in original.items() if sizes.get(name) != size}
    return {
        "class": entry["class"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "modules": by_block(sizes),
        "original_modules": by_block(different),
    }


def by_block(sizes: Sizes) -> dict[str, dict[str, str]]:
    """Return the modules of each group of blocks that have the same modules with the same sizes.

    The keys are blocks, such as `transformer_blocks.0-18`, and "" for modules outside the blocks.
    The sizes are outputs x inputs, of convolutions x the numbers of a kernel; those of norms have
    one number.
    """
    blocks: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for path, (outputs, inputs, kernel) in sizes.items():
        place, number, rest = place_of(path)
        numbers = (outputs, inputs, kernel)[: 1 + (inputs > 0) + (kernel > 1)]
        blocks[place, number][rest] = "x".join(map(str, numbers))
    alike: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for block, modules in blocks.items():
        alike[json.dumps(modules, sort_keys=True)].append(block)
    return {
        " ".join(_ranges(some)): dict(sorted(json.loads(modules).items()))
        for modules, some in sorted(alike.items(), key=lambda pair: min(pair[1]))
    }


def _ranges(blocks: Iterable[tuple[str, int]]) -> list[str]:
    """Return blocks as `place.first-last`; "" for modules outside the blocks."""
    found: list[list[Any]] = []
    for place, number in sorted(blocks):
        if found and place and found[-1][0] == place and found[-1][2] == number - 1:
            found[-1][2] = number
        else:
            found.append([place, number, number])
    return [f"{place}.{first}-{last}" if place else "" for place, first, last in found]


def main() -> None:
    """Write all files."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    DATA.mkdir(exist_ok=True)
    for model, entry in models().items():
        found = describe(entry)
        text = json.dumps(found, indent=1)
        (DATA / file_name(model)).write_text(text + "\n", "utf-8")
        log.info("%s: %.1fB parameters", model, found["parameters"] / 1e9)


if __name__ == "__main__":
    main()
