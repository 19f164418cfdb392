"""Modules of models whose first blocks have separate streams for image and text, like Flux.1."""

from __future__ import annotations

from scanner.adapters.formats.definition import Size
from scanner.adapters.geometry import Geometry, Modules, Stacks, feed, joint, square


def two_streams(
    width: int, doubles: int, singles: int, *, modulated: bool = True, gated: int = 1
) -> Stacks:
    """Blocks like those of Flux.1 under diffusers' names."""
    inner = 4 * width
    double = {
        **joint(width),
        **feed("ff", width, inner, gated),
        **feed("ff_context", width, inner, gated),
    }
    single = square(width, *(f"attn.to_{letter}" for letter in "qkv"))
    single |= {
        "attn.to_qkv": (3 * width, width),
        "proj_mlp": (gated * inner, width),
        "proj_out": (width, 5 * width),
    }
    if modulated:
        double |= dict.fromkeys(("norm1.linear", "norm1_context.linear"), (6 * width, width))
        single |= {"norm.linear": (3 * width, width)}
    return {"transformer_blocks": (doubles, double), "single_transformer_blocks": (singles, single)}


def _original_streams(width: int, doubles: int, singles: int, *, modulated: bool = True) -> Stacks:
    """The same under the original names."""
    double: Modules = {}
    for stream in ("img", "txt"):
        double |= {
            f"{stream}_attn.qkv": (3 * width, width), f"{stream}_attn.proj": (width, width),
            f"{stream}_mlp.0": (4 * width, width), f"{stream}_mlp.2": (width, 4 * width),
        }  # fmt: skip
    single: Modules = {"linear1": (7 * width, width), "linear2": (width, 5 * width)}
    if modulated:
        double |= dict.fromkeys(("img_mod.lin", "txt_mod.lin"), (6 * width, width))
        single |= {"modulation.lin": (3 * width, width)}
    return {"double_blocks": (doubles, double), "single_blocks": (singles, single)}


def _with_xlabs(stacks: Stacks, width: int) -> Stacks:
    """XLabs trained Flux.1 only; image stream 1, text stream 2."""
    (doubles, double), (singles, single) = stacks["double_blocks"], stacks["single_blocks"]
    for number in "12":
        double |= {
            f"processor.qkv_lora{number}": (3 * width, width),
            f"processor.proj_lora{number}": (width, width),
        }
    single |= {"processor.qkv_lora": (3 * width, width), "processor.proj_lora": (width, 5 * width)}
    return {"double_blocks": (doubles, double), "single_blocks": (singles, single)}


def flux1(name: str, doubles: int) -> Geometry:
    """Flux.1, or Flex.1 with fewer double blocks."""
    original = _original_streams(3072, doubles, 38)
    stacks = {
        **two_streams(3072, doubles, 38),
        **(_with_xlabs(original, 3072) if name == "Flux.1" else original),
    }
    outer: Modules = {
        "txt_in": (3072, 4096), "context_embedder": (3072, 4096),
        "img_in": (3072, None), "x_embedder": (3072, None),
        "vector_in.in_layer": (3072, 768), "guidance_in.in_layer": (3072, 256),
    }  # fmt: skip
    return Geometry(name, name, stacks, outer)


def chroma() -> Geometry:
    """Flux.1 without modulation, which a small network of its own makes."""
    stacks = {
        **two_streams(3072, 19, 38, modulated=False),
        **_original_streams(3072, 19, 38, modulated=False),
    }
    approximator: Modules = dict.fromkeys(
        ("linear_1", "linear_2", "in_layer", "out_layer"), (5120, 5120)
    )
    outer: Modules = {
        "txt_in": (3072, 4096), "context_embedder": (3072, 4096),
        "img_in": (3072, None), "x_embedder": (3072, None),
        "distilled_guidance_layer.in_proj": (5120, 64),
        "distilled_guidance_layer.out_proj": (3072, 5120),
    }  # fmt: skip
    return Geometry(
        "Chroma", "Chroma", {**stacks, "distilled_guidance_layer.layers": (5, approximator)}, outer
    )


def flux2(model: str, width: int, doubles: int, singles: int, text: int) -> Geometry:
    """One size of Flux.2, which modulates all blocks alike and has wider feed-forward layers."""
    double, original = joint(width), dict[str, Size]()
    for name in ("ff", "ff_context"):
        double |= {
            f"{name}.linear_in": (6 * width, width),
            f"{name}.linear_out": (width, 3 * width),
        }
    for stream in ("img", "txt"):
        original |= {
            f"{stream}_attn.qkv": (3 * width, width), f"{stream}_attn.proj": (width, width),
            f"{stream}_mlp.0": (6 * width, width), f"{stream}_mlp.2": (width, 3 * width),
        }  # fmt: skip
    single: Modules = {
        "attn.to_qkv_mlp_proj": (9 * width, width),
        "attn.to_out": (width, 4 * width),
    }
    outer: Modules = {"txt_in": (width, text), "context_embedder": (width, text)}
    outer |= {"img_in": (width, None), "x_embedder": (width, None)}
    for ending in ("lin", "linear"):
        outer |= dict.fromkeys(
            (f"double_stream_modulation_{one}.{ending}" for one in ("img", "txt")),
            (6 * width, width),
        )
        outer[f"single_stream_modulation.{ending}"] = (3 * width, width)
    stacks: Stacks = {
        "transformer_blocks": (doubles, double),
        "single_transformer_blocks": (singles, single),
        "double_blocks": (doubles, original),
        "single_blocks": (singles, {"linear1": (9 * width, width), "linear2": (width, 4 * width)}),
    }
    return Geometry("Flux.2", model, stacks, outer)


def hunyuan_video() -> Geometry:
    """HunyuanVideo, and FramePack, which is built like it."""
    width, double = 3072, dict[str, Size]()
    for stream in ("img", "txt"):
        double |= {
            f"{stream}_attn_qkv": (3 * width, width), f"{stream}_attn_proj": (width, width),
            f"{stream}_mlp.fc1": (4 * width, width), f"{stream}_mlp.fc2": (width, 4 * width),
            f"{stream}_mod.linear": (6 * width, width),
        }  # fmt: skip
    single: Modules = {
        "linear1": (7 * width, width),
        "linear2": (width, 5 * width),
        "modulation.linear": (9216, width),
    }
    stacks = {
        **two_streams(width, 20, 40),
        "double_blocks": (20, double),
        "single_blocks": (40, single),
    }
    return Geometry("HunyuanVideo", "HunyuanVideo", stacks)


def hunyuan_image() -> Geometry:
    """HunyuanImage 2.1."""
    width, double = 3584, dict[str, Size]()
    for stream in ("img", "txt"):
        double |= square(width, *(f"{stream}_attn_{part}" for part in ("q", "k", "v", "proj")))
        double |= {f"{stream}_mlp.fc1": (4 * width, width), f"{stream}_mlp.fc2": (width, 4 * width)}
        double |= {f"{stream}_mod.linear": (6 * width, width)}
    single: Modules = {
        "linear1": (7 * width, width),
        "linear2": (width, 5 * width),
        "modulation.linear": (3 * width, width),
    }
    stacks = {
        **two_streams(width, 20, 40),
        "double_blocks": (20, double),
        "single_blocks": (40, single),
    }
    return Geometry("HunyuanImage", "HunyuanImage", stacks)


def hunyuan_video_15() -> Geometry:
    """HunyuanVideo 1.5, which has double blocks only."""
    width, original = 2048, dict[str, Size]()
    block = {**joint(width), **feed("ff", width, 8192), **feed("ff_context", width, 8192)}
    block |= dict.fromkeys(("norm1.linear", "norm1_context.linear"), (6 * width, width))
    for stream in ("img", "txt"):
        original |= square(width, *(f"{stream}_attn_{part}" for part in ("q", "k", "v", "proj")))
        original |= {f"{stream}_mlp.fc1": (8192, width), f"{stream}_mlp.fc2": (width, 8192)}
    stacks: Stacks = {"transformer_blocks": (54, block), "double_blocks": (54, original)}
    return Geometry("HunyuanVideo 1.5", "HunyuanVideo 1.5", stacks)
