"""Registering one person or thousands: duplicates, refusals, and runs that are killed."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from face_index.consent import Consent, Licence, LicenceKind, consent_from_json, is_minor
from face_index.errors import ManifestInvalid, UnknownIdentity
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.identity import Identity, Status
from face_index.registration.manifest import read_manifest, register_all
from face_index.registration.registration import Registrar, Request, reembed
from face_index.registration.report import EnrolmentRefused
from face_index.vault import Vault
from face_index.vault.check import check_vault
from face_index.vault.keys import FileKeys
from scanner.miniature.albums import draw_photos
from tests.conftest import NOON, VERSION, proof, shared

Register = Callable[..., Identity]


@pytest.fixture
def registrar(
    vault: Vault, miniature_reader: InsightFaceReader, miniature_pack: FacePack
) -> Registrar:
    return Registrar(vault, miniature_reader, miniature_pack.bar, None)


def request(name: str, seed: int, folder: Path, consent: Consent, first: int = 0) -> Request:
    return Request(
        name, draw_photos(seed, 4, folder / name, first=first), consent, submitted_by="sam"
    )


class TestWhoComesTwice:
    def test_under_another_name_is_a_conflict(
        self, registrar: Registrar, vault: Vault, consent: Consent, tmp_path: Path
    ) -> None:
        first, _ = registrar.register(request("Erika", 900, tmp_path, consent), NOON)
        second, _ = registrar.register(
            request("E. Mustermann", 900, tmp_path, consent, first=40), NOON
        )
        other, _ = registrar.register(request("Max", 901, tmp_path, consent), NOON)
        assert (first.status, second.status, other.status) == (
            Status.PENDING,
            Status.CONFLICT,
            Status.PENDING,
        )
        [(like, score)] = vault.people.lookalikes_of(second.identity_id)
        assert like.name == "Erika"
        assert score > 0.7

    def test_it_is_noticed_across_programs_and_after_a_withdrawal(
        self,
        registrar: Registrar,
        vault: Vault,
        keys: FileKeys,
        consent: Consent,
        tmp_path: Path,
        miniature_reader: InsightFaceReader,
        miniature_pack: FacePack,
    ) -> None:
        other_vault = Vault(vault.path, keys)
        other = Registrar(other_vault, miniature_reader, miniature_pack.bar, None)
        registrar.register(request("Erika", 900, tmp_path, consent), NOON)
        second, _ = other.register(request("again", 900, tmp_path, consent, first=20), NOON)
        assert second.status == Status.CONFLICT
        for name in ("Erika", "again"):
            other_vault.erasure.withdraw(name, NOON, "olga")
        other_vault.close()
        fresh, _ = registrar.register(request("once more", 900, tmp_path, consent, first=30), NOON)
        assert fresh.status == Status.PENDING


def test_nothing_is_stored_of_who_is_refused(
    registrar: Registrar, vault: Vault, consent: Consent, tmp_path: Path
) -> None:
    too_few = replace(
        request("one photo", 900, tmp_path, consent), photos=draw_photos(900, 1, tmp_path / "x")
    )
    with pytest.raises(EnrolmentRefused):
        registrar.register(too_few, NOON)
    assert vault.people.count() == 0
    assert list(vault.audit.entries()) == []


def test_another_pack_needs_new_templates_from_kept_photos(
    registrar: Registrar,
    vault: Vault,
    consent: Consent,
    tmp_path: Path,
    miniature_reader: InsightFaceReader,
) -> None:
    pack = find_pack(str(shared("face_pack") / "mobile_test"), Path("unused"), {})
    reader = InsightFaceReader(pack)
    kept = request("kept", 900, tmp_path, consent)
    registrar.register(kept, NOON)
    registrar.register(
        replace(request("discarded", 901, tmp_path, consent), keep_photos=False), NOON
    )
    for name in ("kept", "discarded"):
        vault.enrolments.approve(name, "olga", proof(), NOON)
    version = vault.gallery_version
    assert vault.templates.active(reader.version, NOON.date()) == []
    result = reembed(vault, reader, "olga", NOON)
    assert result.without_photos == ("discarded",)
    # A real pack was not made for drawn faces: it may find a face in them or not.
    assert set(result.embedded) | set(result.no_face) == {"kept"}
    if result.embedded:
        assert len(vault.templates.active(reader.version, NOON.date())) == 1
        assert vault.gallery_version > version
    back = reembed(vault, miniature_reader, "olga", NOON)
    assert set(back.embedded) == set(result.embedded)
    assert len(vault.templates.active(miniature_reader.version, NOON.date())) == 2


@pytest.fixture
def agency(tmp_path: Path) -> Path:
    """A list of four people: two good, one with too few photos, one the same as the first."""
    rows = []
    for name, seed, count, first in (
        ("A", 900, 4, 0),
        ("B", 901, 4, 0),
        ("C", 902, 1, 0),
        ("D", 900, 4, 30),
    ):
        draw_photos(seed, count, tmp_path / "photos" / name, first=first)
        rows.append(
            {
                "name": name,
                "photos": f"photos/{name}",
                "reference": f"ref-{name}",
                "terms": "permitted",
            }
        )
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "photos", "reference", "terms"])
        writer.writeheader()
        writer.writerows(rows)
    return path


class TestManifest:
    def test_a_list_is_registered_and_every_reject_reported(
        self, registrar: Registrar, vault: Vault, agency: Path, tmp_path: Path
    ) -> None:
        report = tmp_path / "report.jsonl"
        requests = read_manifest(agency, "agency", NOON.date())
        results = list(register_all(vault, registrar, requests, report, lambda: NOON))
        assert [one.status for one in results] == ["pending", "pending", "refused", "pending"]
        written = [json.loads(line) for line in report.read_text().splitlines()]
        assert [one["name"] for one in written] == ["A", "B", "C", "D"]
        assert "1 usable photos" in written[2]["reason"]
        assert vault.people.find("ref-A").consent.terms == "permitted"

    def test_again_it_goes_on_where_it_stopped(
        self, registrar: Registrar, vault: Vault, agency: Path, tmp_path: Path
    ) -> None:
        report = tmp_path / "report.jsonl"
        requests = read_manifest(agency, "agency", NOON.date())
        for _ in zip(
            range(3), register_all(vault, registrar, requests, report, lambda: NOON), strict=False
        ):
            pass
        with report.open("a") as file:
            file.write('{"cut off in the mid')
        again = list(register_all(vault, registrar, requests, report, lambda: NOON))
        assert [one.status for one in again] == [
            "registered before",
            "registered before",
            "refused",
            "pending",
        ]
        draw_photos(902, 4, tmp_path / "photos" / "C")
        requests = read_manifest(agency, "agency", NOON.date())
        third = list(register_all(vault, registrar, requests, report, lambda: NOON))
        assert third[2].status == "pending"
        assert vault.people.count() == 4

    def test_whoever_was_erased_does_not_come_back_by_running_it_again(
        self, registrar: Registrar, vault: Vault, agency: Path, tmp_path: Path
    ) -> None:
        report = tmp_path / "report.jsonl"
        entries = read_manifest(agency, "agency", NOON.date())
        list(register_all(vault, registrar, entries, report, lambda: NOON))
        vault.erasure.withdraw("A", NOON, "olga")
        again = list(register_all(vault, registrar, entries, report, lambda: NOON))
        assert again[0].status == "erased since"
        assert "new consent" in str(again[0].reason)
        agency.write_text(
            agency.read_text()
            .replace("terms\n", "terms,signed_on\n")
            .replace("ted\n", "ted,2026-11-20\n")
        )
        entries = read_manifest(agency, "agency", NOON.date())
        renewed = list(register_all(vault, registrar, entries, report, lambda: NOON))
        assert renewed[0].status == "pending"

    def test_json_lines_say_the_same(self, agency: Path, tmp_path: Path) -> None:
        lines = tmp_path / "people.jsonl"
        with agency.open(newline="") as file:
            lines.write_text("".join(json.dumps(row) + "\n" for row in csv.DictReader(file)))
        assert read_manifest(lines, "x", NOON.date()) == read_manifest(agency, "x", NOON.date())

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("name,photos\nA,nowhere\n", "entry 1: .*nowhere does not exist"),
            ("name,fotos\nA,photos\n", "unknown column fotos"),
            ("name\nA\n", "'photos' is missing"),
            ("name,photos,terms\nA,photos/A,everything\n", "everything"),
            ("name,photos,born_on\nA,photos/A,12.5.2001\n", "entry 1"),
            ("name,photos\nA,photos/A\nA,photos/B\n", "entries 1 and 2 both name"),
            ("name,photos\n", "names nobody"),
            ("", "names nobody"),
            ("name,photos\nA,photos/A,extra,columns\n", "more cells than columns"),
            ("name;photos\nA;photos/A\n", "save it with commas"),
            ("name,photos,signatory\nA,photos/A,robot\n", "self, guardian, agent"),
            ("name,photos,expires_on\nA,photos/A,31/12/2029\n", "2028-01-31"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, agency: Path, text: str, told: str) -> None:
        agency.write_text(text)
        with pytest.raises(ManifestInvalid, match=told):
            read_manifest(agency, "x", NOON.date())

    def test_json_values_of_the_wrong_kind_are_named(self, agency: Path) -> None:
        lines = agency.with_suffix(".jsonl")
        for row in ({"name": 7}, {"name": {"a": 1}}, {"name": "A", "expires_on": 20300101}):
            lines.write_text(json.dumps({"photos": "photos/A", **row}))
            with pytest.raises(ManifestInvalid, match="entry 1"):
                read_manifest(lines, "x", NOON.date())

    def test_what_is_no_text_is_told(self, agency: Path) -> None:
        agency.write_bytes(b"\xff\xfe\x00name")
        with pytest.raises(ManifestInvalid, match="UTF-8"):
            read_manifest(agency, "x", NOON.date())


def test_killed_in_the_middle_nobody_is_half_enrolled(tmp_path: Path) -> None:
    """The benchmark does this twenty times with a thousand people; here three times with thirty."""
    people, home = 30, tmp_path / "home"
    lines = []
    for number in range(people):
        draw_photos(5000 + number, 3, tmp_path / str(number))
        lines.append(json.dumps({"name": f"person {number}", "photos": str(number)}))
    manifest = tmp_path / "people.jsonl"
    manifest.write_text("\n".join(lines))
    command = [
        sys.executable,
        "-c",
        "from scanner.cli.app import main; main()",
        "--home",
        str(home),
        "enroll-many",
        str(manifest),
        "--yes",
        "--face-pack",
        "miniature",
        "--json",
    ]
    rng = random.Random(7)
    vault_path, keys = home / "vault" / "vault.db", FileKeys(home / "vault" / "master.key")
    for _ in range(3):
        before = count(vault_path, keys)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted, deadline = before + rng.randint(1, 6), time.monotonic() + 60
        while (
            process.poll() is None
            and count(vault_path, keys) < wanted
            and time.monotonic() < deadline
        ):
            time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        vault = Vault(vault_path, keys)
        assert check_vault(vault) == []
        for identity in vault.people.all():
            assert len(vault.photos.load(identity.identity_id)) == identity.photo_count
        vault.close()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert sum(counts.values()) == people
    assert count(vault_path, keys) == people - counts.get("refused", 0)


def count(path: Path, keys: FileKeys) -> int:
    if not path.exists() or keys.load("present") is None:
        return 0
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        return int(connection.execute("select count(*) from identities").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


class TestConsent:
    def test_a_receipt_survives_as_json(self, consent: Consent) -> None:
        full = replace(consent, territories=("CN", "DE"), document_sha256="ab" * 32)
        assert consent_from_json(full.to_json()) == full

    def test_of_age_on_the_birthday(self) -> None:
        born = date(2008, 11, 23)
        assert is_minor(born, date(2026, 11, 22))
        assert not is_minor(born, date(2026, 11, 23))
        assert not is_minor(None, date(2026, 11, 23))
        assert is_minor(date(2008, 2, 29), date(2026, 2, 28))

    def test_it_is_time_to_remind(self, consent: Consent) -> None:
        assert consent.expires_within(60, NOON.date())
        assert not consent.expires_within(30, NOON.date())
        assert consent.expires_within(0, date(2028, 1, 1))


class TestLicences:
    @pytest.mark.parametrize(
        ("kind", "value", "hub", "creator", "covered"),
        [
            (LicenceKind.UPLOADER, "civitai:Friend", "civitai", "friend", True),
            (LicenceKind.UPLOADER, "civitai:friend", "huggingface", "friend", False),
            (LicenceKind.UPLOADER, "civitai:friend", "civitai", None, False),
            (LicenceKind.MODEL, "AB" * 32, "anywhere", None, True),
            (LicenceKind.MODEL, "cd" * 32, "anywhere", None, False),
            (LicenceKind.HUB, "civitai", "civitai", "anyone", True),
            (LicenceKind.HUB, "civitai", "local", None, False),
        ],
    )
    def test_each_kind_covers_what_it_names(
        self, kind: LicenceKind, value: str, hub: str, creator: str | None, covered: bool
    ) -> None:
        licence = Licence("1", "2", kind, value, date(2026, 12, 1), "")
        assert licence.covers(hub, creator, "ab" * 32, date(2026, 12, 1)) == covered
        assert not licence.covers(hub, creator, "ab" * 32, date(2026, 12, 2))

    def test_they_are_granted_found_and_revoked_on_the_record(
        self, vault: Vault, register: Register
    ) -> None:
        identity = register()
        until = date(2027, 1, 1)
        granted = vault.licences.grant(
            "person-1",
            LicenceKind.HUB,
            "civitai",
            until,
            note="film",
            actor="olga",
            now=NOON,
        )
        assert vault.licences.list_for(identity.identity_id) == [granted]
        assert (
            vault.licences.covering(identity.identity_id, "civitai", None, "x", NOON.date())
            == granted
        )
        assert (
            vault.licences.covering(identity.identity_id, "other", None, "x", NOON.date()) is None
        )
        vault.licences.revoke(granted.licence_id[:8], "olga", NOON)
        assert vault.licences.list_for(identity.identity_id) == []
        with pytest.raises(UnknownIdentity, match="licence"):
            vault.licences.revoke("nothing", "olga", NOON)
        assert [entry.event for entry in vault.audit.entries()][-2:] == [
            "licence granted",
            "licence revoked",
        ]
        assert len(vault.templates.active(VERSION, NOON.date())) == 1
