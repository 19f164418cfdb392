"""The modules of each model's transformer, and their shapes.

A file fits a model that has every module of the file with the same shape. One width never decides:
3072 is the width of a dozen models. Names are those of diffusers and of the original code.
Sources: the model classes of diffusers 0.42 with their published configurations;
black-forest-labs/flux and flux2, Stability-AI/sd3-ref, Wan-Video/Wan2.1, Tencent/HunyuanVideo,
Alpha-VLLM/Lumina-Image-2.0.
"""

from __future__ import annotations

from scanner.adapters.geometry import Geometry, Modules, feed, joint, qkv, square
from scanner.adapters.two_stream_geometries import (
    chroma,
    flux1,
    flux2,
    hunyuan_image,
    hunyuan_video,
    hunyuan_video_15,
    two_streams,
)


def _qwen(name: str, blocks: int, image: int, text: int) -> Geometry:
    block = {**joint(3072), **feed("img_mlp", 3072, 12288), **feed("txt_mlp", 3072, 12288)}
    block |= dict.fromkeys(("img_mod.1", "txt_mod.1"), (18432, 3072))
    return Geometry(
        name,
        name,
        {"transformer_blocks": (blocks, block)},
        {"img_in": (3072, image), "txt_in": (3072, text)},
    )


def _sd3(name: str, width: int, layers: int, *, dual: bool = False) -> Geometry:
    block = {**joint(width), **feed("ff", width, 4 * width), **feed("ff_context", width, 4 * width)}
    # SD3.5 Medium's first thirteen blocks attend twice and modulate nine vectors, the others six.
    block |= {
        "norm1.linear": (None if dual else 6 * width, width),
        "norm1_context.linear": (None, width),
    }
    original: Modules = {}
    for stream in ("x_block", "context_block"):
        original |= {
            f"{stream}.attn.qkv": (3 * width, width), f"{stream}.attn.proj": (width, width),
            f"{stream}.mlp.fc1": (4 * width, width), f"{stream}.mlp.fc2": (width, 4 * width),
            f"{stream}.adaLN_modulation.1": (None if dual else 6 * width, width),
        }  # fmt: skip
    original["context_block.adaLN_modulation.1"] = (None, width)
    if dual:
        block |= qkv("attn2", width)
        original |= {"x_block.attn2.qkv": (3 * width, width), "x_block.attn2.proj": (width, width)}
    return Geometry(
        "SD3", name, {"transformer_blocks": (layers, block), "joint_blocks": (layers, original)}
    )


def _wan(name: str, width: int, inner: int, blocks: int) -> Geometry:
    block = {**qkv("attn1", width), **qkv("attn2", width), **feed("ffn", width, inner)}
    block |= square(
        width, *(f"{part}_attn.{letter}" for part in ("self", "cross") for letter in "qkvo")
    )
    # Models that start from an image read it in this layer.
    block |= square(
        width, "attn2.add_k_proj", "attn2.add_v_proj", "cross_attn.k_img", "cross_attn.v_img"
    )
    return Geometry(
        "Wan",
        name,
        {"blocks": (blocks, {**block, "ffn.0": (inner, width), "ffn.2": (width, inner)})},
    )


def _layers(name: str, stack: str, count: int, modules: Modules) -> Geometry:
    return Geometry(name, name, {stack: (count, modules)})


def _plain(name: str, family: str, width: int, count: int, inner: int) -> Geometry:
    """Self-attention, attention to the text, a feed-forward layer: LTX-Video and PixArt."""
    block = {**qkv("attn1", width), **qkv("attn2", width), **feed("ff", width, inner)}
    return Geometry(family, name, {"transformer_blocks": (count, block)})


def _ltx2() -> Geometry:
    block = {**qkv("attn1", 4096), **qkv("attn2", 4096), **feed("ff", 4096, 16384)}
    block |= {
        **qkv("audio_attn1", 2048),
        **qkv("audio_attn2", 2048),
        **feed("audio_ff", 2048, 8192),
    }
    for name in ("audio_to_video_attn", "video_to_audio_attn"):
        block |= dict.fromkeys(
            (f"{name}.to_{part}" for part in ("q", "k", "v", "out.0")), (None, None)
        )
    return _layers("LTX-2", "transformer_blocks", 48, block)


def _z_image() -> Geometry:
    block = {
        **qkv("attention", 3840),
        "attention.qkv": (11520, 3840),
        "attention.out": (3840, 3840),
    }
    block |= {
        "feed_forward.w1": (10240, 3840),
        "feed_forward.w2": (3840, 10240),
        "feed_forward.w3": (10240, 3840),
    }
    modulated: Modules = {**block, "adaLN_modulation.0": (15360, 256)}
    stacks = {
        "layers": (30, modulated),
        "noise_refiner": (2, modulated),
        "context_refiner": (2, block),
    }
    return Geometry("Z-Image", "Z-Image", stacks)


def _lumina2() -> Geometry:
    block: Modules = {**qkv("attn", 2304), "attn.to_k": (768, 2304), "attn.to_v": (768, 2304)}
    block |= {
        "attention.qkv": (3840, 2304),
        "attention.out": (2304, 2304),
        "norm1.linear": (9216, 1024),
    }
    for names in (("linear_1", "linear_2", "linear_3"), ("w1", "w2", "w3")):
        sizes = ((9216, 2304), (2304, 9216), (9216, 2304))
        block |= {f"feed_forward.{name}": size for name, size in zip(names, sizes, strict=True)}
    modulated: Modules = {**block, "adaLN_modulation.1": (9216, 1024)}
    plain = {name: size for name, size in block.items() if not name.startswith("norm1")}
    stacks = {
        "layers": (26, modulated),
        "noise_refiner": (2, modulated),
        "context_refiner": (2, plain),
    }
    return Geometry("Lumina2", "Lumina2", stacks)


def _krea2() -> Geometry:
    sizes: Modules = {"q": (6144, 6144), "k": (1536, 6144), "v": (1536, 6144), "gate": (6144, 6144)}
    block: Modules = {f"attn.to_{name}": size for name, size in sizes.items()}
    original: Modules = {f"attn.w{name}": size for name, size in sizes.items() if name != "gate"}
    for name, modules in (("ff", block), ("mlp", original)):
        modules |= {
            f"{name}.gate": (16384, 6144),
            f"{name}.up": (16384, 6144),
            f"{name}.down": (6144, 16384),
        }
    block |= {"attn.to_out.0": (6144, 6144), "attn.to_qkv": (9216, 6144)}
    original |= {"attn.gate": (6144, 6144), "attn.wo": (6144, 6144)}
    return Geometry("Krea2", "Krea2", {"transformer_blocks": (28, block), "blocks": (28, original)})


def _anima() -> Geometry:
    width = 2048
    block: Modules = {**qkv("attn1", width), **qkv("attn2", width), **feed("ff", width, 8192)}
    block |= {"attn2.to_k": (width, 1024), "attn2.to_v": (width, 1024)}
    for number in "123":
        block |= {f"norm{number}.linear_1": (256, width), f"norm{number}.linear_2": (6144, 256)}
    original = square(
        width,
        *(
            f"{kind}_attn.{part}_proj"
            for kind in ("self", "cross")
            for part in ("q", "k", "v", "output")
        ),
    )
    original |= {"cross_attn.k_proj": (width, 1024), "cross_attn.v_proj": (width, 1024)}
    original |= {"mlp.layer1": (8192, width), "mlp.layer2": (width, 8192)}
    for part in ("self_attn", "cross_attn", "mlp"):
        original |= {
            f"adaln_modulation_{part}.1": (256, width),
            f"adaln_modulation_{part}.2": (6144, 256),
        }
    return Geometry("Anima", "Anima", {"transformer_blocks": (28, block), "blocks": (28, original)})


def _auraflow() -> Geometry:
    single: Modules = {**qkv("attn", 3072), "norm1.linear": (18432, 3072)}
    single |= {
        "ff.linear_1": (8192, 3072),
        "ff.linear_2": (8192, 3072),
        "ff.out_projection": (3072, 8192),
    }
    double = {**joint(3072), **single, "norm1_context.linear": (18432, 3072)}
    double |= {
        name.replace("ff.", "ff_context."): size
        for name, size in single.items()
        if name.startswith("ff.")
    }
    stacks = {"joint_transformer_blocks": (4, double), "single_transformer_blocks": (32, single)}
    return Geometry("AuraFlow", "AuraFlow", stacks)


def _others() -> tuple[Geometry, ...]:
    qwen21 = {**qkv("attn", 4096), "img_mlp.proj": (12288, 4096), "img_mlp.out": (4096, 12288)}
    ideogram = {
        **qkv("attention", 4608),
        "attention.qkv": (13824, 4608),
        "attention.o": (4608, 4608),
    }
    ideogram |= {
        "feed_forward.w1": (12288, 4608),
        "feed_forward.w2": (4608, 12288),
        "feed_forward.w3": (12288, 4608),
    }
    ernie = {
        **qkv("self_attention", 4096),
        "mlp.gate_proj": (12288, 4096),
        "mlp.up_proj": (12288, 4096),
    }
    zai = {**qkv("attn1", 4096), **feed("ff", 4096, 16384), "norm1.linear": (49152, 512)}
    sana = {**qkv("attn1", 1152), **qkv("attn2", 1152)}
    mochi = {**qkv("attn1", 3072), "attn1.add_k_proj": (3072, 1536), **feed("ff", 3072, 8192, 2)}
    cogvideo = {**qkv("attn1", 3072), **feed("ff", 3072, 12288), "norm1.linear": (18432, 512)}
    return (
        _layers(
            "Qwen-Image-2.1",
            "transformer_blocks",
            32,
            {**qwen21, "img_mlp.gate_layer": (12288, 4096)},
        ),
        _layers("Ideogram 4", "layers", 34, {**ideogram, "adaln_modulation": (18432, 512)}),
        _layers("Ernie-Image", "layers", 36, {**ernie, "mlp.linear_fc2": (4096, 12288)}),
        _layers("CogView4", "transformer_blocks", 28, zai),
        _layers("GLM-Image", "transformer_blocks", 30, zai),
        _layers("Sana", "transformer_blocks", 28, {**sana, "ff.conv_inverted": (None, 1152)}),
        _layers("Mochi", "transformer_blocks", 48, mochi),
        _layers("CogVideoX", "transformer_blocks", 42, cogvideo),
    )


# The likeliest models come first. All shapes of Bria are those of Flux.1, so only a header or a
# listing can name it.
GEOMETRIES: tuple[Geometry, ...] = (
    flux1("Flux.1", 19),
    _qwen("Qwen-Image", 60, 64, 3584),
    chroma(),
    flux2("Flux.2 dev", 6144, 8, 48, 15360),
    flux2("Flux.2 Klein 4B", 3072, 5, 20, 7680),
    flux2("Flux.2 Klein 9B", 4096, 8, 24, 12288),
    _sd3("SD3 Medium", 1536, 24),
    _sd3("SD3.5 Medium", 1536, 24, dual=True),
    _sd3("SD3.5 Large", 2432, 38),
    _z_image(),
    _wan("Wan 1.3B", 1536, 8960, 30),
    _wan("Wan 14B", 5120, 13824, 40),
    _wan("Wan 5B", 3072, 14336, 30),
    _krea2(),
    _anima(),
    _lumina2(),
    hunyuan_image(),
    hunyuan_video(),
    hunyuan_video_15(),
    _plain("LTX-Video 2B", "LTX-Video", 2048, 28, 8192),
    _plain("LTX-Video 13B", "LTX-Video", 4096, 48, 16384),
    _ltx2(),
    flux1("Flex.1", 8),
    _qwen("MageFlow", 12, 128, 2560),
    _auraflow(),
    _plain("PixArt", "PixArt", 1152, 28, 4608),
    Geometry("Ovis", "Ovis", two_streams(3072, 6, 27, gated=2)),
    Geometry("LongCat", "LongCat", two_streams(3072, 10, 20)),
    Geometry("Fibo", "Fibo", two_streams(3072, 8, 38)),
    *_others(),
)
