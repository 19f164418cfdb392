"""Original module paths of Flux.1, SD3 and Wan, and the rows of diffusers modules that they mean.

The originals have query, key and value in one matrix, diffusers in three. The two halves of some
modulations are swapped. Sources: diffusers loaders/single_file_utils.py,
scripts/convert_flux_to_diffusers.py and scripts/convert_wan_to_diffusers.py; Wan-Video/Wan2.1
wan/modules/model.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

Piece = tuple[str, int | None, int]
"""A module path, the index of a part of its rows (None for all), and the number of equal parts."""

Pieces = tuple[Piece, ...]


def _whole(*paths: str) -> Pieces:
    return tuple((path, None, 1) for path in paths)


def _swapped(path: str) -> Pieces:
    return ((path, 1, 2), (path, 0, 2))


def flux_names(config: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
    """Every module of a Flux.1 transformer by its original path."""
    yield "img_in", _whole("x_embedder")
    yield "txt_in", _whole("context_embedder")
    for original, renamed in (
        ("time_in", "timestep"),
        ("vector_in", "text"),
        ("guidance_in", "guidance"),
    ):
        yield f"{original}.in_layer", _whole(f"time_text_embed.{renamed}_embedder.linear_1")
        yield f"{original}.out_layer", _whole(f"time_text_embed.{renamed}_embedder.linear_2")
    yield "final_layer.linear", _whole("proj_out")
    yield "final_layer.adaLN_modulation.1", _swapped("norm_out.linear")
    for number in range(config["num_layers"]):
        original, renamed = f"double_blocks.{number}", f"transformer_blocks.{number}"
        yield from _flux_double_block(original, renamed)
    for number in range(config["num_single_layers"]):
        original, renamed = f"single_blocks.{number}", f"single_transformer_blocks.{number}"
        heads = [f"{renamed}.attn.to_{letter}" for letter in "qkv"]
        yield f"{original}.linear1", _whole(*heads, f"{renamed}.proj_mlp")
        yield f"{original}.linear2", _whole(f"{renamed}.proj_out")
        yield f"{original}.modulation.lin", _whole(f"{renamed}.norm.linear")
        yield f"{original}.processor.qkv_lora", _whole(*heads)
        yield f"{original}.processor.proj_lora", _whole(f"{renamed}.proj_out")


def _flux_double_block(original: str, renamed: str) -> Iterator[tuple[str, Pieces]]:
    image = _whole(*(f"{renamed}.attn.to_{letter}" for letter in "qkv"))
    text = _whole(*(f"{renamed}.attn.add_{letter}_proj" for letter in "qkv"))
    yield f"{original}.img_attn.qkv", image
    yield f"{original}.txt_attn.qkv", text
    yield f"{original}.img_attn.proj", _whole(f"{renamed}.attn.to_out.0")
    yield f"{original}.txt_attn.proj", _whole(f"{renamed}.attn.to_add_out")
    for stream, feed in (("img", "ff"), ("txt", "ff_context")):
        yield f"{original}.{stream}_mlp.0", _whole(f"{renamed}.{feed}.net.0.proj")
        yield f"{original}.{stream}_mlp.2", _whole(f"{renamed}.{feed}.net.2")
    yield f"{original}.img_mod.lin", _whole(f"{renamed}.norm1.linear")
    yield f"{original}.txt_mod.lin", _whole(f"{renamed}.norm1_context.linear")
    # XLabs numbers the image stream 1 and the text stream 2.
    yield f"{original}.processor.qkv_lora1", image
    yield f"{original}.processor.qkv_lora2", text
    yield f"{original}.processor.proj_lora1", _whole(f"{renamed}.attn.to_out.0")
    yield f"{original}.processor.proj_lora2", _whole(f"{renamed}.attn.to_add_out")


def sd3_names(config: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
    """Every module of an SD3 transformer by its original path."""
    yield "x_embedder.proj", _whole("pos_embed.proj")
    yield "context_embedder", _whole("context_embedder")
    for original, renamed in (("t_embedder", "timestep"), ("y_embedder", "text")):
        for layer, number in ((0, 1), (2, 2)):
            yield (
                f"{original}.mlp.{layer}",
                _whole(f"time_text_embed.{renamed}_embedder.linear_{number}"),
            )
    yield "final_layer.linear", _whole("proj_out")
    yield "final_layer.adaLN_modulation.1", _swapped("norm_out.linear")
    layers = config["num_layers"]
    for number in range(layers):
        original, renamed = f"joint_blocks.{number}", f"transformer_blocks.{number}"
        for stream, paths, feed, norm in (
            ("x_block", [f"{renamed}.attn.to_{letter}" for letter in "qkv"], "ff", "norm1"),
            (
                "context_block",
                [f"{renamed}.attn.add_{letter}_proj" for letter in "qkv"],
                "ff_context",
                "norm1_context",
            ),
        ):
            yield f"{original}.{stream}.attn.qkv", _whole(*paths)
            yield f"{original}.{stream}.mlp.fc1", _whole(f"{renamed}.{feed}.net.0.proj")
            yield f"{original}.{stream}.mlp.fc2", _whole(f"{renamed}.{feed}.net.2")
            last = stream == "context_block" and number == layers - 1
            modulation = f"{renamed}.{norm}.linear"
            yield (
                f"{original}.{stream}.adaLN_modulation.1",
                _swapped(modulation) if last else _whole(modulation),
            )
        yield f"{original}.x_block.attn.proj", _whole(f"{renamed}.attn.to_out.0")
        yield f"{original}.context_block.attn.proj", _whole(f"{renamed}.attn.to_add_out")
        yield (
            f"{original}.x_block.attn2.qkv",
            _whole(*(f"{renamed}.attn2.to_{letter}" for letter in "qkv")),
        )
        yield f"{original}.x_block.attn2.proj", _whole(f"{renamed}.attn2.to_out.0")


def wan_names(config: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
    """Every module of a Wan transformer by its original path."""
    embedder = "condition_embedder"
    yield "head.head", _whole("proj_out")
    yield "time_projection.1", _whole(f"{embedder}.time_proj")
    for original, renamed in (
        ("text_embedding", "text_embedder"),
        ("time_embedding", "time_embedder"),
    ):
        yield f"{original}.0", _whole(f"{embedder}.{renamed}.linear_1")
        yield f"{original}.2", _whole(f"{embedder}.{renamed}.linear_2")
    for original, renamed in (
        ("0", "norm1"),
        ("1", "ff.net.0.proj"),
        ("3", "ff.net.2"),
        ("4", "norm2"),
    ):
        yield f"img_emb.proj.{original}", _whole(f"{embedder}.image_embedder.{renamed}")
    for number in range(config["num_layers"]):
        block = f"blocks.{number}"
        for original, renamed in (("self_attn", "attn1"), ("cross_attn", "attn2")):
            for letter, layer in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0")):
                yield f"{block}.{original}.{letter}", _whole(f"{block}.{renamed}.{layer}")
            for norm in ("norm_q", "norm_k"):
                yield f"{block}.{original}.{norm}", _whole(f"{block}.{renamed}.{norm}")
        for original, renamed in (
            ("k_img", "add_k_proj"),
            ("v_img", "add_v_proj"),
            ("norm_k_img", "norm_added_k"),
        ):
            yield f"{block}.cross_attn.{original}", _whole(f"{block}.attn2.{renamed}")
        yield f"{block}.ffn.0", _whole(f"{block}.ffn.net.0.proj")
        yield f"{block}.ffn.2", _whole(f"{block}.ffn.net.2")
        yield f"{block}.norm3", _whole(f"{block}.norm2")


ORIGINAL_NAMES: dict[str, Callable[[Mapping[str, int]], Iterator[tuple[str, Pieces]]]] = {
    "FluxTransformer2DModel": flux_names,
    "SD3Transformer2DModel": sd3_names,
    "WanTransformer3DModel": wan_names,
}
