"""Tiny random pipelines of image models with a language model as the text encoder."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanImage,
    AutoencoderKLQwenImage21,
    ErnieImagePipeline,
    ErnieImageTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanImagePipeline,
    HunyuanImageTransformer2DModel,
    Ideogram4Pipeline,
    Ideogram4Transformer2DModel,
    Krea2Pipeline,
    Krea2Transformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    QwenImageEditPlusPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    ByT5Tokenizer,
    Gemma2Config,
    Gemma2Model,
    Mistral3Model,
    Qwen3Config,
    Qwen3Model,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
    T5Config,
    T5EncoderModel,
)

from tests.tiny_pipelines.parts import (
    CHAT_OF_PARTS,
    byte_tokenizer,
    flux2_decoder,
    image_decoder,
    mistral3_config,
    quiet,
    qwen3_vl_config,
    qwen_decoder,
    qwen_encoder,
    qwen_processor,
)


def tiny_qwen(kind: Any = QwenImagePipeline, **options: Any) -> Any:
    words = byte_tokenizer()
    torch.manual_seed(11)
    encoder = qwen_encoder(words)
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=16,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    ).eval()
    vae = qwen_decoder()
    return quiet(
        kind(
            tokenizer=words,
            text_encoder=encoder,
            vae=vae,
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            **options,
        )
    )


def tiny_qwen_edit() -> Any:
    """Qwen-Image-Edit, which needs an image."""
    processor = qwen_processor(byte_tokenizer())
    return tiny_qwen(QwenImageEditPlusPipeline, processor=processor)


def tiny_z_image() -> Any:
    words = byte_tokenizer()
    torch.manual_seed(12)
    config = Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(words),
        max_position_embeddings=512,
        head_dim=8,
    )
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    ).eval()
    return quiet(
        ZImagePipeline(
            tokenizer=words,
            text_encoder=Qwen3Model(config).eval(),
            vae=image_decoder(16),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
        )
    )


def tiny_hunyuan() -> Any:
    words = byte_tokenizer()
    torch.manual_seed(13)
    second = ByT5Tokenizer()
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(second),
            d_model=16,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=2,
            is_encoder_decoder=False,
        )
    ).eval()
    transformer = HunyuanImageTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        patch_size=(1, 1),
        text_embed_dim=16,
        text_embed_2_dim=16,
        rope_axes_dim=(8, 8),
    ).eval()
    vae = AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=1,
        spatial_compression_ratio=8,
        sample_size=32,
        scaling_factor=0.75,
    ).eval()
    return quiet(
        HunyuanImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            vae=vae,
            text_encoder=qwen_encoder(words),
            tokenizer=words,
            text_encoder_2=t5,
            tokenizer_2=second,
            transformer=transformer,
        )
    )


def tiny_lumina2() -> Any:
    words = byte_tokenizer()
    torch.manual_seed(14)
    encoder = Gemma2Model(
        Gemma2Config(
            vocab_size=len(words),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=4,
            sliding_window=4,
        )
    ).eval()
    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=8,
        num_layers=2,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(512, 128, 128),
        cap_feat_dim=8,
    ).eval()
    return quiet(
        Lumina2Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=image_decoder(depth=4),  # the pipeline takes the enlargement for granted
            text_encoder=encoder,
            tokenizer=words,
        )
    )


def tiny_krea2() -> Any:
    words = byte_tokenizer()
    torch.manual_seed(18)
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=8,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
    ).eval()
    encoder = Qwen3VLModel(qwen3_vl_config(words)).eval()
    vae = qwen_decoder()
    return quiet(
        Krea2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(
                use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15
            ),
            vae=vae,
            text_encoder=encoder,
            tokenizer=words,
            transformer=transformer,
            text_encoder_select_layers=(0, 1, 2),
        )
    )


def tiny_qwen21() -> Any:
    words = byte_tokenizer()
    words.chat_template = CHAT_OF_PARTS
    torch.manual_seed(20)
    encoder = Qwen3VLForConditionalGeneration(qwen3_vl_config(words)).eval()
    transformer = QwenImage21Transformer2DModel(
        in_channels=8,
        out_channels=8,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=16,
        axes_dims_rope=(8, 4, 4),
    ).eval()
    vae = AutoencoderKLQwenImage21(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=8,
        dim_mult=[1, 1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 8,
        latents_std=[1.0] * 8,
    ).eval()
    return quiet(
        QwenImage21Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=vae,
            text_encoder=encoder,
            processor=qwen_processor(words),
            transformer=transformer,
            sample_sigmas=[1.0, 0.8, 0.6, 0.4, 0.2],
        )
    )


def tiny_ernie() -> Any:
    words = byte_tokenizer()
    torch.manual_seed(21)
    encoder = Mistral3Model(mistral3_config(words, layers=3)).eval()
    transformer = ErnieImageTransformer2DModel(
        hidden_size=16,
        num_attention_heads=1,
        num_layers=2,
        ffn_hidden_size=16,
        in_channels=16,
        out_channels=16,
        patch_size=1,
        text_in_dim=8,
        rope_axes_dim=(8, 4, 4),
    ).eval()
    for weight in transformer.parameters():  # the modulation starts at zero, which hides the blocks
        if weight.dim() == 2 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return quiet(
        ErnieImagePipeline(
            transformer=transformer,
            vae=flux2_decoder(),
            text_encoder=encoder,
            tokenizer=words,
            scheduler=FlowMatchEulerDiscreteScheduler(),
        )
    )


def tiny_ideogram() -> Any:
    """Ideogram 4; the pipeline reads 13 layers of its text encoder up to the 36th."""
    words = byte_tokenizer()
    words.chat_template = CHAT_OF_PARTS
    torch.manual_seed(22)
    encoder = Qwen3VLModel(qwen3_vl_config(words, layers=36, width=8)).eval()
    transformers = [
        Ideogram4Transformer2DModel(
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            intermediate_size=32,
            adaln_dim=16,
            llm_features_dim=13 * 8,
            rope_theta=10_000,
            mrope_section=(2, 1, 1),
        ).eval()
        for _ in range(2)
    ]
    return quiet(
        Ideogram4Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=flux2_decoder(),
            text_encoder=encoder,
            tokenizer=words,
            transformer=transformers[0],
            unconditional_transformer=transformers[1],
        )
    )
