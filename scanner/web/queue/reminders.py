"""Reminders about cases, registrations, consents and the deadlines of notices; each sent once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from face_index.identity import Identity, Status
from reports.cases.case import Entry
from reports.cases.case_summary import CaseSummary
from reports.cases.review import CaseStatus, last_review
from reports.documents.words import Translate
from reports.notices.tracker import Tracked, all_tracked
from scanner.casework.service import CaseService
from scanner.scanning.searched_file_store import SearchedFileStore
from scanner.web.auth.access import Permission
from scanner.web.auth.accounts import Account, Accounts
from scanner.web.queue.outbox import Outbox
from scanner.web.translation import translations

CONSENT_REMINDERS_DAYS = (30, 7)
DEADLINE_REMINDER = timedelta(hours=24)
# Older events were reported when they were new, or happened before reports could be sent.
_FRESH = timedelta(days=2)
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
        searched: SearchedFileStore,
        accounts: Accounts,
        outbox: Outbox,
        url: str,
        webhook: str | None,
    ) -> None:
        self._service, self._searched = service, searched
        self._accounts, self._outbox = accounts, outbox
        self._url, self._webhook = url, webhook

    def send(self) -> int:
        """Put due reminders into the outbox; how many."""
        fresh = (self._service.clock() - _FRESH).isoformat()
        count = 0
        for case in self._service.case_store.summaries():
            if case.opened_at >= fresh and case.status != CaseStatus.SUPERSEDED:
                count += self._new_case(case)
            if (
                case.status in _DECIDED
                and (review := last_review(case.entries))
                and review.at >= fresh
            ):
                count += self._decided(case, review)
        for identity in self._service.vault.people.all():
            count += self._registration(identity, fresh) + self._ending_consent(identity)
        return count + sum(
            self._deadline(notice) for notice in all_tracked(self._service.case_store)
        )

    def _new_case(self, case: CaseSummary) -> int:
        count = 0
        for account in self._accounts.acting_for(case.identity_id):
            t = translations(account.language).gettext
            text = t(
                "A likeness you registered may have been found: in a public model, or in images "
                "of an account. Sign in to see it: %(url)s"
            )
            path = f"/likeness/{case.identity_id}/cases/{case.case_id}"
            count += self._notify(
                f"case {case.case_id}", account, t("Your face may have been found"), text, path
            )
        for account in self._staff(Permission.CASES_DECIDE):
            t = translations(account.language).gettext
            text = t("A new case waits for a reviewer's decision: %(url)s")
            count += self._notify(
                f"review {case.case_id}",
                account,
                t("A case waits for review"),
                text,
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
        count = 0
        for account in self._accounts.acting_for(case.identity_id):
            t = translations(account.language).gettext
            text = t(
                "A reviewer has decided about a case of yours. Sign in to see what and why: %(url)s"
            )
            name = f"decided {case.case_id} {review.number}"
            path = f"/likeness/{case.identity_id}/cases/{case.case_id}"
            count += self._notify(name, account, t("A case of yours was decided"), text, path)
        return count

    def _registration(self, identity: Identity, fresh: str) -> int:
        count = 0
        if identity.status != Status.ACTIVE and identity.submitted_at.isoformat() >= fresh:
            for account in self._staff(Permission.REGISTRATIONS):
                t = translations(account.language).gettext
                text = t("A new registration waits for your check: %(url)s")
                path = f"/registrations/{identity.identity_id}"
                count += self._notify(
                    f"waits {identity.identity_id}", account, t("A registration waits"), text, path
                )
        elif (at := self._approved_at(identity, fresh)) is not None:
            count += self._first_search(identity, at)
            for account in self._accounts.acting_for(identity.identity_id):
                t = translations(account.language).gettext
                text = t(
                    "Your registration was checked and approved. The page of your likeness shows "
                    "what is searched and found: %(url)s"
                )
                path = f"/likeness/{identity.identity_id}"
                count += self._notify(
                    f"approved {identity.identity_id}",
                    account,
                    t("The search has begun"),
                    text,
                    path,
                )
        return count

    def _approved_at(self, identity: Identity, fresh: str) -> str | None:
        """Return when a registration was approved; None if it was not, or not recently."""
        if identity.status != Status.ACTIVE:
            return None
        # Proofs are sealed: they are opened for recent registrations only.
        if (
            identity.submitted_at.isoformat()
            < (self._service.clock() - timedelta(days=60)).isoformat()
        ):
            return None
        proofs = self._service.vault.documents.proofs_of(identity.identity_id)
        at = proofs[-1].checked_at.isoformat() if proofs else ""
        return at if at >= fresh else None

    def _first_search(self, identity: Identity, approved_at: str) -> int:
        """Tell what the search in everything that was drawn before has found."""
        newest = self._searched.newest()
        if newest is None or newest.started_at < approved_at:
            return 0
        files = self._searched.searched_since(approved_at)
        if files == 0:
            return 0
        cases = self._service.case_store.summaries(identity.identity_id)
        unwanted = (CaseStatus.SUPERSEDED, CaseStatus.REJECTED)
        found = sum(case.status not in unwanted for case in cases)
        count = 0
        for account in self._accounts.acting_for(identity.identity_id):
            t = translations(account.language).gettext
            text = t(
                "Files that were drawn before and searched for a face that you registered: "
                "%(files)s. Files of them that may show it: %(found)s. Sign in to see them: %(url)s"
            )
            facts = {"files": f"{files:,}", "found": f"{found:,}"}
            count += self._notify(
                f"searched {identity.identity_id}",
                account,
                t("What was drawn before has been searched"),
                text,
                f"/likeness/{identity.identity_id}",
                **facts,
            )
        return count

    def _ending_consent(self, identity: Identity) -> int:
        today, last = self._service.clock().date(), identity.consent.expires_on
        due = [
            days for days in CONSENT_REMINDERS_DAYS if identity.consent.expires_within(days, today)
        ]
        if not due or last < today:
            return 0
        count = 0
        for account in self._accounts.acting_for(identity.identity_id):
            t = translations(account.language).gettext
            text = t(
                "A consent of yours ends on %(day)s. The stored data is erased after that day. "
                "Renew or withdraw it here: %(url)s"
            )
            name = f"consent {identity.identity_id} {last} {min(due)}"
            path = f"/likeness/{identity.identity_id}"
            count += self._notify(
                name, account, t("Your consent is about to end"), text, path, day=str(last)
            )
        return count

    def _deadline(self, notice: Tracked) -> int:
        now = self._service.clock()
        if notice.due is None or now < notice.due - DEADLINE_REMINDER:
            return 0
        overdue = notice.overdue(now)
        count = 0
        for account in self._staff(Permission.NOTICES):
            t: Translate = translations(account.language).gettext
            subject = (
                t("The deadline of a notice has passed")
                if overdue
                else t("The deadline of a notice is near")
            )
            text = t(
                "Notice %(notice)s: the answer is due at %(due)s UTC. See the tracker: %(url)s"
            )
            name = (
                f"notice {notice.notice_id} {notice.due.isoformat()} "
                f"{'overdue' if overdue else 'soon'}"
            )
            facts = {"notice": notice.notice_id, "due": f"{notice.due:%Y-%m-%d %H:%M}"}
            count += self._notify(name, account, subject, text, "/notices", **facts)
        return count

    def _staff(self, permission: Permission) -> Iterable[Account]:
        return [
            account
            for account in self._accounts.all()
            if account.may(permission) and not account.disabled
        ]

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
