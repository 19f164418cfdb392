"""The report of one case: complete in two languages, safe, archival, accessible."""

from __future__ import annotations

import io
import itertools
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pikepdf
import pypdfium2
import pytest

from face_index.faces.photos import PhotoRefused, photo_from
from reports.cases.case import Case, case_from_dict, case_to_dict
from reports.cases.case_store import CaseStore
from reports.documents.case_report import case_html, case_pdf
from reports.documents.monthly import month_html
from reports.documents.translation import LANGUAGES
from reports.documents.words import ratio_words, verbal_scale
from reports.errors import FontMissing
from tests.cases import AT, make_case, make_sighted_case, png, reviewed


@pytest.fixture
def case(case_store: CaseStore) -> Case:
    return reviewed(case_store, make_case(case_store))


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_a_reader_needs_is_there(case_store: CaseStore, case: Case, language: str) -> None:
    text = case_html(case, case_store, language, fingerprint="fe" * 32)
    for needed in (
        "Erika Mustermann",
        "ab" * 32,
        "cd" * 32,
        "https://hub.example/models/1",
        "maker",
        "0.72",
        "0.60",
        "Hp",
        "Hd",
        "5,000",
        "Li Na",
        "one face throughout",
        "40_erika woman (41)",
        "2025-11-24T16:00:00+00:00",
        "1007",
        "photo of ohwx person, adult",
        "nude, child",
        "192.0.2.1",
        "olga",
        "89" * 8,
        "23" * 32,
        "fe" * 32,
        "0.0008",
        "0.0100 / 0.0050",
        "steps 10",
    ):
        assert needed in text, needed
    assert f'<html lang="{language}">' in text
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert text.count("<img ") == text.count('alt="') == 16
    assert "" not in re.findall(r'alt="([^"]*)"', text)
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    english = ("Whose likeness", "What is asked", "Two propositions", "strong support")
    assert all((words in text) == (language == "en") for words in english)


def test_only_a_confirmed_case_is_told_as_a_finding(case_store: CaseStore) -> None:
    case = make_case(case_store)
    text = case_html(case, case_store)
    assert "No reviewer has decided" in text
    assert "Not decided: does a model file" in text
    for decision, said in (
        ("reject", "No infringement found"),
        ("authorised", "Authorised use"),
        ("more-samples", "Not decided"),
    ):
        told = case_html(reviewed(case_store, case, decision), case_store)
        assert said in told
        assert "Remove or disable" not in text + told
        assert "A model file reproduces" not in text + told
    case_store.add(case.case_id, "appeal", "maker", AT, {"text": "it is a parody"})
    appealed = case_html(case_store.case(case.case_id), case_store)
    assert re.search(
        r"Appealed; it must be reviewed again\.</strong>\s*maker, [^:]+:\d\d: it is a parody",
        appealed,
    )
    redacted = case_html(case_store.case(case.case_id), case_store, redacted=True)
    assert "it is a parody" in redacted
    assert "maker, 2026" not in redacted


def test_the_words_follow_the_figures(case_store: CaseStore, case: Case) -> None:
    text = case_html(case, case_store)
    assert "In 7 of the 7 images with a face" in text
    assert "may hold more than one person" not in text
    assert "(8 images) score 0.05: the file adds 0.67" in text
    several = replace(
        case, samples=tuple(replace(one, in_mean=one.number in (0, 1, 2)) for one in case.samples)
    )
    assert "In 3 of the 7 images" in (told := case_html(several, case_store))
    assert "may hold more than one person" in told
    assert "too few faces to be compared" in case_html(
        replace(case, control_score=None, lift=None), case_store
    )
    seeds = [
        int(seed)
        for seed in re.findall(r"seed (\d+)</figcaption|seed (\d+) ·", text)
        for seed in seed
        if seed
    ]
    assert seeds == sorted(seeds)


def test_a_redacted_copy_names_no_reviewer_and_shows_no_face(
    case_store: CaseStore, case: Case
) -> None:
    whole, redacted = case_html(case, case_store), case_html(case, case_store, redacted=True)
    for kept_back in ("Li Na", "one face throughout", "192.0.2.1", "olga", "89" * 8, "id-1"):
        assert kept_back not in redacted, kept_back
    assert "Erika Mustermann" in redacted
    pictures = [re.findall(r"data:image/jpeg;base64,([^\"]+)", text) for text in (whole, redacted)]
    assert len(pictures[0]) == len(pictures[1])
    assert not set(pictures[0]) & set(pictures[1])


class TestPdf:
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_archival_tagged_and_with_its_fonts(
        self, case_store: CaseStore, case: Case, language: str
    ) -> None:
        data = case_pdf(case_html(case, case_store, language), case, language)
        with pikepdf.open(io.BytesIO(data)) as pdf:
            metadata = pdf.open_metadata()
            assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"]) == ("3", "A")
            assert pdf.Root.MarkInfo.Marked
            assert "/StructTreeRoot" in pdf.Root
            assert str(pdf.Root.Lang) == language
            assert pdf.Root.OutputIntents[0].S == "/GTS_PDFA1"
            assert (pdf.is_encrypted, "/JavaScript" in pdf.Root, "/OpenAction" in pdf.Root) == (
                False,
                False,
                False,
            )
            fonts = [
                obj
                for obj in pdf.objects
                if isinstance(obj, pikepdf.Dictionary) and obj.get("/Type") == "/FontDescriptor"
            ]
            assert fonts
            assert all({"/FontFile2", "/FontFile3"} & set(font.keys()) for font in fonts)
            figures = [
                obj
                for obj in pdf.objects
                if isinstance(obj, pikepdf.Dictionary) and obj.get("/S") == "/Figure"
            ]
            assert len(figures) >= 16
            assert all("/Alt" in figure for figure in figures)
        document = pypdfium2.PdfDocument(data)
        text = "".join(page.get_textpage().get_text_range() for page in document)
        assert ("何人的肖像" if language == "zh-CN" else "Whose likeness") in text
        assert "ab" * 32 in text.replace("\r\n", "")

    def test_the_same_report_is_the_same_file(self, case_store: CaseStore, case: Case) -> None:
        html = case_html(case, case_store)
        assert case_pdf(html, case, "en") == case_pdf(html, case, "en")

    def test_cut_off_photos_are_still_refused_afterwards(
        self, case_store: CaseStore, case: Case
    ) -> None:
        case_pdf(case_html(case, case_store), case, "en")
        with pytest.raises(PhotoRefused):
            photo_from("a", png(1)[:-40])

    def test_large_pictures_are_shown_small(self, case_store: CaseStore) -> None:
        case = make_case(case_store, samples=64, size=512)
        html = case_html(case, case_store)
        data = case_pdf(html, case, "en")
        assert html.count("<img ") == 128
        assert len(html) < 5_000_000
        assert len(data) < 5_000_000

    def test_without_a_font_it_says_which(
        self, case_store: CaseStore, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tool = tmp_path / "fc-list"
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FontMissing, match="fonts-noto-cjk"):
            case_pdf(case_html(case, case_store, "zh-CN"), case, "zh-CN")


@pytest.mark.parametrize(
    ("log10_lr", "words"),
    [
        (None, None),
        (0.5, "weak"),
        (1.0, "moderate"),
        (2.5, "moderately strong"),
        (3.7, "strong"),
        (5.0, "very strong"),
        (6.1, "extremely strong"),
    ],
)
def test_the_verbal_scale_of_enfsi(log10_lr: float | None, words: str | None) -> None:
    told = verbal_scale(log10_lr, lambda text: text)
    assert told == (
        None if words is None else f"{words} support for this face over another person's"
    )
    if log10_lr is not None:
        opposite = verbal_scale(-log10_lr, lambda text: text)
        assert opposite == f"{words} support for another person's face over this one"


def test_a_ratio_near_one_supports_neither() -> None:
    told = {verbal_scale(ratio, lambda text: text) for ratio in (-0.3, 0.0, 0.2)}
    assert told == {"support for neither this face nor another person's"}


def test_ratios_are_numbers_while_people_read_them() -> None:
    assert [ratio_words(one) for one in (None, 3.7, 0.0, 9.2, -3.0)] == [
        "–",
        "5,000",
        "1",
        "10^9.2",
        "10^-3.0",
    ]


def test_a_record_holds_every_field(case_store: CaseStore) -> None:
    for case in (make_case(case_store), make_sighted_case(case_store)):
        assert case_to_dict(case) == asdict(case)
        assert json.dumps(case_to_dict(case)) == json.dumps(asdict(case))


def test_older_records_are_read(case_store: CaseStore) -> None:
    fields = json.loads(json.dumps(case_to_dict(make_case(case_store))))
    assert case_from_dict(fields) == make_case(case_store)
    for name in ("environment", "entries", "custody", "authorisation", "share"):
        del fields[name]
    assert replace(case_from_dict(fields), environment=None).entries == ()


def test_a_month_is_a_page_in_both_languages() -> None:
    month = {
        "month": "2026-11",
        "name": "Erika <b>",
        "opened": {"match": 2},
        "statuses": {"draft": 1, "confirmed": 1},
        "notices": {"removed": 1},
        "open_notices": 1,
        "overdue": 0,
        "cases": [
            {
                "file": "a<script>",
                "outcome": "match",
                "status": "draft",
                "score": 0.9,
                "url": "https://hub.example",
            }
        ],
    }
    pages = {language: month_html(month, language) for language in LANGUAGES}
    assert "Your likeness in 2026-11" in pages["en"]
    assert "您的肖像" in pages["zh-CN"]
    assert all("<script>" not in page and "Erika &lt;b&gt;" in page for page in pages.values())
