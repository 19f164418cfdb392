"""HAR and MHTML from many tools: the page among the answers, bodies, references between parts."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from crawlers.captures.pages.page import Format, Reading
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

PIXELS, OTHER = archives.png(), archives.png("blue")
ADVERT = "https://ads.example/frame"
RECORDED = {
    "id": "page_1",
    "title": "Offer",
    "startedDateTime": "2026-03-01T10:00:00.000+08:00",
    "pageTimings": {},
}


def shown(reading: Reading) -> list[tuple[str | None, str, list[bytes]]]:
    return [(page.url, page.text.strip(), images_of(page)) for page in reading.pages]


IS_THE_PAGE = [(PAGE, "Words", [PIXELS])]


class TestHarPages:
    def advert(self, **asked: str) -> dict[str, Any]:
        return page_entry(
            ADVERT, b"<html><title>Buy</title><body>ad</body></html>", pageref="page_1", asked=asked
        )

    @pytest.mark.parametrize(
        "asked",
        [
            {"Referer": PAGE},
            {"Referer": "https://site.example/"},
            {},
            {"Sec_Fetch_Dest": "iframe"},
            {"referer": PAGE, "sec-fetch-dest": "iframe"},
            {"X_Requested_With": "XMLHttpRequest", "Referer": PAGE},
        ],
    )
    @pytest.mark.parametrize("title", ["Offer", PAGE])
    def test_an_advertisement_before_the_page_is_not_the_page(
        self, asked: dict[str, str], title: str
    ) -> None:
        entries = (
            self.advert(**asked),
            page_entry(pageref="page_1"),
            entry(IMAGE, in_base64(PIXELS), pageref="page_1"),
        )
        assert shown(read(har(*entries, pages=[{**RECORDED, "title": title}]))) == IS_THE_PAGE

    @pytest.mark.parametrize("pages", [[RECORDED], [{"id": "page_1"}], []])
    def test_the_document_counts_and_then_the_first(self, pages: list[dict[str, Any]]) -> None:
        page = page_entry(pageref="page_1", asked={"Sec_Fetch_Dest": "document"})
        image = entry(IMAGE, in_base64(PIXELS), pageref="page_1")
        assert shown(read(har(self.advert(), page, image, pages=pages))) == IS_THE_PAGE
        early = page_entry(pageref="page_1")
        early["startedDateTime"] = "2026-03-01T01:59:59Z"
        assert (
            shown(read(har(self.advert(), early, image, pages=[{"id": "page_1"}]))) == IS_THE_PAGE
        )

    def test_pages_that_were_opened_one_after_another_or_beside_each_other(self) -> None:
        second, third = "https://site.example/p/2", "https://site.example/p/3"
        asked = {"Sec_Fetch_Dest": "document", "Referer": PAGE}
        one_tab = [page_entry(one, pageref="page_1", asked=asked) for one in (PAGE, second)]
        assert [page.url for page in read(har(*one_tab, pages=[RECORDED])).pages] == [PAGE, second]
        of_a_proxy = [
            page_entry(PAGE),
            page_entry(second, asked={"Referer": PAGE}),
            page_entry(third),
        ]
        assert [page.url for page in read(har(*of_a_proxy)).pages] == [PAGE, second, third]
        api = [
            entry(
                f"https://site.example/api/{number}", {"mimeType": "application/json", "text": "{}"}
            )
            for number in (1, 2)
        ]
        beside = [
            page_entry(PAGE, pageref="a"),
            page_entry(second, pageref="b"),
            {**api[1], "pageref": "b"},
            {**api[0], "pageref": "a"},
        ]
        answers = {page.url: page.answers for page in read(har(*beside)).pages}
        assert answers == {
            PAGE: ((f"{api[0]['request']['url']}", "{}"),),
            second: ((f"{api[1]['request']['url']}", "{}"),),
        }

    def test_the_time_is_utc_and_a_title_that_is_an_address_is_none(self) -> None:
        [page] = read(har(page_entry(pageref="page_1"), pages=[{**RECORDED, "title": PAGE}])).pages
        assert (page.title, page.saved_at) == ("Offer", "2026-03-01T02:00:00+00:00")


class TestHarBodies:
    def reading(self, content: dict[str, Any], **more: Any) -> Reading:
        return read(har(page_entry(), entry(IMAGE, content, **more)))

    @pytest.mark.parametrize("size", [{}, {"size": 9}, {"size": len(html())}])
    def test_plain_text_that_says_base64(self, size: dict[str, int]) -> None:
        told = {"mimeType": "text/html", "text": html().decode(), "encoding": "base64", **size}
        reading = read(har(entry(PAGE, told), entry(IMAGE, in_base64(PIXELS))))
        assert shown(reading) == IS_THE_PAGE
        assert any("marked as base64 and is plain text" in note for note in reading.notes)

    def test_plain_text_that_could_be_base64(self) -> None:
        url = "https://site.example/api"
        told = {"mimeType": "application/json", "text": "null", "encoding": "base64", "size": 4}
        assert read(har(page_entry(), entry(url, told))).pages[0].answers == ((url, "null"),)

    @pytest.mark.parametrize(
        "encoding", [{"encoding": "BASE64"}, {"encoding": ""}, {"encoding": None}, {}]
    )
    def test_base64_however_it_is_marked(self, encoding: dict[str, Any]) -> None:
        content = {name: told for name, told in in_base64(PIXELS).items() if name != "encoding"}
        assert shown(self.reading({**content, **encoding})) == IS_THE_PAGE

    def test_the_url_alphabet_without_padding(self) -> None:
        text = base64.urlsafe_b64encode(PIXELS).decode().rstrip("=")
        assert shown(self.reading({**in_base64(PIXELS), "text": text})) == IS_THE_PAGE

    @pytest.mark.parametrize(
        "media_type", [{}, {"mimeType": None}, {"mimeType": ""}, {"mimeType": "x-unknown"}]
    )
    def test_a_missing_media_type(self, media_type: dict[str, Any]) -> None:
        page = {"text": html().decode(), "size": 10, **media_type}
        image = {name: told for name, told in in_base64(PIXELS).items() if name != "mimeType"}
        assert (
            shown(read(har(entry(PAGE, page), entry(IMAGE, {**image, **media_type}))))
            == IS_THE_PAGE
        )

    def test_the_charset_of_a_body_in_base64_is_its_own(self) -> None:
        body = "<meta charset=gbk><title>代训练</title>代训练".encode("gbk")
        [page] = read(har(entry(PAGE, in_base64(body, "text/html")))).pages
        assert (page.title, page.text.strip()) == ("代训练", "代训练")

    @pytest.mark.parametrize(
        "redirect", [{"redirect": "1.png"}, {"told": {"Location": "/i/1.png"}}]
    )
    def test_redirects_are_followed(self, redirect: dict[str, Any]) -> None:
        moved = entry("https://site.example/i/0.png", {"size": 0}, 302, **redirect)
        page = page_entry(body=html("/i/0.png"))
        assert shown(read(har(page, moved, entry(IMAGE, in_base64(PIXELS))))) == IS_THE_PAGE

    def test_an_answer_from_the_browsers_own_store(self) -> None:
        assert shown(self.reading(in_base64(PIXELS), status=304)) == IS_THE_PAGE
        reading = self.reading({"mimeType": "image/png", "size": 0}, status=304)
        assert (
            reading.pages[0].images,
            any("had not changed" in note for note in reading.notes),
        ) == ((), True)

    def test_bodies_that_were_left_out_or_are_parts(self) -> None:
        for content in (
            {"size": 99, "mimeType": "image/png"},
            {"size": 99, "mimeType": "image/png", "text": ""},
        ):
            reading = self.reading(content)
            assert reading.pages[0].images == ()
            assert any("without their bodies" in note for note in reading.notes)
            assert any("was not saved" in note and IMAGE in note for note in reading.notes)
        part_of = entry(
            IMAGE, in_base64(PIXELS[:30]), 206, told={"Content_Range": f"bytes 0-29/{len(PIXELS)}"}
        )
        assert read(har(page_entry(), part_of)).pages[0].images == ()
        assert (
            shown(read(har(page_entry(), part_of, entry(IMAGE, in_base64(PIXELS))))) == IS_THE_PAGE
        )

    def test_bodies_that_a_proxy_stored_packed(self) -> None:
        told = {"Content_Encoding": "gzip"}
        page = entry(PAGE, in_base64(gzip.compress(html()), "text/html"), told=told)
        assert shown(read(har(page, entry(IMAGE, in_base64(PIXELS), told=told)))) == IS_THE_PAGE

    @pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
    def test_questions_before_the_question(self, method: str) -> None:
        before = entry(IMAGE, {"mimeType": "text/html", "text": "<p>ok", "size": 5}, method=method)
        assert (
            shown(read(har(page_entry(), before, entry(IMAGE, in_base64(PIXELS))))) == IS_THE_PAGE
        )

    def test_a_har_in_gzip(self) -> None:
        data = gzip.compress(har(page_entry(), entry(IMAGE, in_base64(PIXELS))))
        for name in ("a.har.gz", "a.gz", "a.warc.gz", "a"):
            assert shown(read(data, name)) == IS_THE_PAGE
        with pytest.raises(CaptureRefused, match="packed with gzip, and cut off"):
            read(data[:-20], "a.har.gz")


IMAGE_PART = part(PIXELS, {"Content-Type": "image/png", "Content-Location": IMAGE}, "base64")


class TestMhtmlRoot:
    FRAME = part(
        b"<html><body>advertisement</body></html>",
        {
            "Content-Type": "text/html",
            "Content-Location": ADVERT,
            "Content-ID": "<frame@mhtml.blink>",
        },
        "quoted-printable",
    )

    @pytest.mark.parametrize(
        "start", ["<root@mhtml.blink>", "root@mhtml.blink", " <root@mhtml.blink> "]
    )
    def test_the_part_that_start_names_is_the_page(self, start: str) -> None:
        root = page_part(Content_ID="<root@mhtml.blink>")
        reading = read(
            mhtml(self.FRAME, root, IMAGE_PART, type_more=f'; type="text/html"; start="{start}"')
        )
        assert shown(reading) == IS_THE_PAGE

    def test_without_start_the_snapshots_address_and_then_the_first(self) -> None:
        assert (
            shown(read(mhtml(self.FRAME, page_part(), IMAGE_PART, Snapshot_Content_Location=PAGE)))
            == IS_THE_PAGE
        )
        assert shown(read(mhtml(page_part(), self.FRAME, IMAGE_PART))) == IS_THE_PAGE

    def test_a_root_within_alternatives(self) -> None:
        both = mhtml(part(b"plain", {"Content-Type": "text/plain"}), page_part(), boundary="in")
        inner = both.replace(b"From: <Saved by Blink>\r\n", b"Content-ID: <root@x>\r\n").replace(
            b"related", b"alternative"
        )
        assert (
            shown(read(mhtml(self.FRAME, inner, IMAGE_PART, type_more='; start="<root@x>"')))
            == IS_THE_PAGE
        )

    def test_headers_in_any_letter_case_and_order(self) -> None:
        data = mhtml(
            page_part().replace(b"Content-Location", b"CONTENT-LOCATION"),
            IMAGE_PART.replace(b"Content-Location", b"content-location"),
        )
        for head in (
            b"X-Snapshot: 1\r\nMIME-VERSION: 1.0\r\n",
            b"SUBJECT: x\r\n",
            b"Received: by x\r\n with y\r\n",
            b"\xef\xbb\xbf",
        ):
            changed = head + data.removeprefix(b"From: <Saved by Blink>\r\n").replace(
                b"Content-Type: multi", b"CONTENT-TYPE: multi", 1
            )
            assert (read(changed).format, shown(read(changed))) == (Format.MHTML, IS_THE_PAGE)

    @pytest.mark.parametrize(
        ("told", "time"),
        [
            ("Sun, 1 Mar 2026 10:00:00 -0000", "2026-03-01T10:00:00+00:00"),
            ("Sun, 1 Mar 2026 10:00:00", "2026-03-01T10:00:00+00:00"),
            ("Sun, 1 Mar 2026 10:00:00 GMT", "2026-03-01T10:00:00+00:00"),
            ("Sun, 1 Mar 2026 10:00:00 +0800", "2026-03-01T02:00:00+00:00"),
            ("yesterday", None),
        ],
    )
    def test_the_date_is_utc(self, told: str, time: str | None) -> None:
        assert read(mhtml(page_part(), Date=told)).pages[0].saved_at == time

    def test_the_subject_is_the_title(self) -> None:
        assert (
            read(
                mhtml(
                    page_part(), Subject="=?utf-8?Q?=E4=BB=A3=E8=AE=AD?=\r\n =?utf-8?Q?=E7=BB=83?="
                )
            )
            .pages[0]
            .title
            == "代训练"
        )


class TestMhtmlAddresses:
    @pytest.mark.parametrize(
        ("told", "named"),
        [
            ("<Photo 1@Mhtml.Blink>", "cid:Photo%201@Mhtml.Blink"),
            ("<two@x>", "CID:two@x"),
            (" <two@x> ", "cid:two@x"),
            ("two@x", "cid:two@x"),
            ("<image001.png@01D.ABC>", "cid:IMAGE001.png@01d.abc"),
            ("<a%20b@x>", "cid:a%2520b@x"),
            ("<a/b+c@x>", "cid:a%2Fb+c@x"),
        ],
    )
    def test_a_part_by_its_content_id(self, told: str, named: str) -> None:
        image = part(PIXELS, {"Content-Type": "image/png", "Content-ID": told}, "base64")
        [page] = read(mhtml(page_part(body=html(named)), image)).pages
        assert (images_of(page), page.notes) == ([PIXELS], ())

    def test_ids_that_differ_in_letter_case_only(self) -> None:
        images = [
            part(data, {"Content-Type": "image/png", "Content-ID": told}, "base64")
            for data, told in ((OTHER, "<A@x>"), (PIXELS, "<a@x>"))
        ]
        [page] = read(mhtml(page_part(body=html("cid:a@x", "cid:A@x")), *images)).pages
        assert images_of(page) == [PIXELS, OTHER]

    def test_a_part_with_two_names_is_one_image(self) -> None:
        image = part(
            PIXELS,
            {"Content-Type": "image/png", "Content-Location": IMAGE, "Content-ID": "<one@x>"},
        )
        for names in ((IMAGE,), ("cid:one@x",), ("cid:one@x", IMAGE)):
            [page] = read(mhtml(page_part(body=html(*names)), image)).pages
            assert (images_of(page), page.images[0].url) == ([PIXELS], IMAGE)

    @pytest.mark.parametrize(
        ("location", "headers", "src"),
        [
            ("p/1", {"Content_Base": "https://site.example/"}, "i/1.png"),
            ("1", {"Content_Base": "https://site.example/p/"}, "../i/1.png"),
            (PAGE, {"Content_Base": "https://site.example/x/y/"}, "../../i/1.png"),
            (PAGE, {}, "../i/1.png"),
            (PAGE, {}, "/i/1.png"),
            (f"<{PAGE}>", {}, IMAGE),
            ("https://site.example/\r\n p/\r\n 1", {}, IMAGE),
            ("=?us-ascii?Q?https://site.example/p/1?=", {}, IMAGE),
        ],
    )
    def test_a_location_with_its_base(
        self, location: str, headers: dict[str, str], src: str
    ) -> None:
        reading = read(mhtml(page_part(location, html(src), **headers), IMAGE_PART))
        assert shown(reading) == IS_THE_PAGE
        assert reading.pages[0].notes == ()

    def test_a_base_of_all_parts(self) -> None:
        image = part(PIXELS, {"Content-Type": "image/png", "Content-Location": "i/1.png"}, "base64")
        for name in ("Content_Base", "Content_Location"):
            assert (
                shown(
                    read(
                        mhtml(
                            page_part("p/1", html("i/1.png")),
                            image,
                            **{name: "https://site.example/"},
                        )
                    )
                )
                == IS_THE_PAGE
            )

    @pytest.mark.parametrize("location", ["index.htm", "./index.htm", "file:///C:/saved/index.htm"])
    def test_parts_that_are_relative_to_each_other(self, location: str) -> None:
        image = part(
            PIXELS,
            {
                "Content-Type": "image/png",
                "Content-Location": location.replace("index.htm", "1.png"),
            },
            "base64",
        )
        [page] = read(
            mhtml(page_part(location, html("1.png")), image, Snapshot_Content_Location="")
        ).pages
        assert (images_of(page), page.notes, page.url) == ([PIXELS], (), None)

    def test_a_page_without_a_location_is_where_the_snapshot_says(self) -> None:
        reading = read(mhtml(page_part(None), IMAGE_PART, Snapshot_Content_Location=PAGE))
        assert shown(reading) == IS_THE_PAGE


class TestMhtmlBodies:
    def test_what_is_lost_is_told(self) -> None:
        other = part(PIXELS, {"Content-Type": "image/png", "Content-Location": IMAGE}, "x-own")
        reading = read(mhtml(page_part(), other))
        assert (
            reading.pages[0].images,
            any("'x-own'" in note and IMAGE in note for note in reading.notes),
        ) == (
            (),
            True,
        )
        broken = IMAGE_PART[: len(IMAGE_PART) // 4 * 4 - 50].rstrip() + b"A" * 5
        assert read(mhtml(page_part(), broken)).pages
        whole = mhtml(page_part(), IMAGE_PART)
        assert not read(whole).notes
        for length in (len(whole) - 8, len(whole) - 100):
            assert any("was cut off" in note for note in read(whole[:length]).notes)

    def test_one_page_without_parts(self) -> None:
        data = (
            b"From: x\nMIME-Version: 1.0\nContent-Type: text/html\nContent-Location: "
            + PAGE.encode()
            + b"\n\n"
            + html()
        )
        [page] = read(data).pages
        assert (page.url, page.text.strip()) == (PAGE, "Words")

    def test_a_boundary_that_begins_another_one(self) -> None:
        inside = mhtml(page_part(), IMAGE_PART, boundary="b2").removeprefix(
            b"From: <Saved by Blink>\r\n"
        )
        assert shown(read(mhtml(inside))) == IS_THE_PAGE

    def test_parts_within_parts_have_an_end(self) -> None:
        inside = page_part()
        for number in range(40):
            inside = mhtml(inside, boundary=f"b{number}").removeprefix(
                b"From: <Saved by Blink>\r\n"
            )
        with pytest.raises(CaptureRefused, match="nested too deeply"):
            read(mhtml(inside))
