"""A report of a 64-sample case at 512 pixels: seconds and bytes of ours, and of the plain way that puts every picture in whole.

`python -m benchmarks.reports`: both languages, medians of three rounds; also a bundle, its verification and a notice.
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

from reports.cases.case_store import CaseStore
from reports.documents.case_report import case_html, case_pdf, samples_shown
from reports.evidence.bundle import BundleRequest, write_bundle
from reports.verify_bundle import verify
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
    """The same report with every picture as it is kept."""
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
        print(
            f"{platform.machine()}, {platform.processor() or 'processor unknown'}; {ROUNDS} rounds, medians"
        )
        for language in ("en", "zh-CN"):
            html = case_html(case, case_store, language)
            pdf = case_pdf(html, case, language)
            seconds = median_of(
                lambda language=language: case_pdf(
                    case_html(case, case_store, language), case, language
                )
            )
            print(
                f"{language}: HTML and PDF in {seconds:.2f} s; HTML {len(html) / 1e6:.2f} MB, PDF {len(pdf) / 1e6:.2f} MB"
            )
        html = case_html(case, case_store)
        digests = [
            one
            for sample in samples_shown(case)
            for one in (sample.image_sha256, sample.control_sha256)
        ]
        plain = whole_pictures(html, case_store, digests)
        started = time.perf_counter()
        size = len(case_pdf(plain, case, "en"))
        print(
            f"the plain way, every picture whole: {time.perf_counter() - started:.2f} s; HTML {len(plain) / 1e6:.2f} MB, PDF {size / 1e6:.2f} MB"
        )
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"benchmark").digest())

        def seal() -> None:
            number = len(list(folder.glob("bundle-*")))
            write_bundle(case, case_store, folder / f"bundle-{number}", BundleRequest(), lambda text: (key.sign(text), key.public_key().public_bytes_raw()), [], AT)  # fmt: skip

        print(
            f"bundle with four reports: {median_of(seal):.2f} s; verified in {median_of(lambda: verify(folder / 'bundle-0')):.2f} s"
        )
        case_store.close()


if __name__ == "__main__":
    main()
