"""Several first processes at a new home: one creates the databases, the others wait for it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

PROCESSES, LINES = 10, 5

# What a process does: open the store and write rows of its own.
STORES = {
    "crawl.db": """
from crawlers.sweeps.crawl_store import CrawlStore
from crawlers.listing import RemoteFile, bare_listing
def work(home, me):
    store = CrawlStore(home / "crawl.db")
    for number in range(LINES):
        file = RemoteFile("a.safetensors", "", None, None)
        store.record(bare_listing("folder", f"{me} {number}", me, "", file), now)
    store.close()
""",
    "scans.db": """
from crawlers.listing import RemoteFile, bare_listing
from scanner.records import CaptureVerdict, VerdictRecord
from scanner.scanning.key import Key
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.searched_file_store import Searched
LISTING = bare_listing("folder", "1", "1", "", RemoteFile("a.safetensors", "", None, None))
def work(home, me):
    store = ScanStore(home / "scans.db")
    for number in range(LINES):
        scan = store.begin(f"{me} {number}", f"{me} {number}", "key", 0, now)
        store.items.add(scan, [LISTING])
        for item in store.items.pending(scan):
            store.items.note_judged(item, scan, None, [], Searched("", "", ()), now)
        store.mark_finished(scan.scan_id, now, 1)
        store.remember_verdict(me, Key({"number": number}), VerdictRecord("clear"), now)
        store.captures.keep_verdict("1", str(number), CaptureVerdict(me, me, "clear", ""), now)
    store.close()
""",
    "cases.db": """
from reports.cases.case_store import CaseStore
from tests.cases import make_case
def work(home, me):
    case_store = CaseStore(home / "cases.db", home / "evidence")
    for number in range(LINES):
        case = make_case(case_store, samples=1, case_id=f"{me} {number}")
        case_store.add(case.case_id, "note", me, now, {})
    case_store.close()
""",
    "vault/vault.db": """
from face_index.vault import Vault
from face_index.vault.keys import FileKeys
def work(home, me):
    vault = Vault(home / "vault/vault.db", FileKeys(home / "vault/master.key"))
    for number in range(LINES):
        vault.audit.record("tried", "vault", me, now)
    key = hashlib.sha256(vault.keys.master).hexdigest()
    facts = [key, vault.keys.fingerprint, vault.audit.problems()]
    vault.close()
    return facts
""",
    "web/web.db": """
from scanner.web.store import WebStore, web_key
def work(home, me):
    store = WebStore(home / "web/web.db")
    for number in range(LINES):
        store.set_fact(f"{me} {number}", me)
    store.close()
    return web_key(home / "web/web.key").hex()
""",
}
OWN_LINES = {
    "crawl.db": "listings",
    "scans.db": "scans",
    "cases.db": "cases",
    "vault/vault.db": "audit",
    "web/web.db": "facts",
}
# Forked after all imports, so that they really begin at once, also on a slow machine.
PROGRAM = """
import hashlib, json, multiprocessing, sys, traceback
from datetime import UTC, datetime
from pathlib import Path
now = datetime(2026, 11, 28, tzinfo=UTC)
LINES = {lines}
{work}
def process(number):
    begin.wait()
    try:
        told.put([work(Path(sys.argv[1]), f"process{{number}}"), ""])
    except BaseException:
        told.put([None, traceback.format_exc()])
fork = multiprocessing.get_context("fork")
begin, told = fork.Barrier(int(sys.argv[2])), fork.SimpleQueue()
begun = [fork.Process(target=process, args=(number,)) for number in range(int(sys.argv[2]))]
for one in begun:
    one.start()
print(json.dumps([told.get() for _ in begun]))
"""


def together(work: str, home: Path, processes: int = PROCESSES) -> list[Any]:
    """The output of several real processes that do the same at once."""
    command = [
        sys.executable,
        "-c",
        PROGRAM.format(work=work, lines=LINES),
        str(home),
        str(processes),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [problem for _, problem in told if problem] == []
    return [said for said, _ in told]


def schema(path: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        tables = db.execute(
            "select type, name, sql from sqlite_master order by type, name"
        ).fetchall()
        return tables, db.execute(
            "select migration_set, name from _sqlite_migrations order by id"
        ).fetchall()


@pytest.mark.parametrize("store", STORES)
def test_ten_first_processes_share_one_store(store: str, tmp_path: Path) -> None:
    told = together(STORES[store], tmp_path / "home")
    assert len({json.dumps(one) for one in told}) == 1, "each made a key of its own"
    path = tmp_path / "home" / store
    together(STORES[store], tmp_path / "alone", processes=1)
    assert schema(path) == schema(tmp_path / "alone" / store)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(f"select count(*) from {OWN_LINES[store]}").fetchone() == (
            PROCESSES * LINES,
        )


def test_a_vault_that_is_just_being_made_has_nobody_in_its_gallery(tmp_path: Path) -> None:
    from face_index.vault.gallery_version import gallery_version_of

    path = tmp_path / "vault.db"
    path.touch()
    assert gallery_version_of(path) == 0


def test_the_new_vault_is_announced_by_the_process_that_made_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from scanner.factories import open_vault
    from scanner.settings import load_settings

    settings = load_settings({"home": tmp_path / "home"})
    with ThreadPoolExecutor(4) as threads:
        for vault in threads.map(lambda _: open_vault(settings, any_thread=True), range(4)):
            vault.close()
    assert caplog.text.count("a new vault, with nobody in it") == 1


KEEP = """
from reports.cases.case_store import CaseStore
def work(home, me):
    case_store = CaseStore(home / "cases.db", home / "evidence")
    kept = [case_store.keep(bytes([number]) * 100_000) for number in range(30)]
    case_store.close()
    return kept
"""


def test_evidence_that_several_keep_at_once_is_kept_by_all(tmp_path: Path) -> None:
    (kept, *others) = together(KEEP, tmp_path)
    assert all(one == kept for one in others)
    for sha256 in kept:
        assert (
            hashlib.sha256((tmp_path / f"evidence/{sha256}.png").read_bytes()).hexdigest() == sha256
        )
    assert len(list((tmp_path / "evidence").iterdir())) == len(kept)


UNPACK = """
from crawlers.checkpoints.archives import unpack
def work(home, me):
    return [one.sha256 for one in unpack(home / "archive.zip", home)]
"""


def test_an_archive_that_several_unpack_at_once_keeps_its_bytes(tmp_path: Path) -> None:
    whole = BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}.safetensors", os.urandom(8_000_000))
    (tmp_path / "archive.zip").write_bytes(whole.getvalue())
    (kept, *others) = together(UNPACK, tmp_path)
    assert all(one == kept for one in others)
    for sha256 in kept:
        assert hashlib.sha256((tmp_path / sha256).read_bytes()).hexdigest() == sha256


HASH = """
from scanner.sampling.base_models import sha256_of_shelved
def work(home, me):
    return sha256_of_shelved(home / "base.safetensors")
"""


def test_a_base_model_that_several_hash_at_once_has_one_hash(tmp_path: Path) -> None:
    data = bytes(3_000_000)
    (tmp_path / "base.safetensors").write_bytes(data)
    assert set(together(HASH, tmp_path, processes=4)) == {hashlib.sha256(data).hexdigest()}
    assert [one.name for one in tmp_path.glob("*.part")] == []
