"""Who is told what by mail: new matches, consents that end, notices whose clock runs out. Each is told once."""

from __future__ import annotations

from datetime import timedelta

from face_index.identity import Identity
from reports.case import Case
from reports.notices.tracker import Tracked, all_tracked
from scanner.casework import CaseDesk
from scanner.web.access import Permission
from scanner.web.accounts import Account, Accounts
from scanner.web.outbox import Outbox
from scanner.web.translation import translations

CONSENT_REMINDERS_DAYS = (30, 7)
DEADLINE_REMINDER = timedelta(hours=24)


class Reminders:
    """Looks through cases, consents and notices; says nothing in a mail that a stranger may not read.

    Args:
        url: of the web app; links begin with it.
    """

    def __init__(self, desk: CaseDesk, accounts: Accounts, outbox: Outbox, url: str) -> None:
        self._desk, self._accounts, self._outbox, self._url = desk, accounts, outbox, url

    def send(self) -> int:
        """Put what is due into the outbox; how many mails."""
        before = 0
        cases = sum(self._new_case(case) for case in self._desk.docket.opened_after(self._newest()))
        consents = sum(self._ending_consent(identity) for identity in self._desk.vault.identities())
        return cases + consents + sum(self._deadline(notice) for notice in all_tracked(self._desk.docket))

    def _newest(self) -> str:
        # Cases of the last two days are looked at again; whoever was told is not told twice.
        return (self._desk.clock() - timedelta(days=2)).isoformat()

    def _new_case(self, case: Case) -> int:
        holders = self._accounts.acting_for(case.identity_id)
        reviewers = [one for one in self._accounts.all() if one.may(Permission.CASES_DECIDE) and not one.disabled]
        count = 0
        for account in holders:
            t = translations(account.language).gettext
            subject = t("A model may reproduce your face")
            text = t("A scan found a public model that may reproduce a likeness you registered. Sign in to see it: %(url)s")
            count += self._tell(f"case {case.case_id}", account, subject, text, f"/cases/{case.case_id}")
        for account in reviewers:
            t = translations(account.language).gettext
            count += self._tell(
                f"review {case.case_id}", account, t("A case waits for review"),
                t("A new case waits for a reviewer's decision: %(url)s"), f"/cases/{case.case_id}",
            )  # fmt: skip
        return count

    def _ending_consent(self, identity: Identity) -> int:
        today, last = self._desk.clock().date(), identity.consent.expires_on
        due = [days for days in CONSENT_REMINDERS_DAYS if identity.consent.expires_within(days, today)]
        if not due or last < today:
            return 0
        count = 0
        for account in self._accounts.acting_for(identity.identity_id):
            t = translations(account.language).gettext
            text = t("A consent you gave ends on %(day)s. What is stored is erased after that day. Renew or withdraw it here: %(url)s")
            what = f"consent {identity.identity_id} {last} {min(due)}"
            place = f"/likeness/{identity.identity_id}"
            count += self._tell(what, account, t("Your consent is about to end"), text, place, day=str(last))
        return count

    def _deadline(self, notice: Tracked) -> int:
        now = self._desk.clock()
        if notice.due is None or now < notice.due - DEADLINE_REMINDER:
            return 0
        overdue = notice.overdue(now)
        count = 0
        for account in self._accounts.all():
            if account.disabled or not account.may(Permission.NOTICES):
                continue
            t = translations(account.language).gettext
            subject = t("The clock of a notice has run out") if overdue else t("The clock of a notice runs out soon")
            text = t("Notice %(notice)s: the answer was or is due at %(due)s. See the tracker: %(url)s")
            what = f"notice {notice.notice_id} {notice.due.isoformat()} {'overdue' if overdue else 'soon'}"
            told = {"notice": notice.notice_id, "due": notice.due.isoformat(timespec="minutes")}
            count += self._tell(what, account, subject, text, "/notices", **told)
        return count

    def _tell(self, what: str, account: Account, subject: str, text: str, place: str, **facts: str) -> int:
        if account.notify == "never":
            return 0
        filled = text % {**facts, "url": self._url + place}
        digest = account.notify == "daily"
        return self._outbox.tell_once(
            f"{what} {account.account_id}", lambda: self._outbox.mail(account.email, subject, filled, digest=digest)
        )
