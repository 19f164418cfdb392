"""The report: one file, both languages, nothing that was not checked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from PIL import Image

from reports.cases.case import Case, case_from_dict, case_to_dict
from reports.cases.case_store import CaseStore
from reports.cases.checkpoint_record import CheckpointRecord, SampleRecord
from reports.cases.method_record import MethodRecord
from reports.documents.scan_report import ScanSummary, render_report
from reports.documents.translation import LANGUAGES
from reports.errors import EvidenceAltered, UnknownCase


def png(seed: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


@pytest.fixture
def case(case_store: CaseStore) -> Case:
    samples = tuple(
        SampleRecord(
            "photo of ohwx",
            "nude",
            seed,
            1.0,
            case_store.keep(png(seed)),
            case_store.keep(png(100 + seed)),
            True,
            0.7,
            0.1,
        )
        for seed in range(4)
    )
    checkpoint = CheckpointRecord(
        "evil<script>.safetensors",
        "ab" * 32,
        None,
        1234,
        "lora",
        "SD1",
        ("ohwx",),
        {},
        ("trained on 40 images",),
        "civitai",
        "https://hub.example/1",
        "Title & more",
        "maker",
        "2026-01-01",
        12,
    )
    method = MethodRecord(
        "base",
        "cd" * 32,
        "pack",
        "ef" * 32,
        "licence",
        10,
        7,
        1.0,
        0.001,
        "measured",
        {"steps": 10},
        {"python": "3.11"},
    )
    return Case(
        "case-1",
        "scan-1",
        "2026-11-23T12:00:00+00:00",
        "match",
        "score 0.70",
        "id-1",
        "Erika",
        "prohibited",
        0.7,
        (0.65, 0.75),
        0.6,
        0.5,
        0.1,
        0.6,
        checkpoint,
        method,
        samples,
    )


SUMMARY = ScanSummary(
    "scan-1",
    "a <folder>",
    "2026-11-23T12:00:00+00:00",
    10,
    "0.1",
    [
        {
            "file": "f.safetensors",
            "sha256": "ab" * 32,
            "outcome": "match",
            "identity": "Erika",
            "score": 0.7,
            "threshold": 0.6,
            "lift": 0.6,
            "samples": 8,
            "seconds": 1.0,
            "reason": "score 0.70",
        },
        {
            "file": "g.bin",
            "sha256": None,
            "outcome": "failed",
            "identity": None,
            "score": None,
            "threshold": None,
            "lift": None,
            "samples": 0,
            "seconds": 0.1,
            "reason": "a pickle",
        },
    ],
    examined=1,
    failed=1,
    all_rows=2,
    all_cases=1,
)


def test_the_report_says_what_it_leaves_out(case_store: CaseStore, case: Case) -> None:
    whole = render_report(SUMMARY, [case], case_store)
    assert "Only the" not in whole
    summary = replace(SUMMARY, all_rows=1_000, all_cases=70)
    text = render_report(summary, [case], case_store)
    assert "70 findings need a person" in text
    assert "Only the 2 most serious of 1000 results are shown." in text
    assert "<code>portrait-scanner report scan-1 --json</code>" in text
    assert "Only 1 of 70 cases are shown." in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_is_one_safe_file(case_store: CaseStore, case: Case, language: str) -> None:
    text = render_report(SUMMARY, [case], case_store, language)
    assert f'<html lang="{language}">' in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("data:image/png;base64,") == 8
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert all(word in text for word in ("Erika", "ab" * 32, "photo of ohwx"))
    assert ("肖像扫描报告" in text) == (language == "zh-CN")


def test_every_sentence_of_the_report_is_translated() -> None:
    template = resources.files("reports").joinpath("templates/report.html").read_bytes()
    options = {"newstyle_gettext": "true"}
    found = {
        message[1] if isinstance(message[1], str) else message[1][0]
        for message in extract("jinja2", BytesIO(template), options=options)
    }
    source = resources.files("reports").joinpath("documents/scan_report.py").read_bytes()
    found |= {
        message[1] for message in extract("python", BytesIO(source), keywords={"translate": None})
    }
    with (
        resources.files("reports")
        .joinpath("locales/zh_CN/LC_MESSAGES/reports.po")
        .open("rb") as stream
    ):
        catalogue = read_po(stream)
    translated = {
        message.id if isinstance(message.id, str) else message.id[0]
        for message in catalogue
        if message.id and message.string
    }
    assert found
    assert found - translated == set()


def test_an_altered_image_stops_the_report(
    case_store: CaseStore, case: Case, tmp_path: Path
) -> None:
    path = tmp_path / "evidence" / f"{case.samples[0].image_sha256}.png"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(EvidenceAltered, match="altered"):
        render_report(SUMMARY, [case], case_store)


def test_a_case_survives_json_and_is_filed_once(case_store: CaseStore, case: Case) -> None:
    assert case_from_dict(json.loads(json.dumps(case_to_dict(case)))) == case
    case_store.open(case)
    case_store.open(replace(case, reason="something else"))
    assert case_store.case("case-1") == case
    assert case_store.named([case.case_id]) == [case]
    with pytest.raises(UnknownCase):
        case_store.case("case-2")
