"""Tiny random pipelines of Stable Diffusion: SD1, SDXL and SD3."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
)

from tests.tiny_pipelines.parts import (
    WIDTH,
    clip_encoder,
    ddim,
    image_decoder,
    quiet,
    t5_encoder,
    tokenizer,
)


def tiny_sd1(width: int = WIDTH, **changes: Any) -> Any:
    """SD1's pipeline; SD2's with another width of the text states and v-prediction."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        **changes,
    ).eval()
    return quiet(
        StableDiffusionPipeline(
            vae=image_decoder(),
            text_encoder=clip_encoder(width),
            tokenizer=tokenizer(),
            unet=unet,
            scheduler=ddim(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def sd1_on_meta() -> tuple[Any, Any]:
    """UNet and text encoder of SD1's real shape, without weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768,
                intermediate_size=3072,
                num_attention_heads=12,
                num_hidden_layers=12,
            )
        )
    return unet, encoder


def tiny_sdxl() -> Any:
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=2,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        cross_attention_dim=2 * WIDTH,
    ).eval()
    return quiet(
        StableDiffusionXLPipeline(
            vae=image_decoder(),
            text_encoder=clip_encoder(),
            text_encoder_2=clip_encoder(projected=True, seed=5),
            tokenizer=tokenizer(),
            tokenizer_2=tokenizer(),
            unet=unet,
            scheduler=ddim(),
        )
    )


def tiny_sd3() -> Any:
    torch.manual_seed(4)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * WIDTH,
        out_channels=4,
    ).eval()
    words, t5 = t5_encoder()
    return quiet(
        StableDiffusion3Pipeline(
            vae=image_decoder(),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            text_encoder=clip_encoder(projected=True),
            tokenizer=tokenizer(),
            text_encoder_2=clip_encoder(projected=True, seed=5),
            tokenizer_2=tokenizer(),
            text_encoder_3=t5,
            tokenizer_3=words,
        )
    )


def tiny_checker(folder: Any, *, flags: bool) -> None:
    """A random safety checker in CompVis' form whose thresholds flag everything or nothing."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPVisionConfig

    torch.manual_seed(8)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=20,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    config = CLIPConfig(vision_config=vision.to_dict(), projection_dim=16)
    checker = StableDiffusionSafetyChecker(config)
    limit = -2.0 if flags else 2.0
    checker.concept_embeds_weights.data.fill_(limit)
    checker.special_care_embeds_weights.data.fill_(limit)
    checker.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
