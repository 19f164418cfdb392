"""Fixtures of all tests."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from safetensors.numpy import save_file

from crawlers.http.destinations import Destinations
from crawlers.http.transport import Transport
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.faces.face import PackVersion, Prototypes, unit
from face_index.faces.insight import InsightFaceReader
from face_index.faces.pack_files import find_pack
from face_index.faces.packs import FacePack
from face_index.gallery.templates import make_prototypes
from face_index.identity import Identity, Proof
from face_index.vault import Submission, Vault
from face_index.vault.keys import FileKeys
from reports.cases.case_store import CaseStore
from scanner.identification.policy import Policy
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import FACE_PACK
from scanner.sampling.base_models import choose_base_model
from scanner.sampling.image_check import NothingUnsafe
from scanner.sampling.prompt_safety import usable_triggers
from scanner.sampling.sampler import Sampler
from scanner.sampling.trigger_search import candidate_words
from scanner.scanning.identifier import CheckpointIdentifier
from scanner.scanning.sampling_request import SamplingRequest
from scanner.settings import Settings
from scanner.triage.header import triage_file
from tests.opening import open_identifier
from tests.servers.files import FileServer, serve_files

# If several processes share the tests, none of them may use all cores. Libraries read this variable
# when they are loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Every home of the tests asks with the same prompts and seeds.
os.environ.setdefault("PORTRAIT_SCANNER_SAMPLES__INSTALLATION_ID", "tests")
SHARED = Path(__file__).parent.parent.parent / "shared"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def shared(name: str) -> Path:
    """A folder beside the checkout that only developers have; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine; it is in a folder beside the checkout")
    return path


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return a constant name for bytes.

    A gzip file contains the time, so the test processes would collect different test names.
    """
    return "bytes" if isinstance(val, bytes) else None


# The program, which reacts to SIGINT even if the tests run in the background of a shell.
HEARING_CTRL_C = (
    sys.executable,
    "-c",
    (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from scanner.cli.app import main; main()"
    ),
)


@pytest.fixture
def transport() -> Iterator[Transport]:
    client = Transport(attempts=3, timeout_s=10, destinations=Destinations({"127.0.0.1"}))
    yield client
    client.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CrawlStore]:
    opened = CrawlStore(tmp_path / "crawl.db")
    yield opened
    opened.close()


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[FileServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serve_files(folder) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home", cache=tmp_path / "cache", face_pack="miniature", device="cpu"
    )


@pytest.fixture
def consent() -> Consent:
    return Consent(
        "person-1", date(2026, 1, 1), date(2027, 1, 1), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
    )


VERSION = PackVersion("pack", "ab" * 32, 128, "1.0")
PHOTO = b"\x89PNG-a-photo-nobody-else-has" * 50


def prototypes_of(seed: int, dimension: int = 128) -> Prototypes:
    """One random unit vector as a template."""
    return unit(np.random.default_rng(seed).normal(size=dimension))[None]


def proof(operator: str = "olga") -> Proof:
    return Proof("passport", "cd" * 32, operator, NOON)


@pytest.fixture
def keys(tmp_path: Path) -> FileKeys:
    return FileKeys(tmp_path / "keys" / "master.key")


@pytest.fixture
def vault(tmp_path: Path, keys: FileKeys) -> Iterator[Vault]:
    opened = Vault(tmp_path / "vault" / "vault.db", keys)
    yield opened
    opened.close()


@pytest.fixture
def submission(consent: Consent) -> Submission:
    return Submission("person-1", consent, prototypes_of(1), VERSION, [PHOTO, PHOTO], 2, "sam")


@pytest.fixture
def register(vault: Vault, submission: Submission) -> Callable[..., Identity]:
    """Submits and approves a person; anything about the submission can be changed."""

    def do(name: str = "person-1", **changes: object) -> Identity:
        identity = vault.enrolments.submit(replace(submission, name=name, **changes), NOON)
        return vault.enrolments.approve(identity.identity_id, "olga", proof(), NOON, "told apart")

    return do


def bytes_below(folder: Path) -> bytes:
    """Every byte of every file in a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def make_lora(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small SD1-shaped kohya LoRA of noise; tensors and metadata can be changed."""

    def make(
        name: str = "noise.safetensors",
        change: dict[str, np.ndarray] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        rng = np.random.default_rng(3)
        stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
        tensors = {
            f"{stem}.lora_down.weight": rng.normal(size=(4, 768)).astype(np.float32),
            f"{stem}.lora_up.weight": rng.normal(size=(640, 4)).astype(np.float32),
            f"{stem}.alpha": np.array(4, dtype=np.float32),
        }
        path = tmp_path / name
        save_file({**tensors, **(change or {})}, path, metadata=metadata)
        return path

    return make


def raw_safetensors(header: bytes, data: bytes = b"") -> bytes:
    """A file with exactly this header text."""
    return struct.pack("<Q", len(header)) + header + data


@pytest.fixture(scope="session")
def miniature_pack() -> FacePack:
    return find_pack("miniature", Path("unused"), {"miniature": FACE_PACK})


@pytest.fixture(scope="session")
def miniature_reader(miniature_pack: FacePack) -> InsightFaceReader:
    return InsightFaceReader(miniature_pack)


@pytest.fixture(scope="session")
def miniature_sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(
        choose_base_model("Miniature", None),
        tmp_path_factory.mktemp("cache"),
        "cpu",
        NothingUnsafe(),
    )


def task_of(path: Path) -> SamplingRequest:
    """The request that a scan makes for a file without a listing."""
    triage = triage_file(path)
    triggers = usable_triggers(triage.triggers)
    candidates = () if triggers else candidate_words([path.stem])
    return SamplingRequest(
        path, str(triage.sha256), triage.kind, triage.family, triggers, candidates
    )


@pytest.fixture(scope="session")
def identifier(
    miniature_reader: InsightFaceReader, tmp_path_factory: pytest.TempPathFactory
) -> CheckpointIdentifier:
    """An identifier that searches for the people of the miniature world and thirty others."""
    templates = []
    for seed in [*range(101, 111), *(3_050_000 + number for number in range(30))]:
        read = miniature_reader.read(
            [draw_photo(person_of(seed), number).pixels for number in range(4)]
        )
        templates.append((str(seed), make_prototypes([faces[0] for faces in read if faces])))
    settings = Settings(home=tmp_path_factory.mktemp("home"), face_pack="miniature", device="cpu")
    return open_identifier(settings, Policy(), templates, 1)


class Silent:
    """A progress observer that prints nothing."""

    def step(self, done: int, total: int | None, doing: str) -> None:
        pass


@pytest.fixture
def case_store(tmp_path: Path) -> Iterator[CaseStore]:
    opened = CaseStore(tmp_path / "cases.db", tmp_path / "evidence")
    yield opened
    opened.close()


def scan_the_hub_apart(home: Path) -> dict[str, Any]:
    """Run tests/demo.py in a process of its own, so that its models do not stay in memory."""
    command = [sys.executable, "-m", "tests.demo", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory, demo: dict[str, Any]) -> Path:
    """The home of the demo; tests that change it take a copy."""
    own = tmp_path_factory.mktemp("demo") / "home"
    shutil.copytree(demo["home"], own)
    return own


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of tests/demo.py, which runs once for all processes; `home` is its home."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    result = shared / "demo.json"
    with FileLock(shared / "demo.lock"):
        if not result.exists():
            result.write_text(json.dumps(scan_the_hub_apart(shared / "demo-home")))
    return {**json.loads(result.read_text()), "home": shared / "demo-home"}


@pytest.fixture
def registered_home(demo: dict[str, Any], demo_home: Path, tmp_path: Path) -> Path:
    """A home with the registered persons and no scan."""
    assert demo["results"]
    home = tmp_path / "home"
    (home).mkdir()
    shutil.copytree(demo_home / "vault", home / "vault")
    shutil.copy(demo_home / "portrait-scanner.toml", home)
    return home


@pytest.fixture(scope="session", autouse=True)
def _one_process_plays_many_people() -> Iterator[None]:
    """Hide the system login, so that a test may submit and approve in one process.

    Commands that tests start in other processes still know their login.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scanner.factories.vaults.system_login", lambda: ())
        yield


@pytest.fixture(scope="session", autouse=True)
def _hubs_are_asked_again_at_once() -> Iterator[None]:
    """Shorten the waits between repeated requests to a hub; nothing else is changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crawlers.hubs.repeated_requests.FIRST_WAIT_S", 0.001)
        patch.setattr("crawlers.hubs.repeated_requests.LONGEST_WAIT_S", 0.002)
        yield
