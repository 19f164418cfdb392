"""Content Credentials are reported in the specification's words: presence, validity, claims."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crawlers.captures.images.content_credentials import Credentials, credentials_in
from crawlers.captures.images.provenance import provenance_of
from reports.cases.case_store import CaseStore
from reports.cases.sighting_record import TieRecord
from reports.documents.case_report import case_html
from reports.documents.translation import translations
from reports.documents.words import tie_kind, words_of
from tests.cases import make_sighted_case
from tests.servers import pictures
from tests.servers.parameters import chunked

UUID = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"


def said(data: bytes) -> dict[str, str]:
    return dict(provenance_of(data).statements())


def test_what_validates_is_told_beside_what_is_claimed() -> None:
    told = said(pictures.content_credentials())
    assert told["credentials"].startswith(
        "present and valid: what was signed was not changed since; who signed it was "
        "checked against no trust list"
    )
    assert "签名者身份未经信任列表核对" in told["credentials"]
    assert told["credentials: signer"] == "Imaginary Images"
    assert told["credentials: program"] == "Imaginary Images 1"
    assert told["credentials: source type"] == "trainedAlgorithmicMedia"
    assert "proof" not in str(told).lower()
    assert "untrusted" not in str(told)  # no trust list was consulted


def test_what_was_changed_does_not_validate() -> None:
    changed = bytearray(pictures.content_credentials())
    changed[-200] ^= 1
    told = said(bytes(changed))["credentials"]
    assert told.startswith("present, but does not validate / 存在，但未通过验证")
    assert "assertion.dataHash.mismatch" in told


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n1 0 obj\n(how c2pa writes jumb boxes)\nendobj\n%%EOF",
        b"c2pa jumb" * 50,
        pictures.plain("BMP") + b"c2pa jumb",
        pictures.plain("AVIF") + b"c2pa jumb jumdc2pa",
        pictures.plain("JPEG", comment=b"portrait, c2pa, jumb, jumd"),
        chunked(parameters="c2pa jumb jumd"),
        b"From: a@b\r\n\r\nThe c2pa manifest lies in a jumb box.",
    ],
)
def test_words_about_credentials_are_none(data: bytes) -> None:
    assert credentials_in(data) is None
    assert "credentials" not in said(data)


@pytest.mark.parametrize(
    "data",
    [
        pictures.content_credentials()[:2_000],
        pictures.plain("BMP") + b"\0\0\1\0jumb\0\0\0\x25jumd" + UUID,
        b"%PDF-1.7\n\0\0\1\0jumb\0\0\0\x25jumd" + UUID + b"\n%%EOF",
    ],
)
def test_credentials_that_cannot_be_read_are_no_invalid_ones(data: bytes) -> None:
    found = credentials_in(data)
    assert found is not None
    assert found.state == "Unread"
    [(about, told)] = found.statements()
    assert (about, "could not be read, so that nothing was validated" in told) == (
        "credentials",
        True,
    )
    assert not any(word in told for word in ("_C2pa", "Error", "does not validate"))


def test_credentials_kept_elsewhere_are_named_and_not_fetched() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'rdf:about="" '
        'xmlns:dcterms="http://purl.org/dc/terms/" '
        'dcterms:provenance="https://store.example/a.c2pa"/></rdf:RDF></x:xmpmeta>'
    )
    told = said(pictures.plain("JPEG", xmp=packet.encode()))
    assert told["credentials"].endswith("(https://store.example/a.c2pa)")
    assert "not fetched and nothing was validated" in told["credentials"]


@pytest.mark.parametrize("state", ["Invalid", "Valid", "Trusted", "Unread", "Elsewhere"])
def test_every_state_has_words_in_both_languages(state: str) -> None:
    [(_, told)] = Credentials(state, None, None, None, (), ()).statements()
    english, chinese = told.split(" / ")
    assert english.isascii()
    assert not chinese.isascii()


class TestReports:
    def shown(self, case_store: CaseStore, language: str) -> str:
        case = make_sighted_case(case_store)
        assert case.sighting is not None
        says = tuple(provenance_of(pictures.content_credentials()).statements()) + (
            ("not read", "its EXIF is damaged"),
        )
        images = tuple(replace(one, says=says) for one in case.sighting.images)
        ties = tuple(
            TieRecord(one, "image", "x.safetensors", "civitai", "https://hub.example/1", None)
            for one in (
                "abcdef0123",
                "81761151",
                "ohwx",
                "civitai:67890",
                "https://hub.example/1",
                f"blake3:{'ab' * 32}",
            )
        )
        return case_html(
            replace(case, sighting=replace(case.sighting, images=images, ties=ties)),
            case_store,
            language,
        )

    def test_a_report_says_what_credentials_are_and_how_a_file_is_meant(
        self, case_store: CaseStore
    ) -> None:
        text = self.shown(case_store, "en")
        for told in (
            "Content Credentials: present and valid",
            "their signer, as the certificate names it: Imaginary Images",
            "their source type, as claimed: trainedAlgorithmicMedia",
            "not that they are true",
            "could not be read: its EXIF is damaged",
            "by hash: these bytes are meant",
            "other files may share it",
            "another file may have the same name",
            "by the number of the listing",
            "by a link to the listing",
        ):
            assert told in text.replace("&#39;", "'"), told

    def test_in_chinese_too(self, case_store: CaseStore) -> None:
        text = self.shown(case_store, "zh-CN")
        for told in (
            "内容凭证",
            "凭证的签名者（以证书所载为准）",
            "并不表明其内容属实",
            "未能读取",
            "仅按文件名；其他文件可能同名",
            "其他文件可能与之相同",
        ):
            assert told in text, told

    def test_every_word_is_translated(self) -> None:
        english, chinese = (
            words_of(translations(language).gettext) for language in ("en", "zh-CN")
        )
        for group in ("says", "tie"):
            assert not [key for key, word in english[group].items() if chinese[group][key] == word]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("abcdef0123", "hash"),
        ("ab" * 32, "hash"),
        (f"blake3:{'ab' * 32}", "hash"),
        ("81761151", "short hash"),
        ("crc32:deadbeef", "short hash"),
        ("https://x.example/1", "link"),
        ("civitai:1", "number"),
        ("huggingface:a/b", "number"),
        ("ohwx", "name"),
        ('file name "deadbeef01"', "name"),
        ("people/ohwx.safetensors", "name"),
    ],
)
def test_how_a_tie_is_meant_is_told_from_what_is_written(told: str, kind: str) -> None:
    assert tie_kind(told) == kind
