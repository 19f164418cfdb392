"""The vault: sealed, searchable only with consent, and truly empty after a withdrawal."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from face_index.keys import master_key

from face_index.consent import Consent
from face_index.errors import NameTaken, UnknownIdentity, VaultLocked
from face_index.face import PackVersion, unit
from face_index.vault import Vault
from tests.conftest import NOON

VERSION = PackVersion("pack", "ab" * 32, 128)
KEY = bytes(range(32))
VECTOR = unit(np.random.default_rng(1).normal(size=128))
PHOTO = b"\x89PNG-a-photo-nobody-else-has" * 50


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "vault" / "vault.db", KEY)
    yield opened
    opened.close()


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_registered_person_can_be_found(vault: Vault, consent: Consent) -> None:
    identity = vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    assert vault.find("person-1") == vault.find(identity.identity_id) == identity
    [(found, vector)] = vault.active_templates(VERSION, NOON.date())
    assert found == identity.identity_id
    np.testing.assert_array_equal(vector, VECTOR)


def test_neither_photo_nor_vector_lies_open_on_disk(vault: Vault, consent: Consent, tmp_path: Path) -> None:
    vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    on_disk = bytes_below(tmp_path)
    assert PHOTO[:24] not in on_disk
    assert VECTOR.tobytes()[:16] not in on_disk
    assert VECTOR.astype("<f8").tobytes()[:16] not in on_disk


def test_only_consent_of_that_day_and_vectors_of_that_pack_are_searched(vault: Vault, consent: Consent) -> None:
    vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    assert vault.active_templates(VERSION, date(2027, 1, 2)) == []
    assert vault.active_templates(replace(VERSION, sha256="cd" * 32), NOON.date()) == []


def test_a_withdrawal_leaves_only_fact_and_date(vault: Vault, consent: Consent, tmp_path: Path) -> None:
    vault.add("Erika Mustermann", consent, VECTOR, VERSION, [PHOTO, PHOTO], NOON)
    sealed = [row["sealed"] for row in vault._db.table("photos").rows] + [
        row["data_key"] for row in vault._db.table("identities").rows
    ]
    receipt = vault.withdraw("Erika Mustermann", NOON)
    assert (receipt.photos_erased, receipt.templates_erased) == (2, 1)
    on_disk = bytes_below(tmp_path)
    assert b"Mustermann" not in on_disk
    assert all(piece[:32] not in on_disk for piece in sealed)
    assert receipt.identity_id.encode() in on_disk
    with pytest.raises(UnknownIdentity):
        vault.find("Erika Mustermann")
    assert vault.audit_is_intact()


def test_a_name_is_registered_once(vault: Vault, consent: Consent) -> None:
    vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    with pytest.raises(NameTaken):
        vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    assert len(vault.identities()) == 1


def test_an_altered_audit_log_shows(vault: Vault, consent: Consent) -> None:
    vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    vault.withdraw("person-1", NOON)
    assert vault.audit_is_intact()
    vault._db.execute("update audit set event = 'nothing happened' where entry = 1")
    assert not vault.audit_is_intact()


def test_another_master_key_opens_nothing(vault: Vault, consent: Consent, tmp_path: Path) -> None:
    vault.add("person-1", consent, VECTOR, VERSION, [PHOTO], NOON)
    other = Vault(tmp_path / "vault" / "vault.db", bytes(32))
    with pytest.raises(VaultLocked, match="master key"):
        other.active_templates(VERSION, NOON.date())
    other.close()


def test_the_master_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    first = master_key(path, None)
    assert master_key(path, None) == first
    assert path.stat().st_mode & 0o077 == 0
    assert master_key(path, base64.b64encode(KEY).decode()) == KEY
    for bad in ("not base64!", base64.b64encode(b"short").decode()):
        with pytest.raises(VaultLocked):
            master_key(path, bad)
