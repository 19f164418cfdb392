"""Facts that web archives state in several ways: revisits, redirects, parts, codings, frames."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import ClassVar

import pytest

from crawlers.captures.pages.page import Limits
from crawlers.errors import CaptureRefused
from tests import archives
from tests.archives import DATE, IMAGE, PAGE, images_of, page_record, read, record, response

OTHER, SECOND = "https://cdn.example/b/photo.png?size=2", "https://site.example/p/2"
PIXELS = archives.png()
DIGEST = "sha1:" + base64.b32encode(hashlib.sha1(PIXELS).digest()).decode()
PROFILE = "http://netpreserve.org/warc/1.1/revisit/"


def second_page(image: str = OTHER) -> bytes:
    return page_record(SECOND, archives.html(image, title="Second"))


def original(**headers: str) -> bytes:
    return record(
        "response", IMAGE, archives.answer(PIXELS), WARC_Record_ID="<urn:uuid:1>", **headers
    )


def revisit(
    url: str = OTHER,
    head: bytes | None = None,
    profile: str = "identical-payload-digest",
    **headers: str,
) -> bytes:
    head = archives.answer(b"") if head is None else head
    return record("revisit", url, head, WARC_Profile=PROFILE + profile, **headers)


class TestRevisits:
    TO_URL: ClassVar = {"WARC_Refers_To_Target_URI": IMAGE, "WARC_Refers_To_Date": DATE}

    @pytest.mark.parametrize(
        ("told", "to"),
        [
            ({"WARC_Payload_Digest": DIGEST}, {**TO_URL, "WARC_Payload_Digest": DIGEST}),
            ({}, {**TO_URL, "WARC_Payload_Digest": DIGEST}),
            (
                {},
                {
                    "WARC_Refers_To_Target_URI": f"<{IMAGE}>",
                    "WARC_Refers_To_Date": "2026-03-01T10:00:00.123Z",
                },
            ),
            ({}, {"WARC_Refers_To": "<urn:uuid:1>"}),
            ({"WARC_Payload_Digest": DIGEST}, {"WARC_Payload_Digest": DIGEST}),
            (
                {"WARC_Payload_Digest": DIGEST},
                {"WARC_Payload_Digest": "SHA-1:" + hashlib.sha1(PIXELS).hexdigest()},
            ),
        ],
        ids=["all", "no digest there", "brackets", "record", "digest", "base16"],
    )
    @pytest.mark.parametrize("order", ["before", "after", "other file before", "other file after"])
    def test_a_revisit_has_the_bytes_that_it_refers_to(
        self, told: dict[str, str], to: dict[str, str], order: str
    ) -> None:
        first, again = [page_record(), original(**told)], [second_page(), revisit(**to)]
        if order.startswith("other"):
            one, two = b"".join(first), archives.members(again)
            files = (
                {"a.warc": one, "b.warc.gz": two}
                if "before" in order
                else {"a.warc.gz": two, "b.warc": one}
            )
            reading = read(archives.wacz(files, listed=[PAGE, SECOND]))
        else:
            reading = read(b"".join(first + again if order == "before" else again + first))
        assert {page.url: images_of(page) for page in reading.pages} == {
            PAGE: [PIXELS],
            SECOND: [PIXELS],
        }
        assert not any(page.notes for page in reading.pages)
        assert reading.notes == ()

    def test_a_page_a_chain_and_one_without_headers(self) -> None:
        named = {"WARC_Record_ID": "<urn:uuid:2>", "WARC_Refers_To": "<urn:uuid:1>"}
        bare = revisit(OTHER, b"", WARC_Refers_To="<urn:uuid:2>")
        page = record(
            "response",
            PAGE,
            archives.answer(archives.html(OTHER), "text/html"),
            WARC_Payload_Digest="sha1:" + "A" * 32,
        )
        again = revisit(
            SECOND, archives.answer(b"", "text/html"), WARC_Payload_Digest="sha1:" + "A" * 32
        )
        reading = read(
            page + again + bare + revisit("https://site.example/between.png", **named) + original()
        )
        assert [(page.url, page.text.strip()) for page in reading.pages] == [
            (PAGE, "Words"),
            (SECOND, "Words"),
        ]
        assert [images_of(page)[0] for page in reading.pages] == [PIXELS, PIXELS]
        assert not any(page.notes for page in reading.pages)

    def test_what_is_not_the_same_is_not_taken(self) -> None:
        other = "sha1:" + base64.b32encode(hashlib.sha1(b"other").digest()).decode()
        reading = read(
            second_page()
            + original(WARC_Payload_Digest=DIGEST)
            + revisit(**self.TO_URL, WARC_Payload_Digest=other)
        )
        [page] = reading.pages
        assert page.notes == ("1 image of the page is not in the capture",)
        assert [note for note in reading.notes if OTHER in note and "not in the capture" in note]

    @pytest.mark.parametrize("kind", ["revisit", "response"])
    def test_an_answer_that_had_not_changed(self, kind: str) -> None:
        head = archives.answer(b"", None, "304 Not Modified")
        told = {"WARC_Profile": PROFILE + "server-not-modified"} if kind == "revisit" else {}
        unchanged = record(kind, OTHER, head, **told)
        missing = read(second_page() + unchanged)
        assert missing.pages[0].notes
        assert [note for note in missing.notes if OTHER in note and "not in the capture" in note]
        assert images_of(missing.pages[0]) == []
        there = read(response(OTHER, PIXELS) + second_page() + unchanged)
        assert (images_of(there.pages[0]), there.notes) == ([PIXELS], ())


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "location", [IMAGE, "//site.example/i/1.png", "https://site.example/i/0.png"]
    )
    def test_a_redirect_leads_to_what_the_capture_holds(self, status: int, location: str) -> None:
        moved = response(OTHER, b"<p>Moved", "text/html", f"{status} Moved", Location=location)
        on = response("https://site.example/i/0.png", b"", None, "302 Found", Location="1.png")
        reading = read(second_page() + moved + on + response(IMAGE, PIXELS))
        assert [images_of(page) for page in reading.pages] == [[PIXELS]]
        assert not reading.pages[0].notes

    def test_redirects_without_an_end_are_missing_images(self) -> None:
        there = response(OTHER, b"x", "image/png", "302 Found", Location=IMAGE)
        back = response(IMAGE, b"x", "image/png", "302 Found", Location=OTHER)
        nowhere = response(
            "https://site.example/n.png", b"x", "image/png", "302 Found", Location="gone.png"
        )
        page = page_record(body=archives.html(OTHER, "https://site.example/n.png"))
        [page] = read(page + there + back + nowhere).pages
        assert (page.images, page.notes) == ((), ("2 images of the page are not in the capture",))

    def test_a_listed_page_is_where_its_redirect_ends(self) -> None:
        moved = response(PAGE, b"", None, "301 Moved", Location=SECOND)
        image = archives.html("../i/1.png")
        [page] = read(
            archives.wacz({"a.warc": moved + page_record(SECOND, image) + response(IMAGE, PIXELS)})
        ).pages
        assert (page.url, images_of(page)) == (SECOND, [PIXELS])

    def test_a_redirect_to_itself_and_then_the_answer(self) -> None:
        cookie = response(IMAGE, b"", None, "302 Found", Location=IMAGE)
        [page] = read(page_record() + cookie + response(IMAGE, PIXELS)).pages
        assert images_of(page) == [PIXELS]


class TestParts:
    PART = response(
        IMAGE,
        PIXELS[:20],
        "image/png",
        "206 Partial Content",
        Content_Range=f"bytes 0-19/{len(PIXELS)}",
    )

    @pytest.mark.parametrize(
        "bad", [PART, response(IMAGE, b""), response(IMAGE, b"gone", "text/html", "404 Not Found")]
    )
    @pytest.mark.parametrize("first", [True, False])
    def test_the_whole_answer_counts(self, bad: bytes, first: bool) -> None:
        whole = response(IMAGE, PIXELS)
        reading = read(page_record() + (bad + whole if first else whole + bad))
        assert (images_of(reading.pages[0]), reading.pages[0].notes, reading.notes) == (
            [PIXELS],
            (),
            (),
        )

    def test_a_part_alone_is_noted_and_a_part_that_is_all_of_it_is_whole(self) -> None:
        reading = read(page_record() + self.PART)
        assert (reading.pages[0].images, len(reading.pages[0].notes)) == ((), 1)
        assert any("only a part" in note and IMAGE in note for note in reading.notes)
        told = f"bytes 0-{len(PIXELS) - 1}/{len(PIXELS)}"
        all_of_it = response(IMAGE, PIXELS, "image/png", "206 Partial Content", Content_Range=told)
        assert images_of(read(page_record() + all_of_it).pages[0]) == [PIXELS]

    @pytest.mark.parametrize("named", [True, False])
    def test_an_empty_file_is_no_image(self, named: bool) -> None:
        page = page_record() if named else page_record(body=b"<title>x</title>Words")
        assert read(page + response(IMAGE, b"")).pages[0].images == ()

    @pytest.mark.parametrize("told", [{"WARC_Truncated": "length"}, {"WARC_Segment_Number": "1"}])
    def test_what_was_cut_off_when_it_was_captured(self, told: dict[str, str]) -> None:
        reading = read(page_record(**told) + response(IMAGE, PIXELS))
        assert "Words" in reading.pages[0].text
        assert any(PAGE in note for note in reading.notes)


class TestCodings:
    RUBBISH = bytes(range(256)) * 20

    @pytest.mark.parametrize(
        "coding", ["dcb", "compress", "x-own, gzip", "gzip", "br", "zstd", "deflate"]
    )
    def test_what_cannot_be_unpacked_is_neither_text_nor_image(self, coding: str) -> None:
        body = gzip.compress(self.RUBBISH) if coding.endswith(", gzip") else self.RUBBISH
        head = {"Content_Encoding": coding}
        packed = response(PAGE, body, "text/html", **head) + response(OTHER, body, **head)
        with pytest.raises(CaptureRefused, match=f"it holds no page.*cannot be unpacked.*{PAGE}"):
            read(packed)
        reading = read(second_page() + packed)
        assert [(page.url, page.images) for page in reading.pages] == [(SECOND, ())]
        assert any(
            PAGE in note and OTHER in note and "cannot be unpacked" in note
            for note in reading.notes
        )

    @pytest.mark.parametrize(
        "coding", ["gzip", "br", "zstd", "deflate", "x-own", "utf-8", "identity", "none", ""]
    )
    def test_what_was_stored_unpacked_is_taken_as_it_is(self, coding: str) -> None:
        head = {"Content_Encoding": coding}
        page = response(PAGE, archives.html(), "text/html", **head)
        reading = read(page + response(IMAGE, PIXELS, **head))
        assert (reading.pages[0].text.strip(), images_of(reading.pages[0])) == ("Words", [PIXELS])

    @pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
    def test_a_body_that_ends_early_is_told(self, coding: str) -> None:
        long = archives.html() + b"".join(
            hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(3_000)
        )
        packed = archives.PACK[coding](long)
        reading = read(
            response(PAGE, packed[: len(packed) * 9 // 10], "text/html", Content_Encoding=coding)
        )
        assert "Words" in reading.pages[0].text
        assert any("in part only" in note for note in reading.notes)

    @pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
    def test_a_bomb_costs_no_more_than_the_limit(self, coding: str) -> None:
        bomb = archives.PACK[coding](b"<p>Words" + b" " * 100_000_000)
        reading = read(
            response(PAGE, bomb, "text/html", Content_Encoding=coding),
            limits=Limits(resource_bytes=1_000_000),
        )
        assert any("was cut off" in note for note in reading.notes)

    def test_chunks_that_were_taken_off_already_and_trailers(self) -> None:
        told = {"Transfer_Encoding": "chunked"}
        plain = response(PAGE, archives.html(), "text/html", **told)
        end = b"000;last\r\nX-Checksum: 1\r\n\r\n"
        [page] = read(plain + response(IMAGE, archives.chunked(PIXELS, 50, end), **told)).pages
        assert (page.text.strip(), images_of(page)) == ("Words", [PIXELS])
        cut = read(plain + response(IMAGE, archives.chunked(PIXELS, 50)[:-40], **told))
        assert (cut.pages[0].images, any("in part only" in note for note in cut.notes)) == (
            (),
            True,
        )

    @pytest.mark.parametrize("media_type", [None, "", "unknown/unknown", "x-unknown"])
    def test_a_missing_media_type_is_told_by_the_bytes(self, media_type: str | None) -> None:
        hidden = response("https://site.example/loaded.png", archives.png("blue"), media_type)
        [page] = read(
            response(PAGE, archives.html(), media_type)
            + response(IMAGE, PIXELS, media_type)
            + hidden
        ).pages
        assert images_of(page) == [PIXELS, archives.png("blue")]


def request(url: str, **headers: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {told}\r\n" for name, told in headers.items())
    return record("request", url, f"GET / HTTP/1.1\r\n{head}\r\n".encode())


class TestFrames:
    @pytest.mark.parametrize("request_first", [True, False])
    @pytest.mark.parametrize(
        ("asked", "pages"),
        [
            ({"Referer": PAGE}, 2),
            ({"Referer": PAGE, "Sec_Fetch_Dest": "document"}, 2),
            ({"Sec_Fetch_Dest": "iframe"}, 1),
            ({"Referer": PAGE, "Sec_Fetch_Dest": "empty"}, 1),
            ({"Referer": PAGE, "X_Requested_With": "XMLHttpRequest"}, 1),
            ({}, 2),
        ],
    )
    def test_a_link_that_was_followed_is_a_page_and_a_frame_is_none(
        self, asked: dict[str, str], pages: int, request_first: bool
    ) -> None:
        one, two = request(SECOND, **asked), second_page(IMAGE)
        reading = read(
            page_record() + response(IMAGE, PIXELS) + (one + two if request_first else two + one)
        )
        assert len(reading.pages) == pages

    @pytest.mark.parametrize("referrer", [PAGE, "https://site.example/"])
    def test_a_page_that_another_one_embeds_is_its_frame(self, referrer: str) -> None:
        outer = page_record(body=b"<title>Outer</title><iframe src='/p/2'></iframe>")
        [page] = read(
            request(SECOND, Referer=referrer) + second_page(IMAGE) + outer + response(IMAGE, PIXELS)
        ).pages
        assert (page.url, "Words" in page.text, images_of(page)) == (PAGE, True, [PIXELS])

    @pytest.mark.parametrize("packed", [True, False])
    def test_pages_that_were_captured_beside_each_other_keep_their_own(self, packed: bool) -> None:
        """Browsertrix loads several pages at once, and names the page in each record."""
        api = [f"https://site.example/api/{number}" for number in (1, 2)]
        told = [{"WARC_Page_ID": "a"}, {"WARC_Page_ID": "b"}]
        data = b"".join(
            (
                page_record(**told[0]),
                record(
                    "response", SECOND, archives.answer(archives.html(), "text/html"), **told[1]
                ),
                *(
                    record("response", url, archives.answer(b"{}", "application/json"), **one)
                    for url, one in zip(api, told, strict=True)
                ),
                response(IMAGE, PIXELS),
            )
        )
        data = (
            archives.wacz({"a.warc": data}, listed=[PAGE, SECOND], ids={PAGE: "a", SECOND: "b"})
            if packed
            else data
        )
        answers = {page.url: page.answers for page in read(data).pages}
        assert answers == {PAGE: ((api[0], "{}"),), SECOND: ((api[1], "{}"),)}
