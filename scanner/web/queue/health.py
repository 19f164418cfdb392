"""Whether the worker and its delivery thread are running."""

from __future__ import annotations

from datetime import datetime, timedelta

from filelock import FileLock, Timeout

from scanner.settings import Settings
from scanner.web.store import WebStore

# The fact in web.db that the delivery thread renews after each successful round.
DELIVERY_FACT = "messenger"
_DELIVERY_LATE = timedelta(minutes=15)  # longer than a long round of mails takes


def worker_lock(settings: Settings) -> FileLock:
    """The lock that a worker holds while it runs."""
    return FileLock(settings.web_path.with_name("worker.lock"))


def worker_is_running(settings: Settings) -> bool:
    """Whether a worker holds the lock of this home."""
    lock = worker_lock(settings)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def delivery_is_running(store: WebStore, now: datetime) -> bool:
    """Whether the delivery thread completed a round recently."""
    last_round = store.fact(DELIVERY_FACT)
    return last_round is not None and now - datetime.fromisoformat(last_round) < _DELIVERY_LATE
