"""All places that open images open the same formats by content; other files are named."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import crawlers.captures.images.image_formats
import face_index.faces.image_formats
from crawlers.captures.images.pictures import picture_from
from crawlers.captures.images.provenance import provenance_of
from crawlers.captures.pages.page import Limits
from crawlers.captures.reading import captures_in, left_out_of
from face_index.faces.capture_faces import pixels_of
from face_index.faces.image_formats import FORMATS, ImageRefused, Kind, kind_of, open_image
from face_index.faces.photos import PhotoRefused, files_in, open_photo, photo_from, photos_in
from face_index.faces.refusals import Why
from scanner.captures.capture_records import _face_png
from scanner.factories import open_intake
from scanner.miniature.albums import draw_photos
from scanner.settings import Settings
from tests.servers.pictures import camera
from tests.test_cli import run

WRITTEN = [*FORMATS, "MPO"]
OTHERS = {
    "page.jpg": (b"<!DOCTYPE html><html><head><title>404</title>", "a web page"),
    "empty.png": (b"", "an empty file"),
    "film.mp4": (struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2", "a video"),
    "film.mov": (struct.pack(">I", 20) + b"ftypqt  \0\0\2\0qt  ", "a video"),
    "film.webm": (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "a video"),
    "logo.svg": (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "an SVG drawing",
    ),
    "old.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "a JPEG 2000 image"),
    "new.jxl": (b"\xff\x0a\xfa\x1f\x41", "a JPEG XL image"),
    "scan.pdf": (b"%PDF-1.7\n", "a PDF document"),
    "figure.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
    "letter.docx": (b"PK\3\4\x14\0\6\0", "a zip archive or office document"),
    "layers.psd": (b"8BPS\0\1", "a Photoshop document"),
    "notes.txt": (b"to do\n", "a text file"),
    "noise": (bytes(range(200)), "a file of an unknown kind"),
}


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def noise(width: int = 90, height: int = 120, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def animated(form: str, frames: list[Image.Image]) -> bytes:
    options: dict[str, Any] = {"loop": 0} if form in ("GIF", "WEBP", "PNG") else {}
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=80, **options)


def test_both_packages_have_the_same_list() -> None:
    """Neither package may import the other, so both hold the same file."""
    one, other = (
        Path(str(module.__file__))
        for module in (crawlers.captures.images.image_formats, face_index.faces.image_formats)
    )
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("form", WRITTEN)
def test_a_format_opens_everywhere_or_nowhere(form: str) -> None:
    data = encoded(noise(), form)
    assert photo_from("a", data).pixels.shape == (120, 90, 3)
    assert pixels_of(data).shape == (120, 90, 3)
    picture = picture_from(data)
    assert (picture.width, picture.height, picture.problem) == (90, 120, None)
    assert Image.open(io.BytesIO(_face_png(data, (10, 10, 60, 60)))).size[0] > 50


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "WEBP"])
def test_what_newer_formats_say_of_themselves_is_told(form: str) -> None:
    with Image.open(io.BytesIO(camera())) as jpeg:
        data = encoded(jpeg.copy(), form, exif=jpeg.getexif())
    assert provenance_of(data).camera["model"] == "EOS R5"


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_file_is_named_for_what_it_is(name: str) -> None:
    data, what = OTHERS[name]
    assert kind_of(data) == what
    assert picture_from(data).problem == f"no picture that can be opened: {what}"
    with pytest.raises(ImageRefused, match=what):
        pixels_of(data)
    with pytest.raises(PhotoRefused) as caught:
        photo_from(name, data)
    assert caught.value.refusal.why == Why.NOT_AN_IMAGE
    assert what in caught.value.refusal.text()
    assert what not in caught.value.refusal.text("zh-CN")


def test_a_damaged_image_is_called_damaged() -> None:
    cut = encoded(noise(400, 400), "JPEG")[:2_000]
    assert picture_from(cut).problem == "a damaged JPEG"
    with pytest.raises(PhotoRefused, match="damaged JPEG"):
        photo_from("a", cut)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("blank", ["white", "black"])
def test_an_animation_is_read_at_its_first_frame_that_shows_anything(form: str, blank: str) -> None:
    frames = [Image.new("RGB", (90, 120), blank)] * 2 + [noise(), noise(seed=1)]
    data = animated(form, frames)
    assert photo_from("a", data).pixels.std() > 40
    assert pixels_of(data).std() > 40
    assert picture_from(data).pdq is not None
    alone = animated(form, [frames[0], Image.new("RGB", (90, 120), "grey"), frames[0]])
    assert photo_from("a", alone).pixels.std() < 5


def test_a_transparent_first_frame_is_blank() -> None:
    frames = [Image.new("RGBA", (90, 120), (0, 0, 0, 0)), noise().convert("RGBA")]
    assert photo_from("a", animated("WEBP", frames)).pixels.std() > 40


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([encoded(noise(), form) for form in WRITTEN]),
    st.integers(0, 3_000),
    st.binary(max_size=40),
)
def test_any_damage_is_an_image_or_a_reason(whole: bytes, at: int, change: bytes) -> None:
    data = whole[:at] + change + whole[at + len(change) :]
    picture = picture_from(data)
    assert picture.problem or picture.width > 0
    assert isinstance(kind_of(data), Kind)
    try:
        open_image(data).close()
    except ImageRefused as refused:
        assert str(refused)
    except Exception as error:  # Pillow's plugins raise anything for damaged files
        assert error


class TestFolderOfPhotos:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        names = iter(["a.jfif", "b.jpe", "c.avif", "d.HIF", "e", "f.jpg.download", "g.jpg"])
        forms = iter(["JPEG", "JPEG", "AVIF", "HEIF", "PNG", "JPEG", "WEBP"])
        for path in draw_photos(900, 7, folder):
            with Image.open(path) as picture:
                (folder / next(names)).write_bytes(encoded(picture.convert("RGB"), next(forms)))
            path.unlink()
        return folder

    def test_photos_are_told_by_content_and_not_by_name(self, folder: Path) -> None:
        assert len(photos_in([folder])) == 7
        assert all(open_photo(path).pixels.size for path in files_in([folder]))

    def test_every_file_of_a_folder_is_taken_or_listed_with_a_reason(
        self, folder: Path, tmp_path: Path
    ) -> None:
        for name, (data, _) in OTHERS.items():
            (folder / name).write_bytes(data)
        (folder / "more").mkdir()
        (folder / ".hidden").write_bytes(b"x")
        done = run(
            "enroll",
            "Someone",
            folder,
            "--face-pack",
            "miniature",
            "--submitted-by",
            "olga",
            "--yes",
            "--json",
            home=tmp_path / "home",
        )
        assert done.returncode == 0, done.stderr
        told = {one["name"]: one["reason"] for one in json.loads(done.stdout)["photos"]}
        assert len(told) == 7 + len(OTHERS) + 1
        for name, (_, what) in OTHERS.items():
            assert what in told[name]
        assert "a folder" in told["more"]
        assert ".hidden: left out" in done.stderr

    def test_files_named_on_the_command_line_are_listed_as_well(
        self, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "notes").write_text("to do")
        (tmp_path / "page.jpg").write_bytes(OTHERS["page.jpg"][0])
        done = run(
            "enroll",
            "Someone",
            folder,
            tmp_path / "notes",
            tmp_path / "page.jpg",
            "--face-pack",
            "miniature",
            "--submitted-by",
            "olga",
            "--yes",
            home=tmp_path / "home",
        )
        assert done.returncode == 0, done.stderr
        assert "notes: not a readable image (a text file)" in done.stderr
        assert "page.jpg: not a readable image (a web page)" in done.stderr


class TestCaptures:
    def test_pictures_are_captures_whatever_their_names_are(self, tmp_path: Path) -> None:
        for name, form in {"a.jfif": "JPEG", "b.HIF": "HEIF", "c.avif": "AVIF", "d": "PNG"}.items():
            (tmp_path / name).write_bytes(encoded(noise(), form))
        (tmp_path / "page").write_text("<!doctype html><title>T</title>")
        for name, (data, _) in OTHERS.items():
            (tmp_path / name).write_bytes(data)
        names = [path.name for path in captures_in([tmp_path])]
        assert {"a.jfif", "b.HIF", "c.avif", "d", "page"} <= set(names)
        left_out = [path.name for path in left_out_of([tmp_path])]
        assert {"film.mp4", "letter.docx", "notes.txt", "old.jp2"} <= set(left_out)
        assert sorted(names + left_out) == sorted(path.name for path in tmp_path.iterdir())

    @pytest.mark.parametrize("form", ["HEIF", "AVIF"])
    def test_they_are_opened_in_the_reading_process(self, form: str, tmp_path: Path) -> None:
        (tmp_path / "page_files").mkdir()
        (tmp_path / "page_files" / "a.bin").write_bytes(encoded(noise().resize((900, 1_200)), form))
        (tmp_path / "page_files" / "b.jpg").write_bytes(OTHERS["film.mp4"][0])
        (tmp_path / "page.html").write_text(
            '<html><img src="page_files/a.bin"><img src="page_files/b.jpg"></html>'
        )
        taking = open_intake(Settings(home=tmp_path / "home"), limits=Limits())
        try:
            capture = taking.take_one(tmp_path / "page.html", "olga").capture
            [page] = taking.captures.pages(capture.capture_id)
            [good, bad] = taking.captures.images(page.page_id)
        finally:
            taking.close()
        assert (good.picture.width, good.picture.height, good.picture.problem) == (900, 1_200, None)
        assert bad.picture.problem == "no picture that can be opened: a video"
        assert any(
            "1 of its images cannot be opened: image 2 is no picture" in note for note in page.notes
        )
