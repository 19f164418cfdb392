"""What every request works with, opened once per process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from scanner.clock import Clock, utc_now
from scanner.settings import Settings
from scanner.web.api.known_files import KnownFiles
from scanner.web.api.uploads import Receiver
from scanner.web.api.verdicts import Standings
from scanner.web.auth.accounts import Accounts
from scanner.web.auth.second_factors import SecondFactors
from scanner.web.auth.sessions import Sessions
from scanner.web.drafts import Drafts
from scanner.web.errors import TooManyRequests
from scanner.web.queue.jobs import SENT, Job, Jobs
from scanner.web.queue.outbox import Outbox
from scanner.web.request_slots import RequestSlots
from scanner.web.service_pool import FaceService, ServicePool
from scanner.web.store import WebStore, web_key

_PHOTO_FORMS = 4  # forms with photos at a time: each may hold 200 MB in memory


class AppContext:
    """Stores and limits of the web app; a page that needs the vault opens it, one that checks a photo loads the face pack."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        self.store = WebStore(settings.web_path)
        self.accounts = Accounts(self.store, clock)
        self.second_factors = SecondFactors(
            self.store, web_key(settings.web_key_path), clock, self.accounts.lockout
        )
        self.sessions = Sessions(self.store, self.accounts, clock)
        self.jobs = Jobs(self.store, clock, settings.web.most_waiting_jobs)
        self.standings = Standings(settings)
        self.known = KnownFiles(settings, self.store, self.standings, self.jobs)
        self.receiver = Receiver(settings)
        self.photo_slots = RequestSlots(_PHOTO_FORMS, wait_s=30.0, each=2)
        self.outbox = Outbox(settings, self.store, clock)
        self.drafts = Drafts(self.store)
        self.services = ServicePool(settings, clock)
        self.faces = FaceService(settings)
        self.openid: Any = None  # made with the first sign-in that needs it
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def close(self) -> None:
        self.services.close()
        self.known.close()
        self.standings.close()
        self.store.close()

    def must_be_within(self, per_minute: int, *who: str) -> None:
        """Count a request; raises TooManyRequests."""
        limit = RateLimitItemPerMinute(per_minute)
        if not self._limiter.hit(limit, *who):
            reset = self._limiter.get_window_stats(limit, *who).reset_time
            raise TooManyRequests(int(reset - self.clock().timestamp()) + 1)

    def sign_out_everywhere(self, account_id: str) -> None:
        """End everything that lets somebody in without the password: sessions, tokens, browsers that are known."""
        self.sessions.end_all(account_id)
        self.sessions.revoke_all_tokens(account_id)
        self.accounts.lockout.forget_devices(account_id)

    def cancel(self, job_id: str) -> Job:
        """Take a scan back, and what was sent for it where the worker has not begun; raises NotThere."""
        job = self.jobs.cancel(job_id)
        if job.kind in SENT and job.started_at is None:
            self.forget_upload(job.source)
        return job

    def forget_upload(self, source: str) -> None:
        """Delete an upload that no job needs."""
        path = Path(source)
        if path.parent == self.settings.uploads_path:
            path.unlink(missing_ok=True)


def app_context_of(request: Request) -> AppContext:
    """The premises of the app that a request came to."""
    app_context: AppContext = request.app.state.app_context
    return app_context
