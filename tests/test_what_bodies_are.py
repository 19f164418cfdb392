"""Bodies and charsets of captured pages: unnamed frames, base64, coded bodies, marks and labels."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.captures.pages.charsets import page_text
from crawlers.captures.pages.page import Reading
from crawlers.errors import CaptureRefused
from tests import archives
from tests.archives import (
    IMAGE,
    PAGE,
    entry,
    har,
    html,
    images_of,
    in_base64,
    mhtml,
    page_entry,
    page_part,
    part,
    read,
)

PIXELS = archives.png()
ADVERT = "https://ads.example/frame"
WITH_FRAME = html().replace(b"</body>", b"") + f'<iframe src="{ADVERT}"></iframe>'.encode()
PACKERS = {"gzip": gzip.compress, "br": brotli.compress, "deflate": zlib.compress}


def shown(reading: Reading) -> list[tuple[str | None, list[bytes]]]:
    return [(page.url, images_of(page)) for page in reading.pages]


IS_THE_PAGE = [(PAGE, [PIXELS])]
PIXELS_ENTRY = entry(IMAGE, in_base64(PIXELS))


class TestFrames:
    @pytest.mark.parametrize(
        "pages", [[{"id": "a", "title": ""}], [{"id": "a", "title": "Item"}], []]
    )
    @pytest.mark.parametrize("order", [1, -1])
    def test_what_a_page_embeds_is_no_page(self, pages: list[dict[str, Any]], order: int) -> None:
        advert = page_entry(ADVERT, b"<html><title>Buy</title>ad</html>", pageref="a")
        advert["_initiator"] = {"type": "parser", "url": PAGE}
        both = [advert, page_entry(body=WITH_FRAME, pageref="a")][::order]
        assert shown(read(har(*both, {**PIXELS_ENTRY, "pageref": "a"}, pages=pages))) == IS_THE_PAGE

    @pytest.mark.parametrize("order", [1, -1])
    def test_what_a_proxy_saw(self, order: int) -> None:
        both = [
            page_entry(ADVERT, b"<html><title>Buy</title>ad</html>"),
            page_entry(body=WITH_FRAME),
        ][::order]
        assert shown(read(har(*both, PIXELS_ENTRY))) == IS_THE_PAGE

    def test_a_frame_that_embeds_its_page(self) -> None:
        back = f'<html><iframe src="{PAGE}"></iframe></html>'.encode()
        frame = page_entry(ADVERT, back, asked={"Referer": PAGE})
        assert shown(read(har(frame, page_entry(body=WITH_FRAME), PIXELS_ENTRY))) == IS_THE_PAGE


class TestHarBodies:
    @pytest.mark.parametrize("media_type", ["image/png", "", "x-unknown"])
    @pytest.mark.parametrize("encoding", [{"encoding": "base64"}, {}])
    def test_an_image_whose_size_is_that_of_its_text(
        self, media_type: str, encoding: dict[str, str]
    ) -> None:
        text = base64.b64encode(PIXELS).decode()
        content = {"mimeType": media_type, "text": text, "size": len(text), **encoding}
        assert shown(read(har(page_entry(), entry(IMAGE, content)))) == IS_THE_PAGE

    @pytest.mark.parametrize("encoding", [{"encoding": "base64"}, {}])
    def test_a_page_in_base64(self, encoding: dict[str, str]) -> None:
        text = base64.b64encode(html()).decode()
        content = {"mimeType": "text/html", "text": text, "size": len(text), **encoding}
        assert shown(read(har(entry(PAGE, content), PIXELS_ENTRY))) == IS_THE_PAGE

    @pytest.mark.parametrize(
        "text",
        [f"data:image/png;base64,{base64.b64encode(PIXELS).decode()}", PIXELS.decode("latin-1")],
    )
    def test_other_ways_to_write_bytes_as_text(self, text: str) -> None:
        reading = read(
            har(page_entry(), entry(IMAGE, {"mimeType": "image/png", "text": text, "size": 9}))
        )
        assert (shown(reading), len(reading.notes)) == (IS_THE_PAGE, 1)

    def test_bytes_that_were_lost_as_text_are_noted(self) -> None:
        content = {"mimeType": "image/png", "text": PIXELS.decode("utf-8", "replace"), "size": 9}
        reading = read(har(page_entry(), entry(IMAGE, content)))
        assert (shown(reading), "although it is none" in reading.notes[0]) == ([(PAGE, [])], True)

    @pytest.mark.parametrize("coding", PACKERS)
    @pytest.mark.parametrize("says_so", [True, False])
    @pytest.mark.parametrize("as_text", [True, False])
    def test_a_body_that_is_still_packed(self, coding: str, says_so: bool, as_text: bool) -> None:
        packed = PACKERS[coding](html())
        text = packed.decode("latin-1") if as_text else base64.b64encode(packed).decode()
        content = {"mimeType": "text/html", "text": text, "size": 9} | (
            {} if as_text else {"encoding": "base64"}
        )
        told = {"Content_Encoding": coding} if says_so else {}
        assert shown(read(har(entry(PAGE, content, told=told), PIXELS_ENTRY))) == IS_THE_PAGE

    @pytest.mark.parametrize("told", [{}, {"Content_Encoding": "br"}])
    @pytest.mark.parametrize("text", [{"encoding": "base64"}, None])
    def test_rubbish_is_no_text(self, told: dict[str, str], text: dict[str, str] | None) -> None:
        data = bytes(range(256)) * 4
        content = {"mimeType": "text/html", "text": data.decode("utf-8", "replace"), "size": 9}
        if text is not None:
            content |= {**text, "text": base64.b64encode(data).decode()}
        with pytest.raises(CaptureRefused, match="it holds no page; not read"):
            read(har(entry(PAGE, content, told=told), PIXELS_ENTRY))

    def test_an_empty_page_is_noted(self) -> None:
        [page] = read(har(entry(PAGE, {"mimeType": "text/html", "size": 0}), PIXELS_ENTRY)).pages
        assert page.notes == ("the page is empty in the capture",)

    @pytest.mark.parametrize("cut", [1, 100, -1])
    def test_gzip_of_several_members(self, cut: int) -> None:
        data = har(page_entry(), PIXELS_ENTRY)
        assert (
            shown(read(gzip.compress(data[:cut]) + gzip.compress(data[cut:]), "a.har.gz"))
            == IS_THE_PAGE
        )


WORDS = "模型"


class TestCharsets:
    @pytest.mark.parametrize(
        ("declared", "markup", "codec", "words"),
        [
            ("x-gbk", "", "gbk", WORDS),
            ("gb2312", "", "gb18030", "模𠮷"),
            ("x-sjis", "", "cp932", "写真①"),
            ("x-cp1251", "", "cp1251", "фото"),
            ("ks_c_5601-1987", "", "cp949", "사진똠"),
            ("iso-8859-1", "", "cp1252", "“q” €"),
            ("unicode", "", "utf-16-le", WORDS),
            ("unknown", "<meta charset=gbk>", "gbk", WORDS),
            ("rot13", "", "utf-8", WORDS),
            ("utf-7", "", "utf-8", "+ADw-"),
            ("punycode", "", "utf-8", "a-b"),
            ("gbk", "<meta charset=utf-8>", "gbk", WORDS),
            (None, "<!-- <meta charset=gbk> --><meta charset=utf-8>", "utf-8", WORDS),
            (None, "<meta charset=utf-16>", "utf-8", WORDS),
            (None, "<meta name=a content='charset=gbk'>", "utf-8", WORDS),
            (None, "<meta charset=none><meta charset=gbk>", "gbk", WORDS),
            (
                None,
                "<META content=\"text/html; charset='gbk'\" HTTP-EQUIV=Content-Type>",
                "gbk",
                WORDS,
            ),
            (
                None,
                f"<script>'<meta charset=big5>{'x' * 5_000}'</script><meta charset=gbk>",
                "gbk",
                WORDS,
            ),
            (None, "<p title='>'><body><meta charset=gbk>", "utf-8", WORDS),
            (None, "<?xml version='1.0' encoding='gbk'?>", "gbk", WORDS),
            (None, "<?xml version='1.0' encoding='gbk'?><meta charset=utf-8>", "utf-8", WORDS),
            ("utf-16", "", "utf-8", WORDS),
            (None, "", "utf-16-le", WORDS),
            (None, "", "utf-16-be", WORDS),
        ],
    )
    def test_a_charset_as_browsers_find_it(
        self, declared: str | None, markup: str, codec: str, words: str
    ) -> None:
        text = f"{markup}<p>{words}"
        assert page_text(text.encode(codec), declared) == text

    @pytest.mark.parametrize(
        ("mark", "codec"), [("utf-8-sig", ""), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff")]
    )
    def test_a_mark_wins_over_everything(self, mark: str, codec: str) -> None:
        text = f"<meta charset=gbk><p>{WORDS}"
        assert page_text((codec + text).encode(mark), "gbk") == text

    @given(st.binary(max_size=300), st.none() | st.text(max_size=20))
    def test_any_bytes_are_some_text(self, data: bytes, declared: str | None) -> None:
        assert isinstance(page_text(b"<meta charset=" + data, declared), str)
        assert isinstance(page_text(data, declared), str)

    def test_hostile_markup_costs_little(self) -> None:
        for piece in (b"<a", b"<meta charset='", b'<a "', b"<!--", b"<script>", b"<meta ="):
            page_text(piece * 200_000)

    def test_frames_in_data_addresses(self) -> None:
        inside = base64.b64encode(WORDS.encode("gbk")).decode()
        page = f'<html><iframe src="data:text/html;charset=gbk;base64,{inside}"></iframe></html>'
        assert read(page.encode(), "a.html").pages[0].text.strip() == WORDS

    def test_parts_of_mhtml(self) -> None:
        body = f"<html>{WORDS}</html>".encode("utf-16-le")
        root = part(body, {"Content-Type": "text/html; charset=unicode"}, "base64")
        assert read(mhtml(root)).pages[0].text.strip() == WORDS


class TestFormats:
    @pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
    def test_files_in_other_charsets(self, codec: str) -> None:
        page = f"<!doctype html><html><body>{WORDS}</body></html>"
        assert read(page.encode(codec), "a.html").pages[0].text.strip() == WORDS
        log = json.loads(har(page_entry(), PIXELS_ENTRY))
        assert shown(read(json.dumps(log).encode(codec), "a.har")) == IS_THE_PAGE

    @pytest.mark.parametrize(
        "begin", ["<div>", "<p class=a>", "<TABLE>", "<x-app>", "<br/>", "<img src=a>"]
    )
    def test_pages_without_a_head(self, begin: str) -> None:
        assert read(f"{begin}{WORDS}".encode(), "a.html").pages[0].text.strip() == WORDS
        with pytest.raises(CaptureRefused):
            read(f"{begin}{WORDS}".encode(), "a.txt")

    def test_a_message_of_a_mail_folder(self, tmp_path: Path) -> None:
        image = part(PIXELS, {"Content-Type": "image/png", "Content-Location": IMAGE}, "base64")
        for line in (
            b"From - Sun Mar 01 10:00:00 2026\r\n",
            b"From a@site.example Sun Mar  1 10:00:00 2026\n",
        ):
            assert shown(read(line + mhtml(page_part(), image))) == IS_THE_PAGE
