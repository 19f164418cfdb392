"""Signed lists of confirmed files: another installation finds copies by them, without any face."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from crawlers.hashes import sha256_of
from reports.cases.case import Case
from scanner.casework.hash_lists import import_hash_list, read_hash_list
from scanner.errors import HashListRefused
from scanner.fingerprints.fingerprint_store import FingerprintStore
from tests.conftest import NOON
from tests.opening import open_service
from tests.test_cli import run
from tests.test_copies import changed, confirmed, decide
from tests.test_draw_once import NOBODY_SHOWN, PERSON, STYLE, Home, home

__all__ = ["confirmed", "home"]


@pytest.fixture
def exported(home: Home, confirmed: Case, tmp_path: Path) -> dict[str, Any]:
    del confirmed
    return export(home, tmp_path)


def export(home: Home, folder: Path) -> dict[str, Any]:
    path = folder / "list.json"
    ran = run("hash-list", "export", path, "--source", "Hub A", home=home.settings.home)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(path.read_text()))


@pytest.fixture
def other(home: Home, tmp_path: Path) -> Home:
    """Another installation, where nobody is registered."""
    made = home.settings.model_copy(update={"home": tmp_path / "other"})
    return Home(made, home.consent)


def taken_over(other: Home, document: dict[str, Any], signer: str | None = None) -> None:
    store = FingerprintStore(other.settings.fingerprints_path)
    try:
        text = json.dumps(document).encode()
        key = signer or read_hash_list(text).key_sha256
        import_hash_list(store, text, key, datetime.now(UTC))
    finally:
        store.close()


class TestExport:
    def test_it_holds_hashes_and_nobody(self, home: Home, exported: dict[str, Any]) -> None:
        kinds = [record["signalType"] for record in exported["hashRecords"]]
        assert kinds == ["SHA256", "WeightsSHA256", "WeightsSketch1"]
        assert exported["count"] == 3
        assert {record["hashStatus"] for record in exported["hashRecords"]} == {"Active"}
        text = json.dumps(exported)
        with home.session() as session:
            [case] = session.case_store.cases()
        assert case.identity_id not in text
        assert case.identity_name not in text
        assert 'session_id\\\\":null' in json.dumps(text) or "session_id" in text

    def test_the_client_of_threatexchange_reads_it(self, exported: dict[str, Any]) -> None:
        """Names and types as in python-threatexchange's exchanges/clients/stopncii/api.py."""
        assert isinstance(exported["hashRecords"], list)
        assert isinstance(exported["nextSetTimestamp"], int)
        assert exported["hasMoreRecords"] is False
        for record in exported["hashRecords"]:
            assert isinstance(record["lastModtimestamp"], int)
            assert isinstance(record["hashValue"], str)
            assert set(record["caseNumbers"].values()) == {"Active"}
            assert record["CSPFeedbacks"] == []

    def test_what_no_longer_holds_is_withdrawn(
        self, home: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        del exported
        with home.session() as session:
            [case] = session.case_store.cases()
            decide(session, case, "reject")
        later = export(home, tmp_path)
        assert {record["hashStatus"] for record in later["hashRecords"]} == {"Withdrawn"}
        assert "WeightsSketch1" not in {record["signalType"] for record in later["hashRecords"]}
        with open_service(home.settings) as service:
            assert not service.vault.audit.problems()


class TestImport:
    def test_a_copy_is_possible_elsewhere(
        self, other: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        taken_over(other, exported)
        copy = changed(PERSON, "rank x 2", tmp_path)
        results = other.scan(copy, PERSON, STYLE).to_json_rows()
        rows = {row["file"]: row for row in results}
        for name in (copy.name, PERSON.name):
            assert (rows[name]["outcome"], rows[name]["identity"]) == ("possible", None)
            assert "of Hub A, which lists its weights" in rows[name]["reason"]
        assert rows[STYLE.name]["outcome"] == "clear"
        ran = run("copies", changed(PERSON, "bf16", tmp_path), "--json", home=other.settings.home)
        assert json.loads(ran.stdout)["relations"]

    def test_a_search_of_a_new_person_does_not_lose_it(
        self, other: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        taken_over(other, exported)
        copy = changed(PERSON, "rank x 2", tmp_path)
        [before] = other.scan(copy).to_json_rows()
        other.register(NOBODY_SHOWN)
        other.retrosearch()
        assert before["outcome"] == "possible"
        with other.session() as session:
            key = session.search_key(session.take_snapshot()).digest
            judged = session.scan_store.items.judged(sha256_of(copy), key)
            assert {row.outcome for item in judged for row in item.rows} == {"possible"}

    def test_a_later_list_takes_its_place(
        self, home: Home, other: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        taken_over(other, exported)
        with home.session() as session:
            [case] = session.case_store.cases()
            decide(session, case, "reject")
        taken_over(other, export(home, tmp_path))
        [row] = other.scan(changed(PERSON, "bf16", tmp_path)).to_json_rows()
        assert row["outcome"] == "clear"
        store = FingerprintStore(other.settings.fingerprints_path)
        assert store.listed() == []
        assert store.count() == 1
        with pytest.raises(HashListRefused, match="a newer list"):
            import_hash_list(store, json.dumps(exported).encode(), None, datetime.now(UTC))
        store.close()

    def test_the_first_list_of_a_key_needs_its_fingerprint(
        self, other: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        path = tmp_path / "given.json"
        path.write_text(json.dumps(exported))
        first = run("hash-list", "import", path, home=other.settings.home)
        assert (first.returncode, "--signer" in first.stderr) == (3, True)
        wrong = run("hash-list", "import", path, "--signer", "ab" * 32, home=other.settings.home)
        assert (wrong.returncode, "signed with the key" in wrong.stderr) == (3, True)
        key = read_hash_list(json.dumps(exported).encode()).key_sha256
        done = run("hash-list", "import", path, "--signer", key, home=other.settings.home)
        assert done.returncode == 0, done.stderr
        again = run("hash-list", "import", path, "--json", home=other.settings.home)
        assert json.loads(again.stdout)["files"] == 1
        shown = json.loads(run("hash-list", "show", "--json", home=other.settings.home).stdout)
        assert [row["source"] for row in shown["lists"]] == ["Hub A"]

    def test_a_list_of_the_future(self, other: Home, exported: dict[str, Any]) -> None:
        store = FingerprintStore(other.settings.fingerprints_path)
        text = json.dumps(exported).encode()
        key = read_hash_list(text).key_sha256
        with pytest.raises(HashListRefused, match="in the future"):
            import_hash_list(store, text, key, datetime.now(UTC) - timedelta(days=1))
        with pytest.raises(HashListRefused, match="64 hex digits"):
            import_hash_list(store, text, "xyz", datetime.now(UTC))
        store.close()

    def test_a_list_of_hashes_alone(
        self, other: Home, exported: dict[str, Any], tmp_path: Path
    ) -> None:
        """A hub without this program can list SHA-256 values; exactly these files are found."""
        store = FingerprintStore(other.settings.fingerprints_path)
        [file] = read_hash_list(json.dumps(exported).encode()).files
        bare = replace(file, known=None)
        store.replace_list("k", "Hub A", "2026-01-01", "d", [bare])
        store.close()
        rows = other.scan(PERSON, changed(PERSON, "bf16", tmp_path)).to_json_rows()
        outcomes = {row["file"]: row["outcome"] for row in rows}
        assert outcomes == {PERSON.name: "possible", "bf16.safetensors": "clear"}

    def test_a_changed_list_is_refused(self, exported: dict[str, Any]) -> None:
        exported["hashRecords"][0]["hashValue"] = "cd" * 32
        with pytest.raises(HashListRefused, match="signature does not hold"):
            read_hash_list(json.dumps(exported).encode())

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b'{"format": "portrait-scanner hash list 1"}',
            b"[" * 9_999,
        ],
    )
    def test_what_is_no_list(self, text: bytes) -> None:
        with pytest.raises(HashListRefused):
            read_hash_list(text)

    @settings(max_examples=80, deadline=None)
    @given(
        record=strategies.recursive(
            strategies.none() | strategies.booleans() | strategies.text(max_size=70)
            | strategies.integers(),
            lambda inner: strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(
                    ["signalType", "hashValue", "hashStatus", "caseNumbers", "SHA256", "Active"]
                ),
                inner,
                max_size=5,
            ),
            max_leaves=12,
        )
    )  # fmt: skip
    def test_any_record_is_read_or_refused(self, record: Any) -> None:
        """Records that somebody signed who means ill."""
        import base64

        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from scanner.casework.hash_lists import FORMAT, _signed_text

        key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        document = {
            "format": FORMAT,
            "source": "S",
            "issued_at": NOON.isoformat(),
            "hashRecords": [record],
            "public_key": public,
        }
        signature = base64.b64encode(key.sign(_signed_text(document))).decode()
        text = json.dumps({**document, "signature": signature}).encode()
        try:
            found = read_hash_list(text)
        except HashListRefused as error:
            assert str(error)
        else:
            assert all(len(sha256) == 64 for file in found.files for sha256 in file.sha256s)


def test_a_forged_fingerprint_does_not_replace_a_file_that_is_here(
    other: Home, exported: dict[str, Any], tmp_path: Path
) -> None:
    """A list says what its sender wants about a hash; the file itself is fingerprinted anew."""
    text = json.dumps(exported).encode()
    found = read_hash_list(text)
    [file] = found.files
    assert file.known is not None
    from crawlers.hashes import sha256_of
    from scanner.fingerprints.fingerprinter import Fingerprinter

    style = sha256_of(STYLE)
    forged = replace(file, sha256s=(style,), known=replace(file.known, sha256=style))
    store = FingerprintStore(other.settings.fingerprints_path)
    store.replace_list(found.key_sha256, "Hub A", "2026-01-01", "d", [forged])
    Fingerprinter(store, lambda: NOON).keep(STYLE, style, None, STYLE.name)
    known = store.get(style)
    assert known is not None
    assert known.name == STYLE.name
    store.close()
