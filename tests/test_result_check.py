"""Results hold in a newer gallery only if every sample that they rest on was searched in it."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from crawlers.hashes import sha256_of
from crawlers.listing import Listing, RemoteFile, bare_listing
from face_index.consent import Consent
from scanner.identification.policy import Policy
from scanner.records import ResultRow
from scanner.sampling import sample_store
from scanner.sampling.images import Pixels
from scanner.scanning.retrosearch import retrosearch
from scanner.scanning.scan import run_scan, scan_listings
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.triage.header import triage_file
from tests.conftest import NOON, Silent
from tests.test_draw_once import (
    ADAPTERS,
    NOBODY_SHOWN,
    PERSON,
    STYLE,
    TRAINED_ON,
    Home,
    home,
    outcomes,
    rows_of,
    uploads,
)
from tests.test_held_files import submitted

__all__ = ["home", "uploads"]

OTHER_STYLE = ADAPTERS / "neon_style.safetensors"


def held_by_gate(home: Home, path: Path) -> list[ResultRow]:
    """The rows that hold in the present gallery."""
    with home.session() as session:
        search_key = session.search_key(session.take_snapshot()).digest
        judged = session.scan_store.items.judged(sha256_of(path), search_key)
        return [row for item in judged for row in item.rows]


def faces_kept(home: Home) -> int:
    return int(rows_of(home.settings.samples_path, "select count(*) from patches")[0][0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


class TestChangedOutside:
    """Faces that were moved or removed in samples.db are drawn anew: they are not "nobody"."""

    def test_places(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        [(number, places)] = rows_of(
            home.settings.samples_path, "select rowid, places from patches"
        )
        moved = json.dumps([[100 + place, control] for place, control in json.loads(places)])
        change = f"update patches set places = '{moved}' where rowid = {number}"
        rows_of(home.settings.samples_path, change)
        self._is_found(home)

    @pytest.mark.parametrize(
        "change",
        [
            "delete from patches where stage = 'screening'",
            "update patches set places = '[]'",
            "update patches set sealed = substr(sealed, 1, 100)",
            "update patches set sealed = x''",
        ],
    )
    def test_strips(self, home: Home, uploads: Path, change: str) -> None:
        home.scan(uploads)
        rows_of(home.settings.samples_path, change)
        self._is_found(home)

    def test_screening_beside_confirmation(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        first = home.register(TRAINED_ON)
        home.scan(uploads)
        rows_of(home.settings.samples_path, "delete from patches where stage = 'screening'")
        with home.session() as session:
            session.vault.erasure.withdraw(first, home.now, "olga")
        self._is_found(home)

    def _is_found(self, home: Home) -> None:
        home.register(TRAINED_ON)
        result = home.retrosearch()
        assert [(one.row.file, one.row.outcome) for one in result.rows] == [(PERSON.name, "match")]
        assert result.totals.drawn_files == 1


class TestOneItemEach:
    def test_two_words(self, home: Home) -> None:
        """The same bytes under other words are searched in all samples that they drew."""
        home.register(NOBODY_SHOWN)
        file = RemoteFile(STYLE.name, str(STYLE), STYLE.stat().st_size, sha256_of(STYLE))
        for number, words in enumerate(("alpha one", "beta two"), 1):
            listing = bare_listing("folder", str(number), "a title", f"hub:{number}", file)
            self._scan(home, replace(listing, triggers=(words,)))
            home.now += timedelta(hours=1)
            home.register(NOBODY_SHOWN + number)
            home.retrosearch()
        asked = {row.asked.triggers[0] for row in held_by_gate(home, STYLE) if row.asked}
        assert asked == {"alpha one", "beta two"}

    def _scan(self, home: Home, listing: Listing) -> None:
        with home.session() as session:
            target = f"hub {listing.listing_id}"
            scan_listings(session, target, [listing], Silent(), supplied_by_caller=True)

    def test_a_member_of_an_archive_without_samples(self, home: Home, folder: Path) -> None:
        archive = folder / "pack.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(PERSON, PERSON.name)
            file.write(STYLE, STYLE.name)
        home.scan(folder)
        gone = f"delete from drawings where sha256 = '{sha256_of(PERSON)}'"
        rows_of(home.settings.samples_path, gone)
        home.register(NOBODY_SHOWN)
        result = home.retrosearch()
        assert (result.files, result.unsearched) == (0, 1)
        assert held_by_gate(home, archive) == []

    def test_an_archive_that_is_gone(self, home: Home, folder: Path) -> None:
        archive = folder / "pack.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(PERSON, PERSON.name)
        home.scan(folder)
        away = archive.rename(folder.parent / "away.zip")
        home.register(TRAINED_ON)
        assert home.retrosearch().unconfirmed == 1
        away.rename(archive)
        assert [one.row.outcome for one in home.retrosearch().rows] == ["match"]

    def test_other_bytes_under_the_same_name(self, home: Home, folder: Path) -> None:
        path = folder / "a.safetensors"
        shutil.copy(PERSON, path)
        home.scan(folder)
        with safe_open(PERSON, "np") as file:
            metadata = file.metadata() or {}
        save_file(load_file(PERSON), path, metadata={**metadata, "version": "2"})
        home.now += timedelta(hours=1)
        home.scan(folder)
        home.register(TRAINED_ON)
        result = home.retrosearch()
        assert [one.row.outcome for one in result.rows].count("match") == 1
        assert (result.files, result.unconfirmed) == (2, 1)

    def test_what_one_listing_shows_holds_for_the_other(self, home: Home) -> None:
        """A finding holds for the bytes, also after it was carried on."""
        home.register(TRAINED_ON)
        file = RemoteFile(PERSON.name, str(PERSON), PERSON.stat().st_size, sha256_of(PERSON))
        words = triage_file(PERSON).triggers
        first = bare_listing("folder", "1", "a title", "hub:1", file)
        self._scan(home, replace(first, triggers=tuple(words)))
        home.register(NOBODY_SHOWN)
        assert home.retrosearch().rows == ()
        home.now += timedelta(hours=1)
        other = bare_listing("folder", "2", "b title", "hub:2", file)
        self._scan(home, replace(other, triggers=("grass on a hill",)))
        assert {row.outcome for row in held_by_gate(home, PERSON)} == {"match"}


class TestGalleries:
    def test_nobody_registered_at_first(self, home: Home, uploads: Path) -> None:
        first = home.scan(uploads)
        assert {row["reason"] for row in first.to_json_rows()} == {
            "nobody is registered, so nobody can be matched"
        }
        who = home.register(NOBODY_SHOWN)
        home.retrosearch()
        expected = {row["file"]: row["reason"] for row in home.scan(uploads).to_json_rows()}
        for name in (PERSON.name, STYLE.name):
            [row] = held_by_gate(home, uploads / name)[-1:]
            assert row.reason == expected[name]
        with home.session() as session:
            session.vault.erasure.withdraw(who, home.now, "olga")
        home.retrosearch()
        [row] = held_by_gate(home, uploads / STYLE.name)[-1:]
        assert row.reason == "nobody is registered, so nobody can be matched"

    def test_too_few_faces(self, home: Home) -> None:
        strict = replace(Policy(), min_faces=99)
        with home.session(policy=strict) as session:
            run_scan(session, [str(STYLE)], Silent())
        home.register(NOBODY_SHOWN)
        with home.session(policy=strict) as session:
            retrosearch(session, Silent())
            search_key = session.search_key(session.take_snapshot()).digest
            [item] = session.scan_store.items.judged(sha256_of(STYLE), search_key)
        assert [row.outcome for row in item.rows] == ["inconclusive"]

    def test_a_consent_that_lapses_during_a_scan_and_is_renewed(
        self, home: Home, uploads: Path
    ) -> None:
        long = home.consent
        home.register(NOBODY_SHOWN)
        home.consent = replace(long, expires_on=NOON.date())
        who = home.register(TRAINED_ON)
        with home.session() as session:
            run_scan(session, [str(uploads)], _Midnight(home))
            session.vault.consents.renew(who, long, "olga", home.now)
        home.retrosearch()
        assert [row.outcome for row in held_by_gate(home, uploads / PERSON.name)][:1] == ["match"]

    def test_files_that_were_judged_after_the_search_in_the_midst_of_a_scan(
        self, home: Home, uploads: Path
    ) -> None:
        home.register(NOBODY_SHOWN)
        with home.session() as session:
            run_scan(session, [str(uploads)], _RegisteringOnce(home, session))
        for name in (PERSON.name, STYLE.name):
            assert held_by_gate(home, uploads / name) != []

    def test_settings_with_which_other_samples_are_drawn(self, home: Home, uploads: Path) -> None:
        home.scan(uploads)
        with home.session(policy=replace(Policy(), screening=6)) as session:
            result = retrosearch(session, Silent())
        assert (result.files, result.unsearched, result.totals.drawn_files) == (0, 2, 0)


class _Midnight:
    """Lets a day pass before the file of the person is judged."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def step(self, done: int, total: int | None, doing: str) -> None:
        if doing.startswith(PERSON.stem):
            self.home.now = NOON + timedelta(days=1)


class _RegisteringOnce:
    """Registers somebody after the first file, and searches for them."""

    def __init__(self, home: Home, session: ScanSession) -> None:
        self.home, self.session, self.done = home, session, False

    def step(self, done: int, total: int | None, doing: str) -> None:
        if done == 1 and total == 2 and not self.done:
            self.done = True
            self.home.register(NOBODY_SHOWN + 1)
            retrosearch(self.session, Silent())


class TestMinors:
    def test_who_registers_later(self, home: Home, folder: Path) -> None:
        path = folder / "Mia Example.safetensors"
        shutil.copy(PERSON, path)
        home.register(NOBODY_SHOWN)
        assert outcomes(home.scan(folder)) == {path.name: "clear"}
        assert faces_kept(home) > 0
        with home.session() as session:
            submitted(session, home.consent)
        result = home.retrosearch()
        assert (result.files, faces_kept(home)) == (0, 0)
        [row] = held_by_gate(home, path)
        assert row.outcome == "inconclusive"
        assert outcomes(home.scan(folder)) == {path.name: "inconclusive"}

    def test_a_file_that_was_renamed(self, home: Home, folder: Path) -> None:
        path = folder / PERSON.name
        shutil.copy(PERSON, path)
        home.scan(folder)
        path.rename(folder / "a child.safetensors")
        home.scan(folder)
        assert faces_kept(home) == 0

    def test_another_process_destroys_while_faces_are_stored(
        self, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copy(PERSON, folder)
        other = home.session()
        encode = sample_store.strip_bytes

        def destroying(patches: list[Pixels]) -> bytes:
            other.kept.store.destroy_file(sha256_of(PERSON))
            return encode(patches)

        monkeypatch.setattr(sample_store, "strip_bytes", destroying)
        home.scan(folder)
        other.close()
        assert faces_kept(home) == 0
        assert rows_of(home.settings.sample_keys_path, "select * from sample_keys") == []


class TestDestruction:
    def test_what_an_interrupted_one_has_left(
        self, home: Home, uploads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The key is gone, and the process died before the faces were deleted."""
        home.scan(uploads)
        home.now = NOON + timedelta(days=91)

        def killed(_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(sample_store, "forget_deleted", killed)
            with pytest.raises(KeyboardInterrupt):
                home.session()
        assert faces_kept(home) > 0
        home.session().close()
        assert faces_kept(home) == 0
        for path in home.settings.home.rglob("sample_keys.db-wal"):
            assert path.stat().st_size == 0

    def test_the_logs_are_readable_by_their_owner_only(self, home: Home, uploads: Path) -> None:
        with home.session() as session:
            run_scan(session, [str(uploads)], Silent())
            for path in home.settings.samples_path.parent.glob("sample*.db*"):
                if not path.name.endswith(".lock"):
                    assert oct(path.stat().st_mode & 0o777) == oct(0o600), path

    def test_a_new_home_says_what_is_kept(
        self, home: Home, caplog: pytest.LogCaptureFixture
    ) -> None:
        home.session().close()
        assert "are kept for 90 days, sealed" in caplog.text
        assert "samples.keep_days" in caplog.text
        caplog.clear()
        home.session().close()
        assert "samples.keep_days" not in caplog.text

    def test_an_explanation_destroys_nothing(self, settings: Settings, consent: Consent) -> None:
        home = Home(settings, consent)
        home.scan(PERSON)
        home.now = NOON + timedelta(days=91)
        home.explain(PERSON)
        assert faces_kept(home) > 0
        home.session().close()
        assert faces_kept(home) == 0
        with home.session() as session:
            events = [entry.event for entry in session.vault.audit.entries()]
        assert "faces destroyed" in events
