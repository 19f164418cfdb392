"""Opening files of strangers: each gives pixels within limits or a reason, never a crash."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_index.faces.photos import LONGEST_SIDE_PX, PhotoRefused, open_photo, photo_from, photos_in
from face_index.faces.refusals import LANGUAGES, Refusal, Why
from scanner.miniature.albums import draw_photos


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def noise(width: int = 90, height: int = 120) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims any size: a decompression bomb's beginning."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "HEIF"])
def test_every_usual_format_opens(form: str) -> None:
    photo = photo_from("a", encoded(noise(), form))
    assert photo.pixels.shape == (120, 90, 3)
    assert photo.pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    form = "PNG" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "TIFF"
    grey = (
        Image.fromarray(np.full((50, 40), 40_000, np.uint16))
        if mode == "I;16"
        else noise(40, 50).convert(mode)
    )
    photo = photo_from("a", encoded(grey, form))
    assert photo.pixels.shape == (50, 40, 3)
    if mode == "I;16":
        assert abs(int(photo.pixels.mean()) - 155) <= 2  # 40000 of 65535, not cut at 255


def test_it_stands_upright_as_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert photo_from("a", encoded(noise(), "JPEG", exif=exif)).pixels.shape == (90, 120, 3)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("white", "black", "red")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert photo_from("a", data).pixels.min() == 255


def test_a_large_photo_is_made_smaller() -> None:
    assert max(photo_from("a", encoded(noise(5000, 1000), "JPEG")).pixels.shape) == LONGEST_SIDE_PX


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", Why.NOT_AN_IMAGE),
        (b"GIF89a", Why.NOT_AN_IMAGE),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            Why.NOT_AN_IMAGE,
        ),  # would start Ghostscript
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', Why.NOT_AN_IMAGE),
        (png_claiming(50_000, 50_000), Why.TOO_LARGE),
        (png_claiming(2_000_000_000, 2), Why.TOO_LARGE),
        (png_claiming(0, 0), Why.NOT_AN_IMAGE),
        (png_claiming(8000, 8000), Why.NOT_AN_IMAGE),  # within the limit, but it ends too early
    ],
)
def test_what_cannot_be_opened_has_a_reason(data: bytes, why: Why) -> None:
    with pytest.raises(PhotoRefused) as caught:
        photo_from("a", data)
    assert caught.value.refusal.why == why


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)  # sparse
    with pytest.raises(PhotoRefused, match="10000 MB"):
        open_photo(path)
    with pytest.raises(PhotoRefused, match="no such file"):
        open_photo(tmp_path / "none.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    for odd in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(PhotoRefused):
            open_photo(odd)


SEEDS = [encoded(noise(), form) for form in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "HEIF")]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.floats(0, 1),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
)
def test_any_damage_ends_as_pixels_or_a_reason(
    whole: bytes, kept: float, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(whole[: max(1, int(len(whole) * kept))])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        photo = photo_from("a", bytes(data))
    except PhotoRefused as error:
        assert all(error.refusal.text(language) for language in LANGUAGES)
    else:
        assert photo.pixels.ndim == 3
        assert max(photo.pixels.shape) <= LONGEST_SIDE_PX


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_as_a_reason(data: bytes) -> None:
    with pytest.raises(PhotoRefused):
        photo_from("a", data)


def test_copies_are_known_and_other_photos_are_not(tmp_path: Path) -> None:
    first, second = (open_photo(path) for path in draw_photos(900, 2, tmp_path))
    picture = Image.fromarray(first.pixels)
    copies = {
        "recompressed": encoded(picture, "JPEG", quality=60),
        "smaller": encoded(picture.resize((80, 80)), "PNG"),
        "mirrored": encoded(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"),
        "brighter": encoded(picture.point(lambda value: min(255, int(value * 1.1))), "PNG"),
    }
    assert [
        name for name, data in copies.items() if not photo_from(name, data).is_copy_of(first)
    ] == []
    assert not second.is_copy_of(first)


def test_every_reason_is_a_sentence_in_both_languages() -> None:
    facts = {
        "problem": "x",
        "found": "1",
        "limit": "2",
        "count": 2,
        "name": "a.png",
        "places": "1 x=0 y=0",
        "likely": 2,
        "number": 3,
        "score": 0.4,
        "needed": 0.5,
        "degrees": 50.0,
        "cosine": 0.1,
        "other": "b.png",
        "person": 1,
    }
    for why in Why:
        numbers = {**facts, "found": 3.0, "needed": 9.0} if why == Why.TOO_SMALL else facts
        english, chinese = (Refusal(why, numbers).text(language) for language in LANGUAGES)
        assert ";" in english or "," in english, why  # says what to do, not only what is wrong
        assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese), why
        assert "{" not in english + chinese


def test_only_pictures_are_taken_from_a_folder(tmp_path: Path) -> None:
    draw_photos(1, 2, tmp_path)
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    (tmp_path / "IMG.JPG").write_bytes(encoded(noise(), "JPEG"))
    assert len(photos_in([tmp_path])) == 3
