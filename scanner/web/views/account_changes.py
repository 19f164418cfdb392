"""Changes of an account: written to the audit log, and mailed to its owner.

So nobody, not even an administrator, can take over an account unnoticed.
"""

from __future__ import annotations

from reports.documents.words import Translate
from scanner.web.auth.accounts import Account
from scanner.web.context import AppContext
from scanner.web.translation import translations


def note_change(
    context: AppContext, account: Account, event: str, by: str, **details: object
) -> None:
    """Record a change, and mail it to the owner.

    Args:
        event: a key of `_sentences`; any other event is recorded and not mailed.
        by: the actor who made the change.
    """
    with context.services.acquire(by) as service:
        now = context.clock()
        service.vault.audit.record(event, "vault", by, now, account=account.account_id, **details)
    t = translations(account.language).gettext
    sentence = _sentences(t).get(event)
    if sentence is not None:
        advice = t(
            "If this is not what you wanted, set a new password with “forgotten password” and "
            "tell the operator of this site."
        )
        context.outbox.mail(
            account.email,
            t("Your account was changed"),
            f"{sentence}\n\n{context.settings.web.url}\n\n{advice}\n",
        )


def _sentences(t: Translate) -> dict[str, str]:
    return {
        "account password changed": t("Your password was changed."),
        "account second factor on": t("A second factor was set up for your account."),
        "account second factor off": t("The second factor of your account was removed."),
        "account roles changed": t("The roles of your account were changed."),
        "account disabled": t("Your account was disabled."),
        "account enabled": t("Your account was enabled."),
        "account token made": t("An API token was created for your account."),
        "account deleted": t("Your account was deleted."),
    }
