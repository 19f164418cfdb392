"""Scans of the miniature world: verdicts, resuming after kill -9, nothing stored of strangers."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_index.faces.insight import InsightFaceReader
from scanner.cli.exit_codes import ExitCode
from scanner.miniature.world import ADAPTERS, World, load_world
from scanner.records import Question
from scanner.sampling.plans import PlanBasis, plan_samples
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.sampler import Sampler
from scanner.triage.header import triage_file
from tests.conftest import HEARING_CTRL_C, scan_the_hub_apart
from tests.test_cli import run

COMMAND = [sys.executable, "-c", "from scanner.cli.app import main; main()"]


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def scanned_home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for this module, whose tests scan into it again and delete its checkpoints."""
    return Path(shutil.copytree(demo_home, tmp_path_factory.mktemp("scanned") / "home"))


def rows_of(demo: dict[str, Any], file: str) -> list[dict[str, Any]]:
    return [row for row in demo["results"] if row["file"] == file]


class TestDemo:
    def test_rows_keep_the_contract(self, demo: dict[str, Any], world: World) -> None:
        keys = {
            "file",
            "sha256",
            "outcome",
            "identity",
            "score",
            "threshold",
            "lift",
            "samples",
            "seconds",
            "reason",
        }
        assert all(keys <= set(row) for row in demo["results"])
        assert {row["file"] for row in demo["results"]} == {file.file for file in world.files}
        for row in demo["results"]:
            assert (row["identity"] is not None) == (row["outcome"] in ("match", "possible"))
        assert Path(demo["report"]).is_file()

    def test_every_registered_person_is_matched_and_nobody_else(
        self, demo: dict[str, Any], world: World
    ) -> None:
        for file in world.files:
            if file.group != "registered":
                continue
            rows = rows_of(demo, file.file)
            expected = {world.name_of(seed) for seed in file.person_seeds}
            found = {row["identity"] for row in rows if row["outcome"] == "match"}
            if "rank2" in file.file:
                found |= {row["identity"] for row in rows if row["outcome"] == "possible"}
            assert found == expected, rows

    def test_strangers_styles_and_objects_match_nobody(
        self, demo: dict[str, Any], world: World
    ) -> None:
        for file in world.files:
            if file.group in ("stranger", "style", "object"):
                assert [row["outcome"] for row in rows_of(demo, file.file)] != ["match"]
                assert "match" not in {row["outcome"] for row in rows_of(demo, file.file)}
                assert "failed" not in {row["outcome"] for row in rows_of(demo, file.file)}

    def test_adapters_in_an_archive_are_judged_each(
        self, demo: dict[str, Any], scanned_home: Path, world: World, tmp_path: Path
    ) -> None:
        files = [
            next(file for file in world.files if file.group == group)
            for group in ("registered", "style")
        ]
        with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
            for file in files:
                archive.write(file.path, f"models/{file.file}")
            archive.writestr("readme.txt", "thanks")
        done = run("scan", tmp_path, "--face-pack", "miniature", "--json", home=scanned_home)
        assert done.returncode == 1, done.stderr
        outcomes = {row["file"]: row["outcome"] for row in json.loads(done.stdout)["results"]}
        expected = {file.file: rows_of(demo, file.file)[0]["outcome"] for file in files}
        assert outcomes == {
            f"pack.zip: models/{name}": outcome for name, outcome in expected.items()
        }

    def test_what_cannot_be_read_is_failed_with_a_reason(
        self, demo: dict[str, Any], world: World
    ) -> None:
        expected = {
            "not-an-adapter": "not those of any known adapter",
            "malformed": "cut off",
            "pickle": "not opened",
        }
        for file in world.files:
            if file.group in expected:
                [row] = rows_of(demo, file.file)
                assert row["outcome"] == "failed"
                assert expected[file.group] in row["reason"]

    def test_no_pickle_ran(self, demo: dict[str, Any], scanned_home: Path) -> None:
        assert demo["results"]
        assert not list(scanned_home.rglob("pickle-was-opened"))
        assert not Path("pickle-was-opened").exists()

    def test_lift_stands_behind_every_match(self, demo: dict[str, Any]) -> None:
        for row in demo["results"]:
            if row["outcome"] == "match":
                assert row["score"] >= row["threshold"]
                assert row["lift"] is None or row["lift"] > 0.1

    def test_the_report_shows_samples_and_no_enrolment_photo(
        self, demo: dict[str, Any], scanned_home: Path
    ) -> None:
        text = Path(demo["report"]).read_text("utf-8")
        assert text.count("data:image/png;base64,") >= 30
        for path in (scanned_home / "evidence").glob("*.png"):
            assert b"trainedAlgorithmicMedia" in path.read_bytes()
        done = run("report", "--lang", "zh-CN", "--json", home=scanned_home)
        assert "肖像扫描报告" in Path(json.loads(done.stdout)["report"]).read_text("utf-8")

    def test_a_second_run_samples_and_fetches_nothing_again(
        self, demo: dict[str, Any], scanned_home: Path
    ) -> None:
        # The hub lists the SHA-256 of every file, and all verdicts are stored, so no file is
        # needed.
        shutil.rmtree(scanned_home / "checkpoints")
        again = scan_the_hub_apart(scanned_home)
        assert not (scanned_home / "checkpoints").exists()
        assert without_ids(again) == without_ids(demo)
        verdicts = (
            sqlite3.connect(scanned_home / "scans.db")
            .execute("select count(*) from verdicts")
            .fetchone()[0]
        )
        assert verdicts == len({row["sha256"] for row in demo["results"]})


def without_ids(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in ("case_id", "seconds")}
        for row in document["results"]
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few files of the world: a match, a stranger, one that cannot be read."""
    target = tmp_path / "uploads"
    target.mkdir()
    for name in (
        "broken_upload.safetensors",
        "dvx_actor.safetensors",
        "ohwx_portrait_v1.safetensors",
        "zkw_likeness.safetensors",
    ):
        shutil.copy(ADAPTERS / name, target / name)
    return target


def states(home: Path) -> list[str]:
    path = home / "scans.db"
    if not path.exists():
        return []
    try:
        return [
            row[0]
            for row in sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute(
                "select state from items order by position"
            )
        ]
    except sqlite3.OperationalError:
        return []


def test_a_scan_killed_anywhere_ends_as_if_it_had_not_been(
    registered_home: Path, folder: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(registered_home, undisturbed)
    expected = run("scan", str(folder), "--json", home=undisturbed)
    assert expected.returncode == 1, expected.stderr
    # Killed when the files are listed, during the second file, and before the last one.
    for judged in (0, 1, 3):
        process = subprocess.Popen(
            [*COMMAND, "--home", str(registered_home), "scan", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            now = states(registered_home)
            if now and now.count("judged") >= judged:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = run("scan", str(folder), "--json", home=registered_home)
    assert resumed.returncode == 1, resumed.stderr
    assert without_ids(json.loads(resumed.stdout)) == without_ids(json.loads(expected.stdout))
    for home in (registered_home, undisturbed):
        assert (
            sqlite3.connect(home / "scans.db").execute("select count(*) from scans").fetchone()[0]
            == 1
        )
        cases = (
            sqlite3.connect(home / "cases.db")
            .execute("select checkpoint_sha256, identity_id from cases")
            .fetchall()
        )
        assert len(cases) == len(set(cases)) == 2


def on_disk(home: Path) -> Iterator[bytes]:
    for path in home.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


def ends_with(script: str, code: str) -> None:
    """Check that a script ends with an exit code, which it gets by name, and prints nothing."""
    ended = subprocess.run(
        [sys.executable, "-c", script, code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (ExitCode[code], "", "")


@pytest.mark.parametrize("code", ["COULD_NOT_FINISH", "STOPPED"])
def test_a_process_ends_at_once_while_a_thread_samples(code: str) -> None:
    """Python's own end would stop the thread inside torch; it would print here."""
    script = """
import atexit, sys, threading
from scanner.cli.app import _exit
from scanner.cli.exit_codes import ExitCode
from scanner.scanning.workers import LocalWorker, Submission, WorkerPool

class Sampling:
    def identify(self, request, known):
        threading.Event().wait()

class Named:
    family = "SD1"

atexit.register(print, "Python's own end")
pool = WorkerPool([LocalWorker(lambda snapshot: Sampling())])
pool.client().submit(Submission("key", Named(), None))
_exit(ExitCode[sys.argv[1]])
"""
    ends_with(script, code)


@pytest.mark.parametrize("code", ["DONE", "FINDINGS"])
def test_a_process_ends_in_order_while_a_thread_leaves_torch(code: str) -> None:
    """Python's own end stops the thread inside torch, which aborts the process."""
    script = """
import sys, torch
from scanner.cli.app import _exit
from scanner.cli.exit_codes import ExitCode
from scanner.scanning.workers import LocalWorker, Submission, WorkerPool

layer = torch.nn.Conv2d(3, 64, 3)

class Sampling:
    def identify(self, request, known):
        with torch.inference_mode():
            return layer(torch.rand(1, 3, 512, 512)).sum().item()

class Named:
    family = "SD1"

pool = WorkerPool([LocalWorker(lambda snapshot: Sampling())])
client = pool.client()
client.submit(Submission("first", Named(), None))
client.submit(Submission("second", Named(), None))
client.answers.get()
pool.close()
_exit(ExitCode[sys.argv[1]])
"""
    ends_with(script, code)


def test_ctrl_c_ends_a_scan_at_once_and_in_order(registered_home: Path, folder: Path) -> None:
    process = subprocess.Popen(
        [*HEARING_CTRL_C, "--home", str(registered_home), "scan", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while states(registered_home).count("judged") < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, "terminate called" in errors) == (130, False)


def test_of_a_stranger_nothing_is_kept(
    registered_home: Path,
    folder: Path,
    miniature_sampler: Sampler,
    miniature_reader: InsightFaceReader,
) -> None:
    path = folder / "dvx_actor.safetensors"
    document = json.loads(run("scan", str(path), "--json", home=registered_home).stdout)
    assert [row["outcome"] for row in document["results"]] == ["clear"]
    assert not (registered_home / "evidence").exists()
    # The same vectors as in the scan, computed again from the same seeds.
    triage = triage_file(path)
    plans = plan_samples(
        PlanBasis(str(triage.sha256)),
        "screening",
        [Question(one) for one in usable_triggers(triage.triggers)],
        4,
    )
    with miniature_sampler.adapter(path, triage.kind):
        made = miniature_sampler.generate(plans, with_adapter=True)
    faces = miniature_reader.read([one.picture for one in made])
    vectors = [one[0].embedding for one in faces if one]
    assert vectors
    mean = np.mean(vectors, axis=0)
    vectors += [mean, mean / np.linalg.norm(mean)]
    files = list(on_disk(registered_home))
    for vector in vectors:
        for dtype in ("<f2", "<f4", "<f8"):
            packed = np.asarray(vector, dtype).tobytes()[:12]
            assert not any(packed in data or base64.b64encode(packed) in data for data in files)
        assert not any(
            f"{vector[0]:.6f}".encode() in data and f"{vector[1]:.6f}".encode() in data
            for data in files
        )


def test_a_new_adapter_is_caught_once_its_person_is_registered(
    registered_home: Path, tmp_path: Path
) -> None:
    stranger = next(file for file in load_world().files if file.group == "stranger")
    adapter, photos, seed = stranger.path, tmp_path / "photos", str(stranger.person_seeds[0])
    before = run("scan", adapter, "--json", home=registered_home)
    assert before.returncode == 0
    assert [row["outcome"] for row in json.loads(before.stdout)["results"]] == ["clear"]
    run("miniature", "photos", seed, photos)
    enrolled = run("enroll", "person-new", photos, "--yes", "--json", home=registered_home)
    assert json.loads(enrolled.stdout)["accepted"] >= 6
    waiting = run("scan", adapter, "--json", home=registered_home)
    assert [row["outcome"] for row in json.loads(waiting.stdout)["results"]] == ["clear"]
    approved = run(
        "approve", "person-new", "--operator", "olga", "--proof", "drawn", home=registered_home
    )
    assert approved.returncode == 0, approved.stderr
    after = run("scan", adapter, "--json", home=registered_home)
    assert after.returncode == 1
    assert [(row["outcome"], row["identity"]) for row in json.loads(after.stdout)["results"]] == [
        ("match", "person-new")
    ]
    licensed = run(
        "licence",
        "grant",
        "person-new",
        "--hub",
        "folder",
        "--until",
        "2999-01-01",
        home=registered_home,
    )
    assert licensed.returncode == 0, licensed.stderr
    allowed = json.loads(run("scan", adapter, "--json", home=registered_home).stdout)["results"]
    assert [(row["outcome"], bool(row["authorised"])) for row in allowed] == [("match", True)]
    receipt = run("withdraw", "person-new", "--json", home=registered_home)
    assert json.loads(receipt.stdout)["photos_erased"] >= 6
    again = run("scan", adapter, "--json", home=registered_home)
    assert [row["outcome"] for row in json.loads(again.stdout)["results"]] == ["clear"]


def test_a_trained_adapter_is_read_as_one(tmp_path: Path) -> None:
    adapter = tmp_path / "new.safetensors"
    trained = run(
        "miniature", "train-adapter", "31337", adapter, "--trigger", "vqx", "--steps", "3"
    )
    assert trained.returncode == 0, trained.stderr
    triage = json.loads(run("inspect", adapter, "--json").stdout)
    assert "lora" in json.dumps(triage).lower()


def test_a_scan_for_nobody_says_so(tmp_path: Path) -> None:
    done = run(
        "scan", ADAPTERS / "teapot_object.safetensors", "--face-pack", "miniature", home=tmp_path
    )
    assert (done.returncode, "Nobody was searched for" in done.stderr) == (0, True)
