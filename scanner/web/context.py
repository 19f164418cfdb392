"""The stores and services that requests work with, opened once per process."""

from __future__ import annotations

from typing import Any

from scanner.clock import Clock, utc_now
from scanner.settings import Settings
from scanner.web.auth.accounts import Accounts
from scanner.web.auth.invitations import Invitations
from scanner.web.auth.second_factors import SecondFactors
from scanner.web.auth.sessions import Sessions
from scanner.web.auth.tokens import Tokens
from scanner.web.drafts import Drafts
from scanner.web.month_results import MonthResults
from scanner.web.queue.derived_uploads import DerivedUploads
from scanner.web.queue.jobs import Jobs
from scanner.web.queue.known_files import KnownFiles
from scanner.web.queue.outbox import Outbox
from scanner.web.queue.uploads import UploadReceiver
from scanner.web.queue.verdicts import CaseStandings
from scanner.web.rate_limits import RateLimiter
from scanner.web.request_slots import RequestSlots
from scanner.web.service_pool import FaceService, ServicePool
from scanner.web.store import WebStore, web_key

_PHOTO_FORMS = 4  # forms with photos read at a time: each may hold 200 MB in memory


class AppContext:
    """Composes the stores and services.

    Nothing expensive is opened here: a page that needs the vault takes a service from the pool,
    and the face pack is loaded when the first photo is checked.
    """

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings, self.clock = settings, clock
        self.store = WebStore(settings.web_path)
        self.accounts = Accounts(self.store, clock)
        self.invitations = Invitations(self.store, self.accounts, clock)
        self.second_factors = SecondFactors(
            self.store, web_key(settings.web_key_path), clock, self.accounts.lockout
        )
        self.sessions = Sessions(self.store, self.accounts, clock)
        self.tokens = Tokens(self.store, self.accounts, clock)
        self.jobs = Jobs(self.store, clock, settings.web.most_waiting_jobs)
        self.standings = CaseStandings(settings)
        self.known_files = KnownFiles(settings, self.store, self.standings, self.jobs)
        self.uploads = UploadReceiver(settings)
        self.photo_slots = RequestSlots(_PHOTO_FORMS, wait_s=30.0, per_sender=2)
        self.rate_limiter = RateLimiter(clock)
        self.outbox = Outbox(settings, self.store, clock)
        self.drafts = Drafts(self.store)
        self.services = ServicePool(settings, clock)
        self.derived_uploads = DerivedUploads(settings, clock)
        self.month_results = MonthResults()
        self.face_service = FaceService(settings)
        self.openid_client: Any = None  # Authlib's, made when somebody first signs in with it

    def close(self) -> None:
        """Close every store and service that was opened."""
        self.services.close()
        self.uploads.close()
        self.derived_uploads.close()
        self.known_files.close()
        self.standings.close()
        self.store.close()
