"""`--second-pack`: the same samples, judged by another face pack."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import onnx
import pytest

from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.gallery.calibration import Calibration
from face_index.gallery.calibration_file import save_calibration
from face_index.gallery.tail import Tail
from reports.cases.case_store import CaseStore
from reports.cases.method_record import SecondOpinion
from scanner.miniature.world import ADAPTERS, FACE_PACK
from tests.test_cli import run

LIKENESS = "zkw_likeness.safetensors"
DESCRIBED = """
detection_size = 128
min_detector_score = 0.6
min_eye_distance_px = 7.0
max_yaw_deg = 40.0
min_sharpness = 1.5
[detector]
file = "detector.onnx"
licence = "Apache-2.0"
commercial = true
[recogniser]
file = "recogniser.onnx"
licence = "Apache-2.0"
commercial = true
"""


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The miniature pack with a recogniser of other bytes, which gives the same vectors."""
    folder = tmp_path / "second"
    folder.mkdir()
    shutil.copy(FACE_PACK / "detector.onnx", folder)
    network = onnx.load(FACE_PACK / "recogniser.onnx")
    network.doc_string = "another one"
    onnx.save(network, folder / "recogniser.onnx")
    (folder / "pack.toml").write_text(DESCRIBED)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "uploads" / LIKENESS
    path.parent.mkdir()
    shutil.copy(ADAPTERS / LIKENESS, path)
    return path


def scanned(file: Path, home: Path, *more: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only result row, and the totals of the run."""
    done = run("scan", file.parent, *more, "--json", home=home)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    [row] = document["results"]
    return row, document["totals"]


def opinion_in(row: dict[str, Any], home: Path) -> SecondOpinion:
    with closing(CaseStore(home / "cases.db", home / "evidence")) as store:
        opinion = store.case(row["case_id"]).second_opinion
    assert opinion is not None
    return opinion


def embed(second: Path, home: Path) -> None:
    done = run("re-embed", "--second-pack", second, home=home)
    assert done.returncode == 0, done.stderr + done.stdout


def test_both_packs_confirm_a_match_and_both_numbers_stand_in_the_case(
    registered_home: Path, second: Path, file: Path, tmp_path: Path
) -> None:
    alone, _ = scanned(file, registered_home)
    people = templates_by_pack(registered_home)
    embed(second, registered_home)
    assert sorted(templates_by_pack(registered_home).values()) == [*people.values()] * 2
    row, totals = scanned(file, registered_home, "--second-pack", second)
    assert (row["outcome"], row["score"]) == ("match", alone["score"])
    assert totals["images"] == 0  # the faces that were kept are judged
    opinion = opinion_in(row, registered_home)
    assert opinion.agrees
    assert opinion.face_pack == "second"
    assert opinion.score == pytest.approx(row["score"], abs=0.05)
    out = tmp_path / "out"
    run("report", row["case_id"], "--no-pdf", "--out", out, home=registered_home)
    text = next(out.glob("*.html")).read_text("utf-8")
    assert "second confirms the match" in text
    assert "no error rate is known of it" in text  # it has no calibration


def templates_by_pack(home: Path) -> dict[str, int]:
    db = sqlite3.connect(home / "vault" / "vault.db")
    return dict(db.execute("select pack_sha256, count(*) from templates group by 1").fetchall())


def test_without_a_template_of_the_second_pack_a_match_is_possible(
    registered_home: Path, second: Path, file: Path
) -> None:
    row, _ = scanned(file, registered_home, "--second-pack", second)
    assert row["outcome"] == "possible"
    assert "the face pack second cannot confirm it" in row["reason"]
    opinion = opinion_in(row, registered_home)
    assert (opinion.score, opinion.agrees) == (None, False)


def test_a_match_that_the_second_pack_does_not_confirm_is_possible(
    registered_home: Path, second: Path, file: Path, tmp_path: Path
) -> None:
    sha256 = InsightFaceReader(find_pack(str(second), tmp_path, {})).version.sha256
    strict = Tail(2.2, 1e-4, 0.0, 0.05, ((0.0, 0.5),))
    save_calibration(
        second / "calibration.json", Calibration(sha256, "strict", 10_000, 10**9, strict)
    )
    embed(second, registered_home)
    row, totals = scanned(file, registered_home, "--second-pack", second)
    assert row["outcome"] == "possible"
    assert "the face pack second does not confirm it: score" in row["reason"]
    assert totals["images"] > 0
    opinion = opinion_in(row, registered_home)
    assert opinion.score is not None
    assert opinion.threshold > 0.97 > opinion.score
    alone, _ = scanned(file, registered_home)
    assert alone["outcome"] == "match"  # the verdicts of both settings stand side by side
    # A scan without the second pack does not undo the doubt about an undecided case.
    assert alone["case_id"] == row["case_id"]
    assert opinion_in(alone, registered_home) == opinion


def test_a_later_opinion_takes_the_place_of_a_missing_one(
    registered_home: Path, second: Path, file: Path
) -> None:
    before, _ = scanned(file, registered_home, "--second-pack", second)
    assert opinion_in(before, registered_home).score is None
    embed(second, registered_home)
    row, _ = scanned(file, registered_home, "--second-pack", second)
    assert (row["outcome"], row["case_id"] == before["case_id"]) == ("match", False)
    assert opinion_in(row, registered_home).agrees


def test_the_pack_in_use_is_no_second_one(registered_home: Path, file: Path) -> None:
    for second, told in (("miniature", "in use already"), ("", "second_pack")):
        done = run("scan", file.parent, "--second-pack", second, home=registered_home)
        assert done.returncode == 2
        assert told in done.stderr
    done = run("re-embed", "--second-pack", "a", "--face-pack", "b", home=registered_home)
    assert done.returncode == 2
