"""Tokenizers, text encoders and decoders that tiny pipelines share."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DDIMScheduler,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Mistral3Config,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.models.qwen2_vl import Qwen2VLImageProcessorPil

from scanner.miniature.world import BASE_MODEL
from scanner.sampling.prompt_processor import PromptProcessor

WIDTH = 32


def tokenizer() -> Any:
    return CLIPTokenizer.from_pretrained(BASE_MODEL / "tokenizer")


def clip_encoder(width: int = WIDTH, *, projected: bool = False, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    words = tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=width,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id or 0,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def image_decoder(channels: int = 4, depth: int = 2) -> Any:
    """A decoder that enlarges 2 ** (depth - 1) times."""
    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 16)[:depth],
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        use_quant_conv=channels == 4,
        use_post_quant_conv=channels == 4,
        shift_factor=0.0,
        scaling_factor=1.0,
    ).eval()


def ddim() -> Any:
    return DDIMScheduler(clip_sample=False)


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def t5_encoder() -> tuple[Any, Any]:
    """A T5 encoder, and a tokenizer of whole words that is trained here without a download."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace

    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        *"abcdefghijklmnopqrstuvwxyz0123456789,.-",
        "▁photo",
        "▁of",
        "▁person",
    ]
    model = Tokenizer(
        Unigram([(piece, -float(number)) for number, piece in enumerate(pieces)], unk_id=2)
    )
    model.pre_tokenizer = Metaspace()
    words = T5TokenizerFast(
        tokenizer_object=model,
        extra_ids=0,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=77,
    )
    torch.manual_seed(6)
    config = T5Config(
        vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=37, num_layers=2, num_heads=4
    )
    return words, T5EncoderModel(config).eval()


def byte_tokenizer() -> Any:
    """A tokenizer of single bytes with Qwen's special words, without a download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    special += ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]
    vocabulary = {
        sign: number
        for number, sign in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), *special])
    }
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    words = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=special[0],
        pad_token=special[0],
        additional_special_tokens=special[1:],
        model_max_length=1024,
    )
    words.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}"
    )
    return words


QWEN_VISION = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": 16,
}


def qwen_decoder() -> Any:
    return AutoencoderKLQwenImage(
        base_dim=24,
        z_dim=4,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    ).eval()


def qwen_encoder(words: Any) -> Any:
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        "rope_theta": 1e6,
        "vocab_size": len(words),
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text,
            vision_config=QWEN_VISION,
            image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
            vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        )
    ).eval()


# The real processors pass messages as lists of parts.
CHAT_OF_PARTS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'][0]['text'] }}"
    "<|im_end|>\n{% endfor %}"
)


def qwen3_vl_config(words: Any, *, layers: int = 2, width: int = 16) -> Any:
    text = {
        "hidden_size": width,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": len(words),
    }
    vision = {**QWEN_VISION, "out_hidden_size": width}
    return Qwen3VLConfig(text_config=text, vision_config=vision)


def mistral3_config(words: Any, *, layers: int) -> Any:
    text = {
        "model_type": "mistral",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "vocab_size": len(words),
    }
    vision = {
        "model_type": "pixtral",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    return Mistral3Config(text_config=text, vision_config=vision)


def flux2_decoder() -> Any:
    return AutoencoderKLFlux2(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    ).eval()


def qwen_processor(words: Any) -> PromptProcessor:
    images = Qwen2VLImageProcessorPil(
        min_pixels=16, max_pixels=28 * 28, patch_size=14, merge_size=2, temporal_patch_size=2
    )
    return PromptProcessor(images, words)
