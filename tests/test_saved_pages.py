"""Captures from other people's tools are read completely; hostile ones are refused or limited."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser
from warcio.capture_http import capture_http

from crawlers.captures.pages.extractors import facts_of
from crawlers.captures.pages.facts import PageFacts, PageKind, moment_of, number_of, price_of
from crawlers.captures.pages.page import Format, Limits, Reading
from crawlers.captures.reading import captures_in, read_capture
from crawlers.errors import CaptureRefused
from tests.servers.browsing import open_browser
from tests.servers.market import HASH, ITEM, NOTE, SELLER, USER, picture, serve_market

ADDRESSES = {
    "item": f"http://www.goofish.com/item?id={ITEM}",
    "note": f"http://www.xiaohongshu.com/explore/{NOTE}",
    "user": f"http://www.xiaohongshu.com/user/profile/{USER}",
    "shop": "http://shop.example/shop",
}


@pytest.fixture(scope="module")
def market() -> Iterator[str]:
    with serve_market() as url:
        yield url


@pytest.fixture(scope="module")
def saved(market: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of captures: Chromium's MHTML and PDF, screenshots, HAR, and warcio's WARC."""
    folder = tmp_path_factory.mktemp("captures")
    port = market.rsplit(":", 1)[1]
    with open_browser(f"--host-resolver-rules=MAP * 127.0.0.1:{port}") as browser:
        for name, url in ADDRESSES.items():
            _capture(browser, folder, name, url)
    with capture_http(str(folder / "shop.warc.gz")):
        for path in (
            "/shop",
            "/style.css",
            "/four.png",
            "/large.png",
            "/five.png",
            "/frame",
            "/six.png",
        ):
            # resolved here, because warcio replaces the class of its own module
            connection = http.client.HTTPConnection("127.0.0.1", int(port))
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()
    return folder


def _capture(browser: Browser, folder: Path, name: str, url: str) -> None:
    context = browser.new_context(
        record_har_path=folder / f"{name}.har", record_har_content="embed"
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_load_state("networkidle")
    told = context.new_cdp_session(page).send("Page.captureSnapshot", {"format": "mhtml"})
    (folder / f"{name}.mhtml").write_bytes(told["data"].encode())
    page.pdf(path=folder / f"{name}.pdf")
    page.screenshot(path=folder / f"{name}.png")
    context.close()


def read(path: Path, room: Path, limits: Limits | None = None) -> Reading:
    room.mkdir(parents=True, exist_ok=True)
    return read_capture(path, room, limits)


def facts(path: Path, room: Path) -> PageFacts:
    [page, *_] = read(path, room).pages
    return facts_of(page)[0]


class TestFormats:
    def test_chromiums_mhtml_is_read_with_its_images_and_frames(
        self, saved: Path, tmp_path: Path
    ) -> None:
        reading = read(saved / "shop.mhtml", tmp_path)
        [page] = reading.pages
        assert (reading.format, page.url, page.title) == (Format.MHTML, ADDRESSES["shop"], "Shop")
        assert "Inside the frame" in page.text
        assert [image.url for image in page.images][:3] == [
            f"http://shop.example/{name}.png" for name in ("four", "five", "six")
        ]
        assert page.images[0].path.read_bytes() == picture("four.png")
        assert page.saved_at is not None

    def test_har_holds_what_scripts_were_sent(self, saved: Path, tmp_path: Path) -> None:
        told = facts(saved / "item.har", tmp_path)
        assert told == PageFacts(
            kind=PageKind.OFFER,
            platform="xianyu",
            title="某明星 LoRA 模型 代训练",
            text=told.text,
            account_name="小王AI工作室",
            account_id=SELLER,
            account_url=f"https://www.goofish.com/personal?userId={SELLER}",
            item_id=ITEM,
            price=9.9,
            currency="CNY",
            counts={"wanted": 321, "views": 12_000, "saves": 45, "sold": 88},
            published_at="2025-10-09T08:53:20+00:00",
            links=("https://civitai.com/models/4711",),
            hashes=(HASH,),
            images=("https://img.alicdn.com/bao/one.png", "http://img.alicdn.com/bao/two.png"),
            extractor="xianyu offer",
        )

    def test_what_was_drawn_is_read_where_scripts_are_gone(
        self, saved: Path, tmp_path: Path
    ) -> None:
        told = facts(saved / "item.mhtml", tmp_path)
        assert (told.kind, told.price, told.account_name, told.item_id) == (
            PageKind.OFFER,
            9.9,
            "小王AI工作室",
            ITEM,
        )
        assert told.counts == {"wanted": 321, "views": 12_000}
        assert told.hashes == (HASH,)

    def test_a_note_and_an_account_of_xiaohongshu(self, saved: Path, tmp_path: Path) -> None:
        note = facts(saved / "note.har", tmp_path / "1")
        assert (note.kind, note.account_name, note.account_id, note.item_id) == (
            PageKind.POST,
            "小红薯一号",
            USER,
            NOTE,
        )
        assert note.counts == {"likes": 13_000, "saves": 402, "comments": 77}
        assert "#AI写真" in note.text
        account = facts(saved / "user.har", tmp_path / "2")
        assert (account.kind, account.counts) == (
            PageKind.ACCOUNT,
            {"followers": 34_000, "likes": 90_000},
        )

    def test_a_note_as_it_was_drawn(self, tmp_path: Path) -> None:
        html = (
            f"<!-- saved from url=(0060){ADDRESSES['note']} -->\n"
            '<html><body><div class="author-wrapper"><a '
            f'href="/user/profile/{USER}?x=1"><span '
            'class="username">小红薯一号</span></a></div>'
            '<div id="detail-title">今日穿搭</div><div '
            'id="detail-desc">新图来啦</div><span class="like-wrapper"><span '
            'class="count">1.3万</span></span></body></html>'
        )
        (tmp_path / "note.html").write_text(html)
        told = facts(tmp_path / "note.html", tmp_path / "room")
        assert (told.kind, told.title, told.account_name, told.account_id) == (
            PageKind.POST,
            "今日穿搭",
            "小红薯一号",
            USER,
        )
        assert (told.item_id, told.counts, told.extractor) == (
            NOTE,
            {"likes": 13_000},
            "xiaohongshu note as drawn",
        )

    def test_a_warc_and_what_its_records_promise(self, saved: Path, tmp_path: Path) -> None:
        reading = read(saved / "shop.warc.gz", tmp_path)
        assert reading.format == Format.WARC
        assert reading.checks == ("7 records agree with their own digests",)
        [page] = [page for page in reading.pages if page.url and page.url.endswith("/shop")]
        told, _ = facts_of(page)
        assert (told.kind, told.price, told.currency, told.account_name) == (
            PageKind.OFFER,
            12.5,
            "EUR",
            "Face Shop",
        )
        assert told.links == ("https://civitai.com/models/12",)
        assert len(page.images) == 4

    def test_a_page_of_singlefiles(self, tmp_path: Path) -> None:
        """The same shop saved with single-file-cli 2.0; its pictures are inside the file."""
        reading = read(Path(__file__).parent / "data" / "singlefile_shop.html", tmp_path)
        [page] = reading.pages
        assert (reading.format, reading.tool, page.url) == (
            Format.SINGLE_FILE,
            "SingleFile",
            ADDRESSES["shop"],
        )
        assert len(page.images) == 3
        assert page.images[0].path.read_bytes() == picture("four.png")
        assert "Inside the frame" in page.text

    def test_a_saved_page_with_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "Shop_files").mkdir(parents=True)
        html = (
            "<!-- saved from url=(0024)http://shop.example/shop -->\n"
            "<html><title>Shop</title><img src='./Shop_files/four%20x.png'><p>Words"
        )
        (tmp_path / "in" / "Shop.html").write_text(html)
        (tmp_path / "in" / "Shop_files" / "four x.png").write_bytes(picture("four"))
        assert captures_in([tmp_path / "in"]) == [tmp_path / "in" / "Shop.html"]
        reading = read(tmp_path / "in" / "Shop.html", tmp_path / "room")
        [page] = reading.pages
        assert (reading.format, page.url, len(page.images)) == (
            Format.FOLDER,
            "http://shop.example/shop",
            1,
        )

    def test_prints_and_screenshots_are_pictures_of_pages(
        self, saved: Path, tmp_path: Path
    ) -> None:
        print_of = read(saved / "item.pdf", tmp_path / "1")
        assert (print_of.format, len(print_of.pages[0].images)) == (Format.PDF, 1)
        assert "小王AI工作室" in print_of.pages[0].text
        shot = read(saved / "item.png", tmp_path / "2")
        assert shot.format == Format.IMAGE
        assert shot.pages[0].images[0].path.read_bytes() == (saved / "item.png").read_bytes()

    def test_a_table_of_addresses_with_screenshots(self, saved: Path, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "one.png").write_bytes(picture("one"))
        (tmp_path / "secret.png").write_bytes(picture("secret"))
        rows = [
            "url,screenshot,title",
            "https://a.example/1,one.png,First",
            "https://a.example/2,../secret.png,Second",
            "https://a.example/3,/etc/passwd,Third",
        ]
        (folder / "list.csv").write_text("\n".join(rows))
        pages = read(folder / "list.csv", tmp_path / "room").pages
        assert [(page.url, len(page.images)) for page in pages] == [
            (f"https://a.example/{n}", int(n == 1)) for n in (1, 2, 3)
        ]
        assert "no screenshot" in pages[1].notes[0]


def wacz(
    folder: Path, warc: bytes, *, key: ec.EllipticCurvePrivateKey | None = None, damage: str = ""
) -> Path:
    """A package in the form of ArchiveWeb.page, signed with a browser's key if one is given."""
    path = folder / "capture.wacz"
    pages = (
        '{"format": "json-pages-1.0", "id": "pages"}\n'
        '{"url": "http://127.0.0.1/shop", "title": "Listed", "ts": '
        '"2026-05-01T00:00:00Z"}\n'
    )
    files = {"archive/data.warc.gz": warc, "pages/pages.jsonl": pages.encode()}
    described: dict[str, Any] = {
        "profile": "data-package",
        "wacz_version": "1.1.1",
        "software": "Webrecorder ArchiveWeb.page 0.12",
        "resources": [
            {
                "name": name.rsplit("/", 1)[-1],
                "path": name,
                "hash": "sha256:" + hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
            }
            for name, data in files.items()
        ],
    }
    text = json.dumps(described).encode()
    told = "sha256:" + hashlib.sha256(text).hexdigest()
    digest: dict[str, Any] = {"path": "datapackage.json", "hash": told}
    if key is not None:
        raw = key.sign(
            (told if damage != "signature" else "sha256:other").encode(), ec.ECDSA(hashes.SHA256())
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest["signedData"] = {
            "hash": told,
            "signature": base64.b64encode(raw).decode(),
            "publicKey": base64.b64encode(public).decode(),
            "created": "2026-05-01T00:00:00Z",
            "software": "Webrecorder ArchiveWeb.page 0.12",
        }
    if damage == "file":
        files["archive/data.warc.gz"] = warc + b"x"
    with zipfile.ZipFile(path, "w") as package:
        for name, data in {
            **files,
            "datapackage.json": text,
            "datapackage-digest.json": json.dumps(digest).encode(),
        }.items():
            package.writestr(name, data)
        if damage == "bomb":
            package.writestr(
                zipfile.ZipInfo("archive/bomb.warc"), b"\0" * 50_000_000, zipfile.ZIP_DEFLATED
            )
    return path


class TestWacz:
    @pytest.fixture
    def warc(self, saved: Path) -> bytes:
        return (saved / "shop.warc.gz").read_bytes()

    def test_digests_and_signature_are_checked(self, warc: bytes, tmp_path: Path) -> None:
        reading = read(
            wacz(tmp_path, warc, key=ec.generate_private_key(ec.SECP256R1())), tmp_path / "room"
        )
        assert reading.format == Format.WACZ
        assert reading.tool == "Webrecorder ArchiveWeb.page 0.12"
        assert "2 files agree with the SHA-256 in datapackage.json" in reading.checks
        assert any("signed by a key that nobody vouches for" in one for one in reading.checks)
        assert any(page.images for page in reading.pages)

    def test_what_the_package_does_not_name_is_not_read(self, warc: bytes, tmp_path: Path) -> None:
        path = wacz(tmp_path, warc, key=ec.generate_private_key(ec.SECP256R1()))
        with zipfile.ZipFile(path, "a") as package:
            package.writestr(
                "pages/extraPages.jsonl", '{"url": "http://127.0.0.1/shop", "title": "Forged"}\n'
            )
            package.writestr("archive/more.warc.gz", warc)
        reading = read(path, tmp_path / "room")
        assert not [page for page in reading.pages if page.title == "Forged"]
        assert len({page.url for page in reading.pages}) == len(reading.pages)
        assert any("not read" in one and "more.warc.gz" in one for one in reading.checks)

    @pytest.mark.parametrize(
        ("damage", "told"),
        [
            ("file", "does not agree with its SHA-256"),
            ("signature", "signature does not hold"),
            ("bomb", "must be a bomb"),
        ],
    )
    def test_what_was_changed_is_refused(
        self, warc: bytes, tmp_path: Path, damage: str, told: str
    ) -> None:
        path = wacz(tmp_path, warc, key=ec.generate_private_key(ec.SECP256R1()), damage=damage)
        with pytest.raises(CaptureRefused, match=told):
            read(path, tmp_path / "room")


@pytest.fixture
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A server that must get no request while a capture is read; returns its requests."""
    import threading

    calls: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                try:
                    line, _ = server.accept()
                except OSError:
                    continue
                calls.append(line.recv(200))
                line.close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        done.set()
        thread.join()


class TestHostile:
    def test_nothing_is_fetched_and_nothing_runs(
        self, listening: tuple[str, list[bytes]], tmp_path: Path
    ) -> None:
        url, calls = listening
        html = (
            f'<!doctype html [<!ENTITY x SYSTEM "{url}/dtd">]><html><head><base '
            f'href="{url}/"><meta http-equiv=refresh content="0;url={url}">'
            f'<link rel=stylesheet href="{url}/a.css"><script '
            f'src="{url}/a.js"></script><script>fetch("{url}")</script></head>'
            f'<body onload="fetch(\'{url}\')"><img src="{url}/a.png" '
            f'onerror="fetch(\'{url}\')"><iframe src="{url}/f"></iframe>'
            f'<object data="{url}/o"></object><svg><image '
            f'href="{url}/i.svg"/></svg>&x;<p>Words</p></body></html>'
        )
        path = tmp_path / "page.html"
        path.write_text(html)
        [page] = read(path, tmp_path / "room").pages
        assert "Words" in page.text
        facts_of(page)
        assert calls == []

    def test_frames_in_circles_end(self, tmp_path: Path) -> None:
        inside = "x"
        for _ in range(40):
            inside = (
                (
                    "<iframe srcdoc='"
                    f"{inside.replace('&', '&amp;').replace(chr(39), '&#39;')}'></iframe>"
                    "<p>deep</p>"
                )
                if len(inside) < 200_000
                else inside
            )
        mhtml = (
            "From: <Saved by Blink>\nSnapshot-Content-Location: http://a.example/\n"
            "MIME-Version: 1.0\n"
            'Content-Type: multipart/related; type="text/html"; boundary="b"\n\n--b\n'
            "Content-Type: text/html\nContent-Location: http://a.example/\n\n"
            '<p>Outer</p><iframe src="cid:frame@x"></iframe><iframe '
            'src="http://a.example/"></iframe>\n--b\nContent-Type: text/html\n'
            "Content-ID: <frame@x>\n"
            "Content-Location: http://a.example/frame\n\n"
            '<p>Inner</p><iframe src="http://a.example/"></iframe><iframe '
            'src="cid:frame@x"></iframe>\n--b--\n'
        )
        (tmp_path / "circle.mhtml").write_text(mhtml)
        [page] = read(tmp_path / "circle.mhtml", tmp_path / "1").pages
        assert page.text.count("Outer") <= 2
        assert "Inner" in page.text
        (tmp_path / "deep.html").write_text(f"<html><body>{inside}</body></html>")
        read(tmp_path / "deep.html", tmp_path / "2")

    def test_a_record_that_claims_ten_gigabytes_costs_nothing(self, tmp_path: Path) -> None:
        record = (
            b"WARC/1.1\r\nWARC-Type: response\r\n"
            b"WARC-Target-URI: http://a.example/\r\n"
            b"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:0>\r\n"
            b"Content-Type: application/http; msgtype=response\r\n"
            b"Content-Length: 10000000000\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
            b"Content-Length: 10000000000\r\n\r\n<p>Short</p>"
        )
        (tmp_path / "long.warc").write_bytes(record)
        reading = read(tmp_path / "long.warc", tmp_path / "room")
        assert "Short" in reading.pages[0].text
        assert any("was cut off" in note for note in reading.notes)

    @pytest.mark.parametrize("packed", [True, False])
    def test_a_warc_that_ends_early_says_so(
        self, saved: Path, tmp_path: Path, packed: bool
    ) -> None:
        data = (saved / "shop.warc.gz").read_bytes()
        data = data if packed else gzip.decompress(data)
        whole, half = tmp_path / "whole.warc.gz", tmp_path / "half.warc.gz"
        whole.write_bytes(data)
        assert not any("cut off" in note for note in read(whole, tmp_path / "room").notes)
        said = 0
        for number, length in enumerate(range(len(data) // 3, len(data) - 300, len(data) // 50)):
            half.write_bytes(data[:length])
            try:
                reading = read(half, tmp_path / str(number))
            except CaptureRefused:
                continue
            said += any("cut off" in note or "cannot be read" in note for note in reading.notes)
            assert said == number + 1, length
            assert not any("do NOT agree" in check for check in reading.checks)
        assert said

    def test_a_gzip_bomb_is_cut_off(self, tmp_path: Path) -> None:
        body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"<p>x" * 25_000_000
        head = (
            b"WARC/1.1\r\nWARC-Type: response\r\n"
            b"WARC-Target-URI: http://a.example/\r\n"
            b"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:0>\r\n"
            b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        (tmp_path / "bomb.warc.gz").write_bytes(gzip.compress(head + body + b"\r\n\r\n"))
        limits = Limits(resource_bytes=1_000_000)
        reading = read(tmp_path / "bomb.warc.gz", tmp_path / "room", limits)
        assert any("was cut off" in note for note in reading.notes)
        with pytest.raises(CaptureRefused, match="larger than"):
            read(tmp_path / "bomb.warc.gz", tmp_path / "two", Limits(total_bytes=500_000))

    def test_brotli_in_a_warc_is_read(self, tmp_path: Path) -> None:
        packed = brotli.compress(b"<title>Packed</title><p>Words" + b" " * 3_000_000)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\n"
        record = (
            b"WARC/1.1\r\nWARC-Type: response\r\n"
            b"WARC-Target-URI: http://a.example/\r\n"
            b"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:0>\r\n"
            b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
            % len(head + packed)
        )
        (tmp_path / "br.warc").write_bytes(record + head + packed + b"\r\n\r\n")
        [page] = read(tmp_path / "br.warc", tmp_path / "room").pages
        assert (page.title, page.text.strip()) == ("Packed", "Words")

    @pytest.mark.parametrize(
        "html",
        [
            '<base href="http://["><p>Words',
            '<meta charset="idna"><p>Words',
            '<meta charset="undefined"><p>Words',
            (
                '<script type="application/ld+json">{"@type": "Product", "name": '
                '"\\ud800"}</script><p>Words'
            ),
            '<div style="url(' + " " * 50_000 + '">Words',
            '<div style="' + "url(" * 50_000 + '">Words',
            (
                "<!-- saved from url=(0030)https://www.goofish.com/item?id=1 --><div "
                "class='desc--'>x</div>Words"
            )
            + "1" * 50_000,
            "<!-- saved from url=(0009)http://[x --><p>Words",
        ],
        ids=["base", "idna", "undefined", "surrogate", "blanks", "addresses", "digits", "address"],
    )
    def test_no_page_stops_the_reading_or_takes_long(self, tmp_path: Path, html: str) -> None:
        (tmp_path / "x.html").write_text(
            f"<html><body>{html}</body></html>"
            if not html.startswith("<!--")
            else html + "<html></html>"
        )
        begin = time.monotonic()
        told = facts(tmp_path / "x.html", tmp_path / "room")
        assert "Words" in told.text or told.text == "x"
        assert time.monotonic() - begin < 5

    def test_line_breaks_in_strings_and_a_malformed_script_hide_no_other(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "x.html").write_text(
            "<html><body><script type='application/ld+json'>{oops</script>"
            "<script type='application/ld+json'>"
            '{"@type": "Product", "name": "LoRA", "description": "first\nsecond", "sku": "77"}'
            "</script>Words</body></html>"
        )
        told = facts(tmp_path / "x.html", tmp_path / "room")
        assert (told.kind, told.title, told.text, told.item_id) == (
            PageKind.OFFER,
            "LoRA",
            "first\nsecond",
            "77",
        )

    @pytest.mark.parametrize(
        "name", ["item.har", "item.mhtml", "shop.warc.gz", "item.pdf", "item.png"]
    )
    def test_cut_off_anywhere_it_is_refused_or_read_in_part(
        self, saved: Path, tmp_path: Path, name: str
    ) -> None:
        whole = (saved / name).read_bytes()
        for number, share in enumerate((0.02, 0.3, 0.7, 0.99)):
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(whole[: int(len(whole) * share)])
            try:
                read(path, tmp_path / f"room{number}")
            except CaptureRefused as error:
                assert str(error)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            '{"log": []}',
            (
                '{"log": {"entries": [1, {"request": 1}, {"request": {"url": "x"}, '
                '"response": null}]}}'
            ),
            '{"log":' + "[" * 100_000,
            '{"log": {"entries": {"a": 1}, "pages": 7, "creator": 3}}',
        ],
        ids=["empty", "nothing", "a list", "odd entries", "deep", "odd kinds"],
    )
    def test_odd_har_files_are_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "odd.har").write_text(text)
        with pytest.raises(CaptureRefused):
            read(tmp_path / "odd.har", tmp_path / "room")

    @given(
        st.binary(max_size=400),
        st.sampled_from(
            [".warc", ".warc.gz", ".wacz", ".har", ".mhtml", ".html", ".pdf", ".png", ".csv"]
        ),
        st.sampled_from(
            [
                b"",
                b"WARC/1.0\r\n",
                b"\x1f\x8b\x08",
                b"PK\x03\x04",
                b'{"log":',
                b"From: x\nContent-Type: multipart/related; boundary=b\n\n--b\n",
                b"<html>",
                b"%PDF-1.4\n",
                b"\x89PNG\r\n\x1a\n",
            ]
        ),
    )
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    def test_any_bytes_end_in_pages_or_a_refusal(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str, start: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("any")
        (folder / f"x{ending}").write_bytes(start + data)
        try:
            for page in read(folder / f"x{ending}", folder / "room").pages:
                facts_of(page)
        except CaptureRefused as error:
            assert str(error)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "data",
                            "itemDO",
                            "sellerDO",
                            "title",
                            "desc",
                            "imageInfos",
                            "url",
                            "note",
                            "noteDetailMap",
                            NOTE,
                            "user",
                            "userPageData",
                            "basicInfo",
                            "nickname",
                            "interactions",
                            "notes",
                            "@type",
                            "offers",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        )
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def test_extractors_lose_nothing_whatever_sites_send(
        self, tmp_path_factory: pytest.TempPathFactory, told: Any
    ) -> None:
        folder = tmp_path_factory.mktemp("sites")
        text = json.dumps(told)
        html = (
            f"<html><title>T</title><p>Words</p><script>window.__INITIAL_STATE__={text}</"
            f"script><script type='application/ld+json'>{text}</script>"
        )
        for number, url in enumerate(ADDRESSES.values()):
            entries = [
                {
                    "request": {"url": url},
                    "response": {"status": 200, "content": {"mimeType": "text/html", "text": html}},
                },
                {
                    "request": {"url": "https://h5api.m.goofish.com/h5/mtop.x/"},
                    "response": {
                        "status": 200,
                        "content": {"mimeType": "application/json", "text": text},
                    },
                },
            ]
            (folder / f"{number}.har").write_text(json.dumps({"log": {"entries": entries}}))
            [page] = read(folder / f"{number}.har", folder / f"room{number}").pages
            assert "Words" in facts_of(page)[0].text or facts_of(page)[0].text


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("1234", 1234),
        ("1.2万", 12_000),
        ("3k+", 3_000),
        ("10,000", 10_000),
        (7, 7),
        ("many", None),
        (None, None),
        (True, None),
        (float("nan"), None),
    ],
)
def test_counts_as_sites_write_them(told: Any, number: int | None) -> None:
    assert number_of(told) == number


def test_prices_and_times_as_sites_write_them() -> None:
    assert [price_of(one) for one in ("¥9.90", "1.2万", 5, "free")] == [9.9, 12_000, 5, None]
    assert (
        moment_of(1_760_000_000_000)
        == moment_of("1760000000")
        == moment_of("2025-10-09T08:53:20Z")
        == "2025-10-09T08:53:20+00:00"
    )
    assert moment_of("yesterday") is None


def test_nothing_of_a_reading_is_left_open(saved: Path, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("item.har", "shop.warc.gz", "item.mhtml", "item.pdf"):
        read(saved / name, tmp_path / name)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
