"""Seconds and bytes of the report of a case with 64 samples of 512 pixels, and of its bundle.

`python -m benchmarks.reports` measures both languages, medians of three rounds, and for comparison
a report that holds every picture at full size.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reports.cases.case import Case
from reports.cases.case_store import CaseStore
from reports.documents.case_report import case_html, case_pdf, samples_shown
from reports.evidence.bundle import BundleRequest, write_bundle
from reports.verify.bundle import verify
from tests.cases import AT, make_case, reviewed

ROUNDS = 3


def median_of(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def whole_pictures(html: str, case_store: CaseStore, digests: list[str]) -> str:
    """The same report with every picture at full size."""
    waiting = iter(digests)
    return re.sub(
        r"data:image/jpeg;base64,[^\"]+",
        lambda _: (
            "data:image/png;base64," + base64.b64encode(case_store.kept(next(waiting))).decode()
        ),
        html,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case_store = CaseStore(folder / "cases.db", folder / "evidence")
        case = reviewed(case_store, make_case(case_store, samples=64, size=512))
        processor = platform.processor() or "processor unknown"
        print(f"{platform.machine()}, {processor}; {ROUNDS} rounds, medians")
        for language in ("en", "zh-CN"):
            print_report(case, case_store, language)
        print_whole_pictures(case, case_store)
        print_bundle(case, case_store, folder)
        case_store.close()


def print_report(case: Case, case_store: CaseStore, language: str) -> None:
    html = case_html(case, case_store, language)
    pdf = case_pdf(html, case, language)
    seconds = median_of(lambda: case_pdf(case_html(case, case_store, language), case, language))
    print(f"{language}: HTML and PDF in {seconds:.2f} s; {megabytes(html, pdf)}")


def print_whole_pictures(case: Case, case_store: CaseStore) -> None:
    """The simple way, for comparison: every picture at full size."""
    digests = [
        digest
        for sample in samples_shown(case)
        for digest in (sample.image_sha256, sample.control_sha256)
        if digest
    ]
    html = whole_pictures(case_html(case, case_store), case_store, digests)
    started = time.perf_counter()
    pdf = case_pdf(html, case, "en")
    seconds = time.perf_counter() - started
    print(f"every picture at full size: {seconds:.2f} s; {megabytes(html, pdf)}")


def print_bundle(case: Case, case_store: CaseStore, folder: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"benchmark").digest())

    def sign(message: bytes) -> tuple[bytes, bytes]:
        return key.sign(message), key.public_key().public_bytes_raw()

    def seal() -> None:
        number = len(list(folder.glob("bundle-*")))
        bundle = folder / f"bundle-{number}"
        write_bundle(case, case_store, bundle, BundleRequest(), sign, [], AT)

    sealed_s = median_of(seal)
    verified_s = median_of(lambda: verify(folder / "bundle-0"))
    print(f"bundle with four reports: {sealed_s:.2f} s; verified in {verified_s:.2f} s")


def megabytes(html: str, pdf: bytes) -> str:
    return f"HTML {len(html) / 1e6:.2f} MB, PDF {len(pdf) / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
