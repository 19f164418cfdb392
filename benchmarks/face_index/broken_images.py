"""Enrolment with 10,000 broken images: no crash, bounded memory and time, a reason for each.

    python -m benchmarks.face_index.broken_images [COUNT]

The process may use 3 GB of address space beyond what it has after loading the networks; a larger
allocation would end it.
"""

from __future__ import annotations

import io
import random
import resource
import statistics
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.refusals import LANGUAGES
from face_index.registration.enrolment import check_photo
from scanner.miniature.persons import CALIBRATION_SEEDS, person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "HEIF")
EXTRA_BYTES = 3_000_000_000


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def picture(rng: random.Random) -> Image.Image:
    return Image.fromarray(draw_photo(person_of(rng.choice(CALIBRATION_SEEDS)), 0).pixels)


def truncated(rng: random.Random) -> bytes:
    whole = encoded(picture(rng), rng.choice(FORMATS))
    return whole[: rng.randrange(1, len(whole))]


def flipped(rng: random.Random) -> bytes:
    data = bytearray(encoded(picture(rng), rng.choice(FORMATS)))
    for _ in range(rng.randrange(1, 40)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def noise(rng: random.Random) -> bytes:
    start = rng.choice(
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF", b"II*\0", b"BM", b""]
    )
    return start + rng.randbytes(rng.randrange(0, 3000))


def bomb(rng: random.Random) -> bytes:
    """A PNG that claims many pixels, and holds real ones for some of them."""
    width, height = rng.choice(
        [(8_000, 8_000), (8_900, 8_900), (50_000, 50_000), (2**31 - 1, 1), (60_000, 1_300)]
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = zlib.compress(bytes((width * 3 + 1) * min(height, 400)), 1) if width < 100_000 else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def whole_bomb(_: random.Random) -> bytes:
    return WHOLE_BOMB


def huge(rng: random.Random) -> bytes:
    side = rng.choice([(6_000, 4_000), (9_000, 300), (300, 9_000)])
    return encoded(picture(rng).resize(side), "JPEG", quality=30)


def tiny(rng: random.Random) -> bytes:
    return encoded(
        picture(rng).resize((rng.randrange(1, 12), rng.randrange(1, 12))),
        rng.choice(("PNG", "JPEG", "GIF", "BMP")),
    )


def animated(rng: random.Random) -> bytes:
    frames = [picture(rng) for _ in range(3)]
    return encoded(
        frames[0],
        rng.choice(("GIF", "WEBP", "TIFF", "PNG")),
        save_all=True,
        append_images=frames[1:],
    )


def colour_mode(rng: random.Random) -> bytes:
    mode = rng.choice(["CMYK", "L", "1", "P", "LA", "RGBA", "YCbCr", "LAB", "I", "F"])
    form = "PNG" if mode in ("L", "1", "P", "LA", "RGBA") else "TIFF"
    return encoded(picture(rng).convert("RGB" if mode == "LAB" else mode), form)


def cmyk_jpeg(rng: random.Random) -> bytes:
    return encoded(picture(rng).convert("CMYK"), "JPEG")


def turned(rng: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_535])
    return encoded(picture(rng), rng.choice(("JPEG", "PNG", "WEBP")), exif=exif)


def not_image(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"",
            b"%!PS-Adobe-3.0 EPSF-3.0\n",
            b"<svg/>",
            b"PK\x03\x04" + bytes(50),
            b"%PDF-1.7",
            b"MZ" + bytes(99),
        ]
    )


KINDS: dict[str, tuple[Callable[[random.Random], bytes], int]] = {
    "truncated": (truncated, 25),
    "flipped bytes": (flipped, 25),
    "noise": (noise, 12),
    "bomb": (bomb, 2),
    "whole bomb": (whole_bomb, 1),
    "huge": (huge, 1),
    "tiny": (tiny, 8),
    "animated": (animated, 4),
    "colour mode": (colour_mode, 10),
    "CMYK JPEG": (cmyk_jpeg, 3),
    "EXIF turned": (turned, 6),
    "not an image": (not_image, 3),
}
WHOLE_BOMB = encoded(Image.new("L", (8_900, 8_900)), "PNG")


def main(count: int) -> None:
    rng = random.Random(10)
    pack = find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})
    reader = InsightFaceReader(pack)
    reader.read([np.zeros((64, 64, 3), np.uint8)])
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    times: list[tuple[float, str]] = []
    names, weights = list(KINDS), [weight for _, weight in KINDS.values()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        for _ in range(count):
            kind = rng.choices(names, weights)[0]
            path.write_bytes(KINDS[kind][0](rng))
            started = time.perf_counter()
            refusal = check_photo(reader, pack.bar, path).refusal
            times.append((time.perf_counter() - started, kind))
            if refusal is None:
                outcomes[kind]["a usable face"] += 1
            else:
                assert all(refusal.text(language) for language in LANGUAGES)
                outcomes[kind][str(refusal.why)] += 1
    for kind, counted in outcomes.items():
        print(
            f"{kind:14} " + ", ".join(f"{number} {what}" for what, number in counted.most_common())
        )
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, slowest_kind = max(times)
    print(
        f"{count:,} images, no crash, each a face or a reason in both languages; median "
        f"{statistics.median(t for t, _ in times) * 1e3:.1f} ms, "
        f"slowest {slowest * 1e3:.0f} ms ({slowest_kind}); peak memory {after / 1e3:.0f} MB, "
        f"{(after - before) / 1e3:.0f} MB "
        f"of it for images"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
