"""Every process that shares the suite collects the same tests."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def collect(file: Path, seed: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        str(file),
    ]
    environment = {"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return [line for line in ran.stdout.splitlines() if "::" in line]


def test_ids_do_not_follow_the_bytes_of_a_parameter(tmp_path: Path) -> None:
    found = []
    for time in (1, 2):
        packed = gzip.compress(b"", mtime=time)
        file = tmp_path / "test_packed.py"
        file.write_text(
            "import pytest\n"
            f"@pytest.mark.parametrize('data', [{packed!r}, b'plain'])\n"
            "def test_it(data): pass\n"
        )
        found.append(collect(file, str(time)))
    assert len(found[0]) == 2
    assert found[0] == found[1]
