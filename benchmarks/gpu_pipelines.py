"""Pipelines of the real architectures and sizes with random weights, or in miniature sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from benchmarks.gpu_transformers import klein_4b, qwen_image, z_image
from scanner.miniature.world import BASE_MODEL


def words() -> Any:
    return CLIPTokenizer.from_pretrained(BASE_MODEL / "tokenizer")


def clip(width: int, layers: int, heads: int, *, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        vocab_size=49408,
        eos_token_id=words().eos_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def vae(channels: int, widths: tuple[int, ...]) -> Any:
    blocks = len(widths)
    return AutoencoderKL(
        block_out_channels=widths,
        latent_channels=channels,
        layers_per_block=2,
        norm_num_groups=min(32, widths[0]),
        sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        scaling_factor=0.18,
        shift_factor=0.0,
    )


def sd15(tiny: bool) -> Any:
    widths, depth = ((32, 64, 64, 64), 1) if tiny else ((320, 640, 1280, 1280), 12)
    width = 64 if tiny else 768
    unet = UNet2DConditionModel(
        cross_attention_dim=width, block_out_channels=widths, attention_head_dim=8, sample_size=64
    )
    return StableDiffusionPipeline(
        vae=vae(4, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        text_encoder=clip(width, depth, 4 if tiny else 12),
        tokenizer=words(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(tiny: bool) -> Any:
    first, second, layers = (64, 64, 1) if tiny else (768, 1280, 12)
    unet = UNet2DConditionModel(
        cross_attention_dim=first + second,
        block_out_channels=(32, 64, 64) if tiny else (320, 640, 1280),
        sample_size=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
        transformer_layers_per_block=(1, 1, 1) if tiny else (1, 2, 10),
        attention_head_dim=4 if tiny else (5, 10, 20),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + second,
    )
    return StableDiffusionXLPipeline(
        vae=vae(4, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        text_encoder=clip(first, layers, 4 if tiny else 12),
        text_encoder_2=clip(second, 1 if tiny else 32, 4 if tiny else 20, projected=True),
        tokenizer=words(),
        tokenizer_2=words(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler(),
    )


def flux(tiny: bool) -> Any:
    size = (
        {
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "axes_dims_rope": (4, 4, 8),
        }
        if tiny
        else {}
    )
    width, joint = (64, 64) if tiny else (768, 4096)
    transformer = FluxTransformer2DModel(
        guidance_embeds=True, joint_attention_dim=joint, pooled_projection_dim=width, **size
    )
    t5 = T5Config(
        vocab_size=49408,
        d_model=joint,
        d_kv=64,
        d_ff=10240 if not tiny else 64,
        num_layers=24 if not tiny else 1,
        num_heads=64 if not tiny else 2,
        feed_forward_proj="gated-gelu",
    )
    return FluxPipeline(
        vae=vae(16, (32, 32, 32, 32) if tiny else (128, 256, 512, 512)),
        transformer=transformer,
        text_encoder=clip(width, 1 if tiny else 12, 4 if tiny else 12),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer=words(),
        tokenizer_2=words(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


# The function that makes each pipeline, its family in scanner/sampling/base_models.toml, and its
# size if that is not the family's default.
SIZES: dict[str, tuple[Callable[[bool], Any], str, str | None]] = {
    "SD1.5": (sd15, "SD1", None),
    "SDXL": (sdxl, "SDXL", None),
    "Flux": (flux, "Flux.1", None),
    "Z-Image": (z_image, "Z-Image", None),
    "Klein-4B": (klein_4b, "Flux.2", "Flux.2 Klein 4B"),
    "Qwen-Image": (qwen_image, "Qwen-Image", None),
}
