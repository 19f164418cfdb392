"""Retrosearches of files that changed or are gone, and what one that was stopped leaves behind."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from crawlers.listing import RemoteFile, bare_listing
from scanner.miniature.world import ADAPTERS
from scanner.scanning.pipeline import Pipeline
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.scan_store import ScanStore
from scanner.scanning.searched_file_store import SearchedFileStore
from scanner.triage.header import triage_file
from tests.conftest import Silent
from tests.servers.files import serve_files
from tests.test_draw_once import (
    NOBODY_SHOWN,
    PERSON,
    STYLE,
    TRAINED_ON,
    Home,
    home,
    rows_of,
    uploads,
)

__all__ = ["home", "uploads"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_url_that_holds_other_bytes_or_none_is_not_clear(
    home: Home, tmp_path: Path, is_gone: bool
) -> None:
    """The hub names no hash, so what the file held is known from its scan only."""
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(PERSON, served / "x.safetensors")
    with serve_files(served) as server:
        url = server.url("x.safetensors")
        hosts = (urlsplit(url).netloc,)
        home.settings = home.settings.model_copy(update={"allowed_hosts": hosts})
        with home.session() as session:
            run_scan(session, [url], Silent())
        places = [home.settings.home, home.settings.cache]
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        for copy in (path for path in files if path.stat().st_size == PERSON.stat().st_size):
            copy.unlink()
        if is_gone:
            (served / "x.safetensors").unlink()
        else:
            shutil.copy(STYLE, served / "x.safetensors")
        home.register(TRAINED_ON)
        result = home.retrosearch()
    assert (result.unsearched, result.unconfirmed) == (0, 1)
    [row] = result.rows
    assert row.row.outcome == "failed"
    assert "come near somebody who is registered" in row.row.reason


def test_what_was_found_before_a_stop_is_reported(
    home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.scan(uploads)
    home.register(TRAINED_ON)
    with monkeypatch.context() as stopped:
        stopped.setattr(ScanStore, "mark_finished", _stop)
        with pytest.raises(KeyboardInterrupt):
            home.retrosearch()
    result = home.retrosearch()
    assert [row.row.outcome for row in result.rows] == ["match"]
    assert result.has_findings
    assert result.totals.denoiser_calls == 0
    assert home.retrosearch().rows == ()


def test_files_that_must_be_scanned_since_a_stop_are(
    home: Home, uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(ADAPTERS / "zkw_likeness.safetensors", other)
    home.scan(uploads)
    home.scan(other)
    sha256 = triage_file(other / "zkw_likeness.safetensors").sha256
    rows_of(home.settings.samples_path, f"delete from drawings where sha256 = '{sha256}'")
    home.register(TRAINED_ON)
    with monkeypatch.context() as stopped:
        stopped.setattr(Pipeline, "_submit", _stop)
        with pytest.raises(KeyboardInterrupt):
            home.retrosearch()
    result = home.retrosearch(draw_missing=True)
    assert result.unsearched == 0
    assert {row.row.file for row in result.rows} == {PERSON.name, "zkw_likeness.safetensors"}


def test_the_newest_words_of_a_file_are_searched_whatever_is_carried_meanwhile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(words: str) -> None:
        file = RemoteFile(STYLE.name, str(STYLE), STYLE.stat().st_size, triage_file(STYLE).sha256)
        listing = replace(bare_listing("folder", "1", "t", "hub:1", file), triggers=(words,))
        with home.session() as session:
            scan_listings(session, "hub", [listing], Silent())

    carry = SearchedFileStore.carry

    def later(store: SearchedFileStore, files: Any, key: str, version: int, _at: Any) -> None:
        monkeypatch.undo()
        scan("other")  # another process
        carry(store, files, key, version, home.now + timedelta(minutes=1))

    scan("first")
    home.register(NOBODY_SHOWN)
    monkeypatch.setattr(SearchedFileStore, "carry", later)
    home.retrosearch()
    home.register(NOBODY_SHOWN + 1)
    with home.session() as session:
        key = session.search_key(session.take_snapshot()).digest
        [stale] = session.scan_store.searched.stale(key)
        newest = rows_of(home.settings.scans_path, "select max(item_id) from items")
    assert [(stale.number,)] == newest


def test_a_member_that_cannot_be_drawn_is_no_missing_file(home: Home, tmp_path: Path) -> None:
    archive = tmp_path / "same.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(PERSON, "person.safetensors")
        packed.write(ADAPTERS / "broken_upload.safetensors", "broken.safetensors")
    home.scan(archive)
    home.register(TRAINED_ON)
    result = home.retrosearch()
    assert (result.files, result.unsearched) == (1, 0)
    assert {row.row.outcome for row in result.rows} == {"match", "failed"}


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt
