"""Pictures with generator parameters, built byte by byte in the formats that programs write."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from tests.servers.pictures import plain

USER_COMMENT = 0x9286
A1111 = (
    "portrait of ohwx, 人像写真, café, <lora:ohwx_v2:0.8>\n"
    "Negative prompt: blurry, 低质量\nSteps: 25, Sampler: Euler a, CFG scale: 5, "
    "Seed: 42, Size: 832x1216, Model hash: aabbccddee, Model: someXL, Lora hashes: "
    '"ohwx_v2: 0123456789ab", Version: v1.10.1'
)


def tiff(
    order: str,
    ifd0: Mapping[int, tuple[int, bytes]],
    exif: Mapping[int, tuple[int, bytes]] | None = None,
) -> bytes:
    """The TIFF structure of EXIF: tags with types and bytes."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}

    def directory(tags: Mapping[int, tuple[int, bytes]], start: int) -> bytes:
        after = start + 2 + 12 * len(tags) + 4
        entries, rest = b"", b""
        for tag, (kind, data) in sorted(tags.items()):
            value = data.ljust(4, b"\0")
            if len(data) > 4:
                value, rest = (
                    struct.pack(f"{order}I", after + len(rest)),
                    rest + data + b"\0" * (len(data) % 2),
                )
            entries += struct.pack(f"{order}HHI", tag, kind, len(data) // sizes[kind]) + value
        return struct.pack(f"{order}H", len(tags)) + entries + b"\0\0\0\0" + rest

    first = dict(ifd0)
    if exif is not None:
        first[0x8769] = (4, b"\0\0\0\0")
        first[0x8769] = (4, struct.pack(f"{order}I", 8 + len(directory(first, 8))))
    begin = (
        (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + directory(first, 8)
    )
    return begin + (directory(exif, len(begin)) if exif is not None else b"")


def jpeg(exif: bytes) -> bytes:
    data, segment = plain("JPEG"), b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def with_exif(kind: str, exif: bytes) -> bytes:
    """EXIF in a segment of a JPEG, or where Pillow writes it in other formats."""
    return (
        jpeg(exif)
        if kind == "JPEG"
        else plain(kind, exif=b"Exif\0\0" + exif if kind in ("HEIF", "TIFF") else exif)
    )


def commented(comment: bytes, order: str = "<", kind: str = "JPEG", tag_type: int = 7) -> bytes:
    """A picture with these bytes as its UserComment."""
    return with_exif(kind, tiff(order, {}, {USER_COMMENT: (tag_type, comment)}))


def chunked(**texts: str | tuple[str, str]) -> bytes:
    """A PNG with text chunks: iTXt, or the kind that is named with the text."""
    info = PngImagePlugin.PngInfo()
    for name, told in texts.items():
        text, kind = (told, "iTXt") if isinstance(told, str) else told
        if kind == "iTXt":
            info.add_itxt(name, text)
        else:
            info.add_text(name, text, zip=kind == "zTXt")
    return plain(pnginfo=info)


def graph_picture(graph: Mapping[str, Any], **more: str) -> bytes:
    return chunked(prompt=json.dumps(graph), **more)


def hidden(
    text: bytes, signature: bytes, mode: str = "RGBA", kind: str = "PNG", length: int | None = None
) -> bytes:
    """A picture with a text in the lowest bits of its pixels, column by column."""
    message = signature + (len(text) * 8 if length is None else length).to_bytes(4, "big") + text
    bits = np.unpackbits(np.frombuffer(message, np.uint8))
    wide = high = max(96, int(len(bits) ** 0.5) + 1)
    pixels = np.full((wide, high, len(mode)), 255, np.uint8)  # columns first
    channels = pixels[:, :, 3:] if mode == "RGBA" and b"png" in signature else pixels[:, :, :3]
    flat = np.ascontiguousarray(channels).reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    channels[...] = flat.reshape(channels.shape)
    data = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 0, 2), mode).save(
        data, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})
    )
    return data.getvalue()


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(
    *, model: list[Any] | None = None, clip: list[Any] | None = None, **nodes: Any
) -> dict[str, Any]:
    """ComfyUI's usual graph; the given nodes replace its nodes or are added to them."""
    model, clip = model or ["4", 0], clip or ["4", 1]
    usual = {
        "7": node("CLIPTextEncode", text="blurry, watermark", clip=clip),
        "6": node("CLIPTextEncode", text="portrait of ohwx", clip=clip),
        "3": node(
            "KSampler",
            seed=1,
            steps=20,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=model,
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="someXL.safetensors"),
        "5": node("EmptyLatentImage", width=8, height=8, batch_size=1),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }
    return usual | {name.removeprefix("n"): one for name, one in nodes.items()}
