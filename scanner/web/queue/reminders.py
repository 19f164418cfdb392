"""Reminders about cases, registrations, consents and the deadlines of notices; each sent once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from face_index.identity import Identity, Status
from face_index.vault.people import PersonFilter
from reports.cases.case import Entry
from reports.cases.case_list import CaseFilter
from reports.cases.case_summary import CaseSummary
from reports.cases.notice_list import RUNNING
from reports.cases.review import CaseStatus, last_review
from reports.documents.words import Translate
from reports.notices.tracker import Tracked, notice_page
from scanner.casework.service import CaseService
from scanner.scanning.scan_store import ScanStore
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account, Accounts
from scanner.web.queue.outbox import Outbox
from scanner.web.translation import translations

CONSENT_REMINDERS_DAYS = (30, 7)
DEADLINE_REMINDER = timedelta(hours=24)
# Older events were reported when they were new, or happened before reports could be sent.
_FRESH = timedelta(days=2)
# Proofs are sealed: they are opened for recent registrations only.
_LONGEST_APPROVAL = timedelta(days=60)
_DECIDED = (CaseStatus.CONFIRMED, CaseStatus.REJECTED, CaseStatus.AUTHORISED)


class Reminders:
    """Finds what people must be told about.

    A mail names no person and no file, since others may read it.

    Args:
        url: the address of the web app, with which links begin.
        webhook: where new cases are also posted; None for nowhere.
    """

    def __init__(
        self,
        service: CaseService,
        scan_store: ScanStore,
        accounts: Accounts,
        outbox: Outbox,
        url: str,
        webhook: str | None,
    ) -> None:
        self._service, self._scan_store = service, scan_store
        self._accounts, self._outbox = accounts, outbox
        self._url, self._webhook = url, webhook

    def send(self) -> int:
        """Put due reminders into the outbox; how many."""
        now = self._service.clock()
        fresh = (now - _FRESH).isoformat()
        count = 0
        for case in self._service.case_store.lists.page(CaseFilter(changed_since=fresh)):
            if case.opened_at >= fresh and case.status != CaseStatus.SUPERSEDED:
                count += self._new_case(case)
            if (
                case.status in _DECIDED
                and (review := last_review(case.entries))
                and review.at >= fresh
            ):
                count += self._decided(case, review)
        people = self._service.vault.people
        for identity in people.page(PersonFilter(submitted_since=now - _LONGEST_APPROVAL)):
            count += self._registration(identity, fresh)
        last = now.date() + timedelta(days=max(CONSENT_REMINDERS_DAYS))
        for identity in people.page(PersonFilter(expires_by=last)):
            count += self._ending_consent(identity)
        return count + sum(
            self._deadline(notice) for notice in notice_page(self._service.case_store, RUNNING)
        )

    def _new_case(self, case: CaseSummary) -> int:
        count = self._tell(
            self._accounts.acting_for(case.identity_id),
            f"case {case.case_id}",
            lambda t: (
                t("Your face may have been found"),
                t(
                    "A likeness you registered may have been found: in a public model, or in "
                    "images of an account. Sign in to see it: %(url)s"
                ),
            ),
            f"/likeness/{case.identity_id}/cases/{case.case_id}",
        )
        count += self._tell(
            self._staff(Permission.CASES_DECIDE),
            f"review {case.case_id}",
            lambda t: (
                t("A case waits for review"),
                t("A new case waits for a reviewer's decision: %(url)s"),
            ),
            f"/cases/{case.case_id}",
        )
        if self._webhook is not None:
            path = f"{self._url}/cases/{case.case_id}"
            document = {
                "event": "case.opened",
                "case": {
                    "case_id": case.case_id,
                    "outcome": case.outcome,
                    "opened_at": case.opened_at,
                    "url": path,
                },
            }
            webhook = self._webhook
            count += self._outbox.once(
                f"webhook {case.case_id}", lambda: self._outbox.post(webhook, document)
            )
        return count

    def _decided(self, case: CaseSummary, review: Entry) -> int:
        return self._tell(
            self._accounts.acting_for(case.identity_id),
            f"decided {case.case_id} {review.number}",
            lambda t: (
                t("A case of yours was decided"),
                t(
                    "A reviewer has decided about a case of yours. Sign in to see what and why: "
                    "%(url)s"
                ),
            ),
            f"/likeness/{case.identity_id}/cases/{case.case_id}",
        )

    def _registration(self, identity: Identity, fresh: str) -> int:
        if identity.status != Status.ACTIVE and identity.submitted_at.isoformat() >= fresh:
            return self._tell(
                self._staff(Permission.REGISTRATIONS),
                f"waits {identity.identity_id}",
                lambda t: (
                    t("A registration waits"),
                    t("A new registration waits for your check: %(url)s"),
                ),
                f"/registrations/{identity.identity_id}",
            )
        at = self._approved_at(identity, fresh)
        if at is None:
            return 0
        return self._first_search(identity, at) + self._tell(
            self._accounts.acting_for(identity.identity_id),
            f"approved {identity.identity_id}",
            lambda t: (
                t("The search has begun"),
                t(
                    "Your registration was checked and approved. The page of your likeness shows "
                    "what is searched and found: %(url)s"
                ),
            ),
            f"/likeness/{identity.identity_id}",
        )

    def _approved_at(self, identity: Identity, fresh: str) -> str | None:
        """Return when a registration was approved; None if it was not, or not recently."""
        if identity.status != Status.ACTIVE:
            return None
        proofs = self._service.vault.documents.proofs_of(identity.identity_id)
        at = proofs[-1].checked_at.isoformat() if proofs else ""
        return at if at >= fresh else None

    def _first_search(self, identity: Identity, approved_at: str) -> int:
        """Tell what the search in everything that was drawn before has found."""
        newest = self._scan_store.searched.newest()
        if newest is None or newest.started_at < approved_at:
            return 0
        if identity.is_minor(self._service.clock().date()):
            return 0  # nobody searches for the face of a child
        files = self._scan_store.coverage.drawn_before(approved_at)
        if files == 0:
            return 0
        wanted = CaseFilter(identity_id=identity.identity_id)
        cases = self._service.case_store.lists.page(wanted)
        unwanted = (CaseStatus.SUPERSEDED, CaseStatus.REJECTED)
        found = sum(case.status not in unwanted for case in cases)
        return self._tell(
            self._accounts.acting_for(identity.identity_id),
            f"searched {identity.identity_id}",
            lambda t: (
                t("What was drawn before has been searched"),
                t(
                    "Files that were drawn before and searched for a face that you registered: "
                    "%(files)s. Files of them that may show it: %(found)s. Sign in to see them: "
                    "%(url)s"
                ),
            ),
            f"/likeness/{identity.identity_id}",
            files=f"{files:,}",
            found=f"{found:,}",
        )

    def _ending_consent(self, identity: Identity) -> int:
        today, last = self._service.clock().date(), identity.consent.expires_on
        due = [
            days for days in CONSENT_REMINDERS_DAYS if identity.consent.expires_within(days, today)
        ]
        if not due or last < today:
            return 0
        return self._tell(
            self._accounts.acting_for(identity.identity_id),
            f"consent {identity.identity_id} {last} {min(due)}",
            lambda t: (
                t("Your consent is about to end"),
                t(
                    "A consent of yours ends on %(day)s. The stored data is erased after that day. "
                    "Renew or withdraw it here: %(url)s"
                ),
            ),
            f"/likeness/{identity.identity_id}",
            day=str(last),
        )

    def _deadline(self, notice: Tracked) -> int:
        now = self._service.clock()
        if notice.due is None or now < notice.due - DEADLINE_REMINDER:
            return 0
        overdue = notice.overdue(now)
        state = "overdue" if overdue else "soon"
        return self._tell(
            self._staff(Permission.NOTICES),
            f"notice {notice.notice_id} {notice.due.isoformat()} {state}",
            lambda t: (
                t("The deadline of a notice has passed")
                if overdue
                else t("The deadline of a notice is near"),
                t("Notice %(notice)s: the answer is due at %(due)s UTC. See the tracker: %(url)s"),
            ),
            "/notices",
            notice=notice.notice_id,
            due=f"{notice.due:%Y-%m-%d %H:%M}",
        )

    def _staff(self, permission: Permission) -> Iterable[Account]:
        return [
            account
            for account in self._accounts.staff()
            if account.may(permission) and not account.disabled
        ]

    def _tell(
        self,
        accounts: Iterable[Account],
        name: str,
        mail: Callable[[Translate], tuple[str, str]],
        path: str,
        **facts: str,
    ) -> int:
        """Put a mail to each of these accounts into the outbox, once; how many are new.

        Args:
            name: of the event; each account is told about an event once.
            mail: returns subject and text in a language, with places for facts and the address.
            path: of the page that the mail links to.
        """
        return sum(
            self._notify(
                name, account, *mail(translations(account.language).gettext), path, **facts
            )
            for account in accounts
        )

    def _notify(
        self, name: str, account: Account, subject: str, text: str, path: str, **facts: str
    ) -> int:
        if account.notify == "never":
            return 0
        filled = text % {**facts, "url": self._url + path}
        digest = account.notify == "daily"
        return self._outbox.once(
            f"{name} {account.account_id}",
            lambda: self._outbox.mail(account.email, subject, filled, digest=digest),
        )
