"""Tiny random pipelines of real diffusers classes, with the tokenizer of the miniature world."""

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

__all__ = [
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
