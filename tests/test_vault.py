"""The vault: sealed, searched only with consent and approval, truly empty after a withdrawal."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from face_index.consent import Consent, Signatory
from face_index.errors import (
    ConsentMissing,
    NameRefused,
    NameTaken,
    NotDecidable,
    ReceiptInvalid,
    UnknownIdentity,
    VaultDamaged,
    VaultLocked,
)
from face_index.identity import Identity, Status
from face_index.vault import Submission, Vault
from face_index.vault.check import check_vault
from face_index.vault.duties import duties
from face_index.vault.keys import FileKeys
from face_index.vault.people import PersonFilter
from face_index.vault.receipts import verify_receipt
from face_index.vault.witness import ERASURES_FILE
from tests.conftest import NOON, PHOTO, VERSION, bytes_below, proof, prototypes_of

Register = Callable[..., Identity]


class TestLists:
    @pytest.fixture
    def people(self, register: Register, vault: Vault, submission: Submission) -> list[Identity]:
        """Seven people by name; the consents of two end before those of the others."""
        soon = replace(submission.consent, expires_on=NOON.date() + timedelta(days=20))
        people = [
            register(
                f"person {number}", reference=f"Straße {number}", prototypes=prototypes_of(number)
            )
            for number in range(5)
        ]
        people += [
            register(f"person {number}", consent=soon, prototypes=prototypes_of(number))
            for number in (5, 6)
        ]
        return people

    def test_pages_go_on_after_a_person(self, vault: Vault, people: list[Identity]) -> None:
        first = vault.people.page(limit=5)
        second = vault.people.page(after=first[-1].identity_id, limit=5)
        assert first + second == people
        assert vault.people.page(after="nobody") == []

    def test_filters_are_joined(
        self, vault: Vault, people: list[Identity], submission: Submission
    ) -> None:
        newcomer = replace(submission, name="person 7", prototypes=prototypes_of(7))
        waiting = vault.enrolments.submit(newcomer, NOON + timedelta(days=1))
        expected = {
            PersonFilter(): [*people, waiting],
            PersonFilter("STRASSE 3"): [people[3]],
            PersonFilter(active=False): [waiting],
            PersonFilter(active=True): people,
            PersonFilter(expires_by=NOON.date() + timedelta(days=19)): [],
            PersonFilter(expires_by=NOON.date() + timedelta(days=20)): people[5:],
            PersonFilter("person 6", expires_by=NOON.date() + timedelta(days=20)): [people[6]],
            PersonFilter(submitted_since=NOON + timedelta(days=1)): [waiting],
        }
        for wanted, found in expected.items():
            assert vault.people.page(wanted) == found, wanted
            assert vault.people.count(wanted) == len(found), wanted


class TestWhoIsSearched:
    def test_a_person_is_found_by_name_id_and_reference(
        self, register: Register, vault: Vault
    ) -> None:
        identity = register(reference="A-17")
        assert (
            vault.people.find("person-1")
            == vault.people.find(identity.identity_id)
            == vault.people.find("A-17")
            == identity
        )
        [(found, prototypes)] = vault.templates.active(VERSION, NOON.date())
        assert found == identity.identity_id
        np.testing.assert_array_equal(prototypes, prototypes_of(1))

    def test_nobody_before_another_operator_approves(
        self, vault: Vault, submission: Submission
    ) -> None:
        identity = vault.enrolments.submit(submission, NOON)
        assert identity.status == Status.PENDING
        assert vault.templates.active(VERSION, NOON.date()) == []
        for same in ("sam", " Sam "):
            with pytest.raises(NotDecidable, match="another operator"):
                vault.enrolments.approve("person-1", same, proof(), NOON)
        assert vault.enrolments.approve("person-1", "olga", proof(), NOON).decided_by == "olga"
        assert len(vault.templates.active(VERSION, NOON.date())) == 1
        assert vault.documents.proofs_of(identity.identity_id) == [proof()]
        with pytest.raises(NotDecidable, match="active already"):
            vault.enrolments.approve("person-1", "olga", proof(), NOON)

    def test_a_lookalike_needs_a_reason(
        self, vault: Vault, submission: Submission, register: Register
    ) -> None:
        first = register("Erika")
        second = vault.enrolments.submit(
            replace(submission, name="Erika M.", lookalikes=[(first.identity_id, 0.93)]), NOON
        )
        assert second.status == Status.CONFLICT
        with pytest.raises(NotDecidable, match="looks like Erika"):
            vault.enrolments.approve("Erika M.", "olga", proof(), NOON)
        assert [
            (other.name, score) for other, score in vault.people.lookalikes_of(second.identity_id)
        ] == [("Erika", 0.93)]
        assert (
            vault.enrolments.approve("Erika M.", "olga", proof(), NOON, "twins, both seen").status
            == Status.ACTIVE
        )
        vault.erasure.withdraw("Erika", NOON, "olga")
        assert vault.people.lookalikes_of(second.identity_id) == []

    def test_only_while_the_consent_holds_and_only_by_the_pack_of_the_template(
        self, register: Register, vault: Vault
    ) -> None:
        register()
        assert vault.templates.active(VERSION, date(2027, 1, 2)) == []
        assert vault.templates.active(VERSION, date(2025, 12, 31)) == []
        assert vault.templates.active(replace(VERSION, sha256="cd" * 32), NOON.date()) == []

    def test_a_minor_is_not_searched_before_coming_of_age(
        self, register: Register, vault: Vault
    ) -> None:
        consent = vault_consent(
            signatory=Signatory.GUARDIAN, document_sha256="ab" * 32, expires_on=date(2028, 6, 1)
        )
        identity = register(consent=consent, born_on=date(2009, 5, 2))
        assert identity.adult_on == date(2027, 5, 2)
        assert identity.is_minor(NOON.date())
        assert vault.templates.active(VERSION, NOON.date()) == []
        assert len(vault.templates.active(VERSION, date(2027, 5, 2))) == 1
        assert b"2009-05" not in bytes_below(vault.path.parent)

    def test_a_minor_needs_a_guardian_and_a_guardian_a_document(
        self, vault: Vault, submission: Submission
    ) -> None:
        with pytest.raises(ConsentMissing, match="guardian"):
            vault.enrolments.submit(replace(submission, born_on=date(2010, 1, 1)), NOON)
        undocumented = replace(submission.consent, signatory=Signatory.GUARDIAN)
        with pytest.raises(ConsentMissing, match="signed document"):
            vault.enrolments.submit(
                replace(submission, born_on=date(2010, 1, 1), consent=undocumented), NOON
            )
        ended = replace(submission.consent, expires_on=NOON.date() - timedelta(1))
        with pytest.raises(ConsentMissing, match="not today"):
            vault.enrolments.submit(replace(submission, consent=ended), NOON)
        assert vault.people.count() == 0

    def test_a_name_and_a_reference_are_registered_once(
        self, register: Register, vault: Vault
    ) -> None:
        register(reference="A-1")
        with pytest.raises(NameTaken):
            register()
        with pytest.raises(NameTaken, match="A-1"):
            register("someone else", reference="A-1")
        assert vault.people.count() == 1

    @pytest.mark.parametrize("name", ["", "   ", "a\nb", "\x1b[31mred", "x" * 201, "a" * 32])
    def test_names_that_cannot_tell_people_apart_are_refused(
        self, vault: Vault, submission: Submission, name: str
    ) -> None:
        with pytest.raises(NameRefused):
            vault.enrolments.submit(replace(submission, name=name), NOON)
        with pytest.raises(UnknownIdentity):
            vault.people.find(name)

    def test_a_name_is_nobody_elses_reference(self, register: Register, vault: Vault) -> None:
        register("alice", reference="77x")
        for changes in (
            {"name": "77x"},
            {"name": "bob", "reference": "alice"},
            {"name": " alice "},
        ):
            with pytest.raises(NameTaken):
                register(**changes)
        assert register("numbered", reference="20260001") == vault.people.find("20260001")
        decomposed = register("Jose\u0301")
        assert (
            vault.people.find("Jos\u00e9")
            == decomposed
            == vault.people.find(decomposed.identity_id[:8])
        )

    def test_blank_words_decide_nothing(self, vault: Vault, submission: Submission) -> None:
        with pytest.raises(NotDecidable, match="who submits"):
            vault.enrolments.submit(replace(submission, submitted_by=" "), NOON)
        vault.enrolments.submit(submission, NOON)
        with pytest.raises(NotDecidable, match="proof"):
            vault.enrolments.approve("person-1", "olga", replace(proof(), kind=" "), NOON)
        with pytest.raises(NotDecidable, match="why"):
            vault.enrolments.reject("person-1", "olga", "", NOON)
        assert vault.people.find("person-1").status == Status.PENDING

    def test_a_renewed_consent_counts_and_the_older_one_stays(
        self, register: Register, vault: Vault
    ) -> None:
        identity = register()
        newer = replace(identity.consent, signed_on=NOON.date(), expires_on=date(2029, 1, 1))
        assert vault.consents.renew("person-1", newer, "olga", NOON).consent == newer
        assert vault.consents.history(identity.identity_id) == [identity.consent, newer]
        assert len(vault.templates.active(VERSION, date(2028, 1, 1))) == 1

    def test_the_gallery_version_rises_with_every_change_of_who_is_searched(
        self, register: Register, vault: Vault, submission: Submission
    ) -> None:
        versions = [vault.gallery_version]
        register()
        versions.append(vault.gallery_version)
        vault.enrolments.submit(replace(submission, name="waiting"), NOON)
        assert vault.gallery_version == versions[-1]
        vault.erasure.withdraw("person-1", NOON, "olga")
        versions.append(vault.gallery_version)
        assert versions == sorted(set(versions))


def vault_consent(**changes: object) -> Consent:
    from face_index.consent import CONSENT_TEXT_VERSION, Terms

    plain = Consent(
        "person-1", date(2026, 1, 1), date(2027, 1, 1), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
    )
    return replace(plain, **changes)


class TestErasure:
    def test_neither_photo_nor_vector_lies_open_on_disk(
        self, register: Register, tmp_path: Path
    ) -> None:
        register()
        on_disk = bytes_below(tmp_path)
        assert PHOTO[:24] not in on_disk
        for dtype in ("<f2", "<f4", "<f8"):
            assert prototypes_of(1).astype(dtype).tobytes()[:16] not in on_disk

    def test_a_withdrawal_leaves_no_byte_in_vault_log_or_backup(
        self, register: Register, vault: Vault, tmp_path: Path
    ) -> None:
        other = register("Someone Who Stays", prototypes=prototypes_of(2))
        identity = register("Erika Mustermann")
        backup = vault.backups.make(tmp_path / "elsewhere.db", "olga", NOON)
        sealed = sealed_pieces(vault, identity.identity_id)
        assert len(sealed) == 5  # key, two photos, template, proof
        before = bytes_below(tmp_path)
        assert all(before.count(piece) >= 2 for piece in sealed)  # vault or its log, and backup
        receipt = vault.erasure.withdraw("Erika Mustermann", NOON, "olga")
        assert (receipt.photos_erased, receipt.templates_erased, receipt.backups_erased) == (
            2,
            1,
            ("elsewhere.db",),
        )
        assert receipt.seconds < 60
        on_disk = bytes_below(tmp_path)
        assert not [piece for piece in sealed if piece[:16] in on_disk]
        assert b"Mustermann" not in on_disk
        assert identity.identity_id.encode() in on_disk  # the fact and date of the erasure
        with pytest.raises(UnknownIdentity):
            vault.people.find("Erika Mustermann")
        assert vault.audit.problems() == []
        assert all(
            piece[:16] in bytes_below(tmp_path) for piece in sealed_pieces(vault, other.identity_id)
        )
        assert backup.exists()

    def test_a_withdrawal_cut_off_is_ended_at_the_next_opening(
        self,
        register: Register,
        vault: Vault,
        keys: FileKeys,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        identity = register("Erika Mustermann")
        vault.backups.make(tmp_path / "copy.db", "olga", NOON)
        pieces = sealed_pieces(vault, identity.identity_id)

        def cut_off(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("face_index.vault.backups.Backups.erase_person", cut_off)
        with pytest.raises(KeyboardInterrupt):
            vault.erasure.withdraw("Erika Mustermann", NOON, "olga")
        monkeypatch.undo()
        assert any(piece in bytes_below(tmp_path) for piece in pieces)
        again = Vault(vault.path, keys)
        assert not any(piece in bytes_below(tmp_path) for piece in pieces)
        [row] = again.erasure.rows()
        assert '"signature": ""' not in row["receipt"]
        again.close()

    def test_the_receipt_is_signed_and_says_where(
        self, register: Register, vault: Vault, tmp_path: Path
    ) -> None:
        register()
        backup = vault.backups.make(tmp_path / "carried-away.db", "olga", NOON)
        backup.rename(tmp_path / "out-of-reach.db")
        document = vault.erasure.withdraw("person-1", NOON, "olga").to_document()
        assert document["backups_unreachable"] == ("carried-away.db",)
        assert verify_receipt(document, vault.keys.fingerprint).why == "withdrawn"
        with pytest.raises(ReceiptInvalid, match="altered"):
            verify_receipt({**document, "photos_erased": 0})
        with pytest.raises(ReceiptInvalid, match="another vault"):
            verify_receipt(document, "00" * 32)
        with pytest.raises(ReceiptInvalid, match="not an erasure receipt"):
            verify_receipt({"identity_id": "x"})
        assert document["signature"] in (vault.path.parent / ERASURES_FILE).read_text()

    def test_a_rejected_person_is_erased_and_the_reason_stays(
        self, vault: Vault, submission: Submission, register: Register
    ) -> None:
        vault.enrolments.submit(replace(submission, name="Nobody Known"), NOON)
        receipt = vault.enrolments.reject(
            "Nobody Known", "olga", "passport shows someone else", NOON
        )
        assert receipt.photos_erased == 2
        assert b"Nobody Known" not in bytes_below(vault.path.parent)
        assert "passport shows someone else" in [
            entry.details.get("reason") for entry in vault.audit.entries()
        ]
        register()
        with pytest.raises(NotDecidable, match="withdraw"):
            vault.enrolments.reject("person-1", "olga", "no", NOON)

    def test_an_operators_words_do_not_outlive_the_person(
        self, vault: Vault, submission: Submission
    ) -> None:
        vault.enrolments.submit(replace(submission, name="Erika Mustermann", lookalikes=[]), NOON)
        seen = replace(proof(), kind="passport of Erika, number W0mb4t")
        vault.enrolments.approve("Erika Mustermann", "olga", seen, NOON, "mustermann is no twin")
        vault.erasure.withdraw("Erika Mustermann", NOON, "olga")
        on_disk = bytes_below(vault.path.parent)
        assert not [
            word for word in (b"W0mb4t", b"Erika", b"Mustermann", b"mustermann") if word in on_disk
        ]
        assert "[name] is no twin" in [
            entry.details.get("reason") for entry in vault.audit.entries()
        ]

    def test_another_reader_does_not_keep_pages_in_the_log(
        self, register: Register, vault: Vault
    ) -> None:
        register()
        reader = sqlite3.connect(vault.path)
        reader.execute("begin")
        reader.execute("select count(*) from photos").fetchone()
        vault.db.execute("pragma busy_timeout = 100")
        with pytest.raises(sqlite3.OperationalError, match="another program reads"):
            vault.erasure.withdraw("person-1", NOON, "olga")
        reader.close()
        assert check_vault(vault) == []
        assert vault.path.with_name("vault.db-wal").stat().st_size == 0


def sealed_pieces(vault: Vault, identity_id: str) -> list[bytes]:
    pieces = []
    for table, column in (
        ("identities", "data_key"),
        ("photos", "sealed"),
        ("templates", "sealed"),
        ("proofs", "sealed"),
    ):
        query = f"select {column} from {table} where identity_id = ?"
        pieces += [bytes(row[0])[:64] for row in vault.db.execute(query, [identity_id]).fetchall()]
    return pieces


class TestDamage:
    def test_a_file_that_is_no_vault_is_left_alone(self, keys: FileKeys, tmp_path: Path) -> None:
        path = tmp_path / "vault.db"
        path.write_bytes(b"my holiday diary")
        with pytest.raises(VaultDamaged, match="nothing was written"):
            Vault(path, keys)
        assert path.read_bytes() == b"my holiday diary"

    @pytest.mark.parametrize("kept", [0.3, 0.95])
    def test_a_cut_off_file_is_left_alone(
        self, register: Register, vault: Vault, keys: FileKeys, kept: float
    ) -> None:
        register()
        vault.close()
        whole = vault.path.read_bytes()
        cut = whole[: int(len(whole) * kept)]
        vault.path.write_bytes(cut)
        with pytest.raises(VaultDamaged, match="vault restore"):
            Vault(vault.path, keys)
        assert vault.path.read_bytes() == cut

    def test_check_names_what_no_longer_opens(self, register: Register, vault: Vault) -> None:
        identity = register()
        vault.db.execute("update photos set sealed = zeroblob(200)")
        assert [problem for problem in check_vault(vault) if "photos was altered" in problem]
        vault.db.execute("update identities set data_key = zeroblob(60)")
        assert f"{identity.identity_id}: its key does not open" in check_vault(vault)
        with pytest.raises(VaultLocked, match="altered"):
            vault.photos.load(identity.identity_id)

    def test_a_full_disk_loses_nothing(
        self, register: Register, vault: Vault, submission: Submission
    ) -> None:
        register()
        pages = vault.db.execute("pragma page_count").fetchone()[0]
        vault.db.execute(f"pragma max_page_count = {pages + 2}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            vault.enrolments.submit(
                replace(submission, name="one too many", photos=[bytes(100_000)]), NOON
            )
        assert [one.name for one in vault.people.all()] == ["person-1"]
        assert check_vault(vault) == []

    def test_a_vault_that_is_missing_is_not_begun_anew(
        self, register: Register, vault: Vault, keys: FileKeys
    ) -> None:
        register()
        vault.close()
        vault.path.unlink()
        with pytest.raises(VaultDamaged, match="vault restore"):
            Vault(vault.path, keys)
        assert not vault.path.exists()

    def test_the_file_is_private(self, vault: Vault) -> None:
        assert vault.path.stat().st_mode & 0o077 == 0

    def test_sqlite_itself_refuses_to_change_the_log(
        self, register: Register, vault: Vault
    ) -> None:
        register()
        for change in ("update audit set actor = 'nobody'", "delete from audit"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                vault.db.execute(change)


def test_duties_are_told_in_time_and_in_both_languages() -> None:
    assert duties(79_999, "en") == []
    assert "prepare" in duties(80_000, "en")[0]
    assert "30 working days" in duties(100_000, "en")[0]
    assert "备案" in duties(100_001, "zh-CN")[0]


def test_importing_the_vault_loads_no_face_library() -> None:
    code = (
        "import sys, face_index.vault; "
        "sys.exit(bool({'insightface', 'faiss', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ANOTHER_PROCESS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from face_index.vault import Vault
from face_index.vault.keys import FileKeys
from face_index.vault.people import PersonFilter
vault = Vault(Path(sys.argv[1]), FileKeys(Path(sys.argv[2])))
vault.audit.record("told", "vault", "other", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
vault.close()
"""


def test_two_processes_that_open_and_close_lose_nothing(
    vault: Vault, keys: FileKeys, tmp_path: Path
) -> None:
    """The write-ahead log stays while a command opens and closes a vault that a server has open."""
    place, key = vault.path, tmp_path / "keys" / "master.key"
    vault.audit.record("told", "vault", "first", NOON)
    second = Vault(place, keys, any_thread=True)
    for number in range(3):
        subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, str(place), str(key)], check=True)
        (vault if number % 2 else second).audit.record("told", "vault", "here", NOON)
    second.close()
    fresh = Vault(place, keys)
    assert [entry.actor for entry in fresh.audit.entries() if entry.event == "told"] == [
        "first",
        *["other", "here"] * 3,
    ]
    assert fresh.audit.problems() == []
    fresh.close()
