"""How fast the gate answers another form of a confirmed file, beside the same upload of a stranger.

`python -m benchmarks.fingerprints.gate [--requests N]`. A real server on loopback, with one
confirmed case. Each upload has other bytes: the confirmed file at another strength, and for
comparison a file of the same size that only waits in the queue. One upload at a time, then a large
one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from safetensors.torch import load_file, save_file

from benchmarks.fingerprints.speed import write_sdxl
from face_index.consent import CONSENT_TEXT_VERSION, Consent, Terms
from face_index.gallery.templates import make_prototypes
from face_index.identity import Proof
from face_index.vault import Submission
from scanner.factories import open_scan_session
from scanner.miniature.persons import person_of
from scanner.miniature.portraits import draw_photo
from scanner.miniature.world import ADAPTERS
from scanner.scanning.scan import run_scan
from scanner.settings import Settings, load_settings
from scanner.web.auth.access import Scope
from tests.servers.gate import Served
from tests.test_gate import token_for

PERSON = ADAPTERS / "ohwx_portrait_v1.safetensors"
_PERSON = 101  # whom it was trained on


class Silent:
    def step(self, done: int, total: int | None, doing: str) -> None:
        """Show nothing."""


def confirmed_home(folder: Path) -> Settings:
    (folder / "home").mkdir()
    (folder / "home" / "portrait-scanner.toml").write_text("two_people = false\n")
    flags = {"home": folder / "home", "face_pack": "miniature", "device": "cpu"}
    settings = load_settings(flags)
    consent = Consent(
        "person", date(2026, 1, 1), date(2027, 1, 1), None, CONSENT_TEXT_VERSION, Terms.PROHIBITED
    )
    now = datetime.now(UTC)
    with open_scan_session(settings) as session:
        reader = session.faces.reader
        read = reader.read([draw_photo(person_of(_PERSON), number).pixels for number in range(4)])
        templates = make_prototypes([faces[0] for faces in read if faces])
        submission = Submission(
            "person", consent, templates, reader.version, [b"a photo"], 2, "sam"
        )
        identity = session.vault.enrolments.submit(submission, now)
        proof = Proof("passport", "cd" * 32, "olga", now)
        session.vault.enrolments.approve(
            identity.identity_id, "olga", proof, now, "told apart", two_people=False
        )
        for _ in run_scan(session, [str(PERSON)], Silent()).rows:
            pass
        [case] = session.case_store.cases()
        details = {"decision": "confirm", "reason": "one face", "eyes": 1}
        session.case_store.add(case.case_id, "review", "Li Na", now, details)
    return settings


def copies(count: int, folder: Path) -> Iterator[bytes]:
    """The confirmed file at other strengths."""
    tensors = load_file(PERSON)
    for number in range(count):
        scale = 0.5 + number / count
        scaled = {
            name: tensor * scale if name.endswith(("lora_up.weight", "lora_B.weight")) else tensor
            for name, tensor in tensors.items()
        }
        save_file(scaled, folder / "copy.safetensors")
        yield (folder / "copy.safetensors").read_bytes()


def timed(client: httpx.Client, data: bytes) -> tuple[float, int, dict[str, object]]:
    started = time.perf_counter()
    answer = client.post(
        "/api/v1/scans",
        content=data,
        headers={"content-type": "application/octet-stream"},
        params={"name": "a.safetensors"},
    )
    return (time.perf_counter() - started) * 1000, answer.status_code, answer.json()


def told(name: str, taken: list[float]) -> None:
    p50, p95 = np.percentile(taken, [50, 95])
    print(f"{name:44} p50 {p50:7.1f} ms  p95 {p95:7.1f} ms  of {len(taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    count = parser.parse_args().requests
    with TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        settings = confirmed_home(folder)
        server = Served(settings.home)
        server.start()
        stack.callback(server.kill)
        headers = token_for(settings.home, Scope.SCANS_WRITE, Scope.SCANS_READ)
        client = stack.enter_context(
            httpx.Client(base_url=server.url, headers=headers, timeout=120)
        )
        known, queued = [], []
        for data in copies(count, folder):
            milliseconds, status, answer = timed(client, data)
            assert status == 200, answer
            verdict = json.dumps(answer)
            assert "derived from case" in verdict
            known.append(milliseconds)
            # Bytes that are no safetensors file have no fingerprint and wait for the worker.
            milliseconds, status, answer = timed(client, secrets.token_bytes(len(data)))
            assert status == 202, answer
            queued.append(milliseconds)
        told("another form of a confirmed file", known[5:])
        told("the same upload of a stranger's file", queued[5:])
        difference = [one - other for one, other in zip(known[5:], queued[5:], strict=True)]
        told("the difference", difference)
        large = folder / "large.safetensors"
        size = write_sdxl(large)
        data = large.read_bytes()
        plain, _, _ = timed(client, secrets.token_bytes(size))
        milliseconds, status, _ = timed(client, data)
        print(
            f"{size / 2**20:.0f} MiB, of SDXL: {milliseconds:,.0f} ms with its fingerprint "
            f"({status}), {plain:,.0f} ms without"
        )


if __name__ == "__main__":
    main()
