"""Tiny random pipelines with the blocks of Flux."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from transformers import (
    Mistral3ForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.tiny_pipelines.parts import (
    CHAT_OF_PARTS,
    WIDTH,
    byte_tokenizer,
    clip_encoder,
    flux2_decoder,
    image_decoder,
    mistral3_config,
    quiet,
    t5_encoder,
    tokenizer,
)


def tiny_flux(kind: Any = FluxPipeline) -> Any:
    torch.manual_seed(7)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    ).eval()
    words, t5 = t5_encoder()
    return quiet(
        kind(
            vae=image_decoder(4),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            text_encoder=clip_encoder(),
            tokenizer=tokenizer(),
            text_encoder_2=t5,
            tokenizer_2=words,
        )
    )


def tiny_kontext() -> Any:
    """Flux.1 Kontext, which edits an image."""
    return tiny_flux(FluxKontextPipeline)


def _flux2_networks(*, guidance: bool = True) -> tuple[Any, Any]:
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=256,
        axes_dims_rope=(4, 4, 4, 4),
        mlp_ratio=2.0,
        guidance_embeds=guidance,
    ).eval()
    vae = flux2_decoder()
    return transformer, vae


def tiny_flux2() -> Any:
    """Flux.2; the pipeline reads layers 10, 20 and 30 of its text encoder."""
    words = byte_tokenizer()
    words.chat_template = CHAT_OF_PARTS
    torch.manual_seed(15)
    encoder = Mistral3ForConditionalGeneration(mistral3_config(words, layers=30)).eval()
    transformer, vae = _flux2_networks()
    return quiet(
        Flux2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            text_encoder=encoder,
            tokenizer=words,
            transformer=transformer,
        )
    )


def tiny_klein() -> Any:
    """Flux.2 Klein; the pipeline reads layers 9, 18 and 27 of its text encoder."""
    words = byte_tokenizer()
    torch.manual_seed(16)
    config = Qwen3Config(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=28,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(words),
        max_position_embeddings=512,
        head_dim=4,
    )
    transformer, vae = _flux2_networks(guidance=False)
    return quiet(
        Flux2KleinPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            text_encoder=Qwen3ForCausalLM(config).eval(),
            tokenizer=words,
            transformer=transformer,
            is_distilled=True,
        )
    )


def tiny_chroma() -> Any:
    words, t5 = t5_encoder()
    torch.manual_seed(17)
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        approximator_hidden_dim=32,
        approximator_layers=1,
        approximator_num_channels=16,
    ).eval()
    return quiet(
        ChromaPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=image_decoder(4),
            text_encoder=t5,
            tokenizer=words,
            transformer=transformer,
        )
    )
