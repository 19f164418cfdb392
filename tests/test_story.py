"""`demo` shows the whole program in one run, and continues after it was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from face_index.vault.receipts import verify_receipt
from reports.verify.bundle import verify
from tests.test_cli import run
from tests.test_scan import COMMAND

FORMATS = {
    ("person-101", "locon", "civitai"),
    ("person-102", "checkpoint", "folder"),
    ("person-108", "loha", "huggingface"),
    ("person-108", "dora", "huggingface"),
    ("person-110", "textual-inversion", "huggingface"),
}


def test_the_whole_mission_is_told_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*COMMAND, "--home", str(home), "demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        if (home / "evidence").is_dir() and any((home / "evidence").iterdir()):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run("demo", "--json", home=home)
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    # The keys of `scan --json`.
    assert story["results"] == story["rows"]
    assert story["degraded"] == []
    found = {(one["person"], one["kind"], one["hub"]) for one in story["findings"]}
    assert found >= FORMATS
    reuploaded = [
        one for one in story["findings"] if (one["person"], one["kind"]) == ("person-101", "locon")
    ]
    assert [one["listings"] for one in reuploaded] == [
        ["civitai", "huggingface"]
    ]  # the same weights are one case
    assert {person for person, _, _ in found} == {
        f"person-{seed}" for seed in range(101, 111) if seed != 109
    }
    assert [one["file"] for one in story["reuploads"]] == ["evening_light.safetensors"]
    assert sum(one["outcome"] == "clear" for one in story["rows"]) == 8
    impostors = [one for one in story["judged"] if one["outcome"] == "match"]
    assert [story["names"][one["identities"][0]] for one in impostors] == [
        "person-101",
        "person-102",
        "person-103",
    ]
    assert (len(story["judged"]), story["offers"]) == (6, 10)
    folder, items, sound = story["bundle"]
    assert items == sound == len(verify(Path(folder)))
    assert story["reproduced"][0] == story["reproduced"][1] > 0
    assert {Path(one).name.split(".", 1)[1] for one in story["notices"]} >= {
        "prc-1195.zh-CN.pdf",
        "eu-dsa-16.en.pdf",
    }
    gone = story["withdrawn"]
    assert (gone["traces_before"] > 0, gone["traces_after"]) == (True, 0)
    assert (
        verify_receipt(json.loads(Path(gone["receipt"]).read_text())).photos_erased
        == gone["photos"]
    )
    people = json.loads(run("identities", "--json", home=home).stdout)
    assert "person-107" not in json.dumps(people)
    again = run("demo", home=home)  # told from what was written
    assert (again.returncode, "Withdrawn and erased: person-107" in again.stdout) == (0, True)
