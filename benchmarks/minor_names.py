"""Time to compare a file's texts with the names of registered minors, for ours and a plain way.

The plain way reads all people from the vault for each file and searches the text for each name.
Ours reads the minors once, until somebody enrols or withdraws, and looks the words of the text up
among all names. A tenth of the people are minors.

Run: python -m benchmarks.minor_names [--people 10000]
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from crawlers.listing import Listing, RemoteFile, bare_listing
from face_index.consent import CONSENT_TEXT_VERSION, Consent, Signatory, Terms
from face_index.faces.face import PackVersion
from face_index.identity import Proof
from face_index.vault import Submission
from scanner.factories import open_scan_session
from scanner.scanning.session import ScanSession
from scanner.settings import Settings
from scanner.triage.minors import NamedMinor
from scanner.triage.trigger_words import named_minor

NOW = datetime(2026, 11, 28, tzinfo=UTC)
VERSION = PackVersion("none", "0" * 64, 4)
SYLLABLES = (
    "li",
    "an",
    "zhao",
    "ying",
    "wei",
    "mei",
    "jun",
    "hao",
    "xin",
    "yan",
    "bo",
    "tao",
    "min",
    "fang",
    "lan",
)


def name_of(number: int, rng: np.random.Generator) -> str:
    words = ["".join(rng.choice(SYLLABLES, count)) for count in (1, 2)]
    return f"{words[0].title()} {words[1].title()} {number:x}".replace("0", "o").translate(
        str.maketrans("123456789", "ghijklmno")
    )


def fill(scan_session: ScanSession, people: int) -> None:
    """Register one adult and one minor, and copy their rows under other names."""
    rng = np.random.default_rng(0)
    for minor in (False, True):
        signatory = Signatory.GUARDIAN if minor else Signatory.SELF
        consent = Consent(
            "A",
            NOW.date(),
            date(2028, 11, 1),
            "ab" * 32,
            CONSENT_TEXT_VERSION,
            Terms.PROHIBITED,
            signatory=signatory,
        )
        prototypes = np.eye(4, dtype=np.float32)[:1]
        submission = Submission(
            f"First {minor}",
            consent,
            prototypes,
            VERSION,
            (),
            3,
            "sam",
            born_on=date(2014, 1, 1) if minor else None,
        )
        identity = scan_session.vault.enrolments.submit(submission, NOW)
        proof = Proof("passport", None, "olga", NOW)
        scan_session.vault.enrolments.approve(
            identity.identity_id, "olga", proof, NOW, "benchmark", two_people=False
        )
        count = people // 10 if minor else people - people // 10
        _copy(scan_session.vault.db.conn, identity.identity_id, count - 1, rng)


def _copy(db: sqlite3.Connection, identity_id: str, count: int, rng: np.random.Generator) -> None:
    columns = [row[1] for row in db.execute("pragma table_info(identities)")]
    row = dict(
        zip(
            columns,
            db.execute("select * from identities where identity_id = ?", [identity_id]).fetchone(),
            strict=True,
        )
    )
    marks = ", ".join("?" for _ in columns)
    with db:
        for number in range(count):
            copy = {
                **row,
                "identity_id": f"{identity_id[:24]}{number:08x}",
                "name": name_of(number, rng),
            }
            db.execute(f"insert into identities values ({marks})", list(copy.values()))


def plain_way(scan_session: ScanSession, listing: Listing, file: RemoteFile) -> str | None:
    """Return the first minor whose name the texts hold as whole words; reads all people."""
    today = scan_session.clock().date()
    text = (
        " ".join([listing.title, file.name, *listing.tags, *listing.triggers])
        .casefold()
        .replace("_", " ")
    )
    for identity in scan_session.vault.people.all():
        if identity.is_minor(today) and identity.is_active(today):
            words = r"[\W_]+".join(map(re.escape, identity.name.casefold().split()))
            if re.search(rf"\b{words}\b", text):
                return identity.name
    return None


def our_way(scan_session: ScanSession, listing: Listing, file: RemoteFile) -> NamedMinor | None:
    """Return the first minor whom the texts name, as a scan looks for them."""
    return named_minor(scan_session.minors, scan_session.crawl, listing, file)


def milliseconds(
    way: Callable[[ScanSession, Listing, RemoteFile], object],
    scan_session: ScanSession,
    files: int,
) -> tuple[float, float]:
    """Return the milliseconds of the first file and the median of the others."""
    seconds = []
    for number in range(files):
        file = RemoteFile(f"realistic_woman_lora_v{number}.safetensors", "https://hub.example/f")
        listing = bare_listing(
            "civitai",
            str(number),
            "Portraits in evening light, photographic",
            "https://hub.example",
            file,
        )
        began = time.perf_counter()
        way(scan_session, listing, file)
        seconds.append(time.perf_counter() - began)
    return 1000 * seconds[0], 1000 * float(np.median(seconds[1:]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=10_000)
    people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        scan_session = open_scan_session(Settings(home=Path(folder)), clock=lambda: NOW)
        fill(scan_session, people)
        registered = scan_session.vault.people
        minors = registered.minors(NOW.date())
        print(f"{registered.count():,} people, {len(minors):,} of them minors")
        for name, way, files in (("the plain way", plain_way, 6), ("ours", our_way, 501)):
            first, median = milliseconds(way, scan_session, files)
            print(
                f"{name}: {first:,.1f} ms the first file, {median:,.3f} ms each of the others "
                f"(median of {files - 1})"
            )
        scan_session.close()


if __name__ == "__main__":
    main()
