"""Integrity of archives: gzip in every form, digests of records, hashes of packages, refusals."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zipfile
import zlib
from typing import Any, ClassVar

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawlers.captures.pages.page import Format
from crawlers.errors import CaptureRefused
from tests import archives
from tests.archives import IMAGE, PAGE, images_of, page_record, read, record, response

SECOND = "https://site.example/p/2"
PIXELS = archives.png()
DIGEST = "sha1:" + base64.b32encode(hashlib.sha1(PIXELS).digest()).decode()


class TestGzip:
    RECORDS = (page_record(), response(IMAGE, PIXELS), page_record(SECOND))

    @pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.gz", "a"])
    @pytest.mark.parametrize("form", ["plain", "members", "one member", "blocks", "unended"])
    def test_every_form_is_read_whatever_its_name(self, form: str, name: str) -> None:
        whole = b"".join(self.RECORDS)
        data = {
            "plain": whole,
            "members": archives.members(self.RECORDS),
            "one member": gzip.compress(whole),
            "blocks": archives.members(
                whole[begin : begin + 100] for begin in range(0, len(whole), 100)
            ),
            "unended": archives.members(one.removesuffix(b"\r\n\r\n") for one in self.RECORDS),
        }[form]
        reading = read(data, name)
        assert (reading.format, len(reading.pages), reading.notes) == (Format.WARC, 2, ())
        assert [images_of(page) for page in reading.pages] == [[PIXELS], [PIXELS]]

    def test_a_member_that_cannot_be_read_is_told(self) -> None:
        data = archives.members(self.RECORDS)
        for broken in (data[:-30], data[:-30] + b"\0" * 30, data + b"garbage"):
            reading = read(broken)
            assert reading.pages[0].url == PAGE
            assert any("cut off" in note or "cannot be read" in note for note in reading.notes)

    ARC = (
        b"filedesc://a.arc 127.0.0.1 20140216050221 text/plain 75\n1 0 Live\n"
        b"URL IP-address Archive-date\n\n"
    )

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (ARC, "an ARC.*warcio recompress"),
            (gzip.compress(ARC), "an ARC.*warcio recompress"),
            (zstandard.ZstdCompressor().compress(page_record()), "packed with zstd"),
            (gzip.compress(archives.html()), "a gzip that holds neither"),
            (gzip.compress(b"")[:12], "a gzip that holds neither"),
        ],
    )
    @pytest.mark.parametrize("name", ["a.warc", "a.arc.gz", "a.gz"])
    def test_what_is_no_warc_is_refused_by_name(self, data: bytes, told: str, name: str) -> None:
        with pytest.raises(CaptureRefused, match=told):
            read(data, name)


class TestDigestsOfRecords:
    BLOCK = archives.answer(PIXELS)

    @pytest.mark.parametrize(
        "algorithm", ["sha1", "SHA-1", "md5", "sha256", "SHA256", "sha512", "blake2b"]
    )
    @pytest.mark.parametrize(
        "alphabet", [base64.b16encode, base64.b32encode, base64.b64encode, base64.urlsafe_b64encode]
    )
    @pytest.mark.parametrize("lower", [False, True])
    def test_however_a_digest_is_written(self, algorithm: str, alphabet: Any, lower: bool) -> None:
        told = []
        for data in (self.BLOCK, PIXELS):
            value = (
                alphabet(hashlib.new(algorithm.replace("-", ""), data).digest())
                .decode()
                .rstrip("=")
            )
            told.append(
                f"{algorithm}:{value.lower() if lower and 'b64' not in str(alphabet) else value}"
            )
        image = record(
            "response", IMAGE, self.BLOCK, WARC_Block_Digest=told[0], WARC_Payload_Digest=told[1]
        )
        assert read(page_record() + image).checks == ("1 records agree with their own digests",)
        for changed in (
            image.replace(PIXELS, PIXELS[:-1] + b"x"),
            image.replace(b"image/png", b"image/gif"),
        ):
            [check] = read(page_record() + changed).checks
            assert check.startswith("1 records do NOT agree")

    @pytest.mark.parametrize("told", ["blake9:00", "sha1:zz", "nothing", "sha1:"])
    def test_what_cannot_be_checked_is_not_called_changed(self, told: str) -> None:
        image = record(
            "response", IMAGE, self.BLOCK, WARC_Block_Digest=told, WARC_Payload_Digest=told
        )
        reading = read(image + page_record())
        assert reading.checks == (
            "1 records have digests of a kind that is not known: not checked",
        )
        assert images_of(reading.pages[0]) == [PIXELS]

    def test_a_payload_whose_digest_was_taken_without_its_chunks(self) -> None:
        block = archives.answer(archives.chunked(PIXELS), Transfer_Encoding="chunked")
        told = "sha1:" + base64.b32encode(hashlib.sha1(block).digest()).decode()
        reading = read(
            page_record()
            + record("response", IMAGE, block, WARC_Block_Digest=told, WARC_Payload_Digest=DIGEST)
        )
        assert reading.checks == ("1 records agree with their own digests",)


def described(form: str, data: bytes) -> dict[str, Any]:
    sha256, md5 = hashlib.sha256(data), hashlib.md5(data)
    return {
        "prefix": {"hash": f"sha256:{sha256.hexdigest()}"},
        "capitals": {"hash": f"SHA-256:{sha256.hexdigest().upper()}"},
        "bare": {"hash": sha256.hexdigest()},
        "base32": {"hash": "sha256:" + base64.b32encode(sha256.digest()).decode().rstrip("=")},
        "old": {"stats": {"hash": sha256.hexdigest(), "bytes": len(data)}, "hashing": "sha256"},
        "old, none said": {"stats": {"hash": sha256.hexdigest()}},
        "named": {"stats": {"sha256": sha256.hexdigest()}},
        "second": {"hash": f"own:{1}", "stats": {"hash": md5.hexdigest()}, "hashing": "md5"},
        "bare md5": {"hash": md5.hexdigest()},
        "sha512": {"hash": "sha512:" + hashlib.sha512(data).hexdigest()},
        "sha3": {"hash": "sha3_256:" + hashlib.sha3_256(data).hexdigest()},
    }[form]


FORMS = (
    "prefix",
    "capitals",
    "bare",
    "base32",
    "old",
    "old, none said",
    "named",
    "second",
    "bare md5",
    "sha512",
    "sha3",
)


class TestHashes:
    WARC: ClassVar = {"data.warc.gz": archives.members([page_record(), response(IMAGE, PIXELS)])}

    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_of_a_hash_is_checked(self, form: str) -> None:
        reading = read(archives.wacz(self.WARC, lambda _, data: described(form, data)))
        assert any(check.startswith("2 files agree with the ") for check in reading.checks)
        assert not any("have no hash" in check for check in reading.checks)
        stale = archives.wacz(
            self.WARC, lambda name, data: described(form, data + b"x" * name.startswith("archive"))
        )
        with pytest.raises(CaptureRefused, match=r"'archive/data.warc.gz' does not agree with its"):
            read(stale)

    def test_what_cannot_be_checked_is_told(self) -> None:
        reading = read(archives.wacz(self.WARC, lambda *_: {"hash": "blake9:00"}))
        assert any(
            "'archive/data.warc.gz' (blake9)" in check and "not checked" in check
            for check in reading.checks
        )
        reading = read(archives.wacz(self.WARC, lambda *_: {}))
        assert "2 files have no hash there" in reading.checks
        with pytest.raises(CaptureRefused, match=r"has a SHA-256 in datapackage.json that is none"):
            read(archives.wacz(self.WARC, lambda *_: {"hash": "sha256:zz"}))

    @pytest.mark.parametrize("form", ["prefix", "bare", "old", "sha512"])
    def test_the_digest_of_the_list_too(self, form: str) -> None:
        def with_digest(of: bytes) -> bytes:
            package = io.BytesIO(archives.wacz(self.WARC))
            with zipfile.ZipFile(package, "a") as opened:
                told = described(form, opened.read("datapackage.json") + of)
                opened.writestr(
                    "datapackage-digest.json", json.dumps({"path": "datapackage.json", **told})
                )
            return package.getvalue()

        assert "datapackage.json agrees with its digest" in read(with_digest(b"")).checks
        with pytest.raises(
            CaptureRefused, match=r"datapackage.json' does not agree .* datapackage-digest.json"
        ):
            read(with_digest(b"x"))


class TestPackages:
    def test_bytes_before_the_zip(self) -> None:
        for before in (b"\r\n", b"#!/bin/sh\n", b"x" * 10_000):
            reading = read(before + archives.wacz(TestHashes.WARC), "a.wacz")
            assert (reading.format, images_of(reading.pages[0])) == (Format.WACZ, [PIXELS])
            assert (
                f"{len(before):,} bytes before the zip are no part of it and were not read"
                in reading.checks
            )

    def test_a_title_with_a_line_separator(self) -> None:
        data = archives.wacz(TestHashes.WARC, lambda *_: {})
        odd = data.replace(b'"Offer"', '"\u2028er"'.encode())
        assert len(odd) == len(data)
        crc = zlib.crc32(zipfile.ZipFile(io.BytesIO(data)).read("pages/pages.jsonl")).to_bytes(
            4, "little"
        )
        new = zlib.crc32(
            zipfile.ZipFile(io.BytesIO(data))
            .read("pages/pages.jsonl")
            .replace(b'"Offer"', '"\u2028er"'.encode())
        )
        assert read(odd.replace(crc, new.to_bytes(4, "little"))).pages[0].title == "\u2028er"

    def test_a_listed_page_that_is_missing_is_noted(self) -> None:
        reading = read(archives.wacz(TestHashes.WARC, listed=[PAGE, SECOND]))
        assert [page.url for page in reading.pages] == [PAGE]
        assert any("listed as a page" in note and SECOND in note for note in reading.notes)

    @pytest.mark.parametrize("profile", ["multi-wacz-package", "data-package"])
    def test_a_package_of_packages_is_refused_by_name(self, profile: str) -> None:
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as opened:
            opened.writestr("a_plain.wacz", archives.wacz(TestHashes.WARC))
            told = {
                "profile": profile,
                "resources": [{"name": "a_plain.wacz", "path": "a_plain.wacz"}],
            }
            opened.writestr("datapackage.json", json.dumps(told))
        with pytest.raises(CaptureRefused, match=r"package of packages.*a_plain\.wacz"):
            read(package.getvalue())

    def renamed(self, names: dict[str, str]) -> bytes:
        """The names of a package's files, and those in its list, have other prefixes."""
        out = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(archives.wacz(TestHashes.WARC))) as old,
            zipfile.ZipFile(out, "w") as new,
        ):
            for name in old.namelist():
                data, place = old.read(name), name
                for begin, other in names.items():
                    data = (
                        data.replace(begin.encode(), json.dumps(other)[1:-1].encode())
                        if name.endswith("package.json")
                        else data
                    )
                    place = other + place.removeprefix(begin) if place.startswith(begin) else place
                new.writestr(place, data)
        return out.getvalue()

    @pytest.mark.parametrize(
        "names",
        [
            {"archive/": "./archive/"},
            {"archive/": ".//archive/", "pages/": "./pages/"},
            {"archive/": "archive\\"},
            {"archive/": "x/archive/"},
            {"archive/": "warcs/"},
        ],
    )
    def test_however_the_zip_writes_its_names(self, names: dict[str, str]) -> None:
        reading = read(self.renamed(names))
        assert (images_of(reading.pages[0]), reading.pages[0].title, reading.notes) == (
            [PIXELS],
            "Offer",
            (),
        )
        assert "2 files agree with the SHA-256 in datapackage.json" in reading.checks

    @pytest.mark.parametrize("top", ["my capture/", "./x/"])
    def test_a_package_one_folder_down(self, top: str) -> None:
        out = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(archives.wacz(TestHashes.WARC))) as old,
            zipfile.ZipFile(out, "w") as new,
        ):
            new.writestr(top, "")
            for name in old.namelist():
                new.writestr(top + name, old.read(name))
            new.writestr("__MACOSX/._x", "x")
        reading = read(out.getvalue())
        assert (images_of(reading.pages[0]), reading.pages[0].title) == ([PIXELS], "Offer")
        assert any("not name it" in check and "__MACOSX/._x" in check for check in reading.checks)
        with zipfile.ZipFile(out, "a") as new:
            new.writestr("other/datapackage.json", "{}")
        with pytest.raises(CaptureRefused, match=r"several packages.*other/"):
            read(out.getvalue())

    def test_a_warc_that_the_list_does_not_name_is_refused_as_that(self) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as package:
            package.writestr("archive/a.warc", page_record())
            package.writestr("pages/pages.jsonl", "")
            package.writestr(
                "datapackage.json", json.dumps({"resources": [{"path": "pages/pages.jsonl"}]})
            )
        with pytest.raises(CaptureRefused, match=r"names none of its WARCs: archive/a\.warc"):
            read(out.getvalue())

    def test_archives_go_by_their_content(self) -> None:
        files = {
            "one": page_record(),
            "two.gz": gzip.compress(response(IMAGE, PIXELS)),
            "old.arc.gz": gzip.compress(TestGzip.ARC),
        }
        reading = read(archives.wacz(files))
        assert images_of(reading.pages[0]) == [PIXELS]
        assert any("old.arc.gz" in note and "not read" in note for note in reading.notes)


def _samples() -> list[bytes]:
    told = {"Transfer_Encoding": "chunked", "Content_Encoding": "zstd"}
    packed = response(IMAGE, archives.chunked(archives.PACK["zstd"](PIXELS), 50), **told)
    again = record("revisit", SECOND, archives.answer(b""), WARC_Refers_To_Target_URI=IMAGE)
    image = archives.part(PIXELS, {"Content-Type": "image/png", "Content-ID": "<a@x>"}, "base64")
    warc = page_record() + packed + again
    recorded = archives.har(
        archives.page_entry(), archives.entry(IMAGE, archives.in_base64(PIXELS))
    )
    return [
        warc,
        gzip.compress(warc),
        archives.members([page_record(), packed, again]),
        archives.wacz({"a.warc": warc}),
        recorded,
        archives.mhtml(
            archives.page_part(), image, Content_Base=PAGE, Date="Sun, 1 Mar 2026 10:00:00 -0000"
        ),
    ]


@given(
    st.sampled_from(_samples()),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=6),
    st.floats(0, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_damage_ends_in_pages_or_a_refusal(
    data: bytes, damage: list[tuple[float, bytes]], length: float
) -> None:
    changed = bytearray(data)
    for place, new in damage:
        begin = int(place * len(changed))
        changed[begin : begin + len(new)] = new
    for one in (bytes(changed), bytes(changed[: int(length * len(changed))])):
        try:
            assert read(one).pages
        except CaptureRefused as refused:
            assert str(refused)
