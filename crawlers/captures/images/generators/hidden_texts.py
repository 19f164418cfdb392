"""Parameters hidden in the lowest bits of pixels (stealth_pnginfo; NovelAI writes the same).

The pixels are read column by column: one bit of the alpha channel, or one bit each of red, green
and blue. They hold a signature, the length of the text in bits (32 bits, big-endian), and the text
in UTF-8, with gzip or without, which the signature says.
"""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

_SIGNATURES = {  # True for gzip
    "alpha": {b"stealth_pnginfo": False, b"stealth_pngcomp": True},
    "colours": {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True},
}
_SIGNATURE_BYTES = 15
_LENGTH_BYTES = 4
_MOST_BYTES = 4_000_000
_GZIP = 16 + zlib.MAX_WBITS


class HiddenTextUnreadable(Exception):
    """The pixels hold the signature of a hidden text, but no readable text."""


def hidden_text(picture: Image.Image) -> str | None:
    """The hidden text of a picture; None without a signature.

    Raises:
        HiddenTextUnreadable: there is a signature, but no readable text.
    """
    if picture.mode not in ("RGBA", "RGB"):
        return None
    for place, signatures in _SIGNATURES.items():
        if place == "alpha" and picture.mode != "RGBA":
            continue
        channels = slice(3, 4) if place == "alpha" else slice(0, 3)
        head = _bytes(picture, channels, 0, _SIGNATURE_BYTES + _LENGTH_BYTES)
        packed = signatures.get(head[:_SIGNATURE_BYTES])
        if packed is not None:
            length = int.from_bytes(head[_SIGNATURE_BYTES:], "big") // 8
            return _text(
                _bytes(picture, channels, _SIGNATURE_BYTES + _LENGTH_BYTES, length),
                length,
                packed=packed,
            )
    return None


def _bytes(picture: Image.Image, channels: slice, start: int, length: int) -> bytes:
    """Bytes from the lowest bits; fewer if the picture has no more."""
    each = channels.stop - channels.start
    wide, high = picture.size
    last = min(wide, -(-(start + length) * 8 // each) // high + 1)  # columns with these bits
    columns = np.asarray(picture.crop((0, 0, last, high))).transpose(1, 0, 2)
    bits = (columns[:, :, channels] & 1).reshape(-1)
    return np.packbits(bits[start * 8 : (start + length) * 8]).tobytes()


def _text(data: bytes, length: int, *, packed: bool) -> str:
    if length > _MOST_BYTES or len(data) < length:
        raise HiddenTextUnreadable(
            f"a hidden text of {length:,} bytes is announced, and {len(data):,} are there"
        )
    if packed:
        unpacking = zlib.decompressobj(_GZIP)
        try:
            data = unpacking.decompress(data, _MOST_BYTES)
        except zlib.error as error:
            raise HiddenTextUnreadable("a hidden text is damaged") from error
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise HiddenTextUnreadable("a hidden text is damaged or larger than is read")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HiddenTextUnreadable("a hidden text is no UTF-8") from error
