"""A processor of prompts for pipelines that read them with a vision-language model.

transformers' Qwen3VLProcessor prepares images and videos too and needs torchvision for it. This
program passes only text, for which that processor calls its tokenizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer
from transformers.processing_utils import ProcessorMixin

if TYPE_CHECKING:
    from pathlib import Path


class PromptProcessor(ProcessorMixin):  # type: ignore[misc]  # transformers has no types
    """The tokenizer of a vision-language model with the interface of a processor."""

    def __init__(self, tokenizer: Any = None, chat_template: str | None = None) -> None:
        """Take a tokenizer; without a chat template of its own, the tokenizer's is used."""
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)

    def __call__(self, text: str | list[str], **options: Any) -> Any:
        """Return the tokens of prompts; see transformers' PreTrainedTokenizerBase.__call__."""
        return self.tokenizer([text] if isinstance(text, str) else text, **options)


def load_prompt_processor(location: str, cache: Path) -> PromptProcessor:
    """Load the processor of a pipeline from its folder or hub id.

    Raises:
        OSError: it is not there and cannot be fetched.
    """
    return PromptProcessor(
        AutoTokenizer.from_pretrained(location, subfolder="processor", cache_dir=cache)
    )
