"""Tiny random pipelines of the real diffusers classes, with the tokenizer of the miniature world."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
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
    T5TokenizerFast,
)

from scanner.miniature.world import BASE_MODEL

WIDTH = 32


def tokenizer() -> Any:
    return CLIPTokenizer.from_pretrained(BASE_MODEL / "tokenizer")


def _encoder(width: int = WIDTH, *, projected: bool = False, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    words = tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=width, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id or 0,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def _vae(channels: int = 4) -> Any:
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(8, 16), in_channels=3, out_channels=3, latent_channels=channels, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"), up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4, shift_factor=0.0, scaling_factor=1.0,
    ).eval()  # fmt: skip


def _scheduler() -> Any:
    return DDIMScheduler(clip_sample=False)


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_sd1(width: int = WIDTH, **changes: Any) -> Any:
    """SD1's pipeline; SD2's with another width of the text states and v-prediction."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4, cross_attention_dim=width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4, attention_head_dim=4, **changes,
    ).eval()  # fmt: skip
    return _quiet(
        StableDiffusionPipeline(
            vae=_vae(), text_encoder=_encoder(width), tokenizer=tokenizer(), unet=unet, scheduler=_scheduler(),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )
    )  # fmt: skip


def tiny_sdxl() -> Any:
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=2, sample_size=8, in_channels=4, out_channels=4, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=6 * 8 + WIDTH, cross_attention_dim=2 * WIDTH,
    ).eval()  # fmt: skip
    return _quiet(
        StableDiffusionXLPipeline(
            vae=_vae(), text_encoder=_encoder(), text_encoder_2=_encoder(projected=True, seed=5), tokenizer=tokenizer(),
            tokenizer_2=tokenizer(), unet=unet, scheduler=_scheduler(),
        )
    )  # fmt: skip


def _t5() -> tuple[Any, Any]:
    """A T5 encoder and a tokenizer of whole words trained on the spot: none can be downloaded in tests."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace

    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz0123456789,.-", "▁photo", "▁of", "▁person"]
    model = Tokenizer(Unigram([(piece, -float(number)) for number, piece in enumerate(pieces)], unk_id=2))
    model.pre_tokenizer = Metaspace()
    words = T5TokenizerFast(
        tokenizer_object=model, extra_ids=0, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=77
    )
    torch.manual_seed(6)
    config = T5Config(vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return words, T5EncoderModel(config).eval()


def tiny_sd3() -> Any:
    torch.manual_seed(4)
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=1, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=WIDTH, caption_projection_dim=WIDTH, pooled_projection_dim=2 * WIDTH, out_channels=4,
    ).eval()  # fmt: skip
    words, t5 = _t5()
    return _quiet(
        StableDiffusion3Pipeline(
            vae=_vae(), transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(),
            text_encoder=_encoder(projected=True), tokenizer=tokenizer(), text_encoder_2=_encoder(projected=True, seed=5),
            tokenizer_2=tokenizer(), text_encoder_3=t5, tokenizer_3=words,
        )
    )  # fmt: skip


def tiny_flux() -> Any:
    torch.manual_seed(7)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    ).eval()  # fmt: skip
    words, t5 = _t5()
    return _quiet(
        FluxPipeline(
            vae=_vae(4), transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), text_encoder=_encoder(),
            tokenizer=tokenizer(), text_encoder_2=t5, tokenizer_2=words,
        )
    )  # fmt: skip


def sd1_on_meta() -> tuple[Any, Any]:
    """UNet and text encoder of SD1's real shape, without weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        encoder = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
        )
    return unet, encoder


def tiny_checker(folder: Any, *, flags: bool) -> None:
    """A safety checker in the CompVis form, random but for its thresholds, which flag everything or nothing."""
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
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
