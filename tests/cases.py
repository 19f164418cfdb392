"""Complete cases for tests of reports: pictures, a header, a captured listing, a decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from reports.cases.case import Case, CustodyEntry
from reports.cases.case_store import CaseStore
from reports.cases.checkpoint_record import CheckpointRecord, HubAnswer, SampleRecord, TimelineEvent
from reports.cases.method_record import EnvironmentRecord, MethodRecord
from reports.cases.sighting_record import (
    CaptureRecord,
    SightedImage,
    SightedPage,
    SightingRecord,
    TieRecord,
)

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def png(seed: int, size: int = 24) -> bytes:
    buffer = BytesIO()
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def make_case(case_store: CaseStore, samples: int = 8, size: int = 24, **changes: Any) -> Case:
    """A case with its evidence in the store, filed as a draft."""
    shown = tuple(
        SampleRecord(
            prompt="photo of ohwx person, adult",
            negative_prompt="nude, child",
            seed=1000 + number,
            scale=1.0,
            image_sha256=case_store.keep(png(number, size)),
            control_sha256=case_store.keep(png(500 + number, size)),
            face_found=number != 3,
            score=None if number == 3 else 0.7 + number / 100,
            control_score=0.1 - number / 50,
            stage="evidence",
            number=number,
            trigger="ohwx person",
            batch=1,
            control_batch=1,
            pixels_sha256="12" * 32,
            control_pixels_sha256="34" * 32,
            flagged=number == 4,
            quality=0.9,
            in_mean=number != 3,
        )
        for number in range(samples)
    )
    header = case_store.keep(
        b'{"__metadata__":{"ss_output_name":"erika"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        "header",
    )
    capture = case_store.keep(b'{"id": 1, "name": "Erika <script>"}', "capture")
    checkpoint = CheckpointRecord(
        file="evil<script>.safetensors",
        sha256="ab" * 32,
        weights_hash="cd" * 32,
        size_bytes=1234,
        kind="lora",
        family="SD1",
        triggers=("ohwx", "ohwx person"),
        training={
            "dataset_folders": {"40_erika woman": 41},
            "photo_count": 41,
            "started_at": "2025-11-24T16:00:00+00:00",
        },
        signals=("trained on 41 images",),
        hub="civitai",
        listing_url="https://hub.example/models/1",
        title="Title & more",
        creator="maker",
        published_at="2026-01-01T00:00:00Z",
        downloads=12,
        listing_id="1",
        declared_base_model="SD 1.5",
        header_sha256=header,
        timeline=(
            TimelineEvent("2026-01-01T00:00:00Z", "published"),
            TimelineEvent("2026-11-20T00:00:00+00:00", "seen", "Title & more", 12),
        ),
        captures=(HubAnswer("https://hub.example/models/1", "2026-11-20T00:00:00+00:00", capture),),
    )
    method = MethodRecord(
        base_model="SD1: base",
        base_model_sha256="ef" * 32,
        face_pack="pack",
        face_pack_sha256="01" * 32,
        face_pack_licence="licence",
        gallery_size=1000,
        gallery_version=7,
        gallery_recall=1.0,
        fpir=0.001,
        calibration="measured on drawn persons",
        settings={"steps": 10, "image_check": "a checker"},
        versions={"python": "3.11", "portrait-scanner": "0.1"},
        calibration_sha256="23" * 32,
        calibration_subjects=2000,
        calibration_comparisons=3_998_000,
        cllr=0.01,
        cllr_min=0.005,
        fpir_interval=(0.0008, 0.0013),
        impostor_rates=((0.0, 0.5), (0.2, 0.1), (0.4, 0.01), (0.6, 0.001)),
        reliability=((-2.5, -2.6, -3.0, -2.2), (1.2, 1.5, 0.9, 2.1), (3.6, 4.1, 3.0, 5.2)),
        denoiser_calls=100,
        sampled=samples,
        with_face=samples - 1,
    )
    environment = EnvironmentRecord(
        checked_at=AT.isoformat(),
        operator="olga",
        system="Linux",
        machine="x86_64",
        python="3.11",
        clock_source="tsc",
        clock_synchronised=True,
        name_servers=("192.0.2.1",),
        hosts_sha256="45" * 32,
        hosts_entries=0,
        proxies=(),
        tool="portrait-scanner 0.1",
        tool_sha256="67" * 32,
    )
    case = Case(
        case_id="c0ffee0123456789",
        scan_id="scan-1",
        opened_at=AT.isoformat(),
        outcome="match",
        reason="score 0.72 over 0.60",
        identity_id="id-1",
        identity_name="Erika Mustermann",
        terms="prohibited",
        score=0.72,
        interval=(0.66, 0.78),
        threshold=0.6,
        possible_threshold=0.5,
        control_score=0.05,
        lift=0.67,
        checkpoint=checkpoint,
        method=method,
        samples=shown,
        log10_lr=3.7,
        concentration=0.9,
        runner_up=0.2,
        share=1.0,
        authorisation="no licence covers it",
        environment=environment,
    )
    case = replace(case, **changes)
    case_store.open(case)
    return case


def make_sighted_case(case_store: CaseStore, **changes: Any) -> Case:
    """A case about an account whose captured images show somebody, filed as a draft."""
    images = tuple(
        SightedImage(
            case_store.keep(png(number, 48), "captured"),
            case_store.keep(png(900 + number)),
            f"https://cdn.example/{number}.png",
            (number,),
            1 + number,
            1,
            0.8 + number / 100,
            in_mean=True,
            says=(("generator", "AUTOMATIC1111"), ("adapter", "erika <b> (abcdef0123)")),
        )
        for number in range(4)
    )
    pages = tuple(
        SightedPage(
            f"https://social.example/post/{number}",
            f"Post <i>{number}</i>",
            "post",
            AT.isoformat(),
            "2026-03-01T09:00:00+00:00",
            None,
            {"likes": 12},
            "text",
            "ab" * 32,
        )
        for number in range(4)
    )
    capture = CaptureRecord(
        "ab" * 32,
        "account.warc.gz",
        "WARC",
        AT.isoformat(),
        "olga",
        "Wget",
        "Chromium 140",
        ("7 records agree",),
    )
    tie = TieRecord(
        "abcdef0123",
        "image",
        "erika.safetensors",
        "civitai",
        "https://hub.example/models/1",
        "cd" * 32,
    )
    sighting = SightingRecord(
        "social",
        "Fake Erika <script>",
        "u-1",
        "https://social.example/u/1",
        pages,
        images,
        (capture,),
        (tie,),
        6,
        5,
    )
    like = make_case(case_store, case_id="decade0123456789")
    place = replace(
        like.checkpoint,
        file="Fake Erika · social",
        sha256="ab" * 32,
        weights_hash=None,
        size_bytes=0,
        kind="captured images",
        family="",
        triggers=(),
        training={},
        signals=(),
        hub="social",
        listing_url="https://social.example/u/1",
        header_sha256=None,
        timeline=(),
        captures=(),
        downloads=None,
        declared_base_model=None,
    )
    method = replace(
        like.method,
        base_model="none: these images were captured",
        base_model_sha256=None,
        sampled=None,
        with_face=None,
        denoiser_calls=None,
    )
    case = replace(
        like,
        case_id="5ee1ab0123456789",
        checkpoint=place,
        method=method,
        samples=(),
        sighting=sighting,
        control_score=None,
        lift=None,
        **changes,
    )
    case_store.open(case)
    return case


def reviewed(case_store: CaseStore, case: Case, decision: str = "confirm", eyes: int = 1) -> Case:
    """The case after Li Na's decision, with a line of custody."""
    case_store.add(
        case.case_id,
        "review",
        "Li Na",
        AT,
        {"decision": decision, "reason": "one face throughout", "eyes": eyes},
    )
    line = CustodyEntry(5, AT.isoformat(), "olga", "case-opened", {"case": case.case_id}, "89" * 32)
    return replace(case_store.case(case.case_id), custody=(line,))
