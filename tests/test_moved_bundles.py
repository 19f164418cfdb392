"""Bundles that were copied to other systems, and bags of other programs."""

from __future__ import annotations

import hashlib
import shutil
import unicodedata
from pathlib import Path

import bagit
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reports.evidence.sealing import seal_capture
from reports.verify.checks import Item
from scanner.environment import environment_now
from tests.conftest import NOON
from tests.verifiers import verify

KEY = Ed25519PrivateKey.generate()
BESIDE = "data/beside/Zoë_files"
NAMES = ("é.jpg", "한국어.png", "plain.css")


def sign(message: bytes) -> tuple[bytes, bytes]:
    return KEY.sign(message), KEY.public_key().public_bytes_raw()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bag") / "bag"
    (folder / "beside/Zoë_files").mkdir(parents=True)
    (folder / "original").write_bytes(b"a page")
    for name in NAMES:
        (folder / "beside/Zoë_files" / name).write_bytes(name.encode())
    sha256 = hashlib.sha256(b"a page").hexdigest()
    told = {
        "capture_id": sha256,
        "sha256": sha256,
        "name": "a",
        "taken_in_at": NOON.isoformat(),
        "taken_in_by": "b",
    }
    seal_capture(folder, told, environment_now("tester", NOON), sign, [], NOON)
    assert problems(verify(folder)) == {}
    return folder


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "copy"))


def problems(items: list[Item]) -> dict[str, str]:
    return {item.item: item.problem or "" for item in items if not item.ok}


def in_nfd(folder: Path) -> None:
    """As macOS writes it: every name taken apart into letters and their marks."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))


class TestUnicodeForms:
    def test_names_in_another_form_hold_with_a_note(self, copy: Path) -> None:
        in_nfd(copy)
        items = verify(copy)
        assert problems(items) == {}
        noted = [item.item for item in items if "another Unicode form" in (item.note or "")]
        assert noted == sorted(
            f"{BESIDE}/{name}" for name in NAMES
        )  # their folder is spelled so too

    def test_a_changed_file_does_not_hide_behind_its_spelling(self, copy: Path) -> None:
        in_nfd(copy)
        [image] = copy.rglob(unicodedata.normalize("NFD", "é.jpg"))
        image.write_bytes(b"forged")
        assert list(problems(verify(copy))) == [f"{BESIDE}/é.jpg"]

    def test_a_twin_in_another_form_was_added(self, copy: Path) -> None:
        twin = copy / BESIDE / unicodedata.normalize("NFD", "é.jpg")
        twin.write_bytes(b"forged")
        [name] = problems(verify(copy))
        assert unicodedata.normalize("NFC", name) == f"{BESIDE}/é.jpg" != name


class TestLosses:
    def test_an_emptied_folder_is_told_with_what_is_missing(self, copy: Path) -> None:
        for path in (copy / BESIDE).iterdir():
            path.unlink()
        found = problems(verify(copy))
        assert found[BESIDE] == "is empty: 3 files of it are missing, copy the bundle again"
        assert {f"{BESIDE}/{name}" for name in NAMES} < set(found)

    def test_an_empty_folder_that_was_added_is_told(self, copy: Path) -> None:
        (copy / "data" / "new").mkdir()
        assert problems(verify(copy)) == {
            "data/new": "is an empty folder, which was added: delete it"
        }

    def test_a_renamed_file_is_one_problem(self, copy: Path) -> None:
        (copy / BESIDE / "plain.css").rename(copy / BESIDE / "PLAIN.CSS")
        assert problems(verify(copy)) == {
            f"{BESIDE}/plain.css": f"was renamed: its bytes are here as {BESIDE}/PLAIN.CSS"
        }

    @pytest.mark.parametrize(
        ("name", "system"),
        [
            ("data/.DS_Store", "macOS"),
            ("data/beside/._x", "macOS"),
            ("Thumbs.db", "Windows"),
            ("data/desktop.ini", "Windows"),
        ],
    )
    def test_what_systems_leave_behind_is_called_so(
        self, copy: Path, name: str, system: str
    ) -> None:
        (copy / name).write_bytes(b"x")
        assert problems(verify(copy)) == {
            name: f"was added: {system} leaves such files in folders; delete it and verify again"
        }

    def test_a_bundle_without_its_seal_says_so(self, copy: Path) -> None:
        shutil.rmtree(copy / "seal")
        [(name, problem)] = problems(verify(copy)).items()
        assert name == "seal"
        assert "is missing: it was removed, or lost" in problem


class TestBagsOfOthers:
    def test_a_bag_of_another_program_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text("a page")
        bagit.make_bag(str(tmp_path), {"Source-Organization": "an archive"})
        [(name, problem)] = problems(verify(tmp_path)).items()
        assert name == "seal"
        assert "a bag of another program, without a seal" in problem

    def test_a_folder_that_is_no_bag(self, tmp_path: Path) -> None:
        assert "no evidence bundle" in next(iter(problems(verify(tmp_path)).values()))
