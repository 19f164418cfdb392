"""Each image of a captured page is found by its element; only missing images are reported."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crawlers.captures.pages.addresses import data_of, joined, keys_of, srcset_of
from crawlers.captures.pages.facts import same_image
from crawlers.captures.pages.page import CapturedPage, Format, Reading
from crawlers.captures.pages.styles import custom_urls, style_urls
from crawlers.captures.reading import captures_in, left_out_of, read_capture

PLACEHOLDER = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='320' height='400'></svg>"
)
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def photo(shade: int, side: int = 60) -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).point(lambda value: (value + shade) % 256).save(
        data, "PNG"
    )
    return data.getvalue()


def inline(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read(path: Path) -> Reading:
    room = path.parent / f"room of {path.name}"
    room.mkdir()
    return read_capture(path, room)


def saved(
    folder: Path, html: str, files: dict[str, bytes] | None = None, name: str = "page.html"
) -> CapturedPage:
    """Read a page that was saved with its folder."""
    for place, data in (files or {}).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
    (folder / name).write_text(html, "utf-8")
    [page] = read(folder / name).pages
    return page


def captured(
    folder: Path, html: str, images: dict[str, bytes], media_type: str = "image/png"
) -> CapturedPage:
    """Read https://site.example/a/page as browsers' developer tools export it."""
    answers: list[tuple[str, str, bytes]] = [
        ("https://site.example/a/page", "text/html", html.encode())
    ]
    answers += [(url, media_type, data) for url, data in images.items()]
    entries = [
        {"request": {"url": url}, "response": {"status": 200, "content": {
            "mimeType": kind, "encoding": "base64", "text": base64.b64encode(data).decode()}}}
        for url, kind, data in answers
    ]  # fmt: skip
    (folder / "page.har").write_text(json.dumps({"log": {"entries": entries}}))
    [page] = read(folder / "page.har").pages
    return page


def shown(page: CapturedPage) -> list[tuple[str, bytes]]:
    return [(image.alt, image.path.read_bytes()) for image in page.images]


class TestFolder:
    @pytest.mark.parametrize(
        "link",
        [
            "./page_files/1.png",
            "page_files/1.png",
            "page_files\\1.png",
            "./x/../page_files/1.png",
            "page_files/%31.png",
            " page_files/1.png ",
            "page_files/\n1.png",
            "page_files/1.png?width=9#top",
        ],
    )
    def test_images_are_found_by_their_elements(self, tmp_path: Path, link: str) -> None:
        page = saved(
            tmp_path,
            f'<html><p>Words<img src="{link}" alt="a photo"></html>',
            {"page_files/1.png": photo(1)},
        )
        assert (shown(page), page.notes) == ([("a photo", photo(1))], ())

    def test_frames_are_read_and_unused_files_are_not_the_pages_own(self, tmp_path: Path) -> None:
        files = {
            "page_files/1.png": photo(1),
            "page_files/2.png": photo(2),
            "page_files/ad.png": photo(3),
            "page_files/saved_resource.html": b'<p>inside</p><img src="2.png" alt="in the frame">',
        }
        html = (
            '<img src="page_files/1.png" alt="own"><iframe '
            'src="./page_files/saved_resource.html"></iframe>'
        )
        page = saved(tmp_path, f"<html><body>{html}</body></html>", files)
        assert shown(page) == [("own", photo(1)), ("in the frame", photo(2))]
        assert ("inside" in page.text, page.notes) == (True, ())
        (tmp_path / "again").mkdir()
        reading = read_capture(tmp_path / "page.html", tmp_path / "again")
        assert reading.format == Format.FOLDER
        assert any("was left out: ad.png" in note for note in reading.notes)

    def test_a_base_element_does_not_hide_the_folder(self, tmp_path: Path) -> None:
        html = (
            '<html><head><base href="https://site.example/a/"></head><img '
            'src="page_files/1.png"></html>'
        )
        assert shown(saved(tmp_path, html, {"page_files/1.png": photo(1)})) == [("", photo(1))]

    def test_names_in_both_unicode_forms_are_two_files(self, tmp_path: Path) -> None:
        files = {
            "page_files/e\u0301.png": photo(1),
            "page_files/\u00e9.png": photo(2),
            "page_files/u\u0308.png": photo(3),
        }
        html = (
            '<html><img src="page_files/e%CC%81.png"><img src="page_files/é.png"><img '
            'src="page_files/ü.png"></html>'
        )
        page = saved(tmp_path, html, files)
        assert [data for _, data in shown(page)] == [photo(1), photo(2), photo(3)]

    def test_images_of_style_sheets_come_behind_those_of_elements(self, tmp_path: Path) -> None:
        files = {
            "page_files/a.css": b".x{background:url(back.png)}",
            "page_files/back.png": photo(2),
            "page_files/1.png": photo(1),
        }
        html = (
            '<html><link rel=stylesheet href="page_files/a.css"><style>'
            'p{background:url(none.png)}</style><img src="page_files/1.png" alt=a></html>'
        )
        page = saved(tmp_path, html, files)
        assert (shown(page), page.notes) == ([("a", photo(1)), ("", photo(2))], ())

    def test_what_is_not_there_is_told(self, tmp_path: Path) -> None:
        html = (
            '<html><img src="page_files/gone.png"><img '
            'src="https://cdn.example/x.png"><iframe '
            'src="page_files/f.html"></iframe></html>'
        )
        page = saved(tmp_path, html)
        assert set(page.notes) == {
            "2 images of the page are not in the capture",
            "1 frame of the page is not in the capture",
        }

    def test_folders_of_saved_pages_are_no_captures_of_their_own(self, tmp_path: Path) -> None:
        for name in (
            "a.html",
            "b.htm",
            "a_files/1.png",
            "b_Dateien/1.png",
            "lone_files/1.png",
            "lone_files/x.odd",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(
                b"<html>" if name.endswith((".html", ".htm")) else photo(1)
            )
        (tmp_path / "lone_files" / "x.odd").write_bytes(b"odd\0\1")
        assert [path.name for path in captures_in([tmp_path])] == ["a.html", "b.htm", "1.png"]
        assert [path.name for path in left_out_of([tmp_path])] == ["x.odd"]


class TestSingleFile:
    def page(self, folder: Path, body: str, style: str = "") -> CapturedPage:
        head = (
            "<!--\n Page saved with SingleFile \n url: https://site.example/u \n"
            " saved date: Sun Mar 01 2026\n-->"
        )
        html = (
            f"<!DOCTYPE html> <html>{head}<meta "
            f"charset=utf-8><title>T</title><style>{style}</style></head><body>{body}</"
            "body></html>"
        )
        return saved(folder, html)

    def test_merged_images_are_found_where_they_are_used(self, tmp_path: Path) -> None:
        style = f':root{{--sf-img-1:url("{inline(photo(1))}");--sf-img-2: url({inline(photo(2))})}}'
        use = '<img src="{}" alt="{}" style="background-image:var(--sf-img-{})!important">'
        body = "".join(
            use.format(PLACEHOLDER, alt, number)
            for alt, number in (("b", 2), ("a", 1), ("again", 2))
        )
        page = self.page(tmp_path, body, style)
        assert (shown(page), page.notes) == ([("b", photo(2)), ("a", photo(1))], ())

    @pytest.mark.parametrize(
        "mark",
        ["shadowrootmode=open", "shadowrootmode=closed", 'shadowroot="open"', "shadowmode=open"],
    )
    def test_shadow_roots_are_drawn_and_other_templates_are_not(
        self, tmp_path: Path, mark: str
    ) -> None:
        body = (
            f"<post-card><template {mark}><style>p{{}}</style><p>in the shadow</p><img "
            f"src='{inline(photo(1))}'></template>light</post-card>"
        )
        page = self.page(
            tmp_path, f"{body}<template><p>never drawn</p><img src='{inline(photo(2))}'></template>"
        )
        assert [data for _, data in shown(page)] == [photo(1)]
        assert page.text.split() == ["in", "the", "shadow", "light"]

    def test_placeholders_are_no_images_and_none_that_is_missing(self, tmp_path: Path) -> None:
        body = (
            f'<img srcset="{inline(photo(1))} 2x" src="{PLACEHOLDER}"><img '
            f'src="{PLACEHOLDER}"><img src="{DOT}">'
            f'<picture><source srcset="{inline(photo(2))}"><img src="{PLACEHOLDER}" '
            'alt="pic"></picture>'
        )
        page = self.page(tmp_path, body)
        assert (shown(page), page.notes) == ([("", photo(1)), ("pic", photo(2))], ())

    @pytest.mark.parametrize("holder", [PLACEHOLDER, DOT, "data:,"])
    def test_a_placeholder_whose_image_never_came_is_an_image_missing(
        self, tmp_path: Path, holder: str
    ) -> None:
        page = self.page(tmp_path, f'<img src="{holder}" data-src="https://cdn.example/late.jpg">')
        assert (page.images, page.notes) == ((), ("1 image of the page is not in the capture",))

    def test_a_picture_within_a_drawing_is_an_image(self, tmp_path: Path) -> None:
        drawing = (
            f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{inline(photo(1))}"/></svg>'
        )
        body = (
            f'<img src="{inline(drawing.encode(), "image/svg+xml")}" alt="x"><svg><image '
            f'xlink:href="{inline(photo(2))}"/></svg>'
        )
        assert shown(self.page(tmp_path, body)) == [("x", photo(1)), ("", photo(2))]

    def test_what_is_longer_than_a_parsers_usual_limits_is_read(self, tmp_path: Path) -> None:
        long = photo(1) + b"\0" * 12_000_000
        body = f'<img src="{inline(long)}"><p>after</p><i style="background:var(--sf-img-1)"></i>'
        page = self.page(tmp_path, body, f':root{{--sf-img-1:url("{inline(photo(2) + long)}")}}')
        assert [data[:99] for _, data in shown(page)] == [photo(1)[:99], photo(2)[:99]]
        assert "after" in page.text

    def archive(self, path: Path, members: dict[str, bytes]) -> CapturedPage | None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        head = (
            b"<!DOCTYPE html><html><!--\n Page saved with SingleFile \n"
            b" url: https://site.example/u \n-->"
        )
        path.write_bytes(
            head
            + b"<body><p>Please wait</p><!--"
            + packed.getvalue()
            + b"--><script></script></body></html>"
        )
        return read(path).pages[0]

    def test_a_self_extracting_page_is_read_from_its_archive(self, tmp_path: Path) -> None:
        index = (
            b'<html><title>Photos</title><img src="images/1.png" alt="a"><iframe '
            b'src="frames/0/index.html"></iframe>'
        )
        members = {
            "frames/0/index.html": b"<p>framed<img src=2.png>",
            "frames/0/2.png": photo(2),
            "index.html": index,
            "images/1.png": photo(1),
        }
        page = self.archive(tmp_path / "page.html", members)
        assert page is not None
        assert (page.url, page.title, shown(page)) == (
            "https://site.example/u",
            "Photos",
            [("a", photo(1)), ("", photo(2))],
        )
        assert ("framed" in page.text, "Please wait" in page.text, page.notes) == (True, False, ())

    def test_an_archive_without_a_page_is_told(self, tmp_path: Path) -> None:
        self.archive(tmp_path / "page.html", {"readme.txt": b"x"})
        (tmp_path / "again").mkdir()
        notes = read_capture(tmp_path / "page.html", tmp_path / "again").notes
        assert any("holds no page that can be read" in note for note in notes)


class TestAddresses:
    @pytest.mark.parametrize(
        ("link", "there"),
        [
            ("//CDN.Example:443/b/../p.png#x", "https://cdn.example/p.png"),
            ("HTTPS://cdn.example/q%2fr.png", "https://cdn.example/q%2Fr.png"),
            (" https://cdn.example/s t.png ", "https://cdn.example/s%20t.png"),
            ("../%7euser/./x.png", "https://site.example/~user/x.png"),
            ("https://cdn.example", "https://cdn.example/"),
            ("https:\\\\cdn.example\\p.png", "https://cdn.example/p.png"),
            ("https://bücher.example/ü.png", "https://xn--bcher-kva.example/%C3%BC.png"),
            ("?id=1", "https://site.example/a/page?id=1"),
            ("x.png?a=1,2", "https://site.example/a/x.png?a=1,2"),
            ("/c_fill,w_1/a(1).png", "https://site.example/c_fill%2Cw_1/a%281%29.png"),
            ("/x.png?q='[a|b]'", "https://site.example/x.png?q=%27%5Ba%7Cb%5D%27"),
            ("http://site.example:80/x.png", "http://site.example/x.png"),
        ],
    )
    def test_forms_of_one_address_are_one(self, tmp_path: Path, link: str, there: str) -> None:
        page = captured(tmp_path, f'<img src="{link}" alt="found">', {there: photo(1)})
        assert (shown(page), page.notes) == ([("found", photo(1))], ())

    @pytest.mark.parametrize(
        "other",
        ["//CDN.example/p.png", "http://cdn.example:80/p.png", "https://cdn.example/%70.png"],
    )
    def test_an_offers_own_images_are_known_in_any_form(self, other: str) -> None:
        assert same_image(other) == same_image("https://cdn.example/p.png")

    def test_the_closest_of_several_answers_counts(self, tmp_path: Path) -> None:
        there = {
            "https://site.example/a%2Cb.png": photo(1),
            "https://site.example/a,b.png": photo(2),
        }
        page = captured(
            tmp_path, '<img src="/a,b.png" alt="plain"><img src="/a%2Cb.png" alt="escaped">', there
        )
        assert shown(page) == [("plain", photo(2)), ("escaped", photo(1))]

    @pytest.mark.parametrize(
        "other",
        [
            "https://cdn.example/P.png",
            "https://cdn.example/a%2Fp.png",
            "http://cdn.example/p.png",
            "https://cdn.example:8443/p.png",
        ],
    )
    def test_different_addresses_are_not(self, other: str) -> None:
        assert set(keys_of(other)).isdisjoint(
            keys_of("https://cdn.example/p.png") + keys_of("https://cdn.example/a/p.png")
        )

    def test_candidates_of_one_image_are_one(self, tmp_path: Path) -> None:
        html = (
            '<picture><source srcset="/p.webp" type="image/webp"><source '
            'srcset="/p.avif"><img src="/p.png" alt="p"></picture>'
            '<img srcset="https://r.example/c_fill,w_150/p.png 150w, '
            'https://r.example/c_fill,w_300/p.png 300w" alt="q">'
            f'<img src="{DOT}" data-src="/late.png" alt="late"><video><source '
            'src="/film.mp4"></video>'
        )
        there = {
            "https://site.example/p.webp": photo(1),
            "https://r.example/c_fill,w_300/p.png": photo(2),
            "https://site.example/late.png": photo(3),
        }
        page = captured(tmp_path, html, there)
        assert (shown(page), page.notes) == (
            [("p", photo(1)), ("q", photo(2)), ("late", photo(3))],
            (),
        )

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_text_is_joined_and_compared(self, base: str, place: str) -> None:
        for one in (base, f"saved:///{base}", f"https://site.example/{base}"):
            url = joined(one, place)
            assert url is None or keys_of(url)

    @pytest.mark.parametrize(
        ("told", "urls"),
        [
            ("a.jpg", ["a.jpg"]),
            ("a.jpg, b.jpg 2x", ["b.jpg", "a.jpg"]),
            ("a,b.jpg 1x", ["a,b.jpg"]),
            ("a.jpg,", ["a.jpg"]),
            (" , a.jpg 100w,b.jpg 200w 300h ,", ["b.jpg", "a.jpg"]),
            ("a.jpg 1x foo(,) , b.jpg 3x", ["b.jpg"]),
            ("a.jpg -1x, b.jpg 0w", []),
            ("data:image/png;base64,AA== 2x, c.jpg 1x", ["data:image/png;base64,AA==", "c.jpg"]),
            ("a.jpg 1x 2x", []),
            ("a.jpg 100h", []),
            (
                "https://x/w_1,h_2/a.jpg,https://x/b.jpg 2x",
                ["https://x/w_1,h_2/a.jpg,https://x/b.jpg"],
            ),
            ("", []),
            (",,,", []),
            ("a.jpg 1e1x, b.jpg 9x", ["a.jpg", "b.jpg"]),
        ],
    )
    def test_srcset_is_parsed_as_the_html_standard_says(self, told: str, urls: list[str]) -> None:
        assert srcset_of(told) == urls

    @given(
        st.lists(
            st.text("abc,/:_=123.%", min_size=1, max_size=12).filter(
                lambda url: url.strip(",") == url
            ),
            min_size=1,
            max_size=5,
        ),
        st.data(),
    )
    def test_every_address_of_a_srcset_is_found(self, urls: list[str], data: Any) -> None:
        told = ", ".join(
            f"{url} {number + 1}{data.draw(st.sampled_from('wx'))}"
            for number, url in enumerate(urls)
        )
        assert sorted(srcset_of(told)) == sorted(urls)

    @given(st.binary(max_size=200), st.booleans())
    def test_data_addresses_keep_every_byte(self, data: bytes, padded: bool) -> None:
        packed = base64.b64encode(data).decode()
        packed = packed.replace("=", "%3D").replace("+", "%2B") if padded else packed.rstrip("=")
        assert data_of(f"data:image/png;base64,{packed}") == ("image/png", data)
        assert data_of("DATA:;x=1," + "".join(f"%{byte:02x}" for byte in data)) == (
            "text/plain",
            data,
        )

    def test_style_addresses_are_read_as_css_says(self) -> None:
        style = (
            "a{b:url( \"photo(1).jpg\" ) url(a\\(2\\).png), URL('x\\'y') url() /* } */ "
            "url(\\31 .png)"
        )
        assert list(style_urls(style)) == ["photo(1).jpg", "a(2).png", "x'y", "1.png"]
        assert custom_urls(":root{--a:url(x);--b-2 : url('y z')}") == {"--a": "x", "--b-2": "y z"}


def test_a_page_nested_too_deep_says_so(tmp_path: Path) -> None:
    page = saved(tmp_path, "<html>" + "<div>" * 5_000 + f'<img src="{inline(photo(1))}">')
    assert page.notes == ("the page nests its elements deeper than is read",)
