"""Places of a captured page's images: folders in any language, style sheets, archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.formats.files import saved_by_comment
from crawlers.captures.formats.own_folders import own_folders
from crawlers.captures.pages.page import CapturedPage, Format, Reading
from crawlers.captures.pages.styles import imported_urls, style_images
from crawlers.captures.reading import captures_in, left_out_of, parts_beside, read_capture
from tests.test_page_images import captured, inline, photo, read, saved, shown

WORDS = [
    "_files",
    ".files",
    "_Dateien",
    "-Dateien",
    "-filer",
    "_file",
    "_bestanden",
    "_tiedostot",
    "_pliki",
    "_soubory",
    "_elemei",
    "_ficheiros",
    "_arquivos",
    "_dosyalar",
    "_datoteke",
    "_fitxers",
    "_podaci",
    "_bylos",
    "_failid",
    "_fails",
    "_fajlovi",
    "_kartkatuz",
    "_fichiers",
    "_archivos",
    "_data",
    "-файлы",
    "_fitxategiak",
    ".html_files",
]


def kept(
    folder: Path, html: str, files: dict[str, bytes], name: str = "page.html"
) -> tuple[CapturedPage, list[str]]:
    """Read a page that was saved with other files; also returns the names of all captures there."""
    for place, data in {name: html.encode(), **files}.items():
        (folder / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / place).write_bytes(data)
    (folder / "room").mkdir()
    [page] = read_capture(folder / "in" / name, folder / "room").pages
    return page, [path.name for path in captures_in([folder / "in"])]


class TestFolderNames:
    @pytest.mark.parametrize("word", WORDS)
    @pytest.mark.parametrize("stem", ["page", "My.page-2 (1)", "图 片#1", "100%"])
    def test_a_folder_in_any_language_is_the_pages_own(
        self, tmp_path: Path, stem: str, word: str
    ) -> None:
        place = (stem + word).replace("%", "%25").replace("#", "%23")
        html = f'<html><img src="{place}/1.png" alt="a">'
        page, inside = kept(tmp_path, html, {f"{stem}{word}/1.png": photo(1)}, f"{stem}.html")
        assert (shown(page), page.notes) == ([("a", photo(1))], ())
        assert inside == [f"{stem}.html"]
        assert left_out_of([tmp_path / "in"]) == []
        assert parts_beside(tmp_path / "in" / f"{stem}.html") == [
            tmp_path / "in" / f"{stem}{word}" / "1.png"
        ]

    @pytest.mark.parametrize(
        "html",
        [
            '<link rel=stylesheet href="page-filer/a.css">',
            "<style>p{background:url(./page-filer/1.png)}</style>",
            '<img srcset="page-filer/1.png 2x">',
            '<i style="background:url(page-filer/1.png)">',
            '<iframe src="page-filer/f.html">',
            '<base href="https://site.example/"><img src="page-filer\\1.png">',
            '<body background="page-filer/1.png">',
        ],
    )
    def test_whatever_the_page_embeds_from_it(self, tmp_path: Path, html: str) -> None:
        (tmp_path / "page-filer").mkdir()
        (tmp_path / "page.html").write_text(f"<html>{html}</html>")
        assert own_folders(tmp_path / "page.html") == [tmp_path / "page-filer"]

    @pytest.mark.parametrize(
        "html",
        [
            "<html>",
            "<html><p>page-shots/1.png",
            '<html><a href="page-shots/1.png">',
            '<html><img src="page-other/1.png">',
            '<html><img src="https://site.example/page-shots/1.png">',
        ],
    )
    def test_a_folder_that_the_page_does_not_embed_holds_captures(
        self, tmp_path: Path, html: str
    ) -> None:
        page, inside = kept(tmp_path, html, {"page-shots/1.png": photo(1)})
        assert (page.images, sorted(inside)) == ((), ["1.png", "page.html"])

    def test_links_are_no_folders(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "page-filer").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "page.html").write_text('<html><img src="page-filer/1.png">')
        assert own_folders(tmp_path / "page.html") == []


class TestStyles:
    def test_candidates_of_an_image_set_are_one_image(self, tmp_path: Path) -> None:
        one, two, three = inline(photo(1)), inline(photo(2)), inline(photo(3))
        html = (
            f"<html><div title=a style='background-image:image-set(\"{one}\" 1x)'></div>"
            f'<div title=b style="background:-webkit-image-set(url({one}) 1x, '
            f"url('{two}') 2x)\"></div>"
            "<div title=c style='background-image:image-set(url(gone.png) "
            f'type("image/x(") 2x, "{three}" 96dpi)\'></div>'
        )
        page = saved(tmp_path, html)
        assert (shown(page), page.notes) == (
            [("a", photo(1)), ("b", photo(2)), ("c", photo(3))],
            (),
        )

    def test_an_image_set_in_a_sheet_and_in_a_property(self, tmp_path: Path) -> None:
        style = (
            f':root{{--x:image-set("{inline(photo(1))}" 1x)}} '
            'p{background:image-set("page_files/2.png" 1x)}'
        )
        page = saved(
            tmp_path,
            f'<html><style>{style}</style><i style="background:var(--x)">',
            {"page_files/2.png": photo(2)},
        )
        assert [data for _, data in shown(page)] == [photo(1), photo(2)]

    def test_imported_sheets_are_read(self, tmp_path: Path) -> None:
        files = {
            "page-filer/a.css": b'@import "in/b.css" screen; @import url(a.css);',
            "page-filer/in/b.css": b"@IMPORT url( '../c.css' );",
            "page-filer/c.css": b"p{background:url(1.png)}",
            "page-filer/d.css": b"p{background:url(2.png)}",
            "page-filer/1.png": photo(1),
            "page-filer/2.png": photo(2),
        }
        html = (
            '<html><link rel=stylesheet href="page-filer/a.css"><style>@import '
            '"page-filer/d.css";</style>'
            f"<style>@import url(data:text/css;base64,{inline(b'x')[22:]});</style>"
            f'<link rel=stylesheet href="data:text/css,p{{background:url({inline(photo(3))})}}">'
        )
        page = saved(tmp_path, html, files)
        assert (sorted(data for _, data in shown(page)), page.notes) == (
            sorted([photo(1), photo(2), photo(3)]),
            (),
        )

    def test_sheets_imported_too_deep_are_told(self, tmp_path: Path) -> None:
        files = {
            f"page_files/{number}.css": f'@import "{number + 1}.css";'.encode()
            for number in range(9)
        }
        page = saved(tmp_path, '<html><link rel=stylesheet href="page_files/0.css">', files)
        assert page.notes == ("1 style sheet is imported by others deeper than is read",)

    @given(st.text("image-set(url\"')\\,x12 \n;@port", max_size=80))
    def test_any_style_is_read(self, style: str) -> None:
        for one in (style, f"image-set({style}", f"@import {style}"):
            assert all(address for places in style_images(one) for address in places)
            assert all(imported_urls(one))

    @given(st.lists(st.text("ab(1)'\\,", min_size=1, max_size=9), min_size=1, max_size=5))
    def test_every_string_of_an_image_set_is_found(self, names: list[str]) -> None:
        told = ", ".join(
            '"{}" {}x'.format(name.replace("\\", "\\\\"), number + 1)
            for number, name in enumerate(names)
        )
        assert list(style_images(f"a{{background:image-set({told})}}b{{background:url(z)}}")) == [
            names[::-1],
            ["z"],
        ]


class TestElements:
    @pytest.mark.parametrize(
        "element",
        [
            '<body background="{}">',
            '<table background="{}"><tr><td>',
            '<table><tr><td background="{}">',
            '<object data="{}"></object>',
            '<embed src="{}">',
            '<img src="data:," data-lazy="{}">',
            '<img src="data:," data-lazy-srcset="{} 2x">',
            '<div data-bg="{}"></div>',
            '<div data-bg="url({})"></div>',
            '<div data-background-image="{}"></div>',
            '<object data="{}" type="image/png"></object>',
        ],
    )
    def test_elements_that_show_an_image(self, tmp_path: Path, element: str) -> None:
        page = captured(
            tmp_path, "<html>" + element.format("/1.png"), {"https://site.example/1.png": photo(1)}
        )
        assert (shown(page), page.notes) == ([("", photo(1))], ())
        (tmp_path / "gone").mkdir()
        page = captured(tmp_path / "gone", "<html>" + element.format("/1.png"), {})
        assert (page.images, page.notes) == ((), ("1 image of the page is not in the capture",))

    def test_objects_of_other_kinds_and_colours_are_no_images(self, tmp_path: Path) -> None:
        html = (
            '<html><body background="#fff"><object data="/film.swf"></object><embed '
            'src="/x"><i data-bg="red"></i><object data="/id/3"></object>'
        )
        page = captured(tmp_path, html, {"https://site.example/id/3": photo(1)})
        assert (shown(page), page.notes) == ([("", photo(1))], ())


HEAD = (
    "<!--\n Page saved with SingleFile \n url: https://site.example/u \n"
    " saved date: Sun Mar 01 2026\n-->"
)


class TestSingleFile:
    def archive(self, path: Path, behind: bytes, cut: int = 0) -> Reading:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "index.html", '<html><title>Photos</title><p>inside<img src="1.png" alt="a">'
            )
            archive.writestr("1.png", photo(1))
        whole = packed.getvalue()
        path.write_bytes(
            f"<!DOCTYPE html><html>{HEAD}<body><!--".encode() + whole[: len(whole) - cut] + behind
        )
        return read(path)

    @pytest.mark.parametrize(
        "behind", [b"", b"-->", b" " * 70_000, b"PK\5\6" + b"x" * 300_000, b"PK\5\6" * 20 + b"-->"]
    )
    def test_an_archive_is_found_whatever_stands_behind_it(
        self, tmp_path: Path, behind: bytes
    ) -> None:
        [page] = self.archive(tmp_path / "page.html", behind).pages
        assert (page.title, shown(page), page.notes) == ("Photos", [("a", photo(1))], ())
        assert (page.url, page.saved_at) == ("https://site.example/u", "Sun Mar 01 2026")

    def test_an_archive_without_an_end_is_told(self, tmp_path: Path) -> None:
        reading = self.archive(tmp_path / "page.html", b" " * 70_000, cut=30)
        assert any("the page in it was not read" in note for note in reading.notes)

    @pytest.mark.parametrize(
        "before",
        [
            f'<html lang=en style="--x:{"y>" * 20_000}">',
            f"<html style='{'y' * 500_000}'>",
            f"<!-- {'long ' * 9_000} --><html>",
            f"<!DOCTYPE html [{' ' * 20_000}]><HTML\n>",
        ],
    )
    def test_the_comment_behind_a_long_beginning_is_read(self, tmp_path: Path, before: str) -> None:
        (tmp_path / "page.html").write_text(
            f"<!DOCTYPE html> {before}{HEAD}<title>T</title><p>text"
        )
        reading = read(tmp_path / "page.html")
        assert (reading.format, reading.tool) == (Format.SINGLE_FILE, "SingleFile")
        assert (reading.pages[0].url, reading.pages[0].saved_at) == (
            "https://site.example/u",
            "Sun Mar 01 2026",
        )

    def test_a_comment_far_down_in_the_page_is_not_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text(f"<html><title>T</title>{'<p>text' * 5_000}{HEAD}")
        assert read(tmp_path / "page.html").tool is None

    @given(st.text("<!-->html \"'=doctype\n", max_size=200))
    def test_any_beginning_is_read(self, text: str) -> None:
        assert saved_by_comment(text + HEAD + "x" * 9)[2] in (None, "SingleFile")


@pytest.mark.parametrize(
    ("side", "told"), [(10, ("10 x 10 pixels",)), (31, ("31 x 31 pixels",)), (32, ()), (60, ())]
)
def test_a_picture_too_small_for_a_face_is_told(
    tmp_path: Path, side: int, told: tuple[str, ...]
) -> None:
    (tmp_path / "a.png").write_bytes(photo(1, side))
    (tmp_path / "t.csv").write_text("url,screenshot\nHttps://site.example/a,a.png\n")
    for name in ("a.png", "t.csv"):
        [page] = read(tmp_path / name).pages
        assert [one in note for one, note in zip(told, page.notes, strict=True)] == [True] * len(
            told
        )
    assert page.url == "Https://site.example/a"


@pytest.mark.parametrize("url", ["HTTPS://CDN.example:443/1.png", "Http://cdn.example/1.png"])
def test_an_address_keeps_its_letter_case(tmp_path: Path, url: str) -> None:
    page = captured(tmp_path, f'<html><img src="{url}"><a href="{url}">x</a>', {url: photo(1)})
    assert [image.url for image in page.images] == [url]
