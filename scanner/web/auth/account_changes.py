"""What was done to an account, told twice: to the audit log, under the account's id, and to its owner by mail.

So that nobody, an administrator neither, takes an account over unseen.
"""

from __future__ import annotations

from reports.documents.words import Translate
from scanner.web.auth.accounts import Account
from scanner.web.context import AppContext
from scanner.web.translation import translations


def note_change(here: AppContext, account: Account, event: str, by: str, **details: object) -> None:
    """Record and mail one change.

    Args:
        event: a key of what `_sentences` knows, or any other event, which is recorded and not mailed.
        by: the actor who did it; the account's own where its owner did.
    """
    with here.services.one(by) as service:
        service.vault.audit.record(
            event, "vault", by, here.clock(), account=account.account_id, **details
        )
    t = translations(account.language).gettext
    sentence = _sentences(t).get(event)
    if sentence is not None:
        advice = t(
            "If this is not what you wanted, set a new password with “forgotten password” and tell whoever runs this site."
        )
        here.outbox.mail(
            account.email,
            t("Your account was changed"),
            f"{sentence}\n\n{here.settings.web.url}\n\n{advice}\n",
        )


def _sentences(t: Translate) -> dict[str, str]:
    return {
        "account password changed": t("Your password was changed."),
        "account second factor on": t("A second factor was set up for your account."),
        "account second factor off": t("The second factor of your account was taken away."),
        "account roles changed": t("The roles of your account were changed."),
        "account disabled": t("Your account was disabled."),
        "account enabled": t("Your account was enabled."),
        "account token made": t("An API token was made for your account."),
        "account deleted": t("Your account was deleted."),
    }
