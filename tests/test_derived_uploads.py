"""The gate answers an upload of a confirmed file's weights in another form without a scan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crawlers.hashes import sha256_of, weights_hash_of
from reports.cases.case import Case
from reports.cases.copies import copies_of
from scanner.fingerprints.fingerprint import fingerprint_of
from scanner.fingerprints.module_names import Network
from scanner.web.app import create_app
from scanner.web.auth.access import Scope
from scanner.web.queue.arriving_file import ArrivingFile, ArrivingFingerprints, WeightsHash
from scanner.web.queue.derived_uploads import DerivedUploads
from scanner.web.queue.job import JobKind, JobRequest
from scanner.web.queue.uploads import Upload
from tests.conftest import NOON
from tests.opening import open_service
from tests.test_copies import changed, confirmed, decide, merge_of
from tests.test_draw_once import PERSON, STYLE, Home, home
from tests.test_gate import token_for

__all__ = ["confirmed", "home"]


def upload_of(path: Path) -> tuple[Upload, JobRequest]:
    header = int.from_bytes(path.read_bytes()[:8], "little")
    sha256 = sha256_of(path)
    upload = Upload(
        path, path.name, sha256, path.stat().st_size, "", "",
        weights_hash_of(path, header), fingerprint_of(path),
    )  # fmt: skip
    return upload, JobRequest("account", JobKind.UPLOAD, str(path), path.name, sha256)


@pytest.fixture
def gate(home: Home) -> DerivedUploads:
    return DerivedUploads(home.settings, lambda: NOON)


class TestAnswers:
    @pytest.mark.parametrize(
        "change", ["bf16", "renamed: kohya, original blocks", "rank x 2", "half strength"]
    )
    def test_a_copy(
        self, home: Home, gate: DerivedUploads, confirmed: Case, tmp_path: Path, change: str
    ) -> None:
        upload, request = upload_of(changed(PERSON, change, tmp_path))
        assert not gate.may_derive(request)
        gate.remember(upload)
        assert gate.may_derive(request)
        with open_service(home.settings, lambda: NOON) as service:
            rows = gate.rows_for(request, service)
            assert rows is not None
            [row] = rows
            assert (row.outcome, row.case_id) == ("possible", confirmed.case_id)
            assert row.reason.startswith(f"derived from case {confirmed.case_id}: the same weights")
            [copy] = copies_of(service.case(confirmed.case_id))
            assert (copy.listing.hub, copy.listing.file) == (
                home.settings.web.hub_name,
                upload.name,
            )
        gate.close()

    def test_merges_and_strangers_are_left_to_the_worker(
        self, gate: DerivedUploads, confirmed: Case, tmp_path: Path
    ) -> None:
        del confirmed
        for path in (STYLE, merge_of([PERSON, STYLE], tmp_path)):
            upload, request = upload_of(path)
            gate.remember(upload)
            assert not gate.may_derive(request)
        gate.close()

    def test_a_case_that_is_no_longer_confirmed(
        self, home: Home, gate: DerivedUploads, confirmed: Case, tmp_path: Path
    ) -> None:
        upload, request = upload_of(changed(PERSON, "bf16", tmp_path))
        gate.remember(upload)
        with home.session() as session:
            decide(session, confirmed, "reject")
        assert not gate.may_derive(request)
        gate.close()


class TestArrivingFile:
    def test_the_fingerprint_is_made_while_bytes_arrive(self, tmp_path: Path) -> None:
        """It is ready with the last byte, and the same as that of the whole file."""
        data = PERSON.read_bytes()
        path = tmp_path / "arriving"
        arriving = ArrivingFile(path)
        fingerprints = ArrivingFingerprints(1)
        made = fingerprints.begin(arriving)
        digest = WeightsHash()
        with path.open("wb") as stream:
            for start in range(0, len(data), 7_001):
                stream.write(data[start : start + 7_001])
                stream.flush()
                digest.update(data[start : start + 7_001])
                assert not made.done() or start + 7_001 >= len(data)
                arriving.arrived(stream.tell())
        arriving.arrived(len(data), end=True)
        found = made.result(timeout=60)
        assert found is not None
        whole = fingerprint_of(PERSON)
        network = Network.DENOISER
        assert found.facts == whole.facts
        assert (
            found.sketches[network].numbers.tobytes() == whole.sketches[network].numbers.tobytes()
        )
        assert digest.hex == weights_hash_of(PERSON, int.from_bytes(data[:8], "little"))
        fingerprints.close()

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x80", b"PK\x03\x04 an archive", b"\xff" * 8, PERSON.read_bytes()[:100_000]],
        ids=["nothing", "a byte", "an archive", "a length that is none", "cut off"],
    )
    def test_what_has_none(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "arriving"
        path.write_bytes(data)
        arriving = ArrivingFile(path)
        fingerprints = ArrivingFingerprints(1)
        made = fingerprints.begin(arriving)
        arriving.arrived(len(data), end=True)
        assert made.result(timeout=60) is None
        fingerprints.close()


def test_an_upload_over_http_is_answered_at_once(
    home: Home, confirmed: Case, tmp_path: Path
) -> None:
    copy = changed(PERSON, "renamed: kohya, original blocks", tmp_path)
    headers = token_for(home.settings.home, Scope.SCANS_WRITE, Scope.SCANS_READ)
    with TestClient(create_app(home.settings), headers=headers) as client:
        declared = {"title": "a hiker", "creator": "zed", "url": "https://hub.example/9"}
        asked = client.post(
            "/api/v1/scans",
            files={"file": ("hiker.safetensors", copy.read_bytes())},
            data={"listing": json.dumps(declared)},
        )
        assert asked.status_code == 200, asked.text
        verdict = asked.json()["verdict"]
        assert (verdict["outcome"], verdict["action"]) == ("possible", "review")
        [reason] = verdict["reasons"]
        assert reason.startswith(f"derived from case {confirmed.case_id}")
        assert verdict["findings"][0]["case_status"] == "confirmed"
        other = client.post(
            "/api/v1/scans", files={"file": ("style.safetensors", STYLE.read_bytes())}
        )
        assert other.status_code == 202
    with open_service(home.settings) as service:
        [found] = copies_of(service.case(confirmed.case_id))
        assert (found.listing.creator, found.listing.listing_url) == (
            "zed",
            "https://hub.example/9",
        )
    assert not list(home.settings.uploads_path.glob(f"*{sha256_of(copy)}*"))
