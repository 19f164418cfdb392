"""What `serve` checks in its settings before it listens, so that errors show at the start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx

from crawlers.errors import DestinationRefused
from scanner.errors import SettingsInvalid
from scanner.settings import Settings
from scanner.web.queue.outbox import must_be_postable


def check_at_start(settings: Settings) -> Iterator[str]:
    """Warnings about settings that will not work, with what to do; the pages work without them.

    Raises:
        SettingsInvalid: a setting can never work.
    """
    _check_case_webhook(settings)
    if settings.webhook_secret is None:
        yield (
            "Callers of the gate cannot have answers posted: set PORTRAIT_SCANNER_WEBHOOK_SECRET, "
            "with which every webhook is signed."
        )
    for root in settings.web.scan_roots:
        if "://" not in root and not Path(root).expanduser().is_dir():
            yield (
                f"scan_roots: there is no folder {root}; nothing of it can be scanned until it is "
                "there."
            )
    for authority in settings.timestamp_authorities:
        if authority.certificates is not None and not authority.certificates.expanduser().is_file():
            yield (
                f"timestamp_authorities: {authority.name} has no file {authority.certificates}; "
                "its timestamps are not kept until it is there."
            )


def _check_case_webhook(settings: Settings) -> None:
    if settings.web.case_webhook is None:
        return
    try:
        must_be_postable(settings.web.case_webhook, settings.allowed_hosts)
    except (DestinationRefused, httpx.InvalidURL) as error:
        raise SettingsInvalid(f"web.case_webhook: {error}") from error
