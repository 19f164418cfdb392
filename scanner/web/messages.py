"""Texts about errors and completed actions for people; programs get codes."""

from __future__ import annotations

from face_index.errors import ConsentMissing, NameRefused, UnknownIdentity
from reports.documents.words import Translate
from reports.errors import CaseAltered, ConfirmationRefused, NoticeIncomplete, UnknownCase
from scanner.web.errors import (
    AccountRefused,
    Forbidden,
    FormExpired,
    FormRefused,
    GateRefused,
    LinkExpired,
    NotThere,
    OpenIdRefused,
    PasswordRefused,
    ProgramFailed,
    TooManyRequests,
)


def problem_sentence(error: Exception, t: Translate) -> str:
    """An error as a sentence that says what to do next; its own text if there is no other."""
    match error:
        case PasswordRefused():
            return _password(error.why, t)
        case AccountRefused() | FormRefused():
            texts = _refused_accounts(t) | _refused_forms(t)
            return texts.get(error.why, str(error))
        case ConfirmationRefused():
            return _unconfirmed(error.why, t)
        case OpenIdRefused(why="nobody"):
            return t(
                "There is no account with that address. Ask an administrator for an invitation "
                "first."
            )
        case OpenIdRefused():
            return t(
                "The provider did not say who you are. Try again, or sign in with your password."
            )
        case NoticeIncomplete():
            return t("Still missing: %(fields)s.") % {"fields": "; ".join(error.labels)}
        case GateRefused(code="busy"):
            return t("There are too many large uploads at the moment. Try again in a minute.")
        case TooManyRequests():
            return t("Too many tries. Wait a minute and try again.")
    by_class = {
        LinkExpired: t("This link was used already or has expired. Ask for a new one."),
        Forbidden: t("Your account may not do this."),
        ProgramFailed: t(
            "The program failed. The error is in its log; try again later, or tell the operator "
            "of this site."
        ),
        NotThere: t("There is no such page, or none that you may see."),
        UnknownCase: t("There is no such page, or none that you may see."),
        CaseAltered: t(
            "This case does not agree with the audit log: somebody changed it outside of this "
            "program. It is not shown, decided or exported. Tell the operator of this site; "
            "portrait-scanner vault check says what differs."
        ),
        UnknownIdentity: t("There is no such page, or none that you may see."),
        FormExpired: t(
            "This form has expired or is not from this site. Go back, reload the page and repeat "
            "it."
        ),
        NameRefused: t("This name is not valid. Write it with letters, in at most 200 characters."),
        ConsentMissing: t(
            "The consent does not allow this: check dates, age and the signed document."
        ),
    }
    return next((text for kind, text in by_class.items() if isinstance(error, kind)), str(error))


def _unconfirmed(why: str, t: Translate) -> str:
    return {
        "withdrawn": t("This person has withdrawn: no case about them is confirmed."),
        "unseen": t("Open the pictures first, at least three pairs: nothing is confirmed unseen."),
        "same-words": t(
            "This reason was used for another confirmation. Say in your own words what you saw in "
            "this case."
        ),
    }[why]


def _password(why: str, t: Translate) -> str:
    return {
        "short": t("The password is too short: use at least 12 characters."),
        "long": t("The password is too long: use at most 200 characters."),
        "guessed": t("This password is easily guessed. Use another one."),
        "different": t("The two passwords are not the same."),
        "wrong": t("The present password is wrong."),
    }[why]


def _refused_accounts(t: Translate) -> dict[str, str]:
    return {
        "taken": t(
            "There is an account with this address already. Its owner sets a new password with "
            "“forgotten password”."
        ),
        "name-taken": t(
            "A member of staff has this name already. Add something that distinguishes the two: "
            "names sign decisions."
        ),
        "no-address": t("This is not an e-mail address."),
        "no-name": t("Enter your name, in at most 120 characters."),
        "no-role": t("Choose at least one role."),
        "no-such-choice": t("Choose one of the answers."),
        "no-such-scope": t("Choose what the token may do."),
        "no-such-token": t("Give the token a name and a last day within a year."),
        "second-factor-on": t("A second factor is set up already."),
        "wrong-code": t(
            "This code is not valid. Codes change every 30 seconds and can be used once."
        ),
        "acts-for": t(
            "You act for somebody who is registered here, and nobody else does. Withdraw them "
            "first, on the page Likeness."
        ),
        "own-account": t("You cannot do this to your own account."),
        "no-mail": t(
            "No mail server is set up, so no link can be sent. Ask the operator of this site for "
            "an invitation."
        ),
    }


def _refused_forms(t: Translate) -> dict[str, str]:
    return {
        "too-long": t("One of the answers is too long."),
        "too-slow": t("The files took too long to arrive. Send fewer or smaller ones."),
        "too-large": t("The form is too large."),
        "unreadable": t("The form could not be read. Reload the page and repeat it."),
        "no-consent": t("Read the consent and tick the box if you agree."),
        "no-answer": t("One of the answers is missing."),
        "no-date": t("Write the date as YYYY-MM-DD."),
        "no-number": t("Write the price as a number."),
        "no-licence": t(
            "Write an uploader as hub:account (civitai:somebody), a file as its SHA-256 of 64 "
            "characters, a hub by its name."
        ),
        "not-opened": t("Open all photos and documents first: nobody is approved unseen."),
        "no-document": t("The signed document is missing."),
        "no-proof": t("Send a copy of a document that shows who you are."),
        "no-photos": t("Choose at least three photos."),
        "no-reason": t("Give a reason; it stays in the record."),
        "no-cases": t("Tick at least one case."),
        "names-itself": t("The file itself names the child, so it stays held."),
        "took-it-in": t(
            "You added or corrected this. Somebody else must look at the pages and release what "
            "they may show."
        ),
        "submitted-it": t(
            "You submitted this registration or act for the person: somebody else must decide."
        ),
        "captured-meanwhile": t(
            "This has changed meanwhile, or somebody has decided already. Look at it again."
        ),
        "one-by-one": t(
            "A case can be confirmed on its own page only, after its pictures were opened."
        ),
        "not-a-document": t("Send the document as PDF, JPEG or PNG."),
        "outside": t("No hub, address, hash or folder of this name may be scanned from here."),
    }


def done_sentences(t: Translate) -> dict[str, str]:
    """The texts that a page shows after a form, by the word in its address."""
    return {
        "saved": t("Saved."),
        "password": t("The password was changed. You are signed out everywhere else."),
        "second-factor": t("The second factor is on. From now on you are asked for a code."),
        "second-factor-off": t("The second factor is off."),
        "ended": t("Ended."),
        "signed-out": t("You are signed out."),
        "mailed": t("A link was sent, if the address may have one."),
        "agreed": t("Your consent is recorded. Now choose photos."),
        "submitted": t("Thank you. Somebody checks who you are; then the search begins."),
        "submitted-without-some": t(
            "Thank you. Photos that cannot be used, or that show another person than the others, "
            "were left out. Somebody checks who you are; then the search begins."
        ),
        "asked": t("The report was asked for. You see it here once it is reviewed."),
        "licence": t("The licence was added. It is valid from now on."),
        "renewed": t("The new consent is recorded."),
        "decided": t("The decision is recorded."),
        "noted": t("Added to the record."),
        "drafted": t("The notice was drafted. Read it before you send it."),
        "queued": t("The scan was queued."),
        "cancelled": t("The scan was cancelled."),
        "invited": t("The invitation was mailed. It is valid for a week and can be used once."),
        "approved": t("Approved: the search begins with the next scan."),
        "rejected": t("Rejected; all its data was erased."),
        "deleted": t("The account was deleted."),
        "removed": t("The capture was removed."),
    }
