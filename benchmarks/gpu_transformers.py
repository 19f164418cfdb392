"""Z-Image, Flux.2 Klein 4B and Qwen-Image in their real sizes with random weights, or tiny ones.

The denoisers have the configurations of scanner/adapters/geometries/models.toml, the text encoders
those of Qwen3-4B and Qwen2.5-VL-7B, whose configurations their model cards publish.
"""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

from scanner.adapters.geometries.geometry import models
from tests.tiny_pipelines import tiny_klein, tiny_qwen, tiny_z_image
from tests.tiny_pipelines.parts import byte_tokenizer

_QWEN3_4B = {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
}
_QWEN25_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
    "rope_theta": 1e6,
}


def z_image(tiny: bool) -> Any:
    if tiny:
        return tiny_z_image()
    return ZImagePipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=Qwen3Model(Qwen3Config(**_QWEN3_4B)),
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            latent_channels=16,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.36,
            shift_factor=0.12,
        ),
        transformer=ZImageTransformer2DModel(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def klein_4b(tiny: bool) -> Any:
    if tiny:
        return tiny_klein()
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLFlux2(),
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**_QWEN3_4B)),
        tokenizer=byte_tokenizer(),
        transformer=Flux2Transformer2DModel(**models()["Flux.2 Klein 4B"]["configuration"]),
        is_distilled=True,
    )


def qwen_image(tiny: bool) -> Any:
    if tiny:
        return tiny_qwen()
    vision = {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584}
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=_QWEN25_7B, vision_config=vision)
    )
    return QwenImagePipeline(
        tokenizer=byte_tokenizer(),
        text_encoder=encoder,
        vae=AutoencoderKLQwenImage(),
        transformer=QwenImageTransformer2DModel(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )
