"""A processor of prompts and images for pipelines that read them with a vision-language model.

transformers' processors of Qwen2.5-VL and Qwen3-VL prepare videos too and need torchvision for it.
This program passes text, and a single image for models that edit one.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from transformers import AutoImageProcessor, AutoTokenizer, BatchFeature
from transformers.processing_utils import ProcessorMixin

if TYPE_CHECKING:
    from pathlib import Path

_IMAGE = "<|image_pad|>"


class PromptProcessor(ProcessorMixin):  # type: ignore[misc]  # transformers has no types
    """Tokenizer and image processor of a vision-language model."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
    ) -> None:
        """Take the parts; without a chat template of its own, the tokenizer's is used."""
        template = chat_template or tokenizer.chat_template
        super().__init__(image_processor, tokenizer, chat_template=template)

    def __call__(self, text: str | list[str], images: Any = None, **options: Any) -> BatchFeature:
        """Return tokens and pixels.

        As in transformers' Qwen2_5_VLProcessor, the placeholder of an image is repeated once for
        each of the image's tokens.

        Args:
            images: in the order of their placeholders in the texts.
            options: of the tokenizer.
        """
        texts = [text] if isinstance(text, str) else list(text)
        pixels: dict[str, Any] = {}
        if images is not None:
            pixels = dict(self.image_processor(images=images, return_tensors="pt"))
            merged = self.image_processor.merge_size**2
            counts = [prod(grid.tolist()) // merged for grid in pixels["image_grid_thw"]]
            texts = [_with_tokens(one, counts) for one in texts]
        return BatchFeature({**self.tokenizer(texts, **options), **pixels})


def _with_tokens(text: str, counts: list[int]) -> str:
    """Return a text with each placeholder repeated, and remove the counts that were used."""
    first, *others = text.split(_IMAGE)
    return first + "".join(_IMAGE * counts.pop(0) + other for other in others)


def load_prompt_processor(location: str, cache: Path) -> PromptProcessor:
    """Load the processor of a pipeline from its folder or hub id.

    Raises:
        OSError: it is not there and cannot be fetched.
    """
    places = {"subfolder": "processor", "cache_dir": cache}
    return PromptProcessor(
        AutoImageProcessor.from_pretrained(location, **places),
        AutoTokenizer.from_pretrained(location, **places),
    )
