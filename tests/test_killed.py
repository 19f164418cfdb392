"""Commands that are killed just before a commit: nothing is lost, and the next run goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from scanner.clock import utc_now
from scanner.miniature.world import ADAPTERS
from scanner.settings import Settings
from scanner.triage.header import triage_file
from tests.test_draw_once import PERSON, STYLE, TRAINED_ON, Home, outcomes, rows_of
from tests.test_made_by_0_1_0 import ARCHIVE

pytestmark = pytest.mark.slow
CLEAR = ADAPTERS / "teapot_object.safetensors"
KILLED = -9


def killed_at(commit: int, home: Path, *command: str) -> int:
    """Run a command that is killed just before a commit; return its exit code."""
    options = ["--home", str(home), *command, "--face-pack", "miniature", "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(commit), *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode in (KILLED, 0, 1), ended.stderr
    return ended.returncode


@pytest.mark.parametrize("commit", [1, 4, 7, 10, 13, 16])
def test_a_migration_that_is_killed_loses_nothing(tmp_path: Path, commit: int) -> None:
    """Opening a home of 0.1.0 for the first time adds tables and columns."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    before = rows_of(home / "scans.db", "select sha256, record from verdicts order by 1, 2")
    assert killed_at(commit, home, "scan", "--explain", str(CLEAR)) == KILLED
    ended = subprocess.run(
        [sys.executable, "-m", "tests.killed", "0", "--home", str(home), "scan", "--explain",
         str(CLEAR), "--face-pack", "miniature", "--json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    explained = json.loads(ended.stdout)
    assert (explained["known"], explained["would"]) == (True, "draw")
    assert "before 0.2" in explained["why"]
    after = rows_of(home / "scans.db", "select sha256, record from verdicts order by 1, 2")
    assert after == before


OPENS = {
    "cases.db": "from reports.cases.case_store import CaseStore; CaseStore(path, path.parent)",
    "crawl.db": "from crawlers.sweeps.crawl_store import CrawlStore; CrawlStore(path)",
    "scans.db": "from scanner.scanning.scan_store import ScanStore; ScanStore(path)",
    "web/web.db": "from scanner.web.store import WebStore; WebStore(path)",
}


def opened(commit: int, name: str, path: Path) -> int:
    """Open a database in a process that is killed just before a commit; return its exit code."""
    code = f"from pathlib import Path; path = Path({str(path)!r}); {OPENS[name]}"
    command = [sys.executable, "-m", "tests.killed", str(commit), "-c", code]
    return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode


def content(path: Path) -> list[str]:
    """Everything in a database but the times of its migrations."""
    with closing(sqlite3.connect(path)) as db:
        return [line for line in db.iterdump() if "_sqlite_migrations" not in line]


@pytest.mark.parametrize("name", OPENS)
def test_a_database_of_0_1_0_that_is_killed_before_every_commit(tmp_path: Path, name: str) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    killed, whole = tmp_path / "home" / name, tmp_path / Path(name).name
    shutil.copy(killed, whole)
    assert opened(0, name, whole) == 0
    runs = 1
    # Each run goes one commit further than the one before.
    while opened(2, name, killed) == KILLED:
        runs += 1
        assert runs < 60
    assert runs > 1
    assert content(killed) == content(whole)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which two files were drawn, and then somebody registered whom one shows."""
    folder = tmp_path_factory.mktemp("drawn")
    uploads = folder / "uploads"
    uploads.mkdir()
    for path in (PERSON, STYLE):
        shutil.copy(path, uploads)
    settings = Settings(home=folder / "home", face_pack="miniature", device="cpu")
    today = utc_now().date()
    last = today + timedelta(days=300)
    consent = Consent("person-1", today, last, None, CONSENT_TEXT_VERSION, Terms.PROHIBITED)
    home = Home(settings, consent)
    home.now = utc_now()  # the command has the machine's clock
    home.scan(uploads)
    home.register(TRAINED_ON)
    return home


@pytest.mark.parametrize("commit", [2, 5, 8, 11, 14, 17])
def test_a_retrosearch_that_is_killed_goes_on(drawn: Home, tmp_path: Path, commit: int) -> None:
    shutil.copytree(drawn.settings.home, tmp_path / "home")
    uploads = drawn.settings.home.parent / "uploads"
    settings = drawn.settings.model_copy(update={"home": tmp_path / "home"})
    home = Home(settings, drawn.consent)
    assert killed_at(commit, settings.home, "retrosearch") == KILLED
    home.now = utc_now()
    home.retrosearch()
    again = home.scan(uploads)
    assert outcomes(again) == {PERSON.name: "match", STYLE.name: "clear"}
    assert again.totals.drawn_files == 0
    assert len(again.case_ids) == 1
    with home.session() as session:
        assert len(session.case_store.lists.page()) == 1
        [kept] = session.kept.store.drawings_of(str(triage_file(PERSON).sha256))
        assert session.kept.store.patches(kept.sampling_key)
