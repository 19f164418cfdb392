"""The thread of the worker that sends messages, reminds people and deletes old data.

It is a thread of its own, so that a long scan does not delay it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from threading import Event

from crawlers.checkpoints.checkpoint_store import files_still_there
from scanner.clock import Clock
from scanner.errors import sentence_of
from scanner.factories import open_case_service, open_scan_store
from scanner.settings import Settings
from scanner.web.auth.accounts import Accounts
from scanner.web.drafts import Drafts
from scanner.web.queue.health import DELIVERY_FACT
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.outbox import Outbox
from scanner.web.queue.reminders import Reminders
from scanner.web.store import WebStore

log = logging.getLogger(__name__)

_ROUND_S = 1.0
_TIDY_EVERY_S = 600.0
_REMIND_EVERY_S = 20.0
_ORPHAN_S = 24 * 3600.0


@dataclass(slots=True)
class _Step:
    """A task that is repeated.

    Attributes:
        fails: what is logged if it fails, before the text of the error.
        problem: the text that was logged, as long as it fails.
    """

    do: Callable[[], object]
    every_s: float
    fails: str
    due: float = float("-inf")
    problem: str | None = None


class Delivery:
    """Runs its steps until it is stopped; a step that fails does not stop the others."""

    def __init__(self, settings: Settings, store: WebStore, outbox: Outbox, clock: Clock) -> None:
        self.settings, self.store, self.outbox, self.clock = settings, store, outbox, clock
        self._steps = (
            _Step(self._tidy, _TIDY_EVERY_S, "what ended long ago is not deleted"),
            _Step(self._remind, _REMIND_EVERY_S, "people are not reminded"),
            _Step(outbox.send_due, 0.0, "mails and webhooks are not sent"),
        )

    def run(self, stop: Event) -> None:
        """Run the steps until `stop` is set.

        /readyz answers 503 if no round succeeds for a while.
        """
        while not stop.is_set():
            for step in self._steps:
                self._try(step)
            if not any(step.problem for step in self._steps):
                self._note_success()
            stop.wait(_ROUND_S)

    def _try(self, step: _Step) -> None:
        if time.monotonic() < step.due:
            return
        step.due = time.monotonic() + step.every_s
        try:
            step.do()
        except Exception as error:  # the thread must survive any error of a step
            problem = f"{step.fails}: {sentence_of(error)}"
            if problem != step.problem:  # the same text every second would fill the disk
                log.exception("%s; it is tried again", problem)
            step.problem = problem
        else:
            step.problem = None

    def _note_success(self) -> None:
        try:
            self.store.set_fact(DELIVERY_FACT, self.clock().isoformat())
        except Exception:
            log.exception("the time of the last round cannot be written")

    def _remind(self) -> None:
        """Put due reminders into the outbox; reads nothing if nobody can receive them."""
        web = self.settings.web
        has_recipient = web.smtp_url is not None or web.case_webhook is not None
        if not has_recipient or not self.settings.vault_path.exists():
            return
        with (
            open_case_service(self.settings, self.clock) as service,
            closing(open_scan_store(self.settings)) as scan_store,
        ):
            accounts = Accounts(self.store, self.clock)
            Reminders(service, scan_store, accounts, self.outbox, web.url, web.case_webhook).send()

    def _tidy(self) -> None:
        """Delete expired data, and uploads of jobs that have ended."""
        jobs = Jobs(self.store, self.clock)
        oldest = self.clock() - timedelta(days=self.settings.web.retention_days)
        jobs.forget_before(oldest.isoformat())
        Drafts(self.store).forget_old(self.clock())
        for path, _, modified in files_still_there(self.settings.uploads_path):
            if time.time() - modified <= _ORPHAN_S:
                continue
            if path.is_dir():  # left by a worker that was killed while it read a capture
                shutil.rmtree(path, ignore_errors=True)
            elif jobs.has_ended(path.stem):
                path.unlink(missing_ok=True)
