"""Tiny random pipelines of real diffusers classes, with the tokenizer of the miniature world."""

from collections.abc import Callable
from typing import Any

from tests.tiny_pipelines.flux import tiny_chroma, tiny_flux, tiny_flux2, tiny_klein, tiny_kontext
from tests.tiny_pipelines.image_models import (
    tiny_ernie,
    tiny_hunyuan,
    tiny_ideogram,
    tiny_krea2,
    tiny_lumina2,
    tiny_qwen,
    tiny_qwen21,
    tiny_qwen_edit,
    tiny_z_image,
)
from tests.tiny_pipelines.stable_diffusion import (
    sd1_on_meta,
    tiny_checker,
    tiny_sd1,
    tiny_sd3,
    tiny_sdxl,
)
from tests.tiny_pipelines.video_models import tiny_hunyuan_video, tiny_ltx2, tiny_wan, tiny_wan22

# By the family, or size of a family, that each is of.
PIPELINES: dict[str, Callable[[], Any]] = {
    "SD1": tiny_sd1,
    "SD2": lambda: tiny_sd1(48, use_linear_projection=True),
    "SDXL": tiny_sdxl,
    "SD3": tiny_sd3,
    "Flux.1": tiny_flux,
    "Flux.2": tiny_flux2,
    "Flux.2 Klein 4B": tiny_klein,
    "Chroma": tiny_chroma,
    "Qwen-Image": tiny_qwen,
    "Qwen-Image-2.1": tiny_qwen21,
    "Z-Image": tiny_z_image,
    "Lumina2": tiny_lumina2,
    "Krea2": tiny_krea2,
    "Ernie-Image": tiny_ernie,
    "Ideogram 4": tiny_ideogram,
    "HunyuanImage": tiny_hunyuan,
    "HunyuanVideo": tiny_hunyuan_video,
    "Wan": tiny_wan,
    "LTX-2": tiny_ltx2,
}

__all__ = [
    "PIPELINES",
    "sd1_on_meta",
    "tiny_checker",
    "tiny_chroma",
    "tiny_ernie",
    "tiny_flux",
    "tiny_flux2",
    "tiny_hunyuan",
    "tiny_hunyuan_video",
    "tiny_ideogram",
    "tiny_klein",
    "tiny_kontext",
    "tiny_krea2",
    "tiny_ltx2",
    "tiny_lumina2",
    "tiny_qwen",
    "tiny_qwen21",
    "tiny_qwen_edit",
    "tiny_sd1",
    "tiny_sd3",
    "tiny_sdxl",
    "tiny_wan",
    "tiny_wan22",
    "tiny_z_image",
]
