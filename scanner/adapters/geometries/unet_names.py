"""UNet module paths in diffusers' names and in the original (LDM, SGM) names that many files use.

The original code numbers `input_blocks`, `middle_block` and `output_blocks`; diffusers names
`down_blocks`, `mid_block` and `up_blocks`. Source: CompVis/latent-diffusion openaimodel.py and
diffusers scripts/convert_diffusers_to_original_stable_diffusion.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)
OUTER = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)


def _blocks(blocks: int, layers: int) -> Iterator[tuple[str, str]]:
    stride = layers + 1
    for block in range(blocks):
        for layer in range(layers):
            numbered = f"input_blocks.{stride * block + layer + 1}"
            yield f"down_blocks.{block}.resnets.{layer}", f"{numbered}.0"
            yield f"down_blocks.{block}.attentions.{layer}", f"{numbered}.1"
        yield (
            f"down_blocks.{block}.downsamplers.0.conv",
            f"input_blocks.{stride * (block + 1)}.0.op",
        )
        for layer in range(stride):
            numbered = f"output_blocks.{stride * block + layer}"
            yield f"up_blocks.{block}.resnets.{layer}", f"{numbered}.0"
            yield f"up_blocks.{block}.attentions.{layer}", f"{numbered}.1"
    for place, number in (("resnets.0", 0), ("attentions.0", 1), ("resnets.1", 2)):
        yield f"mid_block.{place}", f"middle_block.{number}"


def block_starts(blocks: int, layers: int, attending: Collection[int]) -> dict[str, str]:
    """The original path of the beginnings of diffusers paths in the blocks of a UNet.

    Args:
        blocks, layers: number of blocks, and of layers in each.
        attending: numbers of the up blocks with attention, behind which their upsampler stands.
    """
    starts = dict(_blocks(blocks, layers))
    for block in range(blocks):
        starts[f"up_blocks.{block}.upsamplers.0.conv"] = (
            f"output_blocks.{(layers + 1) * block + layers}.{2 if block in attending else 1}.conv"
        )
    return starts


def original_names(paths: Iterable[str], config: Mapping[str, object]) -> dict[str, str]:
    """The original path of each diffusers UNet module path, where the original has one.

    Args:
        paths: such as `down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k`.
        config: the UNet's, for `block_out_channels` and `layers_per_block`.
    """
    known = set(paths)
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    if not isinstance(widths, list | tuple) or not isinstance(layers, int):
        return {}
    attending = {
        block
        for block in range(len(widths))
        if any(path.startswith(f"up_blocks.{block}.attentions.") for path in known)
    }
    starts = block_starts(len(widths), layers, attending)
    outer, resnet = dict(OUTER), dict(RESNET)
    named = {}
    for path in known:
        if path in outer:
            named[path] = outer[path]
            continue
        start = next(
            (start for start in starts if path == start or path.startswith(f"{start}.")), None
        )
        if start is None:
            continue
        rest = path[len(start) + 1 :]
        if ".resnets." in start:
            rest = resnet.get(rest, "")
            if not rest:
                continue
        named[path] = f"{starts[start]}.{rest}" if rest else starts[start]
    return named
