"""Filling a home with captures of accounts, their images and the verdicts on them."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import datetime, timedelta

from crawlers.captures.capture_rows import CaptureRow, ImageRow
from crawlers.captures.capture_store import CaptureStore, page_id_of
from crawlers.captures.images.pictures import Picture
from crawlers.captures.images.provenance import Provenance
from crawlers.captures.pages.facts import PageFacts, PageKind
from crawlers.captures.pages.page import CapturedPage
from crawlers.sweeps.crawl_store import CrawlStore
from face_index.vault import Vault
from scanner.captures.handling import TAKEN_IN
from scanner.factories import open_scan_store
from scanner.identification.outcome import Outcome
from scanner.records import CaptureVerdict
from scanner.settings import Settings

IMAGES = 4
# An account is captured five times, on different days.
CAPTURES_OF_AN_ACCOUNT = 5


def capture_id_of(number: int) -> str:
    return hashlib.sha256(f"capture {number}".encode()).hexdigest()


def add_captures(
    settings: Settings, vault: Vault, count: int, opened: datetime, now: datetime
) -> None:
    """Take in captures, one an hour, and store a verdict on each account.

    Args:
        now: of the entries in the audit log, which takes none from before the newest.
    """
    scan_store = open_scan_store(settings, vault)
    with closing(CrawlStore(settings.crawl_path)) as crawl, closing(scan_store):
        captures = CaptureStore(crawl, settings.captures_path)
        for number in range(count):
            at, account = opened + timedelta(hours=number), number // CAPTURES_OF_AN_ACCOUNT
            capture_id = capture_id_of(number)
            vault.audit.record(TAKEN_IN, "vault", "olga", now, capture=capture_id)
            _add_capture(captures, capture_id, number, f"seller{account}", at)
            if number % CAPTURES_OF_AN_ACCOUNT == 0:
                outcome = Outcome.POSSIBLE if account % 9 == 0 else Outcome.CLEAR
                key = f"account xianyu seller{account}"
                verdict = CaptureVerdict(key, f"seller{account}", str(outcome), "score 0.40", 8, 7)
                scan_store.captures.keep_verdict("version", "key", verdict, at)


def _add_capture(
    captures: CaptureStore, capture_id: str, number: int, account: str, at: datetime
) -> None:
    name, url = f"goods {number}.html", f"https://shop.example/goods/{number}"
    row = CaptureRow(
        capture_id, name, "html", 90_000, at.isoformat(), "olga", None, None, (), (), None, 1
    )
    text = f"portrait model of {account}, sent at once after payment. " * 20
    facts = PageFacts(PageKind.OFFER, "xianyu", f"goods {number}", text, account, account)
    page = CapturedPage(url, name, at.isoformat(), None, text, ())
    page_id = page_id_of(capture_id, 0)
    images = [
        ImageRow(
            page_id,
            place,
            hashlib.sha256(f"image {number} {place}".encode()).hexdigest(),
            f"{url}/{place}.jpg",
            "",
            Picture(640, 640, f"{number * IMAGES + place:064x}"),
            Provenance(),
            True,
        )
        for place in range(IMAGES)
    ]
    captures.add(row, [(page, facts, ())], [images])
